package sqstest

import (
	"bytes"
	"encoding/json"
	"net/http"
	"strings"
	"unicode/utf8"
)

const (
	contentType  = "application/x-amz-json-1.0"
	targetPrefix = "AmazonSQS."
)

// action decodes a request, does it and encodes the reply.
type action func(s *Server, c *call, body []byte) (reply, *apiError)

// actions is filled by init because the faults, which actions use, look names up
// in it.
var actions map[string]action

func init() {
	actions = map[string]action{
		"CreateQueue":                  typed((*Server).createQueue),
		"DeleteQueue":                  typed((*Server).deleteQueue),
		"PurgeQueue":                   typed((*Server).purgeQueue),
		"GetQueueUrl":                  typed((*Server).getQueueURL),
		"ListQueues":                   typed((*Server).listQueues),
		"ListDeadLetterSourceQueues":   typed((*Server).listDeadLetterSourceQueues),
		"GetQueueAttributes":           typed((*Server).getQueueAttributes),
		"SetQueueAttributes":           typed((*Server).setQueueAttributes),
		"TagQueue":                     typed((*Server).tagQueue),
		"UntagQueue":                   typed((*Server).untagQueue),
		"ListQueueTags":                typed((*Server).listQueueTags),
		"SendMessage":                  typed((*Server).sendMessage),
		"SendMessageBatch":             typed((*Server).sendMessageBatch),
		"ReceiveMessage":               receiveMessage,
		"DeleteMessage":                typed((*Server).deleteMessage),
		"DeleteMessageBatch":           typed((*Server).deleteMessageBatch),
		"ChangeMessageVisibility":      typed((*Server).changeMessageVisibility),
		"ChangeMessageVisibilityBatch": typed((*Server).changeMessageVisibilityBatch),
		"StartMessageMoveTask":         typed((*Server).startMessageMoveTask),
		"CancelMessageMoveTask":        typed((*Server).cancelMessageMoveTask),
		"ListMessageMoveTasks":         typed((*Server).listMessageMoveTasks),
		"AddPermission":                typed((*Server).unsupported),
		"RemovePermission":             typed((*Server).unsupported),
	}
}

func (s *Server) unsupported(*call, *queueRequest) (emptyReply, *apiError) {
	return emptyReply{}, newError("UnsupportedOperation", "Permissions are not supported by sqstest.")
}

func actionOf(r *http.Request) (string, action, *apiError) {
	name, ok := strings.CutPrefix(r.Header.Get("X-Amz-Target"), targetPrefix)
	if r.Method != http.MethodPost || !ok {
		return "", nil, newError("UnknownOperationException", "Only POST with X-Amz-Target: AmazonSQS.<action> (AWS JSON 1.0) is understood.")
	}
	run, ok := actions[name]
	if !ok {
		return "", nil, newError("UnknownOperationException", "The requested operation does not exist.")
	}
	return name, run, nil
}

func typed[In, Out any](f func(*Server, *call, *In) (Out, *apiError)) action {
	return func(s *Server, c *call, body []byte) (reply, *apiError) {
		var in In
		if err := decode(body, &in); err != nil {
			return nil, err
		}
		out, err := f(s, c, &in)
		if err != nil {
			return nil, err
		}
		return encode(out)
	}
}

func decode(body []byte, into any) *apiError {
	body = bytes.TrimLeft(body, " \t\r\n")
	if len(body) == 0 {
		body = []byte("{}")
	}
	// encoding/json would take a null for an empty object, and replace what is
	// not UTF-8, which would change a message without a word.
	if body[0] != '{' || !utf8.Valid(body) || json.Unmarshal(body, into) != nil {
		return newError("SerializationException", "The request is not a JSON object with members of the right types.")
	}
	return nil
}

func encode(out any) (reply, *apiError) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(out); err != nil {
		return nil, newError("InternalFailure", "The reply can't be encoded.")
	}
	return bytes.TrimRight(b.Bytes(), "\n"), nil
}

// requestFault and replyFault roll the dice of faults for a request.
func (s *Server) requestFault(action string, body []byte) *apiError {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.faults.active {
		return nil
	}
	return s.faults.failed(action, queueOfBody(body))
}

func (s *Server) replyFault(action string, body []byte) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.faults.active && s.faults.replyDropped(action, queueOfBody(body))
}

// queueOfBody returns the name of the queue that a request is about, or "".
func queueOfBody(body []byte) string {
	var in queueRequest
	if json.Unmarshal(body, &in) != nil {
		return ""
	}
	return queueOfURL(in.QueueURL)
}

const hexDigits = "0123456789abcdef"

// appendString appends s, which must be valid UTF-8, as a JSON string.
func appendString(b []byte, s string) []byte {
	b = append(b, '"')
	start := 0
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c >= 0x20 && c != '"' && c != '\\' {
			continue
		}
		b = append(b, s[start:i]...)
		switch c {
		case '"', '\\':
			b = append(b, '\\', c)
		case '\n':
			b = append(b, '\\', 'n')
		case '\r':
			b = append(b, '\\', 'r')
		case '\t':
			b = append(b, '\\', 't')
		default:
			b = append(b, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
		}
		start = i + 1
	}
	b = append(b, s[start:]...)
	return append(b, '"')
}
