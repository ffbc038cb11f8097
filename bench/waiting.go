package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/huntaze/hybrid-orchestrator/internal/gateway/gatewaysim"
)

const (
	saturatedAccounts = 20
	saturatedWindow   = time.Minute
	saturatedCapacity = 10
	saturatedRounds   = 4 // the first one finds all tokens free and is not measured
)

// saturated gives accounts a steady backlog at the real limit. The rate that one uses is seen at the gateway:
// the tokens are used up when the eleventh message has to wait for the first one's window, so the mean distance
// between an arrival and the tenth after it is the cycle of a token.
func (b *bench) saturated(ctx context.Context) ([]figure, error) {
	f, err := b.fleet(ctx, "10/60s", "off")
	if err != nil {
		return nil, err
	}
	defer f.close()
	if err := f.gateway.SetFaults(gatewaysim.Faults{Rules: []gatewaysim.Rule{{Kind: gatewaysim.Delay, Max: 400 * time.Millisecond}}}); err != nil {
		return nil, err
	}
	if err := f.start(ctx); err != nil {
		return nil, err
	}
	n := saturatedAccounts * saturatedCapacity * saturatedRounds
	if err := f.fill(ctx, "saturated", "creator", saturatedAccounts, n); err != nil {
		return nil, err
	}
	if err := waitFor(ctx, saturatedRounds*2*saturatedWindow, "saturated", f.accepted(n)); err != nil {
		return nil, err
	}
	arrivals := f.gateway.Arrivals(0)
	most, _ := gatewaysim.MaxInWindow(arrivals, saturatedWindow, gatewaysim.ByAccount)
	cycle := meanCycle(arrivals)
	ideal := saturatedWindow.Seconds() / (saturatedWindow + f.config.Guard + 200*time.Millisecond).Seconds()
	figures := []figure{
		{"saturated account: sent / allowed", fmt.Sprintf("%.4f (a strict limiter can reach %.4f)", saturatedWindow.Seconds()/cycle.Seconds(), ideal), "≥ 0.98",
			fmt.Sprintf("%d accounts, 10/60s, guard 500 ms, latency 0-400 ms, %d rounds", saturatedAccounts, saturatedRounds)},
		{"most arrivals of an account in any 60 s", fmt.Sprint(most), "≤ 10", "the same run, the gateway's own log"},
	}
	jobs, err := f.jobsPerMessage(ctx, n)
	if err != nil {
		return nil, err
	}
	transactions, err := f.transactionsPerMessage(ctx, n)
	if err != nil {
		return nil, err
	}
	return append(figures,
		figure{"River jobs per throttled message", fmt.Sprintf("%.2f", jobs), "≤ 1.3", "the same run"},
		figure{"transactions per throttled message", fmt.Sprintf("%.2f", transactions), "≤ 3", "the same run; intake, release, begin, finish"}), nil
}

// meanCycle is how long after an arrival the one that uses the same token comes, on average.
func meanCycle(arrivals []gatewaysim.Arrival) time.Duration {
	byAccount := map[string][]time.Duration{}
	for _, a := range arrivals {
		byAccount[a.UserID] = append(byAccount[a.UserID], a.Since)
	}
	var sum time.Duration
	n := 0
	for _, times := range byAccount {
		slices.Sort(times)
		for i := saturatedCapacity; i < len(times); i++ {
			sum += times[i] - times[i-saturatedCapacity]
			n++
		}
	}
	return sum / time.Duration(max(1, n))
}

func (f *fleet) jobsPerMessage(ctx context.Context, n int) (float64, error) {
	var jobs int
	err := f.pool.QueryRow(ctx, `SELECT count(*) FROM river.river_job WHERE kind <> 'reconcile'`).Scan(&jobs)
	return float64(jobs) / float64(n), err
}

// transactionsPerMessage reads what the worker itself counts.
func (f *fleet) transactionsPerMessage(ctx context.Context, n int) (float64, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+f.admin+"/metrics", nil)
	if err != nil {
		return 0, err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		return 0, err
	}
	sum := 0.0
	for line := range strings.Lines(string(text)) {
		if strings.HasPrefix(line, "huntaze_transactions_total{") && strings.Contains(line, `"committed"`) {
			value, err := strconv.ParseFloat(strings.TrimSpace(line[strings.LastIndexByte(line, ' '):]), 64)
			if err != nil {
				return 0, err
			}
			sum += value
		}
	}
	return sum / float64(n), nil
}

// million compares an account's latency beside a million queued messages of others with that beside none. The
// worker is a process of its own, so that its memory can be read.
func (b *bench) million(ctx context.Context) ([]figure, error) {
	f, err := b.fleet(ctx, "10/60s", "off")
	if err != nil {
		return nil, err
	}
	defer f.close()
	pid, stop, err := f.startProcess(ctx)
	if err != nil {
		return nil, err
	}
	defer stop()
	const probes = 200
	if _, err := f.latencies(ctx, "warm", 50, 20*time.Millisecond); err != nil {
		return nil, err
	}
	alone, err := f.latencies(ctx, "alone", probes, 20*time.Millisecond)
	if err != nil {
		return nil, err
	}
	n := b.count(1_000_000)
	if err := f.park(ctx, n); err != nil {
		return nil, err
	}
	beside, err := f.latencies(ctx, "beside", probes, 20*time.Millisecond)
	if err != nil {
		return nil, err
	}
	rss, err := residentMemory(pid)
	if err != nil {
		return nil, err
	}
	var jobs int
	if err := f.pool.QueryRow(ctx, `SELECT count(*) FROM river.river_job`).Scan(&jobs); err != nil {
		return nil, err
	}
	settings := fmt.Sprintf("%d queued of 10 accounts, %d probes at 50/s", n, probes)
	return []figure{
		{"latency of another account beside 1,000,000 queued / empty", fmt.Sprintf("%.2f (p50 %s / %s)", ratio(percentile(beside, 50), percentile(alone, 50)), round(percentile(beside, 50)), round(percentile(alone, 50))), "≤ 1.5", settings},
		{"worker's resident memory", fmt.Sprintf("%d MB", rss>>20), "≤ 200 MB", "the same run"},
		{"rows in river_job", fmt.Sprint(jobs), "< 50,000", "the same run"},
	}, nil
}

// park writes queued messages straight into the database, and lets the fleet know of them.
func (f *fleet) park(ctx context.Context, n int) error {
	for _, sql := range []string{
		`INSERT INTO accounts (user_id, created_at) SELECT 'big-' || i, hybrid_clock() FROM generate_series(0, 9) i`,
		fmt.Sprintf(`INSERT INTO hybrid_workflows (id, user_id, workflow_id, recipient_id, stage, not_before, provider_states, retry_attempts, trace_context, content, created_at, updated_at)
			SELECT gen_random_uuid(), 'big-' || i %% 10, 'big-' || i, 'fan-big-' || i, 'queued', hybrid_clock(),
				'{"azure":"pending","openai":"pending","rateLimiter":"pending","onlyFans":"pending"}', '{"azure":0,"openai":0,"onlyFans":0}', '{}', 'Hello', hybrid_clock(), hybrid_clock()
			FROM generate_series(1, %d) i`, n),
		`VACUUM ANALYZE hybrid_workflows`,
	} {
		if _, err := f.pool.Exec(ctx, sql); err != nil {
			return err
		}
	}
	return f.fill(ctx, "wake", "big", 10, 10)
}

// startProcess runs the worker as a process of its own.
func (f *fleet) startProcess(ctx context.Context) (pid int, stop func(), err error) {
	dir, err := os.MkdirTemp("", "huntaze-bench-")
	if err != nil {
		return 0, nil, err
	}
	binary := filepath.Join(dir, "huntaze")
	if out, err := exec.CommandContext(ctx, "go", "build", "-o", binary, "./cmd/huntaze").CombinedOutput(); err != nil {
		return 0, nil, fmt.Errorf("build: %w: %s", err, out)
	}
	cmd := exec.Command(binary, "worker")
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "DATABASE_URL="+f.url, "AWS_ENDPOINT_URL_SQS="+f.sqs.URL, "AWS_REGION=us-east-1", "AWS_ACCESS_KEY_ID=bench", "AWS_SECRET_ACCESS_KEY=bench",
		"SQS_QUEUE="+queueName, "SQS_RETRY_QUEUE=retry", "SQS_DLQ=dlq", "GATEWAY_URL="+f.config.Gateway.URL, "RATE_LIMIT_RECIPIENT=off", "ADMIN_ADDR=127.0.0.1:0", "LOG_LEVEL=error")
	if err := cmd.Start(); err != nil {
		return 0, nil, err
	}
	return cmd.Process.Pid, func() {
		_ = cmd.Process.Signal(os.Interrupt)
		_ = cmd.Wait()
		_ = os.RemoveAll(dir)
	}, nil
}

// residentMemory is Linux' VmRSS of a process, in bytes.
func residentMemory(pid int) (int64, error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(status)) {
		if value, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			kilobytes, err := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(value), "kB")), 10, 64)
			return kilobytes << 10, err
		}
	}
	return 0, errors.New("no VmRSS")
}

// latency measures from the call that puts a message on the queue to its arrival at the gateway, unthrottled.
func (b *bench) latency(ctx context.Context) ([]figure, error) {
	f, err := b.fleet(ctx, "10/60s", "1/60s,10/24h")
	if err != nil {
		return nil, err
	}
	defer f.close()
	if err := f.start(ctx); err != nil {
		return nil, err
	}
	if _, err := f.latencies(ctx, "warm", 200, 10*time.Millisecond); err != nil {
		return nil, err
	}
	all, err := f.latencies(ctx, "latency", b.count(2000), 10*time.Millisecond)
	if err != nil {
		return nil, err
	}
	return []figure{{"SQS → gateway at 100 messages/s", fmt.Sprintf("p50 %s, p99 %s", round(percentile(all, 50)), round(percentile(all, 99))), "p50 ≤ 50 ms, p99 ≤ 250 ms",
		fmt.Sprintf("%d messages, unthrottled, from SendMessage to the arrival", len(all))}}, nil
}

// latencies puts messages of fresh accounts on the queue at a steady pace and says how long each took.
func (f *fleet) latencies(ctx context.Context, prefix string, n int, every time.Duration) ([]time.Duration, error) {
	out, err := f.sqs.Client().GetQueueUrl(ctx, &sqs.GetQueueUrlInput{QueueName: aws.String(queueName)})
	if err != nil {
		return nil, err
	}
	client := f.sqs.Client()
	sent := map[string]time.Time{}
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for i := range n {
		<-ticker.C
		id := fmt.Sprintf("%s-%d", prefix, i)
		sent["fan-"+id] = time.Now()
		body := fmt.Sprintf(`{"userId":"account-%s","workflowId":"%s","recipientId":"fan-%s","content":"Hello"}`, id, id, id)
		if _, err := client.SendMessage(ctx, &sqs.SendMessageInput{QueueUrl: out.QueueUrl, MessageBody: &body}); err != nil {
			return nil, err
		}
	}
	var took []time.Duration
	err = waitFor(ctx, time.Minute, prefix, func() (bool, error) {
		took = took[:0]
		for _, a := range f.gateway.Arrivals(0) {
			if begin, ok := sent[a.RecipientID]; ok {
				took = append(took, a.At.Sub(begin))
			}
		}
		return len(took) >= n, nil
	})
	return took, err
}

func percentile(all []time.Duration, p int) time.Duration {
	slices.Sort(all)
	return all[min(len(all)-1, len(all)*p/100)]
}

func ratio(a, b time.Duration) float64 { return a.Seconds() / b.Seconds() }

func round(d time.Duration) time.Duration { return d.Round(100 * time.Microsecond) }
