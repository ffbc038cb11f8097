package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/huntaze/hybrid-orchestrator/internal/api"
)

// withAPIServer runs `huntaze api` beside the command line, which gets a key for it. The returned function ends it.
func (f *fleet) withAPIServer(args ...string) (stop func() result) {
	f.t.Helper()
	stop, _ = f.withAPIAndAdmin(args...)
	return stop
}

// withAPIAndAdmin also returns the address of the metrics, where ADMIN_ADDR is set.
func (f *fleet) withAPIAndAdmin(args ...string) (stop func() result, admin string) {
	f.t.Helper()
	f.environ["HTTP_ADDR"], f.environ["API_RATE_LIMIT"] = "127.0.0.1:0", "1000"
	ctx, cancel := context.WithCancel(context.WithoutCancel(f.t.Context()))
	var out bytes.Buffer
	errOut := &lines{}
	server := f.app(strings.NewReader(""), &out, &bytes.Buffer{})
	server.err = errOut
	ended := make(chan int, 1)
	go func() { ended <- server.run(ctx, []string{"api"}) }()
	f.environ["HUNTAZE_API_URL"] = "http://" + errOut.wait(f.t, `"API started","address":"([^"]+)"`)
	f.environ["HUNTAZE_API_KEY"] = strings.TrimSpace(f.run(append([]string{"apikey", "create", "--name", "test"}, args...)...).wants(f.t, exitOK).out)
	stopped := false
	stop = func() result {
		if stopped {
			return result{}
		}
		stopped = true
		cancel()
		return result{<-ended, out.String(), errOut.String()}
	}
	f.t.Cleanup(func() { stop() })
	if f.environ["ADMIN_ADDR"] != "" {
		admin = errOut.wait(f.t, `"metrics are served","address":"([^"]+)"`)
	}
	return stop, admin
}

func TestCampaignOverAPI(t *testing.T) {
	t.Parallel()
	f := newFleet(t, "10/60s", "off")
	stop := f.withAPIServer("--account", "creator-7")
	file := f.file("spring.json", `{"userId":"creator-7","name":"Spring","content":"Hi {{name|you}}","priority":2}`)
	fans := f.file("fans.csv", "recipientId,name\nfan-1,Ann\nfan-2,Bob\nfan-1,Ann\n,nobody\n")
	f.run("campaign", "estimate", file, "--count", "100").wants(t, exitOK, "100 recipients, of whom 100 get a message", "first about 2026-03-02")
	made := f.run("campaign", "create", file, "--recipients", fans, "--start", "--expires-at", "48h").
		wants(t, exitFindings, "4 lines: 2 added, 1 duplicate, 1 refused", "line 5: recipientId is empty", "is running, with 2 recipients")
	id := strings.Fields(made.out)[1]
	if err := uuid.Validate(id); err != nil {
		t.Fatal(err)
	}
	f.run("campaign", "list").wants(t, exitOK, id, "Spring", "running")
	f.run("campaign", "list", "--direct").wants(t, exitOK, "QUEUED", id)
	var all []api.Campaign
	f.run("campaign", "list", "--json", "--state", "running").wants(t, exitOK).json(t, &all)
	if len(all) != 1 || all[0].Priority != 2 {
		t.Errorf("%+v", all)
	}
	f.run("campaign", "show", id).wants(t, exitOK, "Spring", "creator-7", "recipients", "15 characters")
	f.run("campaign", "pause", id, "--reason", "wrong price").wants(t, exitOK, "is paused")
	f.run("campaign", "resume", id).wants(t, exitOK, "is running")
	f.run("campaign", "start", id).wants(t, exitOK, "is running")
	var shown api.Campaign
	f.run("campaign", "show", id, "--json").json(t, &shown)
	if shown.State != "running" {
		t.Errorf("%+v", shown)
	}
	f.run("campaign", "cancel", id, "-y").wants(t, exitOK, "is cancelled")
	f.run("campaign", "resume", id).wants(t, exitFailed, "a cancelled campaign can't be resumed; that is final")
	f.run("campaign", "watch", id).wants(t, exitFindings, "cancelled: no messages yet")
	f.run("campaign", "show", uuid.NewString()).wants(t, exitFailed, "there is no such campaign, or the key may not use it")
	f.run("campaign", "create", "--user", "creator-8", "--name", "x", "--content", "y").wants(t, exitFailed, "there is no such account, or the key may not use it")
	f.run("campaign", "create", "--user", "creator-7", "--name", "x").wants(t, exitFailed, "content is missing, and so is brief")
	f.run("campaign", "create").wants(t, exitMisused, "what campaign?")
	f.run("campaign", "pause", "creator-7").wants(t, exitMisused, "argument CAMPAIGN is missing")
	f.run("optout", "add", "creator-7", "fan-9", "--reason", "asked").wants(t, exitOK, "gets nothing")
	f.run("optout", "list", "creator-7").wants(t, exitOK, "fan-9", "asked")
	f.run("optout", "remove", "creator-7", "fan-9").wants(t, exitOK)
	f.run("optout", "list", "creator-7").wants(t, exitOK, "Nobody opted out.")
	stop().wants(t, exitOK, "API drains", "API stopped")
	f.run("campaign", "show", id).wants(t, exitFailed, "can't be reached", "HUNTAZE_API_URL")
	f.environ["HUNTAZE_API_KEY"] = ""
	f.run("campaign", "show", id).wants(t, exitMisused, "HUNTAZE_API_KEY is not set")
}

// TestCampaignWatch follows a campaign to its end, while its messages are sent.
func TestCampaignWatch(t *testing.T) {
	t.Parallel()
	f := newFleet(t, "10/60s", "off")
	f.withAPIServer("--admin")
	made := f.run("campaign", "create", "--user", "creator-7", "--name", "Spring", "--content", "Hello").wants(t, exitOK, "is draft", "to start it")
	id := strings.Fields(made.out)[1]
	done := make(chan result)
	go func() { done <- f.run("campaign", "watch", id, "--json") }()
	time.Sleep(300 * time.Millisecond)
	f.exec(`UPDATE campaigns SET state = 'completed' WHERE id = $1`, id)
	got := <-done
	got.wants(t, exitOK)
	var states []string
	for _, line := range strings.Split(strings.TrimSpace(got.out), "\n") {
		var p api.Progress
		if err := json.Unmarshal([]byte(line), &p); err != nil {
			t.Fatal(err)
		}
		states = append(states, p.State)
	}
	if strings.Join(states, " ") != "draft completed" {
		t.Errorf("%v", states)
	}
}

// TestAPICommand: a port that is taken and a database without a schema are said at the start.
func TestAPICommand(t *testing.T) {
	t.Parallel()
	f := newFleet(t, "10/60s", "off")
	stop := f.withAPIServer("--admin")
	response, err := http.Get(f.environ["HUNTAZE_API_URL"] + "/readyz")
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	http.DefaultClient.CloseIdleConnections()
	if response.StatusCode != http.StatusOK {
		t.Errorf("%d", response.StatusCode)
	}
	f.environ["HTTP_ADDR"] = strings.TrimPrefix(f.environ["HUNTAZE_API_URL"], "http://")
	f.run("api").wants(t, exitFailed, "HTTP_ADDR", "in use")
	stop().wants(t, exitOK)
	newTerminal(t).run("api").wants(t, exitMisused, "DATABASE_URL is not set")
}
