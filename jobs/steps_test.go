package jobs_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/rivertype"

	"github.com/huntaze/hybrid-orchestrator/db"
	"github.com/huntaze/hybrid-orchestrator/internal/workflow"
	"github.com/huntaze/hybrid-orchestrator/jobs"
)

type fakeInserter struct {
	calls  int
	params []river.InsertManyParams
	err    error
}

func (f *fakeInserter) InsertManyFastTx(_ context.Context, _ pgx.Tx, params []river.InsertManyParams) (int, error) {
	f.calls++
	f.params = params
	return len(params), f.err
}

func TestEnqueueEveryStep(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC)
	inserter := &fakeInserter{}
	err := jobs.NewEnqueuer(inserter).EnqueueTx(t.Context(), nil, []db.Job{
		{Kind: workflow.StepSend, Workflow: workflowID, Sequence: 3, UserID: "creator-7", Priority: workflow.PriorityUrgent},
		{Kind: workflow.StepSend, Workflow: workflowID, Sequence: 4},
		{Kind: workflow.StepRelease, UserID: "creator-7", At: at},
		{Kind: workflow.StepRelease, UserID: "creator-8", At: at, Due: true},
		{Kind: workflow.StepResolve, Workflow: workflowID, Sequence: 3, At: at},
		{Kind: workflow.StepResolve, Workflow: workflowID, Sequence: 5},
	})
	if err != nil {
		t.Fatal(err)
	}
	want := []river.InsertManyParams{
		{Args: jobs.SendArgs{Workflow: workflowID, Sequence: 3}, InsertOpts: &river.InsertOpts{Priority: 1}},
		{Args: jobs.SendArgs{Workflow: workflowID, Sequence: 4}},
		{Args: jobs.ReleaseArgs{UserID: "creator-7", WakeAt: at}, InsertOpts: &river.InsertOpts{ScheduledAt: at}},
		{Args: jobs.ReleaseArgs{UserID: "creator-8", WakeAt: at}},
		{Args: jobs.ResolveArgs{Workflow: workflowID, Sequence: 3}, InsertOpts: &river.InsertOpts{ScheduledAt: at}},
		{Args: jobs.ResolveArgs{Workflow: workflowID, Sequence: 5}},
	}
	if diff := cmp.Diff(want, inserter.params); diff != "" {
		t.Errorf("jobs (-want +got):\n%s", diff)
	}
}

// A step without a job would be lost: the transaction that needs it must fail.
func TestEnqueueFails(t *testing.T) {
	t.Parallel()
	inserter := &fakeInserter{}
	for _, kind := range []workflow.StepKind{"", "dance"} {
		err := jobs.NewEnqueuer(inserter).EnqueueTx(t.Context(), nil, []db.Job{{Kind: workflow.StepSend}, {Kind: kind}})
		if err == nil || !strings.Contains(err.Error(), `"`+string(kind)+`"`) || inserter.calls > 0 {
			t.Errorf("step %q: %v, %d inserts", kind, err, inserter.calls)
		}
	}
	inserter.err = errors.New("connection refused")
	if err := jobs.NewEnqueuer(inserter).EnqueueTx(t.Context(), nil, []db.Job{{Kind: workflow.StepSend}}); !errors.Is(err, inserter.err) {
		t.Errorf("error %v", err)
	}
}

// What stands in River's rows outlives the binary that wrote it.
func TestArgsAreAContract(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 11, 23, 10, 0, 0, 123456000, time.UTC)
	for _, test := range []struct {
		args river.JobArgs
		kind string
		json string
	}{
		{jobs.SendArgs{Workflow: workflowID, Sequence: 3}, "send", `{"workflow":"0190f5a4-0000-7000-8000-000000000001","sequence":3}`},
		{jobs.ReleaseArgs{UserID: "creator-7", WakeAt: at}, "release", `{"userId":"creator-7","wakeAt":"2026-11-23T10:00:00.123456Z"}`},
		{jobs.ResolveArgs{Workflow: workflowID, Sequence: 3}, "resolve", `{"workflow":"0190f5a4-0000-7000-8000-000000000001","sequence":3}`},
		{jobs.ReconcileArgs{}, "reconcile", `{}`},
	} {
		text, err := json.Marshal(test.args)
		if err != nil || string(text) != test.json || test.args.Kind() != test.kind {
			t.Errorf("%s: %s, %v; want %s: %s", test.args.Kind(), text, err, test.kind, test.json)
		}
		queue := ""
		if own, ok := test.args.(river.JobArgsWithInsertOpts); ok {
			queue = own.InsertOpts().Queue
		}
		if want := map[string]string{"send": "send", "release": "send"}[test.kind]; queue != want {
			t.Errorf("%s goes to queue %q, want %q", test.kind, queue, want)
		}
	}
}

func TestRetryPolicy(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		for failed, want := range map[int]time.Duration{0: time.Second, 1: 2 * time.Second, 2: 4 * time.Second, 3: 8 * time.Second,
			4: 16 * time.Second, 5: 30 * time.Second, 6: 30 * time.Second, 1000: 30 * time.Second} {
			job := &rivertype.JobRow{Errors: make([]rivertype.AttemptError, failed), Attempt: 99} // the number of the attempt says nothing
			different := map[time.Duration]bool{}
			for range 200 {
				pause := time.Until(jobs.RetryPolicy{}.NextRetry(job))
				if pause < want || pause >= want+want/4 {
					t.Fatalf("after %d failures: %s, want between %s and a quarter more", failed, pause, want)
				}
				different[pause] = true
			}
			if len(different) < 100 {
				t.Errorf("after %d failures only %d different pauses: all jobs of an outage come back at once", failed, len(different))
			}
		}
	})
}

type fakeReleaser struct {
	userID string
	wakeAt time.Time
	err    error
}

func (f *fakeReleaser) ReleaseDue(_ context.Context, userID string, wakeAt time.Time) error {
	f.userID, f.wakeAt = userID, wakeAt
	return f.err
}

func TestRelease(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC)
	releaser := &fakeReleaser{err: errors.New("connection refused")}
	err := jobs.NewReleaseWorker(releaser).Work(t.Context(), &river.Job[jobs.ReleaseArgs]{JobRow: &rivertype.JobRow{}, Args: jobs.ReleaseArgs{UserID: "creator-7", WakeAt: at}})
	if !errors.Is(err, releaser.err) || releaser.userID != "creator-7" || !releaser.wakeAt.Equal(at) {
		t.Errorf("%+v, %v", releaser, err)
	}
}

type fakeReconciler struct {
	done db.Reconciled
	err  error
}

func (f fakeReconciler) Reconcile(context.Context) (db.Reconciled, error) { return f.done, f.err }

// What the reconciler had to do is told, also when it did not get to the end; a pass without work is silent.
func TestReconcile(t *testing.T) {
	t.Parallel()
	gone := errors.New("connection refused")
	for _, test := range []struct {
		fakeReconciler
		log string
	}{
		{fakeReconciler{}, ""},
		{fakeReconciler{err: gone}, ""},
		{fakeReconciler{done: db.Reconciled{Abandoned: 2, Orphaned: 1}}, "abandoned=2 unasked=0 orphaned=1"},
		{fakeReconciler{done: db.Reconciled{Expired: 3}, err: gone}, "expired=3"},
	} {
		var log bytes.Buffer
		err := jobs.NewReconcileWorker(test.fakeReconciler, slog.New(slog.NewTextHandler(&log, nil))).Work(t.Context(), &river.Job[jobs.ReconcileArgs]{JobRow: &rivertype.JobRow{}})
		if !errors.Is(err, test.err) || (log.Len() == 0) != (test.log == "") || !strings.Contains(log.String(), test.log) {
			t.Errorf("%+v: %v, log %q", test.done, err, log.String())
		}
	}
}
