package text_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/huntaze/hybrid-orchestrator/internal/text"
)

func TestGate(t *testing.T) {
	t.Parallel()
	gate := text.Gate{MaxLength: 60, LinkHosts: []string{"good.com", ".sub.good.com"}, Fields: []string{"name", "city"}}
	ok := []text.Violation(nil)
	link, leftover, control := []text.Violation{text.LinkHost}, []text.Violation{text.LeftoverField}, []text.Violation{text.ControlCharacters}
	tests := []struct {
		text string
		want []text.Violation
	}{
		{"", []text.Violation{text.Empty}}, {" \n ", []text.Violation{text.Empty}}, {"\u00a0\u3000", []text.Violation{text.Empty}},
		{"\u200b", []text.Violation{text.Empty, text.ControlCharacters}},
		{strings.Repeat("é", 60), ok}, {strings.Repeat("é", 61), []text.Violation{text.TooLong}},
		// The length is that of the text with its defaults.
		{strings.Repeat("e", 57) + "{{name|you}}", ok}, {strings.Repeat("e", 58) + "{{name|you}}", []text.Violation{text.TooLong}},
		{strings.Repeat("e", 60) + "{{name}}", ok},
		// Fields.
		{"Hi {{name}}", ok}, {"Hi {{name|you}} in {{city|town}}", ok}, {"Hi {{ name | my friend }}", ok}, {"Hi {{name|}}", ok}, {"{{name}}", ok},
		{"Hi {{other}}", leftover}, {"Hi {{Name}}", leftover}, {"Hi {{{name}}}", leftover}, {"[{{name}}]", leftover}, {"<{{name}}>", leftover}, {"{{name|[x]}}", leftover},
		{"{{name|{{city}}}}", leftover}, {"{{name\n}}", leftover}, {"{{city}} {{x", leftover},
		{"[1] [...] [ ] <3 :-{ >:) 5 < 6 > 4 100% %", ok}, {"I <b>", leftover}, {"(name) NAME _name_ *name*", ok},
		// What fields can become is judged too.
		{"{{name}}.com", link}, {"evil{{name}}.com", link}, {"{{name|evil}}.com", link}, {"evil.{{name|com}}", link}, {"{{name|evil.com}}", link}, {"{{name|w}}ww.evil", link},
		{"{{name}}@home", link}, {"https://{{name}}", link}, {"{{name|java}}script:x", link}, {"Hi {{name}}. See you", ok}, {"Hi {{name}}.", ok}, {"Hi {{name}}!...", ok},
		// Links to allowed hosts, as they stand and with punctuation around.
		{"https://good.com", ok}, {"http://good.com", ok}, {"good.com", ok}, {"GOOD.com/A", ok}, {"See https://good.com/a-b_c/d?x=1&y=2#z.", ok}, {"(good.com)!", ok},
		{"„https://good.com/a“ ❤️", ok}, {"good.com\ngood.com", ok}, {"a.sub.good.com", ok}, {"https://a.b.sub.good.com/x", ok},
		{"sub.good.com", link}, {"a.good.com", link}, {".sub.good.com", link}, {"https://-.sub.good.com", link}, {"https://good.com{{name}}", link}, {"https://good.com/{{name}}", ok},
		{"good.com:80", link}, {"ftp://good.com", link}, {"//good.com", link}, {"info@good.com", link}, {"https://good.com/?u=evil.com", link}, {"https://good.com/a//b", link},
		{"good.com evil.com", link}, {"good.com,evil.com", link}, {"[good.com](evil.com)", []text.Violation{text.LinkHost, text.LeftoverField}}, {"good.com。", ok}, {"ｇood.com", link},
		// Prose with dots.
		{"e.g. this, i.e. that, z.B. das, p.s. etc.", ok}, {"hello.How are you", ok}, {"hello.How", link}, {"hello.How Are", link}, {"hello.how are", link}, {"ok.So what", link},
		{"3.5 and 1.000.000 and 24.12.2026 and v1.2.3 and 20.30h", ok}, {"wait...so", ok}, {"wait..it", ok}, {"no . com", ok}, {"@mila and @home", ok}, {"Sale: today", ok}, {"will.i.am", link},
		{"Instagram:mila Snap:mila at 10:30:15", ok}, {"a/b and/or 9/10", ok}, {"U.S.A. D.C. L.A. J.R.R. Ph.D.", ok}, {"...", ok}, {".", ok}, {"com", ok}, {"dot com", ok},
		// Characters.
		{"a\nb\n\nc", ok}, {"a\tb", control}, {"a\r\nb", control}, {"a\u2028b", control}, {"👩‍👩‍👧 ❤️ 1️⃣ 👍🏽 🏴󠁧󠁢󠁥󠁮󠁧󠁿 👩🏽‍🚀", ok}, {"می\u200cخواهم क्\u200dष", ok}, {"a\u200db", control}, {"x\ufe0f", ok}, {"a \ufe0f", control},
		{"x\ufe0f\ufe0f", control}, {"नमस्ते ẫ שָׁלוֹם ที่", ok}, {"a\u202eb", []text.Violation{text.Bidi}}, {"a\xffb", []text.Violation{text.InvalidUTF8}},
		{"\xff\x00\u202e{{ evil.com", []text.Violation{text.InvalidUTF8, text.ControlCharacters, text.Bidi, text.LinkHost, text.LeftoverField}},
	}
	for _, test := range tests {
		if diff := cmp.Diff(test.want, gate.Check(test.text)); diff != "" {
			t.Errorf("%q (-want +got):\n%s", test.text, diff)
		}
	}
}

func TestCheckMerged(t *testing.T) {
	t.Parallel()
	gate := text.Gate{MaxLength: 20, Language: "de", LinkHosts: []string{"good.com"}, Fields: []string{"name"}}
	for merged, want := range map[string][]text.Violation{
		"Hi Zoë, good.com!":                nil,
		"Hi {{name}}!":                     {text.LeftoverField},
		"Hi Zoë, evil.com!":                {text.LinkHost},
		"Hi Bartholomew, how are you":      {text.TooLong},
		"Hi \u202eZoë\u200b":               {text.ControlCharacters, text.Bidi},
		"":                                 {text.Empty},
		strings.Repeat("😀", text.MaxBytes): {text.TooLong},
	} {
		if diff := cmp.Diff(want, gate.CheckMerged(merged)); diff != "" {
			t.Errorf("%.80q (-want +got):\n%s", merged, diff)
		}
	}
}

func TestCanary(t *testing.T) {
	t.Parallel()
	canary := text.Canary("a seed")
	if canary != text.Canary("a seed") || canary == text.Canary("another") || len(canary) != 32 || strings.Contains(canary, "seed") {
		t.Errorf("the canary is %q", canary)
	}
	between := func(gap string) string { return strings.Join(strings.Split(canary, ""), gap) }
	fullWidth := strings.Map(func(r rune) rune { return r + 0xFEE0 }, canary)
	reversed := []byte(canary)
	for i := range len(reversed) / 2 {
		reversed[i], reversed[len(reversed)-1-i] = reversed[len(reversed)-1-i], reversed[i]
	}
	gate := text.Gate{Canary: canary, Fields: []string{"a"}}
	for _, leak := range []string{
		canary, strings.ToUpper(canary), "it is " + canary + "!", between(" "), between("-"), between("."), between("\u200b"), between("\n"), between(" * "), between("\u0301"),
		between("❤"), fullWidth, string(reversed), canary[:12], canary[8:20], canary[20:], strings.NewReplacer("a", "а", "c", "с").Replace(canary),
		canary[:6] + "{{a|}}" + canary[6:12], canary[:6] + "{{a}}" + canary[6:12], canary[:6] + "{{a|" + canary[6:12] + "}}",
	} {
		found := gate.Check(leak)
		if len(found) == 0 || found[len(found)-1] != text.CanaryLeak {
			t.Errorf("not seen: %q (%v)", leak, found)
		}
	}
	for _, harmless := range []string{"the canary sings", canary[:11], canary[21:], "hz canary"} {
		if found := gate.Check(harmless); len(found) > 0 {
			t.Errorf("%q: %v", harmless, found)
		}
	}
	short := text.Gate{Canary: "Tweety"}
	if found := short.Check("I say T-W-E-E-T-Y"); !cmp.Equal(found, []text.Violation{text.CanaryLeak}) {
		t.Errorf("a short canary: %v", found)
	}
	if found := (text.Gate{Canary: " - "}).Check("x"); found != nil {
		t.Errorf("a canary of nothing: %v", found)
	}
}

func TestInstructionsAreNotRepeated(t *testing.T) {
	t.Parallel()
	template := message(t)
	gate := template.Gate(nil, text.Canary("a seed"))
	for said, want := range map[string]bool{
		"You write one message that a creator sends to people who follow them.":                    true,
		"Sure: YOU WRITE ONE, message that - a creator\n\nsends":                                   true,
		"you * write * one * message * that * a * creator * sends":                                 true,
		"You wri\u200bte one message that a creator sends":                                         true,
		"You write one message that a creator likes, and sends to people who follow nobody at all": false,
		"write one message that a creator sends":                                                   false,
	} {
		found := gate.Check(said)
		got := len(found) > 0 && found[len(found)-1] == text.Instructions
		if got != want {
			t.Errorf("%q: %v", said, found)
		}
	}
}
