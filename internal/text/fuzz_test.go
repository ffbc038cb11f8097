package text_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/huntaze/hybrid-orchestrator/internal/text"
	"github.com/huntaze/hybrid-orchestrator/internal/text/hostile"
)

// eachShort calls add with the hostile values that a fuzzer can make something of.
func eachShort(add func(string)) {
	for _, value := range hostile.Values() {
		if len(value) <= 300 {
			add(value)
		}
	}
}

func FuzzClean(f *testing.F) {
	eachShort(func(value string) { f.Add(value) })
	f.Fuzz(func(t *testing.T, value string) { cleanHolds(t, value) })
}

func FuzzMerge(f *testing.F) {
	eachShort(func(value string) { f.Add("Hi {{name|"+value+"}} {{other}}", value, value) })
	f.Fuzz(func(t *testing.T, written, name, other string) { mergeHolds(t, written, name, other) })
}

func FuzzGate(f *testing.F) {
	eachShort(func(value string) { f.Add(value+" {{name}}", value) })
	f.Fuzz(func(t *testing.T, written, value string) { gateHolds(t, written, value) })
}

// A template that is read has a text for each field that it must have; one that is not is told on one line.
func FuzzTemplate(f *testing.F) {
	f.Add([]byte(valid))
	eachShort(func(value string) {
		f.Add([]byte(valid + "fallbackText: " + value))
		f.Add([]byte(strings.Replace(valid, "Write.", value, 1)))
	})
	content, err := os.ReadFile(filepath.Join("prompts", "message.v1.yaml"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(content)
	f.Fuzz(func(t *testing.T, content []byte) {
		template, err := text.ParseTemplate(content)
		if err != nil {
			if strings.ContainsAny(err.Error(), "\n\r\x00") {
				t.Fatalf("the error says %q", err)
			}
			return
		}
		if strings.Count(template.System, text.CanaryPlaceholder) != 1 || template.Name == "" || template.Version < 1 || template.MaxLength < 1 || template.MaxOutputTokens < 1 || template.Hash() == "" {
			t.Fatalf("%q was read as %+v", content, template)
		}
		if prompt := template.Prompt(text.Input{Canary: "c"}); strings.Contains(prompt.System, text.CanaryPlaceholder) {
			t.Fatalf("%q: the placeholder is still in %q", content, prompt.System)
		}
		if template.FallbackText != "" {
			if found := template.Gate(text.FieldsOf(template.FallbackText), text.Canary("a seed")).Check(template.FallbackText); len(found) > 0 {
				t.Fatalf("%q: the fallback is refused for %v", content, found)
			}
		}
	})
}
