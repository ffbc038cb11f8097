package sqstest

import (
	"fmt"
	"math/rand/v2"
	"regexp"
	"time"
)

const maxEntries = 10

var batchID = regexp.MustCompile(`^[A-Za-z0-9_-]{1,80}$`)

// checkBatch checks what makes a whole batch fail.
func checkBatch[E any](entries []E, id func(*E) string, entryName string) *apiError {
	if len(entries) == 0 {
		return newError("EmptyBatchRequest", "There should be at least one %s in the request.", entryName)
	}
	if len(entries) > maxEntries {
		return newError("TooManyEntriesInBatchRequest", "Maximum number of entries per request are %d. You have sent %d.", maxEntries, len(entries))
	}
	seen := make(map[string]bool, len(entries))
	for i := range entries {
		name := id(&entries[i])
		if !batchID.MatchString(name) {
			return newError("InvalidBatchEntryId", "A batch entry id can only contain alphanumeric characters, hyphens and underscores. It can be at most 80 letters long.")
		}
		if seen[name] {
			return newError("BatchEntryIdsNotDistinct", "Id %s repeated.", name)
		}
		seen[name] = true
	}
	return nil
}

// parcel is a message on its way in: checked as far as that needs no queue.
type parcel struct {
	entry     *sendEntry
	content   content
	md5System string
	err       *apiError
}

func (e *sendEntry) parcel() parcel {
	p := parcel{entry: e}
	p.content, p.md5System, p.err = e.content()
	return p
}

func (e *sendEntry) content() (content, string, *apiError) {
	c := content{body: e.MessageBody}
	if e.MessageBody == "" {
		return c, "", missingParameter("MessageBody")
	}
	if !validCharacters(e.MessageBody) {
		return c, "", newError("InvalidMessageContents", "Invalid characters found. Valid unicode characters are #x9 | #xA | #xD | #x20 to #xD7FF | #xE000 to #xFFFD | #x10000 to #x10FFFF")
	}
	var err *apiError
	if c.attributes, err = attributes(e.MessageAttributes); err != nil {
		return c, "", err
	}
	md5System := ""
	if len(e.MessageSystemAttributes) > 0 {
		system := map[string]Attribute{}
		for name, w := range e.MessageSystemAttributes {
			if name != "AWSTraceHeader" || w.DataType != "String" || w.StringValue == nil || *w.StringValue == "" {
				return c, "", invalidParameter("Message system attribute '%s' is invalid. Only AWSTraceHeader with a non-empty value of type 'String' is supported.", name)
			}
			c.traceHeader = *w.StringValue
			system[name] = Attribute{DataType: w.DataType, StringValue: c.traceHeader}
		}
		md5System = md5OfAttributes(system)
	}
	for _, id := range []struct {
		name string
		in   *string
		to   *string
	}{{"MessageGroupId", e.MessageGroupID, &c.groupID}, {"MessageDeduplicationId", e.MessageDeduplicationID, &c.deduplication}} {
		if id.in == nil {
			continue
		}
		if !identifier.MatchString(*id.in) {
			return c, "", invalidParameter("Value for parameter %s is invalid. Reason: %s can only include alphanumeric and punctuation characters. 1 to 128 in length.", id.name, id.name)
		}
		*id.to = *id.in
	}
	if d := e.DelaySeconds; d != nil && (*d < 0 || time.Duration(*d)*time.Second > maxDelay) {
		return c, "", invalidParameter("Value %d for parameter DelaySeconds is invalid. Reason: DelaySeconds must be >= 0 and <= 900.", *d)
	}
	c.id = newMessageID()
	c.md5 = md5OfBody(c.body)
	c.md5Attributes = md5OfAttributes(c.attributes)
	return c, md5System, nil
}

func newMessageID() string {
	a, b := rand.Uint64(), rand.Uint64()
	a = a&^0xF000 | 0x4000     // version 4
	b = b&^(3<<62) | (1 << 63) // variant
	return fmt.Sprintf("%08x-%04x-%04x-%04x-%012x", a>>32, a>>16&0xFFFF, a&0xFFFF, b>>48, b&0xFFFF_FFFF_FFFF)
}

func (s *Server) sendMessage(_ *call, in *sendRequest) (sent, *apiError) {
	p := in.parcel()
	s.mu.Lock()
	defer s.mu.Unlock()
	q, now, err := s.find(in.QueueURL)
	if err != nil {
		return sent{}, err
	}
	out, err := q.accept(&p, now)
	s.flush(now)
	return out, err
}

func (s *Server) sendMessageBatch(_ *call, in *sendBatchRequest) (batchReply[sent], *apiError) {
	var out batchReply[sent]
	parcels := make([]parcel, 0, len(in.Entries))
	checked := checkBatch(in.Entries, func(e *sendEntry) string { return e.ID }, "SendMessageBatchRequestEntry")
	if checked == nil {
		total := 0
		for i := range in.Entries {
			p := in.Entries[i].parcel()
			total += p.content.size()
			parcels = append(parcels, p)
		}
		if total > MaxMessageSize {
			checked = newError("BatchRequestTooLong", "Batch requests cannot be longer than %d bytes. You have sent %d bytes.", MaxMessageSize, total)
		}
	}

	s.mu.Lock()
	defer s.mu.Unlock()
	q, now, err := s.find(in.QueueURL)
	if err == nil {
		err = checked
	}
	if err != nil {
		return out, err
	}
	for i := range parcels {
		p := &parcels[i]
		if err := s.faults.entryFailed("SendMessageBatch", q.name); err != nil {
			out.fail(p.entry.ID, err)
		} else if accepted, err := q.accept(p, now); err != nil {
			out.fail(p.entry.ID, err)
		} else {
			accepted.ID = p.entry.ID
			out.Successful = append(out.Successful, accepted)
		}
	}
	s.flush(now)
	return out, nil
}

// accept checks a message against its queue and puts it in.
func (q *queue) accept(p *parcel, now time.Time) (sent, *apiError) {
	if p.err != nil {
		return sent{}, p.err
	}
	if p.content.size() > q.config.maxSize {
		return sent{}, invalidParameter("One or more parameters are invalid. Reason: Message must be shorter than %d bytes.", q.config.maxSize)
	}
	m := &message{content: p.content}
	m.sent = now
	delay := q.config.delay
	out := sent{
		MessageID:                    m.id,
		MD5OfMessageBody:             m.md5,
		MD5OfMessageAttributes:       m.md5Attributes,
		MD5OfMessageSystemAttributes: p.md5System,
	}
	if q.fifo == nil {
		if m.deduplication != "" {
			return sent{}, invalidParameter("Value %s for parameter MessageDeduplicationId is invalid. Reason: The request includes a parameter that is not valid for this queue type.", m.deduplication)
		}
		if p.entry.DelaySeconds != nil {
			delay = time.Duration(*p.entry.DelaySeconds) * time.Second
		}
	} else {
		first, err := q.sequence(p, m, now)
		if err != nil {
			return sent{}, err
		}
		out.SequenceNumber = m.sequence
		if first.messageID != m.id {
			out.MessageID, out.SequenceNumber = first.messageID, first.sequence
			return out, nil
		}
	}
	m.seq = q.server.nextSeq()
	q.stats.sent++
	if delay > 0 {
		q.add(m, Delayed, now.Add(delay))
	} else {
		q.add(m, Visible, time.Time{})
	}
	return out, nil
}

// sequence checks what only FIFO queues ask for and gives the message its number,
// or returns the earlier send of which it is a duplicate.
func (q *queue) sequence(p *parcel, m *message, now time.Time) (dedupEntry, *apiError) {
	switch {
	case m.groupID == "":
		return dedupEntry{}, missingParameter("MessageGroupId")
	case m.deduplication == "" && !q.config.contentDedup:
		return dedupEntry{}, invalidParameter("The queue should either have ContentBasedDeduplication enabled or MessageDeduplicationId provided explicitly")
	case p.entry.DelaySeconds != nil && *p.entry.DelaySeconds != 0:
		return dedupEntry{}, invalidParameter("Value %d for parameter DelaySeconds is invalid. Reason: The request include parameter that is not valid for this queue type.", *p.entry.DelaySeconds)
	}
	if m.deduplication == "" {
		m.deduplication = contentID(m.body)
	}
	key := dedupKey{id: m.deduplication}
	if q.config.dedupScope == "messageGroup" {
		key.group = m.groupID
	}
	if first, ok := q.fifo.sends[key]; ok {
		return first, nil
	}
	m.sequence = q.server.nextSequence()
	e := dedupEntry{messageID: m.id, sequence: m.sequence, sent: now}
	q.fifo.remember(key, e)
	return e, nil
}
