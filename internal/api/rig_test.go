package api_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/huntaze/hybrid-orchestrator/db"
	"github.com/huntaze/hybrid-orchestrator/internal/api"
	"github.com/huntaze/hybrid-orchestrator/internal/apikey"
	"github.com/huntaze/hybrid-orchestrator/internal/limit"
	"github.com/huntaze/hybrid-orchestrator/internal/pgtest"
	"github.com/huntaze/hybrid-orchestrator/internal/workflow"
	"github.com/huntaze/hybrid-orchestrator/worker"
)

func TestMain(m *testing.M) { pgtest.Main(m, pgtest.WithLeakCheck()) }

var schema = pgtest.Template{Name: "schema", Migrate: func(ctx context.Context, url string) error {
	pool, err := pgxpool.New(ctx, url)
	if err != nil {
		return err
	}
	defer pool.Close()
	return db.Migrate(ctx, pool)
}}

// start is the time at which the databases' clocks stand first.
var start = time.Date(2026, time.March, 2, 12, 0, 0, 0, time.UTC)

// rig is an API that is served on a port, with a database of its own and keys.
type rig struct {
	*pgtest.Database
	t      *testing.T
	store  *db.Store
	url    string
	client *http.Client
	log    *lockedBuffer
	admin  string
	a, b   string // keys for accounts a and b
	stop   func() error
}

type lockedBuffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *lockedBuffer) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func newRig(t *testing.T, adjust ...func(*api.Config)) *rig {
	t.Helper()
	r := &rig{Database: pgtest.New(t, schema), t: t, log: &lockedBuffer{}, client: &http.Client{Transport: &http.Transport{}}}
	store, closeStore, err := worker.OpenStore(t.Context(), r.URL, 8, db.Config{
		Timing: db.Timing{Reservation: 30 * time.Second, CallTimeout: 20 * time.Second, Settle: 2 * time.Minute}, Worker: "test",
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(closeStore)
	r.store = store
	r.FreezeClock(t, start)
	if _, err := store.SeedLimits(t.Context(), rules(t, "10/60s"), rules(t, "off"), 500*time.Millisecond); err != nil {
		t.Fatal(err)
	}
	r.admin, r.a, r.b = r.newKey(nil), r.newKey([]string{"a"}), r.newKey([]string{"b"})
	r.serve(adjust...)
	t.Cleanup(func() {
		r.client.CloseIdleConnections()
		if err := r.stop(); err != nil {
			t.Errorf("the server's end: %v", err)
		}
	})
	return r
}

// serve starts a server, as another process on the same database would.
func (r *rig) serve(adjust ...func(*api.Config)) {
	r.t.Helper()
	config := api.Config{
		Store: r.store, RatePerSecond: 10_000, PollEvery: 20 * time.Millisecond, HeartbeatEvery: 50 * time.Millisecond, ShutdownTimeout: 10 * time.Second,
		Logger: slog.New(slog.NewJSONHandler(r.log, nil)), TextCost: func(string) (int64, bool) { return 2_000_000_000, true },
	}
	for _, change := range adjust {
		change(&config)
	}
	server, err := api.New(config)
	if err != nil {
		r.t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		r.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(ctx, listener) }()
	r.url = "http://" + listener.Addr().String()
	r.stop = sync.OnceValue(func() error { cancel(); return <-ended })
}

func rules(t testing.TB, text string) limit.Rules {
	t.Helper()
	parsed, err := limit.ParseRules(text)
	if err != nil {
		t.Fatal(err)
	}
	return parsed
}

// newKey makes a key for some accounts; nil: an admin's.
func (r *rig) newKey(accounts []string) string {
	r.t.Helper()
	key := apikey.New()
	hash := key.Hash()
	if _, err := r.store.CreateAPIKey(r.t.Context(), db.NewAPIKey{ID: key.ID, Name: "test", SecretHash: hash[:], Admin: accounts == nil, Accounts: accounts, CreatedBy: "test"}); err != nil {
		r.t.Fatal(err)
	}
	return key.Reveal()
}

// answer is what came back.
type answer struct {
	t      *testing.T
	what   string
	status int
	header http.Header
	body   []byte
}

func (r *rig) do(key, method, path, body string, headers ...string) answer {
	r.t.Helper()
	var content io.Reader
	if body != "" {
		content = strings.NewReader(body)
	}
	return r.send(key, method, path, content, headers...)
}

func (r *rig) send(key, method, path string, body io.Reader, headers ...string) answer {
	r.t.Helper()
	request, err := http.NewRequestWithContext(r.t.Context(), method, r.url+path, body)
	if err != nil {
		r.t.Fatal(err)
	}
	if key != "" {
		request.Header.Set("Authorization", "Bearer "+key)
	}
	if body != nil {
		request.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i < len(headers); i += 2 {
		request.Header.Set(headers[i], headers[i+1])
	}
	response, err := r.client.Do(request)
	if err != nil {
		r.t.Fatalf("%s %s: %v", method, path, err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	return answer{r.t, method + " " + path, response.StatusCode, response.Header, text}
}

// wants fails the test unless the status is that, and returns the answer's members.
func (a answer) wants(status int) map[string]any {
	a.t.Helper()
	if a.status != status {
		a.t.Fatalf("%s: status %d, want %d: %s", a.what, a.status, status, a.body)
	}
	if len(a.body) == 0 {
		return nil
	}
	var members map[string]any
	if err := json.Unmarshal(a.body, &members); err != nil {
		a.t.Fatalf("%s: %v in %s", a.what, err, a.body)
	}
	return members
}

// refuses fails the test unless it is a problem document with that status that names the field.
func (a answer) refuses(status int, field string) api.Problem {
	a.t.Helper()
	var p api.Problem
	if a.status != status || a.header.Get("Content-Type") != "application/problem+json" || json.Unmarshal(a.body, &p) != nil || p.Status != status || p.Code == "" || p.Detail == "" || p.Title == "" {
		a.t.Errorf("%s: status %d, want %d as a problem: %v %s", a.what, a.status, status, a.header, a.body)
		return p
	}
	if p.RequestID == "" || p.RequestID != a.header.Get("X-Request-Id") || a.header.Get("Traceparent") == "" {
		a.t.Errorf("%s: requestId %q, header %q", a.what, p.RequestID, a.header.Get("X-Request-Id"))
	}
	for _, e := range p.Errors {
		if e.Field == field && e.In != "" && e.Reason != "" {
			return p
		}
	}
	if field != "" {
		a.t.Errorf("%s: %q is not named: %s", a.what, field, a.body)
	}
	return p
}

// newCampaign creates a draft of an account.
func (r *rig) newCampaign(key, account string, recipients int) string {
	r.t.Helper()
	ids := make([]string, recipients)
	for i := range ids {
		ids[i] = fmt.Sprintf("fan-%d", i)
	}
	list, _ := json.Marshal(ids)
	made := r.do(key, "POST", "/v1/campaigns", fmt.Sprintf(`{"userId":%q,"name":"Spring","content":"Hello","recipients":%s}`, account, list)).wants(http.StatusCreated)
	return made["id"].(string)
}

// expand turns recipients into messages, as a worker would, and releases what may go.
func (r *rig) expand(id string) {
	r.t.Helper()
	pool := r.Pool(r.t)
	for {
		var step int
		var due *time.Time
		if err := pool.QueryRow(r.t.Context(), `SELECT step, due_at FROM campaign_expansions WHERE campaign = $1`, id).Scan(&step, &due); err != nil {
			r.t.Fatal(err)
		}
		if due == nil {
			return
		}
		if _, err := r.store.Expand(r.t.Context(), mustID(r.t, id), step); err != nil {
			r.t.Fatal(err)
		}
	}
}

// sendAll brings all that was released to its end.
func (r *rig) sendAll() {
	r.t.Helper()
	pool := r.Pool(r.t)
	rows, err := pool.Query(r.t.Context(), `SELECT workflow, sequence FROM send_attempts WHERE state = 'reserved'`)
	if err != nil {
		r.t.Fatal(err)
	}
	var attempts []db.Attempt
	for rows.Next() {
		var a db.Attempt
		if err := rows.Scan(&a.Workflow, &a.Sequence); err != nil {
			r.t.Fatal(err)
		}
		attempts = append(attempts, a)
	}
	rows.Close()
	starts, err := r.store.Begin(r.t.Context(), attempts)
	if err != nil {
		r.t.Fatal(err)
	}
	var ends []db.Finish
	for i, s := range starts {
		ends = append(ends, db.Finish{Attempt: attempts[i], Fence: s.Fence, Outcome: workflow.EventAccepted, GatewayMessageID: fmt.Sprint("m", i), Status: 201})
	}
	if _, err := r.store.Finish(r.t.Context(), ends, true); err != nil {
		r.t.Fatal(err)
	}
}
