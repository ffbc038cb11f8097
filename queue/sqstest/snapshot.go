package sqstest

import (
	"bufio"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"time"
)

const snapshotFormat = "sqstest/1"

// A snapshot is a stream of JSON values: a header with the queues, one value per
// message in order of arrival, and an end with their number, so that a file that
// was cut short is not taken for a whole one.
type snapshotHeader struct {
	Format   string          `json:"format"`
	Seq      uint64          `json:"seq"`
	Sequence uint64          `json:"sequence"`
	Queues   []snapshotQueue `json:"queues"`
}

type snapshotQueue struct {
	Name       string            `json:"name"`
	UID        uint64            `json:"uid,string"`
	Attributes map[string]string `json:"attributes"`
	Tags       map[string]string `json:"tags,omitempty"`
	Created    time.Time         `json:"created"`
	Modified   time.Time         `json:"modified"`
	Sends      []snapshotSend    `json:"sends,omitempty"`
}

// snapshotSend is a send that a FIFO queue remembers.
type snapshotSend struct {
	Group     string    `json:"group,omitempty"`
	ID        string    `json:"id"`
	MessageID string    `json:"messageId"`
	Sequence  string    `json:"sequence"`
	Sent      time.Time `json:"sent"`
}

type snapshotMessage struct {
	Queue         string `json:"queue,omitempty"`
	Seq           uint64 `json:"seq,omitempty"`
	Delivery      uint64 `json:"delivery,omitempty"`
	DeliveryValid uint64 `json:"deliveryValid,omitempty"`
	Attempts      int    `json:"attempts,omitempty"`
	*Message

	End      bool `json:"end,omitempty"`
	Messages int  `json:"messages,omitempty"`
}

// Save writes the queues with their messages. Messages in flight are written as
// visible ones that were received: their receivers are taken to end with the
// server. Faults, message move tasks and [Stats] counts are not saved.
func (s *Server) Save(w io.Writer) error {
	header, all := s.snapshot()
	buffered := bufio.NewWriter(w)
	e := json.NewEncoder(buffered)
	if err := e.Encode(header); err != nil {
		return fmt.Errorf("sqstest: save: %w", err)
	}
	for i := range all {
		if err := e.Encode(&all[i]); err != nil {
			return fmt.Errorf("sqstest: save: %w", err)
		}
	}
	if err := e.Encode(snapshotMessage{End: true, Messages: len(all)}); err != nil {
		return fmt.Errorf("sqstest: save: %w", err)
	}
	if err := buffered.Flush(); err != nil {
		return fmt.Errorf("sqstest: save: %w", err)
	}
	return nil
}

// snapshot copies under the lock and leaves the writing for later.
func (s *Server) snapshot() (snapshotHeader, []snapshotMessage) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.clock.Now()
	header := snapshotHeader{Format: snapshotFormat, Seq: s.seq, Sequence: s.sequence}
	var all []snapshotMessage
	for _, name := range slices.Sorted(maps.Keys(s.queues)) {
		q := s.queues[name]
		q.settle(now)
		sq := snapshotQueue{
			Name:       name,
			UID:        q.uid,
			Attributes: q.config.values(),
			Tags:       maps.Clone(q.tags),
			Created:    q.created,
			Modified:   q.modified,
		}
		if q.fifo != nil {
			for _, key := range q.fifo.recent {
				e := q.fifo.sends[key]
				sq.Sends = append(sq.Sends, snapshotSend{Group: key.group, ID: key.id, MessageID: e.messageID, Sequence: e.sequence, Sent: e.sent})
			}
		}
		header.Queues = append(header.Queues, sq)
		for _, m := range q.bySeq {
			out := m.export()
			if m.state == InFlight {
				out.State, out.Due = Visible, time.Time{}
			}
			all = append(all, snapshotMessage{
				Queue:         name,
				Seq:           m.seq,
				Delivery:      m.delivery,
				DeliveryValid: m.deliveryValid,
				Attempts:      m.attempts,
				Message:       &out,
			})
		}
	}
	s.flush(now)
	slices.SortFunc(all, func(a, b snapshotMessage) int { return cmp.Compare(a.Seq, b.Seq) })
	return header, all
}

// ErrNotEmpty is what [Server.Load] returns when the server has queues already.
var ErrNotEmpty = errors.New("sqstest: load into a server that has queues")

// Load reads what [Server.Save] wrote into a server without queues: all of it, or
// on an error nothing. What is older than its retention period is left out.
func (s *Server) Load(r io.Reader) error {
	d := json.NewDecoder(bufio.NewReader(r))
	var header snapshotHeader
	if err := d.Decode(&header); err != nil {
		return fmt.Errorf("sqstest: load: %w", err)
	}
	if header.Format != snapshotFormat {
		return fmt.Errorf("sqstest: load: format %q is not %q", header.Format, snapshotFormat)
	}
	queues := map[string]*queue{}
	for _, sq := range header.Queues {
		q, err := s.restoreQueue(sq)
		if err != nil {
			return fmt.Errorf("sqstest: load queue %q: %w", sq.Name, err)
		}
		queues[sq.Name] = q
	}
	for n := 0; ; n++ {
		var in snapshotMessage
		if err := d.Decode(&in); err != nil {
			if errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			return fmt.Errorf("sqstest: load message %d: %w", n, err)
		}
		if in.End {
			if in.Messages != n {
				return fmt.Errorf("sqstest: load: %d messages where %d were saved", n, in.Messages)
			}
			break
		}
		q := queues[in.Queue]
		if q == nil || in.Message == nil || in.Seq == 0 || in.Seq > header.Seq || q.bySeq[in.Seq] != nil {
			return fmt.Errorf("sqstest: load: message %d does not fit", n)
		}
		q.restore(&in)
	}

	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.queues) > 0 {
		return ErrNotEmpty
	}
	s.queues, s.seq, s.sequence = queues, header.Seq, header.Sequence
	return nil
}

func (s *Server) restoreQueue(sq snapshotQueue) (*queue, error) {
	config := defaultSettings()
	config.fifo = sq.Attributes["FifoQueue"] == "true"
	config, err := config.apply(sq.Attributes)
	if err != nil {
		return nil, err
	}
	q := newQueue(s, sq.Name, config, sq.Created)
	q.uid, q.modified = sq.UID, sq.Modified
	maps.Copy(q.tags, sq.Tags)
	if q.fifo != nil {
		for _, e := range sq.Sends {
			q.fifo.remember(dedupKey{group: e.Group, id: e.ID}, dedupEntry{messageID: e.MessageID, sequence: e.Sequence, sent: e.Sent})
		}
	}
	return q, nil
}

func (q *queue) restore(in *snapshotMessage) {
	m := &message{
		content: content{
			id:            in.ID,
			body:          in.Body,
			md5:           md5OfBody(in.Body),
			attributes:    in.Attributes,
			md5Attributes: md5OfAttributes(in.Attributes),
			traceHeader:   in.TraceHeader,
			groupID:       in.GroupID,
			deduplication: in.DeduplicationID,
			sequence:      in.SequenceNumber,
			deadLetterOf:  in.DeadLetterOf,
			sent:          in.Sent,
		},
		seq:           in.Seq,
		receives:      in.ReceiveCount,
		attempts:      in.Attempts,
		firstReceived: in.FirstReceived,
		delivery:      in.Delivery,
		deliveryValid: in.DeliveryValid,
	}
	if in.State == Delayed {
		q.add(m, Delayed, in.Due)
		return
	}
	q.add(m, Visible, time.Time{})
}
