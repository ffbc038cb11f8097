package provider

import (
	"encoding/json"
	"slices"
	"strings"
	"unicode/utf8"
)

// SchemaName names the answer's schema towards the providers.
const SchemaName = "message"

const (
	maxAnswer = 64 << 10 // bytes of the whole answer; no message is as long
	maxWord   = 64
)

// answerSchema keeps to what both providers take in strict mode, Azure's being the smaller: every field required, no
// others, no lengths, no patterns. What it can't say is checked by parseAnswer.
var answerSchema = []byte(`{"type":"object","properties":{` +
	`"text":{"type":"string","description":"The message, ready to send."},` +
	`"why":{"type":"string","description":"One short sentence: why it is written like this."}},` +
	`"required":["text","why"],"additionalProperties":false}`)

// Schema returns the JSON schema of the answer: {"text": string, "why": string}.
func Schema() []byte { return slices.Clone(answerSchema) }

// parseAnswer reads a model's answer by the letter: exactly the two fields, each once, both strings, the text not blank
// and free of what a database can't hold (NUL) or what tells of a broken encoding. A decoder of encoding/json alone
// would take "Text" for "text" and the last of two.
func parseAnswer(answer string) (text, why string, ok bool) {
	if len(answer) > maxAnswer || !utf8.ValidString(answer) {
		return "", "", false
	}
	decoder := json.NewDecoder(strings.NewReader(answer))
	if token, err := decoder.Token(); err != nil || token != json.Delim('{') {
		return "", "", false
	}
	var hasText, hasWhy bool
	for decoder.More() {
		key, err := decoder.Token()
		if err != nil {
			return "", "", false
		}
		token, err := decoder.Token()
		value, isString := token.(string)
		if err != nil || !isString {
			return "", "", false
		}
		switch {
		case key == "text" && !hasText:
			text, hasText = value, true
		case key == "why" && !hasWhy:
			why, hasWhy = value, true
		default:
			return "", "", false
		}
	}
	if _, err := decoder.Token(); err != nil || !hasText || !hasWhy {
		return "", "", false
	}
	if strings.TrimSpace(answer[decoder.InputOffset():]) != "" || strings.TrimSpace(text) == "" ||
		strings.ContainsAny(text+why, "\x00"+string(utf8.RuneError)) {
		return "", "", false
	}
	return text, why, true
}
