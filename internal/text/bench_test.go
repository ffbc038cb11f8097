package text_test

import (
	"testing"

	"github.com/huntaze/hybrid-orchestrator/internal/text"
)

func BenchmarkCheck(b *testing.B) {
	template := message(b)
	template.Language = "en"
	gate := template.Gate([]string{"name"}, text.Canary("a seed"))
	for b.Loop() {
		gate.Check(harmless["en"][0])
	}
}

func BenchmarkMergeAndCheck(b *testing.B) {
	gate := text.Gate{MaxLength: 600}
	for b.Loop() {
		merged, err := text.Merge(harmless["en"][0], map[string]string{"name": "Zoë"})
		if err != nil || len(gate.CheckMerged(merged)) > 0 {
			b.Fatal(merged, err)
		}
	}
}
