package jobs_test

import (
	"fmt"
	"strings"
	"testing"
	"unicode"

	"github.com/huntaze/hybrid-orchestrator/internal/provider/providersim"
	"github.com/huntaze/hybrid-orchestrator/internal/text"
	"github.com/huntaze/hybrid-orchestrator/internal/text/hostile"
	"github.com/huntaze/hybrid-orchestrator/internal/workflow"
)

// usable are the values that Postgres and the queue's decoder let in at all.
func usable(t *testing.T) (values []string) {
	t.Helper()
	for _, v := range hostile.Values() {
		v = strings.ToValidUTF8(strings.ReplaceAll(v, "\x00", ""), "")
		if v != "" && len(v) <= text.MaxFieldBytes {
			values = append(values, v)
		}
	}
	if len(values) < 200 {
		t.Fatalf("only %d hostile values", len(values))
	}
	return values
}

// Whatever a recipient's own words are, they reach the text cleaned or not at all, and nobody else's text.
func TestHostileRecipients(t *testing.T) {
	t.Parallel()
	values := usable(t)
	w := newWriters(t, writerOptions{})
	if err := w.sim.Enqueue(providersim.Azure, providersim.Fault{Text: "Hi {{name|there}}, thanks!"}); err != nil {
		t.Fatal(err)
	}
	batch := []workflow.Delivery{briefed(100_000, inCampaign, named("Ann"))}
	for i, v := range values {
		batch = append(batch, briefed(i, inCampaign, named(v)))
	}
	w.ingest(batch...)
	w.run(20)
	sent := w.contents()
	if sent["fan-100000"] != "Hi Ann, thanks!" {
		t.Errorf("the harmless one got %q", sent["fan-100000"])
	}
	gate := text.Gate{MaxLength: 600}
	for i, v := range values {
		got, want := sent[fmt.Sprintf("fan-%d", i)], "there"
		if clean, ok := text.Clean(v); ok {
			want = clean
		}
		if got != "Hi "+want+", thanks!" {
			t.Errorf("%.60q became %.100q", v, got)
		}
		if broken := gate.CheckMerged(got); len(broken) > 0 {
			t.Errorf("%.60q: the text breaks %v", v, broken)
		}
		if strings.ContainsFunc(got, func(r rune) bool { return unicode.IsControl(r) || unicode.Is(unicode.Cf, r) && r != '\u200d' }) {
			t.Errorf("%.60q: control characters in %q", v, got)
		}
	}
	if len(w.called()) != 1 || len(sent) != len(batch) {
		t.Errorf("%d calls, %d texts for %d recipients", len(w.called()), len(sent), len(batch))
	}
	if strings.Contains(w.log.String(), "evil") {
		t.Error("the log shows what recipients are called")
	}
}

// contents are the texts by recipient.
func (w *writers) contents() map[string]string {
	w.t.Helper()
	rows, err := w.plain.Query(w.t.Context(), `SELECT recipient_id, content FROM hybrid_workflows WHERE stage = 'queued'`)
	if err != nil {
		w.t.Fatal(err)
	}
	defer rows.Close()
	found := map[string]string{}
	for rows.Next() {
		var recipient, content string
		if err := rows.Scan(&recipient, &content); err != nil {
			w.t.Fatal(err)
		}
		found[recipient] = content
	}
	return found
}

// Whatever a brief says, it is data in the user message; a model that obeys it and repeats it gets its text refused
// if that may not be sent, and the message goes to the recipient it was for.
func TestHostileBriefs(t *testing.T) {
	t.Parallel()
	values := usable(t)
	w := newWriters(t, writerOptions{})
	var batch []workflow.Delivery
	for i, v := range values {
		if text.CheckBrief(v) != nil {
			continue // refused at intake
		}
		batch = append(batch, briefed(i, func(m *workflow.Message) { m.Brief = v; m.UserID = fmt.Sprintf("creator-%d", i) }))
		// Obedient models: what the brief says comes back, twice.
		if strings.TrimSpace(v) != "" {
			for range 2 {
				if err := w.sim.Enqueue(providersim.Azure, providersim.Fault{Text: v}); err != nil {
					t.Fatal(err)
				}
			}
		}
		w.ingest(batch[len(batch)-1])
		w.run(20)
		w.sim.Clear(providersim.Azure)
	}
	if len(batch) < 200 {
		t.Fatalf("only %d briefs", len(batch))
	}
	systems := map[string]bool{}
	for _, call := range w.sim.Calls(0) {
		systems[withoutCanary(call.System)] = true
		if !strings.HasPrefix(call.User, `{"brief":`) {
			t.Errorf("the user message is not the data alone: %.80q", call.User)
		}
	}
	if len(systems) != 1 {
		t.Errorf("%d different instructions", len(systems))
	}
	gate := text.Gate{MaxLength: 600}
	for recipient, content := range w.contents() {
		if broken := gate.CheckMerged(content); len(broken) > 0 {
			t.Errorf("%s would get %.80q, which breaks %v", recipient, content, broken)
		}
	}
	if n := w.number(`SELECT count(*) FROM hybrid_workflows WHERE stage NOT IN ('queued', 'failed')`); n != 0 {
		t.Errorf("%d messages neither have a text nor failed", n)
	}
	if n := w.number(`SELECT count(*) FROM hybrid_workflows w JOIN inbox i ON i.workflow = w.id WHERE i.user_id <> w.user_id OR i.recipient_id <> w.recipient_id`); n != 0 {
		t.Errorf("%d messages go to somebody else", n)
	}
}

// withoutCanary removes the marker, which differs from call to call.
func withoutCanary(system string) string {
	before, after, found := strings.Cut(system, "hzcanary")
	if !found {
		return system
	}
	return before + strings.TrimLeftFunc(after, func(r rune) bool { return unicode.IsLower(r) || unicode.IsDigit(r) })
}
