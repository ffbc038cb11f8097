package provider

import (
	"slices"
	"strconv"

	"github.com/tidwall/gjson"
)

// completion is a 200, as far as it is looked at.
type completion struct {
	model, tier     string
	hasChoice       bool
	finish, refusal string
	content         string
	hasUsage        bool
	usage           Usage
	filterDown      bool
	failed          refusal
}

// readCompletion takes what it can from the body of a 200, which may be anything.
func readCompletion(body []byte) completion {
	var c completion
	root, _ := readObject(body)
	each(root, func(name string, value gjson.Result) {
		switch name {
		case "model":
			c.model = value.Str
		case "service_tier":
			c.tier = value.Str
		case "choices":
			if value.IsArray() {
				c.readChoice(value.Get("0"))
			}
		case "usage":
			c.hasUsage = value.IsObject()
			c.usage = readUsage(value)
		case "prompt_filter_results":
			value.ForEach(func(_, check gjson.Result) bool {
				each(check, c.readFilter)
				return true
			})
		case "error":
			c.failed.read(value)
		}
	})
	return c
}

func (c *completion) readChoice(first gjson.Result) {
	c.hasChoice = first.Exists()
	each(first, func(name string, value gjson.Result) {
		switch name {
		case "finish_reason":
			c.finish = value.Str
		case "message":
			each(value, func(name string, value gjson.Result) {
				switch name {
				case "content":
					c.content = value.Str
				case "refusal":
					c.refusal = value.Str
				}
			})
		default:
			c.readFilter(name, value)
		}
	})
}

// readFilter reads what Azure's filter says of itself; both spellings are in use.
func (c *completion) readFilter(name string, value gjson.Result) {
	if (name == "content_filter_results" || name == "content_filter_result") && value.Get("error.code").Str == "content_filter_error" {
		c.filterDown = true
	}
}

// maxTokens is beyond anything that a call can use; a number over it would only overflow a sum.
const maxTokens = 1 << 40

// count is a number of tokens; whatever can't be one is -1.
func count(value gjson.Result) int64 {
	n, err := strconv.ParseInt(value.Raw, 10, 64)
	if err != nil || n < 0 || n > maxTokens {
		return -1
	}
	return n
}

// readUsage is the usage that an answer tells. Without both totals nothing is known; a detail that is missing or
// makes no sense is 0.
func readUsage(told gjson.Result) Usage {
	u := Usage{Input: -1, Output: -1}
	each(told, func(name string, value gjson.Result) {
		switch name {
		case "prompt_tokens":
			u.Input = count(value)
		case "completion_tokens":
			u.Output = count(value)
		case "prompt_tokens_details":
			u.Cached, u.CacheWrite = max(count(value.Get("cached_tokens")), 0), max(count(value.Get("cache_write_tokens")), 0)
		case "completion_tokens_details":
			u.Reasoning = max(count(value.Get("reasoning_tokens")), 0)
		}
	})
	if u.Input < 0 || u.Output < 0 {
		return Usage{}
	}
	u.Known = true
	return u
}

// classifyText is the table of answers with 200, in order: what the provider's filter did, what the model declined,
// where it was cut, and only then what it wrote.
func classifyText(result *Result, body []byte) {
	c := readCompletion(body)
	result.Usage, result.FilterDown = c.usage, c.filterDown
	if !c.hasChoice {
		result.Class, result.Billed, result.Code = ServerError, BilledMaybe, c.failed.word()
		if c.hasUsage {
			result.Billed = BilledUsage
		}
		return
	}
	result.Billed = BilledUsage
	result.Model = plainWord(c.model)
	if slices.Contains(Tiers, c.tier) {
		result.Tier = c.tier
	}
	switch {
	case c.finish == "content_filter":
		result.Class, result.Code = ContentFiltered, "content_filter"
		return
	case c.refusal != "":
		result.Class = Refusal
		return
	case c.finish == "length":
		result.Class = Truncated
		return
	}
	written, why, ok := parseAnswer(c.content)
	if !ok {
		result.Class = SchemaViolation
		return
	}
	result.Class, result.Text, result.Why = Completed, written, why
	result.Unclassified = c.finish != "stop" && c.finish != ""
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
