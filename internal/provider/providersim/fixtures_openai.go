package providersim

import "time"

// openAILimits are the 429 of OpenAI: five things with one status, of which one never passes by itself.
var openAILimits = []Fixture{
	{
		Name: "openai_429_requests_per_minute", Provider: OpenAI, Status: 429,
		Header: map[string]string{"Retry-After-Ms": "6012", "Retry-After": "7", "X-Should-Retry": "true", "X-Request-Id": "req_0f1e2d",
			"X-Ratelimit-Limit-Requests": "500", "X-Ratelimit-Remaining-Requests": "0", "X-Ratelimit-Reset-Requests": "6.012s",
			"X-Ratelimit-Limit-Tokens": "200000", "X-Ratelimit-Remaining-Tokens": "199420", "X-Ratelimit-Reset-Tokens": "174ms"},
		Body: `{"error":{"message":"Rate limit reached for gpt-5.6-luna in organization org-x on requests per min (RPM): Limit 500, Used 500, Requested 1. Please try again in 6.012s.","type":"requests","param":null,"code":"rate_limit_exceeded"}}`,
		Want: Want{Class: "rate_limited", Code: "rate_limit_exceeded", RetryAfter: 6012 * time.Millisecond, Billed: "not"},
	},
	{
		Name: "openai_429_tokens_per_minute", Provider: OpenAI, Status: 429, Header: map[string]string{"Retry-After": "20"},
		Body: `{"error":{"message":"Rate limit reached on tokens per min (TPM): Limit 200000, Used 199800, Requested 900.","type":"tokens","param":null,"code":"rate_limit_exceeded"}}`,
		Want: Want{Class: "rate_limited", Code: "rate_limit_exceeded", RetryAfter: 20 * time.Second, Billed: "not"},
	},
	{
		Name: "openai_429_requests_per_day", Provider: OpenAI, Status: 429, Header: map[string]string{"Retry-After": "86400"},
		Body: `{"error":{"message":"Rate limit reached on requests per day (RPD): Limit 10000, Used 10000, Requested 1.","type":"requests","param":null,"code":"rate_limit_exceeded"}}`,
		Want: Want{Class: "rate_limited", Code: "rate_limit_exceeded", RetryAfter: 24 * time.Hour, Billed: "not"},
	},
	{
		Name: "openai_429_type_only", Provider: OpenAI, Status: 429,
		Body: `{"error":{"message":"Too many requests.","type":"rate_limit_error","param":null,"code":null}}`,
		Want: Want{Class: "rate_limited", Code: "rate_limit_error", Billed: "not"},
	},
	{
		Name: "openai_429_slow_down", Provider: OpenAI, Status: 429, Header: map[string]string{"Retry-After": "900"},
		Body: `{"error":{"message":"Your traffic grew too fast. Reduce it and grow by at most half in 15 minutes.","type":"rate_limit_error","param":null,"code":"slow_down"}}`,
		Want: Want{Class: "rate_limited", Code: "slow_down", RetryAfter: 15 * time.Minute, Billed: "not"},
	},
	{
		Name: "openai_503_slow_down", Provider: OpenAI, Status: 503, Header: map[string]string{"Retry-After": "60"},
		Body: `{"error":{"message":"Slow down.","type":"service_unavailable_error","param":null,"code":"slow_down"}}`,
		Want: Want{Class: "rate_limited", Code: "slow_down", RetryAfter: time.Minute, Billed: "not"},
	},
	{
		Name: "openai_429_flex_unavailable", Provider: OpenAI, Status: 429,
		Body: `{"error":{"message":"Resource Unavailable. Try again later, or with service_tier default.","type":"resource_unavailable","param":null,"code":"resource_unavailable"}}`,
		Want: Want{Class: "rate_limited", Code: "resource_unavailable", Billed: "not"},
	},
	{
		Name: "openai_429_too_large_for_limit", Provider: OpenAI, Status: 429,
		Body: `{"error":{"message":"Request too large for gpt-5.6-luna on tokens per min (TPM): Limit 30000, Requested 30601. The input or output tokens must be reduced in order to run successfully.","type":"tokens","param":null,"code":"rate_limit_exceeded"}}`,
		Want: Want{Class: "context_length", Code: "rate_limit_exceeded", Billed: "not"},
	},
	{
		Name: "openai_429_credit_exhausted", Provider: OpenAI, Status: 429, Header: map[string]string{"X-Should-Retry": "false"},
		Body: `{"error":{"message":"Your credit balance is exhausted.","type":"insufficient_quota","param":null,"code":"credit_balance_exhausted"}}`,
		Want: Want{Class: "billing_stop", Code: "credit_balance_exhausted", Billed: "not", Veto: true},
	},
	{
		Name: "openai_429_organization_spend_limit", Provider: OpenAI, Status: 429, Header: map[string]string{"Retry-After": "30"},
		Body: `{"error":{"message":"The organization reached its spend limit.","type":"insufficient_quota","param":null,"code":"organization_spend_limit_exceeded"}}`,
		Want: Want{Class: "billing_stop", Code: "organization_spend_limit_exceeded", RetryAfter: 30 * time.Second, Billed: "not"},
	},
	{
		Name: "openai_429_project_spend_limit", Provider: OpenAI, Status: 429,
		Body: `{"error":{"message":"The project reached its spend limit.","type":"insufficient_quota","param":null,"code":"project_spend_limit_exceeded"}}`,
		Want: Want{Class: "billing_stop", Code: "project_spend_limit_exceeded", Billed: "not"},
	},
	{
		Name: "openai_429_organization_usage_limit", Provider: OpenAI, Status: 429,
		Body: `{"error":{"message":"The organization reached its usage limit.","type":"insufficient_quota","param":null,"code":"organization_usage_limit_exceeded"}}`,
		Want: Want{Class: "billing_stop", Code: "organization_usage_limit_exceeded", Billed: "not"},
	},
	{
		Name: "openai_429_insufficient_quota", Provider: OpenAI, Status: 429,
		Body: `{"error":{"message":"You exceeded your current quota, please check your plan and billing details.","type":"insufficient_quota","param":null,"code":"insufficient_quota"}}`,
		Want: Want{Class: "billing_stop", Code: "insufficient_quota", Billed: "not"},
	},
	{
		Name: "openai_429_quota_by_type", Provider: OpenAI, Status: 429,
		Body: `{"error":{"message":"A limit that is new.","type":"insufficient_quota","param":null,"code":"something_new_exceeded"}}`,
		Want: Want{Class: "billing_stop", Code: "insufficient_quota", Billed: "not"},
	},
}

// openAIRefusals are OpenAI's other answers that are no text.
var openAIRefusals = []Fixture{
	{
		Name: "openai_401_invalid_key", Provider: OpenAI, Status: 401,
		Body: `{"error":{"message":"Incorrect API key provided: sk-x***. You can find your API key at https://platform.openai.com/account/api-keys.","type":"invalid_request_error","param":null,"code":"invalid_api_key"}}`,
		Want: Want{Class: "auth", Code: "invalid_api_key", Billed: "not"},
	},
	{
		Name: "openai_401_no_member", Provider: OpenAI, Status: 401,
		Body: `{"error":{"message":"You must be a member of an organization to use the API.","type":"invalid_request_error","param":null,"code":null}}`,
		Want: Want{Class: "auth", Code: "invalid_request_error", Billed: "not"},
	},
	{
		Name: "openai_403_country", Provider: OpenAI, Status: 403,
		Body: `{"error":{"message":"Country, region, or territory not supported","type":"request_forbidden","param":null,"code":"unsupported_country_region_territory"}}`,
		Want: Want{Class: "auth", Code: "unsupported_country_region_territory", Billed: "not"},
	},
	{
		Name: "openai_403_model_access", Provider: OpenAI, Status: 403,
		Body: `{"error":{"message":"Project proj_x does not have access to model gpt-6-astra","type":"invalid_request_error","param":null,"code":"model_not_found"}}`,
		Want: Want{Class: "auth", Code: "model_not_found", Billed: "not"},
	},
	{
		Name: "openai_404_model", Provider: OpenAI, Status: 404,
		Body: `{"error":{"message":"The model gpt-4o-mini does not exist or you do not have access to it.","type":"invalid_request_error","param":null,"code":"model_not_found"}}`,
		Want: Want{Class: "not_found", Code: "model_not_found", Billed: "not"},
	},
	{
		Name: "openai_404_address", Provider: OpenAI, Status: 404,
		Body: `{"error":{"message":"Invalid URL (POST /v2/chat/completions)","type":"invalid_request_error","param":null,"code":null}}`,
		Want: Want{Class: "not_found", Code: "invalid_request_error", Billed: "not"},
	},
	{
		Name: "openai_400_invalid_prompt", Provider: OpenAI, Status: 400,
		Body: `{"error":{"message":"Invalid prompt: {{prompt}} was flagged as potentially violating our usage policy.","type":"invalid_request_error","param":null,"code":"invalid_prompt"}}`,
		Want: Want{Class: "content_filtered", Code: "invalid_prompt", Billed: "not"},
	},
	{
		Name: "openai_400_context_length", Provider: OpenAI, Status: 400,
		Body: `{"error":{"message":"This model's maximum context length is 128000 tokens. However, your messages resulted in 130511 tokens.","type":"invalid_request_error","param":"messages","code":"context_length_exceeded"}}`,
		Want: Want{Class: "context_length", Code: "context_length_exceeded", Billed: "not"},
	},
	{
		Name: "openai_400_context_length_by_text", Provider: OpenAI, Status: 400,
		Body: `{"error":{"message":"Input exceeds the maximum context of this model.","type":"invalid_request_error","param":null,"code":null}}`,
		Want: Want{Class: "context_length", Code: "invalid_request_error", Billed: "not"},
	},
	{
		Name: "openai_400_unsupported_parameter", Provider: OpenAI, Status: 400,
		Body: `{"error":{"message":"Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead.","type":"invalid_request_error","param":"max_tokens","code":"unsupported_parameter"}}`,
		Want: Want{Class: "invalid_request", Code: "unsupported_parameter", Billed: "not"},
	},
	{
		Name: "openai_400_service_tier", Provider: OpenAI, Status: 400,
		Body: `{"error":{"message":"Invalid service_tier argument","type":"invalid_request_error","param":"service_tier","code":"invalid_service_tier"}}`,
		Want: Want{Class: "invalid_request", Code: "invalid_service_tier", Billed: "not"},
	},
	{
		Name: "openai_400_echo", Provider: OpenAI, Status: 400,
		Body: `{"error":{"message":"Invalid value: {{prompt}}","type":"invalid_request_error","param":"{{prompt}}","code":"{{prompt}}"}}`,
		Want: Want{Class: "invalid_request", Code: "invalid_request_error", Billed: "not"},
	},
	{
		Name: "openai_409_conflict", Provider: OpenAI, Status: 409,
		Body: `{"error":{"message":"Another operation is in progress.","type":"invalid_request_error","param":null,"code":"conflict"}}`,
		Want: Want{Class: "invalid_request", Code: "conflict", Billed: "not"},
	},
	{
		Name: "openai_500_server_error", Provider: OpenAI, Status: 500,
		Body: `{"error":{"message":"The server had an error while processing your request. Sorry about that!","type":"server_error","param":null,"code":null}}`,
		Want: Want{Class: "server_error", Code: "server_error", Billed: "not"},
	},
	{
		Name: "openai_500_capacity", Provider: OpenAI, Status: 500,
		Body: `{"error":{"message":"That model is currently overloaded with other requests. You can retry your request.","type":"server_error","param":null,"code":null}}`,
		Want: Want{Class: "overloaded", Code: "server_error", Billed: "not"},
	},
	{
		Name: "openai_503_overloaded", Provider: OpenAI, Status: 503, Header: map[string]string{"Retry-After": "5"},
		Body: `{"error":{"message":"Our servers are currently overloaded. Please try again later.","type":"service_unavailable_error","param":null,"code":"server_is_overloaded"}}`,
		Want: Want{Class: "overloaded", Code: "server_is_overloaded", RetryAfter: 5 * time.Second, Billed: "not"},
	},
	{
		Name: "openai_200_failure", Provider: OpenAI, Status: 200,
		Body: `{"error":{"message":"Our servers are currently overloaded.","type":"service_unavailable_error","param":null,"code":"server_is_overloaded"}}`,
		Want: Want{Class: "server_error", Code: "server_is_overloaded", Billed: "maybe"},
	},
}
