package cost_test

import (
	"math"
	"math/big"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/huntaze/hybrid-orchestrator/internal/cost"
)

func TestFormatUSD(t *testing.T) {
	t.Parallel()
	for pico, want := range map[int64]string{
		14_015_000_000:        "$0.014015",
		0:                     "$0.00",
		1:                     "$0.000000000001",
		-1:                    "-$0.000000000001",
		1_000_000_000_000:     "$1.00",
		1_500_000_000_000:     "$1.50",
		-1_500_000_000_000:    "-$1.50",
		1_234_567_890_123_456: "$1234.567890123456",
		100_000_000_000:       "$0.10",
		10_000_000_000:        "$0.01",
		1_000_000_000:         "$0.001",
		math.MaxInt64:         "$9223372.036854775807",
		math.MinInt64:         "-$9223372.036854775808",
	} {
		if got := cost.FormatUSD(pico); got != want {
			t.Errorf("%d: %s, want %s", pico, got, want)
		}
	}
}

func TestFormatUSDIsExact(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		pico := rapid.Int64().Draw(t, "pico")
		read, ok := new(big.Rat).SetString(strings.Replace(cost.FormatUSD(pico), "$", "", 1))
		if want := big.NewRat(pico, 1_000_000_000_000); !ok || read.Cmp(want) != 0 {
			t.Fatalf("%s reads as %v, want %v", cost.FormatUSD(pico), read, want)
		}
	})
}

// The counts are those of the vocabulary o200k.
func TestEstimateTokensIsCautious(t *testing.T) {
	t.Parallel()
	for text, tokens := range map[string]int64{
		"":      0,
		"Hello": 1,
		"Hey you! I just posted something new that I think you are going to love. Come and have a look tonight?":                           24,
		"Bonjour mon chéri, j'ai préparé quelque chose de spécial rien que pour toi ce soir.":                                              20,
		"¿Qué tal tu día? Tengo una sorpresa para ti esta noche, no te la pierdas.":                                                        19,
		"Привет! Как прошёл твой день? У меня есть для тебя кое-что особенное.":                                                            21,
		"今日はどんな一日でしたか？新しい写真を投稿したので、ぜひ見てくださいね。":                                                                                             22,
		"你今天过得怎么样？我刚刚发了新的照片，快来看看吧。":                                                                                                        19,
		"नमस्ते! आपका दिन कैसा रहा? आज रात आपके लिए एक सरप्राइज है।":                                                                       21,
		"Miss you 😘😘 see you at 8pm? ❤️🔥":                                                                                                  14,
		`{"workflowId":"wf-1","recipientId":"fan-42","content":"Hello","attempts":0,"maxRetries":3,"scheduledFor":"2026-11-23T10:00:00Z"}`: 46,
		"func parse(text string) (int64, error) { return strconv.ParseInt(text, 10, 64) }":                                                 25,
		"1234567890123456789012345678901234567890":                                                                                         14,
	} {
		if got := cost.EstimateTokens(text); got < tokens || got > 4*tokens+16 {
			t.Errorf("%q: %d tokens, in truth %d", text, got, tokens)
		}
	}
}

func TestEstimateTokensAddsUp(t *testing.T) {
	t.Parallel()
	if got := cost.EstimateTokens(); got != 0 {
		t.Errorf("no text: %d tokens", got)
	}
	rapid.Check(t, func(t *rapid.T) {
		a, b := rapid.String().Draw(t, "a"), rapid.String().Draw(t, "b")
		if both, sum := cost.EstimateTokens(a, b), cost.EstimateTokens(a)+cost.EstimateTokens(b); both != sum {
			t.Fatalf("together %d, one by one %d", both, sum)
		}
		if longer := cost.EstimateTokens(a + b); longer < cost.EstimateTokens(a) {
			t.Fatalf("%d tokens, without the end %d", longer, cost.EstimateTokens(a))
		}
	})
}
