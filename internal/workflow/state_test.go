package workflow_test

import (
	"encoding/json"
	"reflect"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/huntaze/hybrid-orchestrator/internal/workflow"
)

func TestBegin(t *testing.T) {
	t.Parallel()
	const usedUp = "attempts: all retries were used before the message came here"
	fresh := workflow.State{
		Stage:           workflow.StageQueued,
		CurrentProvider: workflow.ProviderHybrid,
		ProviderStates: workflow.ProviderStates{Azure: workflow.ProviderPending, OpenAI: workflow.ProviderPending,
			RateLimiter: workflow.ProviderPending, OnlyFans: workflow.ProviderPending},
		MaxRetries: 3,
		NotBefore:  now,
	}
	tests := []struct {
		name    string
		message workflow.Message
		want    func(*workflow.State)
	}{
		{"a text, now", workflow.Message{Content: "Hello", MaxRetries: 3}, func(*workflow.State) {}},
		{"a text, long due", workflow.Message{Content: "Hello", MaxRetries: 3, NotBefore: earlier}, func(*workflow.State) {}},
		{"a text, due this moment", workflow.Message{Content: "Hello", MaxRetries: 3, NotBefore: now}, func(*workflow.State) {}},
		{"a text for later", workflow.Message{Content: "Hello", MaxRetries: 3, NotBefore: later},
			func(s *workflow.State) { s.NotBefore, s.WaitReason = later, workflow.WaitSchedule }},
		{"a text and a brief: the text counts", workflow.Message{Content: "Hello", Brief: "greet", MaxRetries: 3}, func(*workflow.State) {}},
		{"a brief", workflow.Message{Brief: "greet", MaxRetries: 3},
			func(s *workflow.State) { s.Stage, s.WaitReason = workflow.StagePlanning, workflow.WaitProvider }},
		{"a brief for later", workflow.Message{Brief: "greet", MaxRetries: 3, NotBefore: later}, func(s *workflow.State) {
			s.Stage, s.WaitReason, s.NotBefore = workflow.StagePlanning, workflow.WaitProvider, later
		}},
		{"tried before", workflow.Message{Content: "Hello", MaxRetries: 3, Attempts: 2, LastError: "timeout"},
			func(s *workflow.State) { s.Attempts, s.LastError = 2, "timeout" }},
		{"tried too often", workflow.Message{Content: "Hello", MaxRetries: 3, Attempts: 3, LastError: "timeout"},
			func(s *workflow.State) { s.Stage, s.Attempts, s.LastError = workflow.StageFailed, 3, usedUp }},
		{"tried too often, for later", workflow.Message{Content: "Hello", MaxRetries: 3, Attempts: 4, NotBefore: later}, func(s *workflow.State) {
			s.Stage, s.Attempts, s.LastError, s.NotBefore = workflow.StageFailed, 4, usedUp, later
		}},
		{"tried too often, a brief", workflow.Message{Brief: "greet", MaxRetries: 1, Attempts: 1}, func(s *workflow.State) {
			s.Stage, s.Attempts, s.MaxRetries, s.LastError = workflow.StageFailed, 1, 1, usedUp
		}},
		{"never tried, no retries", workflow.Message{Content: "Hello"}, func(s *workflow.State) { s.MaxRetries = 0 }},
		{"tried once, no retries", workflow.Message{Content: "Hello", Attempts: 1}, func(s *workflow.State) {
			s.Stage, s.Attempts, s.MaxRetries, s.LastError = workflow.StageFailed, 1, 0, usedUp
		}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			want := fresh
			test.want(&want)
			if diff := cmp.Diff(want, workflow.Begin(test.message, now)); diff != "" {
				t.Errorf("state (-want +got):\n%s", diff)
			}
		})
	}
}

func TestFinal(t *testing.T) {
	t.Parallel()
	var live, final []workflow.Stage
	for _, stage := range workflow.Stages {
		if stage.Final() {
			final = append(final, stage)
		} else {
			live = append(live, stage)
		}
	}
	if diff := cmp.Diff([]workflow.Stage{"planning", "queued", "sending", "in_doubt"}, live); diff != "" {
		t.Errorf("live (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]workflow.Stage{"sent", "failed", "cancelled", "expired"}, final); diff != "" {
		t.Errorf("final (-want +got):\n%s", diff)
	}
	if workflow.Stage("").Final() || workflow.Stage("SENT").Final() {
		t.Error("an unknown stage is not final")
	}
}

func TestKey(t *testing.T) {
	t.Parallel()
	m := workflow.Message{WorkflowID: "wf-1", UserID: "creator-7", RecipientID: "fan-42", CampaignID: "spring", Content: "Hello"}
	if got, want := m.Key(), (workflow.Key{UserID: "creator-7", WorkflowID: "wf-1", RecipientID: "fan-42"}); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
}

// The members are part of the API contract; others program against them.
func TestContractJSON(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC)
	tests := []struct {
		value any
		want  string
	}{
		{stateIn(workflow.StageQueued).ProviderStates, `{"azure":"timeout","openai":"completed","rateLimiter":"checking","onlyFans":"rate_limited"}`},
		{workflow.RetryAttempts{Azure: 1, OpenAI: 2, OnlyFans: 3}, `{"azure":1,"openai":2,"onlyFans":3}`},
		{workflow.Fallback{From: "azure", To: "openai", Reason: "azure_timeout", Timestamp: at},
			`{"from":"azure","to":"openai","reason":"azure_timeout","timestamp":"2026-11-23T10:00:00Z"}`},
		{workflow.TraceContext{TraceID: "t", SpanID: "s", ParentSpanID: "p", UserID: "creator-7", WorkflowID: "wf-1", Timestamp: at},
			`{"traceId":"t","spanId":"s","parentSpanId":"p","userId":"creator-7","workflowId":"wf-1","timestamp":"2026-11-23T10:00:00Z"}`},
		{workflow.TraceContext{TraceID: "t", SpanID: "s", TraceState: "v=1", Timestamp: at},
			`{"traceId":"t","spanId":"s","traceState":"v=1","timestamp":"2026-11-23T10:00:00Z"}`},
	}
	for _, test := range tests {
		got, err := json.Marshal(test.value)
		if err != nil || string(got) != test.want {
			t.Errorf("%T is %s (%v), want %s", test.value, got, err, test.want)
		}
	}
}

func TestProblemString(t *testing.T) {
	t.Parallel()
	with := workflow.Problem{Field: "recipientId", Reason: "is missing", Remedy: "send the recipient's id as a string"}
	if got, want := with.String(), "recipientId: is missing; send the recipient's id as a string"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	without := workflow.Problem{Field: "body", Reason: "is not JSON"}
	if got, want := without.String(), "body: is not JSON"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

// A problem is logged, stored and sent to the dead letters. Its text is made of these three words and nothing
// else: there is no place in it for the value that it is about.
func TestProblemHasNoPlaceForAValue(t *testing.T) {
	t.Parallel()
	kind := reflect.TypeFor[workflow.Problem]()
	var fields []string
	for i := range kind.NumField() {
		fields = append(fields, kind.Field(i).Name+" "+kind.Field(i).Type.String())
	}
	if diff := cmp.Diff([]string{"Field string", "Reason string", "Remedy string"}, fields); diff != "" {
		t.Errorf("fields (-want +got):\n%s", diff)
	}
}
