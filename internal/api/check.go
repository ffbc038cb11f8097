package api

import (
	"encoding/base64"
	"fmt"
	"math"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/google/uuid"

	"github.com/huntaze/hybrid-orchestrator/internal/campaign"
)

// checkID refuses what can't be an id of an account, a recipient or a workflow, by the rule of the message contract.
func checkID(in, field, id string) *Problem {
	switch {
	case id == "":
		return invalid(in, field, "is empty", "give an id")
	case !utf8.ValidString(id):
		return invalid(in, field, "is not valid UTF-8", "")
	case len(id) > campaign.MaxIDBytes:
		return invalid(in, field, fmt.Sprintf("has more than %d bytes", campaign.MaxIDBytes), "")
	case strings.ContainsFunc(id, func(r rune) bool { return unicode.IsControl(r) || r == '\u2028' || r == '\u2029' }):
		return invalid(in, field, "contains control characters", "remove them")
	case strings.TrimSpace(id) != id:
		return invalid(in, field, "begins or ends with white space", "remove it")
	}
	return nil
}

// checkLine refuses a text that is no single line.
func checkLine(field, text string) *Problem {
	if strings.ContainsFunc(text, unicode.IsControl) {
		return invalid("body", field, "contains control characters", "write it in one line")
	}
	return nil
}

// checkTime refuses times that can only be typing errors.
func checkTime(field string, at *time.Time, now time.Time) *Problem {
	if at == nil {
		return nil
	}
	if d := at.Sub(now); d > inTime || d < -inTime {
		return invalid("body", field, "is more than ten years away", "check the year")
	}
	return nil
}

// campaignID reads an id whose form huma has checked.
func campaignID(text string) (uuid.UUID, *Problem) {
	id, err := uuid.Parse(text)
	if err != nil {
		return id, invalid("path", "id", "is not a UUID", "")
	}
	return id, nil
}

// picoPerUSD: amounts are stored in 10⁻¹² USD.
const picoPerUSD = 1e12

func picoOf(usd *float64) *int64 {
	if usd == nil {
		return nil
	}
	pico := int64(math.Round(*usd * picoPerUSD)) // huma has checked the range
	return &pico
}

func usdOf(pico *int64) *float64 {
	if pico == nil {
		return nil
	}
	usd := float64(*pico) / picoPerUSD
	return &usd
}

// Cursors are opaque: what they hold may change.

func cursorOf(parts ...string) string {
	return base64.RawURLEncoding.EncodeToString([]byte(strings.Join(parts, "\n")))
}

func readCursor(cursor string, parts int) ([]string, *Problem) {
	if cursor == "" {
		return nil, nil
	}
	text, err := base64.RawURLEncoding.DecodeString(cursor)
	found := strings.Split(string(text), "\n")
	if err != nil || len(found) != parts || !utf8.Valid(text) || strings.Contains(string(text), "\x00") {
		return nil, badCursor()
	}
	return found, nil
}

func badCursor() *Problem {
	return invalid("query", "cursor", "is none of this list", "take nextCursor of the page before, as it is")
}
