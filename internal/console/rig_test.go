package console_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/huntaze/hybrid-orchestrator/db"
	"github.com/huntaze/hybrid-orchestrator/internal/console"
	"github.com/huntaze/hybrid-orchestrator/internal/limit"
	"github.com/huntaze/hybrid-orchestrator/internal/pgtest"
	"github.com/huntaze/hybrid-orchestrator/internal/workflow"
	"github.com/huntaze/hybrid-orchestrator/worker"
)

func TestMain(m *testing.M) { pgtest.Main(m, pgtest.WithLeakCheck()) }

var schema = pgtest.Template{Name: "console", Migrate: func(ctx context.Context, url string) error {
	pool, err := pgxpool.New(ctx, url)
	if err != nil {
		return err
	}
	defer pool.Close()
	return db.Migrate(ctx, pool)
}}

// start is the time at which the databases' clocks stand first.
var start = time.Date(2026, time.March, 2, 12, 0, 0, 0, time.UTC)

const (
	adminKey  = "key-of-an-admin"
	scopedKey = "key-for-creator-7"
	otherKey  = "key-for-nobody-here"
)

// keys are those that may log in, and the machine's clock.
type keys struct {
	mu      sync.Mutex
	who     map[string]console.Principal
	failure error
	asked   int
	now     time.Time
}

func (k *keys) Authenticate(_ context.Context, key string) (console.Principal, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.asked++
	if k.failure != nil {
		return console.Principal{}, k.failure
	}
	who, known := k.who[key]
	if !known {
		return console.Principal{}, fmt.Errorf("%w: unknown", console.ErrKeyRefused)
	}
	return who, nil
}

func (k *keys) Now() time.Time {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.now
}

func (k *keys) change(do func()) {
	k.mu.Lock()
	defer k.mu.Unlock()
	do()
}

// rig is a console on a real database whose clock stands still.
type rig struct {
	t        *testing.T
	database *pgtest.Database
	pool     *pgxpool.Pool
	store    *db.Store
	keys     *keys
	server   *httptest.Server
}

func newRig(t *testing.T, adjust ...func(*rig, *console.Options)) *rig {
	t.Helper()
	r := &rig{t: t, database: pgtest.New(t, schema), keys: &keys{now: start, who: map[string]console.Principal{
		adminKey:  {KeyID: "admin0000001", Admin: true},
		scopedKey: {KeyID: "scoped000001", Accounts: []string{"creator-7"}},
		otherKey:  {KeyID: "other0000001", Accounts: []string{"creator-9"}},
	}}}
	r.pool = r.database.Pool(t)
	store, closeStore, err := worker.OpenStore(t.Context(), r.database.URL, 4, db.Config{
		Timing: db.Timing{Reservation: 30 * time.Second, CallTimeout: 20 * time.Second, Settle: 2 * time.Minute}, Worker: "worker-1",
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(closeStore)
	r.store = store
	r.database.FreezeClock(t, start)
	account, recipient := rules(t, "10/60s"), rules(t, "off")
	if _, err := store.SeedLimits(t.Context(), account, recipient, 500*time.Millisecond); err != nil {
		t.Fatal(err)
	}
	options := console.Options{Store: store, Authenticate: r.keys.Authenticate, Now: r.keys.Now}
	for _, change := range adjust {
		change(r, &options)
	}
	handler, err := console.New(options)
	if err != nil {
		t.Fatal(err)
	}
	r.server = httptest.NewServer(handler)
	t.Cleanup(r.server.Close)
	return r
}

func rules(t *testing.T, text string) limit.Rules {
	t.Helper()
	parsed, err := limit.ParseRules(text)
	if err != nil {
		t.Fatal(err)
	}
	return parsed
}

// take takes a message in, and lets it go if it may.
func (r *rig) take(userID, workflowID, recipientID, campaignID string) uuid.UUID {
	r.t.Helper()
	m := workflow.Message{WorkflowID: workflowID, UserID: userID, RecipientID: recipientID, CampaignID: campaignID, Content: secretText, Priority: workflow.PriorityDefault, MaxRetries: 3}
	result, err := r.store.Ingest(r.t.Context(), []workflow.Delivery{{Source: "messages", MessageID: "sqs-" + workflowID, Message: m, Body: []byte("{}")}}, true)
	if err != nil || result.Answers[0].Outcome != workflow.IntakeAccepted {
		r.t.Fatalf("%s: %+v (%v)", workflowID, result, err)
	}
	return r.id(workflowID)
}

// secretText is what no page may show.
const secretText = "for nobody else to read"

func (r *rig) id(workflowID string) (id uuid.UUID) {
	r.t.Helper()
	if err := r.pool.QueryRow(r.t.Context(), `SELECT id FROM hybrid_workflows WHERE workflow_id = $1`, workflowID).Scan(&id); err != nil {
		r.t.Fatal(err)
	}
	return id
}

func (r *rig) stage(workflowID string) (stage workflow.Stage) {
	r.t.Helper()
	if err := r.pool.QueryRow(r.t.Context(), `SELECT stage FROM hybrid_workflows WHERE workflow_id = $1`, workflowID).Scan(&stage); err != nil {
		r.t.Fatal(err)
	}
	return stage
}

func (r *rig) exec(sql string, args ...any) {
	r.t.Helper()
	if _, err := r.pool.Exec(r.t.Context(), sql, args...); err != nil {
		r.t.Fatal(err)
	}
}

// end brings a message that was released to an outcome.
func (r *rig) end(workflowID string, report db.Finish) {
	r.t.Helper()
	var a db.Attempt
	if err := r.pool.QueryRow(r.t.Context(), `SELECT id, send_sequence FROM hybrid_workflows WHERE workflow_id = $1`, workflowID).Scan(&a.Workflow, &a.Sequence); err != nil {
		r.t.Fatal(err)
	}
	starts, err := r.store.Begin(r.t.Context(), []db.Attempt{a})
	if err != nil || starts[0].Verdict != db.VerdictGo {
		r.t.Fatalf("%s: %+v (%v)", workflowID, starts, err)
	}
	report.Attempt, report.Fence = a, starts[0].Fence
	if _, err := r.store.Finish(r.t.Context(), []db.Finish{report}, true); err != nil {
		r.t.Fatal(err)
	}
}

// doubt leaves a message in doubt that nobody but a person can settle.
func (r *rig) doubt(workflowID string) {
	r.t.Helper()
	r.end(workflowID, db.Finish{Outcome: workflow.EventUnknown, Reason: "timeout"})
	r.exec(`UPDATE send_attempts SET look_up_at = NULL WHERE state = 'unknown'`)
}

// campaign makes a campaign of the API.
func (r *rig) campaign(userID, name string, recipients int) uuid.UUID {
	r.t.Helper()
	id := uuid.Must(uuid.NewV7())
	if err := r.store.CreateCampaign(r.t.Context(), db.NewCampaign{ID: id, UserID: userID, Name: name, Content: secretText, Priority: 3, Share: 1, CreatedBy: "key admin0000001"}); err != nil {
		r.t.Fatal(err)
	}
	list := make([]db.Recipient, recipients)
	for i := range list {
		list[i] = db.Recipient{ID: fmt.Sprintf("fan-%d", i+1), Fields: map[string]string{"name": secretText}}
	}
	if _, err := r.store.AddRecipients(r.t.Context(), id, list); err != nil {
		r.t.Fatal(err)
	}
	return id
}

func (r *rig) state(campaign uuid.UUID) db.CampaignState {
	r.t.Helper()
	found, err := r.store.CampaignByID(r.t.Context(), campaign)
	if err != nil {
		r.t.Fatal(err)
	}
	return found.State
}

// browser is somebody with a browser.
type browser struct {
	t      *testing.T
	server *httptest.Server
	client *http.Client
}

func (r *rig) browser() *browser {
	jar, err := cookiejar.New(nil)
	if err != nil {
		r.t.Fatal(err)
	}
	transport := &http.Transport{}
	r.t.Cleanup(transport.CloseIdleConnections)
	return &browser{r.t, r.server, &http.Client{Jar: jar, Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}
}

// login is a browser that is logged in.
func (r *rig) login(key string) *browser {
	r.t.Helper()
	b := r.browser()
	if a := b.post("/login", "key", key); a.status != http.StatusSeeOther {
		r.t.Fatalf("log in: %d %s", a.status, a.body)
	}
	return b
}

// answer is what came back.
type answer struct {
	status int
	header http.Header
	body   string
}

func (b *browser) get(path string, header ...string) answer {
	b.t.Helper()
	request, err := http.NewRequestWithContext(b.t.Context(), http.MethodGet, b.server.URL+path, nil)
	if err != nil {
		b.t.Fatal(err)
	}
	return b.do(request, header)
}

// post sends a form as the console's own page does.
func (b *browser) post(path string, fields ...string) answer {
	b.t.Helper()
	return b.postFrom("same-origin", path, fields...)
}

func (b *browser) postFrom(site, path string, fields ...string) answer {
	b.t.Helper()
	form := url.Values{}
	for i := 0; i+1 < len(fields); i += 2 {
		form.Set(fields[i], fields[i+1])
	}
	request, err := http.NewRequestWithContext(b.t.Context(), http.MethodPost, b.server.URL+path, strings.NewReader(form.Encode()))
	if err != nil {
		b.t.Fatal(err)
	}
	return b.do(request, []string{"Content-Type", "application/x-www-form-urlencoded", "Sec-Fetch-Site", site})
}

func (b *browser) do(request *http.Request, header []string) answer {
	b.t.Helper()
	for i := 0; i+1 < len(header); i += 2 {
		request.Header.Set(header[i], header[i+1])
	}
	response, err := b.client.Do(request)
	if err != nil {
		b.t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	return answer{response.StatusCode, response.Header, string(body)}
}

// wants fails the test unless the page has the status and the texts.
func (a answer) wants(t *testing.T, status int, texts ...string) answer {
	t.Helper()
	if a.status != status {
		t.Errorf("status %d, want %d:\n%s", a.status, status, a.body)
	}
	for _, text := range texts {
		if !strings.Contains(a.body, text) {
			t.Errorf("%q is not in the page:\n%s", text, a.body)
		}
	}
	return a
}

func (a answer) lacks(t *testing.T, texts ...string) answer {
	t.Helper()
	for _, text := range texts {
		if strings.Contains(a.body, text) {
			t.Errorf("%q is in the page:\n%s", text, a.body)
		}
	}
	return a
}

var errDown = errors.New("connection refused")
