package worker

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/huntaze/hybrid-orchestrator/db"
	"github.com/huntaze/hybrid-orchestrator/internal/metrics"
	"github.com/huntaze/hybrid-orchestrator/internal/provider/guard"
	"github.com/huntaze/hybrid-orchestrator/queue"
)

const (
	// observeEvery is how often the fleet is observed: as often as Prometheus usually asks.
	observeEvery = 15 * time.Second
	// observerLease is how long an observer that died keeps others from taking over.
	observerLease = 40 * time.Second
	// observedFor is how long an observation is shown: one that no other has followed would mislead.
	observedFor = observerLease
)

// observedStore is what the observer needs of the fleet's memory.
type observedStore interface {
	BeObserver(ctx context.Context, worker string, lease time.Duration) (bool, error)
	EndObserver(ctx context.Context, worker string) error
	Observe(ctx context.Context) (db.Observation, error)
}

// observer shows the fleet as a whole, while it is this process that observes it: one process at a time does, so that
// nothing is read, or counted, as many times as there are workers.
type observer struct {
	store  observedStore
	queues []observedQueue
	sqs    queue.API // nil: none
	name   string
	budget int64 // pico-USD of a day; 0: none
	logger *slog.Logger
	now    func() time.Time

	mu   sync.Mutex
	last *observation // nil: this process does not observe
}

// observedQueue is a queue whose depth is asked for.
type observedQueue struct{ role, name string }

type observation struct {
	db.Observation
	at     time.Time
	took   time.Duration
	depths map[string]queue.Depth // by role
}

func (w *Worker) newObserver() *observer {
	o := &observer{store: w.store, sqs: w.config.SQS, name: w.config.Name, budget: w.config.Providers.Budget, logger: w.logger, now: time.Now}
	for _, q := range []observedQueue{{"main", w.config.Queue.Queue}, {"retry", w.config.Queue.RetryQueue}, {"dead_letters", w.config.Queue.DeadLetterQueue}} {
		if q.name != "" && o.sqs != nil {
			o.queues = append(o.queues, q)
		}
	}
	return o
}

// run observes until ctx ends, and lets another process do it then.
func (o *observer) run(ctx context.Context, ticks <-chan time.Time) {
	o.look(ctx)
	for {
		select {
		case <-ticks:
			o.look(ctx)
		case <-ctx.Done():
			end, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
			defer cancel()
			if o.latest() != nil {
				if err := o.store.EndObserver(end, o.name); err != nil {
					o.logger.Warn("another worker observes the fleet only when this one's time is over", "after", observerLease, "error", err)
				}
			}
			return
		}
	}
}

// look observes the fleet if it is this process that does.
func (o *observer) look(lifetime context.Context) {
	ctx, cancel := context.WithTimeout(lifetime, observeEvery)
	defer cancel()
	is, err := o.store.BeObserver(ctx, o.name, observerLease)
	if err == nil && !is {
		o.keep(nil)
		return
	}
	began := o.now()
	var seen db.Observation
	if err == nil {
		seen, err = o.store.Observe(ctx)
	}
	if err != nil {
		if lifetime.Err() == nil {
			o.logger.Warn("the fleet could not be observed", "error", err)
		}
		return // what was seen last is shown until it is too old
	}
	o.keep(&observation{Observation: seen, at: began, took: o.now().Sub(began), depths: o.depths(ctx, lifetime)})
}

func (o *observer) depths(ctx, lifetime context.Context) map[string]queue.Depth {
	depths := map[string]queue.Depth{}
	for _, q := range o.queues {
		depth, err := queue.DepthOf(ctx, o.sqs, q.name)
		if err == nil {
			depths[q.role] = depth
		} else if lifetime.Err() == nil {
			o.logger.Warn("a queue's depth is not known", "queue", q.name, "error", err)
		}
	}
	return depths
}

func (o *observer) keep(seen *observation) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.last = seen
}

// latest is what was observed, as long as it may be shown.
func (o *observer) latest() *observation {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.last == nil || o.now().Sub(o.last.at) > observedFor {
		return nil
	}
	return o.last
}

var fleetFamilies = []metrics.Family{
	metrics.FleetObserved, metrics.FleetObservation, metrics.FleetMessages, metrics.FleetFinished, metrics.FleetWaiting, metrics.FleetOldestWaiting,
	metrics.FleetLongestTurn, metrics.FleetAccounts, metrics.FleetTokensAllowed, metrics.FleetTokensUsed, metrics.FleetTokensIdle, metrics.FleetDoubts,
	metrics.FleetOldestDoubt, metrics.FleetQuarantined, metrics.FleetQueue, metrics.FleetJobs, metrics.FleetOldestJob, metrics.FleetBreaker,
	metrics.FleetCostToday, metrics.FleetBudget, metrics.FleetFrozen, metrics.FleetSwitchOff, metrics.FleetOldestTransaction,
}

// reader shows what was observed.
func (o *observer) reader() metrics.Reader {
	return metrics.Reader{Families: fleetFamilies, Read: o.read}
}

func (o *observer) read(put metrics.Put) {
	seen := o.latest()
	if seen == nil {
		return
	}
	put(metrics.FleetObserved, float64(seen.at.UnixMilli())/1000)
	put(metrics.FleetObservation, seen.took.Seconds())
	for stage, count := range seen.Stages {
		family := metrics.FleetMessages
		if stage.Final() {
			family = metrics.FleetFinished
		}
		put(family, float64(count.Number), string(stage))
	}
	seen.collectWaiting(put)
	seen.collectProviders(put, o.budget)
	put(metrics.FleetDoubts, float64(seen.InDoubt.Number-seen.NeedOperator.Number), "look_up")
	put(metrics.FleetDoubts, float64(seen.NeedOperator.Number), "operator")
	put(metrics.FleetOldestDoubt, seen.since(seen.OldestDoubt))
	put(metrics.FleetQuarantined, float64(seen.Quarantined.Number))
	for role, depth := range seen.depths {
		put(metrics.FleetQueue, float64(depth.Visible), role, "visible")
		put(metrics.FleetQueue, float64(depth.InFlight), role, "in_flight")
		put(metrics.FleetQueue, float64(depth.Delayed), role, "delayed")
	}
	for _, jobs := range seen.Jobs {
		put(metrics.FleetJobs, float64(jobs.Count.Number), jobs.Queue, jobs.State)
	}
	for name, age := range seen.OldestJobs {
		put(metrics.FleetOldestJob, age.Seconds(), name)
	}
	put(metrics.FleetFrozen, flag(!seen.FrozenUntil.IsZero()))
	put(metrics.FleetSwitchOff, flag(seen.SendsOff), "sends_enabled")
	put(metrics.FleetSwitchOff, flag(seen.PlanningOff), "planning_enabled")
	put(metrics.FleetOldestTransaction, seen.OldestTransaction.Seconds())
}

func (o *observation) collectWaiting(put metrics.Put) {
	p := o.Picture
	for _, reason := range metrics.Waiting {
		put(metrics.FleetWaiting, float64(p.Waiting[reason]), string(reason))
	}
	put(metrics.FleetWaiting, float64(o.NotCounted), "not_counted")
	for _, reason := range metrics.Idle {
		put(metrics.FleetTokensIdle, float64(p.Idle[reason]), string(reason))
	}
	put(metrics.FleetTokensAllowed, float64(p.Allowed))
	put(metrics.FleetTokensUsed, float64(p.Used))
	put(metrics.FleetAccounts, float64(o.WaitingAccounts.Number), "waiting")
	put(metrics.FleetAccounts, float64(o.Resting.Number), "resting")
	oldest := 0.0
	if o.Oldest != nil {
		oldest = o.since(&o.Oldest.DueSince)
	}
	put(metrics.FleetOldestWaiting, oldest)
	put(metrics.FleetLongestTurn, p.LongestTurn.Seconds())
}

const picoPerUSD = 1e12

// collectProviders says of each provider how its breaker is; of several targets of one the worst.
func (o *observation) collectProviders(put metrics.Put, budget int64) {
	worst := map[string]guard.Phase{}
	rank := map[guard.Phase]int{guard.Closed: 1, guard.HalfOpen: 2, guard.Open: 3}
	for _, t := range o.Targets.All {
		if phase := t.Guard.Phase(o.Targets.Now); rank[phase] > rank[worst[string(t.Provider)]] {
			worst[string(t.Provider)] = phase
		}
	}
	for provider, phase := range worst {
		for _, state := range []guard.Phase{guard.Closed, guard.Open, guard.HalfOpen} {
			put(metrics.FleetBreaker, flag(phase == state), provider, string(state))
		}
	}
	put(metrics.FleetCostToday, float64(o.Targets.SpentPicoUSD)/picoPerUSD)
	if budget > 0 {
		put(metrics.FleetBudget, float64(budget)/picoPerUSD)
	}
}

// since is the age of what began at a time, in seconds; 0 of what did not.
func (o *observation) since(at *time.Time) float64 {
	if at == nil {
		return 0
	}
	return max(0, o.Now.Sub(*at).Seconds())
}

func flag(on bool) float64 {
	if on {
		return 1
	}
	return 0
}
