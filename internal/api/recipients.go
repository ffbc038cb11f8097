package api

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/huntaze/hybrid-orchestrator/db"
	"github.com/huntaze/hybrid-orchestrator/internal/campaign"
)

// refusedShown is how many refused lines are listed.
const refusedShown = 1000

type uploadInput struct {
	IdempotencyHeader
	CampaignPath
	ContentType string `header:"Content-Type"`
	body        io.Reader
	answer      http.ResponseWriter
}

// Resolve keeps the body, which is read while it comes.
func (u *uploadInput) Resolve(ctx huma.Context) []error {
	u.body = ctx.BodyReader()
	_, u.answer = humago.Unwrap(ctx)
	return nil
}

// Refused is a line of a list that can't be used.
type Refused struct {
	Line   int    `json:"line"`
	Field  string `json:"field"`
	Reason string `json:"reason"`
	Remedy string `json:"remedy,omitempty"`
}

type uploadOutput struct {
	Body struct {
		Lines        int64     `json:"lines" doc:"Read, without empty ones and the header."`
		Added        int64     `json:"added"`
		Duplicates   int64     `json:"duplicates" doc:"Who stood in the list twice, or was there already."`
		RefusedTotal int64     `json:"refusedTotal"`
		Refused      []Refused `json:"refused" nullable:"false" doc:"The first 1,000 lines that can't be used."`
		Recipients   int64     `json:"recipients" doc:"How many the campaign has now."`
	}
}

func (s *Server) uploadRoute(tags []string) {
	content := &huma.MediaType{Schema: &huma.Schema{Type: huma.TypeString}}
	registerLong(s, huma.Operation{OperationID: "add-recipients", Method: http.MethodPost, Path: "/v1/campaigns/{id}/recipients", Tags: tags,
		Summary: "Add up to 1,000,000 recipients from a list",
		Description: "The list is NDJSON, one {\"recipientId\":\"…\",\"mergeFields\":{…}} a line, or CSV with a header whose column recipientId names the recipient and whose others are merge fields. " +
			"It is taken as it comes, 5,000 at a time: what was taken before an error stands, and sending the list again adds nobody twice.",
		RequestBody: &huma.RequestBody{Required: true, Content: map[string]*huma.MediaType{"application/x-ndjson": content, "text/csv": content}},
	}, s.upload)
}

func (s *Server) upload(ctx context.Context, who caller, in *uploadInput) (*uploadOutput, error) {
	format, err := campaign.FormatOf(in.ContentType)
	if err != nil {
		return nil, problem(http.StatusUnsupportedMediaType, codeMediaType, err.Error(), FieldError{In: "header", Field: "Content-Type", Reason: "is not one of a list of recipients", Remedy: "send application/x-ndjson or text/csv"})
	}
	detail, err := s.own(ctx, who, in.ID)
	if err != nil {
		return nil, err
	}
	// A body that breaks off ends the request's context, too; what was read before it is still added.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.config.UploadTimeout)
	defer cancel()
	// Each batch may take as long as a request; a list as a whole may take longer.
	control := http.NewResponseController(in.answer)
	patient := func() {
		_ = control.SetReadDeadline(time.Now().Add(s.config.RequestTimeout))
		s.patience(in.answer)
	}
	patient()
	defer func() { _ = control.SetReadDeadline(time.Time{}) }()
	reader := campaign.NewReader(http.MaxBytesReader(in.answer, io.NopCloser(in.body), s.config.MaxUploadBytes), format, campaign.Limits{})
	out := &uploadOutput{}
	out.Body.Refused, out.Body.Recipients = []Refused{}, detail.Recipients
	batch := make([]db.Recipient, 0, addAtOnce)
	for {
		r, refused, err := reader.Next()
		switch {
		case err != nil:
			if add := s.addBatch(ctx, detail, batch, out); add != nil {
				return nil, add
			}
			if errors.Is(err, io.EOF) {
				return out, nil
			}
			return nil, uploadProblem(err, out)
		case refused != nil:
			out.Body.Lines++
			s.config.Metrics.handedOver(0, 0, 1)
			if out.Body.RefusedTotal++; len(out.Body.Refused) < refusedShown {
				out.Body.Refused = append(out.Body.Refused, Refused(*refused))
			}
			continue
		}
		out.Body.Lines++
		if batch = append(batch, db.Recipient{ID: r.ID, Fields: r.Fields}); len(batch) < addAtOnce {
			continue
		}
		if err := s.addBatch(ctx, detail, batch, out); err != nil {
			return nil, err
		}
		batch = batch[:0]
		patient()
	}
}

func (s *Server) addBatch(ctx context.Context, detail db.CampaignDetail, batch []db.Recipient, out *uploadOutput) error {
	if len(batch) == 0 {
		return nil
	}
	added, err := s.store.AddRecipients(ctx, detail.ID, batch)
	if err != nil {
		return campaignProblem(err)
	}
	s.config.Metrics.handedOver(added.Added, added.Duplicates, 0)
	out.Body.Added += added.Added
	out.Body.Duplicates += added.Duplicates
	out.Body.Recipients = added.Total
	return nil
}

// uploadProblem says how far a list came that could not be read to its end.
func uploadProblem(err error, out *uploadOutput) *Problem {
	stands := fmt.Sprintf("; %d recipients before it were added and stand: sending the whole list again adds nobody twice", out.Body.Added)
	var list *campaign.FileError
	var tooLarge *http.MaxBytesError
	var network net.Error
	field := FieldError{In: "body", Field: fmt.Sprintf("line %d", out.Body.Lines+1)}
	switch {
	case errors.As(err, &list):
		field.Field, field.Reason, field.Remedy = fmt.Sprintf("line %d", list.Line), "the list "+list.Reason, list.Remedy
		return problem(http.StatusUnprocessableEntity, codeInvalid, list.Error()+stands, field)
	case errors.As(err, &tooLarge):
		field.Reason, field.Remedy = "the list is too large", "divide it"
		return problem(http.StatusRequestEntityTooLarge, codeTooLarge, fmt.Sprintf("the list has more than %d bytes", tooLarge.Limit)+stands, field)
	case errors.As(err, &network) && network.Timeout():
		field.Reason = "did not come in time"
		return problem(http.StatusRequestTimeout, codeTooSlow, "the list did not come in time"+stands, field)
	}
	field.Reason = "the list was cut off"
	return caused(problem(http.StatusBadRequest, codeInvalid, "the list was cut off"+stands, field), err)
}
