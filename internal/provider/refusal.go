package provider

import (
	"bytes"
	"encoding/json"
	"strings"
)

// word is a JSON string, or a number as Azure's codes are at times. Any other value is none, and no error.
type word string

func (w *word) UnmarshalJSON(raw []byte) error {
	switch {
	case len(raw) > 2 && raw[0] == '"':
		var text string
		if json.Unmarshal(raw, &text) == nil && len(text) <= maxWord {
			*w = word(text)
		}
	case len(raw) <= maxWord && strings.Trim(string(raw), "0123456789") == "":
		*w = word(raw)
	}
	return nil
}

// text is a JSON string; any other value is none, and no error.
type text string

func (t *text) UnmarshalJSON(raw []byte) error {
	if len(raw) == 0 || raw[0] != '"' {
		return nil
	}
	return json.Unmarshal(raw, (*string)(t))
}

// failure is {"error": {…}} as both providers write it.
type failure struct {
	Code    word `json:"code"`
	Kind    word `json:"type"`
	Message text `json:"message"`
	Inner   struct {
		Code word `json:"code"`
	} `json:"innererror"`
}

// readRefusal takes what it can from the body of a refusal, which may be anything.
func readRefusal(e Exchange) refusal {
	r := refusal{provider: e.Provider, status: e.Status}
	if body := bytes.TrimLeft(e.Body, " \t\r\n"); len(body) == 0 || body[0] != '{' {
		return r
	}
	var envelope struct {
		Error      json.RawMessage `json:"error"`
		StatusCode json.RawMessage `json:"statusCode"`
	}
	if json.Unmarshal(e.Body, &envelope) != nil {
		return r
	}
	r.apim = len(envelope.Error) == 0 && len(envelope.StatusCode) > 0
	r.read(envelope.Error)
	return r
}

func (r *refusal) read(raw json.RawMessage) {
	if len(raw) == 0 || raw[0] != '{' {
		return
	}
	r.object = true
	var f failure
	_ = json.Unmarshal(raw, &f) // valid JSON; a field of another type stays empty
	r.code, r.kind, r.message, r.inner = string(f.Code), string(f.Kind), string(f.Message), string(f.Inner.Code)
}
