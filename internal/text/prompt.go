package text

import (
	"encoding/json"
	"slices"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// Input is what one text is written from.
type Input struct {
	Brief     string
	Fields    []string          // that the text may use as {{name}}
	Recipient map[string]string // only for a text that is written for one recipient
	Canary    string            // see Canary; the same as in the text's Gate
	Repair    []Violation       // of the text that was refused before, if this is another try
}

// Prompt is what a model is sent.
type Prompt struct {
	System string // depends on the template and the canary alone
	User   string // one JSON object
}

// MaxBrief is how many characters of a brief are used; CheckBrief refuses a longer one at intake.
const MaxBrief = 8000

type userMessage struct {
	Brief     string            `json:"brief"`
	Fields    []string          `json:"fields"`
	Language  string            `json:"language,omitempty"`
	MaxLength int               `json:"maxLength"`
	LinkHosts []string          `json:"linkHosts,omitempty"`
	Repair    []repair          `json:"repair,omitempty"`
	Recipient map[string]string `json:"recipient,omitempty"`
}

type repair struct {
	Rule Violation `json:"rule"`
	Hint string    `json:"hint,omitempty"`
}

// Prompt makes what a model is sent. What others wrote stands in the user message only, as JSON strings: JSON and
// its escaping of <, > and & leave nothing in them that could end the object or look like markup. Field names that
// are none, values that Clean refuses and rules that do not exist are left out.
func (t Template) Prompt(in Input) Prompt {
	message := userMessage{
		Brief:     CleanBrief(in.Brief),
		Fields:    []string{},
		Language:  t.Language,
		MaxLength: t.MaxLength,
		LinkHosts: t.LinkHosts,
	}
	for _, name := range in.Fields {
		if isFieldName(name) && !slices.Contains(message.Fields, name) && len(message.Fields) < MaxFields {
			message.Fields = append(message.Fields, name)
		}
	}
	for _, rule := range Violations {
		if slices.Contains(in.Repair, rule) {
			message.Repair = append(message.Repair, repair{rule, t.RepairHints[rule]})
		}
	}
	for name, value := range in.Recipient {
		if value, ok := Clean(value); ok && isFieldName(name) {
			if message.Recipient == nil {
				message.Recipient = make(map[string]string, len(in.Recipient))
			}
			message.Recipient[name] = value
		}
	}
	user, err := json.Marshal(message)
	if err != nil {
		panic("text: a message of strings and numbers can't be written as JSON: " + err.Error())
	}
	return Prompt{System: strings.Replace(t.System, CanaryPlaceholder, in.Canary, 1), User: string(user)}
}

// CleanBrief makes a brief fit for a prompt. Line breaks stay and broken bytes become U+FFFD; characters that
// nobody sees are removed, because a brief must say to the model what it says to the person who reads it.
func CleanBrief(brief string) string {
	brief = strings.ToValidUTF8(cut(brief, 4*MaxBrief), string(utf8.RuneError))
	brief = strings.NewReplacer("\r\n", "\n", "\r", "\n", "\v", "\n", "\f", "\n", "\u0085", "\n", "\u2028", "\n", "\u2029", "\n",
		"\t", " ").Replace(brief)
	brief = norm.NFC.String(dropHidden(brief))
	if count := 0; utf8.RuneCountInString(brief) > MaxBrief {
		for i := range brief {
			if count++; count > MaxBrief {
				brief = brief[:i]
				break
			}
		}
	}
	return strings.TrimSpace(brief)
}

// cut shortens a text to a number of bytes, without dividing a character.
func cut(text string, most int) string {
	if len(text) <= most {
		return text
	}
	for most > 0 && !utf8.RuneStart(text[most]) {
		most--
	}
	return text[:most]
}
