package db

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/huntaze/hybrid-orchestrator/internal/limit"
)

// The time that is promised to a message is the one at which it goes when all those ahead of it go as soon as
// they may: the limiter itself is the oracle.
func TestTurnIsWhenTheLimiterLetsItGo(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		now := time.Unix(1_000_000, 0)
		rule := limit.Rule{Capacity: rapid.IntRange(1, 6).Draw(t, "capacity"), Window: time.Duration(rapid.IntRange(1, 100).Draw(t, "window")) * time.Second}
		guard := time.Duration(rapid.IntRange(0, 2).Draw(t, "guard")) * time.Second
		bucket := limit.NewBucket(limit.Rules{rule})
		tokens := RuleTokens{Rule: rule}
		// Up to twice the capacity: the limit may have been lowered.
		for slot, seconds := range rapid.SliceOfN(rapid.IntRange(1, int((rule.Window+guard)/time.Second)), 0, 2*rule.Capacity).Draw(t, "taken") {
			at := now.Add(time.Duration(seconds) * time.Second)
			tokens.returns = append(tokens.returns, at)
			bucket.Add(0, limit.Use{Slot: slot, FreeAt: at})
		}
		tokens.count(now)
		account := AccountState{Policy: limit.Policy{Account: limit.Rules{rule}, Guard: guard}, Tokens: []RuleTokens{tokens}}
		if next := account.NextFree(now); !next.Equal(bucket.NextFree(now)) {
			t.Fatalf("the next token is free at %s, the limiter says %s", next, bucket.NextFree(now))
		}
		ahead := rapid.IntRange(0, 30).Draw(t, "ahead")
		at := now
		for range ahead + 1 {
			at = bucket.NextFree(at)
			if _, ok := bucket.Take(at, func(r limit.Rule) time.Time { return at.Add(r.Window + guard) }); !ok {
				t.Fatalf("the limiter has no token at %s, which it named", at)
			}
		}
		if turn := account.Turn(ahead, now); !turn.Equal(at) {
			t.Fatalf("with %d ahead of it and %v taken, its turn is %s; the limiter lets it go at %s", ahead, tokens.returns, turn.Sub(now), at.Sub(now))
		}
	})
}

func TestTurnWithoutLimit(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_000_000, 0)
	if at := (AccountState{}).Turn(1000, now); !at.Equal(now) {
		t.Errorf("without a limit its turn is %s", at)
	}
	rests := AccountState{RestUntil: now.Add(time.Minute)}
	if at := rests.Turn(0, now); !at.Equal(rests.RestUntil) {
		t.Errorf("while the account rests its turn is %s", at)
	}
}
