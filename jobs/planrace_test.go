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
