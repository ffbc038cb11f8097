package jobs_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5/pgconn"
	"pgregory.net/rapid"

	"github.com/huntaze/hybrid-orchestrator/db"
	"github.com/huntaze/hybrid-orchestrator/internal/gateway"
	"github.com/huntaze/hybrid-orchestrator/internal/workflow"
	"github.com/huntaze/hybrid-orchestrator/jobs"
)

// The protocol up to the call: what stops it, and what is reported then.
func TestSendStopsBeforeTheCall(t *testing.T) {
	t.Parallel()
	gone := errors.New("connection refused")
	withdrawn := func(fence int64, reason string) []db.Finish {
		return []db.Finish{{Attempt: attempt, Fence: fence, Outcome: workflow.EventWithdrawn, Reason: reason}}
	}
	for name, test := range map[string]struct {
		begin   func(context.Context) (db.Start, error)
		refuses bool // the local guard
		reports []db.Finish
		err     string
	}{
		"the ledger does not answer":         {begin: func(context.Context) (db.Start, error) { return db.Start{}, gone }, err: "connection refused"},
		"it answers something with an error": {begin: func(context.Context) (db.Start, error) { return going, gone }, err: "connection refused"},
		"it was begun before":                {begin: func(context.Context) (db.Start, error) { return db.Start{Verdict: db.VerdictDone}, nil }},
		"it must not be begun": {begin: func(context.Context) (db.Start, error) {
			return db.Start{Verdict: db.VerdictWithdraw, Reason: "campaign_paused"}, nil
		}, reports: withdrawn(0, "campaign_paused")},
		"no verdict":            {begin: func(context.Context) (db.Start, error) { return db.Start{}, nil }, err: "verdict"},
		"a verdict of tomorrow": {begin: func(context.Context) (db.Start, error) { return db.Start{Verdict: "later"}, nil }, err: `"later"`},
		"the ledger's entry is old": {begin: func(context.Context) (db.Start, error) {
			time.Sleep(2*time.Second + time.Nanosecond)
			return going, nil
		}, reports: withdrawn(77, "stale")},
		"the local guard refuses": {refuses: true, reports: []db.Finish{{Attempt: attempt, Fence: 77, Outcome: workflow.EventWithdrawn, Reason: "local_guard",
			Rest: 6 * time.Second, RestReason: "local_guard"}}}, // a rest: otherwise it would come again at once
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := &sendTest{}
				s.ledger.begin, s.guard.refuses = test.begin, test.refuses
				err := s.work(t.Context())
				if (err == nil) != (test.err == "") || err != nil && !strings.Contains(err.Error(), test.err) {
					t.Errorf("error %v, want %q", err, test.err)
				}
				if len(s.gateway.messages) > 0 {
					t.Errorf("the gateway was called: %v", s.gateway.messages)
				}
				if diff := cmp.Diff([]db.Attempt{attempt}, s.ledger.begun); diff != "" {
					t.Errorf("begun (-want +got):\n%s", diff)
				}
				if diff := cmp.Diff(test.reports, s.ledger.finished); diff != "" {
					t.Errorf("reports (-want +got):\n%s", diff)
				}
			})
		})
	}
}

func TestSendCalls(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &sendTest{}
		begun := time.Now() // the call's timeout counts from before the ledger's entry
		s.ledger.begin = func(context.Context) (db.Start, error) {
			time.Sleep(2 * time.Second) // as old as it may be
			return going, nil
		}
		if err := s.work(t.Context()); err != nil {
			t.Fatal(err)
		}
		want := gateway.Message{ClientRef: workflowID.String(), UserID: "creator-7", RecipientID: recipient, Content: content, Attempt: 3, Trace: trace, Since: begun}
		if diff := cmp.Diff([]gateway.Message{want}, s.gateway.messages); diff != "" {
			t.Errorf("messages (-want +got):\n%s", diff)
		}
		if diff := cmp.Diff([]guardQuestion{{"creator-7", 10, time.Minute}}, s.guard.asked); diff != "" {
			t.Errorf("the guard was asked (-want +got):\n%s", diff)
		}
		log := s.log.String()
		for _, part := range []string{"workflow_id=wf-1", "account=creator-7", "attempt=3", "outcome=accepted", "workflow=" + workflowID.String()} {
			if !strings.Contains(log, part) {
				t.Errorf("the log has no %s: %s", part, log)
			}
		}
		for _, secret := range []string{content, recipient} {
			if strings.Contains(log, secret) {
				t.Errorf("the log shows %q: %s", secret, log)
			}
		}
	})
}

// What each outcome of a call means: for the message, for its account and for the process' own guard.
func TestSendReports(t *testing.T) {
	t.Parallel()
	evidence := gateway.Evidence{Connected: true, BytesWritten: 512, Status: 200, Duration: 30 * time.Millisecond}
	evidenceJSON, err := json.Marshal(evidence)
	if err != nil {
		t.Fatal(err)
	}
	type meaning struct {
		outcome  workflow.EventKind
		rest     time.Duration
		lookUpIn time.Duration
		returned bool // to the guard
	}
	accepted, rejected := meaning{outcome: workflow.EventAccepted}, meaning{outcome: workflow.EventRejected}
	unreachable := meaning{outcome: workflow.EventNotSent, rest: 5 * time.Second, returned: true}
	notSent := meaning{outcome: workflow.EventNotSent, returned: true}
	unknown := meaning{outcome: workflow.EventUnknown, lookUpIn: 2 * time.Second}
	for _, test := range []struct {
		class      gateway.Class
		reason     gateway.Reason
		retryAfter time.Duration
		want       meaning
	}{
		{gateway.Accepted, gateway.None, 0, accepted},
		{gateway.Accepted, gateway.BadReply, 0, accepted},
		{gateway.Rejected, gateway.RefusedCredentials, 0, meaning{outcome: workflow.EventRejected, rest: 5 * time.Minute}},
		{gateway.Rejected, gateway.Forbidden, 0, rejected},
		{gateway.Rejected, gateway.Refused, 0, rejected},
		{gateway.RateLimited, gateway.TooManyRequests, 0, meaning{outcome: workflow.EventRateLimited, rest: 45 * time.Second}},
		{gateway.RateLimited, gateway.TooManyRequests, -time.Second, meaning{outcome: workflow.EventRateLimited, rest: 45 * time.Second}},
		{gateway.RateLimited, gateway.TooManyRequests, 7 * time.Second, meaning{outcome: workflow.EventRateLimited, rest: 7 * time.Second}},
		{gateway.RateLimited, gateway.TooManyRequests, time.Hour, meaning{outcome: workflow.EventRateLimited, rest: time.Hour}},
		{gateway.NotSent, gateway.InvalidRequest, 0, meaning{outcome: workflow.EventRejected, returned: true}}, // it will never work
		{gateway.NotSent, gateway.ConnectFailed, 0, unreachable},
		{gateway.NotSent, gateway.DNSFailed, 0, unreachable},
		{gateway.NotSent, gateway.TLSFailed, 0, unreachable},
		{gateway.NotSent, gateway.ConnectTimeout, 0, unreachable},
		{gateway.NotSent, "a reason of tomorrow", 0, unreachable},
		{gateway.NotSent, gateway.NothingWritten, 0, notSent}, // a stale connection: the gateway is there
		{gateway.NotSent, gateway.Cancelled, 0, notSent},      // ours
		{gateway.Unknown, gateway.Cancelled, 0, unknown},
		{gateway.Unknown, gateway.Timeout, 0, unknown},
		{gateway.Unknown, gateway.ConnectionReset, 0, unknown},
		{gateway.Unknown, gateway.UnexpectedEOF, 0, unknown},
		{gateway.Unknown, gateway.MalformedReply, 0, unknown},
		{gateway.Unknown, gateway.ConnectionLost, 0, unknown},
		{gateway.Unknown, gateway.ServerError, 0, unknown},
		{gateway.Unknown, gateway.Redirect, 0, unknown},
		{gateway.Unknown, gateway.AmbiguousStatus, 0, unknown},
		{"a class of tomorrow", "", 0, unknown},
		{"", "", 0, unknown},
	} {
		t.Run(fmt.Sprintf("%s %s %s", test.class, test.reason, test.retryAfter), func(t *testing.T) {
			t.Parallel()
			s := &sendTest{}
			s.gateway.send = func(context.Context) gateway.Outcome {
				return gateway.Outcome{Class: test.class, Reason: test.reason, RetryAfter: test.retryAfter, MessageID: "m-1", Status: 418, Detail: "one line", Evidence: evidence}
			}
			if err := s.work(t.Context()); err != nil {
				t.Fatal(err)
			}
			want := db.Finish{Attempt: attempt, Fence: 77, Outcome: test.want.outcome, Reason: string(test.reason), Detail: "one line", Status: 418,
				Evidence: evidenceJSON, GatewayMessageID: "m-1", Rest: test.want.rest, LookUpIn: test.want.lookUpIn}
			if want.Rest > 0 {
				want.RestReason = string(test.reason)
			}
			if diff := cmp.Diff([]db.Finish{want}, s.ledger.finished); diff != "" {
				t.Errorf("reports (-want +got):\n%s", diff)
			}
			if len(s.gateway.messages) != 1 {
				t.Errorf("%d calls", len(s.gateway.messages))
			}
			if got := len(s.guard.returned) > 0; got != test.want.returned || got && s.guard.returned[0] != "creator-7" {
				t.Errorf("returned to the guard: %v, want %v", s.guard.returned, test.want.returned)
			}
		})
	}
}

// The outcome of a call is known to nobody else: it is written down however long the database is away.
func TestSendWritesTheOutcomeDown(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &sendTest{}
		failures := 0
		s.ledger.finish = func(context.Context) error {
			if failures++; failures <= 10 {
				return fmt.Errorf("transaction: %w", &pgconn.PgError{Code: "57P01", Message: "terminating connection"})
			}
			return nil
		}
		if err := s.work(t.Context()); err != nil {
			t.Fatal(err)
		}
		if len(s.gateway.messages) != 1 {
			t.Errorf("%d calls", len(s.gateway.messages))
		}
		var pauses []time.Duration
		for i := 1; i < len(s.ledger.times); i++ {
			pauses = append(pauses, s.ledger.times[i].Sub(s.ledger.times[i-1]))
			if diff := cmp.Diff(s.ledger.finished[0], s.ledger.finished[i]); diff != "" {
				t.Errorf("try %d reports something else (-first +this):\n%s", i, diff)
			}
		}
		const ms, s5 = time.Millisecond, 5 * time.Second
		if diff := cmp.Diff([]time.Duration{100 * ms, 200 * ms, 400 * ms, 800 * ms, 1600 * ms, 3200 * ms, s5, s5, s5, s5}, pauses); diff != "" {
			t.Errorf("pauses (-want +got):\n%s", diff)
		}
		log := s.log.String()
		if strings.Count(log, "level=ERROR") != 10 || !strings.Contains(log, "fence=77") || !strings.Contains(log, "gateway_message_id=m-1") {
			t.Errorf("the log must have what a person needs to write it down: %s", log)
		}
		if strings.Contains(log, content) || strings.Contains(log, recipient) {
			t.Errorf("the log shows the message: %s", log)
		}
	})
}

// Some answers are final: trying again would keep a worker busy for ever.
func TestSendGivesUpOnAFinalAnswer(t *testing.T) {
	t.Parallel()
	for name, final := range map[string]error{
		"the worker ends":           jobs.ErrStopped,
		"the database refuses":      fmt.Errorf("transaction: %w", &pgconn.PgError{Code: "23514"}),
		"the workflow has moved on": fmt.Errorf("transaction: %w", workflow.ErrNotApplicable),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := &sendTest{}
				s.ledger.finish = func(context.Context) error {
					if len(s.ledger.finished) > 2 {
						return nil
					}
					return final
				}
				err := s.work(t.Context())
				if !errors.Is(err, final) || !strings.Contains(err.Error(), "outcome accepted of "+workflowID.String()+"/3") {
					t.Errorf("error %v", err)
				}
				if len(s.ledger.finished) != 1 || len(s.gateway.messages) != 1 {
					t.Errorf("%d reports, %d calls", len(s.ledger.finished), len(s.gateway.messages))
				}
			})
		})
	}
}

func TestSendIsNotBegunByAWorkerThatStops(t *testing.T) {
	t.Parallel()
	s := &sendTest{}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.work(ctx); !errors.Is(err, context.Canceled) { // River gives it to another worker at once
		t.Errorf("error %v", err)
	}
	if len(s.ledger.begun)+len(s.ledger.finished)+len(s.gateway.messages) > 0 {
		t.Error("something was begun")
	}
}

type key struct{}

// A shutdown interrupts nothing that has begun: neither the ledger's entry nor the call nor the report.
func TestSendOutlastsAShutdown(t *testing.T) {
	t.Parallel()
	for _, moment := range []string{"begin", "call", "report"} {
		t.Run(moment, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancel(context.WithValue(t.Context(), key{}, "of River"))
				defer cancel()
				s := &sendTest{}
				look := func(where string, ctx context.Context) {
					if where == moment {
						cancel()
						synctest.Wait()
					}
					if _, limited := ctx.Deadline(); ctx.Err() != nil || limited {
						t.Errorf("%s: the context has ended: %v", where, ctx.Err())
					}
					if ctx.Value(key{}) != "of River" {
						t.Errorf("%s: the context lost its values", where)
					}
				}
				s.ledger.begin = func(ctx context.Context) (db.Start, error) { look("begin", ctx); return going, nil }
				s.gateway.send = func(ctx context.Context) gateway.Outcome {
					look("call", ctx)
					return gateway.Outcome{Class: gateway.Accepted, MessageID: "m-1"}
				}
				s.ledger.finish = func(ctx context.Context) error { look("report", ctx); return nil }
				if err := s.work(ctx); err != nil {
					t.Errorf("error %v", err)
				}
				if len(s.ledger.finished) != 1 || s.ledger.finished[0].Outcome != workflow.EventAccepted || len(s.gateway.messages) != 1 {
					t.Errorf("reports %v, %d calls", s.ledger.finished, len(s.gateway.messages))
				}
			})
		})
	}
}

// A job may be run again after any ending: by River's rescue, an operator, two workers. The gateway hears of an
// attempt once at most.
func TestSendRunAgainNeverCallsAgain(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		s := &sendTest{}
		state := "reserved" // the ledger's row
		s.ledger.begin = func(context.Context) (db.Start, error) {
			if rapid.IntRange(0, 3).Draw(t, "begin") == 0 {
				return db.Start{}, errors.New("lost before the commit")
			}
			if state != "reserved" {
				return db.Start{Verdict: db.VerdictDone}, nil
			}
			state = "in_flight"
			if rapid.IntRange(0, 3).Draw(t, "after begin") == 0 {
				return db.Start{}, errors.New("lost after the commit")
			}
			return going, nil
		}
		s.ledger.finish = func(context.Context) error {
			lost := rapid.SampledFrom([]string{"no", "before the commit", "after the commit"}).Draw(t, "finish lost")
			if lost != "before the commit" {
				state = "settled"
			}
			if lost != "no" {
				return jobs.ErrStopped
			}
			return nil
		}
		for range rapid.IntRange(1, 6).Draw(t, "runs") {
			_ = s.work(context.Background())
		}
		if len(s.gateway.messages) > 1 {
			t.Fatalf("%d calls of one attempt", len(s.gateway.messages))
		}
	})
}

func TestSendTimeout(t *testing.T) {
	t.Parallel()
	if got := (&sendTest{}).worker().Timeout(sendJob()); got != 45*time.Second {
		t.Errorf("%s", got)
	}
}
