package worker_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/huntaze/hybrid-orchestrator/db"
	"github.com/huntaze/hybrid-orchestrator/internal/gateway"
	"github.com/huntaze/hybrid-orchestrator/internal/gateway/gatewaysim"
	"github.com/huntaze/hybrid-orchestrator/internal/limit"
	"github.com/huntaze/hybrid-orchestrator/internal/pgtest"
	"github.com/huntaze/hybrid-orchestrator/queue"
	"github.com/huntaze/hybrid-orchestrator/queue/sqstest"
	"github.com/huntaze/hybrid-orchestrator/worker"
)

var schema = pgtest.Template{Name: "schema", Migrate: func(ctx context.Context, url string) error {
	pool, err := pgxpool.New(ctx, url)
	if err != nil {
		return err
	}
	defer pool.Close()
	return db.Migrate(ctx, pool)
}}

func TestMain(m *testing.M) { pgtest.Main(m, pgtest.WithLeakCheck()) }

const queueName = "messages"

// rig is a whole small fleet: a real database, an SQS server and a gateway over HTTP.
type rig struct {
	db      *pgtest.Database
	sqs     *sqstest.Running
	gateway *gatewaysim.Server
	url     string
	pool    *pgxpool.Pool
}

func newRig(t testing.TB) *rig {
	t.Helper()
	r := &rig{db: pgtest.New(t, schema)}
	r.pool = r.db.Pool(t)
	r.sqs = sqstest.StartTB(t, sqstest.Options{})
	if err := r.sqs.ApplyProductionQueues(queueName, "retry", "dlq"); err != nil {
		t.Fatal(err)
	}
	sim, err := gatewaysim.New(gatewaysim.Options{Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	r.gateway = sim
	server := httptest.NewServer(sim)
	t.Cleanup(func() { server.Close(); _ = sim.Close() })
	r.url = server.URL
	return r
}

func (r *rig) config(t testing.TB, name string) worker.Config {
	t.Helper()
	client, err := queue.NewClient(t.Context(), "us-east-1", r.sqs.URL)
	if err != nil {
		t.Fatal(err)
	}
	level := slog.LevelWarn
	if os.Getenv("TEST_LOG") != "" {
		level = slog.LevelDebug
	}
	account, _ := limit.ParseRules("10/60s")
	recipient, _ := limit.ParseRules("1/60s,10/24h")
	return worker.Config{
		Name: name, DatabaseURL: r.db.URL, Connections: 8, RiverConnections: 8, SendWorkers: 50, StepWorkers: 10,
		Gateway: gateway.Config{URL: r.url, Timeout: 5 * time.Second}, Settle: 2 * time.Second,
		Account: account, Recipient: recipient, Guard: 100 * time.Millisecond, RateLimitedDelay: time.Second,
		Queue: queue.Config{Queue: queueName, RetryQueue: "retry", DeadLetterQueue: "dlq", WaitTime: time.Second},
		SQS:   client, AdminAddr: "127.0.0.1:0", ShutdownTimeout: 30 * time.Second, ReconcileEvery: time.Second,
		Logger: slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: level})),
	}
}

// start runs a worker until the test ends or stop is called.
func (r *rig) start(t testing.TB, config worker.Config) (stop func()) {
	t.Helper()
	w, err := worker.New(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	return r.run(t, config.Name, w)
}

func (r *rig) run(t testing.TB, name string, w *worker.Worker) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- w.Run(ctx) }()
	stopped := false
	stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := <-done; err != nil {
			t.Errorf("worker %s: %v", name, err)
		}
	}
	t.Cleanup(stop)
	return stop
}

func (r *rig) put(t *testing.T, messages ...map[string]any) {
	t.Helper()
	client := r.sqs.Client()
	out, err := client.GetQueueUrl(t.Context(), &sqs.GetQueueUrlInput{QueueName: aws.String(queueName)})
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range messages {
		body, _ := json.Marshal(m)
		if _, err := client.SendMessage(t.Context(), &sqs.SendMessageInput{QueueUrl: out.QueueUrl, MessageBody: aws.String(string(body))}); err != nil {
			t.Fatal(err)
		}
	}
}

func message(account string, n int) map[string]any {
	return map[string]any{"userId": account, "workflowId": fmt.Sprintf("wf-%s-%d", account, n), "recipientId": fmt.Sprintf("fan-%s-%d", account, n), "content": "Hello"}
}

func (r *rig) stages(t *testing.T) map[string]int {
	t.Helper()
	rows, err := r.pool.Query(t.Context(), `SELECT stage, count(*) FROM hybrid_workflows GROUP BY stage`)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	stages := map[string]int{}
	for rows.Next() {
		var stage string
		var n int
		if err := rows.Scan(&stage, &n); err != nil {
			t.Fatal(err)
		}
		stages[stage] = n
	}
	return stages
}

func (r *rig) eventually(t *testing.T, within time.Duration, what string, done func() bool) {
	t.Helper()
	deadline := time.Now().Add(within)
	for !done() {
		if time.Now().After(deadline) {
			t.Fatalf("after %s: %s did not happen; stages %v, gateway %+v", within, what, r.stages(t), r.gateway.Stats())
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func TestMessagesGoThrough(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.start(t, r.config(t, "one"))
	for a := range 3 {
		for n := range 5 {
			r.put(t, message(fmt.Sprintf("creator-%d", a), n))
		}
	}
	r.eventually(t, 20*time.Second, "15 messages sent", func() bool { return r.stages(t)["sent"] == 15 })
	if stats := r.gateway.Stats(); stats.Accepted != 15 || stats.Repeated != 0 {
		t.Errorf("gateway: %+v", stats)
	}
}

func TestSaturatedAccount(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	config := r.config(t, "one")
	config.Account = limit.Rules{{Capacity: 10, Window: time.Second}}
	r.start(t, config)
	for n := range 40 {
		r.put(t, message("creator", n))
	}
	r.eventually(t, 30*time.Second, "40 messages sent", func() bool { return r.stages(t)["sent"] == 40 })
	if most, _ := gatewaysim.MaxInWindow(r.gateway.Arrivals(0), time.Second, gatewaysim.ByAccount); most > 10 {
		t.Errorf("%d arrivals within a second", most)
	}
}

func TestTraceReachesTheGateway(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.start(t, r.config(t, "one"))
	client := r.sqs.Client()
	out, err := client.GetQueueUrl(t.Context(), &sqs.GetQueueUrlInput{QueueName: aws.String(queueName)})
	if err != nil {
		t.Fatal(err)
	}
	body, err := json.Marshal(message("creator", 1))
	if err != nil {
		t.Fatal(err)
	}
	const traceID = "0af7651916cd43dd8448eb211c80319c"
	_, err = client.SendMessage(t.Context(), &sqs.SendMessageInput{QueueUrl: out.QueueUrl, MessageBody: aws.String(string(body)),
		MessageAttributes: map[string]types.MessageAttributeValue{"traceparent": {DataType: aws.String("String"), StringValue: aws.String("00-" + traceID + "-b7ad6b7169203331-01")}}})
	if err != nil {
		t.Fatal(err)
	}
	r.eventually(t, 20*time.Second, "the message sent", func() bool { return r.stages(t)["sent"] == 1 })
	if got := r.gateway.Arrivals(0)[0].Traceparent; !strings.HasPrefix(got, "00-"+traceID+"-") {
		t.Errorf("the gateway got traceparent %q, want trace %s", got, traceID)
	}
}
