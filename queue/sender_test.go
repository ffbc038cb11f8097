package queue_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/huntaze/hybrid-orchestrator/internal/trace"
	"github.com/huntaze/hybrid-orchestrator/queue"
)

func (w *world) sender() (*queue.Sender, *[]queue.LineError) {
	var failed []queue.LineError
	return &queue.Sender{API: w.api, Queue: mainQueue, Clock: w.clock, Failed: func(e queue.LineError) { failed = append(failed, e) }}, &failed
}

func TestSenderSendsLines(t *testing.T) {
	t.Parallel()
	const n = 1000
	w := newWorld(t)
	var input strings.Builder
	for i := range n {
		fmt.Fprintf(&input, "%s\r\n\n", body(i))
	}
	s, failed := w.sender()
	var steps []int
	s.Progress = func(r queue.SendResult) { steps = append(steps, r.Sent) }
	result, err := s.Send(t.Context(), strings.NewReader(strings.TrimSpace(input.String()))) // no new line at the end
	if err != nil || result != (queue.SendResult{Sent: n}) || len(*failed) > 0 {
		t.Fatalf("Send = %+v, %v, %v", result, err, *failed)
	}
	if !slices.IsSorted(steps) || len(steps) != n/10 || steps[len(steps)-1] != n {
		t.Errorf("progress %v", steps)
	}
	seen := map[string]bool{}
	for _, m := range w.server.Messages(mainQueue) {
		parent, ok := trace.ParseTraceparent(m.Attributes["traceparent"].StringValue)
		if !ok || seen[parent.TraceID] || seen[m.Body] || m.GroupID != "creator" {
			t.Fatalf("message %+v", m)
		}
		seen[parent.TraceID], seen[m.Body] = true, true
	}
	if len(seen) != 2*n {
		t.Errorf("%d messages", len(seen)/2)
	}
}

func TestSenderReportsBadLines(t *testing.T) {
	t.Parallel()
	input := strings.Join([]string{
		body(1),
		`not JSON SECRET`,
		``,
		`{"workflowId":"wf","content":"SECRET"}`,
		`{"workflowId":"wf","recipientId":"fan","content":"` + strings.Repeat("x", 300_000) + `"}`,
		strings.Repeat("SECRET", 500_000),
		"SECRET \x01",
		body(2),
	}, "\n")
	for _, force := range []bool{false, true} {
		t.Run(fmt.Sprintf("force %v", force), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			s, failed := w.sender()
			s.Force = force
			result, err := s.Send(t.Context(), strings.NewReader(input))
			if err != nil {
				t.Fatal(err)
			}
			var lines []int
			for _, e := range *failed {
				lines = append(lines, e.Line)
				if strings.Contains(e.Error(), "SECRET") || e.Reason == "" {
					t.Errorf("reason %q", e.Reason)
				}
			}
			slices.Sort(lines)
			wantSent, wantLines := 2, []int{2, 4, 5, 6, 7}
			if force {
				wantSent, wantLines = 5, []int{6, 7} // SQS itself does not take those
			}
			if result.Sent != wantSent || result.Failed != len(wantLines) || !slices.Equal(lines, wantLines) {
				t.Errorf("result %+v, failed lines %v, want %d and %v", result, lines, wantSent, wantLines)
			}
			if got := w.server.Stats(mainQueue).Visible; got != wantSent {
				t.Errorf("%d messages in the queue", got)
			}
		})
	}
}

func TestSenderRetriesWhatFails(t *testing.T) {
	t.Parallel()
	for name, faults := range threeFaults("SendMessageBatch") {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			if err := w.server.SetFaults(faults); err != nil {
				t.Fatal(err)
			}
			var input strings.Builder
			for i := range 200 {
				fmt.Fprintln(&input, body(i))
			}
			s, failed := w.sender()
			done := make(chan queue.SendResult, 1)
			go func() {
				result, err := s.Send(context.Background(), strings.NewReader(input.String()))
				if err != nil {
					t.Error(err)
				}
				done <- result
			}()
			w.eventually(100*time.Millisecond, "the end", func() bool { return len(done) > 0 })
			if result := <-done; result.Sent != 200 || len(*failed) > 0 {
				t.Errorf("%+v, %v", result, *failed)
			}
			if _, c := w.server.Faults(); c.PartialBatch+c.Fail+c.DropReply != 3 {
				t.Errorf("the faults did not happen: %+v", c)
			}
		})
	}
}

func TestSenderFIFO(t *testing.T) {
	t.Parallel()
	w := newFIFOWorld(t)
	long := strings.Repeat("é", 100)
	s, _ := w.sender()
	s.Queue, s.Senders, s.Force = "messages.fifo", 1, true
	lines := []string{body(1), body(1), strings.ReplaceAll(body(2), "creator", long), `{"bad":1}`}
	if result, err := s.Send(t.Context(), strings.NewReader(strings.Join(lines, "\n"))); err != nil || result.Sent != 4 {
		t.Fatalf("%+v, %v", result, err)
	}
	messages := w.server.Messages("messages.fifo")
	if len(messages) != 4 {
		t.Fatalf("%d messages: a line that is there twice must be sent twice", len(messages))
	}
	for i, m := range messages {
		if m.Body != lines[i] {
			t.Errorf("message %d is %s", i, m.Body)
		}
	}
}

func TestSenderErrors(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s, _ := w.sender()
	broken := errors.New("disk")
	result, err := s.Send(t.Context(), io.MultiReader(strings.NewReader(body(1)+"\n"), iotest.ErrReader(broken)))
	if !errors.Is(err, broken) || result.Sent != 1 {
		t.Errorf("broken input: %+v, %v", result, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	s.Senders = 1
	s.Progress = func(queue.SendResult) { cancel() }
	var input strings.Builder
	for i := range 1000 {
		fmt.Fprintln(&input, body(i))
	}
	result, err = s.Send(ctx, strings.NewReader(input.String()))
	if !errors.Is(err, context.Canceled) || result.Sent < 10 || result.Sent > 50 {
		t.Errorf("cancelled: %+v, %v", result, err)
	}
	s.Queue = "nowhere"
	if _, err := s.Send(t.Context(), strings.NewReader(body(1))); err == nil || !strings.Contains(err.Error(), "nowhere") {
		t.Errorf("missing queue: %v", err)
	}
}
