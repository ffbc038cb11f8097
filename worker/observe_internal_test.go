package worker

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/huntaze/hybrid-orchestrator/db"
	"github.com/huntaze/hybrid-orchestrator/internal/emf"
	"github.com/huntaze/hybrid-orchestrator/internal/metrics"
	"github.com/huntaze/hybrid-orchestrator/internal/picture"
	"github.com/huntaze/hybrid-orchestrator/internal/workflow"
)

// fakeFleet is a fleet whose observer another process may be.
type fakeFleet struct {
	holder string
	seen   db.Observation
	looks  int
	err    error
}

func (f *fakeFleet) BeObserver(_ context.Context, worker string, _ time.Duration) (bool, error) {
	if f.err != nil {
		return false, f.err
	}
	if f.holder == "" {
		f.holder = worker
	}
	return f.holder == worker, nil
}

func (f *fakeFleet) EndObserver(_ context.Context, worker string) error {
	if f.holder == worker {
		f.holder = ""
	}
	return nil
}

func (f *fakeFleet) Observe(context.Context) (db.Observation, error) {
	f.looks++
	return f.seen, f.err
}

type clock struct{ at time.Time }

func (c *clock) now() time.Time { return c.at }

func newTestObserver(f *fakeFleet, name string, c *clock) (*observer, *prometheus.Registry) {
	o := &observer{store: f, name: name, logger: slog.New(slog.DiscardHandler), now: c.now}
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(o.reader())
	return o, registry
}

func anObservation(at time.Time) db.Observation {
	doubt := at.Add(-90 * time.Second)
	return db.Observation{
		Summary: db.Summary{
			Now: at, Stages: map[workflow.Stage]db.Count{workflow.StageQueued: {Number: 7}, workflow.StageSent: {Number: 40}},
			InDoubt: db.Count{Number: 3}, NeedOperator: db.Count{Number: 1}, OldestDoubt: &doubt,
			Jobs: []db.JobCount{{Queue: "send", State: "available", Count: db.Count{Number: 5}}, {Queue: "send", State: "running", Count: db.Count{Number: 2}}},
		},
		Picture: picture.Picture{Waiting: map[picture.Reason]int64{picture.Token: 6, picture.Turn: 1}, Idle: map[picture.Reason]int64{picture.Turn: 1},
			Allowed: 10, Used: 9, LongestTurn: 2 * time.Second},
		OldestJobs: map[string]time.Duration{"send": 4 * time.Second, "default": 0},
	}
}

// TestFleetIsCountedOnce: of two workers one shows the fleet, the other one nothing; when the first ends, or can't look any
// more, its series end, and the other one shows them.
func TestFleetIsCountedOnce(t *testing.T) {
	t.Parallel()
	c := &clock{time.Unix(1_000_000, 0)}
	f := &fakeFleet{seen: anObservation(c.at)}
	first, ofFirst := newTestObserver(f, "a", c)
	second, ofSecond := newTestObserver(f, "b", c)
	series := func(r *prometheus.Registry) int {
		t.Helper()
		n, err := testutil.GatherAndCount(r, metrics.FleetMessages.Name, metrics.FleetFinished.Name)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	first.look(t.Context())
	second.look(t.Context())
	if f.looks != 1 || series(ofFirst) != 2 || series(ofSecond) != 0 {
		t.Fatalf("%d looks; %d and %d series", f.looks, series(ofFirst), series(ofSecond))
	}
	want := `
# HELP huntaze_fleet_in_doubt_messages Messages in doubt, by who settles it: the look-up, or an operator.
# TYPE huntaze_fleet_in_doubt_messages gauge
huntaze_fleet_in_doubt_messages{settled_by="look_up"} 2
huntaze_fleet_in_doubt_messages{settled_by="operator"} 1
`
	if err := testutil.GatherAndCompare(ofFirst, strings.NewReader(want), "huntaze_fleet_in_doubt_messages"); err != nil {
		t.Error(err)
	}
	f.err = errors.New("the database is away")
	first.look(t.Context())
	if series(ofFirst) != 2 {
		t.Error("one failure ends the series at once")
	}
	c.at = c.at.Add(observedFor + time.Second)
	if series(ofFirst) != 0 {
		t.Error("an old observation is still shown")
	}
	f.err = nil
	ended, end := context.WithCancel(t.Context())
	end()
	first.run(ended, nil)
	second.look(t.Context())
	if series(ofSecond) != 2 {
		t.Error("nobody observes the fleet after its observer has ended")
	}
}

// TestLinesForCloudWatch: the observer writes the fleet's, every worker its own, and failures count for the last minute.
func TestLinesForCloudWatch(t *testing.T) {
	t.Parallel()
	c := &clock{time.Unix(1_000_000, 0)}
	f := &fakeFleet{seen: anObservation(c.at)}
	o, registry := newTestObserver(f, "a", c)
	m := NewMetrics(registry)
	steps := metrics.StepDuration.NewHistogram(registry)
	var out strings.Builder
	e := newEmitter(emf.NewWriter(&out, "Huntaze"), registry, o, "v1", slog.New(slog.DiscardHandler))
	lines := func() map[string]float64 {
		t.Helper()
		out.Reset()
		e.emit(c.at)
		all := map[string]float64{}
		for line := range strings.Lines(out.String()) {
			var parsed map[string]any
			if err := json.Unmarshal([]byte(line), &parsed); err != nil {
				t.Fatal(err)
			}
			if parsed["Service"] != "huntaze" {
				t.Errorf("a line without its service: %s", line)
			}
			for name, value := range parsed {
				if number, is := value.(float64); is {
					if q, of := parsed["Queue"].(string); of {
						name += " " + q
					}
					all[name] = number
				}
			}
		}
		return all
	}
	steps.WithLabelValues("send", "failed").Observe(1)
	steps.WithLabelValues("plan", "panicked").Observe(1)
	steps.WithLabelValues("send", "completed").Observe(1)
	m.intakeDelay.WithLabelValues().Observe(3)
	m.intakeDelay.WithLabelValues().Observe(5)
	got := lines()
	if len(got) != 3 || got["StepFailures"] != 2 || got["IntakeDelaySeconds"] != 4 || got["LimiterBypass"] != 0 {
		t.Errorf("a worker that does not observe: %v", got)
	}
	o.look(t.Context())
	got = lines()
	want := map[string]float64{"StepFailures": 0, "LimiterBypass": 0, "BacklogAgeSeconds": 4, "BacklogAgeSeconds send": 4, "BacklogAgeSeconds default": 0, "BacklogJobs": 5,
		"OldestDoubtSeconds": 90, "LongestTurnSeconds": 2, "TokenUtilisationPercent": 90}
	if len(got) != len(want) {
		t.Errorf("%v, want %v", got, want)
	}
	for name, value := range want {
		if got[name] != value {
			t.Errorf("%s is %v, want %v", name, got[name], value)
		}
	}
}
