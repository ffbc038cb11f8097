package screen

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
	"pgregory.net/rapid"
)

var update = flag.Bool("update", false, "write the golden files")

func TestMain(m *testing.M) {
	time.Local = time.UTC // the pictures show the time of day
	goleak.VerifyTestMain(m)
}

// golden compares a picture with the file of the test's name.
func golden(t *testing.T, got []string) {
	t.Helper()
	path := filepath.Join("testdata", strings.ReplaceAll(t.Name(), "/", "_")+".golden")
	text := strings.Join(got, "\n") + "\n"
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), text); diff != "" {
		t.Errorf("differs from %s (go test -update writes it anew):\n%s", path, diff)
	}
}

var noon = time.Date(2026, time.November, 23, 12, 0, 0, 0, time.UTC)

var utf8 = Look{Unicode: true}

// sample is a picture with one of everything.
func sample() Snapshot {
	return Snapshot{
		Now: noon, Since: noon.Add(-42 * time.Second), Workers: 2, Limit: Limit{Capacity: 10, Window: time.Minute},
		LastMinute: 26, All: Account{Sent: 23, Queued: 18, Sending: 1, InDoubt: 1, Failed: 1},
		Accounts: []Account{
			{Name: "night-bakery", Sent: 10, Queued: 15, Tokens: Tokens{Capacity: 10, Cooling: 10}, NextFree: noon.Add(17200 * time.Millisecond),
				Waits: []Wait{{Reason: ForToken, Count: 15, Until: noon}}},
			{Name: "quiet-garden", Sent: 6, Tokens: Tokens{Capacity: 10, Cooling: 6}},
			{Name: "harbour-yoga", Sent: 4, Queued: 2, Sending: 1, Tokens: Tokens{Capacity: 10, Cooling: 4, InUse: 1},
				Waits: []Wait{{Reason: ForTime, Count: 1, Until: noon.Add(20 * time.Second)}, {Reason: ForRetry, Count: 1, Until: noon.Add(5 * time.Second)}}},
			{Name: "paper-lanterns", Sent: 2, InDoubt: 1, Tokens: Tokens{Capacity: 10, Cooling: 2, InUse: 1}},
			{Name: "studio-seven", Sent: 1, Queued: 1, Failed: 1, Tokens: Tokens{Capacity: 10, Cooling: 2}, Waits: []Wait{{Reason: ForRecipient, Count: 1, Until: noon.Add(48 * time.Second)}}},
			{Name: "tiny-robots", Tokens: Tokens{Capacity: 10}, RestUntil: noon.Add(45 * time.Second), RestReason: "too_many_requests"},
		},
		Intake: Intake{Received: 46, Accepted: 43, Duplicates: 1, Quarantined: 2, Problems: []Problem{
			{Message: "wf-k3f9a-43", Reason: "priority: is a string, it must be a number"}, {Reason: `content: contains \u0000`}}},
		Gateway: Gateway{Simulated: true},
		Arrivals: []Arrival{
			{At: noon.Add(-3 * time.Second), Account: "paper-lanterns", Recipient: "fan-k3f9a-36", Took: 120 * time.Millisecond, Outcome: "taken, but the reply was lost", Content: "not shown"},
			{At: noon.Add(-2 * time.Second), Account: "night-bakery", Recipient: "fan-k3f9a-01", Took: 1300 * time.Millisecond, Content: "The first rye of autumn is out of the oven. New photos tonight!"},
			{At: noon.Add(-time.Second), Account: "quiet-garden", Recipient: "fan-k3f9a-25", Took: -1, Content: "苔の庭、雨のあと。新しい写真が三枚あります。"},
		},
		Sample: Sample{Total: 46, Done: 29, Expect: noon.Add(100 * time.Second), SendHow: "go run ./cmd/huntaze send .data/more.jsonl"},
	}
}

func TestLive(t *testing.T) {
	t.Parallel()
	t.Run("80 columns", func(t *testing.T) { golden(t, Live(sample(), Size{80, 24}, utf8)) })
	t.Run("120 columns", func(t *testing.T) { golden(t, Live(sample(), Size{120, 40}, utf8)) })
	t.Run("ASCII", func(t *testing.T) { golden(t, Live(sample(), Size{80, 24}, Look{})) })
	t.Run("colours", func(t *testing.T) { golden(t, Live(sample(), Size{80, 24}, Look{Unicode: true, Colour: true})) })
	t.Run("small", func(t *testing.T) { golden(t, Live(sample(), Size{50, 12}, utf8)) })
	t.Run("begin", func(t *testing.T) {
		golden(t, Live(Snapshot{Now: noon, Since: noon, Workers: 1, Gateway: Gateway{Simulated: true}}, Size{80, 24}, utf8))
	})
	t.Run("many accounts", func(t *testing.T) {
		s := sample()
		for range 3 {
			s.Accounts = append(s.Accounts, s.Accounts...)
		}
		s.MoreAccounts = true
		golden(t, Live(s, Size{80, 30}, utf8))
	})
	t.Run("trouble", func(t *testing.T) {
		s := sample()
		s.Trouble, s.Warnings, s.LastWarning, s.LogFile = "the database does not answer", 2, "can't receive from the queue", ".data/huntaze.log"
		s.Gateway = Gateway{Address: "https://gateway.example.com"}
		s.Limit = Limit{}
		s.Accounts = []Account{{Name: "unlimited", Sent: 5000, More: true}, {Name: "large", Tokens: Tokens{Capacity: 100, InUse: 3, Cooling: 40}}}
		s.All = Account{Sent: 5000, More: true}
		golden(t, Live(s, Size{80, 24}, utf8))
	})
	t.Run("after the sample", func(t *testing.T) {
		s := sample()
		s.Sample.Ended = true
		golden(t, Live(s, Size{100, 24}, utf8))
	})
	t.Run("being written", func(t *testing.T) {
		s := sample()
		s.Accounts = []Account{{Name: "letter-press", Sent: 2, Queued: 1, Writing: 5, Sending: 1, Tokens: Tokens{Capacity: 10, InUse: 1}, Waits: []Wait{{Reason: ForTime, Count: 1, Until: noon.Add(20 * time.Second)}}}}
		s.All = Account{Sent: 2, Queued: 1, Writing: 5, Sending: 1}
		wide, narrow := Size{80, 24}, Size{70, 24}
		golden(t, append(append(append(Live(s, wide, utf8), Live(s, narrow, utf8)...), Resting(s, wide, utf8)...), Summary(s)))
	})
	t.Run("resting", func(t *testing.T) { golden(t, Resting(sample(), Size{80, 24}, utf8)) })
}

// strange draws texts as strangers may send them.
func strange() *rapid.Generator[string] {
	return rapid.Custom(func(t *rapid.T) string {
		return strings.Join(rapid.SliceOfN(rapid.SampledFrom([]string{"a", "word", "\x1b[2J", "\n", "\r", "\t", "\u202e", "\u200d", "é", "語", "👩‍👩‍👧", "\u0301", "\xff", " "}), 0, 40).Draw(t, "parts"), "")
	})
}

func TestNothingLeavesItsLine(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		s := sample()
		for i := range s.Accounts {
			s.Accounts[i].Name = strange().Draw(t, "account")
			s.Accounts[i].RestReason = strange().Draw(t, "rest")
			s.Accounts[i].Sent = rapid.IntRange(0, 1_000_000).Draw(t, "sent")
			s.Accounts[i].Tokens = Tokens{Capacity: rapid.IntRange(0, 30).Draw(t, "capacity"), InUse: rapid.IntRange(0, 30).Draw(t, "in use"), Cooling: rapid.IntRange(0, 30).Draw(t, "cooling")}
		}
		for i := range s.Arrivals {
			s.Arrivals[i].Content, s.Arrivals[i].Recipient = strange().Draw(t, "content"), strange().Draw(t, "recipient")
		}
		s.Intake.Problems[0].Reason, s.Trouble = strange().Draw(t, "reason"), strange().Draw(t, "trouble")
		size := Size{rapid.IntRange(1, 200).Draw(t, "width"), rapid.IntRange(1, 60).Draw(t, "height")}
		lines := Live(s, size, utf8)
		if most := max(3, size.Height-1); len(lines) > most {
			t.Fatalf("%d lines, the most is %d", len(lines), most)
		}
		rows := []Row{{Workflow: s.Accounts[0].Name, Account: s.Accounts[1].Name, Recipient: s.Arrivals[0].Recipient, Outcome: "failed", Reason: s.Trouble}}
		lines = append(append(lines, Table(rows, size, 2, 20, utf8)...), Resting(s, size, utf8)...)
		for _, l := range append(lines, Summary(s), s.Arrivals[0].String(), s.Intake.Problems[0].Line(noon)) {
			if strings.ContainsFunc(l, func(r rune) bool { return r < ' ' || r == '\u202e' || r == 0x7f }) {
				t.Fatalf("control characters: %q", l)
			}
		}
		for _, l := range lines {
			if w := textWidth(l); w > max(20, size.Width-1) {
				t.Fatalf("%d columns in a terminal of %d: %q", w, size.Width, l)
			}
		}
	})
}

func TestTable(t *testing.T) {
	t.Parallel()
	rows := func(account string, n int, outcome, reason string, fine bool) (rows []Row) {
		for i := range n {
			rows = append(rows, Row{Workflow: "wf-k3f9a-" + string(rune('a'+i)), Account: account, Recipient: "fan-k3f9a-" + string(rune('a'+i)),
				Outcome: outcome, Reason: reason, Fine: fine, Waited: time.Duration(i) * 31 * time.Second})
		}
		return rows
	}
	all := rows("night-bakery", 10, "sent", "", true)
	all = append(all, rows("night-bakery", 5, "sent", "limit 10 in 60 s", true)...)
	all = append(all, rows("quiet-garden", 3, "sent", "", true)...)
	bad := rows("tiny-robots", 2, "quarantined", "priority: is a string, it must be a number", false)
	bad[0].Waited, bad[1].Waited = -1, -1
	all = append(all, bad...)
	all = append(all, rows("tiny-robots", 1, "failed", "refused_422: the gateway does not take it", false)...)
	t.Run("80 columns", func(t *testing.T) { golden(t, Table(all, Size{80, 24}, 2, 40, utf8)) })
	t.Run("120 columns", func(t *testing.T) { golden(t, Table(all, Size{120, 24}, 4, 40, utf8)) })
	t.Run("short", func(t *testing.T) { golden(t, Table(all, Size{120, 24}, 4, 8, utf8)) })
	t.Run("shorter", func(t *testing.T) { golden(t, Table(all, Size{120, 24}, 4, 5, utf8)) })
	t.Run("empty", func(t *testing.T) { golden(t, Table(nil, Size{80, 24}, 4, 5, utf8)) })
}

func TestPlainLines(t *testing.T) {
	t.Parallel()
	s := sample()
	golden(t, []string{Summary(s), s.Arrivals[0].String(), s.Arrivals[1].String(), s.Arrivals[2].String(), s.Intake.Problems[0].Line(noon)})
}

func TestSpan(t *testing.T) {
	t.Parallel()
	for d, want := range map[time.Duration]string{
		-time.Second: "0 s", 0: "0 ms", 132 * time.Millisecond: "132 ms", 1290 * time.Millisecond: "1.2 s", 48900 * time.Millisecond: "48 s",
		125 * time.Second: "2:05", 200 * time.Minute: "3 h 20 min", 100 * time.Hour: "4 days",
	} {
		if got := Span(d); got != want {
			t.Errorf("Span(%s) = %q, want %q", d, got, want)
		}
	}
	for d, want := range map[time.Duration]string{0: "0 s", time.Millisecond: "1 s", 9100 * time.Millisecond: "10 s", 59100 * time.Millisecond: "1:00"} {
		if got := countdown(d); got != want {
			t.Errorf("countdown(%s) = %q, want %q", d, got, want)
		}
	}
}

func TestWrap(t *testing.T) {
	t.Parallel()
	got := Wrap("  one two   three averyveryverylongword four ", 9)
	if diff := cmp.Diff([]string{"one two", "three", "averyveryverylongword", "four"}, got); diff != "" {
		t.Error(diff)
	}
}
