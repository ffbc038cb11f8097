package devstack

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/huntaze/hybrid-orchestrator/db"
	"github.com/huntaze/hybrid-orchestrator/internal/devstack/screen"
	"github.com/huntaze/hybrid-orchestrator/internal/workflow"
	"github.com/huntaze/hybrid-orchestrator/queue"
)

func withBrief(n string) string {
	return `{"userId":"a","workflowId":"wf-` + n + `","recipientId":"fan-` + n + `","brief":"Say hello"}`
}

// Each message with a brief says who wrote its text and what happened; one that came with a text says nothing of that.
func TestAuthors(t *testing.T) {
	t.Parallel()
	lines := []string{withBrief("1"), withBrief("2"), withBrief("3"), withBrief("4"), withBrief("5"), withBrief("6"), withBrief("7"), message("8", "")}
	f := newFollower(lines, queue.Limits{})
	at := func(seconds int) time.Time { return noon.Add(time.Duration(seconds) * time.Second) }
	failed := func(calls ...string) (all []db.FailedCall) {
		for i := 0; i < len(calls); i += 2 {
			all = append(all, db.FailedCall{Provider: calls[i], Class: calls[i+1]})
		}
		return all
	}
	texts := map[uuid.UUID]db.TextProgress{}
	message := func(n string, stage workflow.Stage, ended int, lastError string, text db.TextProgress) db.MessageProgress {
		p := db.MessageProgress{Key: key(n), ID: uuid.New(), Stage: stage, CreatedAt: noon, UpdatedAt: at(ended), NotBefore: noon, LastError: lastError}
		if n != "7" && n != "8" {
			texts[p.ID] = text
		}
		return p
	}
	found := []db.MessageProgress{
		message("1", workflow.StageSent, 1, "", db.TextProgress{Written: true, Source: "azure"}),
		message("2", workflow.StageSent, 2, "", db.TextProgress{Written: true, Source: "openai", Failed: failed("azure", "overloaded", "azure", "overloaded", "openai", "gate_failed")}),
		message("3", workflow.StageSent, 3, "reset", db.TextProgress{Written: true, Source: "fallback_text", Failed: failed("openai", "refusal")}),
		message("4", workflow.StageFailed, 4, "azure_content_filtered", db.TextProgress{Failed: failed("azure", "content_filtered")}),
		message("5", workflow.StagePlanning, 0, "", db.TextProgress{DueAt: at(10), Failed: failed("azure", "rate_limited")}),
		message("6", workflow.StagePlanning, 0, "", db.TextProgress{DueAt: at(3600)}),
		message("7", workflow.StagePlanning, 0, "", db.TextProgress{}), // its text was not looked at yet
		message("8", workflow.StageSent, 5, "", db.TextProgress{}),
	}
	planning := found[1]
	planning.Stage = workflow.StagePlanning
	for range 3 {
		f.update(at(1), []db.MessageProgress{planning}, nil, 0)
	}
	f.noteTexts(found, texts)
	f.update(at(5), found, nil, 0)
	if n := f.done(at(5)); n != 6 {
		t.Errorf("%d are done, want all but two that are being written", n)
	}
	want := []screen.Row{
		{Workflow: "wf-1", Outcome: "sent", Fine: true, Waited: time.Second, Reason: "text by azure"},
		{Workflow: "wf-2", Outcome: "sent", Fine: true, Waited: 2 * time.Second, Reason: "text by openai, after azure: overloaded, openai: text not fit to be sent"},
		{Workflow: "wf-3", Outcome: "sent", Fine: true, Waited: 3 * time.Second, Reason: "the template's own text, after openai: refusal; in doubt at first (reset), settled by look-up"},
		{Workflow: "wf-4", Outcome: "failed", Waited: 4 * time.Second, Reason: "no text, after azure: content filtered; azure_content_filtered"},
		{Workflow: "wf-8", Outcome: "sent", Fine: true, Waited: 5 * time.Second},
		{Workflow: "wf-5", Outcome: "waits", Waited: -1, Reason: "its text, after azure: rate limited"},
		{Workflow: "wf-6", Outcome: "waits", Waited: -1, Reason: "its text"},
		{Workflow: "wf-7", Outcome: "waits", Waited: -1, Reason: "its text"},
	}
	for i := range want {
		want[i].Account, want[i].Recipient = "a", "fan-"+want[i].Workflow[3:]
	}
	if diff := cmp.Diff(want, f.rows(tenAMinute)); diff != "" {
		t.Error(diff)
	}
	if one := f.writtenOne(); one == nil || one.key != key("2") {
		t.Errorf("the one to be explained is %+v", one)
	}
	if one := newFollower(lines[7:], queue.Limits{}).writtenOne(); one != nil {
		t.Errorf("none is written, but %+v is to be explained", one)
	}
}
