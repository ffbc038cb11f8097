package console

import (
	"bytes"
	"context"
	"log/slog"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"

	"github.com/huntaze/hybrid-orchestrator/db"
	"github.com/huntaze/hybrid-orchestrator/internal/console"
	"github.com/huntaze/hybrid-orchestrator/internal/pgtest"
)

func TestMain(m *testing.M) { pgtest.Main(m, pgtest.WithLeakCheck()) }

// key is that of an admin.
const key = "huntaze_browsertest_key"

func authenticate(_ context.Context, given string) (console.Principal, error) {
	if given != key {
		return console.Principal{}, console.ErrKeyRefused
	}
	return console.Principal{KeyID: "browsertest1", Admin: true}, nil
}

// need returns the first of the programs that is there, or skips the test.
func need(t *testing.T, names ...string) string {
	t.Helper()
	for _, name := range names {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	missing(t, "there is no "+strings.Join(names, ", nor "))
	return ""
}

func missing(t *testing.T, why string) {
	t.Helper()
	if os.Getenv("BROWSER_TEST") == "required" {
		t.Fatalf("the console was not tried with a browser: %s", why)
	}
	t.Skipf("THE CONSOLE WAS NOT TRIED WITH A BROWSER: %s", why)
}

func TestConsoleInABrowser(t *testing.T) {
	node, npm := need(t, "node"), need(t, "npm")
	chromium := os.Getenv("CHROMIUM")
	if chromium == "" {
		chromium = need(t, "chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
	}
	if _, err := os.Stat("node_modules/playwright-core"); err != nil {
		if out, err := exec.CommandContext(t.Context(), npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund").CombinedOutput(); err != nil {
			missing(t, "npm ci failed: "+string(out))
		}
	}
	s := newStory(t)
	client, err := river.NewClient(riverpgxv5.New(s.pool), &river.Config{Schema: db.RiverSchema, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	pages, err := console.NewRiverUI(t.Context(), client, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	handler, err := console.New(console.Options{Store: s.store, Authenticate: authenticate, Now: time.Now, RiverUI: pages, Logger: slog.New(slog.NewTextHandler(&log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(handler)
	defer server.Close()
	shots := os.Getenv("CONSOLE_SHOTS")
	if shots == "" {
		shots = t.TempDir()
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	walk := exec.CommandContext(ctx, node, "walk.mjs")
	walk.Env = append(os.Environ(), "CONSOLE_URL="+server.URL, "CONSOLE_KEY="+key, "CONSOLE_SHOTS="+shots, "CHROMIUM="+chromium,
		"CAMPAIGN="+s.campaign.String(), "WAITING="+s.waiting, "ACCOUNT="+s.account, "DOUBT="+s.doubt, "EARLIER="+s.earlier)
	out, err := walk.CombinedOutput()
	t.Logf("%s", out)
	if err != nil {
		t.Errorf("%v\n%s", err, log.String())
	}
	if state := s.state(s.campaign); state != db.CampaignRunning {
		t.Errorf("in the end the campaign is %s", state)
	}
	for _, doubt := range []string{s.doubt, s.earlier} {
		if got := s.stage(doubt); got != "sent" {
			t.Errorf("message %s, whose doubt was settled, is %s", doubt, got)
		}
	}
	if reason := s.detail(s.doubt); reason != "it is in the chat" {
		t.Errorf("the doubt was settled because %q", reason)
	}
}
