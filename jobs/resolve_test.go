package jobs_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/rivertype"

	"github.com/huntaze/hybrid-orchestrator/db"
	"github.com/huntaze/hybrid-orchestrator/internal/gateway"
	"github.com/huntaze/hybrid-orchestrator/internal/steplog"
	"github.com/huntaze/hybrid-orchestrator/internal/workflow"
	"github.com/huntaze/hybrid-orchestrator/jobs"
)

type fakeDoubts struct {
	doubt db.Doubt
	open  bool
	err   error
	again error

	asked []question
}

type question struct {
	Attempt db.Attempt
	In      time.Duration
	Detail  string
}

func (d *fakeDoubts) Doubt(context.Context, db.Attempt) (db.Doubt, bool, error) {
	return d.doubt, d.open, d.err
}

func (d *fakeDoubts) AskAgain(_ context.Context, a db.Attempt, in time.Duration, detail string) error {
	d.asked = append(d.asked, question{a, in, detail})
	return d.again
}

type fakeLookUp struct {
	found gateway.LookUp
	err   error
	refs  []string
}

func (l *fakeLookUp) LookUp(_ context.Context, clientRef string) (gateway.LookUp, error) {
	l.refs = append(l.refs, clientRef)
	return l.found, l.err
}

func TestResolve(t *testing.T) {
	t.Parallel()
	gone := errors.New("connection refused")
	settled := func(outcome workflow.EventKind, messageID, reason string) []db.Finish {
		return []db.Finish{{Attempt: attempt, Fence: 77, Outcome: outcome, GatewayMessageID: messageID, Reason: reason, ResolvedBy: "look-up"}}
	}
	const onItsWay = "not accepted so far; it may still be on its way"
	for name, test := range map[string]struct {
		settled  time.Duration // since when nothing can be on its way any more
		lookUps  int
		closed   bool
		doubtErr error
		found    gateway.LookUp
		err      error
		again    error
		finish   error

		looks   int
		asked   []question
		reports []db.Finish
		want    error
	}{
		"settled meanwhile":             {closed: true},
		"the database does not answer":  {doubtErr: gone, want: gone},
		"accepted":                      {settled: time.Hour, found: gateway.LookUp{Answer: gateway.Found, MessageID: "m-9"}, looks: 1, reports: settled(workflow.EventAccepted, "m-9", "")},
		"accepted is believed at once":  {settled: -time.Hour, found: gateway.LookUp{Answer: gateway.Found, MessageID: "m-9"}, looks: 1, reports: settled(workflow.EventAccepted, "m-9", "")},
		"never accepted, long ago":      {settled: time.Hour, found: gateway.LookUp{Answer: gateway.NeverAccepted}, looks: 1, reports: settled(workflow.EventNotSent, "", "never_accepted")},
		"never accepted, just settled":  {settled: 0, found: gateway.LookUp{Answer: gateway.NeverAccepted}, looks: 1, reports: settled(workflow.EventNotSent, "", "never_accepted")},
		"never accepted, hardly":        {settled: -1, found: gateway.LookUp{Answer: gateway.NeverAccepted}, looks: 1, asked: []question{{attempt, time.Second + 1, onItsWay}}},
		"never accepted, so far":        {settled: -2 * time.Minute, found: gateway.LookUp{Answer: gateway.NeverAccepted}, looks: 1, asked: []question{{attempt, 5 * time.Second, onItsWay}}},
		"never accepted, the third":     {settled: -2 * time.Minute, lookUps: 2, found: gateway.LookUp{Answer: gateway.NeverAccepted}, looks: 1, asked: []question{{attempt, 20 * time.Second, onItsWay}}},
		"never accepted, soon settled":  {settled: -10 * time.Second, lookUps: 5, found: gateway.LookUp{Answer: gateway.NeverAccepted}, looks: 1, asked: []question{{attempt, 11 * time.Second, onItsWay}}},
		"no look-up":                    {settled: time.Hour, found: gateway.LookUp{Answer: gateway.Unsupported}, looks: 1, asked: []question{{attempt, 0, "the gateway has no look-up: an operator must decide"}}},
		"an answer of tomorrow":         {settled: time.Hour, found: gateway.LookUp{Answer: "maybe"}, looks: 1, asked: []question{{attempt, 0, "the gateway has no look-up: an operator must decide"}}},
		"the gateway does not answer":   {settled: time.Hour, err: gone, looks: 1, asked: []question{{attempt, 5 * time.Second, "look-up failed: connection refused"}}},
		"nor the second time":           {settled: time.Hour, lookUps: 1, err: gone, looks: 1, asked: []question{{attempt, 10 * time.Second, "look-up failed: connection refused"}}},
		"nor the seventh":               {settled: time.Hour, lookUps: 6, err: gone, looks: 1, asked: []question{{attempt, 5 * time.Minute, "look-up failed: connection refused"}}},
		"nor ever":                      {settled: time.Hour, lookUps: 1 << 30, err: gone, looks: 1, asked: []question{{attempt, 5 * time.Minute, "look-up failed: connection refused"}}},
		"asking again can't be written": {settled: time.Hour, err: errors.New("timeout"), again: gone, looks: 1, asked: []question{{attempt, 5 * time.Second, "look-up failed: timeout"}}, want: gone},
		"the outcome can't be written": {settled: time.Hour, found: gateway.LookUp{Answer: gateway.Found, MessageID: "m-9"}, finish: gone, looks: 1,
			reports: settled(workflow.EventAccepted, "m-9", ""), want: gone},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			doubts := &fakeDoubts{doubt: db.Doubt{Attempt: attempt, Fence: 77, UserID: "creator-7", WorkflowID: "wf-1", RecipientID: recipient, LookUps: test.lookUps, Settled: test.settled},
				open: !test.closed && test.doubtErr == nil, err: test.doubtErr, again: test.again}
			ledger := &fakeLedger{finish: func(context.Context) error { return test.finish }}
			lookUp := &fakeLookUp{found: test.found, err: test.err}
			var log bytes.Buffer
			w := jobs.NewResolveWorker(doubts, ledger, lookUp)
			ctx, line := steplog.With(t.Context(), slog.LevelInfo)
			err := w.Work(ctx, &river.Job[jobs.ResolveArgs]{JobRow: &rivertype.JobRow{}, Args: jobs.ResolveArgs{Workflow: attempt.Workflow, Sequence: attempt.Sequence}})
			if !errors.Is(err, test.want) {
				t.Errorf("error %v, want %v", err, test.want)
			}
			line.Write(ctx, slog.New(slog.NewTextHandler(&log, nil)))
			if len(lookUp.refs) != test.looks || test.looks > 0 && lookUp.refs[0] != workflowID.String() {
				t.Errorf("looked up %v, want %d times", lookUp.refs, test.looks)
			}
			if diff := cmp.Diff(test.asked, doubts.asked); diff != "" {
				t.Errorf("to ask again (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(test.reports, ledger.finished); diff != "" {
				t.Errorf("reports (-want +got):\n%s", diff)
			}
			if len(ledger.begun) > 0 || strings.Contains(log.String(), recipient) {
				t.Errorf("begun %v, log %s", ledger.begun, &log)
			}
		})
	}
}

// The pauses between look-ups double up to a cap.
func TestResolvePauses(t *testing.T) {
	t.Parallel()
	var pauses []time.Duration
	for lookUps := range 9 {
		doubts := &fakeDoubts{doubt: db.Doubt{LookUps: lookUps}, open: true}
		w := jobs.NewResolveWorker(doubts, &fakeLedger{}, &fakeLookUp{err: errors.New("timeout")})
		if err := w.Work(t.Context(), &river.Job[jobs.ResolveArgs]{JobRow: &rivertype.JobRow{}}); err != nil {
			t.Fatal(err)
		}
		pauses = append(pauses, doubts.asked[0].In)
	}
	const s = time.Second
	if diff := cmp.Diff([]time.Duration{5 * s, 10 * s, 20 * s, 40 * s, 80 * s, 160 * s, 300 * s, 300 * s, 300 * s}, pauses); diff != "" {
		t.Errorf("pauses (-want +got):\n%s", diff)
	}
}
