package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"runtime/pprof"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/huntaze/hybrid-orchestrator/db"
	"github.com/huntaze/hybrid-orchestrator/internal/devstack/localpg"
	"github.com/huntaze/hybrid-orchestrator/internal/gateway"
	"github.com/huntaze/hybrid-orchestrator/internal/gateway/gatewaysim"
	"github.com/huntaze/hybrid-orchestrator/internal/limit"
	"github.com/huntaze/hybrid-orchestrator/queue"
	"github.com/huntaze/hybrid-orchestrator/queue/sqstest"
	"github.com/huntaze/hybrid-orchestrator/worker"
)

// bench is what all figures share: one durable Postgres of its own.
type bench struct {
	scale   float64
	cluster *localpg.Cluster
	version string
	next    int
}

func newBench(ctx context.Context, scale float64) (*bench, error) {
	cluster, err := localpg.Start(ctx, localpg.Options{Durable: true, Parameters: map[string]string{"shared_buffers": "256MB"}})
	if err != nil {
		return nil, err
	}
	b := &bench{scale: scale, cluster: cluster}
	conn, err := pgx.Connect(ctx, cluster.URL("postgres"))
	if err != nil {
		return nil, err
	}
	defer conn.Close(ctx)
	var number string
	if err := conn.QueryRow(ctx, "SHOW server_version").Scan(&number); err != nil {
		return nil, err
	}
	b.version = "Postgres " + number
	return b, nil
}

func (b *bench) close() { _ = b.cluster.Stop(context.Background()) }

func (b *bench) count(n int) int { return max(1, int(float64(n)*b.scale)) }

// database makes a fresh, migrated database.
func (b *bench) database(ctx context.Context) (url string, pool *pgxpool.Pool, err error) {
	b.next++
	name := fmt.Sprintf("bench_%d", b.next)
	if err := b.cluster.EnsureDatabase(ctx, name); err != nil {
		return "", nil, err
	}
	url = b.cluster.URL(name)
	if pool, err = db.Open(ctx, url, 20, "bench"); err != nil {
		return "", nil, err
	}
	return url, pool, db.Migrate(ctx, pool)
}

// fleet is a worker with an SQS server and a gateway, all in this process but talking over HTTP.
type fleet struct {
	url      string
	pool     *pgxpool.Pool
	sqs      *sqstest.Running
	gateway  *gatewaysim.Server
	server   *http.Server
	config   worker.Config
	admin    string
	stopFunc func()
}

const queueName = "bench"

func (b *bench) fleet(ctx context.Context, account, recipient string) (*fleet, error) {
	f := &fleet{}
	var err error
	if f.url, f.pool, err = b.database(ctx); err != nil {
		return nil, err
	}
	if f.sqs, err = sqstest.Start(sqstest.Options{}); err != nil {
		return nil, err
	}
	if err = f.sqs.ApplyProductionQueues(queueName, "retry", "dlq"); err != nil {
		return nil, err
	}
	if f.gateway, err = gatewaysim.New(gatewaysim.Options{Seed: 1}); err != nil {
		return nil, err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	f.server = &http.Server{Handler: f.gateway, ReadHeaderTimeout: 5 * time.Second}
	go func() { _ = f.server.Serve(listener) }()
	accountRules, err := limit.ParseRules(account)
	if err != nil {
		return nil, err
	}
	recipientRules, err := limit.ParseRules(recipient)
	if err != nil {
		return nil, err
	}
	client, err := queue.NewClient(ctx, "us-east-1", f.sqs.URL)
	if err != nil {
		return nil, err
	}
	f.config = worker.Config{
		Name: "bench", DatabaseURL: f.url, Connections: 10, RiverConnections: 10, SendWorkers: 500, StepWorkers: 20,
		Gateway: gateway.Config{URL: "http://" + listener.Addr().String(), Timeout: 20 * time.Second}, Settle: 120 * time.Second,
		Account: accountRules, Recipient: recipientRules, Guard: 500 * time.Millisecond, RateLimitedDelay: 45 * time.Second,
		Queue: queue.Config{Queue: queueName, RetryQueue: "retry", DeadLetterQueue: "dlq", WaitTime: time.Second, Pollers: 8},
		SQS:   client, ShutdownTimeout: 30 * time.Second, AdminAddr: "127.0.0.1:0",
		Logger: slog.New(slog.NewTextHandler(io.Discard, &slog.HandlerOptions{Level: slog.LevelError})),
	}
	return f, nil
}

func (f *fleet) start(ctx context.Context) error {
	w, err := worker.New(ctx, f.config)
	if err != nil {
		return err
	}
	f.admin = w.AdminAddr()
	running, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := w.Run(running); err != nil && ctx.Err() == nil {
			fmt.Fprintln(os.Stderr, "bench: worker:", err)
		}
	}()
	f.stopFunc = func() { cancel(); <-done }
	return nil
}

func (f *fleet) close() {
	if f.stopFunc != nil {
		f.stopFunc()
	}
	_ = f.gateway.Close()
	_ = f.server.Close()
	_ = f.sqs.Close()
	f.pool.Close()
}

// waitFor polls until done or the time is over.
func waitFor(ctx context.Context, most time.Duration, what string, done func() (bool, error)) error {
	deadline := time.Now().Add(most)
	for {
		ok, err := done()
		if err != nil || ok {
			return err
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%s: not after %s", what, most)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func startProfile(file string) (stop func(), err error) {
	if file == "" {
		return func() {}, nil
	}
	f, err := os.Create(file)
	if err != nil {
		return nil, err
	}
	if err := pprof.StartCPUProfile(f); err != nil {
		return nil, err
	}
	return func() { pprof.StopCPUProfile(); _ = f.Close() }, nil
}
