package queue

import (
	"context"
	"log/slog"
	"time"

	"github.com/huntaze/hybrid-orchestrator/internal/workflow"
)

// Store makes deliveries durable.
type Store interface {
	// Ingest records all of the batch in one transaction and answers delivery by delivery, in the order of the
	// batch. A delivery with a Problem is quarantined. An error means that nothing was written, or that it is
	// unknown because the commit's answer was lost: the same deliveries then come again, which must be harmless. One
	// with a method `Interrupted() bool` that returns true is about none of the deliveries, such as a lost connection.
	Ingest(ctx context.Context, batch []workflow.Delivery) ([]workflow.Intake, error)

	// Ping returns nil only if an Ingest could succeed now: the database is there and can be written to. After
	// an Ingest has failed it decides whether the store is down, or something is wrong with the batch.
	Ping(ctx context.Context) error
}

// Clock is time where it decides something. The deadlines of network calls are not part of it.
type Clock interface {
	Now() time.Time
	After(time.Duration) <-chan time.Time
}

type realClock struct{}

func (realClock) Now() time.Time                         { return time.Now() }
func (realClock) After(d time.Duration) <-chan time.Time { return time.After(d) }

// Config says what a bridge reads and how. Queues are given by name or URL; zero values stand for the defaults.
type Config struct {
	Queue           string // the source; required
	RetryQueue      string // read like the source; empty for none
	DeadLetterQueue string // where unusable messages are copied; empty for none

	Pollers       int           // long polls at once on each queue; 4
	WaitTime      time.Duration // of a long poll, at most 20 s; 20 s
	BatchMax      int           // most messages in one Ingest; 200
	Linger        time.Duration // how long the first message of a batch waits for others; 5 ms, negative for none
	Writers       int           // Ingests at once; 2
	IngestTimeout time.Duration // of one Ingest; 30 s
	MaxHeldBytes  int           // bodies in memory beyond which no poll is started; 64 MiB

	// HoldFor is how long received messages are kept while the store is down, before they are given back to
	// the queue; 60 s, and never more than half of the queue's visibility timeout. A short outage then costs no
	// message one of its receives, a long one does not keep messages from another process that can work.
	HoldFor time.Duration

	Limits   Limits   // of a message
	Clock    Clock    // the machine's
	Observer Observer // none
}

func (c Config) withDefaults() Config {
	orDefault(&c.Pollers, 4)
	orDefault(&c.WaitTime, maxWaitTime)
	orDefault(&c.BatchMax, 200)
	orDefault(&c.Writers, 2)
	orDefault(&c.IngestTimeout, 30*time.Second)
	orDefault(&c.MaxHeldBytes, 64<<20)
	orDefault(&c.HoldFor, time.Minute)
	if c.Linger == 0 {
		c.Linger = 5 * time.Millisecond
	}
	c.WaitTime = min(c.WaitTime, maxWaitTime)
	c.BatchMax = max(c.BatchMax, maxBatchEntries) // one receive is never split, see batcher
	if c.Clock == nil {
		c.Clock = realClock{}
	}
	if c.Observer == nil {
		c.Observer = NopObserver{}
	}
	return c
}

func orDefault[T int | time.Duration](value *T, standard T) {
	if *value <= 0 {
		*value = standard
	}
}

// Observer is told what the bridge does, for metrics. Its methods are called from many goroutines and must
// not block. Embed NopObserver to implement some of them.
type Observer interface {
	// Received is called after each poll, also an empty one.
	Received(queue string, messages int, took time.Duration)
	// Ingested is called after each Ingest.
	Ingested(messages int, took time.Duration, err error)
	// Settled is called for each message that the store has taken. receiveCount is how often SQS has handed
	// it out, lag the time from sending to commit.
	Settled(queue string, outcome workflow.IntakeOutcome, receiveCount int, lag time.Duration)
	// Failed is called when calls to SQS failed for good for that many messages; operation is the name of the call.
	Failed(queue, operation string, messages int)
	// Paused is called when polls stop because of the store, and when they go on.
	Paused(paused bool)
}

// NopObserver does nothing.
type NopObserver struct{}

// Received implements Observer.
func (NopObserver) Received(string, int, time.Duration) {}

// Ingested implements Observer.
func (NopObserver) Ingested(int, time.Duration, error) {}

// Settled implements Observer.
func (NopObserver) Settled(string, workflow.IntakeOutcome, int, time.Duration) {}

// Failed implements Observer.
func (NopObserver) Failed(string, string, int) {}

// Paused implements Observer.
func (NopObserver) Paused(bool) {}

func discardLogger(logger *slog.Logger) *slog.Logger {
	if logger == nil {
		return slog.New(slog.DiscardHandler)
	}
	return logger
}
