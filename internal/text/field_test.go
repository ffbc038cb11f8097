package text_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/huntaze/hybrid-orchestrator/internal/text"
)

func TestMerge(t *testing.T) {
	t.Parallel()
	fields := map[string]string{
		"name": "Zoë", "two": "{{name}}", "spaced": "  Ana \n María ", "link": "evil.com", "empty": "", "blank": " \u200b ", "Name": "Other", "a_1": "x",
	}
	tests := []struct{ text, want, missing string }{
		{"", "", ""}, {"no field", "no field", ""}, {"Hi {{name}}!", "Hi Zoë!", ""}, {"Hi {{name|you}}", "Hi Zoë", ""}, {"{{name}}{{name}}", "ZoëZoë", ""},
		{"{{ name }}, {{ name | you }}", "Zoë, Zoë", ""}, {"{{Name}} {{a_1}}", "Other x", ""}, {"Hi {{spaced}}", "Hi Ana María", ""},
		{"Hi {{link|you}}", "Hi you", ""}, {"Hi {{empty|you}}", "Hi you", ""}, {"Hi {{blank| you }}!", "Hi you!", ""}, {"Hi {{none|}}!", "Hi !", ""}, {"Hi {{two|you}}", "Hi you", ""},
		{"Hi {{link}}", "", "link"}, {"Hi {{none}}", "", "none"}, {"{{name}} {{none}} {{empty}}", "", "none"}, {"{{none|a}} {{none}}", "", "none"},
		{"{name} {{1}} {{na me}} {{name", "{name} {{1}} {{na me}} {{name", ""}, {"{{{name}}}", "{Zoë}", ""}, {"{{none|{{name}}}}", "{{none|Zoë}}", ""},
		{"{{name}}|you}}", "Zoë|you}}", ""}, {"{{" + strings.Repeat("a", 65) + "}}", "{{" + strings.Repeat("a", 65) + "}}", ""},
	}
	for _, test := range tests {
		got, err := text.Merge(test.text, fields)
		var missing *text.FieldError
		if test.missing != "" {
			if !errors.As(err, &missing) || missing.Name != test.missing || got != "" || !strings.Contains(err.Error(), test.missing) || strings.Contains(err.Error(), "evil") {
				t.Errorf("%q: %q, %v", test.text, got, err)
			}
		} else if err != nil || got != test.want {
			t.Errorf("%q: %q, %v, want %q", test.text, got, err, test.want)
		}
	}
}

func TestFieldsOf(t *testing.T) {
	t.Parallel()
	got := text.FieldsOf("{{b}} {{ a|x }} {{b|y}} {c} [[d]] {{1}} {{{e}}} {{f|{{g}}}}")
	if diff := cmp.Diff([]string{"b", "a", "e", "g"}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if got := text.FieldsOf("none"); got != nil {
		t.Error(got)
	}
}

func TestClean(t *testing.T) {
	t.Parallel()
	usable := map[string]string{
		"Zoë": "Zoë", "Zoe\u0308": "Zoë", "  Ana \t María\n": "Ana María", "O’Neill-Díaz, Jr.": "O’Neill-Díaz, Jr.", "J.R.R. Tolkien": "J.R.R. Tolkien", "Dr. No!": "Dr. No!",
		"李小龙": "李小龙", "Ольга": "Ольга", "محمد": "محمد", "שרה": "שרה", "नरेंद्र": "नरेंद्र", "Nguyễn Văn": "Nguyễn Văn", "Jordi Gal·la": "Jordi Gal·la", "'t Hooft": "'t Hooft", "Max (42)": "Max (42)",
		"Lucy ❤️": "Lucy ❤️", "🔥": "🔥", "👩‍👧": "👩👧", "👍🏽": "👍🏽", "🇫🇷": "🇫🇷", "𝓛𝓾𝓬𝔂": "𝓛𝓾𝓬𝔂", "a\ue000b": "ab", "x\ufe0f": "x", "\u202eabc": "abc",
		strings.Repeat("a", 100): strings.Repeat("a", 100), strings.Repeat("\u200b", 500) + "a": "a", "St. Pauli": "St. Pauli", "3": "3",
	}
	for value, want := range usable {
		if got, ok := text.Clean(value); !ok || got != want {
			t.Errorf("%q: %q, %v, want %q", value, got, ok, want)
		}
	}
	for _, value := range []string{
		"", " ", "\u200b", "...", "-", "!?", strings.Repeat("a", 101), strings.Repeat("a", 5000), "a\u0301\u0302\u0303\u0304\u0305\u0306", "\u0301a", ".com", "a{b", "a}b", "a<b", "a>b", "a[b",
		"a]b", "a\\b", "a|b", "a`b", "a^b", "a~b", "a@b", "a#b", "a*b", "a_b", "a=b", "a&b", "a;b", "a:b", "a\"b", "a/b", "a$b", "a%b", "a+b", "©", "\u2800", "🅴", "ﷺ﷽", "Jos\xe9", "a\ufffdb",
		"evil.com", "hello.How are you", "evil(dot)com", "evil.\u200bcom", "1.2.3.4", "ᴇᴠɪʟ．com",
	} {
		if got, ok := text.Clean(value); ok || got != "" {
			t.Errorf("%q can be used as %q", value, got)
		}
	}
}

func TestCheckFields(t *testing.T) {
	t.Parallel()
	many := map[string]string{}
	for i := range 64 {
		many[fmt.Sprintf("f%d", i)] = strings.Repeat("x", 4096)
	}
	for _, fields := range []map[string]string{nil, {}, {"a": ""}, {"A_z9": "evil.com \xff"}, {strings.Repeat("a", 64): "x"}, many} {
		if err := text.CheckFields(fields); err != nil {
			t.Error(err)
		}
	}
	many["f64"] = ""
	const noName = "no valid name"
	for _, test := range []struct {
		says   string
		fields map[string]string
	}{
		{"65 fields", many}, {noName, map[string]string{"": "secret"}}, {noName, map[string]string{"1a": "secret"}}, {noName, map[string]string{"a secret": "b"}},
		{noName, map[string]string{"é": "secret"}}, {noName, map[string]string{"secret\n": ""}}, {noName, map[string]string{strings.Repeat("secret", 11): ""}},
		{"field big has 4098 bytes", map[string]string{"big": strings.Repeat("secret", 683)}},
	} {
		says, fields := test.says, test.fields
		if err := text.CheckFields(fields); err == nil || !strings.Contains(err.Error(), says) || strings.Contains(err.Error(), "secret") || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v", says, err)
		}
	}
}

func TestBriefs(t *testing.T) {
	t.Parallel()
	for brief, want := range map[string]string{
		"": "", "  a\r\nb\rc\td\u2028e ": "a\nb\nc d\ne", "a\xffb": "a\ufffdb", "e\u0301": "é", "a\u200b\u202eb\U000e0041": "ab", "{{name}} <b> evil.com \"": "{{name}} <b> evil.com \"",
		strings.Repeat("é", 9000): strings.Repeat("é", 8000),
	} {
		if got := text.CleanBrief(brief); got != want {
			t.Errorf("%.40q became %.40q, want %.40q", brief, got, want)
		}
	}
	for brief, ok := range map[string]bool{"a": true, strings.Repeat("é", 8000): true, "": false, " \u200b\n": false, "a\xff": false, strings.Repeat("é", 8001): false} {
		if err := text.CheckBrief(brief); ok != (err == nil) {
			t.Errorf("%.40q: %v", brief, err)
		}
	}
}
