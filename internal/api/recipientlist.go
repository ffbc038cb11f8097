package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/danielgtaylor/huma/v2"

	"github.com/huntaze/hybrid-orchestrator/db"
	"github.com/huntaze/hybrid-orchestrator/internal/campaign"
)

// RecipientInput is a recipient in the body of a request: an id, or an object with merge fields.
type RecipientInput struct{ raw json.RawMessage }

// Schema describes both forms.
func (RecipientInput) Schema(huma.Registry) *huma.Schema {
	longest := campaign.MaxIDBytes
	id := &huma.Schema{Type: huma.TypeString, MinLength: new(1), MaxLength: &longest, Description: "The recipient's id."}
	text := &huma.Schema{Type: huma.TypeString}
	object := &huma.Schema{Type: huma.TypeObject, Required: []string{"recipientId"}, AdditionalProperties: false, Properties: map[string]*huma.Schema{
		"recipientId": id,
		"mergeFields": {Type: huma.TypeObject, AdditionalProperties: text, Description: "The recipient's own words for {{name}} and the like."},
	}}
	object.PrecomputeMessages()
	id.PrecomputeMessages()
	return &huma.Schema{OneOf: []*huma.Schema{id, object}, Examples: []any{"fan-42", map[string]any{"recipientId": "fan-43", "mergeFields": map[string]any{"name": "Ann"}}}}
}

// UnmarshalJSON keeps the text: the reader of lists looks at it.
func (r *RecipientInput) UnmarshalJSON(text []byte) error {
	r.raw = bytes.Clone(text)
	return nil
}

// MarshalJSON is the text as it came.
func (r RecipientInput) MarshalJSON() ([]byte, error) { return r.raw, nil }

// readRecipients reads a short list by the rules of the long ones, and counts who stands in it twice.
func readRecipients(list []RecipientInput) (recipients []db.Recipient, duplicates int, p *Problem) {
	var lines bytes.Buffer
	for _, r := range list {
		one := r.raw
		if len(one) > 0 && one[0] == '"' {
			one = fmt.Appendf(nil, `{"recipientId":%s}`, one)
		}
		if err := json.Compact(&lines, one); err != nil {
			return nil, 0, invalid("body", "recipients", "can't be read", "")
		}
		lines.WriteByte('\n')
	}
	reader := campaign.NewReader(&lines, campaign.NDJSON, campaign.Limits{})
	var errs []FieldError
	seen := map[string]bool{}
	for {
		r, refused, err := reader.Next()
		switch {
		case errors.Is(err, io.EOF) && len(errs) > 0:
			p := problem(422, codeInvalid, fmt.Sprintf("%d recipients can't be used: %s %s", len(errs), errs[0].Field, errs[0].Reason))
			p.Errors = errs[:min(len(errs), mostFieldErrors)]
			return nil, 0, p
		case errors.Is(err, io.EOF):
			return recipients, duplicates, nil
		case err != nil:
			return nil, 0, caused(invalid("body", "recipients", "can't be read", ""), err)
		case refused != nil:
			errs = append(errs, FieldError{"body", fmt.Sprintf("recipients[%d].%s", refused.Line-1, refused.Field), refused.Reason, refused.Remedy})
		case seen[r.ID]:
			duplicates++
		default:
			seen[r.ID] = true
			recipients = append(recipients, db.Recipient{ID: r.ID, Fields: r.Fields})
		}
	}
}
