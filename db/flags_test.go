package db_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"github.com/huntaze/hybrid-orchestrator/db"
	"github.com/huntaze/hybrid-orchestrator/internal/flags"
)

// value parses a value that is right.
func value(t testing.TB, name flags.Name, text string) flags.Value {
	t.Helper()
	v, err := flags.ParseValue(name, "", text)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func (f *fleet) setFlag(name flags.Name, userID, text string) db.FlagChanged {
	f.t.Helper()
	changed, err := f.store.SetFlag(f.ctx, db.FlagChange{Name: name, UserID: userID, Value: value(f.t, name, text), By: "alex", Reason: "test"})
	if err != nil {
		f.t.Fatal(err)
	}
	return changed
}

func (f *fleet) clearFlag(name flags.Name, userID string) bool {
	f.t.Helper()
	cleared, err := f.store.ClearFlag(f.ctx, db.FlagChange{Name: name, UserID: userID, By: "sam", Reason: "over"})
	if err != nil {
		f.t.Fatal(err)
	}
	return cleared
}

func TestFlags(t *testing.T) {
	t.Parallel()
	f := newFleet(t, "10/60s", "off")
	f.setFlag(flags.OrchestratorEnabled, "", "10%")
	f.AdvanceClock(t, time.Minute)
	f.setFlag(flags.OrchestratorEnabled, "", "25%")
	f.setFlag(flags.SendsEnabled, "creator-7", "off")
	if !f.clearFlag(flags.SendsEnabled, "creator-7") || f.clearFlag(flags.SendsEnabled, "creator-7") {
		t.Error("a value is not cleared exactly once")
	}
	table, err := f.store.Flags(f.ctx)
	if err != nil {
		t.Fatal(err)
	}
	later := start.Add(time.Minute)
	want := []flags.Row{{Name: flags.OrchestratorEnabled, Value: "25%", Version: 3, ChangedAt: later, ChangedBy: "alex", Reason: "test"}}
	if diff := cmp.Diff(want, table.Rows); diff != "" {
		t.Errorf("flags (-want +got):\n%s", diff)
	}
	if table.Version.Number != 5 || table.Version.System == 0 || table.Version.Timeline == 0 {
		t.Errorf("version %+v", table.Version)
	}
	history, err := f.store.FlagHistory(f.ctx, "", "", 0, 10)
	if err != nil {
		t.Fatal(err)
	}
	wantHistory := []db.FlagEntry{
		{Version: 5, Name: flags.SendsEnabled, UserID: "creator-7", Previous: "off", ChangedAt: later, ChangedBy: "sam", Reason: "over"},
		{Version: 4, Name: flags.SendsEnabled, UserID: "creator-7", Value: "off", ChangedAt: later, ChangedBy: "alex", Reason: "test"},
		{Version: 3, Name: flags.OrchestratorEnabled, Previous: "10%", Value: "25%", ChangedAt: later, ChangedBy: "alex", Reason: "test"},
		{Version: 2, Name: flags.OrchestratorEnabled, Value: "10%", ChangedAt: start, ChangedBy: "alex", Reason: "test"},
	}
	if diff := cmp.Diff(wantHistory, history); diff != "" {
		t.Errorf("history (-want +got):\n%s", diff)
	}
	for _, part := range []struct {
		name   flags.Name
		user   string
		before int64
		most   int
		want   int
	}{{flags.SendsEnabled, "", 0, 10, 2}, {"", "creator-7", 0, 10, 2}, {"", "", 4, 10, 2}, {"", "", 0, 1, 1}, {flags.PlanningEnabled, "", 0, 10, 0}} {
		if got, err := f.store.FlagHistory(f.ctx, part.name, part.user, part.before, part.most); err != nil || len(got) != part.want {
			t.Errorf("history of %+v: %d entries (%v)", part, len(got), err)
		}
	}
}

// Nobody changes a flag without a trace, and no value gets in that a process would not understand.
func TestFlagsByHand(t *testing.T) {
	t.Parallel()
	f := newFleet(t, "10/60s", "off")
	f.setFlag(flags.SendsEnabled, "", "off")
	for _, refused := range []string{
		`UPDATE flags_history SET changed_by = 'nobody'`, `DELETE FROM flags_history`, `TRUNCATE flags_history`, `TRUNCATE flags`,
		`UPDATE flags SET value = 'perhaps'`, `UPDATE flags SET value = '50%'`, `UPDATE flags SET user_id = 'creator-7'`,
		`INSERT INTO flags (name, user_id, value, changed_by, reason) VALUES ('orchestrator_enabled', 'creator-7', '50%', 'x', 'y')`,
		`INSERT INTO flags (name, value, changed_by, reason) VALUES ('orchestrator_enabled', '101%', 'x', 'y')`,
		`INSERT INTO flags (name, value, changed_by, reason) VALUES ('orchestrator_enabled', 'on', '', 'y')`,
	} {
		if _, err := f.pool.Exec(f.ctx, refused); err == nil {
			t.Errorf("not refused: %s", refused)
		}
	}
	f.exec(`UPDATE flags SET value = 'on', changed_by = 'psql', reason = 'by hand'`)
	f.exec(`DELETE FROM flags`)
	history, err := f.store.FlagHistory(f.ctx, "", "", 0, 10)
	if err != nil || len(history) != 3 {
		t.Fatalf("%d entries (%v), want 3", len(history), err)
	}
	if by := history[0]; by.ChangedBy == "" || by.Reason != "removed by hand" || by.Previous != "on" || history[1].ChangedBy != "psql" {
		t.Errorf("changes by hand are written down as %+v", history)
	}
	for _, wrong := range []db.FlagChange{
		{Name: "sends_enabeld", Value: flags.On, By: "alex", Reason: "x"},
		{Name: flags.SendsEnabled, Value: value(t, flags.OrchestratorEnabled, "50%"), By: "alex", Reason: "x"},
		{Name: flags.OrchestratorEnabled, UserID: "creator-7", Value: value(t, flags.OrchestratorEnabled, "50%"), By: "alex", Reason: "x"},
		{Name: flags.SendsEnabled, Value: flags.On, Reason: "x"},
		{Name: flags.SendsEnabled, Value: flags.On, By: "alex"},
	} {
		if _, err := f.store.SetFlag(f.ctx, wrong); err == nil {
			t.Errorf("not refused: %+v", wrong)
		}
	}
}

func TestFlagComparedAndSet(t *testing.T) {
	t.Parallel()
	f := newFleet(t, "10/60s", "off")
	expect := func(version int64) error {
		_, err := f.store.SetFlag(f.ctx, db.FlagChange{Name: flags.PlanningEnabled, Value: flags.Off, By: "alex", Reason: "x", Expect: &version})
		return err
	}
	if err := expect(0); err != nil {
		t.Fatal(err)
	}
	if err := expect(0); !errors.Is(err, db.ErrFlagChanged) {
		t.Errorf("set by somebody else: %v", err)
	}
	if err := expect(2); err != nil {
		t.Error(err)
	}
	var wins, n int64 = 0, 3
	var all sync.WaitGroup
	var mu sync.Mutex
	for range 8 {
		all.Go(func() {
			if err := expect(n); err == nil {
				mu.Lock()
				wins++
				mu.Unlock()
			} else if !errors.Is(err, db.ErrFlagChanged) {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if wins != 1 {
		t.Errorf("%d of 8 changes of one version were made", wins)
	}
}

// The function of the database and the snapshots of the processes say the same, whatever is set.
func TestKillSwitchInDatabase(t *testing.T) {
	t.Parallel()
	f := newFleet(t, "10/60s", "off")
	random := rand.New(rand.NewPCG(1, 2))
	users := []string{"", "creator-1", "creator-2", "Ünï-3"}
	for step := range 60 {
		user := users[random.IntN(len(users))]
		switch random.IntN(4) {
		case 0:
			f.clearFlag(flags.SendsEnabled, user)
		case 1:
			f.setFlag(flags.PlanningEnabled, user, "off") // another switch is another switch
		case 2:
			f.setFlag(flags.SendsEnabled, user, "off")
		default:
			f.setFlag(flags.SendsEnabled, user, "on")
		}
		table, err := f.store.Flags(f.ctx)
		if err != nil {
			t.Fatal(err)
		}
		snapshot := flags.New(table, nil, true)
		for _, user := range users[1:] {
			got, err := f.store.SendsEnabled(f.ctx, user)
			if err != nil || got != snapshot.SendsEnabled(user) {
				t.Fatalf("step %d: the database says %v (%v), the snapshot %v for %q of %+v", step, got, err, snapshot.SendsEnabled(user), user, table.Rows)
			}
			if got := one[bool](f, `SELECT planning_enabled($1)`, user); got != snapshot.PlanningEnabled(user) {
				t.Fatalf("step %d: planning: the database says %v for %q of %+v", step, got, user, table.Rows)
			}
		}
	}
}

// A start that has read the switch ends before the switch does, and is counted; one that comes later sees it off.
func TestKillSwitchWaitsForStarts(t *testing.T) {
	t.Parallel()
	f := newFleet(t, "10/60s", "off")
	f.ingest(true, messages("creator-7", 2)...)
	starting, err := f.pool.Begin(f.ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = starting.Rollback(context.Background()) }()
	if !startsSend(t, f.ctx, starting) {
		t.Fatal("sends are off from the beginning")
	}
	if _, err := starting.Exec(f.ctx, `UPDATE send_attempts SET state = 'in_flight', fence = nextval('send_fence') WHERE (workflow, sequence) = (SELECT workflow, sequence FROM send_attempts LIMIT 1)`); err != nil {
		t.Fatal(err)
	}
	done := make(chan db.FlagChanged, 1)
	go func() {
		changed, err := f.store.SetFlag(f.ctx, db.FlagChange{Name: flags.SendsEnabled, Value: flags.Off, By: "alex", Reason: "stop"})
		if err != nil {
			t.Error(err)
		}
		done <- changed
	}()
	select {
	case <-done:
		t.Fatal("the switch did not wait for a start that had begun")
	case <-time.After(200 * time.Millisecond):
	}
	if err := starting.Commit(f.ctx); err != nil {
		t.Fatal(err)
	}
	if changed := <-done; changed.InFlight != 1 {
		t.Errorf("%d in flight, want 1", changed.InFlight)
	}
	if err := pgx.BeginFunc(f.ctx, f.pool, func(tx pgx.Tx) error {
		if startsSend(t, f.ctx, tx) {
			t.Error("a send starts after the switch")
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
}

// startsSend asks as a transaction does that is about to start sends.
func startsSend(t *testing.T, ctx context.Context, tx pgx.Tx) (may bool) {
	t.Helper()
	if _, err := tx.Exec(ctx, `SELECT hold_sends_switch()`); err != nil {
		t.Fatal(err)
	}
	if err := tx.QueryRow(ctx, `SELECT sends_enabled('creator-7')`).Scan(&may); err != nil {
		t.Fatal(err)
	}
	return may
}

// Whoever reads sees states in their order, each whole: with many changes at once a higher version is never an
// earlier state.
func TestFlagVersionsFollowCommits(t *testing.T) {
	t.Parallel()
	f := newFleet(t, "10/60s", "off")
	const writers, each = 4, 20
	var writing sync.WaitGroup
	for w := range writers {
		writing.Go(func() {
			for i := range each {
				if i%5 == 4 {
					f.clearFlag(flags.SendsEnabled, fmt.Sprint("creator-", w))
				} else {
					f.setFlag(flags.SendsEnabled, fmt.Sprint("creator-", w), "off")
				}
			}
		})
	}
	var known flags.Version
	source := f.store.FlagSource()
	seen := map[int64]int64{} // version of a row that was seen gone or replaced
	for known.Number < 1+writers*each {
		table, changed, err := source.Load(f.ctx, known)
		if err != nil {
			t.Fatal(err)
		}
		if !changed {
			continue
		}
		if table.Version.Number <= known.Number {
			t.Fatalf("version %d after %d", table.Version.Number, known.Number)
		}
		known = table.Version
		for _, row := range table.Rows {
			if row.Version > known.Number {
				t.Fatalf("a row of version %d in state %d", row.Version, known.Number)
			}
			seen[row.Version] = known.Number
		}
	}
	writing.Wait()
	history, err := f.store.FlagHistory(f.ctx, "", "", 0, 1000)
	if err != nil {
		t.Fatal(err)
	}
	// Each row was in force until the next change of the same account.
	until, next := map[int64]int64{}, map[string]int64{}
	for _, entry := range history {
		if later, ok := next[entry.UserID]; ok {
			until[entry.Version] = later
		}
		next[entry.UserID] = entry.Version
	}
	for version, at := range seen {
		if end, ended := until[version]; ended && at >= end {
			t.Errorf("the row of version %d was seen in state %d, though it ended in %d", version, at, end)
		}
	}
	if len(history) != writers*each {
		t.Errorf("%d changes are written down of %d", len(history), writers*each)
	}
	if _, changed, err := source.Load(f.ctx, known); err != nil || changed {
		t.Errorf("nothing changed, and the source says %v (%v)", changed, err)
	}
}
