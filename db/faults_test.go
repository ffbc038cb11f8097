package db_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/huntaze/hybrid-orchestrator/db"
	"github.com/huntaze/hybrid-orchestrator/internal/limit"
	"github.com/huntaze/hybrid-orchestrator/internal/workflow"
)

// fault is what happens to the next commit.
type fault int32

const (
	noFault     fault = iota
	lostBefore        // the connection breaks before the commit reaches the server: nothing was written
	lostAfter         // the server commits, and the connection breaks before its answer arrives: all was written
	lostForGood       // the same, and whoever waits for it gives up: nobody asks what became of it
	noQueue           // the steps that follow can't be enqueued
)

func (f fault) String() string {
	return [...]string{"no fault", "commit lost", "answer to the commit lost", "answer to the commit lost for good", "no queue"}[f]
}

// faults breaks the connections of a pool at their commits.
type faults struct {
	next   atomic.Int32
	hit    atomic.Int32
	giveUp context.CancelFunc // for lostForGood
	then   func()             // what else happens after the commit of lostAfter; nil: nothing
}

// faultyConn is a connection to Postgres that watches for commits.
type faultyConn struct {
	net.Conn
	faults *faults
}

// commitMessage is a query in the protocol of Postgres: a letter, the length, the text.
var commitMessage = []byte("Q\x00\x00\x00\x0bcommit\x00")

func (c *faultyConn) Write(p []byte) (int, error) {
	if !bytes.Contains(p, commitMessage) {
		return c.Conn.Write(p)
	}
	next := fault(c.faults.next.Swap(int32(noFault)))
	switch next {
	case lostBefore:
		c.faults.hit.Add(1)
		_ = c.Close()
		return 0, io.ErrClosedPipe
	case lostAfter, lostForGood:
		c.faults.hit.Add(1)
		n, err := c.Conn.Write(p)
		if err == nil {
			_, _ = io.ReadFull(c.Conn, make([]byte, 5)) // the server has committed when it answers
		}
		switch {
		case next == lostForGood:
			c.faults.giveUp()
		case c.faults.then != nil:
			c.faults.then()
		}
		_ = c.Close()
		return n, err
	}
	return c.Conn.Write(p)
}

// faultyStore is a store of the fleet whose commits can be broken.
func (f *fleet) faultyStore() (*db.Store, *faults) {
	f.t.Helper()
	return f.faultyStoreWith(f.jobs)
}

func (f *fleet) faultyStoreWith(enqueuer db.Enqueuer) (*db.Store, *faults) {
	f.t.Helper()
	pool, broken := faultyPool(f.t, f.pool)
	return db.NewStore(pool, enqueuer, f.config), broken
}

// faultyPool is another pool like the given one.
func faultyPool(t testing.TB, like *db.Pool) (*db.Pool, *faults) {
	t.Helper()
	broken := &faults{}
	config := like.Config()
	dial := config.ConnConfig.DialFunc
	config.ConnConfig.DialFunc = func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := dial(ctx, network, address)
		return &faultyConn{Conn: conn, faults: broken}, err
	}
	pool, err := pgxpool.NewWithConfig(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	return pool, broken
}

// write is one of the store's transactions, in a situation in which it does something.
type write struct {
	name    string
	prepare func(f *fleet)
	do      func(ctx context.Context, f *fleet, s *db.Store) error
	jobs    bool // it enqueues
}

// parkFive parks five messages of an account.
func parkFive(f *fleet) { f.park(messages("creator", 5, inCampaign("spring"))...) }

// releaseFive has five attempts reserved.
func releaseFive(f *fleet) {
	parkFive(f)
	f.release("creator")
}

// beginFive has five calls in flight.
func beginFive(f *fleet) {
	releaseFive(f)
	for _, a := range f.attempts() {
		f.mustBegin(a)
	}
}

// finishAll reports one outcome for all attempts.
func finishAll(outcome workflow.EventKind) func(context.Context, *fleet, *db.Store) error {
	return func(ctx context.Context, f *fleet, s *db.Store) error {
		var reports []db.Finish
		for _, a := range f.attempts() {
			fence := one[int64](f, `SELECT coalesce(fence, 0) FROM send_attempts WHERE workflow = $1 AND sequence = $2`, a.Workflow, a.Sequence)
			r := db.Finish{Attempt: a, Fence: fence, Outcome: outcome, Reason: "test", LookUpIn: time.Second}
			if outcome == workflow.EventRateLimited {
				r.Rest, r.RestReason = 45*time.Second, "rate_limited"
			}
			reports = append(reports, r)
		}
		_, err := s.Finish(ctx, reports, true)
		return err
	}
}

func pauseSpring(f *fleet) {
	if _, err := f.store.SetCampaignState(f.ctx, "creator", "spring", db.CampaignPaused, "test"); err != nil {
		f.t.Fatal(err)
	}
}

var writes = []write{
	{name: "ingest", prepare: func(*fleet) {}, jobs: true, do: func(ctx context.Context, _ *fleet, s *db.Store) error {
		batch := append(messages("creator", 5), message("creator", 1), message("", 7))
		_, err := s.Ingest(ctx, batch, true)
		return err
	}},
	{name: "release", prepare: parkFive, jobs: true, do: func(ctx context.Context, _ *fleet, s *db.Store) error {
		_, err := s.Release(ctx, releaseOf("creator"))
		return err
	}},
	{name: "finish accepted", prepare: beginFive, do: finishAll(workflow.EventAccepted)},
	{name: "finish rejected", prepare: beginFive, do: finishAll(workflow.EventRejected)},
	{name: "finish not sent", prepare: beginFive, jobs: true, do: finishAll(workflow.EventNotSent)},
	{name: "finish rate limited", prepare: beginFive, jobs: true, do: finishAll(workflow.EventRateLimited)},
	{name: "finish unknown", prepare: beginFive, jobs: true, do: finishAll(workflow.EventUnknown)},
	{name: "finish withdrawn", prepare: releaseFive, jobs: true, do: finishAll(workflow.EventWithdrawn)},
	{name: "apply", jobs: true, prepare: func(f *fleet) {
		f.park(message("creator", 1, func(m *workflow.Message) { m.Content, m.Brief = "", "Say hello" }))
	}, do: func(ctx context.Context, f *fleet, s *db.Store) error {
		_, err := s.Apply(ctx, []db.Apply{{Workflow: f.workflows()[0], Event: workflow.EventTextReady}})
		return err
	}},
	{name: "pause", prepare: releaseFive, do: func(ctx context.Context, _ *fleet, s *db.Store) error {
		_, err := s.SetCampaignState(ctx, "creator", "spring", db.CampaignPaused, "test")
		return err
	}},
	{name: "set limit", prepare: beginFive, do: func(ctx context.Context, f *fleet, s *db.Store) error {
		return s.SetLimit(ctx, limit.ScopeAccount, "", rules(f.t, "3/30s"), time.Second, "test")
	}},
	{name: "reconcile expired reservations", jobs: true, prepare: func(f *fleet) {
		releaseFive(f)
		f.AdvanceClock(f.t, time.Minute)
	}, do: func(ctx context.Context, _ *fleet, s *db.Store) error { _, err := s.Reconcile(ctx); return err }},
	{name: "reconcile abandoned calls", jobs: true, prepare: func(f *fleet) {
		beginFive(f)
		f.AdvanceClock(f.t, time.Minute)
	}, do: func(ctx context.Context, _ *fleet, s *db.Store) error { _, err := s.Reconcile(ctx); return err }},
	{name: "adopt the database", prepare: func(f *fleet) {
		parkFive(f)
		f.exec(`UPDATE fleet_state SET timeline = timeline + 1`)
	}, do: func(ctx context.Context, _ *fleet, s *db.Store) error { _, err := s.AdoptDatabase(ctx); return err }},
}

// workflows lists the ids of all workflows.
func (f *fleet) workflows() []uuid.UUID {
	f.t.Helper()
	return column[uuid.UUID](f, `SELECT id FROM hybrid_workflows ORDER BY id`)
}

// outcome is what a database holds, in numbers: the same for two that went through the same.
func (f *fleet) outcome() map[string]int {
	f.t.Helper()
	counts := map[string]int{}
	for _, line := range column[string](f, `
		SELECT format('stage %s', stage) FROM hybrid_workflows
		UNION ALL SELECT format('attempt %s %s', sequence, state) FROM send_attempts
		UNION ALL SELECT format('%s slot %s held %s', scope, slot, held) FROM send_holds
		UNION ALL SELECT format('token %s busy until %s', slot, busy_until) FROM account_tokens
		UNION ALL SELECT format('job %s %s', kind, at) FROM test_job_log
		UNION ALL SELECT format('account %s wakes %s, rests %s %s', user_id, wake_at, rest_until, rest_count) FROM accounts
		UNION ALL SELECT format('campaign %s', state) FROM campaigns
		UNION ALL SELECT format('policy %s %s %s %s', scope, capacities, windows, guard) FROM limit_policies
		UNION ALL SELECT format('quarantine %s', field) FROM quarantine
		UNION ALL SELECT format('event %s', kind) FROM workflow_events
		UNION ALL SELECT format('fleet %s %s', timeline, frozen_until) FROM fleet_state`) {
		counts[line]++
	}
	return counts
}

// TestFaults breaks every write in every way, then does it again, as whoever asked for it would: what is in the
// database is the same as if it had been done once. Then, or when nobody asks again, the fleet brings every message to
// its end, none of them twice.
func TestFaults(t *testing.T) {
	t.Parallel()
	for _, w := range writes {
		t.Run(w.name, func(t *testing.T) {
			t.Parallel()
			want := newFleet(t, "10/60s", "1/60s")
			w.prepare(want)
			if err := w.do(want.ctx, want, want.store); err != nil {
				t.Fatal(err)
			}
			want.check()
			for _, broken := range []fault{lostBefore, lostAfter, lostForGood, noQueue} {
				if broken == noQueue && !w.jobs {
					continue
				}
				for _, again := range []bool{true, false} {
					f := newFleet(t, "10/60s", "1/60s")
					f.fails(w, broken)
					if again {
						if err := w.do(f.ctx, f, f.store); err != nil {
							t.Fatalf("%s, again: %v", broken, err)
						}
						if diff := cmp.Diff(want.outcome(), f.outcome()); diff != "" {
							t.Errorf("%s, and again (-once without a fault +now):\n%s", broken, diff)
						}
						f.check()
					}
					s := newSim(f, f.store)
					for _, id := range f.workflows() {
						if f.stage(id) == workflow.StageSent {
							s.received[id] = 1
						}
					}
					f.exec(`UPDATE campaigns SET state = 'running'`)
					f.exec(`UPDATE hybrid_workflows SET stage = 'failed' WHERE stage = 'planning'`)
					s.drain()
					s.checkEnd()
					if s.done.Orphaned > 0 {
						t.Errorf("%s, again %v: the reconciler found orphans: %+v", broken, again, s.done)
					}
				}
			}
		})
	}
}

// fails does a write in a situation prepared for it, with a fault, and checks that all or nothing was written, and
// that its error says so unless nobody can know.
func (f *fleet) fails(w write, broken fault) {
	f.t.Helper()
	w.prepare(f)
	before := f.outcome()
	store, connection := f.faultyStore()
	ctx, cancel := context.WithCancel(f.ctx)
	defer cancel()
	connection.giveUp = cancel
	if broken == noQueue {
		f.jobs.fails.Store(true)
	} else {
		connection.next.Store(int32(broken))
	}
	err := w.do(ctx, f, store)
	f.jobs.fails.Store(false)
	if (err == nil) != (broken == lostAfter) || broken == noQueue && !errors.Is(err, errEnqueue) || broken != noQueue && connection.hit.Load() != 1 {
		f.t.Fatalf("%s: error %v, %d connections broken", broken, err, connection.hit.Load())
	}
	f.check()
	if changed := cmp.Diff(before, f.outcome()) != ""; changed != (broken == lostAfter || broken == lostForGood) {
		f.t.Errorf("%s: changed the database: %v", broken, changed)
	}
}

// TestBeginFaults: a start whose commit may or may not have happened is never made again. If it is known, the call is made.
func TestBeginFaults(t *testing.T) {
	t.Parallel()
	for broken, again := range map[fault]db.Verdict{lostBefore: db.VerdictGo, lostAfter: db.VerdictDone, lostForGood: db.VerdictDone} {
		t.Run(broken.String(), func(t *testing.T) {
			t.Parallel()
			f := newFleet(t, "10/60s", "1/60s")
			releaseFive(f)
			store, connection := f.faultyStore()
			a := f.attempts()[0]
			connection.next.Store(int32(broken))
			ctx, cancel := context.WithCancel(f.ctx)
			defer cancel()
			connection.giveUp = cancel
			begun, err := store.Begin(ctx, []db.Attempt{a})
			if known := err == nil && begun[0].Verdict == db.VerdictGo; known != (broken == lostAfter) {
				t.Fatalf("%+v, error %v", begun, err)
			}
			if begun := f.begin(a); begun.Verdict != again {
				t.Errorf("again: %s, want %s", begun.Verdict, again)
			}
			f.check()
			s := newSim(f, f.store)
			if broken != lostForGood { // it may be calling now, and is not heard of again
				s.received[a.Workflow] = 1
			}
			s.drain()
			s.checkEnd()
			if s.done.Abandoned != 1 {
				t.Errorf("the reconciler: %+v, want the one call that nobody reported", s.done)
			}
		})
	}
}

// TestFaultsAtRandom runs a small fleet whose commits break and whose workers die all the time, until everything is
// sent: every message once.
func TestFaultsAtRandom(t *testing.T) {
	t.Parallel()
	for seed := range uint64(4) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			f := newFleet(t, "5/60s", "1/60s")
			random := rand.New(rand.NewPCG(2, seed))
			store, connection := f.faultyStore()
			s := newSim(f, store)
			s.crash = func() bool {
				switch random.IntN(12) {
				case 0:
					connection.next.Store(int32(lostBefore))
				case 1:
					connection.next.Store(int32(lostAfter))
				}
				return random.IntN(10) == 0
			}
			var all []workflow.Delivery
			for _, user := range []string{"ann", "ben"} {
				for n := range 12 {
					all = append(all, message(user, n, toRecipient(fmt.Sprintf("fan-%d", random.IntN(10)))))
				}
			}
			for len(all) > 0 { // delivered until the intake says that it has them, with some others again
				some := all[:min(len(all), 1+random.IntN(8))]
				s.crash()
				if _, err := store.Ingest(f.ctx, some, true); err == nil {
					all = all[len(some):]
				}
			}
			s.drain()
			s.checkEnd()
			if n := f.stages()[workflow.StageSent]; n != 24 {
				t.Errorf("%d sent, want 24: %v", n, f.stages())
			}
			if broken := connection.hit.Load(); broken < 3 {
				t.Errorf("only %d commits were broken: the run says little", broken)
			}
		})
	}
}
