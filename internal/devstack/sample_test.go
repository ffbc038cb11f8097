package devstack

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/huntaze/hybrid-orchestrator/internal/workflow"
	"github.com/huntaze/hybrid-orchestrator/queue"
)

var noon = time.Date(2026, time.November, 23, 12, 0, 0, 0, time.UTC)

// The sample has to show what it is said to show.
func TestSample(t *testing.T) {
	t.Parallel()
	all := waves(sampleText, "k3f9a", noon)
	if len(all) != 2 {
		t.Fatalf("%d waves", len(all))
	}
	f := newFollower(slices.Concat(all...), queue.Limits{})
	counts := map[string]int{}
	recipients := map[string]int{}
	var problems []string
	urgent, later, again, campaign, written, doubts := 0, 0, 0, 0, 0, 0
	for i, m := range f.messages {
		if m.problem != nil {
			problems = append(problems, m.problem.Field)
			if m.key.WorkflowID == "" || m.key.UserID == "" {
				t.Errorf("message %d: it can't be used, and does not say whose it is", i)
			}
			continue
		}
		if !strings.Contains(m.key.WorkflowID, "k3f9a") || !strings.Contains(m.key.RecipientID, "k3f9a") {
			t.Errorf("message %d: another run would have the same ids: %+v", i, m.key)
		}
		if m.again {
			again++
			continue
		}
		counts[m.key.UserID]++
		recipients[m.key.RecipientID]++
		if m.written {
			written++
		}
		if m.key.UserID == doubtful && m.written {
			doubts++
		}
		if m.priority == workflow.PriorityUrgent {
			urgent++
		}
		if !m.notBefore.IsZero() {
			later++
			if !m.notBefore.Equal(noon.Add(20 * time.Second)) {
				t.Errorf("it is scheduled for %s", m.notBefore)
			}
		}
	}
	for _, line := range all[0] {
		var m struct{ CampaignID string }
		if json.Unmarshal([]byte(line), &m) == nil && m.CampaignID != "" {
			campaign++
		}
	}
	twoForOne := 0
	for _, n := range recipients {
		if n == 2 {
			twoForOne++
		}
	}
	slices.Sort(problems)
	if counts["night-bakery"] <= 20 || len(counts) < 5 || counts[doubtful] == 0 || doubts > 0 {
		t.Errorf("accounts: %v", counts)
	}
	if again != 1 || urgent != 1 || later != 1 || twoForOne != 1 || campaign < 20 || !slices.Equal(problems, []string{"content", "priority"}) {
		t.Errorf("again %d, urgent %d, later %d, two for one recipient %d, of a campaign %d, problems %v", again, urgent, later, twoForOne, campaign, problems)
	}
	if written != 5 {
		t.Errorf("the text of %d messages is written, and it is said of five", written)
	}
	if last := all[1]; len(last) != 1 || !strings.Contains(last[0], `"priority": 1`) {
		t.Error("the urgent message must come when others wait already")
	}
	if f.duplicates != 1 {
		t.Errorf("%d duplicates", f.duplicates)
	}
}

func TestMoreCanBeSent(t *testing.T) {
	t.Parallel()
	for i, line := range slices.Concat(waves(moreText, "k3f9am", noon)...) {
		if _, problem := queue.Decode([]byte(line), nil, queue.Limits{}); problem != nil {
			t.Errorf("line %d: %s", i+1, problem)
		}
	}
}

func TestRunName(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for i := range 1000 {
		name := runName(noon.Add(time.Duration(i) * time.Second))
		if len(name) != 5 || seen[name] {
			t.Fatalf("second %d: %q", i, name)
		}
		seen[name] = true
	}
	if name := runName(time.Unix(36*36*36*36*36+1, 0)); name != "00001" {
		t.Errorf("%q", name)
	}
}

func TestWriteMore(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "more.jsonl")
	read := func() string {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	for _, run := range []string{"aaaaam", "bbbbbm"} {
		if err := writeMore(path, run); err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(read(), "wf-"+run+"-01") {
			t.Fatalf("after run %s: %s", run, read())
		}
	}
	edited := read() + `{"workflowId":"mine"}` + "\n"
	if err := os.WriteFile(path, []byte(edited), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := writeMore(path, "cccccm"); err != nil {
		t.Fatal(err)
	}
	if read() != edited {
		t.Error("what somebody had written was replaced")
	}
}
