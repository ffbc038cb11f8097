package cli

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/huntaze/hybrid-orchestrator/db"
	"github.com/huntaze/hybrid-orchestrator/internal/gateway/gatewaysim"
	"github.com/huntaze/hybrid-orchestrator/internal/limit"
	"github.com/huntaze/hybrid-orchestrator/internal/pgtest"
	"github.com/huntaze/hybrid-orchestrator/queue/sqstest"
)

// level is that of the first finding of a part whose text has the words.
func level(findings []finding, part, words string) string {
	for _, f := range findings {
		if f.Part == part && strings.Contains(f.What+f.Remedy, words) {
			return f.Level
		}
	}
	return "not found"
}

func (c *terminal) findings(code int) []finding {
	c.t.Helper()
	var findings []finding
	c.run("doctor", "--json").wants(c.t, code).json(c.t, &findings)
	return findings
}

func TestDoctor(t *testing.T) {
	t.Parallel()
	// A server of its own, with the durability of production: that of the other tests has none.
	cluster := pgtest.Cluster(t)
	c := newTerminal(t)
	c.environ["DATABASE_URL"] = cluster.URL("postgres")
	c.environ["GATEWAY_TOKEN"] = "right"
	c.withQueues()
	sim := c.withGateway(gatewaysim.Options{Token: "right"})

	before := c.findings(exitFindings)
	if got := level(before, "schema", "the fleet's tables lack "); got != levelFail {
		t.Errorf("a database without tables is %s: %+v", got, before)
	}
	c.run("migrate", "up").wants(t, exitOK, "the schema is up to date")
	c.run("doctor").wants(t, exitOK, "ok    database  postgres://", "answers, Postgres", "a commit that was answered is on the disk", "its clock agrees",
		"the fleet's tables are up to date", "River's tables are up to date", "warn  fleet     no worker is active", "warn  limits    the database has no rules yet",
		"ok    queues    "+messagesQueue, "ok    gateway   http://", "the look-up works")

	pool, err := db.Open(t.Context(), cluster.URL("postgres"), 2, "test")
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	store := db.NewStore(pool, nil, db.Config{})
	if _, err := store.SeedLimits(t.Context(), limit.Rules{{Capacity: 3, Window: time.Minute}}, rules(t, "1/60s,10/24h"), time.Second); err != nil {
		t.Fatal(err)
	}
	if _, err := pool.Exec(t.Context(), `UPDATE fleet_state SET frozen_until = now() + interval '1 hour', frozen_reason = 'it failed over'`); err != nil {
		t.Fatal(err)
	}
	if err := sim.SetFaults(gatewaysim.Faults{LookUp: gatewaysim.LookUpAbsent}); err != nil {
		t.Fatal(err)
	}
	found := c.findings(exitOK)
	for _, want := range []struct{ part, words, level string }{
		{"limits", "RATE_LIMIT_ACCOUNT is 10/60s here, the database has 3/60s", levelWarn},
		{"limits", "RATE_LIMIT_GUARD is 500ms here, the database has 1s", levelWarn},
		{"fleet", "the fleet is frozen until", levelWarn},
		{"gateway", "has no look-up", levelWarn},
	} {
		if got := level(found, want.part, want.words); got != want.level {
			t.Errorf("%s: %q is %s, want %s: %+v", want.part, want.words, got, want.level, found)
		}
	}
	c.environ["GATEWAY_TOKEN"] = "wrong"
	if got := level(c.findings(exitFindings), "gateway", "correct GATEWAY_TOKEN"); got != levelFail {
		t.Errorf("a wrong token is %s", got)
	}
	c.environ["GATEWAY_TOKEN"] = "right"
	if err := sim.SetFaults(gatewaysim.Faults{LookUp: gatewaysim.LookUpFailing}); err != nil {
		t.Fatal(err)
	}
	if got := level(c.findings(exitFindings), "gateway", "status 500"); got != levelFail {
		t.Errorf("a failing look-up is %s", got)
	}
	// Somebody else's server, which takes everything for its own.
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(`{"messageId":"1"}`)) }))
	defer other.Close()
	c.environ["GATEWAY_URL"] = other.URL
	if got := level(c.findings(exitFindings), "gateway", "a message which never was"); got != levelFail {
		t.Errorf("a gateway that knows everything is %s", got)
	}
}

// Nothing is configured, or nothing answers: each part says so, and what to do.
func TestDoctorFindsNothing(t *testing.T) {
	t.Parallel()
	c := newTerminal(t)
	c.environ["AWS_ENDPOINT_URL_SQS"] = "http://127.0.0.1:1"
	c.run("doctor").wants(t, exitFindings, "fail  database  DATABASE_URL is not set", "fail  queues    find queue", "fail  gateway   GATEWAY_URL is not set", "3 failed checks")
	c.environ["DATABASE_URL"] = "postgres://huntaze:hunter2@127.0.0.1:1/huntaze"
	c.environ["GATEWAY_URL"] = "http://127.0.0.1:1"
	shown := c.run("doctor").wants(t, exitFindings, "postgres://huntaze:***@127.0.0.1:1/huntaze can't be reached", "http://127.0.0.1:1 does not answer as the contract says")
	if strings.Contains(shown.out+shown.errOut, "hunter2") {
		t.Error("the password is shown")
	}
}

// The tests' own server is fast because it does not wait for the disk, which is just what must not be.
func TestDoctorFindsForgetfulDatabase(t *testing.T) {
	t.Parallel()
	f := newFleet(t, "10/60s", "1/60s,10/24h")
	f.withQueues()
	f.withGateway(gatewaysim.Options{})
	found := f.findings(exitFindings)
	if got := level(found, "database", "fsync is off"); got != levelFail {
		t.Errorf("fsync off is %s: %+v", got, found)
	}
	if got := level(found, "limits", "environment and database agree"); got != levelOK {
		t.Errorf("limits that agree are %s", got)
	}
	f.doubtful(message("creator-7", 1))
	f.undecided("wf-1")
	f.exec(`UPDATE fleet_state SET timeline = timeline + 1`)
	f.exec(`INSERT INTO schema_migrations (version, name, checksum) VALUES (999, 'future', '')`)
	found = f.findings(exitFindings)
	if got := level(found, "schema", "newer than this binary"); got != levelFail {
		t.Errorf("a newer schema is %s: %+v", got, found)
	}
	f.exec(`DELETE FROM schema_migrations WHERE version = 999`)
	found = f.findings(exitFindings)
	if got := level(found, "fleet", "1 message in doubt: an operator must decide"); got != levelWarn {
		t.Errorf("a doubt is %s: %+v", got, found)
	}
	if got := level(found, "fleet", "failed over or was restored since the last send"); got != levelWarn {
		t.Errorf("a failover is %s: %+v", got, found)
	}
}

func TestDoctorFindsBadQueues(t *testing.T) {
	t.Parallel()
	c := newTerminal(t)
	server := sqstest.StartTB(t, sqstest.Options{})
	c.environ["AWS_ENDPOINT_URL_SQS"] = server.URL
	for _, name := range []string{messagesQueue, deadQueue} {
		if _, err := server.Client().CreateQueue(t.Context(), &sqs.CreateQueueInput{QueueName: aws.String(name), Attributes: map[string]string{"VisibilityTimeout": "20"}}); err != nil {
			t.Fatal(err)
		}
	}
	found := c.findings(exitFindings)
	for words, want := range map[string]string{"the visibility timeout is 20s": levelFail, "the retry queue does not exist": levelFail, "there is no redrive policy": levelFail} {
		if got := level(found, "queues", words); got != want {
			t.Errorf("%q is %s, want %s: %+v", words, got, want, found)
		}
	}
}

func TestHealthcheck(t *testing.T) {
	t.Parallel()
	c := newTerminal(t)
	status := http.StatusOK
	process := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/livez" {
			status = http.StatusNotFound
		}
		w.WriteHeader(status)
	}))
	defer process.Close()
	_, port, err := net.SplitHostPort(process.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	for _, address := range []string{"127.0.0.1:" + port, ":" + port, "0.0.0.0:" + port} {
		c.environ["ADMIN_ADDR"] = address
		if r := c.run("healthcheck").wants(t, exitOK); r.out+r.errOut != "" {
			t.Errorf("%s: it says %q", address, r.out+r.errOut)
		}
	}
	status = http.StatusInternalServerError
	c.run("healthcheck").wants(t, exitFailed, "answers 500")
	for address, says := range map[string]string{"127.0.0.1:1": "does not answer", "127.0.0.1:0": "set a port", "nonsense": "ADMIN_ADDR"} {
		c.environ["ADMIN_ADDR"] = address
		c.run("healthcheck").wants(t, exitFailed, says)
	}
}

func TestReachable(t *testing.T) {
	t.Parallel()
	for listens, want := range map[string]string{
		":9090": "127.0.0.1:9090", "0.0.0.0:9090": "127.0.0.1:9090", "[::]:9090": "[::1]:9090", "10.1.2.3:9090": "10.1.2.3:9090", "localhost:9090": "localhost:9090",
	} {
		if got, err := reachable(listens); got != want || err != nil {
			t.Errorf("%s is asked at %q (%v), want %q", listens, got, err, want)
		}
	}
}

// simulate runs a simulator until the test ends it, and returns where it is.
func (c *terminal) simulate(pattern string, args ...string) (url string, stop func() result) {
	c.t.Helper()
	ctx, cancel := context.WithCancel(c.t.Context())
	out, errOut := &lines{}, &lines{}
	a := c.app(strings.NewReader(""), nil, nil)
	a.out, a.err = out, errOut
	code := make(chan int, 1)
	go func() { code <- a.run(ctx, args) }()
	c.t.Cleanup(cancel)
	url = out.wait(c.t, pattern)
	return url, func() result {
		cancel()
		return result{<-code, out.String(), errOut.String()}
	}
}

func get(t *testing.T, url, token string) (status int) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	if token != "" {
		request.Header.Set("Authorization", "Bearer "+token)
	}
	transport := &http.Transport{DisableKeepAlives: true}
	response, err := transport.RoundTrip(request)
	if err != nil {
		t.Fatal(err)
	}
	_ = response.Body.Close()
	return response.StatusCode
}

func TestGatewaySim(t *testing.T) {
	t.Parallel()
	c := newTerminal(t)
	c.environ["GATEWAY_TOKEN"] = "from-the-environment"
	faults := c.file("faults.json", `{"rules":[{"kind":"hang_before"}],"lookUp":"absent"}`)
	url, stop := c.simulate(`simulated gateway at (http://\S+);`, "gateway-sim", "--addr", "127.0.0.1:0", "--log", c.file("arrivals.jsonl", ""), "--fault-file", faults)
	if status := get(t, url+"/livez", ""); status != http.StatusOK {
		t.Errorf("/livez answers %d", status)
	}
	if status := get(t, url+"/v1/messages?clientRef=x", "from-the-environment"); status != http.StatusNotImplemented {
		t.Errorf("the look-up answers %d, want what the fault file says", status)
	}
	if status := get(t, url+"/v1/messages?clientRef=x", "another"); status != http.StatusUnauthorized {
		t.Errorf("another token gets %d", status)
	}
	// A request that hangs does not keep it from stopping.
	hangs := make(chan struct{})
	go func() {
		defer close(hangs)
		transport := &http.Transport{DisableKeepAlives: true}
		request, _ := http.NewRequest(http.MethodPost, url+"/v1/messages", strings.NewReader(`{"clientRef":"a","userId":"b","recipientId":"c","content":"d"}`))
		request.Header.Set("Authorization", "Bearer from-the-environment")
		if response, err := transport.RoundTrip(request); err == nil {
			_ = response.Body.Close()
		}
	}()
	begun := time.Now()
	if got := stop(); got.code != exitOK {
		t.Errorf("it ended with %d: %s", got.code, got.errOut)
	}
	<-hangs
	if took := time.Since(begun); took > simGrace {
		t.Errorf("stopping took %s", took)
	}

	c.run("gateway-sim", "--fault-file", c.file("faults.json", `{"rules":[{"kind":"no_such"}]}`)).wants(t, exitMisused, "--fault-file: ", "no such kind; they are delay, ")
	c.run("gateway-sim", "--fault-file", "none.json").wants(t, exitMisused, "--fault-file: ")
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = taken.Close() }()
	c.run("gateway-sim", "--addr", taken.Addr().String()).wants(t, exitMisused, "--addr "+taken.Addr().String(), "port 0 takes any")
}

func TestSQSSim(t *testing.T) {
	t.Parallel()
	c := newTerminal(t)
	url, stop := c.simulate(`SQS at (http://\S+): `, "sqs-sim", "--addr", "127.0.0.1:0")
	if status := get(t, url+"/livez", ""); status != http.StatusOK {
		t.Errorf("/livez answers %d", status)
	}
	c.environ["AWS_ENDPOINT_URL_SQS"] = url
	c.typed(line(1), "send", "-").wants(t, exitOK, "1 message sent")
	found := c.findings(exitFindings) // of the database and the gateway, which there are none of
	if got := level(found, "queues", "are as the contract says"); got != levelOK {
		t.Errorf("the queues are %s: %+v", got, found)
	}
	if got := stop(); got.code != exitOK || !strings.Contains(got.out, joined(retryQueue, deadQueue, messagesQueue)) {
		t.Errorf("it ended with %d: %s%s", got.code, got.out, got.errOut)
	}
}
