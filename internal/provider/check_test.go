package provider

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/huntaze/hybrid-orchestrator/internal/provider/providersim"
)

func TestCheck(t *testing.T) {
	t.Parallel()
	closed := httptest.NewServer(nil)
	closed.Close()
	website := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("<html>Welcome</html>")) }))
	defer website.Close()
	elsewhere := httptest.NewServer(http.NotFoundHandler())
	defer elsewhere.Close()
	for _, c := range []struct {
		name    string
		options providersim.Options
		url     string // instead of the simulator's
		want    CheckState
	}{
		{"all well", providersim.Options{AzureKey: testKey, OpenAIKey: testKey, Deployments: []string{"writer"}, Models: []string{"gpt-5.6-luna"}}, "", CheckPassed},
		{"wrong key", providersim.Options{AzureKey: "other", OpenAIKey: "other"}, "", CheckRefused},
		{"no such model", providersim.Options{Deployments: []string{"other"}, Models: []string{"other"}}, "", CheckMissingModel},
		{"nobody there", providersim.Options{}, closed.URL, CheckUnreachable},
		{"somebody else", providersim.Options{}, website.URL, CheckWrongAddress},
		{"no such path", providersim.Options{}, elsewhere.URL, CheckWrongAddress},
	} {
		for _, surface := range surfaces {
			sim := newSim(t, c.options)
			url := sim.URL()
			if c.url != "" {
				url = c.url
			}
			var checker Checker = newChatAt(t, surface, url, nil)
			if got := checker.Check(within(t, 30*time.Second)); got.State != c.want {
				t.Errorf("%s, %s: %+v", c.name, surface, got)
			}
			for _, p := range providersim.Providers {
				if counts := sim.Counts(p); counts.Texts != 0 {
					t.Errorf("%s, %s: a check asked for a text: %+v", c.name, surface, counts)
				}
			}
		}
	}
}

// TestCheckMeetsNoFault: a check is no call, so it takes nothing from the queue of faults.
func TestCheckMeetsNoFault(t *testing.T) {
	t.Parallel()
	sim := newSim(t, providersim.Options{})
	if err := sim.Enqueue(providersim.Azure, providersim.Fault{Kind: providersim.Reset}); err != nil {
		t.Fatal(err)
	}
	chat := newChatAt(t, providersim.SurfaceAzureV1, sim.URL(), nil)
	if got := chat.Check(within(t, 30*time.Second)); got.State != CheckPassed || got.Status != http.StatusBadRequest {
		t.Errorf("%+v", got)
	}
	if got := chat.Complete(within(t, 30*time.Second), testRequest()); got.Class != Connection {
		t.Errorf("%+v", got)
	}
}
