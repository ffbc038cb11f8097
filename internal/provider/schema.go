package provider

import (
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/tidwall/gjson"
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
// and free of what a database can't hold (NUL) or what tells of a broken encoding. A decoder into a struct would take
// "Text" for "text" and the last of two.
func parseAnswer(answer string) (text, why string, ok bool) {
	if len(answer) > maxAnswer || !utf8.ValidString(answer) {
		return "", "", false
	}
	root, ok := readObject([]byte(answer))
	if !ok {
		return "", "", false
	}
	var texts, whys, others int
	each(root, func(name string, value gjson.Result) {
		switch {
		case value.Type != gjson.String:
			others++
		case name == "text":
			text, texts = value.Str, texts+1
		case name == "why":
			why, whys = value.Str, whys+1
		default:
			others++
		}
	})
	if texts != 1 || whys != 1 || others > 0 || strings.TrimSpace(text) == "" || isBroken(text) || isBroken(why) {
		return "", "", false
	}
	return text, why, true
}

func isBroken(text string) bool {
	return strings.IndexByte(text, 0) >= 0 || strings.ContainsRune(text, utf8.RuneError)
}
