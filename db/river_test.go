package db_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"

	"github.com/huntaze/hybrid-orchestrator/db"
	"github.com/huntaze/hybrid-orchestrator/internal/workflow"
	"github.com/huntaze/hybrid-orchestrator/jobs"
)

// TestRiverJobs: the steps are River jobs that commit with what makes them necessary, hold ids only, and know the
// wake-up that they are to the microsecond.
func TestRiverJobs(t *testing.T) {
	t.Parallel()
	f := newFleet(t, "2/60s", "off")
	client, err := river.NewClient(riverpgxv5.New(f.pool), &river.Config{Schema: db.RiverSchema})
	if err != nil {
		t.Fatal(err)
	}
	store := db.NewStore(f.pool, jobs.NewEnqueuer(client), f.config)
	f.FreezeClock(t, start.Add(123456*time.Microsecond))
	ingest := func(s *db.Store) error {
		batch := []workflow.Delivery{message("creator", 1, withPriority(1)), message("creator", 2), message("creator", 3, withPriority(4))}
		for i := range batch {
			batch[i].Message.Content = "for nobody else to read"
		}
		_, err := s.Ingest(f.ctx, batch, true)
		return err
	}
	broken, connection := f.faultyStoreWith(jobs.NewEnqueuer(client))
	connection.next.Store(int32(lostBefore))
	if err := ingest(broken); err == nil {
		t.Fatal("no error")
	}
	if n := one[int](f, `SELECT count(*) FROM river.river_job`); n != 0 {
		t.Errorf("%d jobs of a transaction that was never committed", n)
	}
	if err := ingest(store); err != nil {
		t.Fatal(err)
	}
	type riverJob struct {
		Kind, Queue, State string
		Priority           int
		At                 time.Time
		Args               string
	}
	rows, err := f.pool.Query(f.ctx, `SELECT kind, queue, state::text, priority, scheduled_at, args::text FROM river.river_job ORDER BY id`)
	if err != nil {
		t.Fatal(err)
	}
	got, err := pgx.CollectRows(rows, pgx.RowToStructByPos[riverJob])
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != 3 {
		t.Fatalf("%d jobs, want two sends and a look: %v", len(got), got)
	}
	wake := *f.wakeAt("creator")
	for i, j := range got {
		if strings.Contains(j.Args, "nobody") || strings.Contains(j.Args, "fan-") {
			t.Errorf("the job holds more than ids: %s", j.Args)
		}
		switch i {
		case 0, 1:
			var args jobs.SendArgs
			if err := json.Unmarshal([]byte(j.Args), &args); err != nil {
				t.Fatal(err)
			}
			if priority := one[int](f, `SELECT priority FROM hybrid_workflows WHERE id = $1 AND send_sequence = $2`, args.Workflow, args.Sequence); j.Kind != "send" || j.Queue != jobs.QueueSend || j.Priority != priority {
				t.Errorf("send job: %+v of a message of priority %d", j, priority)
			}
		case 2:
			var args jobs.ReleaseArgs
			if err := json.Unmarshal([]byte(j.Args), &args); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(jobs.ReleaseArgs{UserID: "creator", WakeAt: wake}, args); diff != "" || !j.At.Equal(wake) || j.Kind != "release" {
				t.Errorf("wake-up at %v: %+v (-row +job):\n%s", wake, j, diff)
			}
			f.AdvanceClock(t, wake.Sub(f.Clock(t)))
			if _, err := store.Release(f.ctx, []db.Release{{UserID: "creator", WakeUps: []time.Time{args.WakeAt}}}); err != nil {
				t.Fatal(err)
			}
			if next := f.wakeAt("creator"); next == nil || !next.After(wake) {
				t.Errorf("the job is not known as that of the wake-up: next is %v", next)
			}
		}
	}
}
