package providersim

import (
	"encoding/json"
	"hash/fnv"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// asked is a request for a chat completion, as far as it is looked at.
type asked struct {
	Model    string `json:"model"`
	Messages []struct {
		Role    string          `json:"role"`
		Content json.RawMessage `json:"content"`
	} `json:"messages"`
	MaxTokens int64  `json:"max_completion_tokens"`
	Effort    string `json:"reasoning_effort"`
	Tier      string `json:"service_tier"`
	Stream    bool   `json:"stream"`
	Format    struct {
		Type   string `json:"type"`
		Schema struct {
			Schema json.RawMessage `json:"schema"`
		} `json:"json_schema"`
	} `json:"response_format"`
}

// readAsked says whether a request is one that a provider would let pass.
func readAsked(body []byte) (asked, bool) {
	var a asked
	err := json.Unmarshal(body, &a)
	return a, err == nil && len(a.Messages) > 0 && !a.Stream && a.MaxTokens >= 0
}

func (a asked) system() string { return a.said("system", "developer") }
func (a asked) user() string   { return a.said("user") }

// said joins what was said in some roles, written as a text or as a list of parts.
func (a asked) said(roles ...string) string {
	var all []string
	for _, m := range a.Messages {
		if !slices.Contains(roles, m.Role) {
			continue
		}
		var text string
		var parts []struct{ Text string }
		if json.Unmarshal(m.Content, &text) == nil {
			all = append(all, text)
		} else if json.Unmarshal(m.Content, &parts) == nil {
			for _, part := range parts {
				all = append(all, part.Text)
			}
		}
	}
	return strings.Join(all, "\n")
}

// makeAnswer makes the answer to a call that a fault may have struck, and notes its tokens.
func (s *Server) makeAnswer(call *Call, fault Fault, asked asked) given {
	if fault.Fixture != "" {
		return recorded(fault.Fixture)
	}
	written := given{name: Completed, fixture: Fixture{Status: 200, Kind: fault.Kind, Header: usualHeaders[call.Provider]}}
	message, why := compose(asked.user())
	switch {
	case fault.Text != "":
		written.name, message = CustomText, fault.Text
	case fault.Kind != "":
		written.name = string(fault.Kind)
	}
	if slices.Contains([]Kind{Hang, Reset, Close, NotHTTP}, fault.Kind) {
		written.fixture.Status = 0
		return written
	}
	content := fill(asked.Format.Schema.Schema, message, why)
	finish := "stop"
	used := asked.count(content)
	if asked.MaxTokens > 0 && used.output > asked.MaxTokens {
		content, finish, used.output = cut(content, int(asked.MaxTokens)*4), "length", asked.MaxTokens
		used.reasoning = min(used.reasoning, used.output)
		if fault.Kind == "" {
			written.name = Truncated
		}
	}
	call.Input, call.Output = used.input, used.output
	if tier := asked.Tier; tier == "" || tier == "auto" {
		asked.Tier = "default"
	}
	written.fixture.Body = `{"id":"chatcmpl-sim","object":"chat.completion","created":1795428000,"model":` + quote(call.Deployment) +
		`,"service_tier":` + quote(asked.Tier) + `,"choices":[{"index":0,"message":{"role":"assistant","content":` + quote(content) +
		`,"refusal":null},"logprobs":null,"finish_reason":"` + finish + `"}],"usage":` + used.json() + `}`
	return written
}

// usualHeaders are those of an answer that is far from its limits, in each provider's form.
var usualHeaders = map[Provider]map[string]string{
	Azure: {"X-Ratelimit-Limit-Requests": "1000", "X-Ratelimit-Remaining-Requests": "999", "X-Ratelimit-Limit-Tokens": "1000000",
		"X-Ratelimit-Remaining-Tokens": "999000", "X-Ms-Region": "Simulated"},
	OpenAI: {"X-Ratelimit-Limit-Requests": "5000", "X-Ratelimit-Remaining-Requests": "4999", "X-Ratelimit-Reset-Requests": "12ms",
		"X-Ratelimit-Limit-Tokens": "2000000", "X-Ratelimit-Remaining-Tokens": "1999000", "X-Ratelimit-Reset-Tokens": "30ms", "Openai-Processing-Ms": "1"},
}

type tokens struct{ input, cached, output, reasoning int64 }

// count is plausible: four characters are a token, instructions that are long enough are cached.
func (a asked) count(content string) tokens {
	of := func(text string) int64 { return int64(utf8.RuneCountInString(text)+3) / 4 }
	t := tokens{input: of(a.system()) + of(a.user()) + of(string(a.Format.Schema.Schema)) + 8, output: of(content) + 2}
	if system := of(a.system()); system >= 1024 {
		t.cached = system / 128 * 128
	}
	if a.Effort != "" && a.Effort != "none" && a.Effort != "minimal" {
		t.reasoning = 64
		t.output += t.reasoning
	}
	return t
}

func (t tokens) json() string {
	n := func(i int64) string { return strconv.FormatInt(i, 10) }
	return `{"prompt_tokens":` + n(t.input) + `,"completion_tokens":` + n(t.output) + `,"total_tokens":` + n(t.input+t.output) +
		`,"prompt_tokens_details":{"cached_tokens":` + n(t.cached) + `},"completion_tokens_details":{"reasoning_tokens":` + n(t.reasoning) + `}}`
}

// fill makes an object that keeps to a schema: the text and the reason where it names them, something of the right
// type elsewhere.
func fill(schema []byte, text, why string) string {
	var s struct {
		Properties map[string]struct {
			Type json.RawMessage `json:"type"`
			Enum []any           `json:"enum"`
		} `json:"properties"`
	}
	_ = json.Unmarshal(schema, &s)
	if len(s.Properties) == 0 {
		return `{"text":` + quote(text) + `,"why":` + quote(why) + `}`
	}
	values := map[string]any{"text": text, "why": why}
	filled := map[string]any{}
	for name, property := range s.Properties {
		value, is := values[name]
		switch kind := string(property.Type); {
		case is:
		case len(property.Enum) > 0:
			value = property.Enum[0]
		case kind == `"string"`:
			value = "simulated"
		case kind == `"integer"`, kind == `"number"`:
			value = 0
		case kind == `"boolean"`:
			value = false
		case kind == `"array"`:
			value = []any{}
		case kind == `"object"`:
			value = map[string]any{}
		}
		filled[name] = value
	}
	out, _ := json.Marshal(filled)
	return string(out)
}

// compose writes a message by a hash of the brief. Whatever is asked, the same gets the same.
func compose(user string) (text, why string) {
	order := readOrder(user)
	speech, known := speeches[strings.ToLower(strings.SplitN(order.Language, "-", 2)[0])]
	if !known {
		speech = speeches["en"]
	}
	sum := fnv.New64a()
	_, _ = sum.Write([]byte(order.Brief))
	h := sum.Sum64()
	text = speech.plain
	if slices.Contains(order.Fields, "name") {
		text = speech.named
	}
	if len(order.Repair) > 0 {
		h++ // what was refused is not said again
	}
	greeting := text
	text += " " + speech.said[h%uint64(len(speech.said))] + " " + speech.asks[h/8%uint64(len(speech.asks))]
	if limit := order.MaxLength; limit > 0 && utf8.RuneCountInString(text) > limit {
		text = greeting
		if utf8.RuneCountInString(text) > limit {
			text = cut("Hi!", limit)
		}
	}
	return text, "It follows the brief; simulated, variant " + strconv.FormatUint(h%1000, 10) + "."
}

// order is what the fleet writes into the user's message.
type order struct {
	Brief     string   `json:"brief"`
	Fields    []string `json:"fields"`
	Language  string   `json:"language"`
	MaxLength int      `json:"maxLength"`
	Repair    []string `json:"repair"`
}

// readOrder takes an order out of a message, or the whole message for a brief.
func readOrder(user string) order {
	var o order
	if from, to := strings.IndexByte(user, '{'), strings.LastIndexByte(user, '}'); from >= 0 && to > from {
		if json.Unmarshal([]byte(user[from:to+1]), &o) == nil && o.Brief != "" {
			return o
		}
	}
	return order{Brief: user}
}

// cut keeps the first runes of a text.
func cut(text string, runes int) string {
	for i := range text {
		if runes--; runes < 0 {
			return text[:i]
		}
	}
	return text
}
