package provider

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/huntaze/hybrid-orchestrator/internal/provider/providersim"
)

// TestFixturesOverHTTP sends a real request for every recorded shape, by every surface that can have it, and wants
// the class that the table names. One call must be one request, whatever the answer says of retries.
func TestFixturesOverHTTP(t *testing.T) {
	t.Parallel()
	for _, surface := range surfaces {
		t.Run(surface, func(t *testing.T) {
			t.Parallel()
			for _, fixture := range providersim.Fixtures() {
				provider := providersim.Provider(providerOf(surface))
				if fixture.Provider != "" && fixture.Provider != provider {
					continue
				}
				t.Run(fixture.Name, func(t *testing.T) {
					t.Parallel()
					sim := newSim(t, providersim.Options{})
					if err := sim.Enqueue(provider, providersim.Fault{Fixture: fixture.Name}); err != nil {
						t.Fatal(err)
					}
					limit := 30 * time.Second
					if fixture.Kind == providersim.Hang || fixture.Kind == providersim.HangInBody {
						limit = 2 * time.Second // long enough for the request to arrive on a busy machine
					}
					got := newChatAt(t, surface, sim.URL(), nil).Complete(within(t, limit), testRequest())
					compare(t, fixture, got)
					if n := sim.Counts(provider).Calls; n != 1 {
						t.Errorf("%d requests for one call", n)
					}
					holdsNothingSecret(t, fmt.Sprintf("%+v", got))
				})
			}
		})
	}
}

func compare(t *testing.T, fixture providersim.Fixture, got Result) {
	t.Helper()
	want := fixture.Want
	if string(got.Class) != want.Class || got.Code != want.Code || got.RetryAfter != want.RetryAfter || string(got.Billed) != want.Billed ||
		got.Unclassified != want.Unclassified || got.Veto != want.Veto || got.FilterDown != want.FilterDown {
		t.Errorf("got  %s code=%q after=%s billed=%s unclassified=%v veto=%v filterDown=%v\nwant %+v",
			got.Class, got.Code, got.RetryAfter, got.Billed, got.Unclassified, got.Veto, got.FilterDown, want)
	}
	if got.Usage.Input != want.Input || got.Usage.Output != want.Output || got.Usage.Known != (want.Input+want.Output > 0) {
		t.Errorf("usage %+v, want %d and %d", got.Usage, want.Input, want.Output)
	}
	if got.Status != fixture.Status {
		t.Errorf("status %d, want %d", got.Status, fixture.Status)
	}
	if (got.Class == Completed) != (got.Text != "") || (got.Class == Completed) != (got.Why != "") {
		t.Errorf("%s with text %q and reason %q", got.Class, got.Text, got.Why)
	}
}

// TestFixturesByThemselves is the same for the pure function, as far as there is an answer.
func TestFixturesByThemselves(t *testing.T) {
	t.Parallel()
	for _, e := range exchanges() {
		compare(t, e.fixture, Classify(e.Exchange))
	}
}

type recordedExchange struct {
	fixture providersim.Fixture
	Exchange
}

// exchanges are the fixtures that are a whole answer, as the pure function sees them.
func exchanges() []recordedExchange {
	var all []recordedExchange
	for _, fixture := range providersim.Fixtures() {
		if fixture.Kind != "" {
			continue
		}
		for _, provider := range Names {
			if fixture.Provider != "" && Name(fixture.Provider) != provider {
				continue
			}
			header := map[string][]string{}
			for name, value := range fixture.Header {
				header[name] = []string{value}
			}
			body := strings.ReplaceAll(fixture.Body, "{{prompt}}", testUser)
			all = append(all, recordedExchange{fixture, Exchange{Provider: provider, Status: fixture.Status, Header: header, Body: []byte(body), Sent: true, Now: time.Now()}})
		}
	}
	return all
}

// TestEveryClassIsRecorded: the table is large enough and leaves no class out, for either provider.
func TestEveryClassIsRecorded(t *testing.T) {
	t.Parallel()
	if n := len(providersim.Fixtures()); n < 64 {
		t.Errorf("%d recorded shapes, want 64", n)
	}
	hit := map[Name]map[Class]bool{Azure: {}, OpenAI: {}}
	seen := map[string]bool{}
	for _, fixture := range providersim.Fixtures() {
		if seen[fixture.Name] {
			t.Errorf("%s is there twice", fixture.Name)
		}
		seen[fixture.Name] = true
		if !slices.Contains(Classes, Class(fixture.Want.Class)) {
			t.Errorf("%s wants the class %q, which does not exist", fixture.Name, fixture.Want.Class)
		}
		for _, provider := range Names {
			if fixture.Provider == "" || Name(fixture.Provider) == provider {
				hit[provider][Class(fixture.Want.Class)] = true
			}
		}
	}
	for _, c := range withoutAnswer {
		for _, provider := range Names {
			hit[provider][c.want] = true
		}
	}
	for _, provider := range Names {
		for _, class := range Classes {
			if !hit[provider][class] && !(provider == Azure && class == BillingStop) { // Azure has no such code of its own
				t.Errorf("no shape of %s is %s", provider, class)
			}
		}
	}
}

func holdsNothingSecret(t *testing.T, shown string) {
	t.Helper()
	for _, secret := range []string{testKey, testSystem, testUser, "canary"} {
		if strings.Contains(shown, secret) {
			t.Errorf("%q is in %s", secret, shown)
		}
	}
}
