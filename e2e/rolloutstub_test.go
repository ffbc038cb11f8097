package e2e_test

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/huntaze/hybrid-orchestrator/queue/sqstest"
)

// legacy stands for the orchestrator before this one. It notes what it is asked.
type legacy struct {
	f    *fleet
	addr string

	mu     sync.Mutex
	status int
	server *http.Server
	taken  []handed // with 2xx
	tried  int      // with anything else
}

// handed is a message that was handed over.
type handed struct{ process, user, messageID, body string }

// startLegacy starts the other orchestrator. The workers that are started from now on know of it.
func (f *fleet) startLegacy() *legacy {
	f.t.Helper()
	l := &legacy{f: f, addr: "127.0.0.1:0", status: http.StatusAccepted}
	l.listen()
	f.t.Cleanup(l.refuse)
	f.exec(`CREATE TABLE e2e_decisions (process text, user_id text, side text, at timestamptz);
		CREATE FUNCTION e2e_decide() RETURNS trigger LANGUAGE plpgsql AS $$
			BEGIN INSERT INTO e2e_decisions VALUES (current_setting('application_name'), NEW.user_id, NEW.side, clock_timestamp()); RETURN NULL; END $$;
		CREATE TRIGGER e2e_decide AFTER INSERT ON workflow_routes FOR EACH ROW EXECUTE FUNCTION e2e_decide()`)
	return l
}

// startBeside starts workers beside it, each with an address of its own for it.
func (l *legacy) startBeside(n int) (all []*process) {
	l.f.t.Helper()
	for i := range n {
		all = append(all, l.f.launch(fmt.Sprintf("LEGACY_ORCHESTRATOR_URL=http://%s/%d", l.addr, i)))
	}
	for _, p := range all {
		p.awaitStart()
	}
	return all
}

func (l *legacy) listen() {
	l.f.t.Helper()
	listener, err := net.Listen("tcp", l.addr)
	l.f.must(err)
	server := &http.Server{Handler: l, ReadHeaderTimeout: 10 * time.Second}
	l.mu.Lock()
	l.addr, l.server = listener.Addr().String(), server
	l.mu.Unlock()
	go func() { _ = server.Serve(listener) }()
}

// refuse makes it refuse connections until it listens again.
func (l *legacy) refuse() {
	l.mu.Lock()
	defer l.mu.Unlock()
	_ = l.server.Close()
}

// answer chooses the status of its answers.
func (l *legacy) answer(status int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.status = status
}

// ServeHTTP implements http.Handler.
func (l *legacy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	process, path, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case err != nil || r.Method != http.MethodPost || path != "messages" || r.Header.Get("Traceparent") == "":
		l.f.t.Errorf("the legacy orchestrator was asked %s %s with the headers %v: %v", r.Method, r.URL, r.Header, err)
		w.WriteHeader(http.StatusBadRequest)
		return
	case l.status >= 300:
		l.tried++
	default:
		l.taken = append(l.taken, handed{process, r.Header.Get("X-Huntaze-User-Id"), r.Header.Get("X-SQS-Message-Id"), string(body)})
	}
	w.WriteHeader(l.status)
}

// all is what it has taken.
func (l *legacy) all() []handed {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]handed(nil), l.taken...)
}

func (l *legacy) refused() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.tried
}

// problems compares what it has taken with the bodies that it was to get, each once and as it was put on the queue.
func (l *legacy) problems(want []string) (found []string) {
	times := map[string]int{}
	for _, h := range l.all() {
		times[h.body]++
	}
	for _, body := range want {
		if times[body] != 1 {
			found = append(found, fmt.Sprintf("the legacy orchestrator got %q %d times, want once", body, times[body]))
		}
		delete(times, body)
	}
	for body := range times {
		found = append(found, fmt.Sprintf("the legacy orchestrator got %q, which was not for it", body))
	}
	return found
}

// decision is what a process decided for the workflows of an account.
type decision struct {
	process string
	here    bool
	at      time.Time
}

func (l *legacy) decisions(user string, since time.Time) []decision {
	l.f.t.Helper()
	return query(l.f, func(r pgx.CollectableRow) (d decision, err error) {
		return d, r.Scan(&d.process, &d.here, &d.at)
	}, `SELECT process, side = 'here', at FROM e2e_decisions WHERE user_id = $1 AND at > $2 ORDER BY at`, user, since)
}

// sides says which of some workflows are here; the others are with the legacy orchestrator, or nobody has decided.
func (l *legacy) sides(user string) (here map[string]bool) {
	l.f.t.Helper()
	here = map[string]bool{}
	query(l.f, func(r pgx.CollectableRow) (none struct{}, err error) {
		var id string
		var is bool
		err = r.Scan(&id, &is)
		here[id] = is
		return none, err
	}, `SELECT workflow_id, side = 'here' FROM workflow_routes WHERE $1 IN ('', user_id)`, user)
	return here
}

// hasteClock is the time of an SQS server that a test can hasten.
type hasteClock struct {
	mu     sync.Mutex
	ahead  time.Duration
	timers map[*hasteTimer]bool
}

// hasteTimer is one of its timers.
type hasteTimer struct {
	clock *hasteClock
	timer *time.Timer
	due   time.Time
}

// hasten gives the fleet an SQS server whose time the test can hasten.
func (f *fleet) hasten() *hasteClock {
	f.t.Helper()
	c := &hasteClock{timers: map[*hasteTimer]bool{}}
	f.sqs = sqstest.StartTB(f.t, sqstest.Options{Clock: c})
	f.must(f.sqs.ApplyProductionQueues(mainQueue, retryQueue, deadQueue))
	f.settings["AWS_ENDPOINT_URL_SQS"] = f.sqs.URL
	return c
}

// Now implements sqstest.Clock.
func (c *hasteClock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return time.Now().Add(c.ahead)
}

// AfterFunc implements sqstest.Clock.
func (c *hasteClock) AfterFunc(d time.Duration, do func()) sqstest.Timer {
	c.mu.Lock()
	defer c.mu.Unlock()
	t := &hasteTimer{clock: c, due: time.Now().Add(c.ahead + d)}
	c.timers[t] = true
	t.timer = time.AfterFunc(d, func() {
		t.forget()
		do()
	})
	return t
}

// skip lets time pass.
func (c *hasteClock) skip(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ahead += d
	for t := range c.timers {
		if t.timer.Stop() {
			t.timer.Reset(max(0, time.Until(t.due)-c.ahead))
		}
	}
}

// Stop implements sqstest.Timer.
func (t *hasteTimer) Stop() bool {
	t.forget()
	return t.timer.Stop()
}

func (t *hasteTimer) forget() {
	t.clock.mu.Lock()
	defer t.clock.mu.Unlock()
	delete(t.clock.timers, t)
}
