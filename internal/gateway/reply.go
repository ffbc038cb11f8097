package gateway

import (
	"bytes"
	"encoding/json"
	"net/http"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// MaxRetryAfter caps what a gateway may ask for: a longer rest is a mistake or a job for a person.
const MaxRetryAfter = 24 * time.Hour

// maxMessageID is the longest message id that is kept, in bytes.
const maxMessageID = 256

// parseAccepted reads {"messageId"} of a 2xx. An id is usable when it is a string, or a whole number, without
// characters that Postgres or a terminal would choke on.
func parseAccepted(body []byte) (string, bool) {
	var reply struct {
		MessageID json.RawMessage `json:"messageId"`
	}
	if !utf8.Valid(body) || json.Unmarshal(body, &reply) != nil {
		return "", false
	}
	return messageID(reply.MessageID)
}

func messageID(raw json.RawMessage) (string, bool) {
	raw = bytes.TrimSpace(raw)
	if len(raw) == 0 {
		return "", false
	}
	id := string(raw)
	if raw[0] == '"' {
		if json.Unmarshal(raw, &id) != nil {
			return "", false
		}
	} else if strings.Trim(id, "0123456789") != "" {
		return "", false
	}
	if id == "" || len(id) > maxMessageID || strings.TrimSpace(id) != id {
		return "", false
	}
	for _, r := range id {
		if !unicode.IsPrint(r) || r == unicode.ReplacementChar {
			return "", false
		}
	}
	return id, true
}

// parseRefusal takes a machine word such as "recipient_blocked" out of {"code"} or {"error"} of a refusal, so
// that an operator sees why. A sentence is not taken: it may repeat the content.
func parseRefusal(body []byte) string {
	var reply struct {
		Code  json.RawMessage `json:"code"`
		Error json.RawMessage `json:"error"`
	}
	if json.Unmarshal(body, &reply) != nil {
		return ""
	}
	for _, raw := range []json.RawMessage{reply.Code, reply.Error} {
		var word string
		if json.Unmarshal(raw, &word) == nil && isMachineWord(word) {
			return word
		}
	}
	return ""
}

func isMachineWord(word string) bool {
	if len(word) < 3 || len(word) > 48 {
		return false
	}
	for i := range len(word) {
		letter := word[i]
		if (letter < 'a' || letter > 'z') && letter != '_' {
			return false
		}
	}
	return true
}

// parseRetryAfter reads the header (RFC 9110, 10.2.3): whole seconds or an HTTP date. A date is taken relative to
// the answer's own Date when there is one, so that the gateway's clock is compared with itself. What is in the
// past or can't be read is 0.
func parseRetryAfter(header http.Header, now time.Time) time.Duration {
	value := strings.TrimSpace(header.Get("Retry-After"))
	if value == "" {
		return 0
	}
	if strings.Trim(value, "0123456789") == "" {
		seconds := time.Duration(0)
		for i := range len(value) {
			seconds = seconds*10 + time.Duration(value[i]-'0')
			if seconds >= MaxRetryAfter/time.Second {
				return MaxRetryAfter
			}
		}
		return seconds * time.Second
	}
	until, err := http.ParseTime(value)
	if err != nil {
		return 0
	}
	if sent, err := http.ParseTime(header.Get("Date")); err == nil {
		now = sent
	}
	return min(max(until.Sub(now), 0), MaxRetryAfter)
}

// parseFound reads {"messageId","acceptedAt"} of a look-up. The time is only for people: a missing or unreadable
// one leaves it zero.
func parseFound(body []byte) (LookUp, bool) {
	var reply struct {
		MessageID  json.RawMessage `json:"messageId"`
		AcceptedAt json.RawMessage `json:"acceptedAt"`
	}
	if !utf8.Valid(body) || json.Unmarshal(body, &reply) != nil {
		return LookUp{}, false
	}
	id, ok := messageID(reply.MessageID)
	if !ok {
		return LookUp{}, false
	}
	found := LookUp{Answer: Found, MessageID: id}
	var at time.Time
	if json.Unmarshal(reply.AcceptedAt, &at) == nil {
		found.AcceptedAt = at
	}
	return found, true
}
