package examples

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/huntaze/hybrid-orchestrator/internal/trace"
	"github.com/huntaze/hybrid-orchestrator/internal/workflow"
	"github.com/huntaze/hybrid-orchestrator/queue"
	"github.com/huntaze/hybrid-orchestrator/queue/sqstest"
)

const (
	queueName = "huntaze-hybrid-messages-production"
	account   = "creator-7"
	region    = "eu-west-3"
	keyID     = "EXAMPLEKEY"
	secret    = "example/secret+key"
	token     = "example/session+token=="
)

// example is one of the programs.
type example struct {
	name     string
	batches  bool // it sends several messages in a call
	schedule bool // its eleventh message waits a minute
	command  func(t *testing.T) *exec.Cmd
}

var all = []example{
	{name: "go", batches: true, schedule: true, command: goCommand},
	{name: "typescript", batches: true, schedule: true, command: nodeCommand},
	{name: "shell with aws", batches: true, command: func(t *testing.T) *exec.Cmd { return shellCommand(t, "send-aws.sh", "aws") }},
	{name: "shell with curl", command: func(t *testing.T) *exec.Cmd { return shellCommand(t, "send-curl.sh", "curl") }},
}

func (e example) action() string {
	if e.batches {
		return "SendMessageBatch"
	}
	return "SendMessage"
}

func TestMessagesAreRight(t *testing.T) {
	t.Parallel()
	for _, e := range all {
		t.Run(e.name, func(t *testing.T) {
			t.Parallel()
			command := e.command(t)
			s := newServer(t)
			started := time.Now()
			out, err := s.run(command)
			if err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			if !strings.Contains(out, "12 messages are on the queue") {
				t.Errorf("it said %q", out)
			}
			s.check(t, e, started, expected())
			want := map[string]int{"GetQueueUrl": 1, "SendMessageBatch": 2}
			if !e.batches {
				want = map[string]int{"GetQueueUrl": 1, "SendMessage": 12}
			}
			if diff := cmp.Diff(want, s.calls()); diff != "" {
				t.Errorf("calls (-want +got):\n%s", diff)
			}
		})
	}
}

// What failed without a fault of the sender's is sent again, and it alone: no message is there twice.
func TestFailuresAreTriedAgain(t *testing.T) {
	t.Parallel()
	for _, e := range all {
		t.Run(e.name, func(t *testing.T) {
			t.Parallel()
			command := e.command(t)
			s := newServer(t)
			fault := []sqstest.ActionFault{{Rate: sqstest.Rate{Every: 3, Times: 4}, Actions: []string{e.action()}}}
			if e.batches {
				s.fail(t, sqstest.Faults{PartialBatch: fault})
			} else {
				s.fail(t, sqstest.Faults{Fail: fault})
			}
			started := time.Now()
			if out, err := s.run(command); err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			s.check(t, e, started, expected())
			if _, counts := s.sqs.Faults(); counts.PartialBatch+counts.Fail != 4 {
				t.Errorf("faults happened: %+v", counts)
			}
		})
	}
}

// What is refused is told, is not tried again and does not disturb the others.
func TestRefusalsAreTold(t *testing.T) {
	t.Parallel()
	for _, e := range all {
		t.Run(e.name, func(t *testing.T) {
			t.Parallel()
			command := e.command(t)
			s := newServer(t)
			fault := []sqstest.ActionFault{{Rate: sqstest.Rate{Every: 5, Times: 1}, Actions: []string{e.action()}, Error: "InvalidMessageContents"}}
			if e.batches {
				s.fail(t, sqstest.Faults{PartialBatch: fault})
			} else {
				s.fail(t, sqstest.Faults{Fail: fault})
			}
			started := time.Now()
			out, err := s.run(command)
			if err == nil || !strings.Contains(out, "InvalidMessageContents") || !regexp.MustCompile(`(?m)^(\w*Error: )?spring-fan-5 was not taken|^not taken: message 5$`).MatchString(out) {
				t.Errorf("%v, and it said %q", err, out)
			}
			s.check(t, e, started, slices.DeleteFunc(expected(), func(m workflow.Message) bool { return m.RecipientID == "fan-5" }))
		})
	}
}

// When entries fail for ever the program ends, and says so.
func TestTriesEnd(t *testing.T) {
	t.Parallel()
	for _, e := range all {
		t.Run(e.name, func(t *testing.T) {
			t.Parallel()
			command := e.command(t)
			s := newServer(t)
			fault := []sqstest.ActionFault{{Rate: sqstest.Rate{Every: 1}, Actions: []string{e.action()}}}
			if e.batches {
				s.fail(t, sqstest.Faults{PartialBatch: fault})
			} else {
				s.fail(t, sqstest.Faults{Fail: fault})
			}
			want := 8 // two batches, four tries each
			if command.Stdin != nil {
				command.Stdin = strings.NewReader(`{"workflowId":"w","recipientId":"r","content":"c"}`) // the scripts wait for seconds
				want = 4
			}
			out, err := s.run(command)
			if err == nil || !strings.Contains(out, "InternalFailure") || !strings.Contains(out, "not taken") {
				t.Errorf("%v, and it said %q", err, out)
			}
			if calls := s.calls()[e.action()]; calls != want {
				t.Errorf("%d calls, want %d", calls, want)
			}
		})
	}
}

func TestMissingQueueIsTold(t *testing.T) {
	t.Parallel()
	for _, e := range all {
		t.Run(e.name, func(t *testing.T) {
			t.Parallel()
			command := e.command(t)
			s := newServer(t)
			command.Env = append(command.Env, "SQS_QUEUE=another")
			out, err := s.run(command)
			if err == nil || !strings.Contains(out, "NonExistentQueue") && !strings.Contains(out, "QueueDoesNotExist") {
				t.Errorf("%v, and it said %q", err, out)
			}
			s.check(t, e, time.Now(), nil)
		})
	}
}

// Lines of all kinds come through the scripts as they are.
func TestShellKeepsLines(t *testing.T) {
	t.Parallel()
	lines := []string{
		`{"workflowId":"w1","recipientId":"r","content":"a \\ b \" c & d $(e) %s 'f' \u00e9 \\n"}`,
		"{\t\"workflowId\" : \"w2\",  \"recipientId\":\"r\" , \"content\":\"é, 🌷\"}  ",
		`{"workflowId":"w3","recipientId":"r","content":"` + strings.Repeat("long ", 4_000) + `"}`,
	}
	for _, e := range all[2:] {
		t.Run(e.name, func(t *testing.T) {
			t.Parallel()
			command := e.command(t)
			s := newServer(t)
			command.Stdin = strings.NewReader(lines[0] + "\r\n\n \t\n" + lines[1] + "\n" + lines[2]) // no new line at the end
			if out, err := s.run(command); err != nil || !strings.Contains(out, "3 messages are on the queue") {
				t.Fatalf("%v\n%s", err, out)
			}
			var got []string
			for _, m := range s.sqs.Messages(queueName) {
				got = append(got, m.Body)
			}
			if diff := cmp.Diff(lines, got); diff != "" {
				t.Errorf("bodies (-want +got):\n%s", diff)
			}
		})
	}
}

// expected are the messages that each example sends, by the contract.
func expected() (messages []workflow.Message) {
	for i := range 12 {
		recipient := "fan-" + strconv.Itoa(i+1)
		messages = append(messages, workflow.Message{
			WorkflowID: "spring-" + recipient, RecipientID: recipient, UserID: account, CampaignID: "spring",
			Content:  "Spring is here 🌷\n\"Half price\" until Sunday.",
			Priority: workflow.PriorityDefault, MaxRetries: workflow.DefaultMaxRetries,
		})
	}
	last := &messages[11]
	last.Content, last.Brief, last.Priority = "", "Thank people who stayed for a year.", workflow.PriorityUrgent
	last.MergeFields = map[string]string{"name": "Ann"}
	return messages
}

// server is an SQS server behind a check of signatures, which sqstest does not make.
type server struct {
	sqs      *sqstest.Server
	url      string
	requests chan request
}

type request struct {
	action string
	wrong  string // what is wrong with its signature
}

func newServer(t *testing.T) *server {
	t.Helper()
	sqs, err := sqstest.New(sqstest.Options{Region: region})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(sqs.Close)
	if err := sqs.ApplyProductionQueues(queueName, "", "huntaze-dlq-production"); err != nil {
		t.Fatal(err)
	}
	s := &server{sqs: sqs, requests: make(chan request, 100)}
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		_, action, _ := strings.Cut(r.Header.Get("X-Amz-Target"), ".")
		s.requests <- request{action, signatureProblem(r, body)}
		r.Body = io.NopCloser(bytes.NewReader(body))
		sqs.ServeHTTP(w, r)
	}))
	t.Cleanup(front.Close)
	t.Cleanup(func() {
		for len(s.requests) > 0 {
			if r := <-s.requests; r.wrong != "" {
				t.Errorf("%s: %s", r.action, r.wrong)
			}
		}
	})
	s.url = front.URL
	return s
}

func (s *server) fail(t *testing.T, f sqstest.Faults) {
	t.Helper()
	if err := s.sqs.SetFaults(f); err != nil {
		t.Fatal(err)
	}
}

// calls counts the requests so far by action. It keeps them for the check of their signatures.
func (s *server) calls() map[string]int {
	calls := make(map[string]int)
	for range len(s.requests) {
		r := <-s.requests
		calls[r.action]++
		s.requests <- r
	}
	return calls
}

// run runs the command against the server and nothing else: no profile, no role and no proxy of this machine.
func (s *server) run(command *exec.Cmd) (string, error) {
	environ := slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "AWS_") || strings.HasPrefix(v, "SQS_") })
	environ = append(environ, "AWS_ENDPOINT_URL_SQS="+s.url, "AWS_REGION="+region,
		"AWS_ACCESS_KEY_ID="+keyID, "AWS_SECRET_ACCESS_KEY="+secret, "AWS_SESSION_TOKEN="+token,
		"AWS_CONFIG_FILE="+os.DevNull, "AWS_SHARED_CREDENTIALS_FILE="+os.DevNull, "AWS_EC2_METADATA_DISABLED=true",
		"NO_PROXY=127.0.0.1", "no_proxy=127.0.0.1")
	command.Env = append(environ, command.Env...)
	out, err := command.CombinedOutput()
	return string(out), err
}

// check compares what lies in the queue with the messages that are wanted there, in any order.
func (s *server) check(t *testing.T, e example, started time.Time, want []workflow.Message) {
	t.Helper()
	var got []workflow.Message
	traces := make(map[string]bool)
	for _, m := range s.sqs.Messages(queueName) {
		attributes := make(queue.Attributes)
		for name, a := range m.Attributes {
			if a.DataType != "String" {
				t.Errorf("the attribute %s is a %s", name, a.DataType)
			}
			attributes[name] = a.StringValue
		}
		message, problem := queue.Decode([]byte(m.Body), attributes, queue.Limits{})
		if problem != nil {
			t.Errorf("%s: %s", problem, m.Body)
			continue
		}
		remote, ok := trace.ParseTraceparent(attributes[trace.HeaderTraceparent])
		if !ok || !remote.Sampled || traces[remote.TraceID] {
			t.Errorf("traceparent %q", attributes[trace.HeaderTraceparent])
		}
		traces[remote.TraceID] = true
		if len(attributes) != 2 || attributes[queue.AttributeUserID] != account {
			t.Errorf("attributes %v", attributes)
		}
		if e.schedule && message.RecipientID == "fan-11" {
			// A second of room: some languages write milliseconds.
			earliest, latest := started.Add(time.Minute-time.Second), time.Now().Add(time.Minute+time.Second)
			if message.NotBefore.Before(earliest) || message.NotBefore.After(latest) {
				t.Errorf("scheduledFor is %v, not from %v to %v", message.NotBefore, earliest, latest)
			}
			message.NotBefore = time.Time{}
		}
		got = append(got, message)
	}
	byRecipient := func(a, b workflow.Message) int { return strings.Compare(a.RecipientID, b.RecipientID) }
	slices.SortFunc(got, byRecipient)
	slices.SortFunc(want, byRecipient)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("messages (-want +got):\n%s", diff)
	}
}

var authorization = regexp.MustCompile(`^AWS4-HMAC-SHA256 Credential=([^/]+)/((\d{8})/([^/]+)/([^/]+)/aws4_request), ?SignedHeaders=([^,]+), ?Signature=([0-9a-f]{64})$`)

// signatureProblem says why AWS would refuse the signature of a request (Signature Version 4).
func signatureProblem(r *http.Request, body []byte) string {
	parts := authorization.FindStringSubmatch(r.Header.Get("Authorization"))
	if parts == nil {
		return fmt.Sprintf("Authorization is %q", r.Header.Get("Authorization"))
	}
	id, scope, day, inRegion, service, names, signature := parts[1], parts[2], parts[3], parts[4], parts[5], parts[6], parts[7]
	if id != keyID || inRegion != region || service != "sqs" {
		return "signed for " + id + "/" + scope
	}
	if r.Header.Get("X-Amz-Security-Token") != token {
		return "the session token is missing"
	}
	signed := strings.Split(names, ";")
	for name := range r.Header {
		if name = strings.ToLower(name); strings.HasPrefix(name, "x-amz-") && !slices.Contains(signed, name) {
			return name + " is not signed"
		}
	}
	if !slices.Contains(signed, "host") || !slices.IsSorted(signed) {
		return "signed headers are " + names
	}
	var canonical strings.Builder
	fmt.Fprintf(&canonical, "%s\n%s\n%s\n", r.Method, r.URL.EscapedPath(), r.URL.RawQuery)
	for _, name := range signed {
		value := strings.Join(r.Header.Values(name), ",")
		switch name {
		case "host":
			value = r.Host
		case "content-length":
			value = strconv.Itoa(len(body))
		}
		fmt.Fprintf(&canonical, "%s:%s\n", name, strings.TrimSpace(value))
	}
	fmt.Fprintf(&canonical, "\n%s\n%s", names, hash(body))
	key := []byte("AWS4" + secret)
	for _, part := range []string{day, inRegion, service, "aws4_request"} {
		key = mac(key, part)
	}
	text := "AWS4-HMAC-SHA256\n" + r.Header.Get("X-Amz-Date") + "\n" + scope + "\n" + hash([]byte(canonical.String()))
	if hex.EncodeToString(mac(key, text)) != signature {
		return "the signature is wrong; signed headers are " + names
	}
	return ""
}

func hash(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

func mac(key []byte, text string) []byte {
	m := hmac.New(sha256.New, key)
	m.Write([]byte(text))
	return m.Sum(nil)
}

func goCommand(t *testing.T) *exec.Cmd {
	return program(t, "go", "run", "./go")
}

func shellCommand(t *testing.T, script, tool string) *exec.Cmd {
	need(t, tool)
	command := program(t, "bash", filepath.Join("shell", script), account)
	lines, err := os.ReadFile(filepath.Join("shell", "messages.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	command.Stdin = bytes.NewReader(lines)
	return command
}

func nodeCommand(t *testing.T) *exec.Cmd {
	folder := installed(t)
	command := program(t, "node", "send.mjs")
	command.Dir = folder
	return command
}

func program(t *testing.T, name string, args ...string) *exec.Cmd {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	t.Cleanup(cancel)
	command := exec.CommandContext(ctx, need(t, name), args...)
	command.WaitDelay = 5 * time.Second // a child may hold the output open
	return command
}

// need returns the program, or skips the test.
func need(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		missing(t, "there is no "+name)
	}
	return path
}

func missing(t *testing.T, why string) {
	t.Helper()
	if os.Getenv("EXAMPLES_TEST") == "required" {
		t.Fatalf("the example was not tried: %s", why)
	}
	t.Skipf("THE EXAMPLE WAS NOT TRIED: %s", why)
}
