package middleware

import (
	"bytes"
	"encoding/json"
	"io"
	"mime"
	"net/http"
	"strings"
)

// peekMost is how much of a body is looked at, and held in memory.
const peekMost = 1 << 20

// peek looks for the account and the workflow in the body of a request, and gives it a body that is read as if nobody
// had looked. Of a longer body the rest is not read: it streams through.
func peek(r *http.Request) (userID, workflowID string, err error) {
	if r.Body == nil || r.Body == http.NoBody || r.Method == http.MethodGet || r.Method == http.MethodHead || !isJSON(r.Header) {
		return "", "", nil
	}
	body := r.Body
	beginning, err := io.ReadAll(io.LimitReader(body, peekMost))
	if err != nil {
		return "", "", err
	}
	rest := io.Reader(body) // at its end, or not
	r.Body = struct {
		io.Reader
		io.Closer
	}{io.MultiReader(bytes.NewReader(beginning), rest), body}
	userID, workflowID = idsIn(beginning)
	return userID, workflowID, nil
}

func isJSON(header http.Header) bool {
	if header.Get("Content-Encoding") != "" {
		return false
	}
	kind := header.Get("Content-Type")
	if kind == "" {
		return true
	}
	media, _, err := mime.ParseMediaType(kind)
	return err == nil && (media == "application/json" || strings.HasSuffix(media, "+json"))
}

// idsIn finds the two fields at the top of an object, of which there may only be the beginning. Of a field that comes
// twice the last counts, as it does for those who read the whole.
func idsIn(beginning []byte) (userID, workflowID string) {
	decoder := json.NewDecoder(bytes.NewReader(beginning))
	if first, err := decoder.Token(); err != nil || first != json.Delim('{') {
		return "", ""
	}
	for decoder.More() {
		name, err := decoder.Token()
		if err != nil {
			break
		}
		var raw json.RawMessage
		if decoder.Decode(&raw) != nil {
			break
		}
		switch name {
		case "userId":
			userID = text(raw)
		case "workflowId":
			workflowID = text(raw)
		}
	}
	return userID, workflowID
}

func text(raw json.RawMessage) (s string) {
	_ = json.Unmarshal(raw, &s) // what is no string names nobody
	return s
}
