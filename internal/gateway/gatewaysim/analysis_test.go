package gatewaysim

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"
)

func at(account string, since time.Duration, outcome Outcome) Arrival {
	return Arrival{UserID: account, RecipientID: "f", ClientRef: account + since.String(), Since: since, Outcome: outcome}
}

func TestMaxInWindowIsHalfOpen(t *testing.T) {
	t.Parallel()
	log := []Arrival{
		at("a", 0, Accepted), at("a", 59*time.Second, Refused), at("a", 60*time.Second-1, RateLimited), at("a", 60*time.Second, Accepted),
		at("b", 0, Accepted),
	}
	if most, who := MaxInWindow(log, time.Minute, ByAccount); most != 2 || who != "a" {
		t.Errorf("counting for the limit: %d of %q", most, who)
	}
	if most, who := MaxInWindow(OnlyAccepted(log), time.Minute, ByAccount); most != 1 || who != "a" {
		t.Errorf("sends: %d of %q", most, who)
	}
	if most, _ := MaxInWindow(OnlyAccepted(log), time.Minute+1, ByRecipient); most != 2 {
		t.Errorf("a nanosecond more: %d", most)
	}
	if most, who := MaxInWindow(nil, time.Minute, ByAccount); most != 0 || who != "" {
		t.Errorf("nothing: %d of %q", most, who)
	}
}

// TestMaxInWindowAgainstTheDefinition counts, for a window begun at every arrival, what is in it.
func TestMaxInWindowAgainstTheDefinition(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		log := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) Arrival {
			return at(rapid.SampledFrom([]string{"a", "b"}).Draw(t, "account"), time.Duration(rapid.IntRange(0, 30).Draw(t, "since")),
				rapid.SampledFrom([]Outcome{Accepted, Refused, RateLimited, Duplicate}).Draw(t, "outcome"))
		}), 0, 40).Draw(t, "log")
		window := time.Duration(rapid.IntRange(0, 12).Draw(t, "window"))
		want := 0
		for _, first := range log {
			n := 0
			for _, a := range log {
				if a.UserID == first.UserID && a.Since >= first.Since && a.Since < first.Since+max(window, 1) && a.Outcome != RateLimited {
					n++
				}
			}
			want = max(want, n)
		}
		if window == 0 {
			want = min(want, 1)
		}
		if got, _ := MaxInWindow(log, window, ByAccount); got != want {
			t.Fatalf("got %d, want %d", got, want)
		}
	})
}

func TestDuplicatesAndRate(t *testing.T) {
	t.Parallel()
	log := []Arrival{
		{ClientRef: "twice", UserID: "a", Since: 0, Outcome: Accepted},
		{ClientRef: "retried", UserID: "a", Since: 1, Outcome: RateLimited},
		{ClientRef: "retried", UserID: "a", Since: 2, Outcome: Accepted},
		{ClientRef: "deduplicated", UserID: "a", Since: 3, Outcome: Accepted},
		{ClientRef: "deduplicated", UserID: "a", Since: 4, Outcome: Duplicate},
		{ClientRef: "twice", UserID: "a", Since: time.Minute, Outcome: Accepted},
		{ClientRef: "other", UserID: "b", Since: 119 * time.Second, Outcome: Accepted},
		{ClientRef: "later", UserID: "b", Since: 120 * time.Second, Outcome: Accepted},
	}
	if diff := cmp.Diff([]string{"twice"}, Duplicates(log)); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(map[string]float64{"a": 2, "b": 0.5}, PerMinute(log, 0, 2*time.Minute), cmpopts.EquateApprox(0, 1e-9)); diff != "" {
		t.Error(diff)
	}
}
