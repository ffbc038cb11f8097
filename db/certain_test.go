package db_test

import (
	"runtime"
	"testing"

	"golang.org/x/sync/errgroup"

	"github.com/huntaze/hybrid-orchestrator/db"
	"github.com/huntaze/hybrid-orchestrator/internal/devstack/localpg"
	"github.com/huntaze/hybrid-orchestrator/internal/pgtest"
	"github.com/huntaze/hybrid-orchestrator/internal/workflow"
)

// What became durable is counted by whoever did it, even if the answer to its commit got lost.
func TestAnswerOfALostCommitIsTheTruth(t *testing.T) {
	t.Parallel()
	f := newFleet(t, "10/60s", "1/60s")
	store, connection := f.faultyStore()
	connection.next.Store(int32(lostAfter))
	taken, err := store.Ingest(f.ctx, messages("creator", 5), false)
	if err != nil || len(taken.Answers) != 5 || taken.Answers[4].Outcome != workflow.IntakeAccepted {
		t.Fatalf("ingest: %+v, %v", taken, err)
	}
	connection.next.Store(int32(lostAfter))
	released, err := store.Release(f.ctx, releaseOf("creator"))
	if err != nil || released[0].Count != 5 {
		t.Fatalf("release: %+v, %v", released, err)
	}
	a := f.attempts()[0]
	report := db.Finish{Attempt: a, Fence: f.mustBegin(a), Outcome: workflow.EventAccepted}
	connection.next.Store(int32(lostAfter))
	for _, applied := range []bool{true, false} { // and it is counted once
		finished, err := store.Finish(f.ctx, []db.Finish{report}, true)
		if err != nil || finished[0].Applied != applied {
			t.Errorf("finish: %+v, %v, want applied %v", finished, err, applied)
		}
	}
	if hit := connection.hit.Load(); hit != 3 {
		t.Errorf("%d commits were broken", hit)
	}
}

// Nobody is told of an error because all other connections are waiting for something.
func TestFateIsAskedBesideABusyPool(t *testing.T) {
	t.Parallel()
	f := newFleet(t, "10/60s", "off")
	pool, connection := faultyPool(t, f.pool)
	var busy errgroup.Group
	done := make(chan struct{})
	connection.then = func() {
		for range pool.Config().MaxConns { // the last one gets the place of the connection that is being lost
			busy.Go(func() error {
				connection, err := pool.Acquire(t.Context())
				if err != nil {
					return err
				}
				<-done
				connection.Release()
				return nil
			})
		}
		for pool.Stat().AcquiredConns() < pool.Config().MaxConns {
			runtime.Gosched()
		}
	}
	connection.next.Store(int32(lostAfter))
	if _, err := db.NewStore(pool, f.jobs, f.config).Ingest(f.ctx, messages("creator", 5), false); err != nil {
		t.Error(err)
	}
	close(done)
	if err := busy.Wait(); err != nil {
		t.Error(err)
	}
}

// After a failover or a crash the number of a transaction may be another's: nothing is believed.
func TestFateIsUnknownAfterAFailover(t *testing.T) {
	t.Parallel()
	f := newFleet(t, "10/60s", "1/60s")
	store, connection := f.faultyStore()
	connection.then = func() { f.exec(`UPDATE fleet_state SET timeline = timeline + 1`) }
	connection.next.Store(int32(lostAfter))
	if _, err := store.Ingest(f.ctx, messages("creator", 5), false); err == nil {
		t.Error("no error")
	}
}

func TestFateIsUnknownAfterACrash(t *testing.T) {
	t.Parallel()
	cluster := pgtest.Cluster(t, func(*localpg.Options) {})
	if err := cluster.EnsureDatabase(t.Context(), "fleet"); err != nil {
		t.Fatal(err)
	}
	url := cluster.URL("fleet")
	if err := schema.Migrate(t.Context(), url); err != nil {
		t.Fatal(err)
	}
	pool, connection := faultyPool(t, openPool(t, url))
	connection.then = func() {
		if err := cluster.Restart(t.Context(), localpg.Immediate); err != nil {
			t.Error(err)
		}
	}
	connection.next.Store(int32(lostAfter))
	if _, err := db.NewStore(pool, &jobTable{}, db.Config{Timing: timing}).Ingest(t.Context(), messages("creator", 5), false); err == nil {
		t.Error("no error")
	}
	var n int
	if err := openPool(t, url).QueryRow(t.Context(), `SELECT count(*) FROM hybrid_workflows`).Scan(&n); err != nil || n != 5 {
		t.Errorf("%d workflows (%v): the test is about a transaction that was committed", n, err)
	}
}
