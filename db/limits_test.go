package db_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sync/errgroup"

	"github.com/huntaze/hybrid-orchestrator/db"
	"github.com/huntaze/hybrid-orchestrator/internal/limit"
	"github.com/huntaze/hybrid-orchestrator/internal/workflow"
)

func (f *fleet) setLimit(scope limit.Scope, userID, text string) {
	f.t.Helper()
	if err := f.store.SetLimit(f.ctx, scope, userID, rules(f.t, text), -time.Second, "test"); err != nil {
		f.t.Fatal(err)
	}
}

// sendAll releases what may go and brings it to its end at once. It returns how much that was.
func (f *fleet) sendAll(userID string) int {
	f.t.Helper()
	before := len(f.attempts())
	f.release(userID)
	all := f.attempts()[before:]
	for _, a := range all {
		f.send(a, workflow.EventAccepted)
	}
	return len(all)
}

// TestSeedLimits: the first process writes what its environment says; from then on the database says it.
func TestSeedLimits(t *testing.T) {
	t.Parallel()
	f := newFleet(t, "10/60s", "1/60s,10/24h")
	got, err := f.store.SeedLimits(f.ctx, rules(t, "99/1s"), rules(t, "off"), 7*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	want := []db.LimitPolicy{
		{Scope: limit.ScopeAccount, Rules: rules(t, "10/60s"), Guard: guard},
		{Scope: limit.ScopeRecipient, Rules: rules(t, "1/60s,10/24h"), Guard: guard},
	}
	for i := range got {
		if got[i].ChangedBy == "" || !got[i].ChangedAt.Equal(start) {
			t.Errorf("changed by %q at %v", got[i].ChangedBy, got[i].ChangedAt)
		}
		got[i].ChangedBy, got[i].ChangedAt = "", time.Time{}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("a second process with another environment (-want +got):\n%s", diff)
	}
	f.park(messages("creator", 20)...)
	if n := f.sendAll("creator"); n != 10 {
		t.Errorf("%d go, want the 10 of the database", n)
	}
}

// TestSeedLimitsAtOnce: processes with different environments start at once on a new database; all obey the same.
func TestSeedLimitsAtOnce(t *testing.T) {
	t.Parallel()
	f := newFleet(t, "10/60s", "off")
	f.exec(`DELETE FROM limit_policies`)
	answers := make([][]db.LimitPolicy, 8)
	var all errgroup.Group
	for i := range answers {
		all.Go(func() (err error) {
			answers[i], err = f.store.SeedLimits(f.ctx, limit.Rules{{Capacity: i + 1, Window: time.Minute}}, limit.Rules{}, guard)
			return err
		})
	}
	if err := all.Wait(); err != nil {
		t.Fatal(err)
	}
	for i := range answers {
		if diff := cmp.Diff(answers[0], answers[i]); diff != "" {
			t.Errorf("process %d sees other limits than process 0:\n%s", i, diff)
		}
	}
}

// TestSetLimit: how many messages go, at which time, when the rules change while tokens are in use.
func TestSetLimit(t *testing.T) {
	t.Parallel()
	type step struct {
		at   time.Duration // since the start
		set  string        // the default rules of accounts from now on
		own  string        // the account's own rules from now on; "clear": none any more
		want int           // how many go now
	}
	const minute = time.Minute + guard
	for _, test := range []struct {
		name, first string
		steps       []step
	}{
		{"lowered: nothing until the surplus has returned", "5/60s", []step{{want: 5}, {at: time.Second, set: "2/60s"}, {at: minute - 1, want: 0}, {at: minute, want: 2}, {at: 2 * minute, want: 2}}},
		{"lowered while tokens return one by one", "1/60s", []step{
			{want: 1}, {at: 20 * time.Second, set: "2/60s", want: 1}, {at: 40 * time.Second, set: "3/60s", want: 1}, {at: 50 * time.Second, set: "1/60s"},
			{at: minute, want: 0}, {at: minute + 20*time.Second, want: 0}, {at: minute + 40*time.Second - time.Microsecond, want: 0}, {at: minute + 40*time.Second, want: 1}}},
		{"raised: the new tokens at once", "2/60s", []step{{want: 2}, {at: time.Second, set: "5/60s", want: 3}, {at: minute, want: 2}, {at: minute + time.Second, want: 3}}},
		{"raised and lowered: the sum is what was allowed", "2/60s", []step{{want: 2}, {at: time.Second, set: "4/60s", want: 2}, {at: 2 * time.Second, set: "2/60s", want: 0},
			{at: minute, want: 0}, {at: minute + time.Second, want: 2}}},
		{"a longer window: also for what was sent before", "2/10s", []step{{want: 2}, {at: time.Second, set: "2/60s"}, {at: 11 * time.Second, want: 0}, {at: minute, want: 2}}},
		{"a shorter window: also for what was sent before", "2/60s", []step{{want: 2}, {at: time.Second, set: "2/10s"}, {at: 10 * time.Second, want: 0}, {at: 10*time.Second + guard, want: 2}}},
		{"off", "2/60s", []step{{want: 2}, {at: time.Second, set: "off", want: 28}}},
		{"on again", "off", []step{{set: "2/60s", want: 2}, {at: time.Second, set: "3/60s", want: 1}, {at: minute, want: 2}}},
		{"a further rule", "2/10s", []step{{want: 2}, {at: time.Second, set: "2/10s,3/60s"}, {at: 11 * time.Second, want: 2}, {at: 22 * time.Second, want: 1}, {at: 33 * time.Second, want: 0}}},
		{"both rules", "2/10s,3/60s", []step{{want: 2}, {at: 10*time.Second + guard, want: 1}, {at: 30 * time.Second, want: 0}, {at: minute, want: 2}, {at: minute + 11*time.Second, want: 1}}},
		{"a rule less", "2/10s,3/60s", []step{{want: 2}, {at: 11 * time.Second, want: 1}, {at: 30 * time.Second, set: "2/10s", want: 2}}},
		{"of its own", "2/60s", []step{{want: 2}, {at: time.Second, own: "4/60s", want: 2}, {at: 2 * time.Second, set: "9/60s", want: 0}, {at: 3 * time.Second, own: "clear", want: 5}}},
		{"none of its own", "2/60s", []step{{own: "off", want: 30}}},
		{"a day: every token is back after a day", "2/24h", []step{{want: 2}, {at: 24*time.Hour + guard - 1, want: 0}, {at: 24*time.Hour + guard, want: 2}}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			f := newFleet(t, test.first, "off")
			f.park(messages("creator", 30)...)
			now := time.Duration(0)
			for i, s := range test.steps {
				f.AdvanceClock(t, s.at.Truncate(time.Microsecond)-now)
				now = s.at.Truncate(time.Microsecond)
				if s.set != "" {
					f.setLimit(limit.ScopeAccount, "", s.set)
				}
				switch s.own {
				case "":
				case "clear":
					if err := f.store.ClearLimit(f.ctx, limit.ScopeAccount, "creator"); err != nil {
						t.Fatal(err)
					}
				default:
					f.setLimit(limit.ScopeAccount, "creator", s.own)
				}
				if n := f.sendAll("creator"); n != s.want {
					t.Errorf("step %d, after %s: %d go, want %d", i, s.at, n, s.want)
				}
				f.check()
			}
		})
	}
}

// TestSetLimitBindsTheLedger: a worker that goes by the ledger alone obeys the new rules, too, whatever the state of the
// calls that hold the tokens.
func TestSetLimitBindsTheLedger(t *testing.T) {
	t.Parallel()
	f := newFleet(t, "4/10s", "off")
	f.ingest(true, messages("creator", 4)...)
	all := f.attempts()
	f.send(all[0], workflow.EventAccepted)
	f.finish(db.Finish{Attempt: all[1], Fence: f.mustBegin(all[1]), Outcome: workflow.EventUnknown, LookUpIn: time.Second})
	f.mustBegin(all[2])
	f.setLimit(limit.ScopeAccount, "", "4/600s")
	got := column[string](f, `SELECT format('%s until %s', a.state, upper(h.held) - $1) FROM send_holds h JOIN send_attempts a USING (workflow, sequence) ORDER BY slot`, start)
	want := []string{
		"accepted until 00:10:00.5",
		"unknown until 00:12:20.5",   // its deadline, what may hold the request, the window
		"in_flight until 00:12:50.5", // as if it began at the last moment
		"reserved until 00:12:50.5",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	f.park(messages("creator", 10)...)
	f.AdvanceClock(t, 5*time.Minute)
	if r := f.releaseBy(db.Release{UserID: "creator", Bypass: true, Allowance: 10}); r.Count != 0 {
		t.Errorf("%d go by the ledger alone", r.Count)
	}
}

// TestSetLimitKeepsTheGuard unless it is told another.
func TestSetLimitKeepsTheGuard(t *testing.T) {
	t.Parallel()
	f := newFleet(t, "10/60s", "off")
	for _, test := range []struct {
		userID      string
		guard, want time.Duration
	}{{"", -1, guard}, {"", -time.Second, guard}, {"creator", -1, guard}, {"creator", 0, 0}, {"creator", -1, 0}, {"", 2 * time.Second, 2 * time.Second}, {"new", -1, 2 * time.Second}, {"creator", -1, 0}} {
		if err := f.store.SetLimit(f.ctx, limit.ScopeAccount, test.userID, rules(t, "5/60s"), test.guard, "test"); err != nil {
			t.Fatal(err)
		}
		if got := one[time.Duration](f, `SELECT guard FROM limit_policies WHERE scope = 'account' AND user_id = $1`, test.userID); got != test.want {
			t.Errorf("guard of %q after %s: %s, want %s", test.userID, test.guard, got, test.want)
		}
	}
	if err := f.store.ClearLimit(f.ctx, limit.ScopeAccount, ""); err == nil {
		t.Error("the default can be removed")
	}
}

// TestSetLimitWhileReleasing: a release that runs while the rules change goes by the old or by the new ones.
func TestSetLimitWhileReleasing(t *testing.T) {
	t.Parallel()
	f := newFleet(t, "2/60s", "off")
	for round := range 20 {
		user := fmt.Sprintf("account-%d", round)
		f.park(messages(user, 10)...)
		var during []db.Released
		var both errgroup.Group
		both.Go(func() (err error) { during, err = f.store.Release(f.ctx, releaseOf(user)); return err })
		both.Go(func() error {
			return f.store.SetLimit(f.ctx, limit.ScopeAccount, user, limit.Rules{{Capacity: 5, Window: time.Minute}}, -1, "test")
		})
		if err := both.Wait(); err != nil {
			t.Fatal(err)
		}
		if n := during[0].Count; n != 2 && n != 5 {
			t.Errorf("%d go while the limit changes from 2 to 5", n)
		}
		if after := f.release(user); during[0].Count+after.Count != 5 {
			t.Errorf("%d go by a limit of 5", during[0].Count+after.Count)
		}
	}
	f.check()
}

// TestSetLimitWaitsForReleases: a change of the rules waits for the releases that go by the old ones, so that it finds
// their tokens and gives them the time that the new rules say.
func TestSetLimitWaitsForReleases(t *testing.T) {
	t.Parallel()
	f := newFleet(t, "2/60s", "off")
	f.park(messages("creator", 2)...)
	changed := make(chan error, 1)
	hook := func() { // the release has read the rules and is about to commit
		f.jobs.before.Store(nil)
		go func() {
			changed <- f.store.SetLimit(f.ctx, limit.ScopeAccount, "", limit.Rules{{Capacity: 2, Window: time.Hour}}, -1, "test")
		}()
		select {
		case err := <-changed:
			t.Errorf("the rules changed during a release: %v", err)
			changed <- err
		case <-time.After(200 * time.Millisecond):
		}
	}
	f.jobs.before.Store(&hook)
	if r := f.release("creator"); r.Count != 2 {
		t.Fatalf("%d go, want 2", r.Count)
	}
	if err := <-changed; err != nil {
		t.Fatal(err)
	}
	for _, length := range column[time.Duration](f, `SELECT upper(held) - lower(held) FROM send_holds`) {
		if want := hold + time.Hour + guard; length != want {
			t.Errorf("a token is held for %s, want %s", length, want)
		}
	}
}

// TestSetLimitOfRecipients: messages that were put off by the old rules go by the new ones.
func TestSetLimitOfRecipients(t *testing.T) {
	t.Parallel()
	f := newFleet(t, "100/60s", "1/60s,2/24h")
	f.park(messages("creator", 5, toRecipient("fan"))...)
	f.park(message("creator", 9, toRecipient("fan"), notBefore(start.Add(time.Hour))))
	if n := f.sendAll("creator"); n != 1 {
		t.Fatalf("%d go, want 1", n)
	}
	f.AdvanceClock(t, time.Minute+guard)
	if n := f.sendAll("creator"); n != 1 {
		t.Fatalf("%d go, want 1", n)
	}
	f.AdvanceClock(t, time.Minute+guard)
	if n := f.sendAll("creator"); n != 0 {
		t.Fatalf("%d go, want none until tomorrow", n)
	}
	f.setLimit(limit.ScopeRecipient, "", "4/60s")
	if n := f.sendAll("creator"); n != 3 {
		t.Errorf("%d go after the limit was loosened, want the 3 that are due", n)
	}
	f.AdvanceClock(t, time.Hour)
	if n := f.sendAll("creator"); n != 1 {
		t.Errorf("%d go when the last is due, want 1", n)
	}
	f.check()
}

// TestRecipientAcrossAccounts: a recipient's limit counts what all accounts send.
func TestRecipientAcrossAccounts(t *testing.T) {
	t.Parallel()
	f := newFleet(t, "10/60s", "2/60s")
	users := []string{"ann", "ben", "cyd"}
	for _, user := range users {
		f.park(messages(user, 2, toRecipient("fan"))...)
	}
	released, err := f.store.Release(f.ctx, releaseOf(users...))
	if err != nil {
		t.Fatal(err)
	}
	total := 0
	for _, r := range released {
		total += r.Count
	}
	if total != 2 {
		t.Errorf("%d go to one recipient in one transaction, want 2", total)
	}
	f.park(message("dan", 1, toRecipient("fan")), message("dan", 2))
	if r := f.release("dan"); r.Count != 1 || !r.Waiting {
		t.Errorf("%+v, want the one to another recipient", r)
	}
	f.check()
}

// TestRecipientsWithRulesOfTheirOwn: accounts that allow a recipient different things do not share a decision, and the
// stricter one holds for its own messages.
func TestRecipientsWithRulesOfTheirOwn(t *testing.T) {
	t.Parallel()
	f := newFleet(t, "10/60s", "1/60s")
	f.setLimit(limit.ScopeRecipient, "ben", "3/60s")
	f.park(messages("ann", 2, toRecipient("fan"))...)
	f.park(messages("ben", 4, toRecipient("fan"))...)
	for range 3 { // the other's turn is in the next transaction
		if _, err := f.store.Release(f.ctx, releaseOf("ann", "ben")); err != nil {
			t.Fatal(err)
		}
	}
	got := map[string]int{}
	for _, a := range f.attempts() {
		got[one[string](f, `SELECT user_id FROM hybrid_workflows WHERE id = $1`, a.Workflow)]++
	}
	if diff := cmp.Diff(map[string]int{"ann": 1, "ben": 2}, got); diff != "" {
		t.Errorf("who sends to the recipient (-want +got):\n%s", diff)
	}
	f.check()
}
