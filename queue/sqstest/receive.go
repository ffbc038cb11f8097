package sqstest

import (
	"encoding/base64"
	"slices"
	"strconv"
	"strings"
	"time"
)

// maxVisibility is how long a message may be in flight altogether, too.
const maxVisibility = 43_200 * time.Second

func receiveMessage(s *Server, c *call, body []byte) (reply, *apiError) {
	var in receiveRequest
	if err := decode(body, &in); err != nil {
		return nil, err
	}
	wanted, err := wantedAttributes(&in)
	if err != nil {
		return nil, err
	}
	q, got, err := s.receive(c, &in)
	if err != nil {
		return nil, err
	}
	if len(got) > 0 {
		c.undo = func() { s.undoDeliveries(q, got) }
	}
	return s.encodeMessages(got, wanted), nil
}

func (s *Server) receive(c *call, in *receiveRequest) (*queue, []delivery, *apiError) {
	s.mu.Lock()
	defer s.mu.Unlock()
	q, _, err := s.find(in.QueueURL)
	if err != nil {
		return nil, nil, err
	}
	max, wait := 1, q.config.wait
	if n := in.MaxNumberOfMessages; n != nil {
		if *n < 1 || *n > maxEntries {
			return nil, nil, invalidParameter("Value %d for parameter MaxNumberOfMessages is invalid. Reason: Must be between 1 and 10, if provided.", *n)
		}
		max = *n
	}
	if n := in.WaitTimeSeconds; n != nil {
		if *n < 0 || *n > 20 {
			return nil, nil, invalidParameter("Value %d for parameter WaitTimeSeconds is invalid. Reason: Must be >= 0 and <= 20, if provided.", *n)
		}
		wait = time.Duration(*n) * time.Second
	}
	visibility := func(q *queue) time.Duration { return q.config.visibility }
	if n := in.VisibilityTimeout; n != nil {
		if err := checkVisibility(*n); err != nil {
			return nil, nil, err
		}
		visibility = func(*queue) time.Duration { return time.Duration(*n) * time.Second }
	}
	got, err := s.poll(c.ctx, q, max, visibility, wait)
	return q, got, err
}

func checkVisibility(n int) *apiError {
	if n < 0 || time.Duration(n)*time.Second > maxVisibility {
		return invalidParameter("Value %d for parameter VisibilityTimeout is invalid. Reason: VisibilityTimeout must be an integer between 0 and 43200.", n)
	}
	return nil
}

// systemAttributes are those that ReceiveMessage can return, with how to read
// them; "" means that the message has none.
var systemAttributes = map[string]func(*Server, *delivery) string{
	"SenderId":      func(s *Server, _ *delivery) string { return s.options.AccountID },
	"SentTimestamp": func(_ *Server, d *delivery) string { return milliseconds(d.content.sent) },
	"ApproximateReceiveCount": func(_ *Server, d *delivery) string {
		return strconv.Itoa(d.receives)
	},
	"ApproximateFirstReceiveTimestamp": func(_ *Server, d *delivery) string { return milliseconds(d.firstReceived) },
	"SequenceNumber":                   func(_ *Server, d *delivery) string { return d.content.sequence },
	"MessageDeduplicationId":           func(_ *Server, d *delivery) string { return d.content.deduplication },
	"MessageGroupId":                   func(_ *Server, d *delivery) string { return d.content.groupID },
	"AWSTraceHeader":                   func(_ *Server, d *delivery) string { return d.content.traceHeader },
	"DeadLetterQueueSourceArn":         func(_ *Server, d *delivery) string { return d.content.deadLetterOf },
}

var systemAttributeNames = func() []string {
	names := make([]string, 0, len(systemAttributes))
	for name := range systemAttributes {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}()

func milliseconds(t time.Time) string { return strconv.FormatInt(t.UnixMilli(), 10) }

// selection is what a receiver asked for.
type selection struct {
	system   []string
	all      bool // all message attributes
	names    []string
	prefixes []string
}

func wantedAttributes(in *receiveRequest) (selection, *apiError) {
	var sel selection
	for _, name := range slices.Concat(in.MessageSystemAttributeNames, in.AttributeNames) {
		if name == "All" {
			sel.system = systemAttributeNames
			break
		}
		_, ofMessage := systemAttributes[name]
		_, ofQueue := queueAttributes[name]
		switch {
		case ofMessage && !slices.Contains(sel.system, name):
			sel.system = append(sel.system, name)
		case !ofMessage && !ofQueue:
			// The names of queue attributes are allowed here, and mean nothing.
			return sel, unknownAttribute(name)
		}
	}
	for _, name := range in.MessageAttributeNames {
		prefix, isPrefix := strings.CutSuffix(name, ".*")
		switch {
		case name == "All", name == ".*":
			sel.all = true
		case isPrefix:
			sel.prefixes = append(sel.prefixes, prefix)
		default:
			sel.names = append(sel.names, name)
		}
	}
	return sel, nil
}

func (sel *selection) pick(all map[string]Attribute) map[string]Attribute {
	if sel.all || len(all) == 0 {
		return all
	}
	var out map[string]Attribute
	for name, a := range all {
		if slices.Contains(sel.names, name) || slices.ContainsFunc(sel.prefixes, func(p string) bool { return strings.HasPrefix(name, p) }) {
			if out == nil {
				out = map[string]Attribute{}
			}
			out[name] = a
		}
	}
	return out
}

// encodeMessages writes the reply of ReceiveMessage by hand: this is where the
// server would otherwise spend most of its time.
func (s *Server) encodeMessages(got []delivery, sel selection) reply {
	if len(got) == 0 {
		return reply("{}")
	}
	size := 0
	for i := range got {
		size += len(got[i].content.body) + 1024
	}
	b := make([]byte, 0, size)
	b = append(b, `{"Messages":[`...)
	for i := range got {
		if i > 0 {
			b = append(b, ',')
		}
		b = s.appendMessage(b, &got[i], sel)
	}
	return append(b, "]}"...)
}

func (s *Server) appendMessage(b []byte, d *delivery, sel selection) []byte {
	c := d.content
	b = append(b, `{"MessageId":`...)
	b = appendString(b, c.id)
	b = append(b, `,"ReceiptHandle":`...)
	b = appendString(b, d.handle)
	b = append(b, `,"MD5OfBody":`...)
	b = appendString(b, c.md5)
	b = append(b, `,"Body":`...)
	b = appendString(b, c.body)
	separator := `,"Attributes":{`
	for _, name := range sel.system {
		value := systemAttributes[name](s, d)
		if value == "" {
			continue
		}
		b = append(b, separator...)
		b = appendString(b, name)
		b = append(b, ':')
		b = appendString(b, value)
		separator = ","
	}
	if separator == "," {
		b = append(b, '}')
	}
	if picked := sel.pick(c.attributes); len(picked) > 0 {
		digest := c.md5Attributes
		if len(picked) < len(c.attributes) {
			digest = md5OfAttributes(picked)
		}
		b = append(b, `,"MD5OfMessageAttributes":`...)
		b = appendString(b, digest)
		b = append(b, `,"MessageAttributes":{`...)
		first := true
		for name, a := range picked {
			if !first {
				b = append(b, ',')
			}
			first = false
			b = appendAttribute(b, name, a)
		}
		b = append(b, '}')
	}
	return append(b, '}')
}

func appendAttribute(b []byte, name string, a Attribute) []byte {
	b = appendString(b, name)
	b = append(b, `:{"DataType":`...)
	b = appendString(b, a.DataType)
	if a.binary() {
		b = append(b, `,"BinaryValue":"`...)
		b = base64.StdEncoding.AppendEncode(b, a.BinaryValue)
		return append(b, `"}`...)
	}
	b = append(b, `,"StringValue":`...)
	b = appendString(b, a.StringValue)
	return append(b, '}')
}
