package campaign_test

import (
	"fmt"
	"math"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/huntaze/hybrid-orchestrator/internal/campaign"
)

var start = time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC)

func after(d time.Duration) time.Time { return start.Add(d) }

// strict is an account as the fleet has it by default.
func strict() campaign.Account {
	return campaign.Account{
		Rules: []campaign.Rule{{Capacity: 10, Window: time.Minute}},
		Guard: 500 * time.Millisecond, Latency: 300 * time.Millisecond,
	}
}

// off is how far two times are apart, as a share of the time that the sending takes.
func off(got, want time.Time, took time.Duration) float64 {
	return math.Abs(float64(got.Sub(want))) / float64(took)
}

func TestForecastOfOneCampaignAloneIsExact(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		account := campaign.Account{
			Rules:   []campaign.Rule{{Capacity: rapid.IntRange(1, 12).Draw(t, "capacity"), Window: time.Duration(rapid.IntRange(1, 90).Draw(t, "window")) * time.Second}},
			Guard:   time.Duration(rapid.IntRange(0, 999).Draw(t, "guard")) * time.Millisecond,
			Latency: time.Duration(rapid.IntRange(0, 5000).Draw(t, "latency")) * time.Millisecond,
		}
		for range rapid.IntRange(0, 15).Draw(t, "in use") {
			account.Rules[0].InUse = append(account.Rules[0].InUse, after(time.Duration(rapid.IntRange(-1000, 300_000).Draw(t, "back"))*time.Millisecond))
		}
		if rapid.Bool().Draw(t, "rests") {
			account.Rests = after(time.Duration(rapid.IntRange(0, 200).Draw(t, "rest")) * time.Second)
		}
		queue := campaign.Queue{Messages: rapid.IntRange(1, 500).Draw(t, "messages"), NotBefore: after(time.Duration(rapid.IntRange(-10, 100).Draw(t, "not before")) * time.Second)}
		if rapid.Bool().Draw(t, "expires") {
			queue.ExpiresAt = after(time.Duration(rapid.IntRange(-1, 2000).Draw(t, "expiry")) * time.Second)
		}
		want := simulate(start, account, []campaign.Queue{queue}, after(365*24*time.Hour))[0]
		table := campaign.ETA(start, account, []campaign.Queue{queue})
		got := table.Of(0)
		if got.Sent != len(want.releases) || got.Expired != queue.Messages-got.Sent || got.Beyond != 0 {
			t.Fatalf("sent %d, expired %d, beyond %d; really %d, %d", got.Sent, got.Expired, got.Beyond, len(want.releases), want.expired)
		}
		for place, release := range want.releases {
			if at, ok := table.At(0, place); !ok || !at.Equal(release) {
				t.Fatalf("message %d goes at %s (%v), really at %s", place, at.Sub(start), ok, release.Sub(start))
			}
		}
		if _, ok := table.At(0, got.Sent); ok {
			t.Fatal("one that is not sent has a time")
		}
		if got.Sent > 0 && (!got.Begins.Equal(want.releases[0]) || !got.Ends.Equal(want.releases[got.Sent-1].Add(account.Latency))) {
			t.Fatalf("from %s to %s", got.Begins.Sub(start), got.Ends.Sub(start))
		}
	})
}

func quiet(t testing.TB, text string) campaign.Quiet {
	t.Helper()
	q, err := campaign.ParseQuiet(text)
	if err != nil {
		t.Fatal(err)
	}
	return q
}

func TestForecastOfOneCampaignUnderEverything(t *testing.T) {
	t.Parallel()
	minute := campaign.Rule{Capacity: 10, Window: time.Minute}
	hour := campaign.Rule{Capacity: 300, Window: time.Hour}
	daily := campaign.Rule{Capacity: 1000, Window: 24 * time.Hour}
	uneven := campaign.Rule{Capacity: 15, Window: 2 * time.Minute}
	for _, rules := range [][]campaign.Rule{{minute}, {minute, daily}, {daily, minute}, {minute, uneven}, {hour}, {minute, hour, daily}, {daily}} {
		for _, hours := range []string{"off", "22:00-08:00 Europe/Berlin", "00:00-24:00 America/New_York Sat,Sun", "12:00-12:30 UTC", "10:05-09:55 UTC"} {
			for _, messages := range []int{1, 15, 300, 1500, 4000, 12_000} {
				t.Run(fmt.Sprint(rules, hours, messages), func(t *testing.T) {
					t.Parallel()
					account := strict()
					account.Rules, account.Quiet = rules, quiet(t, hours)
					compare(t, account, []campaign.Queue{{Messages: messages}}, 0.01)
				})
			}
		}
	}
}

// compare holds a forecast against the simulation, for each queue by its end, its middle and how many are sent.
func compare(t testing.TB, account campaign.Account, queues []campaign.Queue, most float64) {
	t.Helper()
	want := simulate(start, account, queues, after(campaign.Horizon))
	table := campaign.ETA(start, account, queues)
	hold := account.Latency + account.Guard + account.Rules[0].Window
	for i, sim := range want {
		got := table.Of(i)
		total := queues[i].Messages
		for _, l := range queues[i].Later {
			total += l.Messages
		}
		if got.Sent+got.Expired+got.Beyond != total {
			t.Errorf("queue %d: %d sent, %d expired, %d beyond are not %d", i, got.Sent, got.Expired, got.Beyond, total)
		}
		if d := got.Sent - len(sim.releases); math.Abs(float64(d)) > max(1, most*float64(total)) {
			t.Errorf("queue %d: %d sent, really %d of %d", i, got.Sent, len(sim.releases), total)
			continue
		}
		if len(sim.releases) == 0 || got.Sent == 0 {
			continue
		}
		last := min(got.Sent, len(sim.releases)) - 1
		for _, place := range []int{0, last / 2, last} {
			at, _ := table.At(i, place)
			took := max(sim.releases[place].Sub(start), hold)
			if share := off(at, sim.releases[place], took); share > most {
				t.Errorf("queue %d: message %d of %d at %s, really at %s: %.1f %% off", i, place, total, at.Sub(start), sim.releases[place].Sub(start), 100*share)
			}
		}
	}
}

func TestForecastOfSeveralCampaigns(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		account := strict()
		if rapid.Bool().Draw(t, "daily") {
			account.Rules = append(account.Rules, campaign.Rule{Capacity: 2000, Window: 24 * time.Hour})
		}
		account.Quiet, _ = campaign.ParseQuiet(rapid.SampledFrom([]string{"off", "22:00-08:00 Europe/Berlin"}).Draw(t, "quiet"))
		var queues []campaign.Queue
		for i := range rapid.IntRange(2, 5).Draw(t, "queues") {
			q := campaign.Queue{
				Campaign: string(rune('a' + i)),
				Priority: rapid.IntRange(1, 3).Draw(t, "priority"),
				Weight:   rapid.SampledFrom([]int{1, 1, 2, 3, 10}).Draw(t, "weight"),
				Messages: rapid.IntRange(100, 1500).Draw(t, "messages"),
			}
			if rapid.Bool().Draw(t, "later") {
				q.NotBefore = after(time.Duration(rapid.IntRange(0, 600).Draw(t, "not before")) * time.Minute)
			}
			if rapid.IntRange(0, 2).Draw(t, "expires") == 0 {
				q.ExpiresAt = after(time.Duration(rapid.IntRange(60, 1500).Draw(t, "expiry")) * time.Minute)
			}
			if rapid.IntRange(0, 2).Draw(t, "held") == 0 {
				q.Later = []campaign.Later{{At: after(time.Duration(rapid.IntRange(1, 600).Draw(t, "held until")) * time.Minute), Messages: rapid.IntRange(1, 200).Draw(t, "held messages")}}
			}
			queues = append(queues, q)
		}
		compareSeveral(t, account, queues)
	})
}

// compareSeveral allows each message what five in a hundred of its time are, at least three minutes, or a place more
// or less in its queue: the turns between queues are even to within one message, and what lies between two of them may
// be long.
func compareSeveral(t *rapid.T, account campaign.Account, queues []campaign.Queue) {
	want := simulate(start, account, queues, after(campaign.Horizon))
	table := campaign.ETA(start, account, queues)
	for i, sim := range want {
		got := table.Of(i)
		total := got.Sent + got.Expired
		if d := math.Abs(float64(got.Sent - len(sim.releases))); d > max(12, 0.05*float64(total)) {
			t.Fatalf("queue %d: %d sent, really %d of %d", i, got.Sent, len(sim.releases), total)
		}
		if got.Sent == 0 || len(sim.releases) == 0 {
			continue
		}
		last := min(got.Sent, len(sim.releases)) - 1
		for _, place := range []int{0, last / 3, last / 2, last} {
			at, _ := table.At(i, place)
			nearest := math.Inf(1)
			for near := max(0, place-1); near <= min(last, place+1); near++ {
				forecast, _ := table.At(i, near)
				for _, pair := range [][2]time.Time{{at, sim.releases[near]}, {forecast, sim.releases[place]}} {
					nearest = min(nearest, off(pair[0], pair[1], max(pair[1].Sub(start), time.Hour)))
				}
			}
			if nearest > 0.05 {
				t.Fatalf("queue %d: message %d at %s, really at %s", i, place, at.Sub(start), sim.releases[place].Sub(start))
			}
		}
	}
}

func TestForecastCountsEverybodyOnce(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		load := campaign.Load{Now: start, Account: strict(), Recipients: rapid.IntRange(0, 3_000_000).Draw(t, "recipients"), Brief: true, OwnTexts: true, PicoUSD: 5}
		load.Suppressed = campaign.Suppressed{OptedOut: rapid.IntRange(0, load.Recipients).Draw(t, "opted out")}
		load.Suppressed.Duplicate = rapid.IntRange(0, load.Recipients-load.Suppressed.OptedOut).Draw(t, "duplicates")
		load.Others = []campaign.Queue{{Messages: rapid.IntRange(0, 1_000_000).Draw(t, "others"), Priority: 3, Weight: rapid.IntRange(0, 7).Draw(t, "weight")}}
		load.Weight, load.Priority = rapid.IntRange(0, 7).Draw(t, "own weight"), rapid.IntRange(1, 4).Draw(t, "priority")
		load.Later = []campaign.Later{{At: after(time.Hour), Messages: rapid.IntRange(0, 1000).Draw(t, "later")}}
		if rapid.Bool().Draw(t, "expires") {
			load.ExpiresAt = after(time.Duration(rapid.IntRange(0, 100_000).Draw(t, "expiry")) * time.Minute)
		}
		o := campaign.Forecast(load)
		if sum := o.Sent + o.Expired + o.Beyond + o.Suppressed.Total(); sum != load.Recipients || min(o.Sent, o.Expired, o.Beyond) < 0 {
			t.Fatalf("%d of %d: %+v", sum, load.Recipients, o)
		}
		if o.Texts != o.Sent || o.PicoUSD != 5*int64(o.Sent) {
			t.Fatalf("%d texts for %d pico-USD", o.Texts, o.PicoUSD)
		}
	})
}

func TestForecastWarns(t *testing.T) {
	t.Parallel()
	berlin := strict()
	berlin.Quiet = quiet(t, "22:00-08:00 Europe/Berlin")
	free := campaign.Account{}
	tests := []struct {
		name string
		load campaign.Load
		want []string
	}{
		{"nothing to say", campaign.Load{Account: strict(), Recipients: 10}, nil},
		{"nobody", campaign.Load{Account: strict(), Recipients: 10, Suppressed: campaign.Suppressed{OptedOut: 9, Invalid: 1}}, []string{campaign.WarnEmpty}},
		{"expires", campaign.Load{Account: strict(), Recipients: 100, ExpiresAt: after(time.Minute)}, []string{campaign.WarnExpires}},
		{"just in time", campaign.Load{Account: strict(), Recipients: 100, ExpiresAt: after(10 * time.Minute)}, nil},
		{"too many", campaign.Load{Account: strict(), Recipients: 100_000_000}, []string{campaign.WarnHorizon}},
		{"behind others", campaign.Load{Account: strict(), Recipients: 10, Priority: 4, Others: []campaign.Queue{{Messages: 1000, Priority: 3}}, ExpiresAt: after(time.Hour)}, []string{campaign.WarnExpires}},
		{"no limit", campaign.Load{Account: free, Recipients: 1_000_000, ExpiresAt: after(time.Second)}, nil},
		{"at night", campaign.Load{Account: berlin, Recipients: 10, Scheduled: after(13 * time.Hour)}, []string{campaign.WarnQuiet}},
		{"recipients wait", campaign.Load{Account: strict(), Recipients: 10, Later: []campaign.Later{{At: after(time.Hour), Messages: 3}}}, []string{campaign.WarnRecipient}},
		{"too dear", campaign.Load{Account: strict(), Recipients: 10, Brief: true, OwnTexts: true, PicoUSD: 100, MaxPicoUSD: 999}, []string{campaign.WarnCost}},
		{"dear enough", campaign.Load{Account: strict(), Recipients: 10, Brief: true, OwnTexts: true, PicoUSD: 100, MaxPicoUSD: 1000}, nil},
		{"one text", campaign.Load{Account: strict(), Recipients: 10, Brief: true, PicoUSD: 100, MaxPicoUSD: 100}, nil},
		{"no price", campaign.Load{Account: strict(), Recipients: 10, Brief: true, Unpriced: true, MaxPicoUSD: 1}, []string{campaign.WarnUnpriced}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			test.load.Now = start
			var got []string
			outlook := campaign.Forecast(test.load)
			for _, w := range outlook.Warnings {
				got = append(got, w.Code)
			}
			if !slices.Equal(got, test.want) {
				t.Errorf("%v, want %v", outlook.Warnings, test.want)
			}
		})
	}
}

func TestForecastInFigures(t *testing.T) {
	t.Parallel()
	account := strict()
	o := campaign.Forecast(campaign.Load{Now: start, Account: account, Recipients: 100, Suppressed: campaign.Suppressed{OptedOut: 3, Duplicate: 2},
		Brief: true, OwnTexts: true, PicoUSD: 2_000_000_000, ExpiresAt: after(8 * time.Minute)})
	// Ten go at 0 s, 60.8 s, … 425.6 s: eight rounds before eight minutes have passed.
	if o.Sent != 80 || o.Expired != 15 || !o.Begins.Equal(start) || !o.Ends.Equal(after(7*60800*time.Millisecond+300*time.Millisecond)) || o.PicoUSD != 160_000_000_000 {
		t.Errorf("%+v", o)
	}
	if len(o.Warnings) != 1 || o.Warnings[0].Text != "can't finish before expiresAt: about 15 of 95 messages would expire" {
		t.Errorf("%v", o.Warnings)
	}
	// 22:00 in Berlin is 21:00 UTC: eleven hours a day are not enough for 10,000.
	account.Quiet = quiet(t, "22:00-08:00 Europe/Berlin")
	o = campaign.Forecast(campaign.Load{Now: start, Account: account, Recipients: 10_000})
	if want := time.Date(2026, 11, 24, 12, 53, 0, 0, time.UTC); o.Ends.Sub(want).Abs() > 5*time.Minute {
		t.Errorf("ends at %s", o.Ends)
	}
}

func BenchmarkForecast(b *testing.B) {
	account := strict()
	account.Rules = append(account.Rules, campaign.Rule{Capacity: 2000, Window: 24 * time.Hour})
	for name, hours := range map[string]string{"plain": "off", "quiet": "22:00-08:00 Europe/Berlin"} {
		account.Quiet = quiet(b, hours)
		for _, messages := range []int{1000, 1_000_000} {
			load := campaign.Load{Now: start, Account: account, Recipients: messages, Priority: 3, Weight: 1}
			for i := range 20 {
				load.Others = append(load.Others, campaign.Queue{Campaign: fmt.Sprint(i), Priority: 3, Weight: 1 + i, Messages: 1000 * i})
			}
			b.Run(fmt.Sprint(name, "/", messages), func(b *testing.B) {
				for b.Loop() {
					campaign.Forecast(load)
				}
			})
		}
	}
}
