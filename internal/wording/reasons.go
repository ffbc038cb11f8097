package wording

// What an operator's decision about a doubt is called in the ledger.
const (
	SentByOperator    = "operator_sent"
	NotSentByOperator = "operator_not_sent"
)

// reasons are the machine words of the ledger in a person's.
var reasons = map[string]string{
	"rate_limited":        "the gateway said 429, too many requests",
	"refused_credentials": "the gateway refused our token",
	"forbidden":           "the gateway forbids it",
	"refused":             "the gateway refuses the message",
	"bad_reply":           "its answer had no usable messageId",
	"connect_failed":      "no connection to the gateway",
	"dns_failed":          "the gateway's name was not found",
	"tls_failed":          "no TLS connection to the gateway",
	"connect_timeout":     "no connection to the gateway in time",
	"nothing_written":     "the connection took nothing",
	"timeout":             "no answer in time",
	"connection_reset":    "the connection was reset",
	"unexpected_eof":      "the connection was closed without an answer",
	"malformed_reply":     "the answer was not HTTP",
	"connection_lost":     "the connection was lost",
	"server_error":        "the gateway answered 5xx",
	"redirect":            "the gateway answered with a redirect",
	"ambiguous_status":    "the gateway's answer is not in the contract",
	"worker_lost":         "its worker ended in the middle of the call",
	"reservation_expired": "no worker began the call in time",
	"campaign_paused":     "its campaign was paused",
	"campaign_cancelled":  "its campaign was cancelled",
	"campaign_draft":      "its campaign had not been started",
	"campaign_scheduled":  "its campaign's time had not come",
	"campaign_failed":     "its campaign can't go on",
	"fleet_frozen":        "the fleet was frozen",
	"local_guard":         "the worker's own guard held it back",
	"stale":               "the worker was stopped for too long before the call",
	"never_accepted":      "the gateway never accepted it",
	"recipient":           "the recipient's own limit",
	NotSentByOperator:     "an operator says that it was not sent",
	SentByOperator:        "an operator says that it was sent",
}

// Reason is a machine word of the ledger in a person's words.
func Reason(reason string) string {
	if words, known := reasons[reason]; known {
		return words
	}
	return reason
}
