package e2e_test

import (
	"testing"
	"time"

	"github.com/huntaze/hybrid-orchestrator/internal/provider/guard"
	"github.com/huntaze/hybrid-orchestrator/internal/provider/providersim"
)

// A provider that is down from the start costs the whole fleet a few calls, however many messages there are: the
// other one writes every text.
func TestOutageOfAzureCostsAFewCalls(t *testing.T) {
	t.Parallel()
	for _, outage := range []struct {
		name     string
		fault    providersim.Fault
		timeout  string
		accounts int
		messages int // of each
	}{
		{"no connection", providersim.Fault{Kind: providersim.Reset}, "5s", 10, pick(10, 20, 100)},
		{"503", providersim.Fault{Fixture: "503_html"}, "5s", 10, pick(5, 10, 50)},
		{"hangs", providersim.Fault{Kind: providersim.Hang}, "3s", 10, pick(5, 10, 50)},
	} {
		t.Run(outage.name, func(t *testing.T) {
			t.Parallel()
			f := newFleet(t, "RATE_LIMIT_ACCOUNT=off")
			sim := f.provide(providersim.Options{})
			f.must(sim.SetDefault(providersim.Azure, &outage.fault))
			f.settings["PROVIDER_TIMEOUT"] = outage.timeout
			f.start(4)
			begin := time.Now()
			f.put(newBriefs(outage.accounts, outage.messages)...)
			f.drained(2 * time.Minute)
			took := time.Since(begin)
			f.check()
			p := f.plans(sim)
			report(t, p.problems())
			wasted, most := int(sim.Counts(providersim.Azure).Calls), mostWasted(sim)
			t.Logf("%d texts in %s; Azure was asked %d times (at most %d), OpenAI %d times", len(p.texts), took.Round(10*time.Millisecond), wasted, most, sim.Counts(providersim.OpenAI).Calls)
			if wasted == 0 || wasted > most {
				t.Errorf("Azure was asked %d times, want at least 1 and at most %d", wasted, most)
			}
			for id, text := range p.texts {
				if text.source != "openai" {
					t.Errorf("text %s is by %q, want openai", id, text.source)
				}
			}
		})
	}
}

// mostWasted is how many calls an outage may cost that lasts over all calls to Azure: as many as open the breaker, and
// one for each cool-down that has passed.
func mostWasted(sim *providersim.Server) int {
	var first, last time.Time
	for _, c := range sim.Calls(0) {
		if c.Provider == providersim.Azure {
			last = c.At
			if first.IsZero() {
				first = c.At
			}
		}
	}
	settings := guard.DefaultSettings
	most, coolDown := settings.Trip, settings.CoolDown
	for passed := coolDown; passed <= last.Sub(first); passed += coolDown {
		most++
		coolDown = min(2*coolDown, settings.LongestCoolDown)
	}
	return most
}

// An outage that begins and ends while messages flow: each is sent once, and the provider is used again by itself.
func TestAzureIsUsedAgainAfterAnOutage(t *testing.T) {
	t.Parallel()
	f := newFleet(t, "RATE_LIMIT_ACCOUNT=off")
	sim := f.provide(providersim.Options{Latency: 20 * time.Millisecond, Jitter: 50 * time.Millisecond})
	f.start(3)
	texts := func(p providersim.Provider) int64 { return sim.Counts(p).Texts }
	put, last := 0, time.Time{}
	flowUntil := func(limit time.Duration, what string, done func() bool) time.Duration {
		return f.within(limit, what, func() bool {
			if time.Since(last) > time.Duration(pick(150, 100, 20))*time.Millisecond {
				f.put(newBrief("creator", put))
				put, last = put+1, time.Now()
			}
			return done()
		})
	}
	flowUntil(30*time.Second, "Azure writes", func() bool { return texts(providersim.Azure) >= 10 })
	f.must(sim.SetDefault(providersim.Azure, &providersim.Fault{Kind: providersim.Close}))
	flowUntil(30*time.Second, "OpenAI writes", func() bool { return texts(providersim.OpenAI) >= 10 })
	sim.Clear(providersim.Azure)
	before := texts(providersim.Azure)
	back := flowUntil(90*time.Second, "Azure writes again", func() bool { return texts(providersim.Azure) >= before+10 })
	f.drained(time.Minute)
	f.check()
	p := f.plans(sim)
	report(t, p.problems())
	failed := sim.Counts(providersim.Azure).Answers[string(providersim.Close)]
	probes := number(f, `SELECT count(*) FROM plan_attempts WHERE probe`)
	t.Logf("%d texts; the outage cost %d calls and %d probes; Azure wrote again after %s", len(p.texts), failed, probes, back.Round(100*time.Millisecond))
	// What was under way when it began fails as well.
	if most := int64(guard.DefaultSettings.Trip + 10); failed > most {
		t.Errorf("the outage cost %d calls, want at most %d", failed, most)
	}
	if probes == 0 || probes > 3 {
		t.Errorf("%d probes found out that Azure works again, want 1", probes)
	}
}
