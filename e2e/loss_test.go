package e2e_test

import (
	"context"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/huntaze/hybrid-orchestrator/internal/devstack/localpg"
	"github.com/huntaze/hybrid-orchestrator/internal/gateway/gatewaysim"
	"github.com/huntaze/hybrid-orchestrator/internal/pgtest"
	"github.com/huntaze/hybrid-orchestrator/queue/sqstest"
)

// I5: every message three times, shuffled, some delivered twice by the queue, some again after they were deleted, some
// twice in a batch: one workflow each.
func TestManyDeliveriesMakeOneWorkflow(t *testing.T) {
	t.Parallel()
	f := newFleet(t, "RATE_LIMIT_ACCOUNT=off")
	if err := f.sqs.SetFaults(sqstest.Faults{Seed: seed, Queues: []string{mainQueue},
		Duplicate: sqstest.Rate{Probability: 0.2}, Reorder: sqstest.Rate{Probability: 0.3}, RedeliverAfterDelete: sqstest.Rate{Probability: 0.2}}); err != nil {
		t.Fatal(err)
	}
	inputs := newInputs(20, pick(15, 25, 150))
	three := slices.Concat(inputs, inputs, inputs)
	random := newRandom(t)
	random.Shuffle(len(three), func(i, j int) { three[i], three[j] = three[j], three[i] })
	f.start(3)
	f.put(three...)
	f.drained(time.Minute)
	f.within(time.Minute, "all deliveries taken in", func() bool {
		return f.metric("huntaze_intake_messages_total") == int(f.sqs.Stats(mainQueue).Received)
	})
	d := f.check()
	_, faults := f.sqs.Faults()
	t.Logf("%d messages, %d deliveries (%d doubled, %d after the delete, %d out of order): %d workflows", len(inputs),
		f.sqs.Stats(mainQueue).Received, faults.Duplicate, faults.RedeliverAfterDelete, faults.Reorder, len(d.workflows))
	if faults.Duplicate == 0 || faults.RedeliverAfterDelete == 0 || faults.Reorder == 0 {
		t.Errorf("the queue behaved too well: %+v", faults)
	}
}

// I3, I6: Postgres goes down hard under load, again and again. Nothing is lost or sent twice, and none of our own
// receives brings a message to the dead-letter queue.
func TestPostgresRestarts(t *testing.T) {
	t.Parallel()
	cluster := pgtest.Cluster(t, func(o *localpg.Options) { o.Parameters = map[string]string{"max_connections": "120"} })
	if err := cluster.EnsureDatabase(t.Context(), "fleet"); err != nil {
		t.Fatal(err)
	}
	url := cluster.URL("fleet")
	if err := migrate(t.Context(), url); err != nil {
		t.Fatal(err)
	}
	f := newFleetOn(t, url, "RATE_LIMIT_ACCOUNT=20/2s")
	f.faults(gatewaysim.Faults{Rules: []gatewaysim.Rule{latency(0, 300*time.Millisecond)}})
	f.start(2)
	load := f.load(newInputs(30, pick(45, 60, 150)), pick(60, 100, 100)) // enough for the last restart, on a fast machine too
	restarts := pick(2, 3, 5)
	for n := range restarts {
		time.Sleep(time.Duration(pick(2, 2, 5)) * time.Second)
		before := f.sent()
		begin := time.Now()
		if err := cluster.Restart(t.Context(), localpg.Immediate); err != nil {
			t.Fatal(err)
		}
		restarted := time.Since(begin)
		recovered := f.within(time.Minute, "messages are sent again", func() bool { return f.sent() > before+5 })
		t.Logf("restart %d took %s, then messages were sent after %s", n+1, restarted.Round(time.Millisecond), recovered.Round(10*time.Millisecond))
	}
	f.outage(cluster)
	load.await()
	f.drained(2 * time.Minute)
	d := f.check()
	f.checkLimit(d, 20, limitWindow)
	if paused := f.said("polls are stopped"); paused == 0 {
		t.Error("no bridge noticed that Postgres was down")
	}
}

// outage takes Postgres away for some seconds. Meanwhile nothing is received from the queue: each receive would bring a
// message nearer to the dead-letter queue.
func (f *fleet) outage(cluster *localpg.Cluster) {
	f.t.Helper()
	if err := cluster.Halt(f.t.Context(), localpg.Immediate); err != nil {
		f.t.Fatal(err)
	}
	f.put(newInputs(20, 20)...) // more deliveries of old messages
	f.within(10*time.Second, "the bridges notice", func() bool { return f.sqs.Stats(mainQueue).Pollers == 0 })
	before := f.sqs.Stats(mainQueue)
	time.Sleep(3 * time.Second)
	if after := f.sqs.Stats(mainQueue); after.Received != before.Received {
		f.t.Errorf("%d messages were received while Postgres was down", after.Received-before.Received)
	}
	if err := cluster.Resume(f.t.Context()); err != nil {
		f.t.Fatal(err)
	}
}

// I3: workers are killed with -9 all the time while messages flow. Every message is accounted for, none twice.
func TestWorkersAreKilledUnderLoad(t *testing.T) {
	t.Parallel()
	f := newFleet(t, "RATE_LIMIT_ACCOUNT=10/2s")
	f.shortVisibility()
	f.faults(gatewaysim.Faults{Rules: []gatewaysim.Rule{latency(0, 600*time.Millisecond)}})
	f.start(pick(3, 3, 4))
	kills := pick(12, 20, 60)
	load := f.load(newInputs(pick(80, 150, 500), 10), pick(80, 100, 100))
	crashes := f.crash(time.Duration(pick(800, 900, 900))*time.Millisecond, kills)
	killed := crashes.await()
	load.await()
	took := f.drained(3 * time.Minute)
	d := f.check()
	f.checkLimit(d, limitCount, limitWindow)
	lost := number(f, `SELECT count(DISTINCT workflow) FROM workflow_events WHERE kind = 'unknown' AND detail->>'reason' = 'worker_lost'`)
	expired := number(f, `SELECT count(*) FROM send_attempts WHERE state = 'withdrawn' AND reason = 'reservation_expired'`)
	s := f.sqs.Stats(mainQueue)
	t.Logf("%d workers killed while %d messages flowed: %d calls and %d reservations were cut off, %d messages came again; drained %s after the last kill",
		killed, len(d.inputs), lost, expired, s.Received-s.Sent, took.Round(time.Second))
	if killed < kills {
		t.Errorf("%d workers killed, want %d", killed, kills)
	}
	if chaos == full && lost < 30 {
		t.Errorf("only %d kills hit a call: the run was too weak", lost)
	}
}

// I6: workers are killed after they have received messages and before these are committed. The messages come again.
func TestDeliveriesOutliveTheirReceiver(t *testing.T) {
	t.Parallel()
	f := newFleet(t, "RATE_LIMIT_ACCOUNT=off")
	f.shortVisibility()
	workers := f.start(2)
	for round := range pick(1, 2, 5) {
		unlock := f.lock("inbox")
		for n := range 100 {
			f.put(newInput("creator-"+strconv.Itoa(round), n))
		}
		f.within(20*time.Second, "messages in the hands of workers", func() bool { return f.sqs.Stats(mainQueue).InFlight >= 40 })
		for _, p := range workers {
			p.kill()
		}
		unlock()
		workers = f.start(2)
		f.drained(time.Minute)
	}
	f.check()
}

// shortVisibility gives the queues a visibility timeout that a test can wait for: what a killed worker had received
// comes again after it. So many kills bring some message to its third receive, which would be SQS' own doing and an
// operator's redrive; here it may be received more often.
func (f *fleet) shortVisibility() {
	f.t.Helper()
	for _, name := range []string{mainQueue, retryQueue} {
		_, err := f.sqs.Client().SetQueueAttributes(context.Background(), &sqs.SetQueueAttributesInput{QueueUrl: aws.String(f.queueURL(name)),
			Attributes: map[string]string{"VisibilityTimeout": "6",
				"RedrivePolicy": `{"deadLetterTargetArn":"arn:aws:sqs:us-east-1:000000000000:` + deadQueue + `","maxReceiveCount":` + strconv.Itoa(50) + `}`}})
		if err != nil {
			f.t.Fatal(err)
		}
	}
}

// load puts messages on the queue at a steady pace.
type load struct{ done chan struct{} }

func (f *fleet) load(inputs []input, perSecond int) load {
	l := load{done: make(chan struct{})}
	const each = 100 * time.Millisecond
	go func() {
		defer close(l.done)
		tick := time.NewTicker(each)
		defer tick.Stop()
		for len(inputs) > 0 && f.t.Context().Err() == nil {
			n := min(len(inputs), perSecond*int(each)/int(time.Second))
			f.put(inputs[:n]...)
			inputs = inputs[n:]
			<-tick.C
		}
	}()
	f.t.Cleanup(l.await)
	return l
}

func (l load) await() { <-l.done }
