package e2e_test

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/huntaze/hybrid-orchestrator/internal/provider/providersim"
)

const (
	azureKey  = "key-of-azure-in-the-tests"
	openAIKey = "key-of-openai-in-the-tests"
)

// withoutProviders are the settings of a worker that can't have texts written.
var withoutProviders = []string{"AZURE_OPENAI_ENDPOINT=", "AZURE_OPENAI_API_KEY=", "OPENAI_API_KEY="}

// provide simulates both providers, and lets the workers that are started from now on have texts written by them.
func (f *fleet) provide(options providersim.Options) *providersim.Server {
	f.t.Helper()
	options.Seed = seed
	if options.AzureKey == "" {
		options.AzureKey, options.OpenAIKey = azureKey, openAIKey
	}
	sim := providersim.New(options)
	if err := sim.Start(); err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(func() { _ = sim.Close() })
	maps.Copy(f.settings, map[string]string{
		"AZURE_OPENAI_ENDPOINT": sim.URL(), "AZURE_OPENAI_API_KEY": options.AzureKey, "AZURE_OPENAI_DEPLOYMENT": "texts", "AZURE_OPENAI_MODEL": "gpt-5.4-mini",
		"OPENAI_BASE_URL": sim.OpenAIBaseURL(), "OPENAI_API_KEY": options.OpenAIKey, "OPENAI_MODEL": "gpt-5.4-mini", "PROVIDER_TIMEOUT": "10s",
	})
	return sim
}

// matrix replaces rows of the fallback matrix for the workers that are started from now on.
func (f *fleet) matrix(rows ...string) {
	f.t.Helper()
	path := filepath.Join(f.folder, "fallback.yaml")
	if err := os.WriteFile(path, []byte("rows:\n  - {"+strings.Join(rows, "}\n  - {")+"}\n"), 0o600); err != nil {
		f.t.Fatal(err)
	}
	f.settings["FALLBACK_MATRIX_FILE"] = path
}

// must fails the test when the simulator does not take a fault: a test without it would test nothing.
func (f *fleet) must(err error) {
	f.t.Helper()
	if err != nil {
		f.t.Fatal(err)
	}
}

// newBrief is the n-th message of an account that has a brief, and a text of its own.
func newBrief(user string, n int) input {
	in := newInput(user, n)
	in.content, in.brief = "", "Say hello for the message "+in.workflow
	return in
}

// newBriefs is count messages for each of several accounts, by turns.
func newBriefs(accounts, count int) (all []input) {
	for n := range count {
		for a := range accounts {
			all = append(all, newBrief(fmt.Sprintf("creator-%d", a), n))
		}
	}
	return all
}

// startLeader starts a worker without providers that leads the fleet: whoever is killed later is only one of those
// that write, and what it leaves is found without waiting for another leader first.
func (f *fleet) startLeader() *process {
	f.t.Helper()
	leader := f.start(1, withoutProviders...)[0]
	f.within(30*time.Second, "a leader", func() bool { return number(f, `SELECT count(*) FROM river.river_leader`) == 1 })
	f.spared = append(f.spared, leader)
	return leader
}

// lockText keeps everybody from the text of a message, so that its end can't be stored.
func (f *fleet) lockText(workflow string) (unlock func()) {
	f.t.Helper()
	tx, err := f.pool.Begin(f.t.Context())
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(func() { _ = tx.Rollback(f.t.Context()) })
	if _, err := tx.Exec(f.t.Context(), `SELECT 1 FROM texts WHERE id = (SELECT text FROM hybrid_workflows WHERE workflow_id = $1) FOR UPDATE`, workflow); err != nil {
		f.t.Fatal(err)
	}
	return func() { f.must(tx.Rollback(f.t.Context())) }
}

// blocked counts the transactions of this database that wait for a lock.
func (f *fleet) blocked() int {
	return number(f, `SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`)
}

// journal is what the simulated providers were asked for, by the text that it was for.
type journal map[string][]providersim.Call

// plans are the ledger of the planning step.
type plans struct {
	texts    map[string]plannedText
	attempts map[string]planAttempt
	journal  journal // by text
}

type plannedText struct{ scope, state, source, reason, body string }

type planAttempt struct {
	text, provider, state, class, cost string
	sequence, picoUSD                  int
}

func (f *fleet) plans(sim *providersim.Server) plans {
	f.t.Helper()
	p := plans{texts: map[string]plannedText{}, attempts: map[string]planAttempt{}, journal: journal{}}
	query(f, func(r pgx.CollectableRow) (none struct{}, err error) {
		var id string
		var t plannedText
		err = r.Scan(&id, &t.scope, &t.state, &t.source, &t.reason, &t.body)
		p.texts[id] = t
		return none, err
	}, `SELECT id::text, user_id || ' ' || scope, state, source, reason, body FROM texts`)
	query(f, func(r pgx.CollectableRow) (none struct{}, err error) {
		var id string
		var a planAttempt
		err = r.Scan(&id, &a.text, &a.provider, &a.state, &a.class, &a.sequence, &a.cost, &a.picoUSD)
		p.attempts[id] = a
		return none, err
	}, `SELECT a.id::text, a.text::text, a.provider, a.state, a.class, a.sequence, coalesce(c.kind, ''), coalesce(c.pico_usd, 0)
		FROM plan_attempts a LEFT JOIN provider_costs c ON c.attempt = a.id`)
	for _, c := range sim.Calls(0) {
		text := p.attempts[c.AttemptID].text
		p.journal[text] = append(p.journal[text], c)
	}
	return p
}

// textOf returns the text of a message.
func (f *fleet) textOf(in input) string {
	f.t.Helper()
	return query(f, pgx.RowTo[string], `SELECT coalesce(text::text, '') FROM hybrid_workflows WHERE workflow_id = $1 AND recipient_id = $2`, in.workflow, in.recipient)[0]
}

// asked counts the calls to each provider for a text.
func (j journal) asked(text string) (azure, openAI int) {
	for _, c := range j[text] {
		if c.Provider == providersim.Azure {
			azure++
		} else {
			openAI++
		}
	}
	return azure, openAI
}

// states counts the attempts of a text, or of all for "", by their state.
func (p plans) states(text string) map[string]int {
	n := map[string]int{}
	for _, a := range p.attempts {
		if text == "" || a.text == text {
			n[a.state]++
		}
	}
	return n
}

// problems compares the ledger with what the providers saw.
func (p plans) problems() (found []string) {
	bad := func(format string, args ...any) { found = append(found, fmt.Sprintf(format, args...)) }
	seen := map[string]bool{}
	for text, calls := range p.journal {
		for _, c := range calls {
			a, known := p.attempts[c.AttemptID]
			switch {
			case !known:
				bad("%s was called (%s, %s) and the ledger does not know it", c.Provider, c.AttemptID, c.Answer)
			case seen[c.AttemptID]:
				bad("call %d of text %s arrived twice: something below us sends again", a.sequence, text)
			case a.provider != string(c.Provider):
				bad("call %d of text %s went to %s, the ledger says %s", a.sequence, text, c.Provider, a.provider)
			}
			seen[c.AttemptID] = true
		}
	}
	last, brought := map[string]planAttempt{}, map[string]int{}
	for id, a := range p.attempts {
		if a.sequence > last[a.text].sequence {
			last[a.text] = a
		}
		switch {
		case a.state == "executing":
			bad("call %d of text %s is under way for ever", a.sequence, a.text)
		case a.cost == "":
			bad("call %d of text %s is %s, and nobody knows what it cost", a.sequence, a.text, a.state)
		case a.state == "lost" && (a.cost != "estimated" || a.picoUSD == 0):
			bad("call %d of text %s is lost, and its cost is %s, %d", a.sequence, a.text, a.cost, a.picoUSD)
		case a.state == "completed" && !seen[id]:
			bad("call %d of text %s brought a text, but no provider was asked", a.sequence, a.text)
		}
		if a.state == "completed" {
			brought[a.text]++
		}
	}
	live := map[string]string{}
	for id, t := range p.texts {
		if other, twice := live[t.scope]; twice && t.state != "failed" {
			bad("%s has two texts, %s and %s", t.scope, id, other)
		}
		if t.state != "failed" {
			live[t.scope] = id
		}
		written := slices.Contains([]string{"azure", "openai"}, t.source)
		switch {
		case t.state == "planning":
			bad("text %s of %s is still being written", id, t.scope)
		case t.state == "failed" && t.reason == "":
			bad("text %s of %s failed without a reason", id, t.scope)
		case written && (brought[id] != 1 || last[id].state != "completed" || last[id].provider != t.source):
			bad("text %s of %s is by %s; %d calls brought one, and the last one, to %s, is %s", id, t.scope, t.source, brought[id], last[id].provider, last[id].state)
		case !written && brought[id] > 0:
			bad("text %s of %s was written and is not used", id, t.scope)
		}
	}
	return found
}
