package e2e_test

import (
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/huntaze/hybrid-orchestrator/db"
	"github.com/huntaze/hybrid-orchestrator/internal/gateway/gatewaysim"
)

// gatewayLatency is long enough for a test to come in between.
var gatewayLatency = gatewaysim.Faults{Rules: []gatewaysim.Rule{latency(20*time.Millisecond, 150*time.Millisecond)}}

// I10: who opts out while messages are queued and released gets none whose call had not begun; all others get theirs.
func TestOptOutStopsWhatHasNotBegun(t *testing.T) {
	t.Parallel()
	// Few sends at once: released messages wait for their turn.
	f := newFleet(t, "RATE_LIMIT_ACCOUNT=100/1s", "SEND_WORKERS=4", "SEND_RESERVATION=30s")
	f.faults(gatewayLatency)
	count := pick(500, 800, 5000)
	f.park("creator", "", count)
	f.start(2)
	f.awaitSent(10)
	type stop struct {
		before    string // the stage of the message
		committed time.Time
	}
	stops := map[string]stop{}
	// By turns one that is queued, one that is released and one whose call is about to begin or has begun.
	for n := range count / 4 {
		order := []string{`w.stage = 'queued' ORDER BY w.id DESC`, `a.state = 'reserved' ORDER BY w.id DESC`, `a.state IN ('reserved', 'in_flight') ORDER BY w.id`}[n%3]
		found := query(f, pgx.RowTo[[2]string], `SELECT ARRAY[w.recipient_id, coalesce(a.state, w.stage)] FROM hybrid_workflows w
			LEFT JOIN send_attempts a ON a.workflow = w.id AND a.sequence = w.send_sequence AND w.stage = 'sending'
			LEFT JOIN opt_outs o ON o.user_id = w.user_id AND o.recipient_id = w.recipient_id
			WHERE o.user_id IS NULL AND `+order+` LIMIT 1`)
		for _, one := range found {
			_, err := f.store.OptOut(t.Context(), db.OptOut{UserID: "creator", RecipientID: one[0], Reason: "asked for it", CreatedBy: "e2e"})
			f.must(err)
			stops[one[0]] = stop{before: one[1], committed: f.clock()}
		}
	}
	f.drained(2 * time.Minute)
	began := map[string]time.Time{}
	query(f, func(r pgx.CollectableRow) (none struct{}, err error) {
		var recipient string
		var at time.Time
		err = r.Scan(&recipient, &at)
		began[recipient] = at
		return none, err
	}, `SELECT w.recipient_id, max(a.started_at) FROM send_attempts a JOIN hybrid_workflows w ON w.id = a.workflow WHERE a.started_at IS NOT NULL GROUP BY 1`)
	before, sent, cancelled := map[string]int{}, 0, 0
	for recipient, s := range stops {
		before[s.before]++
		if at, did := began[recipient]; did && at.After(s.committed) {
			t.Errorf("the call for %s, who was %s, began %s after the opt-out", recipient, s.before, at.Sub(s.committed))
		}
	}
	d := f.check("cancelled")
	for _, w := range d.workflows {
		_, out := stops[w.recipient]
		switch {
		case w.stage == "cancelled" && (!out || w.lastError != "opted_out"):
			t.Errorf("message %s is cancelled (%s), and nobody opted out: %t", w.key, w.lastError, !out)
		case w.stage == "cancelled":
			cancelled++
		case out:
			sent++
		}
	}
	t.Logf("%d opted out, being %v; of their messages %d were cancelled, %d had begun before", len(stops), before, cancelled, sent)
	if before["queued"] == 0 || before["reserved"] == 0 || cancelled == 0 || sent == 0 {
		t.Error("not every case has happened: the test says too little")
	}
}

// switchFlag changes a flag by the command and returns when, by the database's clock: before the commit, but after
// everybody who had to had waited for it.
func (f *fleet) switchFlag(name, value string, more ...string) (at time.Time, said string) {
	f.t.Helper()
	said = f.run(append([]string{"flags", "set", name, value, "--by", "e2e"}, more...)...)
	return query(f, pgx.RowTo[time.Time], `SELECT changed_at FROM flags_history ORDER BY version DESC LIMIT 1`)[0], said
}

// I10: the kill switch under load. Nothing begins after its commit, whatever was released; when it is on again,
// everything is sent once.
func TestKillSwitchUnderLoad(t *testing.T) {
	t.Parallel()
	f := newFleet(t, "RATE_LIMIT_ACCOUNT=off", "SEND_WORKERS=25", "SEND_RESERVATION=30s") // much is released and waits for its turn
	f.faults(gatewaysim.Faults{Rules: onBothWays(300 * time.Millisecond)})
	accounts, each := 20, pick(100, 150, 1000)
	for _, in := range newInputs(accounts, 1) {
		f.park(in.user, "", each)
	}
	f.start(4)
	f.awaitSent(accounts * each / 10)
	off, said := f.switchFlag("sends_enabled", "off", "--reason", "drill")
	if !strings.Contains(said, "Nothing more is sent.") {
		t.Errorf("the command says\n%s", said)
	}
	late := newInputs(accounts, each+5)[accounts*each:] // come while it is off
	f.put(late...)
	f.within(20*time.Second, "what comes is taken in", func() bool { return number(f, `SELECT count(*) FROM inbox`) == len(late) })
	f.settled()
	arrivals, sent := f.gateway.Stats().Arrivals, f.sent()
	time.Sleep(2500 * time.Millisecond) // the reconciler has run twice
	if now := f.gateway.Stats().Arrivals; now != arrivals {
		t.Errorf("%d messages arrived while sends were off", now-arrivals)
	}
	on, _ := f.switchFlag("sends_enabled", "on", "--reason", "the drill is over")
	if n := f.startedBetween(off, on); n > 0 {
		t.Errorf("%d calls began while sends were off", n)
	}
	took := f.drained(pick(time.Minute, time.Minute, 5*time.Minute))
	again := query(f, pgx.RowTo[time.Time], `SELECT min(started_at) FROM send_attempts WHERE started_at > $1`, on)[0]
	d := f.check()
	var last time.Time
	began := map[attemptID]time.Time{}
	query(f, func(r pgx.CollectableRow) (none struct{}, err error) {
		var id attemptID
		var at time.Time
		err = r.Scan(&id.workflow, &id.sequence, &at)
		began[id] = at
		return none, err
	}, `SELECT workflow::text, sequence, started_at FROM send_attempts WHERE started_at IS NOT NULL`)
	for _, a := range d.arrivals {
		at, known := began[attemptID{a.ClientRef, a.Attempt}]
		if a.At.Before(on) && a.At.After(last) {
			last = a.At
		}
		if !known || at.After(off) && a.At.Before(on) {
			t.Errorf("a message arrived %s after the switch was off, whose call had begun %s after it", a.At.Sub(off), at.Sub(off))
		}
	}
	t.Logf("switched off at %d of %d sent; the last message arrived %s after the commit; %d came in meanwhile; on again, the first call began after %s and all were sent %s later",
		sent, len(d.inputs), max(0, last.Sub(off)).Round(time.Millisecond), len(late), again.Sub(on).Round(time.Millisecond), took.Round(time.Millisecond))
	if sent == 0 || sent >= accounts*each {
		t.Errorf("%d of %d were sent: that is not under load", sent, accounts*each)
	}
}
