package campaign_test

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/huntaze/hybrid-orchestrator/internal/campaign"
)

func drawLanes(t *rapid.T, most int) []campaign.Lane {
	lanes := make([]campaign.Lane, rapid.IntRange(1, most).Draw(t, "lanes"))
	for i := range lanes {
		lanes[i] = campaign.Lane{Campaign: string(rune('a' + i)), Weight: rapid.IntRange(1, campaign.MaxWeight).Draw(t, "weight")}
	}
	return lanes
}

func totalWeight(lanes []campaign.Lane) int {
	total := 0
	for _, l := range lanes {
		total += l.Weight
	}
	return total
}

// At every moment each campaign has had its share to within one message, and in every window to within two.
func TestSharesAreByWeight(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		lanes := drawLanes(t, 12)
		total := float64(totalWeight(lanes))
		counts := make([]float64, len(lanes))
		least, greatest := make([]float64, len(lanes)), make([]float64, len(lanes))
		for n := 1; n <= 4000; n++ {
			picked := campaign.Pick(lanes)
			campaign.Advance(lanes, picked)
			counts[picked]++
			for i, lane := range lanes {
				ahead := counts[i] - float64(n)*float64(lane.Weight)/total
				if math.Abs(ahead) > 1+1e-6 {
					t.Fatalf("after %d messages %s is %+.3f off its share; the lanes are %v", n, lane.Campaign, ahead, lanes)
				}
				least[i], greatest[i] = min(least[i], ahead), max(greatest[i], ahead)
				if greatest[i]-least[i] >= 2 {
					t.Fatalf("in some window up to message %d %s is %.3f off its share", n, lane.Campaign, greatest[i]-least[i])
				}
			}
		}
		if jain := jainIndex(lanes, counts); jain < 0.99 {
			t.Fatalf("Jain index %.4f", jain)
		}
	})
}

// jainIndex is 1 when all have had the same for their weight.
func jainIndex(lanes []campaign.Lane, counts []float64) float64 {
	sum, squares := 0.0, 0.0
	for i, lane := range lanes {
		x := counts[i] / float64(lane.Weight)
		sum, squares = sum+x, squares+x*x
	}
	return sum * sum / (float64(len(lanes)) * squares)
}

// A million messages later the shares are still exact, also for weights that don't divide the lap.
func TestSharesDoNotDrift(t *testing.T) {
	t.Parallel()
	lanes := []campaign.Lane{{Campaign: "a", Weight: 97}, {Campaign: "b", Weight: 89}, {Campaign: "c", Weight: 1}}
	counts := make([]float64, len(lanes))
	const messages = 1_000_000
	for range messages {
		picked := campaign.Pick(lanes)
		campaign.Advance(lanes, picked)
		counts[picked]++
	}
	for i, lane := range lanes {
		if ahead := counts[i] - messages*float64(lane.Weight)/187; math.Abs(ahead) > 1.01 {
			t.Errorf("%s is %.3f off", lane.Campaign, ahead)
		}
	}
}

// While campaigns come and go none waits longer than its weight allows, and an absence earns nothing.
func TestNobodyStarvesAndAbsenceEarnsNothing(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		all := drawLanes(t, 8)
		in := []campaign.Lane{}
		random := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 1))
		waited := map[string]float64{} // the share that it was due since its last message
		burst, last := 0.0, ""
		for range 3000 {
			if random.IntN(20) == 0 {
				lane := all[random.IntN(len(all))]
				if i := slices.IndexFunc(in, func(l campaign.Lane) bool { return l.Campaign == lane.Campaign }); i >= 0 {
					all[slices.IndexFunc(all, func(l campaign.Lane) bool { return l.Campaign == lane.Campaign })] = in[i]
					in = slices.Delete(in, i, i+1)
				} else {
					in = append(in, campaign.Join(in, lane))
				}
				delete(waited, lane.Campaign)
				last = ""
			}
			picked := campaign.Pick(in)
			if picked < 0 {
				if len(in) > 0 {
					t.Fatal("nobody is picked")
				}
				continue
			}
			campaign.Advance(in, picked)
			total := float64(totalWeight(in))
			for _, l := range in {
				waited[l.Campaign] += float64(l.Weight) / total
				if waited[l.Campaign] > 4 {
					t.Fatalf("%s waits for %.1f messages; the lanes are %v", l.Campaign, waited[l.Campaign], in)
				}
			}
			name := in[picked].Campaign
			waited[name] = 0
			if name != last {
				burst, last = 0, name
			}
			// In a row nobody gets much more than its share of them.
			if burst += 1 - float64(in[picked].Weight)/total; burst > 4 {
				t.Fatalf("%s gets %.1f messages too many in a row; the lanes are %v", name, burst, in)
			}
		}
	})
}

func TestJoin(t *testing.T) {
	t.Parallel()
	lanes := []campaign.Lane{{Campaign: "a", Weight: 1}, {Campaign: "b", Weight: 3}}
	old := lanes[0]
	for range 4000 {
		campaign.Advance(lanes, campaign.Pick(lanes))
	}
	// One that has been away since the beginning, and one that had very much when it was alone.
	for _, pass := range []int64{old.Pass, math.MinInt64, 1 << 60} {
		joined := campaign.Join(lanes, campaign.Lane{Campaign: "c", Weight: 4, Pass: pass})
		now := append(slices.Clone(lanes), joined)
		counts := map[string]int{}
		for range 80 {
			picked := campaign.Pick(now)
			campaign.Advance(now, picked)
			counts[now[picked].Campaign]++
		}
		if counts["c"] < 38 || counts["c"] > 42 || counts["b"] < 28 || counts["b"] > 32 {
			t.Errorf("with pass %d: %v", pass, counts)
		}
	}
	if alone := campaign.Join(nil, campaign.Lane{Campaign: "a", Pass: 7}); alone.Pass != 7 {
		t.Errorf("alone: %v", alone)
	}
}

func TestPickDoesNotDependOnTheOrder(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		lanes := drawLanes(t, 9)
		for range rapid.IntRange(0, 300).Draw(t, "messages") {
			campaign.Advance(lanes, campaign.Pick(lanes))
		}
		want := lanes[campaign.Pick(lanes)].Campaign
		shuffled := rapid.Permutation(lanes).Draw(t, "order")
		if got := shuffled[campaign.Pick(shuffled)].Campaign; got != want {
			t.Fatalf("%s, in another order %s", want, got)
		}
	})
}

func TestPassesDoNotOverflow(t *testing.T) {
	t.Parallel()
	lanes := []campaign.Lane{{Campaign: "a", Weight: 1, Pass: 1<<61 - 5}, {Campaign: "b", Weight: 100, Pass: 1<<61 - 7}, {Campaign: "c", Weight: 0, Pass: 1<<61 - 6}}
	counts := make([]int, 3)
	for range 10_200 {
		picked := campaign.Pick(lanes)
		campaign.Advance(lanes, picked)
		counts[picked]++
	}
	if counts[0] < 99 || counts[0] > 101 || counts[2] < 99 || counts[2] > 101 || lanes[0].Pass > 1<<60 {
		t.Errorf("%v, %v", counts, lanes)
	}
	// Whatever was stored: somebody is picked.
	odd := []campaign.Lane{{Weight: -4, Pass: math.MaxInt64}, {Weight: 1000, Pass: math.MinInt64}, {Pass: math.MaxInt64}}
	for range 1000 {
		campaign.Advance(odd, campaign.Pick(odd))
	}
	if campaign.Pick(nil) != -1 {
		t.Error("somebody of nobody")
	}
}
