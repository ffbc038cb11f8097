package provider

import (
	"encoding/json"
	"errors"
	"slices"
	"strconv"
)

// completion is a 200, as far as it is looked at.
type completion struct {
	Model       text            `json:"model"`
	Tier        text            `json:"service_tier"`
	Choices     []choice        `json:"choices"`
	Usage       *usage          `json:"usage"`
	Error       json.RawMessage `json:"error"`
	PromptCheck []filterCheck   `json:"prompt_filter_results"`
}

type choice struct {
	filterCheck
	Finish  text `json:"finish_reason"`
	Message struct {
		Content text `json:"content"`
		Refusal text `json:"refusal"`
	} `json:"message"`
}

// filterCheck is what Azure's filter says of itself; both spellings are in use.
type filterCheck struct {
	Results filterState `json:"content_filter_results"`
	Result  filterState `json:"content_filter_result"`
}

type filterState struct {
	Error struct {
		Code word `json:"code"`
	} `json:"error"`
}

func (f filterCheck) down() bool {
	const word = "content_filter_error"
	return f.Results.Error.Code == word || f.Result.Error.Code == word
}

type usage struct {
	Prompt     *count `json:"prompt_tokens"`
	Completion *count `json:"completion_tokens"`
	InputOf    struct {
		Cached     *count `json:"cached_tokens"`
		CacheWrite *count `json:"cache_write_tokens"`
	} `json:"prompt_tokens_details"`
	OutputOf struct {
		Reasoning *count `json:"reasoning_tokens"`
	} `json:"completion_tokens_details"`
}

// count is a number of tokens; whatever can't be one is -1, and no error.
type count int64

// maxTokens is beyond anything that a call can use; a number over it would only overflow a sum.
const maxTokens = 1 << 40

func (c *count) UnmarshalJSON(raw []byte) error {
	n, err := strconv.ParseInt(string(raw), 10, 64)
	if err != nil || n < 0 || n > maxTokens {
		n = -1
	}
	*c = count(n)
	return nil
}

// orZero is the number of a detail, of which nothing means 0.
func (c *count) orZero() int64 {
	if c == nil {
		return 0
	}
	return max(int64(*c), 0)
}

// read is the usage that an answer tells. Without both totals nothing is known.
func (u *usage) read() Usage {
	if u == nil || u.Prompt == nil || u.Completion == nil || *u.Prompt < 0 || *u.Completion < 0 {
		return Usage{}
	}
	return Usage{Known: true, Input: int64(*u.Prompt), Output: int64(*u.Completion),
		Cached: u.InputOf.Cached.orZero(), CacheWrite: u.InputOf.CacheWrite.orZero(), Reasoning: u.OutputOf.Reasoning.orZero()}
}

// classifyText is the table of answers with 200, in order: what the provider's filter did, what the model declined,
// where it was cut, and only then what it wrote.
func classifyText(result *Result, body []byte) {
	var c completion
	err := json.Unmarshal(body, &c)
	var otherType *json.UnmarshalTypeError // the rest of the answer was read nevertheless
	if err != nil && !errors.As(err, &otherType) || len(c.Choices) == 0 {
		result.Class, result.Billed = ServerError, BilledMaybe
		if c.Usage != nil {
			result.Usage, result.Billed = c.Usage.read(), BilledUsage
		}
		var failed refusal
		failed.read(c.Error)
		result.Code = failed.word()
		return
	}
	first := c.Choices[0]
	result.Billed, result.Usage = BilledUsage, c.Usage.read()
	result.Model = plainWord(string(c.Model))
	if slices.Contains(Tiers, string(c.Tier)) {
		result.Tier = string(c.Tier)
	}
	result.FilterDown = first.down() || slices.ContainsFunc(c.PromptCheck, filterCheck.down)
	switch {
	case first.Finish == "content_filter":
		result.Class, result.Code = ContentFiltered, "content_filter"
		return
	case first.Message.Refusal != "":
		result.Class = Refusal
		return
	case first.Finish == "length":
		result.Class = Truncated
		return
	}
	written, why, ok := parseAnswer(string(first.Message.Content))
	if !ok {
		result.Class = SchemaViolation
		return
	}
	result.Class, result.Text, result.Why = Completed, written, why
	result.Unclassified = first.Finish != "stop" && first.Finish != ""
}

// plainWord lets a name through that has the form of one; a sentence, which may be of the prompt, is dropped.
func plainWord(name string) string {
	if len(name) > 2*maxWord {
		return ""
	}
	for i := range len(name) {
		switch b := name[i]; {
		case b >= 'a' && b <= 'z', b >= 'A' && b <= 'Z', b >= '0' && b <= '9', b == '-', b == '_', b == '.', b == ':', b == '/':
		default:
			return ""
		}
	}
	return name
}
