package queue

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/huntaze/hybrid-orchestrator/internal/text"
	"github.com/huntaze/hybrid-orchestrator/internal/workflow"
)

// Attributes are a message's attributes of type String, and its system attributes, by name.
type Attributes map[string]string

// AttributeUserID is the message attribute that names the account when the body does not.
const AttributeUserID = "userId"

// The fields of the message contract.
const (
	fieldWorkflowID   = "workflowId"
	fieldRecipientID  = "recipientId"
	fieldContent      = "content"
	fieldBrief        = "brief"
	fieldAttempts     = "attempts"
	fieldMaxRetries   = "maxRetries"
	fieldScheduledFor = "scheduledFor"
	fieldLastError    = "lastError"
	fieldUserID       = "userId"
	fieldCampaignID   = "campaignId"
	fieldPriority     = "priority"
)

// The fields that go beyond the contract: they say how a text is written from a brief.
const (
	fieldMergeFields = "mergeFields" // {"name":"Ann"}: the recipient's own words for {{name}} and the like
	fieldTextPer     = "textPer"     // campaign (default): all its messages share the text; recipient: a text of its own
)

// The values of textPer.
const (
	textPerCampaign  = "campaign"
	textPerRecipient = "recipient"
)

var contractFields = []string{
	fieldWorkflowID, fieldRecipientID, fieldContent, fieldBrief, fieldAttempts, fieldMaxRetries,
	fieldScheduledFor, fieldLastError, fieldUserID, fieldCampaignID, fieldPriority, fieldMergeFields, fieldTextPer,
}

// Decode reads the body of a message by the contract, or says why it can't be used; with a problem the message
// is empty. It is a pure function: the trace context, which may need a clock and random ids, is not filled in
// (see package trace).
//
// Where the contract leaves room:
//   - null is the same as a missing field; so is "" for the optional texts.
//   - With both content and brief, content is what will be sent and brief is kept.
//   - The body's userId goes before the attribute's. It may be missing in both: the store may know it.
//   - Names are case-sensitive. A field that is missing while the same name in another case is there is a
//     problem, not an unknown field: a "scheduledfor" that is ignored would send the message too early.
//   - scheduledFor is cut to microseconds, which is what Postgres keeps; lastError to MaxErrorCharacters.
func Decode(body []byte, attributes Attributes, limits Limits) (workflow.Message, *workflow.Problem) {
	all, problem := members(body, limits)
	if problem != nil {
		return workflow.Message{}, problem
	}
	d := decoder{fields: make(map[string][]byte, len(contractFields))}
	extra := all[:0:0]
	for _, m := range all {
		if isContractField(m.name) {
			if string(m.value) != "null" {
				d.fields[m.name] = m.value
			}
		} else {
			extra = append(extra, m)
		}
	}
	d.refuseVariants(extra)

	message := workflow.Message{
		WorkflowID:  d.id(fieldWorkflowID, true),
		RecipientID: d.id(fieldRecipientID, true),
		UserID:      d.id(fieldUserID, false),
		CampaignID:  d.id(fieldCampaignID, false),
		Content:     d.words(fieldContent),
		Brief:       d.words(fieldBrief),
		Priority:    workflow.Priority(d.count(fieldPriority, int(workflow.PriorityUrgent), int(workflow.PriorityLowest), int(workflow.PriorityDefault))),
		Attempts:    d.count(fieldAttempts, 0, MaxCount, 0),
		MaxRetries:  d.count(fieldMaxRetries, 0, MaxCount, workflow.DefaultMaxRetries),
		NotBefore:   d.schedule(),
		LastError:   cut(d.text(fieldLastError), MaxErrorCharacters),
		MergeFields: d.mergeFields(),
		OwnText:     d.ownText(),
		Extra:       joinMembers(extra),
	}
	if message.Content == "" && message.Brief == "" {
		d.fail(fieldContent, "is missing or empty, and so is brief", "give the text to send as content, or what to write about as brief")
	}
	if message.Content == "" && message.Brief != "" {
		if err := text.CheckBrief(message.Brief); err != nil {
			d.fail(fieldBrief, err.Error(), "shorten it")
		}
	}
	if message.UserID == "" {
		message.UserID = attributes[AttributeUserID]
		if message.UserID != "" {
			d.checkID(fieldUserID, "as a message attribute ", message.UserID)
		}
	}
	if d.problem != nil {
		return workflow.Message{}, d.problem
	}
	return message, nil
}

// decoder reads fields and keeps the first problem.
type decoder struct {
	fields  map[string][]byte // raw values; null is left out
	problem *workflow.Problem
}

func (d *decoder) fail(field, reason, remedy string) {
	if d.problem == nil {
		d.problem = &workflow.Problem{Field: field, Reason: reason, Remedy: remedy}
	}
}

// refuseVariants finds fields of the contract that are spelt in another case.
func (d *decoder) refuseVariants(extra []member) {
	for _, m := range extra {
		for _, field := range contractFields {
			if d.fields[field] == nil && strings.EqualFold(m.name, field) {
				d.fail(field, "is spelt in another case", "spell the field exactly "+field)
			}
		}
	}
}

// text returns a field that must be a string, "" when it is missing.
func (d *decoder) text(field string) string {
	raw, ok := d.fields[field]
	if !ok {
		return ""
	}
	if raw[0] != '"' {
		d.fail(field, "is "+kindOf(raw)+", it must be a string", "put the value in quotes")
		return ""
	}
	return unquote(raw)
}

// words returns a text for people: "" when it is missing or blank.
func (d *decoder) words(field string) string {
	text := d.text(field)
	if count := utf8.RuneCountInString(text); count > MaxTextCharacters {
		d.fail(field, fmt.Sprintf("has %d characters, the most is %d", count, MaxTextCharacters), "shorten the text")
	}
	if strings.TrimSpace(text) == "" {
		return ""
	}
	return text
}

func (d *decoder) id(field string, required bool) string {
	if _, ok := d.fields[field]; !ok {
		if required {
			d.fail(field, "is missing", "give the field a non-empty string")
		}
		return ""
	}
	id := d.text(field)
	if id == "" && !required {
		return ""
	}
	d.checkID(field, "", id)
	return id
}

// checkID refuses ids that two systems could take for the same or for different ones, and those that don't fit
// in an index.
func (d *decoder) checkID(field, where, id string) {
	switch {
	case !utf8.ValidString(id):
		d.fail(field, where+"is not valid UTF-8", "encode the id as UTF-8")
	case strings.TrimSpace(id) == "":
		d.fail(field, where+"is empty", "give the field a non-empty string")
	case len(id) > MaxIDBytes:
		d.fail(field, fmt.Sprintf("%shas %d bytes, the most is %d", where, len(id), MaxIDBytes), "use a shorter id")
	case strings.ContainsFunc(id, unprintable):
		d.fail(field, where+"contains control characters", "remove them from the id")
	case strings.TrimSpace(id) != id:
		d.fail(field, where+"begins or ends with white space", "remove it from the id")
	}
}

// unprintable is true for control characters and for line separators, which break a line in some tools.
func unprintable(r rune) bool {
	return unicode.IsControl(r) || r == '\u2028' || r == '\u2029'
}

// count returns a whole number within bounds, or missing when the field is not there. 3.0 is a whole number:
// some languages write one so.
func (d *decoder) count(field string, low, high, missing int) int {
	raw, ok := d.fields[field]
	if !ok {
		return missing
	}
	if kind := kindOf(raw); kind != "a number" {
		d.fail(field, "is "+kind+", it must be a number", "give the number without quotes")
		return missing
	}
	digits, fraction, _ := strings.Cut(string(raw), ".")
	if strings.ContainsAny(string(raw), "eE") || strings.Trim(fraction, "0") != "" {
		d.fail(field, "is not a whole number", "give a whole number, in digits only")
		return missing
	}
	number, err := strconv.ParseInt(digits, 10, 64)
	if err != nil || number < int64(low) || number > int64(high) {
		d.fail(field, fmt.Sprintf("is out of range, it must be from %d to %d", low, high), "give a number in the range")
		return missing
	}
	return int(number)
}

// rfc3339 refuses what time.Parse lets through: hours of one digit, a comma before the fraction, offsets of a
// day and more (https://go.dev/issue/54580).
var rfc3339 = regexp.MustCompile(`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]([01]\d|2[0-3]):[0-5]\d)$`)

// schedule returns the moment before which the message must not be sent; zero means now.
func (d *decoder) schedule() time.Time {
	if _, ok := d.fields[fieldScheduledFor]; !ok {
		return time.Time{}
	}
	text := d.text(fieldScheduledFor)
	moment, err := time.Parse(time.RFC3339, text) // the error quotes the input and is not used
	if err != nil || !rfc3339.MatchString(text) {
		d.fail(fieldScheduledFor, "is not a date and time by RFC 3339", "write it like 2026-11-23T10:00:00Z")
		return time.Time{}
	}
	if moment.Before(EarliestSchedule) || !moment.Before(LatestSchedule) {
		d.fail(fieldScheduledFor, "is out of range, it must be from the year 2000 to 2099", "correct the date, or leave the field out to send now")
		return time.Time{}
	}
	return moment.UTC().Truncate(time.Microsecond)
}

// mergeFields returns the recipient's own words: strings, or numbers as they are written.
func (d *decoder) mergeFields() map[string]string {
	raw, ok := d.fields[fieldMergeFields]
	if !ok {
		return nil
	}
	const remedy = `give an object of strings, like {"name":"Ann"}`
	var values map[string]json.RawMessage
	if kind := kindOf(raw); kind != "an object" || json.Unmarshal(raw, &values) != nil {
		d.fail(fieldMergeFields, "is "+kind+", it must be an object", remedy)
		return nil
	}
	fields := make(map[string]string, len(values))
	for name, value := range values {
		switch kind := kindOf(value); kind {
		case "null":
		case "a string":
			fields[name] = unquote(value)
		case "a number":
			fields[name] = string(value)
		default:
			d.fail(fieldMergeFields, "has "+kind+" as a value, it must be a string", remedy)
			return nil
		}
	}
	if err := text.CheckFields(fields); err != nil {
		d.fail(fieldMergeFields, err.Error(), remedy)
		return nil
	}
	return fields
}

func (d *decoder) ownText() bool {
	switch d.text(fieldTextPer) {
	case "", textPerCampaign:
		return false
	case textPerRecipient:
		return true
	}
	d.fail(fieldTextPer, "is neither campaign nor recipient", "leave it out, or give one of the two")
	return false
}

// joinMembers makes one JSON object of members, each exactly as it came; nil for none.
func joinMembers(all []member) json.RawMessage {
	if len(all) == 0 {
		return nil
	}
	object := []byte{'{'}
	for i, m := range all {
		if i > 0 {
			object = append(object, ',')
		}
		object = append(object, m.rawName...)
		object = append(object, ':')
		object = append(object, m.value...)
	}
	return append(object, '}')
}

func isContractField(name string) bool {
	for _, field := range contractFields {
		if name == field {
			return true
		}
	}
	return false
}

// cut shortens a text to that many characters.
func cut(text string, characters int) string {
	if utf8.RuneCountInString(text) <= characters {
		return text
	}
	return string([]rune(text)[:characters-1]) + "…"
}
