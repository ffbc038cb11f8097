package worker

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/huntaze/hybrid-orchestrator/db"
	"github.com/huntaze/hybrid-orchestrator/internal/telemetry"
	"github.com/huntaze/hybrid-orchestrator/internal/workflow"
	"github.com/huntaze/hybrid-orchestrator/jobs"
)

// group lets concurrent requests share a transaction (group commit). It collects what is ready and never
// waits for more: alone, a request costs what it would cost without the group; under load a commit to disk is
// shared by hundreds. A request that the database refuses does not fail the others: the group is halved until
// the one to blame stands alone.
type group[In, Out any] struct {
	run      func(context.Context, []In) ([]Out, error)
	requests chan request[In, Out]
	most     int
	timeout  time.Duration
	stopped  chan struct{} // no transaction begins any more
	ended    chan struct{} // and those that ran have answered
	stop     sync.Once
	running  sync.WaitGroup
}

type request[In, Out any] struct {
	in     In
	from   trace.SpanContext // of whoever waits; not valid: of nobody
	answer chan answer[Out]
}

type answer[Out any] struct {
	out Out
	err error
}

// newGroup starts a group of at most `most` requests to a transaction and `parallel` transactions at a time.
func newGroup[In, Out any](most, parallel int, timeout time.Duration, run func(context.Context, []In) ([]Out, error)) *group[In, Out] {
	g := &group[In, Out]{run: run, requests: make(chan request[In, Out], most), most: most, timeout: timeout, stopped: make(chan struct{}), ended: make(chan struct{})}
	for range parallel {
		g.running.Add(1)
		go g.loop()
	}
	return g
}

// do hands in one request and waits for its answer. The context only ends the wait for a place: what was handed
// in is carried out, and somebody must learn how it ended. jobs.ErrStopped says that it was not carried out.
func (g *group[In, Out]) do(ctx context.Context, in In) (Out, error) {
	var none Out
	if ctx.Err() != nil {
		return none, context.Cause(ctx)
	}
	r := request[In, Out]{in: in, from: telemetry.ContextOf(ctx), answer: make(chan answer[Out], 1)}
	select {
	case g.requests <- r:
	case <-g.stopped:
		return none, jobs.ErrStopped
	case <-ctx.Done():
		return none, context.Cause(ctx)
	}
	select {
	case a := <-r.answer:
		return a.out, a.err
	case <-g.ended:
		select {
		case a := <-r.answer:
			return a.out, a.err
		default:
			return none, jobs.ErrStopped
		}
	}
}

// close ends the group after the transactions that run. Requests that still wait get jobs.ErrStopped.
func (g *group[In, Out]) close() {
	g.stop.Do(func() {
		close(g.stopped)
		g.running.Wait()
		close(g.ended)
	})
}

func (g *group[In, Out]) loop() {
	defer g.running.Done()
	for {
		var batch []request[In, Out]
		select {
		case <-g.stopped: // also when requests wait: select alone would choose by chance
			return
		default:
		}
		select {
		case r := <-g.requests:
			batch = append(batch, r)
		case <-g.stopped:
			return
		}
		for len(batch) < g.most {
			select {
			case r := <-g.requests:
				batch = append(batch, r)
				continue
			default:
			}
			break
		}
		g.commit(batch)
	}
}

func (g *group[In, Out]) commit(batch []request[In, Out]) {
	in := make([]In, len(batch))
	for i, r := range batch {
		in[i] = r.in
	}
	ctx, cancel := context.WithTimeoutCause(context.Background(), g.timeout, fmt.Errorf("transaction took longer than %s", g.timeout))
	out, err := g.run(withCallers(ctx, batch), in)
	cancel()
	switch {
	case err == nil:
		for i, r := range batch {
			r.answer <- answer[Out]{out: out[i]}
		}
	case len(batch) > 1 && oneToBlame(err):
		g.commit(batch[:len(batch)/2])
		g.commit(batch[len(batch)/2:])
	default:
		for _, r := range batch {
			r.answer <- answer[Out]{err: err}
		}
	}
}

// oneToBlame says whether an error is about one request of a group, so that it is worth looking for: the database
// refused a value, or an event has no meaning for its workflow. A limiter that is down is refused to everybody.
func oneToBlame(err error) bool {
	if errors.Is(err, db.ErrLimiterDown) {
		return false
	}
	return db.Refused(err) || errors.Is(err, workflow.ErrNotApplicable)
}
