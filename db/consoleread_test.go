package db_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/huntaze/hybrid-orchestrator/db"
	"github.com/huntaze/hybrid-orchestrator/internal/workflow"
)

// TestConsoleReads: what the console reads is of the accounts of a scope alone, in its order and within its bounds.
func TestConsoleReads(t *testing.T) {
	t.Parallel()
	f := newFleet(t, "2/60s", "off")
	take := func(user, id, recipient string) uuid.UUID {
		t.Helper()
		f.AdvanceClock(t, time.Second)
		d := message(user, 1)
		d.Message.WorkflowID, d.Message.RecipientID, d.Message.CampaignID = id, recipient, "spring"
		if _, err := f.store.Ingest(f.ctx, []workflow.Delivery{d}, true); err != nil {
			t.Fatal(err)
		}
		return one[uuid.UUID](f, `SELECT workflow FROM inbox WHERE workflow_id = $1 AND user_id = $2 AND recipient_id = $3`, id, user, recipient)
	}
	first, second, third := take("a", "wf-1", "fan-1"), take("a", "wf-2", "fan-1"), take("b", "wf-1", "fan-1")
	for n := range 4 {
		take("c", fmt.Sprint("wf-c", n), fmt.Sprint("fan-c", n))
	}

	which, known, err := f.store.WhichMessage(f.ctx, second)
	if want := (db.Which{WorkflowID: "wf-2", UserID: "a", RecipientID: "fan-1"}); err != nil || !known || which != want {
		t.Errorf("which: %+v, %v (%v)", which, known, err)
	}
	if _, known, err := f.store.WhichMessage(f.ctx, uuid.New()); err != nil || known {
		t.Errorf("a message that is not there: %v (%v)", known, err)
	}
	named, known, err := f.store.CampaignNamed(f.ctx, "a", "spring")
	if err != nil || !known || named.Name != "" {
		t.Errorf("campaign: %+v, %v (%v)", named, known, err)
	}
	if found, err := f.store.CampaignByID(f.ctx, named.ID); err != nil || found.CampaignID != "spring" || found.UserID != "a" {
		t.Errorf("campaign by its id: %+v (%v)", found, err)
	}
	if _, known, err := f.store.CampaignNamed(f.ctx, "a", "autumn"); err != nil || known {
		t.Errorf("a campaign that is not there: %v (%v)", known, err)
	}

	for name, tt := range map[string]struct {
		scope db.Scope
		limit int
		want  []uuid.UUID
	}{
		"all":      {nil, 10, []uuid.UUID{third, second, first}},
		"bounded":  {nil, 2, []uuid.UUID{third, second}},
		"of a":     {db.Scope{"a"}, 10, []uuid.UUID{second, first}},
		"of b, c":  {db.Scope{"b", "c"}, 10, []uuid.UUID{third}},
		"nobody's": {db.Scope{}, 10, nil},
	} {
		found, err := f.store.MessagesByRecipient(f.ctx, tt.scope, "fan-1", tt.limit)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(tt.want, ids(found)); diff != "" {
			t.Errorf("to the recipient, %s (-want +got):\n%s", name, diff)
		}
	}
	found, err := f.store.MessagesByWorkflowID(f.ctx, nil, "wf-1", 10)
	if diff := cmp.Diff([]uuid.UUID{third, first}, ids(found)); err != nil || diff != "" {
		t.Errorf("by workflow id (%v; -want +got):\n%s", err, diff)
	}
	if found, err = f.store.MessagesByWorkflowID(f.ctx, db.Scope{"a"}, "wf-1", 10); err != nil || len(found) != 1 || found[0].UserID != "a" {
		t.Errorf("by workflow id, of a: %+v (%v)", found, err)
	}

	for name, tt := range map[string]struct {
		scope db.Scope
		after string
		limit int
		want  string
	}{
		"all": {nil, "", 10, "a:0:0 b:0:1 c:2:0 "}, "after a": {nil, "a", 1, "b:0:1 "}, "scope": {db.Scope{"c", "x"}, "", 10, "c:2:0 "}, "nobody's": {db.Scope{}, "", 10, ""},
	} {
		lines, now, err := f.store.AccountPage(f.ctx, tt.scope, tt.after, tt.limit)
		if err != nil || !now.Equal(f.Clock(t)) {
			t.Fatalf("%s: at %v (%v)", name, now, err)
		}
		got := ""
		for _, l := range lines {
			got += fmt.Sprintf("%s:%d:%d ", l.UserID, l.Queued.Number, l.Tokens[0].Free())
			if returns := l.Tokens[0].Returns(); len(returns) != l.Tokens[0].Taken || !l.Known {
				t.Errorf("%s: %s: tokens return at %v, %d are taken", name, l.UserID, returns, l.Tokens[0].Taken)
			}
		}
		if got != tt.want {
			t.Errorf("accounts, %s: %s, want %s", name, got, tt.want)
		}
	}

	f.exec(`UPDATE send_attempts SET state = 'unknown', fence = nextval('send_fence'), started_at = reserved_at, call_deadline = reserved_at, ended_at = reserved_at`)
	for name, tt := range map[string]struct {
		scope db.Scope
		limit int
		want  string
	}{"all": {nil, 10, "aabcc"}, "bounded": {nil, 3, "aab"}, "of b": {db.Scope{"b"}, 10, "b"}, "nobody's": {db.Scope{}, 10, ""}} {
		doubts, err := f.store.DoubtsIn(f.ctx, tt.scope, tt.limit)
		if err != nil {
			t.Fatal(err)
		}
		got := ""
		for _, d := range doubts {
			got += d.UserID
		}
		if got != tt.want {
			t.Errorf("doubts, %s: %q, want %q", name, got, tt.want)
		}
	}
}

func ids(messages []db.CampaignMessage) (all []uuid.UUID) {
	for _, m := range messages {
		all = append(all, m.ID)
	}
	return all
}

// TestSearchGivesUp: a search among too many messages ends, and says so.
func TestSearchGivesUp(t *testing.T) {
	t.Parallel()
	f := newFleet(t, "2/60s", "off")
	f.exec(`ALTER TABLE inbox RENAME TO real_inbox`)
	f.exec(`INSERT INTO real_inbox VALUES ('wf-1', 'a', 'fan', $1, '', '', $2)`, uuid.New(), start)
	f.exec(`CREATE VIEW inbox AS SELECT * FROM real_inbox WHERE pg_sleep(60) IS NOT NULL`)
	began := time.Now()
	if _, err := f.store.MessagesByRecipient(f.ctx, nil, "fan", 10); err != db.ErrSearchTooLong {
		t.Errorf("error %v", err)
	}
	if took := time.Since(began); took > 30*time.Second {
		t.Errorf("it took %s", took)
	}
}
