package picture

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

var noon = time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)

// TestEverythingIsSomewhere: each message and each token is in exactly one place, and a due message and a free token of
// an account that may send are never both idle for another reason.
func TestEverythingIsSomewhere(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var accounts []Account
		var messages, allowed int64
		for range rapid.IntRange(0, 5).Draw(t, "accounts") {
			a := Account{
				Stopped: rapid.Bool().Draw(t, "stopped"), Quiet: rapid.Bool().Draw(t, "quiet"), Resting: rapid.Bool().Draw(t, "resting"),
				Limited: rapid.Bool().Draw(t, "limited"), Free: noon.Add(-time.Duration(rapid.IntRange(0, 100).Draw(t, "free")) * time.Second),
			}
			if a.Limited {
				a.Allowed, a.Used = rapid.IntRange(0, 10).Draw(t, "allowed"), rapid.IntRange(0, 12).Draw(t, "used")
			}
			for range rapid.IntRange(0, 4).Draw(t, "groups") {
				m := Parked{Held: rapid.Bool().Draw(t, "held"), Why: rapid.SampledFrom([]Reason{"", Schedule, Retry, Recipient}).Draw(t, "why"),
					Number: rapid.Int64Range(1, 20).Draw(t, "number"), Since: noon.Add(-time.Duration(rapid.IntRange(0, 100).Draw(t, "since")) * time.Second)}
				messages += m.Number
				a.Parked = append(a.Parked, m)
			}
			allowed += int64(a.Allowed)
			accounts = append(accounts, a)
		}
		frozen := rapid.Bool().Draw(t, "frozen")
		p := Draw(accounts, frozen, noon)
		var waiting, idle int64
		for _, n := range p.Waiting {
			waiting += n
		}
		for reason, n := range p.Idle {
			if n < 0 || reason == Token {
				t.Fatalf("idle %s: %d", reason, n)
			}
			idle += n
		}
		if waiting != messages || p.Used+idle != allowed || p.Allowed != allowed {
			t.Fatalf("%d of %d messages, %d used and %d idle of %d tokens", waiting, messages, p.Used, idle, allowed)
		}
		if p.Waiting[Turn] == 0 && p.LongestTurn != 0 {
			t.Fatalf("nothing has its turn, and the longest lasts %s", p.LongestTurn)
		}
		if frozen && p.Waiting[Frozen] != messages {
			t.Fatalf("frozen, and only %d of %d messages wait for that", p.Waiting[Frozen], messages)
		}
	})
}

func TestDraw(t *testing.T) {
	t.Parallel()
	due := func(n int64, ago time.Duration) Parked { return Parked{Number: n, Since: noon.Add(-ago)} }
	full := Account{Limited: true, Allowed: 10, Used: 10}
	for _, c := range []struct {
		name    string
		account Account
		frozen  bool
		waiting map[Reason]int64
		idle    map[Reason]int64
		turn    time.Duration
	}{
		{"saturated", Account{Limited: true, Allowed: 10, Used: 10, Parked: []Parked{due(50, time.Hour)}}, false, map[Reason]int64{Token: 50}, nil, 0},
		{"two tokens came back a second ago", Account{Limited: true, Allowed: 10, Used: 8, Free: noon.Add(-time.Second), Parked: []Parked{due(50, time.Hour)}}, false,
			map[Reason]int64{Token: 48, Turn: 2}, map[Reason]int64{Turn: 2}, time.Second},
		{"a message came later than the token", Account{Limited: true, Allowed: 10, Used: 8, Free: noon.Add(-time.Hour), Parked: []Parked{due(1, 3*time.Second)}}, false,
			map[Reason]int64{Turn: 1}, map[Reason]int64{Turn: 1, NoMessage: 1}, 3 * time.Second},
		{"paused, and its recipient is full", Account{Limited: true, Allowed: 10, Parked: []Parked{{Held: true, Number: 4}, {Why: Recipient, Number: 3}}}, false,
			map[Reason]int64{Campaign: 4, Recipient: 3}, map[Reason]int64{Campaign: 4, Recipient: 3, NoMessage: 3}, 0},
		{"rests", Account{Resting: true, Limited: true, Allowed: 10, Used: 4, Parked: []Parked{due(50, time.Hour)}}, false, map[Reason]int64{Rest: 50}, map[Reason]int64{Rest: 6}, 0},
		{"no limit", Account{Parked: []Parked{due(7, time.Minute)}}, false, map[Reason]int64{Turn: 7}, nil, time.Minute},
		{"frozen", Account{Limited: true, Allowed: 10, Quiet: true, Parked: []Parked{due(7, time.Minute)}}, true, map[Reason]int64{Frozen: 7}, map[Reason]int64{Frozen: 7, NoMessage: 3}, 0},
		{"lowered", Account{Limited: true, Allowed: 5, Used: full.Used, Parked: []Parked{due(1, time.Minute)}}, false, map[Reason]int64{Token: 1}, nil, 0},
	} {
		p := Draw([]Account{c.account}, c.frozen, noon)
		for _, reason := range []Reason{Frozen, Switch, Campaign, Quiet, Rest, Schedule, Retry, Recipient, Token, Turn, NoMessage} {
			if p.Waiting[reason] != c.waiting[reason] || p.Idle[reason] != c.idle[reason] {
				t.Errorf("%s: %s: %d messages and %d tokens, want %d and %d", c.name, reason, p.Waiting[reason], p.Idle[reason], c.waiting[reason], c.idle[reason])
			}
		}
		if p.LongestTurn != c.turn {
			t.Errorf("%s: the longest turn lasts %s, want %s", c.name, p.LongestTurn, c.turn)
		}
	}
}
