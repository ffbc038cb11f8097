package queue

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strconv"
	"sync"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/huntaze/hybrid-orchestrator/internal/trace"
	"github.com/huntaze/hybrid-orchestrator/internal/workflow"
)

// Sender puts messages on a queue: one JSON object per line, as Decode reads them.
type Sender struct {
	API      API
	Queue    string // name or URL
	Limits   Limits
	Senders  int              // batches on their way at once; 4
	Force    bool             // also send lines that Decode refuses, to see what the fleet does with them
	Progress func(SendResult) // after each batch; never two calls at once; may be nil
	Failed   func(LineError)  // for each line that was not sent; never two calls at once; may be nil
	Clock    Clock            // the machine's
}

// SendResult counts lines.
type SendResult struct {
	Sent   int
	Failed int
}

// LineError says why a line was not sent. It does not hold the line.
type LineError struct {
	Line   int // from 1
	Reason string
}

func (e LineError) Error() string { return "line " + strconv.Itoa(e.Line) + ": " + e.Reason }

// Send reads lines until the end of r, puts them on the queue and returns how many. Empty lines are skipped.
// Every message gets a trace of its own, and its account as the message group, by which SQS shares a queue
// fairly between accounts; the order is kept within a group of a FIFO queue only if Senders is 1.
//
// A line that can't be sent is reported and does not stop the others. An error is returned when the queue can't
// be found, r can't be read, or ctx ended.
func (s *Sender) Send(ctx context.Context, r io.Reader) (SendResult, error) {
	url, err := resolveURL(ctx, s.API, s.Queue)
	if err != nil {
		return SendResult{}, err
	}
	run := &sendRun{Sender: *s, url: url, id: rand.Text()}
	orDefault(&run.Senders, 4)
	if run.Clock == nil {
		run.Clock = realClock{}
	}
	batches := make(chan []line)
	var senders sync.WaitGroup
	for range run.Senders {
		senders.Go(func() {
			for batch := range batches {
				run.send(ctx, batch)
			}
		})
	}
	err = run.read(ctx, r, batches)
	close(batches)
	senders.Wait()
	return run.result, errors.Join(err, ctx.Err())
}

// sendRun is one call of Send.
type sendRun struct {
	Sender
	url string
	id  string // makes the deduplication ids of this run its own

	mu     sync.Mutex // of the result, and of the callbacks
	result SendResult
}

// line is a message of the input that SQS will take.
type line struct {
	number int
	entry  types.SendMessageBatchRequestEntry
	size   int
}

// read makes batches of the lines.
func (run *sendRun) read(ctx context.Context, r io.Reader, batches chan<- []line) error {
	var batch []line
	size := 0
	flush := func() {
		if len(batch) == 0 {
			return
		}
		select {
		case batches <- batch:
		case <-ctx.Done():
		}
		batch, size = nil, 0
	}
	reader := bufio.NewReaderSize(r, 64<<10)
	for number := 1; ctx.Err() == nil; number++ {
		text, length, err := readLine(reader)
		if length > len(text) {
			run.fail(number, fmt.Sprintf("has %d bytes, SQS takes %d", length, maxRequestBytes))
		} else if text = bytes.TrimSpace(text); len(text) > 0 {
			if l, ok := run.line(number, text); ok {
				if len(batch) == maxBatchEntries || size+l.size > maxRequestBytes {
					flush()
				}
				batch, size = append(batch, l), size+l.size
			}
		}
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			flush()
			return fmt.Errorf("read line %d: %w", number, err)
		}
	}
	flush()
	return nil
}

// readLine returns a line of any length, but keeps no more of it than SQS would take.
func readLine(reader *bufio.Reader) (text []byte, length int, err error) {
	for {
		part, err := reader.ReadSlice('\n')
		length += len(part)
		if length <= maxRequestBytes+2 {
			text = append(text, part...)
		}
		if !errors.Is(err, bufio.ErrBufferFull) {
			return text, length, err
		}
	}
}

// line checks a line and makes an entry of it.
func (run *sendRun) line(number int, text []byte) (line, bool) {
	message, problem := Decode(text, nil, run.Limits)
	if problem != nil && !run.Force {
		run.fail(number, problem.String())
		return line{}, false
	}
	body := string(text)
	if !sendable(body) {
		run.fail(number, "contains characters that SQS does not take")
		return line{}, false
	}
	attributes := map[string]types.MessageAttributeValue{
		trace.HeaderTraceparent: stringAttribute(trace.Traceparent(trace.New(run.Clock.Now()))),
	}
	size := messageSize(body, attributes)
	if size > maxRequestBytes {
		run.fail(number, fmt.Sprintf("has %d bytes with its attributes, SQS takes %d", size, maxRequestBytes))
		return line{}, false
	}
	entry := types.SendMessageBatchRequestEntry{MessageBody: aws.String(body), MessageAttributes: attributes}
	if group := run.group(message); group != "" {
		entry.MessageGroupId = aws.String(group)
	}
	if isFIFO(queueName(run.Queue)) {
		// By line, not by content: who sends a line twice wants to see it arrive twice.
		entry.MessageDeduplicationId = aws.String(run.id + "-" + strconv.Itoa(number))
	}
	return line{number: number, entry: entry, size: size}, true
}

// group is the account, in the characters and the length that SQS takes; "" for none, which only a FIFO queue
// does not allow.
func (run *sendRun) group(message workflow.Message) string {
	const longest = 128
	id := message.UserID
	fits := len(id) <= longest
	for i := range len(id) {
		if id[i] <= ' ' || id[i] > '~' {
			fits = false
		}
	}
	switch {
	case id == "" && isFIFO(queueName(run.Queue)):
		return "none"
	case fits:
		return id
	default:
		sum := sha256.Sum256([]byte(id))
		return hex.EncodeToString(sum[:])
	}
}

// send puts one batch on the queue.
func (run *sendRun) send(ctx context.Context, batch []line) {
	left := inBatch(ctx, run.Clock, batch, func(ctx context.Context, lines []line) (failures, error) {
		input := &sqs.SendMessageBatchInput{QueueUrl: aws.String(run.url)}
		for i, l := range lines {
			l.entry.Id = entryID(i)
			input.Entries = append(input.Entries, l.entry)
		}
		out, err := run.API.SendMessageBatch(ctx, input)
		if err != nil {
			return nil, err
		}
		return out.Failed, nil
	})
	for _, u := range left {
		run.fail(u.entry.number, u.err.Error())
	}
	run.mu.Lock()
	defer run.mu.Unlock()
	run.result.Sent += len(batch) - len(left)
	if run.Progress != nil {
		run.Progress(run.result)
	}
}

func (run *sendRun) fail(number int, reason string) {
	run.mu.Lock()
	defer run.mu.Unlock()
	run.result.Failed++
	if run.Failed != nil {
		run.Failed(LineError{Line: number, Reason: reason})
	}
}
