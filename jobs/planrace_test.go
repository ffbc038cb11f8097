package jobs_test

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/rivertype"

	"github.com/huntaze/hybrid-orchestrator/db"
	"github.com/huntaze/hybrid-orchestrator/internal/provider"
	"github.com/huntaze/hybrid-orchestrator/internal/provider/providersim"
	"github.com/huntaze/hybrid-orchestrator/internal/workflow"
	"github.com/huntaze/hybrid-orchestrator/jobs"
)

// Messages that come in while their text is written, becomes ready and is handed out all get it, though nobody looks
// for lost ones: either the hand-over sees the message, or its intake sees that the text has ended.
func TestMessagesArriveWhileTheTextIsHandedOut(t *testing.T) {
	t.Parallel()
	w := newWriters(t, writerOptions{})
	const batches, each, writers = 60, 7, 4
	var intake sync.WaitGroup
	for half := range 2 {
		intake.Go(func() {
			for b := range batches {
				var batch []workflow.Delivery
				for i := range each {
					batch = append(batch, briefed((half*batches+b)*each+i, inCampaign))
				}
				if _, err := w.store.Ingest(t.Context(), batch, false); err != nil {
					t.Error(err)
				}
			}
		})
	}
	ended := make(chan struct{})
	var working sync.WaitGroup
	for range writers {
		working.Go(func() {
			worker := jobs.NewPlanWorker(w, quietWriter{w.author}, slog.New(slog.DiscardHandler), time.Now, jobs.Pause, func() bool { return false })
			for {
				args, found := w.take(t.Context())
				if !found {
					select {
					case <-ended:
						return
					case <-time.After(time.Millisecond):
						continue
					}
				}
				if err := worker.Work(t.Context(), &river.Job[jobs.PlanArgs]{JobRow: &rivertype.JobRow{}, Args: args}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	intake.Wait()
	close(ended)
	working.Wait()
	w.run(100)
	if n := w.number(`SELECT count(*) FROM hybrid_workflows WHERE stage <> 'queued' OR content = ''`); n != 0 {
		t.Errorf("%d messages were forgotten", n)
	}
	if n := w.number(`SELECT count(*) FROM hybrid_workflows`); n != 2*batches*each {
		t.Errorf("%d messages", n)
	}
	if calls := w.sim.Counts(providersim.Azure).Calls; calls != 1 {
		t.Errorf("%d calls", calls)
	}
}

// quietWriter is an author that several goroutines use.
type quietWriter struct{ *jobs.Author }

func (q quietWriter) Delays() map[provider.Name]time.Duration { return q.Author.Delays() }

func (q quietWriter) Write(ctx context.Context, call db.PlanCall, since time.Time) db.PlanEnd {
	return q.Author.Write(ctx, call, since)
}

// take takes a job, whenever it is due.
func (w *writers) take(ctx context.Context) (args jobs.PlanArgs, found bool) {
	err := w.plain.QueryRow(ctx, `DELETE FROM test_jobs WHERE id = (SELECT id FROM test_jobs WHERE kind = 'plan' ORDER BY id LIMIT 1 FOR UPDATE SKIP LOCKED) RETURNING text, step`).Scan(&args.Text, &args.Step)
	if err != nil && err != pgx.ErrNoRows {
		w.t.Error(fmt.Errorf("take a job: %w", err))
	}
	return args, err == nil
}

// The same, in the one order that is dangerous: a message's intake has seen the text as still to be written, and has
// not committed when it becomes ready.
func TestTextBecomesReadyDuringAnIntake(t *testing.T) {
	t.Parallel()
	w := newWriters(t, writerOptions{})
	w.ingest(briefed(1, inCampaign))
	args, _, _ := w.job()
	w.number(`UPDATE hybrid_workflows SET stage = 'cancelled' RETURNING 1`) // so that the hand-over writes nothing that the lock below stops
	lock, err := w.plain.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = lock.Rollback(context.WithoutCancel(t.Context())) }()
	if _, err := lock.Exec(t.Context(), `LOCK TABLE hybrid_workflows IN SHARE MODE`); err != nil {
		t.Fatal(err)
	}
	var both sync.WaitGroup
	both.Go(func() {
		if _, err := w.store.Ingest(t.Context(), []workflow.Delivery{briefed(2, inCampaign)}, false); err != nil {
			t.Error(err)
		}
	})
	w.blocked(1)
	done := make(chan struct{})
	both.Go(func() {
		defer close(done)
		if err := w.work(args); err != nil {
			t.Error(err)
		}
	})
	for waiting := false; !waiting; {
		select {
		case <-done:
			waiting = true
		case <-time.After(5 * time.Millisecond):
			waiting = w.number(blockedSQL) == 2
		}
	}
	if err := lock.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	both.Wait()
	w.run(10)
	if got := w.life("wf-2"); got.Stage != "queued" {
		t.Errorf("the message was forgotten: %+v", got)
	}
}

const blockedSQL = `SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()`

// blocked waits until that many sessions wait for a lock.
func (w *writers) blocked(sessions int64) {
	w.t.Helper()
	for deadline := time.Now().Add(30 * time.Second); w.number(blockedSQL) != sessions; {
		if time.Now().After(deadline) {
			w.t.Fatal("nobody waits")
		}
		time.Sleep(time.Millisecond)
	}
}
