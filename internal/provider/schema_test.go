package provider

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
)

// TestSchemaIsStrict keeps the answer's schema inside what both providers take in strict mode.
func TestSchemaIsStrict(t *testing.T) {
	t.Parallel()
	var root map[string]any
	if err := json.Unmarshal(Schema(), &root); err != nil {
		t.Fatal(err)
	}
	properties := 0
	var check func(schema map[string]any, depth int)
	check = func(schema map[string]any, depth int) {
		if depth > 5 {
			t.Error("deeper than 5 levels")
		}
		for word := range schema {
			if !slices.Contains([]string{"type", "properties", "required", "additionalProperties", "description", "enum", "items", "anyOf"}, word) {
				t.Errorf("%q is not in the common subset", word)
			}
		}
		if schema["type"] != "object" {
			return
		}
		if schema["additionalProperties"] != false {
			t.Error("an object without additionalProperties: false")
		}
		required, _ := schema["required"].([]any)
		for name, property := range schema["properties"].(map[string]any) {
			properties++
			if !slices.Contains(required, any(name)) {
				t.Errorf("%s is not required", name)
			}
			check(property.(map[string]any), depth+1)
		}
	}
	check(root, 1)
	if root["type"] != "object" || root["anyOf"] != nil {
		t.Error("the root must be an object")
	}
	if properties == 0 || properties > 100 {
		t.Errorf("%d properties", properties)
	}
	Schema()[0] = 'x' // a copy
	if Schema()[0] != '{' {
		t.Error("the schema can be changed from outside")
	}
}

func TestAnswer(t *testing.T) {
	t.Parallel()
	for answer, want := range map[string]string{
		`{"text":"Hey","why":"w"}`:                                    "Hey",
		" {\n\"why\":\"w\", \"text\":\"Hey\"} \n":                     "Hey",
		`{"text":"He\u0079 {{name}} \ud83d\ude00","why":""}`:          "Hey {{name}} 😀",
		`{"text":"a\nb","why":"w"}`:                                   "a\nb",
		`{"te\u0078t":"Hey","why":"w"}`:                               "Hey",
		`{"text":"Hey","te\u0078t":"Hey","why":"w"}`:                  "",
		`{"text":" ","why":"w"}`:                                      "",
		`{"text":"\u00a0","why":"w"}`:                                 "",
		`{"text":"Hey"}`:                                              "",
		`{"why":"w"}`:                                                 "",
		`{"text":"Hey","why":null}`:                                   "",
		`{"text":["Hey"],"why":"w"}`:                                  "",
		`{"text":{"text":"Hey","why":"w"},"why":"w"}`:                 "",
		`{"text":"Hey","why":"w","text":"Hey"}`:                       "",
		`{"text":"Hey","why":"w","why":"w"}`:                          "",
		`{"text":"Hey","why":"w","more":"x"}`:                         "",
		`{"TEXT":"Hey","why":"w"}`:                                    "",
		`{"text":"Hey","why":"w"}{}`:                                  "",
		`{"text":"Hey","why":"w"}x`:                                   "",
		`{"text":"Hey","why":"w"`:                                     "",
		`{"text":"Hey","why":"w",}`:                                   "",
		`{"text":"Hey\u0000","why":"w"}`:                              "",
		`{"text":"Hey","why":"\u0000"}`:                               "",
		`{"text":"\ud83d","why":"w"}`:                                 "",
		"{\"text\":\"\xff\",\"why\":\"w\"}":                           "",
		`[{"text":"Hey","why":"w"}]`:                                  "",
		`"text"`:                                                      "",
		`null`:                                                        "",
		``:                                                            "",
		`{"text":"` + strings.Repeat("x", maxAnswer) + `","why":"w"}`: "",
		strings.Repeat(`{"text":`, 20000):                             "",
	} {
		text, _, ok := parseAnswer(answer)
		if ok != (want != "") || ok && text != want {
			t.Errorf("%.60q: %q %v", answer, text, ok)
		}
	}
}

// TestModelAndTierAreWords: a provider's sentence in the place of a name is not kept.
func TestModelAndTierAreWords(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ model, tier, wantModel, wantTier string }{
		{"gpt-5.6-luna-2026-07-01", "flex", "gpt-5.6-luna-2026-07-01", "flex"},
		{"you asked: hello", "cheapest", "", ""},
		{strings.Repeat("x", 2*maxWord+1), "", "", ""},
	} {
		body := `{"model":"` + c.model + `","service_tier":"` + c.tier + `","choices":[{"message":{"content":"{\"text\":\"Hey\",\"why\":\"w\"}"}}]}`
		got := Classify(Exchange{Provider: OpenAI, Status: 200, Body: []byte(body)})
		if got.Class != Completed || got.Model != c.wantModel || got.Tier != c.wantTier || got.Unclassified {
			t.Errorf("%+v", got)
		}
	}
}
