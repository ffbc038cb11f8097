package console

import (
	"fmt"
	"net/url"
	"strconv"

	"github.com/huntaze/hybrid-orchestrator/db"
	"github.com/huntaze/hybrid-orchestrator/internal/provider/fallback"
	"github.com/huntaze/hybrid-orchestrator/internal/provider/guard"
	"github.com/huntaze/hybrid-orchestrator/internal/wording"
)

const quarantinePerPage = 50

type quarantineView struct {
	Entries []db.QuarantineEntry
	Next    string
	First   bool
}

func (c *console) quarantinePage(r *request) error {
	before, err := numberOf(r.FormValue("before"))
	if err != nil {
		return errNotFound
	}
	found, err := c.Store.Quarantine(r.Context(), before, quarantinePerPage+1)
	if err != nil {
		return err
	}
	body := quarantineView{First: before == 0, Entries: found[:min(quarantinePerPage, len(found))]}
	if len(found) > quarantinePerPage {
		body.Next = "/quarantine?before=" + strconv.FormatInt(found[quarantinePerPage-1].ID, 10)
	}
	return r.show("quarantine", "Quarantine", "quarantine", body)
}

// numberOf reads a cursor; an empty one is 0.
func numberOf(text string) (int64, error) {
	if text == "" {
		return 0, nil
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err == nil && n < 0 {
		err = fmt.Errorf("%d is no cursor", n)
	}
	return n, err
}

type targetRow struct {
	db.Target
	Phase    guard.Phase
	Words    string
	Troubles []string
	Spent    string
}

type matrixRow struct {
	Scenario string
	Meaning  string
	fallback.Row
	Delay   string
	Changed bool // it is not the built-in one
}

type providersView struct {
	Targets []targetRow
	Spent   int64
	Matrix  []matrixRow
	Bounds  fallback.Bounds
}

func targetsOf(seen db.Targets) (rows []targetRow) {
	for _, t := range seen.All {
		phase := t.Guard.Phase(seen.Now)
		rows = append(rows, targetRow{Target: t, Phase: phase, Words: wording.Phase(phase), Troubles: wording.Troubles(t, seen.Now), Spent: wording.Spent(t.Today)})
	}
	return rows
}

func (c *console) providersPage(r *request) error {
	seen, err := c.Store.Targets(r.Context())
	if err != nil {
		return err
	}
	r.now = seen.Now
	body := providersView{Targets: targetsOf(seen), Spent: seen.SpentPicoUSD, Bounds: c.matrix.Bounds()}
	builtIn := fallback.Default()
	for _, s := range fallback.Scenarios() {
		row := c.matrix.Row(s)
		body.Matrix = append(body.Matrix, matrixRow{Scenario: string(s), Meaning: wording.Scenario(string(s)), Row: row, Delay: wording.Length(row.Delay), Changed: row != builtIn.Row(s)})
	}
	return r.show("providers", "Providers", "providers", body)
}

func flagsURL(before int64) string {
	return "/flags?" + url.Values{"before": {strconv.FormatInt(before, 10)}}.Encode() + "#history"
}
