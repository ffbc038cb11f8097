package sqstest

import (
	"encoding/base64"
	"fmt"
	"math/rand/v2"
	"time"
)

// Message move tasks: the redrive of dead letters.

const (
	taskRunning   = "RUNNING"
	taskCompleted = "COMPLETED"
	taskCancelled = "CANCELLED"
	taskFailed    = "FAILED"

	// maxMoveRate is the limit of MaxNumberOfMessagesPerSecond. Without a rate of
	// its own a task moves everything in the first second.
	maxMoveRate = 500
)

type moveTask struct {
	server      *Server
	handle      string
	source      string // ARN
	destination string // ARN, or "" for the queues that the messages came from
	rate        int
	status      string
	failure     string
	started     time.Time
	moved       int64
	toMove      int64
	timer       Timer
}

func (s *Server) startMessageMoveTask(_ *call, in *startMoveRequest) (taskReply, *apiError) {
	s.mu.Lock()
	defer s.mu.Unlock()
	source, err := s.moveSource(in.SourceArn)
	if err != nil {
		return taskReply{}, err
	}
	isTarget := false
	for _, q := range s.queues {
		isTarget = isTarget || source.deadLettersOf(q)
	}
	if !isTarget {
		return taskReply{}, invalidParameter("Source queue must be configured as a Dead Letter Queue.")
	}
	if in.DestinationArn != "" {
		target := s.byARN(in.DestinationArn)
		switch {
		case target == nil:
			return taskReply{}, newError("ResourceNotFoundException", "The resource that you specified for the DestinationArn parameter doesn't exist.")
		case target == source:
			return taskReply{}, invalidParameter("Source queue arn and destination queue arn cannot be the same.")
		case target.config.fifo != source.config.fifo:
			return taskReply{}, invalidParameter("Source and destination queues must be of the same type.")
		}
	}
	rate := 0
	if n := in.MaxNumberOfMessagesPerSecond; n != nil {
		if *n < 1 || *n > maxMoveRate {
			return taskReply{}, invalidParameter("Value %d for parameter MaxNumberOfMessagesPerSecond is invalid. Reason: It must be between 1 and %d.", *n, maxMoveRate)
		}
		rate = *n
	}
	for _, t := range s.moves {
		if t.source == in.SourceArn && t.status == taskRunning {
			return taskReply{}, invalidParameter("There is already a task running. Only one active task is allowed for a source queue arn at a given time.")
		}
	}
	now := s.clock.Now()
	source.settle(now)
	t := &moveTask{
		server:      s,
		handle:      base64.StdEncoding.EncodeToString(fmt.Appendf(nil, `{"taskId":"%016x","sourceArn":"%s"}`, rand.Uint64(), in.SourceArn)),
		source:      in.SourceArn,
		destination: in.DestinationArn,
		rate:        rate,
		status:      taskRunning,
		started:     now,
		toMove:      int64(source.count[Visible]),
	}
	s.moves = append(s.moves, t)
	t.step(now)
	s.flush(now)
	return taskReply{TaskHandle: t.handle}, nil
}

func (s *Server) byARN(arn string) *queue {
	name, ok := queueOfARN(arn)
	if !ok || arn != s.arn(name) {
		return nil
	}
	return s.queues[name]
}

func (s *Server) moveSource(arn string) (*queue, *apiError) {
	if arn == "" {
		return nil, missingParameter("SourceArn")
	}
	q := s.byARN(arn)
	if q == nil {
		return nil, newError("ResourceNotFoundException", "The resource that you specified for the SourceArn parameter doesn't exist.")
	}
	return q, nil
}

// step moves one second's worth of messages.
func (t *moveTask) step(now time.Time) {
	t.timer = nil
	source := t.server.byARN(t.source)
	if source == nil {
		t.end(taskFailed, "AWS.SimpleQueueService.NonExistentQueue")
		return
	}
	source.settle(now)
	for n := 0; t.rate == 0 || n < t.rate; n++ {
		m := source.firstVisible()
		if m == nil || t.moved >= t.toMove {
			t.end(taskCompleted, "")
			return
		}
		destination := t.destination
		if destination == "" {
			destination = m.deadLetterOf
		}
		target := t.server.byARN(destination)
		switch {
		case destination == "":
			t.end(taskFailed, "CouldNotDetermineMessageSource")
			return
		case target == nil:
			t.end(taskFailed, "AWS.SimpleQueueService.NonExistentQueue")
			return
		}
		source.redrive(m, target, now)
		t.moved++
	}
	if source.firstVisible() == nil || t.moved >= t.toMove {
		t.end(taskCompleted, "")
		return
	}
	s := t.server
	t.timer = s.clock.AfterFunc(time.Second, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if t.status == taskRunning && !s.closed {
			now := s.clock.Now()
			t.step(now)
			s.flush(now)
		}
	})
}

func (t *moveTask) stop() {
	if t.timer != nil {
		t.timer.Stop()
		t.timer = nil
	}
}

func (t *moveTask) end(status, failure string) {
	t.stop()
	t.status, t.failure = status, failure
}

// firstVisible is like first, without the faults.
func (q *queue) firstVisible() *message {
	if q.fifo != nil {
		return q.first()
	}
	return q.ready.front
}

// redrive moves a message; it is a new one for the target: another id, another
// time of sending, never received.
func (q *queue) redrive(m *message, target *queue, now time.Time) {
	q.drop(m)
	moved := &message{content: m.content, seq: q.server.nextSeq()}
	moved.id = newMessageID()
	moved.sent = now
	moved.deadLetterOf = ""
	if target.fifo != nil {
		moved.sequence = q.server.nextSequence()
	}
	target.stats.sent++
	target.add(moved, Visible, time.Time{})
}

func (s *Server) listMessageMoveTasks(_ *call, in *listMovesRequest) (listMovesReply, *apiError) {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := listMovesReply{Results: []moveTaskEntry{}}
	if _, err := s.moveSource(in.SourceArn); err != nil {
		return out, err
	}
	limit := 1
	if n := in.MaxResults; n != nil {
		if *n < 1 || *n > 10 {
			return out, invalidParameter("Value %d for parameter MaxResults is invalid. Reason: It must be between 1 and 10.", *n)
		}
		limit = *n
	}
	for i := len(s.moves) - 1; i >= 0 && len(out.Results) < limit; i-- {
		t := s.moves[i]
		if t.source != in.SourceArn {
			continue
		}
		e := moveTaskEntry{
			Status:                            t.status,
			SourceArn:                         t.source,
			DestinationArn:                    t.destination,
			MaxNumberOfMessagesPerSecond:      t.rate,
			ApproximateNumberOfMessagesMoved:  t.moved,
			ApproximateNumberOfMessagesToMove: t.toMove,
			FailureReason:                     t.failure,
			StartedTimestamp:                  t.started.UnixMilli(),
		}
		if t.status == taskRunning {
			e.TaskHandle = t.handle
		}
		out.Results = append(out.Results, e)
	}
	return out, nil
}

func (s *Server) cancelMessageMoveTask(_ *call, in *taskRequest) (cancelMoveReply, *apiError) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if in.TaskHandle == "" {
		return cancelMoveReply{}, missingParameter("TaskHandle")
	}
	for _, t := range s.moves {
		if t.handle != in.TaskHandle {
			continue
		}
		if t.status != taskRunning {
			return cancelMoveReply{}, invalidParameter("Only active tasks can be cancelled.")
		}
		t.end(taskCancelled, "")
		return cancelMoveReply{ApproximateNumberOfMessagesMoved: t.moved}, nil
	}
	return cancelMoveReply{}, newError("ResourceNotFoundException", "Task does not exist.")
}
