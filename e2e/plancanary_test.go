package e2e_test

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/huntaze/hybrid-orchestrator/internal/provider/providersim"
	"github.com/huntaze/hybrid-orchestrator/internal/telemetry/otlptest"
)

// The canaries: words that are nowhere else, one for each place where something private comes from.
const (
	canaryWord    = "Zanzibarcanary"
	canaryAzure   = canaryWord + "AzureKey"
	canaryOpenAI  = canaryWord + "OpenAIKey"
	canaryWrong   = canaryWord + "WrongKey"
	canaryContent = canaryWord + "Content"
	canaryBrief   = canaryWord + "Brief"
	canaryName    = canaryWord + "Name"
	canaryText    = canaryWord + "Text"
	canaryRefused = canaryWord + "RefusedText"
	canaryBroken  = canaryWord + "Broken"
)

// privateColumns are where such words belong.
var privateColumns = map[string][]string{
	"hybrid_workflows": {"content", "brief", "merge_fields"},
	"texts":            {"brief", "body", "why", "recipient"},
	"quarantine":       {"body"},

	"campaigns":           {"content", "brief"},
	"campaign_recipients": {"fields"},
}

// canaries is a fleet that is led through everything that can happen to a text, and what it has said on the way.
type canaries struct {
	*fleet
	sim  *providersim.Server
	n    int
	said map[string]string // by whom
}

// TestNothingPrivateIsSaid leads keys, briefs, names and texts through every outcome, and looks for them in all that
// the processes wrote: logs, metrics, what the commands print, and every column but those that are made for them.
func TestNothingPrivateIsSaid(t *testing.T) {
	t.Parallel()
	collector := otlptest.Start()
	t.Cleanup(collector.Close)
	c := &canaries{fleet: newFleet(t, "RATE_LIMIT_ACCOUNT=off", "LOG_LEVEL=debug", "OTEL_EXPORTER_OTLP_ENDPOINT="+collector.URL, "OTEL_BSP_SCHEDULE_DELAY=20"), said: map[string]string{}}
	c.sim = c.provide(providersim.Options{AzureKey: canaryAzure, OpenAIKey: canaryOpenAI, KeepPrompts: true})
	c.settings["PROVIDER_TIMEOUT"] = "2s"
	c.matrix("scenario: all_failed, fallback: queue, maxRetries: 0, delayMs: 1000")
	c.start(2)
	c.outcomes()
	c.quarantine()
	c.commands()
	c.within(time.Minute, "all has ended", func() bool {
		s := c.stages()
		return s["sent"]+s["failed"] == c.n
	})
	c.api()
	for _, p := range c.alive() {
		_, c.said["/readyz of "+p.name] = p.get("/readyz")
		_, c.said["/metrics of "+p.name] = p.get("/metrics")
	}
	c.stop()
	for _, p := range c.processes {
		log, err := os.ReadFile(p.log.path)
		c.must(err)
		c.said["log of "+p.name] = string(log)
	}
	for _, m := range c.sqs.Messages(deadQueue) {
		c.said["attributes of a dead letter"] += fmt.Sprint(m.Attributes)
	}
	for _, span := range collector.Spans() {
		c.said["spans"] += fmt.Sprintf("%+v\n", span)
	}
	if !strings.Contains(c.said["spans"], "chat ") || !strings.Contains(c.said["spans"], "POST /v1/messages") {
		t.Error("there are no spans of calls to be looked through")
	}
	c.witness()
	var leaks []string
	for who, text := range c.said {
		for line := range strings.Lines(text) {
			if strings.Contains(line, canaryWord) || strings.Contains(line, gatewayToken) {
				leaks = append(leaks, fmt.Sprintf("%s: %.600s", who, line))
			}
		}
	}
	for _, place := range c.inTables(privateColumns) {
		leaks = append(leaks, "column "+place)
	}
	report(t, leaks)
}

// outcome puts one message with a brief that meets these faults, and waits for its end.
func (c *canaries) outcome(wants, reason string, azure, openAI []providersim.Fault, change ...func(*input)) {
	c.t.Helper()
	c.exec(`UPDATE provider_targets SET guard = '{}'`)
	c.sim.Clear()
	c.must(c.sim.Enqueue(providersim.Azure, azure...))
	c.must(c.sim.Enqueue(providersim.OpenAI, openAI...))
	in := newBrief("creator", c.n)
	in.brief = "A greeting, " + canaryBrief
	for _, how := range change {
		how(&in)
	}
	c.n++
	c.put(in)
	var is []string
	c.within(30*time.Second, "message "+in.workflow+" has ended as "+wants, func() bool {
		is = query(c.fleet, pgx.RowTo[string], `SELECT stage || ' ' || last_error FROM hybrid_workflows WHERE workflow_id = $1 AND stage IN ('sent', 'failed')`, in.workflow)
		return len(is) > 0
	})
	if !strings.HasPrefix(is[0], wants) || !strings.Contains(is[0], reason) {
		c.t.Errorf("message %d is %q, want %s (%s)", c.n, is[0], wants, reason)
	}
}

func (c *canaries) outcomes() {
	named := func(value string) func(*input) {
		return func(in *input) {
			in.campaign, in.fields = fmt.Sprintf("campaign-%d", c.n), map[string]string{"name": value}
		}
	}
	text := func(words string) providersim.Fault { return providersim.Fault{Text: words + ", how are you?"} }
	shape := func(names ...string) (faults []providersim.Fault) {
		for _, name := range names {
			faults = append(faults, providersim.Fault{Fixture: name})
		}
		return faults
	}
	good, bad := text("Hello {{name}} "+canaryText), text("Hello www.example.org/"+canaryRefused)
	plain := []providersim.Fault{text("Hello " + canaryText)}
	c.outcome("sent", "", []providersim.Fault{good}, nil, named(canaryName))
	c.outcome("sent", "", nil, nil, func(in *input) { in.brief, in.content = "", "Hello "+canaryContent })
	c.outcome("failed", "merge_field_unusable", []providersim.Fault{good}, nil, named("www.example.org/"+canaryName))
	c.outcome("sent", "", []providersim.Fault{bad, plain[0]}, nil)
	c.outcome("failed", "azure_gate_failed", []providersim.Fault{bad, bad}, nil)
	for _, name := range []string{"200_refusal", "200_prose", "200_truncated"} {
		c.outcome("failed", "azure_", shape(name, name), nil)
	}
	c.outcome("failed", "azure_content_filtered", shape("azure_400_content_filter_inner"), nil)
	for _, name := range []string{"openai_400_invalid_prompt", "openai_400_echo"} { // they repeat the prompt
		c.outcome("failed", "openai_", shape("529_overloaded"), shape(name))
	}
	for _, azure := range []providersim.Fault{{Fixture: "503_html"}, {Fixture: "azure_429_capacity"}, {Fixture: "azure_401_key"}, {Fixture: "azure_404_deployment"},
		{Kind: providersim.Cut}, {Kind: providersim.NotHTTP}, {Kind: providersim.Reset}, {Kind: providersim.Endless}} {
		c.outcome("sent", "", []providersim.Fault{azure, azure}, plain)
	}
	c.outcome("sent", "", shape("529_overloaded"), append(shape("openai_401_invalid_key"), plain...), func(in *input) {
		c.must(c.sim.Enqueue(providersim.Azure, plain...)) // of the chain that follows
	})
}

// quarantine puts bodies on the queue that can't be used.
func (c *canaries) quarantine() {
	c.t.Helper()
	bodies := []string{
		`{"workflowId":"wf-bad","recipientId":"fan","userId":"creator","brief":"` + canaryBroken,
		`{"workflowId":"wf-bad","recipientId":"fan","userId":"creator","brief":["` + canaryBroken + `"]}`,
		`{"workflowId":"wf-bad","recipientId":"fan","userId":"creator","content":"` + canaryBroken + `\u0000"}`,
		`{"workflowId":"wf-bad","recipientId":"fan","userId":"creator","brief":"` + canaryBroken + `","mergeFields":"` + canaryBroken + `"}`,
		`{"workflowId":"wf-bad","recipientId":"fan","userId":"creator","brief":"` + canaryBroken + `","mergeFields":{"name":["` + canaryBroken + `"]}}`,
		`{"workflowId":"wf-bad","recipientId":"fan","userId":"creator","brief":"` + canaryBroken + `","textPer":"` + canaryBroken + `"}`,
		`{"workflowId":"wf-bad","recipientId":"fan","userId":"creator","brief":"` + canaryBroken + `","scheduledFor":"` + canaryBroken + `"}`,
	}
	c.putBodies(bodies...)
	c.within(30*time.Second, "the bad bodies are in quarantine", func() bool { return c.quarantined() == len(bodies) })
}

// commands asks for everything that people ask for.
func (c *canaries) commands() {
	c.t.Helper()
	ask := func(settings []string, arguments ...string) {
		out, err := c.try(settings, arguments...)
		if out == "" {
			c.t.Errorf("huntaze %s says nothing (%v)", strings.Join(arguments, " "), err)
		}
		c.said["huntaze "+strings.Join(arguments, " ")] += out
	}
	for n := range c.n {
		ask(nil, "explain", newBrief("creator", n).workflow, pick("--json", "--json", "--limit=1"))
	}
	ask(nil, "explain", newBrief("creator", 0).workflow)
	ask([]string{"AZURE_OPENAI_API_KEY=" + canaryWrong, "OPENAI_API_KEY=" + canaryWrong}, "doctor")
	ask([]string{"AZURE_OPENAI_ENDPOINT=http://127.0.0.1:1", "AZURE_OPENAI_API_KEY=" + canaryWrong + " with a space"}, "doctor")
	ask([]string{"AZURE_OPENAI_API_VERSION=" + "2025-04-01-preview"}, "doctor", "--json")
	for _, arguments := range [][]string{{"doctor"}, {"status"}, {"status", "--json"}, {"config"}, {"dlq", "list"}, {"quarantine", "list"}, {"quarantine", "show", "1"},
		{"campaign", "list"}, {"limits", "show"}, {"doubt", "list"}} {
		ask(nil, arguments...)
	}
}

// stop ends the workers by SIGTERM while a call is under way.
func (c *canaries) stop() {
	c.t.Helper()
	c.sim.Clear()
	c.must(c.sim.SetDefault(providersim.Azure, &providersim.Fault{Text: "Hello " + canaryText, Delay: time.Second}))
	before := len(c.sim.Calls(0))
	in := newBrief("creator", c.n)
	in.brief = "A greeting, " + canaryBrief
	c.put(in)
	c.within(30*time.Second, "a call is under way", func() bool { return len(c.sim.Calls(0)) > before })
	for _, p := range c.alive() {
		p.terminate(10 * time.Second)
	}
}

// witness proves that the words were where they belong: a search for what was never there would find nothing either.
func (c *canaries) witness() {
	c.t.Helper()
	for _, call := range c.sim.Calls(0) { // what has no attempt is the doctor's
		if call.AttemptID != "" && !strings.Contains(call.User, canaryBrief) {
			c.t.Errorf("call %d to %s was without the brief", call.Seq, call.Provider)
		}
	}
	found := c.inTables(nil)
	for table, columns := range privateColumns {
		for _, column := range columns {
			if place := table + "." + column; !slices.Contains(found, place) && place != "texts.recipient" && place != "texts.why" {
				c.t.Errorf("no canary came to %s: the run was too weak", place)
			}
		}
	}
	for _, p := range c.processes {
		for _, line := range []string{`"level":"DEBUG"`, `"msg":"step","step":"plan"`, `"msg":"intake"`, `"msg":"worker stopped"`} {
			if !strings.Contains(c.said["log of "+p.name], line) {
				c.t.Errorf("the log of %s has no %s", p.name, line)
			}
		}
	}
}

// inTables lists the columns of all tables, ours and River's, in which some row has a canary; some are left out.
func (c *canaries) inTables(without map[string][]string) (found []string) {
	c.t.Helper()
	type table struct{ Schema, Name string }
	tables := query(c.fleet, pgx.RowToStructByPos[table], `SELECT table_schema::text, table_name::text FROM information_schema.tables
		WHERE table_type = 'BASE TABLE' AND table_schema NOT IN ('pg_catalog', 'information_schema')`)
	if len(tables) < 15 {
		c.t.Errorf("only %d tables were looked through", len(tables))
	}
	for _, t := range tables {
		columns := query(c.fleet, pgx.RowTo[string], `SELECT DISTINCT e.key FROM `+pgx.Identifier{t.Schema, t.Name}.Sanitize()+` AS x
			CROSS JOIN LATERAL jsonb_each(to_jsonb(x)) AS e
			WHERE (e.value::text LIKE '%' || $1 || '%' OR e.value::text LIKE '%' || $2 || '%' OR e.value::text LIKE '%' || encode($1::bytea, 'hex') || '%')
			AND e.key <> ALL ($3)`, canaryWord, gatewayToken, append([]string{}, without[t.Name]...))
		for _, column := range columns {
			found = append(found, t.Name+"."+column)
		}
	}
	return found
}
