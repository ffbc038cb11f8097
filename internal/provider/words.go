package provider

// The words below are the providers' codes and types that are known. A result shows a code only if it is one of
// them: anything else in its place may be a piece of the prompt.

var (
	timeoutWords = set("Timeout", "timeout", "RequestTimeout", "request_timeout")

	billingWords = set("credit_balance_exhausted", "organization_spend_limit_exceeded", "project_spend_limit_exceeded",
		"organization_usage_limit_exceeded", "insufficient_quota", "billing_hard_limit_reached", "billing_not_active")

	// limitWords are those of a 429 that passes. The first three are OpenAI's kinds, "429" and what follows Azure's.
	limitWords = set("rate_limit_exceeded", "slow_down", "resource_unavailable", "429", "RateLimitReached", "TooManyRequests",
		"too_many_requests", "NoCapacity", "rate_limit_error", "rate_limit_reached", "requests", "tokens", "throttling_error")

	missingWords = set("DeploymentNotFound", "model_not_found", "ModelNotFound", "deployment_not_found")

	filterWords = set("content_filter", "content_policy_violation", "invalid_prompt", "ResponsibleAIPolicyViolation")

	lengthWords = set("context_length_exceeded", "string_above_max_length")

	capacityWords = set("server_is_overloaded", "overloaded", "overloaded_error", "service_unavailable_error", "ServiceUnavailable",
		"engine_overloaded", "NoCapacity", "model_overloaded")

	// vagueWords say nothing, so that the text may be looked into.
	vagueWords = set("", "BadRequest", "400", "invalid_request_error", "500", "InternalServerError", "internal_server_error", "502", "503")

	otherWords = set("invalid_api_key", "unsupported_country_region_territory", "ip_not_authorized", "mismatched_organization",
		"authentication_error", "permission_error", "PermissionDenied", "AccessDenied", "Forbidden", "Unauthorized", "401", "403", "404", "408",
		"ResourceNotFound", "NotFound", "not_found_error", "unsupported_parameter", "unsupported_value", "unknown_parameter",
		"missing_required_parameter", "invalid_type", "invalid_value", "invalid_service_tier", "invalid_json", "invalid_json_schema",
		"OperationNotSupported", "conflict", "Conflict", "server_error", "InvalidRequest", "temporarily_blocked")
)

var knownWords = union(timeoutWords, billingWords, limitWords, missingWords, filterWords, lengthWords, capacityWords, vagueWords, otherWords)

func set(words ...string) map[string]bool {
	made := make(map[string]bool, len(words))
	for _, word := range words {
		made[word] = true
	}
	return made
}

func union(sets ...map[string]bool) map[string]bool {
	all := map[string]bool{}
	for _, one := range sets {
		for word := range one {
			all[word] = true
		}
	}
	delete(all, "")
	return all
}

// word is the code that may be shown: the error's own, else the inner one, else the type.
func (r *refusal) word() string {
	for _, word := range []string{r.code, r.inner, r.kind} {
		if knownWords[word] {
			return word
		}
	}
	return ""
}
