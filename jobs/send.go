package jobs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/riverqueue/river"

	"github.com/huntaze/hybrid-orchestrator/db"
	"github.com/huntaze/hybrid-orchestrator/internal/gateway"
	"github.com/huntaze/hybrid-orchestrator/internal/steplog"
	"github.com/huntaze/hybrid-orchestrator/internal/workflow"
)

const (
	// freshFor is how old the ledger's entry may be when the call starts, by the monotonic clock: a process
	// that was stopped in between must not send into a window that it no longer knows.
	freshFor = 2 * time.Second
	// sendTimeout is when River takes a send for stuck. The call itself has a shorter deadline.
	sendTimeout = 45 * time.Second
	// firstLookUp is how soon the gateway is asked about a send whose outcome is unknown.
	firstLookUp = 2 * time.Second
	// unreachableRest is the first rest of an account whose gateway can't be reached; it doubles up to a minute.
	unreachableRest = 5 * time.Second
	// credentialsRest is the rest of an account after the gateway refused our token: an operator must act.
	credentialsRest = 5 * time.Minute
	// finishRetryMost is the longest pause between tries to write down an outcome.
	finishRetryMost = 5 * time.Second
	// guardRefused is the reason of what the process' own limit took back.
	guardRefused = "local_guard"
)

// Ledger records sends.
type Ledger interface {
	Begin(ctx context.Context, a db.Attempt) (db.Start, error)
	Finish(ctx context.Context, f db.Finish) (db.Finished, error)
}

// Gateway sends one message once.
type Gateway interface {
	Send(ctx context.Context, m gateway.Message) gateway.Outcome
}

// Guard is the process' own limit, a second pair of eyes on the shared one.
type Guard interface {
	// Allow says whether one more call may start. Capacity 0 means no limit.
	Allow(userID string, capacity int, window time.Duration) bool
	// Return takes back an Allow whose call never left.
	Return(userID string)
}

// SendWorker makes one attempt by the send protocol: (A) the ledger says in flight, (B) that is still fresh,
// (C) one call, (D) its class, (E) the outcome is durable. A job that is run again stops at (A).
type SendWorker struct {
	river.WorkerDefaults[SendArgs]
	ledger           Ledger
	gateway          Gateway
	guard            Guard
	rateLimitedDelay time.Duration
	logger           *slog.Logger
	now              func() time.Time
}

// NewSendWorker returns the worker of the send step. The delay is the rest of an account after a 429 that
// does not say how long.
func NewSendWorker(l Ledger, g Gateway, guard Guard, rateLimitedDelay time.Duration, logger *slog.Logger, now func() time.Time) *SendWorker {
	return &SendWorker{ledger: l, gateway: g, guard: guard, rateLimitedDelay: rateLimitedDelay, logger: logger, now: now}
}

// Timeout implements river.Worker.
func (w *SendWorker) Timeout(*river.Job[SendArgs]) time.Duration { return sendTimeout }

// Work implements river.Worker.
func (w *SendWorker) Work(ctx context.Context, job *river.Job[SendArgs]) error {
	attempt := db.Attempt{Workflow: job.Args.Workflow, Sequence: job.Args.Sequence}
	tellAttempt(ctx, attempt)
	if err := ctx.Err(); err != nil {
		return err // stopping: nothing has begun, another worker takes it
	}
	// From here on a shutdown no longer interrupts: what was begun is brought to its end.
	ctx = context.WithoutCancel(ctx)
	before := w.now()
	start, err := w.ledger.Begin(ctx, attempt) // (A)
	if err != nil {
		return err // if it was committed all the same, the rerun finds it in flight and does not call
	}
	steplog.Set(ctx, slog.String(steplog.ID, start.WorkflowID), slog.String(steplog.Account, start.UserID), slog.String(steplog.Campaign, start.CampaignID))
	switch start.Verdict {
	case db.VerdictDone:
		steplog.Set(ctx, slog.String(steplog.Outcome, "done")) // by a run before this one
		return nil
	case db.VerdictWithdraw:
		return w.finish(ctx, db.Finish{Attempt: attempt, Outcome: workflow.EventWithdrawn, Reason: start.Reason})
	case db.VerdictGo:
	default:
		return fmt.Errorf("the ledger's verdict %q on %s/%d is unknown", start.Verdict, attempt.Workflow, attempt.Sequence)
	}
	if withdrawn, ok := w.mayCall(attempt, start, w.now().Sub(before)); !ok { // (B)
		return w.finish(ctx, withdrawn)
	}
	outcome := w.gateway.Send(ctx, gateway.Message{ // (C)
		ClientRef: attempt.Workflow.String(), UserID: start.UserID, RecipientID: start.RecipientID,
		Content: start.Content, Attempt: start.Attempt, Trace: start.Trace, Since: before,
	})
	report := w.report(attempt, start.Fence, outcome) // (D)
	if outcome.Class == gateway.NotSent {
		w.guard.Return(start.UserID)
	}
	return w.finish(ctx, report) // (E)
}

// mayCall is the last check before the call; it returns the report of an attempt that is taken back instead.
func (w *SendWorker) mayCall(attempt db.Attempt, start db.Start, age time.Duration) (withdrawn db.Finish, ok bool) {
	withdrawn = db.Finish{Attempt: attempt, Fence: start.Fence, Outcome: workflow.EventWithdrawn}
	switch {
	case age > freshFor:
		withdrawn.Reason = "stale"
	case !w.guard.Allow(start.UserID, start.Capacity, start.Window):
		// The shared limit and ours disagree, as after a jump of the database's clock. The token returns at once;
		// without a rest the message would be released, refused and withdrawn again and again until we agree.
		withdrawn.Reason, withdrawn.RestReason = guardRefused, guardRefused
		withdrawn.Rest = start.Window / time.Duration(max(start.Capacity, 1))
	default:
		return db.Finish{}, true
	}
	return withdrawn, false
}

// report says what an outcome means for the message, its tokens and its account.
func (w *SendWorker) report(attempt db.Attempt, fence int64, o gateway.Outcome) db.Finish {
	evidence, _ := json.Marshal(o.Evidence)
	f := db.Finish{Attempt: attempt, Fence: fence, Reason: string(o.Reason), Detail: o.Detail, Status: o.Status, Evidence: evidence, GatewayMessageID: o.MessageID}
	switch o.Class {
	case gateway.Accepted:
		f.Outcome = workflow.EventAccepted
	case gateway.Rejected:
		f.Outcome = workflow.EventRejected
		if o.Reason == gateway.RefusedCredentials {
			f.Rest, f.RestReason = credentialsRest, string(o.Reason)
		}
	case gateway.RateLimited:
		f.Outcome = workflow.EventRateLimited
		f.Rest, f.RestReason = o.RetryAfter, string(o.Reason)
		if f.Rest <= 0 {
			f.Rest = w.rateLimitedDelay
		}
	case gateway.NotSent:
		switch o.Reason {
		case gateway.InvalidRequest: // it will never be a request, however often it is tried
			f.Outcome = workflow.EventRejected
		case gateway.NothingWritten, gateway.Cancelled: // a stale connection, our own end: nothing wrong with the gateway
			f.Outcome = workflow.EventNotSent
		default:
			f.Outcome = workflow.EventNotSent
			f.Rest, f.RestReason = unreachableRest, string(o.Reason)
		}
	default:
		f.Outcome, f.LookUpIn = workflow.EventUnknown, firstLookUp
	}
	return f
}

// finish writes an outcome down, for as long as it takes: it is the only one who knows it.
func (w *SendWorker) finish(ctx context.Context, f db.Finish) error {
	tellFinish(ctx, f)
	for pause := 100 * time.Millisecond; ; pause = min(2*pause, finishRetryMost) {
		_, err := w.ledger.Finish(ctx, f)
		if err == nil {
			return nil
		}
		if errors.Is(err, ErrStopped) || errors.Is(err, workflow.ErrNotApplicable) || db.Refused(err) {
			return fmt.Errorf("outcome %s of %s/%d could not be written: %w", f.Outcome, f.Workflow, f.Sequence, err)
		}
		w.logger.Error("an outcome is not yet durable", "workflow", f.Workflow, "attempt", f.Sequence, "fence", f.Fence, "outcome", f.Outcome,
			"gateway_message_id", f.GatewayMessageID, "error", err)
		time.Sleep(pause)
	}
}

// ErrStopped says that the process gave up on a write because it must end now.
var ErrStopped = errors.New("the worker stopped")
