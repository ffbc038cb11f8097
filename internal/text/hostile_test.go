package text_test

import (
	"encoding/json"
	"io"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/huntaze/hybrid-orchestrator/internal/text"
	"github.com/huntaze/hybrid-orchestrator/internal/text/hostile"
)

func TestThereAreEnoughHostileValues(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for _, value := range hostile.Values() {
		if seen[value] {
			t.Errorf("twice: %.60q", value)
		}
		seen[value] = true
	}
	if len(seen) < 220 {
		t.Errorf("only %d", len(seen))
	}
}

// As a recipient's field, a hostile value is either cleaned or replaced by the default.
func TestHostileField(t *testing.T) {
	t.Parallel()
	gate := text.Gate{MaxLength: 200}
	for _, value := range hostile.Values() {
		merged, err := text.Merge("Hi {{name|there}}, thanks!", map[string]string{"name": value})
		if err != nil {
			t.Errorf("%.60q: %v", value, err)
			continue
		}
		clean, ok := text.Clean(value)
		if want := "Hi " + clean + ", thanks!"; ok && merged != want || !ok && merged != "Hi there, thanks!" {
			t.Errorf("%.60q became %.120q (usable: %v)", value, merged, ok)
		}
		if found := gate.CheckMerged(merged); len(found) > 0 {
			t.Errorf("%.60q became %.120q, refused for %v", value, merged, found)
		}
		if strings.ContainsFunc(merged, func(r rune) bool { return unicode.IsControl(r) || unicode.Is(unicode.Cf, r) }) ||
			strings.ContainsAny(merged, "\n\r\u2028\u2029{}[]<>|\\`@#&=~^*_/:;\"$%") || strings.Contains(merged, "  ") {
			t.Errorf("%.60q became %.120q", value, merged)
		}
		if _, err := text.Merge("Hi {{name}}", map[string]string{"name": value}); ok != (err == nil) {
			t.Errorf("%.60q without a default: %v (usable: %v)", value, err, ok)
		} else if err != nil && err.Error() != (&text.FieldError{Name: "name"}).Error() {
			t.Errorf("%.60q: the error says %q", value, err)
		}
	}
	for _, link := range hostile.Links() {
		if clean, ok := text.Clean(link); ok {
			t.Errorf("the link %q may be a field, as %q", link, clean)
		}
	}
}

// As a brief or a recipient's field, a hostile value is one string in the user message and nothing else.
func TestHostileBrief(t *testing.T) {
	t.Parallel()
	template, canary := message(t), text.Canary("a seed")
	harmless := template.Prompt(text.Input{Brief: "Say hello", Fields: []string{"name"}, Canary: canary})
	for _, value := range hostile.Values() {
		prompt := template.Prompt(text.Input{
			Brief: value, Fields: []string{"name", value}, Canary: canary,
			Recipient: map[string]string{"name": value, value: "x"}, Repair: []text.Violation{text.TooLong, text.Violation(value)},
		})
		if prompt.System != harmless.System {
			t.Errorf("%.60q changes the system message", value)
		}
		var got struct {
			Brief     *string
			Fields    []string
			Recipient map[string]string
			MaxLength int
			LinkHosts []string
			Language  string
			Repair    []struct{ Rule, Hint string }
		}
		decoder := json.NewDecoder(strings.NewReader(prompt.User))
		decoder.DisallowUnknownFields()
		if err := decoder.Decode(&got); err != nil {
			t.Errorf("%.60q: the user message can't be read: %v", value, err)
			continue
		}
		if _, err := decoder.Token(); err != io.EOF {
			t.Errorf("%.60q: something follows the object", value)
		}
		brief := text.CleanBrief(value)
		if got.Brief == nil || *got.Brief != brief || !utf8.ValidString(brief) || utf8.RuneCountInString(brief) > text.MaxBrief || text.CleanBrief(brief) != brief {
			t.Errorf("%.60q: the brief became %.120q", value, *got.Brief)
		}
		clean, ok := text.Clean(value)
		if name, there := got.Recipient["name"]; there != ok || name != clean {
			t.Errorf("%.60q: the recipient became %.120q", value, got.Recipient)
		}
		for _, name := range append(got.Fields, slices.Collect(keys(got.Recipient))...) {
			if text.CheckFields(map[string]string{name: ""}) != nil {
				t.Errorf("%.60q became a field's name", value)
			}
		}
		if got.MaxLength != template.MaxLength || len(got.Repair) != 1 || strings.ContainsAny(prompt.User, "<>&\n") || strings.Contains(prompt.User, canary) {
			t.Errorf("%.60q: the user message is %.300q", value, prompt.User)
		}
	}
}

func keys(m map[string]string) func(func(string) bool) {
	return func(yield func(string) bool) {
		for key := range m {
			if !yield(key) {
				return
			}
		}
	}
}

// A model that obeys returns the value as its text. The gate has good.com allowed, which many links pretend to be.
func TestHostileModel(t *testing.T) {
	t.Parallel()
	canary := text.Canary("a seed")
	gate := text.Gate{MaxLength: 500, Fields: []string{"name"}, LinkHosts: []string{"good.com", ".sub.good.com"}, Canary: canary, System: message(t).System}
	for rule, list := range map[text.Violation][]string{
		text.LinkHost: hostile.Links(), text.LeftoverField: hostile.Leftovers(), text.ControlCharacters: hostile.Hidden(),
		text.Bidi: hostile.Directions(), text.CombiningMarks: hostile.Stacked(), text.InvalidUTF8: hostile.Broken(),
	} {
		for _, value := range list {
			for _, answer := range []string{value, "Hi {{name}}, look: " + value, value + " is for you", "A\n" + value + "\nB"} {
				if found := gate.Check(answer); !slices.Contains(found, rule) {
					t.Errorf("%s is not seen in %.100q: %v", rule, answer, found)
				}
				if found := gate.CheckMerged(answer); !slices.Contains(found, rule) {
					t.Errorf("merged, %s is not seen in %.100q: %v", rule, answer, found)
				}
			}
		}
	}
	for _, value := range hostile.Injections() {
		if found := gate.Check(value); len(found) > 0 {
			t.Errorf("%q has no fault but what it says, yet is refused for %v", value, found)
		}
		for _, answer := range []string{value + " " + canary, canary + value, value + "\n" + strings.ToUpper(canary)} {
			if found := gate.Check(answer); !slices.Contains(found, text.CanaryLeak) {
				t.Errorf("the canary is not seen in %q: %v", answer, found)
			}
		}
	}
}

// What is huge is refused, in time that grows with its length and never beyond what MaxBytes takes.
func TestHugeTexts(t *testing.T) {
	t.Parallel()
	gate := text.Gate{MaxLength: 500, Language: "fr", Fields: []string{"a"}, LinkHosts: []string{"good.com"}, Canary: text.Canary("a"), System: message(t).System}
	list := hostile.Huge()
	for _, part := range []string{"good.com ", "https://good.com/a ", "{{a|", "{{a}}", "évil.", "%2525", "\ufdfa.", "[a", "xn--a.", "a@", "::1"} {
		list = append(list, strings.Repeat(part, 3<<20/len(part)))
	}
	for _, value := range list {
		start := time.Now()
		found := gate.Check(value)
		if took := time.Since(start); took > 20*time.Second { // with the race detector, on a busy machine
			t.Errorf("%.40q took %v", value, took)
		}
		if len(value) > text.MaxBytes && !slices.Contains(found, text.TooLong) {
			t.Errorf("%.40q with %d bytes is not too long: %v", value, len(value), found)
		}
	}
}
