package cost

// The estimate of tokens: one for every two bytes, and some for what a provider puts around each text.
const (
	bytesPerToken = 2
	tokensPerText = 8
)

// EstimateTokens is a cautious guess at how many tokens some texts are, from their length alone. By the vocabulary
// o200k English has about 4 bytes in a token, other languages 4 to 7, JSON and code about 3: the guess is up to
// twice too high for most texts, for some three times. It is too low only for what is hardly text, such as base64
// or long rows of rare signs.
//
// It holds for a text in any state: nothing is decoded, and bytes that are not UTF-8 count like others.
func EstimateTokens(texts ...string) int64 {
	var tokens int64
	for _, text := range texts {
		tokens += (int64(len(text))+bytesPerToken-1)/bytesPerToken + tokensPerText
	}
	return tokens
}
