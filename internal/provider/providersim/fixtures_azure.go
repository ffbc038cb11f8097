package providersim

import "time"

// azureLimits are the 429 of Azure, and of the gateway in front of it. The code is the status, as a text.
var azureLimits = []Fixture{
	{
		Name: "azure_429_quota", Provider: Azure, Status: 429,
		Header: map[string]string{"Retry-After": "7", "Retry-After-Ms": "6500", "Apim-Request-Id": "5f3c-11", "X-Ms-Region": "Sweden Central",
			"X-Ratelimit-Limit-Requests": "100", "X-Ratelimit-Remaining-Requests": "0", "X-Ratelimit-Reset-Requests": "10",
			"X-Ratelimit-Limit-Tokens": "100000", "X-Ratelimit-Remaining-Tokens": "99000", "X-Ratelimit-Reset-Tokens": "300"},
		Body: `{"error":{"code":"429","message":"Requests to the ChatCompletions_Create Operation under Azure OpenAI API have exceeded call rate limit of your current OpenAI S0 pricing tier. Please retry after 7 seconds."}}`,
		Want: Want{Class: "rate_limited", Code: "429", RetryAfter: 6500 * time.Millisecond, Billed: "not"},
	},
	{
		Name: "azure_429_token_quota_a_day", Provider: Azure, Status: 429, Header: map[string]string{"Retry-After": "86400"},
		Body: `{"error":{"code":"429","message":"Requests to gpt have exceeded token rate limit. Please retry after 86400 seconds."}}`,
		Want: Want{Class: "rate_limited", Code: "429", RetryAfter: 24 * time.Hour, Billed: "not"},
	},
	{
		Name: "azure_429_capacity", Provider: Azure, Status: 429, Header: map[string]string{"X-Ms-Retry-After-Ms": "1500"},
		Body: `{"error":{"code":"429","message":"We're currently experiencing high demand and are temporarily unable to process your request."}}`,
		Want: Want{Class: "rate_limited", Code: "429", RetryAfter: 1500 * time.Millisecond, Billed: "not"},
	},
	{
		Name: "azure_429_number", Provider: Azure, Status: 429,
		Body: `{"error":{"code":429,"message":"Rate limit is exceeded."}}`,
		Want: Want{Class: "rate_limited", Code: "429", Billed: "not"},
	},
	{
		Name: "azure_429_no_hint", Provider: Azure, Status: 429,
		Header: map[string]string{"X-Ratelimit-Limit-Tokens": "-1", "X-Ratelimit-Remaining-Tokens": "-1", "X-Ratelimit-Reset-Tokens": "0"},
		Body:   `{"error":{"code":"429","message":"Rate limit is exceeded. Try again later."}}`,
		Want:   Want{Class: "rate_limited", Code: "429", Billed: "not"},
	},
	{
		Name: "azure_429_date", Provider: Azure, Status: 429,
		Header: map[string]string{"Date": "Mon, 23 Nov 2026 10:00:00 GMT", "Retry-After": "Mon, 23 Nov 2026 10:00:42 GMT"},
		Body:   `{"error":{"code":"RateLimitReached","message":"Slow."}}`,
		Want:   Want{Class: "rate_limited", Code: "RateLimitReached", RetryAfter: 42 * time.Second, Billed: "not"},
	},
	{
		Name: "azure_429_gateway", Provider: Azure, Status: 429, Header: map[string]string{"Retry-After": "5"},
		Body: `{"statusCode":429,"message":"Rate limit is exceeded. Try again in 5 seconds."}`,
		Want: Want{Class: "rate_limited", RetryAfter: 5 * time.Second, Billed: "not"},
	},
	{
		Name: "azure_429_gateway_no_hint", Provider: Azure, Status: 429,
		Body: `{ "statusCode": 429, "message": "Rate limit is exceeded." }`,
		Want: Want{Class: "rate_limited", Billed: "not"},
	},
	{
		Name: "azure_429_flex", Provider: Azure, Status: 429,
		Body: `{"error":{"code":"NoCapacity","message":"No flex capacity is available. Use the default service tier."}}`,
		Want: Want{Class: "rate_limited", Code: "NoCapacity", Billed: "not"},
	},
}

// azureRefusals are Azure's other answers that are no text.
var azureRefusals = []Fixture{
	{
		Name: "azure_401_key", Provider: Azure, Status: 401, Header: map[string]string{"Www-Authenticate": "AzureApiManagementKey"},
		Body: `{"error":{"code":"401","message":"Access denied due to invalid subscription key or wrong API endpoint."}}`,
		Want: Want{Class: "auth", Code: "401", Billed: "not"},
	},
	{
		Name: "azure_401_gateway", Provider: Azure, Status: 401,
		Body: `{"statusCode":401,"message":"Unauthorized. Access token is missing, invalid, audience is incorrect, or have expired."}`,
		Want: Want{Class: "auth", Billed: "not"},
	},
	{
		Name: "azure_403_network", Provider: Azure, Status: 403,
		Body: `{"error":{"code":"AccessDenied","message":"Access denied due to Virtual Network/Firewall rules."}}`,
		Want: Want{Class: "auth", Code: "AccessDenied", Billed: "not"},
	},
	{
		Name: "azure_403_blocked", Provider: Azure, Status: 403,
		Body: `{"error":{"code":"Forbidden","message":"Your resource has been temporarily blocked because we detected behavior that may violate our content policy."}}`,
		Want: Want{Class: "auth", Code: "Forbidden", Billed: "not"},
	},
	{
		Name: "azure_404_deployment", Provider: Azure, Status: 404,
		Body: `{"error":{"code":"DeploymentNotFound","message":"The API deployment for this resource does not exist. If you created the deployment within the last 5 minutes, please wait a moment and try again."}}`,
		Want: Want{Class: "not_found", Code: "DeploymentNotFound", Billed: "not"},
	},
	{
		Name: "azure_404_resource", Provider: Azure, Status: 404,
		Body: `{"error":{"code":"404","message":"Resource not found"}}`,
		Want: Want{Class: "not_found", Code: "404", Billed: "not"},
	},
	{
		Name: "azure_400_deployment", Provider: Azure, Status: 400,
		Body: `{"error":{"code":"DeploymentNotFound","message":"The deployment does not exist."}}`,
		Want: Want{Class: "not_found", Code: "DeploymentNotFound", Billed: "not"},
	},
	{
		Name: "azure_408_timeout", Provider: Azure, Status: 408,
		Body: `{"error":{"code":"Timeout","message":"The operation was timeout."}}`,
		Want: Want{Class: "timeout", Code: "Timeout", Billed: "maybe"},
	},
	{
		Name: "azure_500_timeout", Provider: Azure, Status: 500,
		Body: `{"error":{"code":"Timeout","message":"The operation was timeout."}}`,
		Want: Want{Class: "timeout", Code: "Timeout", Billed: "maybe"},
	},
	{
		Name: "azure_400_content_filter", Provider: Azure, Status: 400,
		Body: `{"error":{"message":"The response was filtered due to the prompt triggering the content management policy.","type":null,"param":"prompt","code":"content_filter","status":400,` +
			`"innererror":{"code":"ResponsibleAIPolicyViolation","content_filter_result":{"hate":{"filtered":false,"severity":"safe"},"jailbreak":{"filtered":false,"detected":false},"self_harm":{"filtered":false,"severity":"safe"},"sexual":{"filtered":true,"severity":"high"},"violence":{"filtered":false,"severity":"safe"}}}}}`,
		Want: Want{Class: "content_filtered", Code: "content_filter", Billed: "maybe"},
	},
	{
		Name: "azure_400_content_filter_inner", Provider: Azure, Status: 400,
		Body: `{"error":{"message":"Filtered: {{prompt}}","type":null,"param":"prompt","code":"400","innererror":{"code":"ResponsibleAIPolicyViolation"}}}`,
		Want: Want{Class: "content_filtered", Code: "400", Billed: "maybe"},
	},
	{
		Name: "azure_400_context_length", Provider: Azure, Status: 400,
		Body: `{"error":{"message":"This model's maximum context length is 16385 tokens.","type":"invalid_request_error","param":"messages","code":"context_length_exceeded"}}`,
		Want: Want{Class: "context_length", Code: "context_length_exceeded", Billed: "maybe"},
	},
	{
		Name: "azure_400_context_length_by_text", Provider: Azure, Status: 400,
		Body: `{"error":{"code":"BadRequest","message":"The prompt is over the maximum context length of the model."}}`,
		Want: Want{Class: "context_length", Code: "BadRequest", Billed: "maybe"},
	},
	{
		Name: "azure_400_bad_request", Provider: Azure, Status: 400,
		Body: `{"error":{"code":"BadRequest","message":"response_format value as json_schema is enabled only for api versions 2024-08-01-preview and later"}}`,
		Want: Want{Class: "invalid_request", Code: "BadRequest", Billed: "not"},
	},
	{
		Name: "azure_400_operation", Provider: Azure, Status: 400,
		Body: `{"error":{"code":"OperationNotSupported","message":"The chatCompletion operation does not work with the specified model."}}`,
		Want: Want{Class: "invalid_request", Code: "OperationNotSupported", Billed: "not"},
	},
	{
		Name: "azure_500_internal", Provider: Azure, Status: 500,
		Body: `{"error":{"code":"InternalServerError","message":"The service is temporarily unable to process your request. Please try again later."}}`,
		Want: Want{Class: "overloaded", Code: "InternalServerError", Billed: "not"},
	},
	{
		Name: "azure_500_string", Provider: Azure, Status: 500,
		Body: `{"error":"Internal Server Error"}`,
		Want: Want{Class: "server_error", Billed: "maybe"},
	},
	{
		Name: "azure_200_filter_down", Provider: Azure, Status: 200,
		Body: text(answerBody, "stop", usageBody, `,"prompt_filter_results":[{"prompt_index":0,"content_filter_results":{"error":{"code":"content_filter_error","message":"The contents are not filtered"}}}]`),
		Want: Want{Class: "completed", Billed: "usage", Input: 120, Output: 24, FilterDown: true},
	},
	{
		Name: "azure_200_content_filter", Provider: Azure, Status: 200,
		Body: text(`"content":null`, "content_filter", usageBody, ""),
		Want: Want{Class: "content_filtered", Code: "content_filter", Billed: "usage", Input: 120, Output: 24},
	},
}
