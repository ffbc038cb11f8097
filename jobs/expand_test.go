package jobs_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/riverqueue/river"

	"github.com/huntaze/hybrid-orchestrator/db"
	"github.com/huntaze/hybrid-orchestrator/jobs"
)

// fakeExpander answers each call with the next of its answers.
type fakeExpander []db.Expanded

func (e *fakeExpander) Expand(context.Context, uuid.UUID, int) (db.Expanded, error) {
	answer := (*e)[0]
	*e = (*e)[1:]
	return answer, nil
}

// A job that comes too early stays: nobody else would start the campaign in time.
func TestExpandThatIsTooEarlyStays(t *testing.T) {
	t.Parallel()
	worker := jobs.NewExpandWorker(&fakeExpander{{Early: 3 * time.Second}, {Made: 1000, More: true}, {Made: 2}})
	job := &river.Job[jobs.ExpandArgs]{}
	var snoozed *river.JobSnoozeError
	if err := worker.Work(t.Context(), job); !errors.As(err, &snoozed) || snoozed.Duration != 3*time.Second {
		t.Errorf("too early: %v", err)
	}
	if err := worker.Work(t.Context(), job); err != nil {
		t.Errorf("in time: %v", err)
	}
}
