// Package archtest keeps the shape of the project: which package may import which, where SQL stands, and how
// long a file may be. The rules are tables in these tests; a new package gets a line in one of them.
package archtest

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"path"
	"slices"
	"strings"
	"testing"
)

const (
	module = "github.com/huntaze/hybrid-orchestrator"
	root   = "../.."
)

// strata lists the parts of the project from the top down. A package imports only what stands lower, never
// something of its own stratum. A part includes the packages below its folder that have no line themselves.
var strata = [][]string{
	{"bench", "e2e", "examples", "deploy"}, // not production: may look at everything
	{"cmd"},
	{"internal/cli"},
	{"internal/devstack"},
	{"worker", "internal/api", "internal/console", "internal/middleware"},
	{"jobs", "queue"},
	{"internal/wording"},
	{"internal/pgtest"},
	{"db"},
	{"migrations"},
	{"internal/gateway/gatewaysim", "internal/provider/providersim"},
	capabilities,
	words,
	{"queue/sqstest", "internal/archtest"},
	{"queue/sqshttp"},
}

// capabilities do one thing each and know of nothing else of ours than the domain's words.
var capabilities = []string{
	"internal/limit", "internal/text", "internal/provider", "internal/gateway", "internal/cost", "internal/flags", "internal/config",
	"internal/telemetry", "internal/metrics", "internal/emf", "internal/steplog", "internal/readiness", "internal/audit", "internal/trace", "internal/devstack/localpg", "internal/apikey", "internal/campaign",
}

// words are the domain's: pure, and free for everybody.
var words = []string{"internal/workflow", "internal/picture"}

// testSupport is for tests, and for the commands that show a newcomer everything in one process.
var (
	testSupport     = []string{"queue/sqstest", "internal/pgtest", "internal/gateway/gatewaysim", "internal/provider/providersim"}
	testSupportUser = []string{"internal/devstack", "internal/cli", "bench", "e2e"}
)

// driverUsers may name types of the Postgres driver. Besides the parts that talk to a database they are those
// to which River hands a transaction.
var driverUsers = []string{"db", "migrations", "internal/pgtest", "internal/devstack/localpg", "jobs", "worker", "bench", "e2e"}

const driver = "github.com/jackc/pgx/"

func TestImports(t *testing.T) {
	t.Parallel()
	for _, p := range packages(t) {
		for _, violation := range p.violations() {
			t.Error(violation)
		}
	}
}

func (p goPackage) violations() []string {
	from := partOf(p.path)
	if from == "" {
		return []string{p.path + " belongs to no stratum: give it a line"}
	}
	var found []string
	for _, imported := range p.imports {
		to := partOf(imported)
		if to == from {
			continue
		}
		if to != "" && stratum(to) <= stratum(from) {
			found = append(found, p.path+" imports "+imported+", which is not below it")
		} else if slices.Contains(capabilities, from) && !slices.Contains(words, to) {
			found = append(found, p.path+" imports "+imported+"; a capability imports nothing of ours but the domain's words")
		}
		if slices.Contains(testSupport, to) && !slices.Contains(testSupportUser, from) {
			found = append(found, p.path+" imports "+imported+", which is for tests")
		}
	}
	for _, imported := range p.foreign {
		if strings.HasPrefix(imported, driver) && !slices.Contains(driverUsers, from) {
			found = append(found, p.path+" imports "+imported+", the database's driver")
		}
	}
	return found
}

// The rules would say nothing if they did not see what breaks them.
func TestViolationsAreSeen(t *testing.T) {
	t.Parallel()
	allowed := map[string][]string{
		"cmd/huntaze":                   {"internal/cli"},
		"internal/cli":                  {"worker", "internal/devstack", "internal/config", "queue/sqstest", "internal/gateway/gatewaysim", "internal/provider/providersim"},
		"internal/devstack":             {"worker", "internal/devstack/localpg", "queue/sqstest", "internal/gateway/gatewaysim", "internal/provider/providersim"},
		"worker":                        {"jobs", "queue", "db", "internal/limit"},
		"jobs":                          {"db", "internal/gateway", "internal/workflow"},
		"queue":                         {"queue/inner", "db", "internal/trace"},
		"db":                            {"migrations", "internal/limit"},
		"internal/pgtest":               {"db", "migrations", "internal/devstack/localpg"},
		"internal/gateway":              {"internal/workflow"},
		"internal/gateway/gatewaysim":   {"internal/gateway"},
		"internal/provider/providersim": {"internal/provider"},
		"e2e":                           {"worker", "internal/pgtest"},
	}
	for from, list := range allowed {
		for _, to := range list {
			if found := (goPackage{path: from, imports: []string{to}}).violations(); len(found) > 0 {
				t.Errorf("refused: %v", found)
			}
		}
	}
	refused := map[string][]string{
		"internal/workflow":      {"internal/limit", "db"},
		"internal/limit":         {"db", "internal/config", "jobs"},
		"internal/gateway":       {"internal/trace", "internal/gateway/gatewaysim"},
		"internal/provider":      {"internal/gateway", "internal/provider/providersim"},
		"db":                     {"jobs", "worker", "internal/pgtest"},
		"jobs":                   {"queue", "worker", "internal/pgtest"},
		"queue":                  {"jobs", "queue/sqstest"},
		"worker":                 {"internal/devstack", "internal/gateway/gatewaysim", "internal/cli"},
		"internal/cli":           {"cmd/huntaze", "e2e"},
		"queue/sqstest":          {"queue"},
		"internal/somethingelse": {"internal/workflow"},
	}
	for from, list := range refused {
		for _, to := range list {
			if found := (goPackage{path: from, imports: []string{to}}).violations(); len(found) == 0 {
				t.Errorf("%s may import %s", from, to)
			}
		}
	}
	for part, want := range map[string]bool{"db": true, "worker": true, "queue": false, "internal/limit": false, "internal/cli": false} {
		found := goPackage{path: part, foreign: []string{driver + "v5/pgxpool"}}.violations()
		if got := len(found) == 0; got != want {
			t.Errorf("%s may import the driver: %v, want %v", part, got, want)
		}
	}
}

// partOf returns the line of strata that a package belongs to: its own path or the nearest folder above.
func partOf(pkg string) string {
	for ; pkg != "."; pkg = path.Dir(pkg) {
		if stratum(pkg) >= 0 {
			return pkg
		}
	}
	return ""
}

func stratum(part string) int {
	return slices.IndexFunc(strata, func(parts []string) bool { return slices.Contains(parts, part) })
}

type goPackage struct {
	path    string   // below the module
	imports []string // of ours, below the module
	foreign []string // the others
}

// packages returns what go list says, without tests: those may import what they like.
func packages(t *testing.T) []goPackage {
	t.Helper()
	list := exec.CommandContext(t.Context(), "go", "list", "-e", "-json=ImportPath,Imports", "./...")
	list.Dir = root
	out, err := list.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	var all []goPackage
	decoder := json.NewDecoder(strings.NewReader(string(out)))
	for {
		var p struct {
			ImportPath string
			Imports    []string
		}
		err := decoder.Decode(&p)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		one := goPackage{path: strings.TrimPrefix(p.ImportPath, module+"/")}
		for _, imported := range p.Imports {
			if ours, is := strings.CutPrefix(imported, module+"/"); is {
				one.imports = append(one.imports, ours)
			} else {
				one.foreign = append(one.foreign, imported)
			}
		}
		all = append(all, one)
	}
	if len(all) == 0 {
		t.Fatal("go list found no package")
	}
	return all
}
