package sqstest

import "time"

// What a receiver does with a message afterwards: delete it, or change how long
// it stays in flight.

func (s *Server) deleteMessage(_ *call, in *deleteRequest) (emptyReply, *apiError) {
	s.mu.Lock()
	defer s.mu.Unlock()
	q, now, err := s.find(in.QueueURL)
	if err != nil {
		return emptyReply{}, err
	}
	err = q.deleteByHandle(in.ReceiptHandle)
	s.flush(now)
	return emptyReply{}, err
}

func (s *Server) deleteMessageBatch(_ *call, in *deleteBatchRequest) (batchReply[entryID], *apiError) {
	var out batchReply[entryID]
	checked := checkBatch(in.Entries, func(e *deleteEntry) string { return e.ID }, "DeleteMessageBatchRequestEntry")
	s.mu.Lock()
	defer s.mu.Unlock()
	q, now, err := s.find(in.QueueURL)
	if err == nil {
		err = checked
	}
	if err != nil {
		return out, err
	}
	for _, e := range in.Entries {
		err := s.faults.entryFailed("DeleteMessageBatch", q.name)
		if err == nil {
			err = q.deleteByHandle(e.ReceiptHandle)
		}
		if err != nil {
			out.fail(e.ID, err)
			continue
		}
		out.Successful = append(out.Successful, entryID{ID: e.ID})
	}
	s.flush(now)
	return out, nil
}

// byHandle returns the message of a receipt handle; nil if it was deleted.
func (q *queue) byHandle(handle string) (*message, receipt, *apiError) {
	if handle == "" {
		return nil, receipt{}, missingParameter("ReceiptHandle")
	}
	r, ok := parseReceipt(handle)
	if !ok || r.queue != q.uid {
		return nil, receipt{}, receiptHandleInvalid()
	}
	return q.bySeq[r.message], r, nil
}

// deleteByHandle deletes with the handle of the latest delivery. With the handle
// of an earlier one, or of a message that is gone, it succeeds and does nothing.
func (q *queue) deleteByHandle(handle string) *apiError {
	m, r, err := q.byHandle(handle)
	if err != nil || m == nil {
		return err
	}
	latest := r.delivery >= m.deliveryValid
	if q.fifo != nil && (!latest || m.state != InFlight) {
		return invalidParameter("Value %s for parameter ReceiptHandle is invalid. Reason: The receipt handle has expired.", handle)
	}
	if !latest {
		return nil
	}
	q.drop(m)
	q.stats.deleted++
	q.haunt(m)
	return nil
}

func (s *Server) changeMessageVisibility(_ *call, in *visibilityRequest) (emptyReply, *apiError) {
	s.mu.Lock()
	defer s.mu.Unlock()
	q, now, err := s.find(in.QueueURL)
	if err != nil {
		return emptyReply{}, err
	}
	err = q.changeVisibility(&in.visibilityEntry, now)
	s.flush(now)
	return emptyReply{}, err
}

func (s *Server) changeMessageVisibilityBatch(_ *call, in *visibilityBatchRequest) (batchReply[entryID], *apiError) {
	var out batchReply[entryID]
	checked := checkBatch(in.Entries, func(e *visibilityEntry) string { return e.ID }, "ChangeMessageVisibilityBatchRequestEntry")
	s.mu.Lock()
	defer s.mu.Unlock()
	q, now, err := s.find(in.QueueURL)
	if err == nil {
		err = checked
	}
	if err != nil {
		return out, err
	}
	for i := range in.Entries {
		e := &in.Entries[i]
		err := s.faults.entryFailed("ChangeMessageVisibilityBatch", q.name)
		if err == nil {
			err = q.changeVisibility(e, now)
		}
		if err != nil {
			out.fail(e.ID, err)
			continue
		}
		out.Successful = append(out.Successful, entryID{ID: e.ID})
	}
	s.flush(now)
	return out, nil
}

func (q *queue) changeVisibility(e *visibilityEntry, now time.Time) *apiError {
	if e.VisibilityTimeout == nil {
		return missingParameter("VisibilityTimeout")
	}
	if err := checkVisibility(*e.VisibilityTimeout); err != nil {
		return err
	}
	m, r, err := q.byHandle(e.ReceiptHandle)
	if err != nil {
		return err
	}
	if m == nil || r.delivery < m.deliveryValid {
		return invalidParameter("Value %s for parameter ReceiptHandle is invalid. Reason: Message does not exist or is not available for visibility timeout change.", e.ReceiptHandle)
	}
	if m.state != InFlight {
		return newError("MessageNotInflight", "The specified message isn't in flight.")
	}
	timeout := time.Duration(*e.VisibilityTimeout) * time.Second
	due := now.Add(timeout)
	switch {
	case due.Sub(m.received) > maxVisibility:
		return invalidParameter("Value %d for parameter VisibilityTimeout is invalid. Reason: Total VisibilityTimeout for the message is beyond the limit [43200 seconds]", *e.VisibilityTimeout)
	case timeout == 0:
		q.move(m, Visible, time.Time{}, false)
	default:
		q.move(m, InFlight, due, false)
	}
	return nil
}
