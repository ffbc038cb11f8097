package text_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"

	"github.com/huntaze/hybrid-orchestrator/internal/text"
	"github.com/huntaze/hybrid-orchestrator/internal/text/hostile"
)

// drawHostile joins pieces of hostile values, of markup and of chance.
func drawHostile(t *rapid.T, label string) string {
	values := slices.DeleteFunc(hostile.Values(), func(v string) bool { return len(v) > 300 })
	piece := rapid.OneOf(rapid.SampledFrom(values), rapid.String(), rapid.StringMatching(`[a-z{}|.@:/ ]{0,8}`),
		rapid.SampledFrom([]string{"{{", "}}", "|", "{{name}}", "{{other|x}}", "evil", ".", "com", "\u200b", "\u0301", "\ufe0f", "❤", " ", "\n", "Zoë"}))
	return strings.Join(rapid.SliceOfN(piece, 0, 6).Draw(t, label), "")
}

func TestCleanProperties(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) { cleanHolds(t, drawHostile(t, "value")) })
}

func TestMergeProperties(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		mergeHolds(t, drawHostile(t, "text"), drawHostile(t, "name"), drawHostile(t, "other"))
	})
}

func TestGateProperties(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) { gateHolds(t, drawHostile(t, "text"), drawHostile(t, "value")) })
}

func TestPromptProperties(t *testing.T) {
	t.Parallel()
	template := message(t)
	system := template.Prompt(text.Input{Canary: "c"}).System
	rapid.Check(t, func(t *rapid.T) {
		brief, value, key := drawHostile(t, "brief"), drawHostile(t, "value"), drawHostile(t, "key")
		in := text.Input{Brief: brief, Fields: []string{key, "name"}, Recipient: map[string]string{"name": value, key: value}, Canary: "c"}
		prompt := template.Prompt(in)
		var got struct{ Brief string }
		if err := json.Unmarshal([]byte(prompt.User), &got); err != nil || got.Brief != text.CleanBrief(brief) || prompt.System != system {
			t.Fatalf("%q: %q, %v", brief, got.Brief, err)
		}
		if prompt != template.Prompt(in) {
			t.Fatal("the same input gives another prompt")
		}
	})
}

// fataler is a test, a property or a fuzz target.
type fataler interface {
	Helper()
	Fatalf(format string, args ...any)
}

func cleanHolds(t fataler, value string) {
	t.Helper()
	clean, ok := text.Clean(value)
	if !ok {
		if clean != "" {
			t.Fatalf("%q can't be used, yet became %q", value, clean)
		}
		return
	}
	if again, ok := text.Clean(clean); !ok || again != clean {
		t.Fatalf("%q became %q and then %q, %v", value, clean, again, ok)
	}
	if clean == "" || utf8.RuneCountInString(clean) > text.MaxValue || strings.ContainsAny(clean, "{}<>[]\\|`^~@#*_=&/:;\"$%+\n\r\t\x00") || clean != strings.TrimSpace(clean) {
		t.Fatalf("%q became %q", value, clean)
	}
	if found := (text.Gate{}).CheckMerged("Hi " + clean + ", thanks!"); len(found) > 0 {
		t.Fatalf("%q became %q, refused for %v", value, clean, found)
	}
	if found := (text.Gate{}).CheckMerged(clean); len(found) > 0 {
		t.Fatalf("%q became %q, which alone is refused for %v", value, clean, found)
	}
}

func mergeHolds(t fataler, written, name, other string) {
	t.Helper()
	fields := map[string]string{"name": name, "other": other}
	merged, err := text.Merge(written, fields)
	if err != nil {
		if merged != "" || strings.ContainsAny(err.Error(), "\n\x00") {
			t.Fatalf("%q: %q, %v", written, merged, err)
		}
		return
	}
	// A value adds no markup of its own: what is merged has no more of it than the text had.
	for _, mark := range []string{"{", "}", "|", "<", ">", "[", "@", "/", "\\", "\n", "\u202e", "\u200b"} {
		if strings.Count(merged, mark) > strings.Count(written, mark) {
			t.Fatalf("%q with %q and %q became %q, with more %q", written, name, other, merged, mark)
		}
	}
	if len(text.FieldsOf(written)) == 0 && merged != written {
		t.Fatalf("%q has no fields, yet became %q", written, merged)
	}
}

func gateHolds(t fataler, written, value string) {
	t.Helper()
	gate := text.Gate{MaxLength: 300, Language: "en", LinkHosts: []string{"good.com"}, Fields: []string{"name", "other"}, Canary: text.Canary("a"), System: "one two three four five six seven eight nine"}
	found := gate.Check(written)
	if !slices.Equal(found, gate.Check(written)) {
		t.Fatalf("%q: %v, then another answer", written, found)
	}
	last := -1
	for _, rule := range found {
		at := slices.Index(text.Violations, rule)
		if at <= last {
			t.Fatalf("%q: %v is not in order", written, found)
		}
		last = at
	}
	for _, evil := range []string{written + " https://evil.com", "evil.com/ " + written, "bit.ly\n" + written} {
		if len(evil) < text.MaxBytes && !slices.Contains(gate.Check(evil), text.LinkHost) {
			t.Fatalf("the link is not seen in %q", evil)
		}
	}
	if len(found) > 0 {
		return
	}
	// A text that passed has no faults when its fields are filled, except those that a filled field can have.
	merged, err := text.Merge(written, map[string]string{"name": value, "other": value})
	if err != nil {
		return
	}
	for _, rule := range gate.CheckMerged(merged) {
		if !slices.Contains([]text.Violation{text.Empty, text.TooLong, text.LinkHost, text.CombiningMarks}, rule) {
			t.Fatalf("%q passed, and with %q it is %q, refused for %v", written, value, merged, rule)
		}
	}
}
