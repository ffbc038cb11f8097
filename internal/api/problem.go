package api

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
)

// Problem is an error as the API answers it: RFC 9457, with a code for programs and the fields that it is about.
type Problem struct {
	Type      string       `json:"type" doc:"Always about:blank: the code says which problem it is."`
	Title     string       `json:"title"`
	Status    int          `json:"status"`
	Code      string       `json:"code" doc:"Which problem it is, for programs."`
	Detail    string       `json:"detail"`
	RequestID string       `json:"requestId,omitempty"`
	Errors    []FieldError `json:"errors,omitempty"`

	retryAfter time.Duration
	cause      error // for the log
}

// FieldError is what is wrong with one field.
type FieldError struct {
	In     string `json:"in" enum:"body,query,path,header" doc:"Where the field is."`
	Field  string `json:"field" doc:"The field, such as recipients[3].recipientId."`
	Reason string `json:"reason"`
	Remedy string `json:"remedy,omitempty"`
}

// The codes of problems.
const (
	codeInvalid      = "invalid"
	codeUnauthorized = "unauthorized"
	codeNotFound     = "not_found"
	codeMethod       = "method_not_allowed"
	codeState        = "state"
	codeUnderWay     = "under_way"
	codeKeyReused    = "idempotency_key_reused"
	codeTooLarge     = "too_large"
	codeTooSlow      = "too_slow"
	codeMediaType    = "media_type"
	codeRate         = "rate_limited"
	codeSeveral      = "several"
	codeUnavailable  = "unavailable"
	codeInternal     = "internal"
)

// Error is the form for logs.
func (p *Problem) Error() string {
	s := fmt.Sprintf("%d %s: %s", p.Status, p.Code, p.Detail)
	if p.cause != nil {
		s += ": " + p.cause.Error()
	}
	return s
}

func (p *Problem) Unwrap() error { return p.cause }

// GetStatus, GetHeaders and ContentType are what huma asks of an error.
func (p *Problem) GetStatus() int { return p.Status }

// GetHeaders returns the headers that go with it.
func (p *Problem) GetHeaders() http.Header {
	h := http.Header{}
	if p.retryAfter > 0 {
		h.Set("Retry-After", strconv.Itoa(int((p.retryAfter+time.Second-1)/time.Second)))
	}
	if p.Status == http.StatusUnauthorized {
		h.Set("WWW-Authenticate", `Bearer realm="huntaze"`)
	}
	return h
}

// ContentType is that of problem documents.
func (p *Problem) ContentType(string) string { return "application/problem+json" }

func problem(status int, code, detail string, fields ...FieldError) *Problem {
	return &Problem{Type: "about:blank", Title: http.StatusText(status), Status: status, Code: code, Detail: detail, Errors: fields}
}

func invalid(in, field, reason, remedy string) *Problem {
	return problem(http.StatusUnprocessableEntity, codeInvalid, "the request can't be used: "+field+" "+reason, FieldError{in, field, reason, remedy})
}

// notFound is the answer about what does not exist, and about what the key may not use: the two can't be told apart.
func notFound(in, field, what string) *Problem {
	return problem(http.StatusNotFound, codeNotFound, "there is no such "+what+", or the key may not use it", FieldError{In: in, Field: field, Reason: "is not known"})
}

func retry(p *Problem, after time.Duration) *Problem {
	p.retryAfter = after
	return p
}

func caused(p *Problem, err error) *Problem {
	p.cause = err
	return p
}

// The package owns these variables of huma: nothing else in the program uses it.
func init() {
	huma.NewErrorWithContext = func(ctx huma.Context, status int, msg string, errs ...error) huma.StatusError {
		p, i := fromHuma(status, msg, errs), infoOf(ctx.Context())
		p.RequestID, i.problem = i.id, p
		return p
	}
	huma.NewError = func(status int, msg string, errs ...error) huma.StatusError { return fromHuma(status, msg, errs) }
	huma.ValidateStrictCasing = true // userID is not userId
}

// fromHuma turns what huma found into a problem. Huma adds the values to its errors, and the parser parts of them: they
// may be a message's text, so only the place and the reason are taken.
func fromHuma(status int, msg string, errs []error) *Problem {
	p := problem(status, codeInvalid, "the request can't be used")
	switch {
	case msg == "cannot read request body":
		return caused(problem(http.StatusBadRequest, codeInvalid, "the body ended too early", FieldError{"body", "body", "was cut off", "send it again"}), firstOf(errs))
	case status == http.StatusRequestEntityTooLarge:
		p.Code, p.Detail = codeTooLarge, "the body is too large"
		p.Errors = []FieldError{{"body", "body", "is too large", "send more than a few recipients to /v1/campaigns/{id}/recipients, which takes a million"}}
		return p
	case status == http.StatusRequestTimeout:
		p.Code, p.Detail = codeTooSlow, "the body did not come in time"
		p.Errors = []FieldError{{In: "body", Field: "body", Reason: "did not come in time"}}
		return p
	case status == http.StatusUnsupportedMediaType:
		p.Code, p.Detail = codeMediaType, "the Content-Type can't be read"
		p.Errors = []FieldError{{"header", "Content-Type", "is not JSON", "send application/json"}}
		return p
	case status >= 500:
		return caused(problem(status, codeInternal, "something went wrong here; it is in the log under the requestId"), firstOf(errs))
	case msg == "request body is required":
		p.Errors = []FieldError{{"body", "body", "is missing", "send a JSON object"}}
	}
	for _, err := range errs {
		if len(p.Errors) == mostFieldErrors {
			break
		}
		p.Errors = append(p.Errors, fieldError(err, status))
	}
	if len(p.Errors) > 0 {
		p.Detail += ": " + p.Errors[0].Field + " " + p.Errors[0].Reason
	}
	return p
}

// mostFieldErrors is how many are listed: nobody reads more.
const mostFieldErrors = 100

func firstOf(errs []error) error {
	if len(errs) == 0 {
		return nil
	}
	return errs[0]
}

func fieldError(err error, status int) FieldError {
	detailer, ok := err.(huma.ErrorDetailer)
	if !ok {
		return FieldError{In: "body", Field: "body", Reason: "can't be used"}
	}
	d := detailer.ErrorDetail()
	in, field, _ := strings.Cut(d.Location, ".")
	if field == "" {
		field = in
	}
	f := FieldError{In: in, Field: shownField(field), Reason: d.Message}
	switch {
	case in == "body" && field == "body" && status == http.StatusBadRequest:
		f.Reason, f.Remedy = "is not valid JSON", "send one JSON object, in UTF-8"
	case in == "body" && field == "body" && strings.HasPrefix(d.Message, "json:"):
		f.Reason = "has a value of the wrong type"
	case strings.HasPrefix(d.Message, "expected required property "):
		name := strings.Fields(strings.TrimPrefix(d.Message, "expected required property "))[0]
		f.Reason = "is missing"
		if f.Field == "body" {
			f.Field = name
		} else {
			f.Field += "." + name
		}
	case d.Message == "unexpected property":
		f.Reason, f.Remedy = "is not a known field", "leave it out; the fields are in /openapi.json"
	case d.Message == "unknown query parameter":
		f.Reason, f.Remedy = "is not a known parameter", "leave it out; the parameters are in /openapi.json"
	case strings.HasPrefix(d.Message, "expected string to be RFC 4122 uuid"):
		f.Reason = "is not a UUID"
	}
	return f
}

// shownField shows a name that looks like one: anything else may be content that went astray.
func shownField(name string) string {
	if len(name) > 200 || strings.Trim(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.[]:") != "" {
		return "(unnamed)"
	}
	return name
}

// writeProblem answers with a problem, outside of huma.
func writeProblem(w http.ResponseWriter, r *http.Request, p *Problem) {
	info := infoOf(r.Context())
	p.RequestID, info.problem = info.id, p
	for name, values := range p.GetHeaders() {
		w.Header()[name] = values
	}
	w.Header().Set("Content-Type", p.ContentType(""))
	w.WriteHeader(p.Status)
	_ = json.NewEncoder(w).Encode(p)
}
