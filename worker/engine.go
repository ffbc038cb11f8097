package worker

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/google/uuid"
	"go.opentelemetry.io/otel/trace"

	"github.com/huntaze/hybrid-orchestrator/db"
	"github.com/huntaze/hybrid-orchestrator/internal/provider/fallback"
	"github.com/huntaze/hybrid-orchestrator/internal/steplog"
	"github.com/huntaze/hybrid-orchestrator/internal/telemetry"
	"github.com/huntaze/hybrid-orchestrator/internal/workflow"
)

const (
	// groupMost bounds how many requests share a transaction: enough to make the commit's cost disappear,
	// few enough that a transaction takes milliseconds.
	groupMost = 250
	// groupTimeout is when a transaction is given up.
	groupTimeout = 30 * time.Second
	// releaseRetry is the pause after a release that failed for another reason, such as a database that is away.
	releaseRetry = 2 * time.Second
	// bypassFor is how long a process stays in bypass before it tries the limiter again.
	bypassFor = 30 * time.Second
	// otherProcessLag is how much later than a token's return a process looks that did not end the call
	// itself: whoever did has looked by then, unless it is gone.
	otherProcessLag = 300 * time.Millisecond
)

// Store is the fleet's memory, as the engine uses it.
type Store interface {
	Ingest(ctx context.Context, batch []workflow.Delivery, release bool) (db.IntakeResult, error)
	Release(ctx context.Context, requests []db.Release) ([]db.Released, error)
	Begin(ctx context.Context, attempts []db.Attempt) ([]db.Start, error)
	Finish(ctx context.Context, reports []db.Finish, tokens bool) ([]db.Finished, error)
	Apply(ctx context.Context, events []db.Apply) ([]db.Applied, error)
	Plan(ctx context.Context, steps []db.PlanStep) ([]db.PlanNext, error)
	Expand(ctx context.Context, campaign uuid.UUID, step int) (db.Expanded, error)
	Reconcile(ctx context.Context) (db.Reconciled, error)
	AdoptDatabase(ctx context.Context) (time.Time, error)
	Ping(ctx context.Context) error
}

// Engine moves workflows. Its methods are called by many jobs at once; those that wait for the database at the
// same time share a transaction.
type Engine struct {
	store   Store
	logger  *slog.Logger
	metrics *Metrics
	tracing *telemetry.Telemetry // nil: off
	now     func() time.Duration // monotonic
	paces   *paces

	begins   *group[db.Attempt, db.Start]
	finishes *group[db.Finish, db.Finished]
	releases *group[db.Release, db.Released]
	applies  *group[db.Apply, db.Applied]
	plans    *group[db.PlanStep, db.PlanNext]
	timers   *timers

	background sync.WaitGroup // looks that timers started
	lifetime   context.Context
	end        context.CancelFunc

	limiterDown fallback.Row // what to do when the limiter does not answer
	stopped     bool         // this process' environment forbids sends: others release and send

	mu         sync.Mutex
	suspicion  time.Duration // when the limiter failed last; 0: it did not
	retries    int           // that it has had since
	bypassEnds time.Duration // 0: no bypass
}

// NewEngine starts an engine on a store. The row says what happens when the limiter does not answer.
func NewEngine(store Store, logger *slog.Logger, metrics *Metrics, limiterDown fallback.Row) *Engine {
	start := time.Now()
	e := &Engine{store: store, logger: logger, metrics: metrics, now: func() time.Duration { return time.Since(start) }, paces: newPaces(), limiterDown: limiterDown}
	e.lifetime, e.end = context.WithCancel(context.Background())
	e.begins = newGroup(groupMost, 2, groupTimeout, traced(e, "begin", e.beginAll))
	e.finishes = newGroup(groupMost, 2, groupTimeout, traced(e, "finish", e.finishAll))
	e.releases = newGroup(groupMost, 2, groupTimeout, traced(e, "release", e.releaseAll))
	e.applies = newGroup(groupMost, 2, groupTimeout, traced(e, "apply", e.applyAll))
	e.plans = newGroup(groupMost, 1, groupTimeout, traced(e, "plan", e.planAll)) // its transactions lock the same rows
	e.timers = newTimers(e.now, e.look)
	return e
}

// Close ends the engine. What is being written is finished; what only waits gets jobs.ErrStopped.
func (e *Engine) Close() {
	e.end()
	e.timers.close()
	e.begins.close()
	e.finishes.close()
	e.releases.close()
	e.applies.close()
	e.plans.close()
	e.background.Wait()
}

// Begin implements jobs.Ledger.
func (e *Engine) Begin(ctx context.Context, a db.Attempt) (db.Start, error) {
	start, err := e.begins.do(ctx, a)
	tellBegin(ctx, a, start)
	return start, err
}

// Finish implements jobs.Ledger.
func (e *Engine) Finish(ctx context.Context, f db.Finish) (db.Finished, error) {
	done, err := e.finishes.do(ctx, f)
	tellFinish(ctx, f)
	if err == nil && done.Applied {
		e.metrics.outcome(f.Outcome, done)
		e.timers.set(done.UserID, done.Next)
	}
	return done, err
}

// Apply reports an event of a step other than a send.
func (e *Engine) Apply(ctx context.Context, event db.Apply) (db.Applied, error) {
	applied, err := e.applies.do(ctx, event)
	if err == nil && applied.Changed {
		e.timers.set(applied.UserID, applied.Next)
	}
	return applied, err
}

func (e *Engine) applyAll(ctx context.Context, events []db.Apply) ([]db.Applied, error) {
	begin := time.Now()
	applied, err := e.store.Apply(ctx, events)
	e.metrics.transaction("apply", len(events), begin, err)
	return applied, err
}

// Plan implements jobs.Planner.
func (e *Engine) Plan(ctx context.Context, step db.PlanStep) (db.PlanNext, error) {
	next, err := e.plans.do(ctx, step)
	if err == nil {
		tellPlan(ctx, next)
		e.metrics.plan(step, next)
		for user, in := range next.Wakes {
			e.timers.set(user, in)
		}
	}
	return next, err
}

func (e *Engine) planAll(ctx context.Context, steps []db.PlanStep) ([]db.PlanNext, error) {
	begin := time.Now()
	next, err := e.store.Plan(ctx, steps)
	e.metrics.transaction("plan", len(steps), begin, err)
	return next, err
}

func (e *Engine) beginAll(ctx context.Context, attempts []db.Attempt) ([]db.Start, error) {
	begin := time.Now()
	starts, err := e.store.Begin(ctx, attempts)
	e.metrics.transaction("begin", len(attempts), begin, err)
	if errors.Is(err, db.ErrFailover) {
		e.adopt(ctx)
	}
	return starts, err
}

func (e *Engine) finishAll(ctx context.Context, reports []db.Finish) ([]db.Finished, error) {
	begin := time.Now()
	done, err := e.store.Finish(ctx, reports, !e.bypassed())
	if errors.Is(err, db.ErrLimiterDown) {
		// The outcome must not wait for the limiter. The ledger has the tokens' return; the bucket learns it
		// from there.
		done, err = e.store.Finish(ctx, reports, false)
	}
	e.metrics.transaction("finish", len(reports), begin, err)
	return done, err
}

// Ingest implements queue.Store: it takes in a batch and lets the best of it go at once where tokens are free.
func (e *Engine) Ingest(ctx context.Context, batch []workflow.Delivery) ([]workflow.Intake, error) {
	begin := time.Now()
	ctx, span := e.tracing.StartRoot(ctx, "transaction ingest", trace.SpanKindClient, nil, transactionAttributes("ingest", len(batch))...)
	result, err := e.store.Ingest(ctx, batch, !e.bypassed())
	if errors.Is(err, db.ErrLimiterDown) || errors.Is(err, db.ErrFailover) {
		if errors.Is(err, db.ErrFailover) {
			e.adopt(ctx)
		} else {
			e.suspect(err)
		}
		result, err = e.store.Ingest(ctx, batch, false)
	}
	e.metrics.transaction("ingest", len(batch), begin, err)
	span.End(err)
	if db.Interrupted(err) {
		return nil, interrupted{err}
	}
	if err != nil {
		return nil, err
	}
	e.afterRelease(result.Released)
	counts := map[workflow.IntakeOutcome]int{}
	for i, a := range result.Answers {
		counts[a.Outcome]++
		e.metrics.intake(batch[i], a.Outcome)
		e.tellIntake(ctx, batch[i], a, begin)
	}
	e.logger.LogAttrs(ctx, slog.LevelInfo, "intake", slog.Int("received", len(batch)), slog.Int("accepted", counts[workflow.IntakeAccepted]),
		slog.Int("duplicates", counts[workflow.IntakeDuplicate]), slog.Int("quarantined", counts[workflow.IntakeQuarantined]), steplog.Seconds(steplog.Took, time.Since(begin)))
	return result.Answers, nil
}

// interrupted tells the bridge that no message is to blame.
type interrupted struct{ error }

func (i interrupted) Unwrap() error   { return i.error }
func (interrupted) Interrupted() bool { return true }

// Expand implements jobs.Expander.
func (e *Engine) Expand(ctx context.Context, campaign uuid.UUID, step int) (db.Expanded, error) {
	begin := time.Now()
	done, err := e.store.Expand(ctx, campaign, step)
	e.metrics.transaction("expand", max(done.Made, 1), begin, err)
	if err == nil {
		e.tellExpand(ctx, done, begin)
		e.afterRelease(done.Released)
	}
	return done, err
}

// Reconcile implements jobs.Reconciler.
func (e *Engine) Reconcile(ctx context.Context) (db.Reconciled, error) {
	done, err := e.store.Reconcile(ctx)
	e.metrics.reconciled(done, err) // what the other parts did is durable even if one failed
	return done, err
}

// Ping implements queue.Store.
func (e *Engine) Ping(ctx context.Context) error { return e.store.Ping(ctx) }

// adopt goes on with a database that failed over or was restored.
func (e *Engine) adopt(ctx context.Context) {
	until, err := e.store.AdoptDatabase(ctx)
	switch {
	case err != nil:
		e.logger.Error("the database failed over, and the fleet could not be frozen", "error", err)
	case !until.IsZero():
		e.logger.Error("the database failed over or was restored: nothing is sent until everything that it may have forgotten is over", "until", until)
	}
}
