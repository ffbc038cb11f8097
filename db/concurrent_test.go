package db_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"golang.org/x/sync/errgroup"

	"github.com/huntaze/hybrid-orchestrator/db"
	"github.com/huntaze/hybrid-orchestrator/internal/workflow"
)

// arrivalLog is a gateway that accepts everything and remembers when.
type arrivalLog struct {
	mu       sync.Mutex
	byKey    map[string][]time.Time
	received map[uuid.UUID]int
}

func (l *arrivalLog) add(id uuid.UUID, keys ...string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	l.received[id]++
	for _, key := range keys {
		l.byKey[key] = append(l.byKey[key], now)
	}
}

// most is the largest number of arrivals of one key in any window of the given length.
func (l *arrivalLog) most(window time.Duration) (most int, where string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for key, times := range l.byKey {
		slices.SortFunc(times, time.Time.Compare)
		for i, j := 0, 0; j < len(times); j++ {
			for times[j].Sub(times[i]) >= window {
				i++
			}
			if n := j - i + 1; n > most {
				most, where = n, key
			}
		}
	}
	return most, where
}

// deadlocks counts the transactions that Postgres ended for waiting in a circle, which a store does not tell.
type deadlocks struct{ atomic.Int64 }

func (d *deadlocks) TraceQueryStart(ctx context.Context, _ *pgx.Conn, _ pgx.TraceQueryStartData) context.Context {
	return ctx
}

func (d *deadlocks) TraceQueryEnd(_ context.Context, _ *pgx.Conn, data pgx.TraceQueryEndData) {
	d.note(data.Err)
}

func (d *deadlocks) TraceBatchStart(ctx context.Context, _ *pgx.Conn, _ pgx.TraceBatchStartData) context.Context {
	return ctx
}

func (d *deadlocks) TraceBatchQuery(_ context.Context, _ *pgx.Conn, data pgx.TraceBatchQueryData) {
	d.note(data.Err)
}

func (d *deadlocks) TraceBatchEnd(context.Context, *pgx.Conn, pgx.TraceBatchEndData) {}

func (d *deadlocks) note(err error) {
	var refused *pgconn.PgError
	if errors.As(err, &refused) && refused.Code == "40P01" {
		d.Add(1)
	}
}

// countDeadlocks makes the fleet's store one whose deadlocks are counted.
func (f *fleet) countDeadlocks() *deadlocks {
	f.t.Helper()
	counted := &deadlocks{}
	config := f.pool.Config()
	config.ConnConfig.Tracer = counted
	pool, err := pgxpool.NewWithConfig(f.ctx, config)
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(pool.Close)
	f.store = db.NewStore(pool, f.jobs, f.config)
	return counted
}

// TestManyAtOnce: eight sessions release the same accounts to the same recipients, with and without the buckets, in
// any order of batches, and make the calls. No token is given out twice, no limit is exceeded where the messages
// arrive, none arrives twice, and no deadlock reaches a caller.
func TestManyAtOnce(t *testing.T) {
	t.Parallel()
	const accounts, each, sessions, rounds = 12, 40, 8, 200
	const window = 150 * time.Millisecond
	f := newFleet(t, "3/150ms", "1/150ms")
	f.withoutLeases()
	f.SetClock(t, 0)
	f.config.Timing = db.Timing{Reservation: 5 * time.Second, CallTimeout: 2 * time.Second, Settle: time.Second}
	circles := f.countDeadlocks()
	for _, scope := range []string{"account", "recipient"} {
		f.exec(`UPDATE limit_policies SET guard = '5 milliseconds' WHERE scope = $1`, scope)
	}
	var users []string
	for a := range accounts {
		user := fmt.Sprintf("account-%d", a)
		users = append(users, user)
		var batch []workflow.Delivery
		for n := range each {
			batch = append(batch, message(user, n, toRecipient(fmt.Sprintf("fan-%d", (a+n)%25)), inCampaign([]string{"", "spring"}[n%2])))
		}
		f.park(batch...)
	}
	gateway := &arrivalLog{byKey: map[string][]time.Time{}, received: map[uuid.UUID]int{}}
	var released atomic.Int64
	var all errgroup.Group
	for session := range sessions {
		random := rand.New(rand.NewPCG(1, uint64(session)))
		all.Go(func() error {
			for range rounds {
				requests := make([]db.Release, 1+random.IntN(6))
				for i, a := range random.Perm(accounts)[:len(requests)] {
					requests[i] = db.Release{UserID: users[a], Bypass: random.IntN(5) == 0, Allowance: 2}
				}
				answers, err := f.store.Release(f.ctx, requests)
				if err != nil {
					return fmt.Errorf("release: %w", err)
				}
				for _, a := range answers {
					released.Add(int64(a.Count))
				}
				if err := f.makeCalls(gateway, random); err != nil {
					return err
				}
				if random.IntN(40) == 0 {
					if _, err := f.store.Reconcile(f.ctx); err != nil {
						return fmt.Errorf("reconcile: %w", err)
					}
				}
			}
			return nil
		})
	}
	if err := all.Wait(); err != nil {
		t.Fatal(err)
	}
	f.check()
	if most, where := gateway.most(window); most > 3 {
		t.Errorf("%d arrivals of %s within %s", most, where, window)
	}
	for id, n := range gateway.received {
		if n > 1 {
			t.Errorf("workflow %s arrived %d times", id, n)
		}
	}
	fans := &arrivalLog{byKey: map[string][]time.Time{}}
	for key, times := range gateway.byKey {
		if key[0] == 'f' {
			fans.byKey[key] = times
		}
	}
	if most, where := fans.most(window); most > 1 {
		t.Errorf("%d arrivals for %s within %s", most, where, window)
	}
	if n := released.Load(); n < 100 {
		t.Errorf("only %d messages were released", n)
	}
	t.Logf("%d messages released, %d transactions were tried again after a deadlock", released.Load(), circles.Load())
}

// makeCalls takes some send jobs, as one of several workers, and brings them to an end.
func (f *fleet) makeCalls(gateway *arrivalLog, random *rand.Rand) error {
	rows, err := f.pool.Query(f.ctx, `UPDATE test_job_log SET taken = true WHERE id IN
		(SELECT id FROM test_job_log WHERE kind = 'send' AND NOT taken ORDER BY id LIMIT $1 FOR UPDATE SKIP LOCKED) RETURNING workflow, sequence`, 1+random.IntN(8))
	if err != nil {
		return err
	}
	attempts, err := collectAttempts(rows)
	if err != nil || len(attempts) == 0 {
		return err
	}
	random.Shuffle(len(attempts), func(i, j int) { attempts[i], attempts[j] = attempts[j], attempts[i] })
	starts, err := f.store.Begin(f.ctx, attempts)
	if err != nil {
		return fmt.Errorf("begin: %w", err)
	}
	var reports []db.Finish
	for i, start := range starts {
		report := db.Finish{Attempt: attempts[i], Fence: start.Fence, Outcome: workflow.EventAccepted, Reason: "test"}
		switch {
		case start.Verdict == db.VerdictWithdraw:
			report.Outcome, report.Fence = workflow.EventWithdrawn, 0
		case start.Verdict == db.VerdictDone:
			return fmt.Errorf("attempt %v was begun by somebody else", attempts[i])
		case random.IntN(8) == 0:
			report.Outcome = workflow.EventWithdrawn
		case random.IntN(12) == 0:
			report.Outcome, report.Rest, report.RestReason = workflow.EventRateLimited, 20*time.Millisecond, "rate_limited"
		default:
			gateway.add(attempts[i].Workflow, start.UserID, start.RecipientID)
		}
		reports = append(reports, report)
	}
	finished, err := f.store.Finish(f.ctx, reports, random.IntN(6) > 0)
	if err != nil {
		return fmt.Errorf("finish: %w", err)
	}
	for i := range finished {
		if !finished[i].Applied {
			return fmt.Errorf("%s of %v was not applied", reports[i].Outcome, reports[i].Attempt)
		}
	}
	return nil
}

// TestLockIsEnough: the tokens of an account are never given out twice by the lock on the account alone. The
// constraint, which this test takes away, is the second guard.
func TestLockIsEnough(t *testing.T) {
	t.Parallel()
	f := newFleet(t, "20/60s", "off")
	f.exec(`ALTER TABLE send_holds DROP CONSTRAINT send_holds_strict_limit`)
	f.exec(`CREATE INDEX ON send_holds USING gist (token, held)`)
	f.park(messages("creator", 100)...)
	f.park(messages("other", 100)...)
	var all errgroup.Group
	for session := range 8 {
		all.Go(func() error {
			for range 10 {
				users := []string{"creator", "other"}
				if session%2 == 1 {
					slices.Reverse(users)
				}
				if _, err := f.store.Release(f.ctx, releaseOf(users...)); err != nil {
					return err
				}
			}
			return nil
		})
	}
	if err := all.Wait(); err != nil {
		t.Fatal(err)
	}
	f.check()
	if n := one[int](f, `SELECT count(*) FROM send_holds`); n != 40 {
		t.Errorf("%d tokens are held, want the 20 of each account", n)
	}
}

// TestOneToken: of many sessions that want the last token of a recipient for different accounts one gets it, and the
// others' messages stay parked.
func TestOneToken(t *testing.T) {
	t.Parallel()
	const sessions = 8
	f := newFleet(t, "10/60s", "1/60s")
	for round := range 10 {
		fan := fmt.Sprintf("fan-%d", round)
		var all errgroup.Group
		for session := range sessions {
			user := fmt.Sprintf("account-%d", session)
			f.park(message(user, round, toRecipient(fan)))
			all.Go(func() error {
				_, err := f.store.Release(f.ctx, releaseOf(user))
				return err
			})
		}
		if err := all.Wait(); err != nil {
			t.Fatal(err)
		}
		if n := one[int](f, `SELECT count(*) FROM send_attempts WHERE recipient_id = $1`, fan); n != 1 {
			t.Fatalf("%d messages go to %s, want 1", n, fan)
		}
	}
	f.check()
	if n := f.stages()[workflow.StageQueued]; n != 10*(sessions-1) {
		t.Errorf("%d messages are parked, want %d", n, 10*(sessions-1))
	}
}
