package providersim

import "time"

// commonFailures come from either provider, or from something between it and us.
var commonFailures = []Fixture{
	{Name: "500_html", Status: 500, Header: htmlHeader, Body: htmlBody, Want: Want{Class: "server_error", Billed: "maybe"}},
	{Name: "500_empty", Status: 500, Want: Want{Class: "server_error", Billed: "maybe"}},
	{Name: "502_html", Status: 502, Header: htmlHeader, Body: htmlBody, Want: Want{Class: "server_error", Billed: "maybe"}},
	{Name: "503_html", Status: 503, Header: map[string]string{"Content-Type": "text/html", "Retry-After": "3"}, Body: htmlBody,
		Want: Want{Class: "overloaded", RetryAfter: 3 * time.Second, Billed: "not"}},
	{Name: "504_empty", Status: 504, Want: Want{Class: "timeout", Billed: "maybe"}},
	{Name: "504_html", Status: 504, Header: htmlHeader, Body: htmlBody, Want: Want{Class: "timeout", Billed: "maybe"}},
	{Name: "520_html", Status: 520, Header: htmlHeader, Body: htmlBody, Want: Want{Class: "server_error", Billed: "maybe"}},
	{Name: "529_overloaded", Status: 529, Body: `{"error":{"type":"overloaded_error","message":"Overloaded"}}`,
		Want: Want{Class: "overloaded", Code: "overloaded_error", Billed: "not"}},
	{Name: "422_schema", Status: 422, Body: `{"error":{"message":"Invalid schema for response_format","type":"invalid_request_error","param":"response_format","code":null}}`,
		Want: Want{Class: "invalid_request", Code: "invalid_request_error", Billed: "not"}},
	{Name: "413_html", Status: 413, Header: htmlHeader, Body: htmlBody, Want: Want{Class: "invalid_request", Billed: "not"}},
	{Name: "408_empty", Status: 408, Want: Want{Class: "timeout", Billed: "maybe"}},
	{Name: "429_retry_after_fraction", Status: 429, Header: map[string]string{"Retry-After": "0.25"}, Body: htmlBody,
		Want: Want{Class: "rate_limited", RetryAfter: 250 * time.Millisecond, Billed: "not"}},
	{Name: "429_retry_after_huge", Status: 429, Header: map[string]string{"Retry-After": "99999999999999999999"}, Body: `{}`,
		Want: Want{Class: "rate_limited", RetryAfter: 24 * time.Hour, Billed: "not"}},
	{Name: "429_retry_after_garbage", Status: 429, Header: map[string]string{"Retry-After": "soon", "Retry-After-Ms": "-1"}, Body: `{"error":{"code":"rate_limit_exceeded"}}`,
		Want: Want{Class: "rate_limited", Code: "rate_limit_exceeded", Billed: "not"}},
	{Name: "429_html", Status: 429, Header: htmlHeader, Body: htmlBody, Want: Want{Class: "rate_limited", Billed: "not", Unclassified: true}},
	{Name: "402_payment", Status: 402, Body: `{"error":{"message":"Payment required"}}`, Want: Want{Class: "billing_stop", Billed: "not", Unclassified: true}},
	{Name: "418_teapot", Status: 418, Want: Want{Class: "server_error", Billed: "not", Unclassified: true}},
	{Name: "307_redirect", Status: 307, Header: map[string]string{"Location": "/elsewhere"}, Want: Want{Class: "server_error", Billed: "not", Unclassified: true}},
	{Name: "204_nothing", Status: 204, Want: Want{Class: "server_error", Billed: "maybe", Unclassified: true}},
	{Name: "200_html", Status: 200, Header: htmlHeader, Body: htmlBody, Want: Want{Class: "server_error", Billed: "maybe"}},
	{Name: "200_empty", Status: 200, Want: Want{Class: "server_error", Billed: "maybe"}},
	{Name: "200_array", Status: 200, Body: `[{"choices":[]}]`, Want: Want{Class: "server_error", Billed: "maybe"}},
}

// commonTexts are answers with 200 that a model had a part in.
var commonTexts = []Fixture{
	{Name: "200_text", Status: 200, Body: text(answerBody, "stop", usageBody, `,"service_tier":"default"`),
		Want: Want{Class: "completed", Billed: "usage", Input: 120, Output: 24}},
	{Name: "200_no_usage", Status: 200, Body: text(answerBody, "stop", "", ""), Want: Want{Class: "completed", Billed: "usage"}},
	{Name: "200_usage_nonsense", Status: 200, Body: text(answerBody, "stop", `,"usage":{"prompt_tokens":-5,"completion_tokens":"many"}`, ""),
		Want: Want{Class: "completed", Billed: "usage"}},
	{Name: "200_usage_details", Status: 200, Body: text(answerBody, "stop", `,"usage":{"prompt_tokens":2219,"completion_tokens":5,"total_tokens":2224,`+
		`"prompt_tokens_details":{"cached_tokens":0,"cache_write_tokens":2216},"completion_tokens_details":{"reasoning_tokens":0}}`, ""),
		Want: Want{Class: "completed", Billed: "usage", Input: 2219, Output: 5}},
	{Name: "200_new_finish_reason", Status: 200, Body: text(answerBody, "finished_well", usageBody, ""),
		Want: Want{Class: "completed", Billed: "usage", Input: 120, Output: 24, Unclassified: true}},
	{Name: "200_refusal", Status: 200, Body: text(`"content":null,"refusal":"I can't help with: {{prompt}}"`, "stop", usageBody, ""),
		Want: Want{Class: "refusal", Billed: "usage", Input: 120, Output: 24}},
	{Name: "200_truncated", Status: 200, Body: text(`"content":"{\"text\":\"Hey, I was thin"`, "length", usageBody, ""),
		Want: Want{Class: "truncated", Billed: "usage", Input: 120, Output: 24}},
	{Name: "200_truncated_empty", Status: 200, Body: text(`"content":""`, "length", usageBody, ""),
		Want: Want{Class: "truncated", Billed: "usage", Input: 120, Output: 24}},
	{Name: "200_no_choices", Status: 200, Body: `{"id":"x","object":"chat.completion","model":"m","choices":[]}`, Want: Want{Class: "server_error", Billed: "maybe"}},
	{Name: "200_no_choices_billed", Status: 200, Body: `{"id":"x","object":"chat.completion","model":"m","choices":[]` + usageBody + `}`,
		Want: Want{Class: "server_error", Billed: "usage", Input: 120, Output: 24}},
	{Name: "200_prose", Status: 200, Body: text(`"content":"Sure! Here is a message: {{prompt}}"`, "stop", usageBody, ""), Want: violation},
	{Name: "200_null_content", Status: 200, Body: text(`"content":null`, "stop", usageBody, ""), Want: violation},
	{Name: "200_content_parts", Status: 200, Body: text(`"content":[{"type":"text","text":"{}"}]`, "stop", usageBody, ""), Want: violation},
	{Name: "200_tool_call", Status: 200, Body: text(`"content":null,"tool_calls":[]`, "tool_calls", usageBody, ""), Want: violation},
	{Name: "200_missing_why", Status: 200, Body: answer(`{"text":"Hey"}`), Want: violation},
	{Name: "200_extra_field", Status: 200, Body: answer(`{"text":"Hey","why":"x","mood":"calm"}`), Want: violation},
	{Name: "200_wrong_case", Status: 200, Body: answer(`{"Text":"Hey","why":"x"}`), Want: violation},
	{Name: "200_twice", Status: 200, Body: answer(`{"text":"Hey","text":"Ho","why":"x"}`), Want: violation},
	{Name: "200_blank_text", Status: 200, Body: answer(`{"text":" \n ","why":"x"}`), Want: violation},
	{Name: "200_number", Status: 200, Body: answer(`{"text":7,"why":"x"}`), Want: violation},
	{Name: "200_fenced", Status: 200, Body: answer("```json\n{\"text\":\"Hey\",\"why\":\"x\"}\n```"), Want: violation},
	{Name: "200_trailing", Status: 200, Body: answer(`{"text":"Hey","why":"x"} and more`), Want: violation},
	{Name: "200_nul", Status: 200, Body: answer(`{"text":"Hey\u0000","why":"x"}`), Want: violation},
}

// brokenConnections are answers that do not come, or not whole.
var brokenConnections = []Fixture{
	{Name: "hang", Kind: Hang, Want: Want{Class: "timeout", Billed: "maybe"}},
	{Name: "hang_in_body", Status: 200, Kind: HangInBody, Body: text(answerBody, "stop", usageBody, ""), Want: Want{Class: "timeout", Billed: "maybe"}},
	{Name: "reset", Kind: Reset, Want: Want{Class: "connection", Billed: "maybe"}},
	{Name: "close", Kind: Close, Want: Want{Class: "connection", Billed: "maybe"}},
	{Name: "cut", Status: 200, Kind: Cut, Body: text(answerBody, "stop", usageBody, ""), Want: Want{Class: "connection", Billed: "maybe"}},
	{Name: "not_http", Kind: NotHTTP, Want: Want{Class: "connection", Billed: "maybe"}},
	{Name: "429_cut", Status: 429, Kind: Cut, Header: map[string]string{"Retry-After": "2"}, Body: `{"error":{"code":"429","message":"Rate limit"}}`,
		Want: Want{Class: "rate_limited", RetryAfter: 2 * time.Second, Billed: "not"}},
	{Name: "200_endless", Status: 200, Kind: Endless, Want: Want{Class: "server_error", Billed: "maybe", Unclassified: true}},
}

const (
	htmlBody   = "<html><head><title>Bad Gateway</title></head><body><h1>The capacity of this server is bad</h1></body></html>"
	answerBody = `"content":"{\"text\":\"Hey, how was your day?\",\"why\":\"A question invites an answer.\"}","refusal":null`
	usageBody  = `,"usage":{"prompt_tokens":120,"completion_tokens":24,"total_tokens":144}`
)

var (
	htmlHeader = map[string]string{"Content-Type": "text/html"}
	violation  = Want{Class: "schema_violation", Billed: "usage", Input: 120, Output: 24}
)

// text is an answer with 200 around a message; more is put at its end.
func text(message, finish, usage, more string) string {
	return `{"id":"chatcmpl-x","object":"chat.completion","created":1795428000,"model":"gpt-5.6-luna-2026-07-01","choices":[{"index":0,"message":{"role":"assistant",` +
		message + `},"logprobs":null,"finish_reason":"` + finish + `"}]` + usage + more + `}`
}

// answer is an answer with 200 whose message is the given text.
func answer(content string) string {
	return text(`"content":`+quote(content)+`,"refusal":null`, "stop", usageBody, "")
}
