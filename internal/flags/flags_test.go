package flags_test

import (
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/huntaze/hybrid-orchestrator/internal/flags"
)

func parse(t interface {
	Helper()
	Fatal(...any)
}, name flags.Name, text string) flags.Value {
	t.Helper()
	value, err := flags.ParseValue(name, "", text)
	if err != nil {
		t.Fatal(err)
	}
	return value
}

func TestParseValue(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name flags.Name
		user string
		text string
		want string // the value, or what the error says
	}{
		{flags.SendsEnabled, "", "on", "on"},
		{flags.SendsEnabled, "creator-7", "OFF", "off"},
		{flags.OrchestratorEnabled, "", "0%", "0%"},
		{flags.OrchestratorEnabled, "", "25%", "25%"},
		{flags.OrchestratorEnabled, "", "100%", "100%"},
		{flags.OrchestratorEnabled, "creator-7", "on", "on"},
		{flags.SendsEnabled, "", "50%", "give on or off"},
		{flags.PlanningEnabled, "", "true", "give on or off"},
		{flags.PlanningEnabled, "", "", "give on or off"},
		{flags.OrchestratorEnabled, "creator-7", "50%", "one account is either on or off"},
		{flags.OrchestratorEnabled, "", "25", "such as 25%"},
		{flags.OrchestratorEnabled, "", "101%", "from 0% to 100%"},
		{flags.OrchestratorEnabled, "", "-1%", "from 0% to 100%"},
		{flags.OrchestratorEnabled, "", "007%", "from 0% to 100%"},
		{flags.OrchestratorEnabled, "", "12.5%", "whole percentage"},
		{flags.OrchestratorEnabled, "", "%", "whole percentage"},
		{flags.OrchestratorEnabled, "", "+5%", "whole percentage"},
		{"sends_enabeld", "", "on", `no flag "sends_enabeld": use one of orchestrator_enabled, sends_enabled, planning_enabled`},
	} {
		value, err := flags.ParseValue(tt.name, tt.user, tt.text)
		if err == nil && value.String() != tt.want || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s of %q = %q: %s, %v; want %q", tt.name, tt.user, tt.text, value, err, tt.want)
		}
	}
	for _, n := range []int{-1, 101} {
		if _, err := flags.Percent(n); err == nil {
			t.Errorf("%d%% is a percentage", n)
		}
	}
	if v, err := flags.Percent(30); err != nil || v != parse(t, flags.OrchestratorEnabled, "30%") {
		t.Errorf("30%%: %s (%v)", v, err)
	}
}

func TestReadOverrides(t *testing.T) {
	t.Parallel()
	overrides, err := flags.ReadOverrides(map[string]string{"FLAG_SENDS_ENABLED": "off", "FLAG_ORCHESTRATOR_ENABLED": "25%", "FLAG_PLANNING_ENABLED": "", "SENDS_ENABLED": "x", "HOME": "/"})
	if err != nil || fmt.Sprint(overrides) != "map[orchestrator_enabled:25% sends_enabled:off]" {
		t.Errorf("%v (%v)", overrides, err)
	}
	_, err = flags.ReadOverrides(map[string]string{"FLAG_SENDS_ENABLED": "on", "FLAG_SEND_ENABLED": "off", "FLAG_PLANNING_ENABLED": "20%", "FLAG_ORCHESTRATOR_ENABLED": "all"})
	if err == nil {
		t.Fatal("no error")
	}
	for _, says := range []string{"FLAG_SENDS_ENABLED: the environment can only switch it off", `FLAG_SEND_ENABLED: there is no flag "send_enabled"`, "FLAG_PLANNING_ENABLED", "FLAG_ORCHESTRATOR_ENABLED"} {
		if !strings.Contains(err.Error(), says) {
			t.Errorf("%q is not in:\n%v", says, err)
		}
	}
}

func row(name flags.Name, user, value string) flags.Row {
	return flags.Row{Name: name, UserID: user, Value: value}
}

func TestAsk(t *testing.T) {
	t.Parallel()
	const o = flags.OrchestratorEnabled
	for name, tt := range map[string]struct {
		rows      []flags.Row
		overrides flags.Overrides
		legacy    bool
		user      string
		on        bool
		origin    flags.Origin
	}{
		"default alone":                  {on: true, origin: flags.FromDefault, user: "a"},
		"default with a legacy one":      {legacy: true, origin: flags.FromDefault, user: "a"},
		"all":                            {rows: []flags.Row{row(o, "", "on")}, legacy: true, on: true, origin: flags.FromAll, user: "a"},
		"account before all":             {rows: []flags.Row{row(o, "", "off"), row(o, "a", "on")}, on: true, origin: flags.FromAccount, user: "a"},
		"account before all, any order":  {rows: []flags.Row{row(o, "a", "off"), row(o, "", "on")}, origin: flags.FromAccount, user: "a"},
		"account before percentage":      {rows: []flags.Row{row(o, "", "100%"), row(o, "a", "off")}, origin: flags.FromAccount, user: "a"},
		"another account's":              {rows: []flags.Row{row(o, "b", "on")}, legacy: true, origin: flags.FromDefault, user: "a"},
		"another flag's":                 {rows: []flags.Row{row(flags.SendsEnabled, "", "off")}, on: true, origin: flags.FromDefault, user: "a"},
		"environment before account":     {rows: []flags.Row{row(o, "a", "on")}, overrides: flags.Overrides{o: flags.Off}, origin: flags.FromEnvironment, user: "a"},
		"nobody's in a percentage":       {rows: []flags.Row{row(o, "", "99%")}, origin: flags.FromAll},
		"nobody's when all are":          {rows: []flags.Row{row(o, "", "100%")}, on: true, origin: flags.FromAll},
		"a value that is not understood": {rows: []flags.Row{row(o, "", "on"), row(o, "a", "sometimes")}, legacy: true, on: true, origin: flags.FromAll, user: "a"},
	} {
		snapshot := flags.New(flags.Table{Rows: tt.rows}, tt.overrides, tt.legacy)
		if got := snapshot.Ask(o, tt.user); got.On != tt.on || got.Origin != tt.origin {
			t.Errorf("%s: %+v", name, got)
		}
		want := flags.Legacy
		if tt.on {
			want = flags.Here
		}
		if got := snapshot.Side(tt.user); got != want {
			t.Errorf("%s: side %s", name, got)
		}
	}
	strange := flags.New(flags.Table{Rows: []flags.Row{row(o, "", "sometimes"), row("from_the_future", "", "on")}}, nil, true)
	if len(strange.Problems()) != 2 || strange.OrchestratorEnabled("a") || !strange.SendsEnabled("a") || strange.Ask("from_the_future", "a").On {
		t.Errorf("what is not understood: %v", strange.Problems())
	}
}

// TestPercentageIsStable: raising it takes nobody out, lowering it lets nobody in, and 0 and 100 are nobody and all.
func TestPercentageIsStable(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		user := rapid.StringN(1, 40, -1).Draw(t, "user")
		in := func(percent int) bool {
			table := flags.Table{Rows: []flags.Row{row(flags.OrchestratorEnabled, "", fmt.Sprint(percent, "%"))}}
			return flags.New(table, nil, true).OrchestratorEnabled(user)
		}
		from := rapid.IntRange(0, 100).Draw(t, "from")
		to := rapid.IntRange(from, 100).Draw(t, "to")
		if in(from) && !in(to) {
			t.Fatalf("%q is in %d%% and not in %d%%", user, from, to)
		}
		if in(0) || !in(100) {
			t.Fatalf("%q: 0%% is %v, 100%% is %v", user, in(0), in(100))
		}
	})
}

// TestPercentageIsExact: a percentage is that part of the accounts, whatever their names look like.
func TestPercentageIsExact(t *testing.T) {
	t.Parallel()
	const accounts = 100_000
	for _, form := range []string{"creator-%d", "%d", "user_%08d", "%x@example.com"} {
		for _, percent := range []int{1, 10, 25, 50, 99} {
			snapshot := flags.New(flags.Table{Rows: []flags.Row{row(flags.OrchestratorEnabled, "", fmt.Sprint(percent, "%"))}}, nil, true)
			in := 0
			for n := range accounts {
				if snapshot.OrchestratorEnabled(fmt.Sprintf(form, n)) {
					in++
				}
			}
			// Four standard deviations of a fair draw are under 0.64 % of the accounts.
			if part := 100 * float64(in) / accounts; part < float64(percent)-0.64 || part > float64(percent)+0.64 {
				t.Errorf("%s: %d%% is %.2f%%", form, percent, part)
			}
		}
	}
}

// The places of accounts are the same in every version of the program: otherwise a deployment moves accounts.
func TestPlacesAreForEver(t *testing.T) {
	t.Parallel()
	first := map[string]int{}
	for _, user := range []string{"creator-1", "creator-7", "Ünï", "a", strings.Repeat("x", 256)} {
		for percent := range 101 {
			if flags.New(flags.Table{Rows: []flags.Row{row(flags.OrchestratorEnabled, "", fmt.Sprint(percent, "%"))}}, nil, true).OrchestratorEnabled(user) {
				first[user] = percent
				break
			}
		}
	}
	got := fmt.Sprint(first["creator-1"], first["creator-7"], first["Ünï"], first["a"], first[strings.Repeat("x", 256)])
	if want := places; got != want {
		t.Errorf("first percentages %s, want %s", got, want)
	}
}

const places = "73 37 61 97 71"

func BenchmarkAsk(b *testing.B) {
	rows := []flags.Row{row(flags.OrchestratorEnabled, "", "25%")}
	for n := range 1000 {
		rows = append(rows, row(flags.OrchestratorEnabled, fmt.Sprint("creator-", n), "on"))
	}
	client := flags.NewClient(flags.Config{Overrides: flags.Overrides{flags.OrchestratorEnabled: parse(b, flags.OrchestratorEnabled, "25%")}})
	snapshot := flags.New(flags.Table{Rows: rows}, nil, true)
	b.Run("own", func(b *testing.B) {
		for b.Loop() {
			snapshot.OrchestratorEnabled("creator-7")
		}
	})
	b.Run("percentage", func(b *testing.B) {
		for b.Loop() {
			snapshot.OrchestratorEnabled("somebody-else")
		}
	})
	b.Run("client", func(b *testing.B) {
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				client.Snapshot().OrchestratorEnabled("somebody-else")
			}
		})
	})
}
