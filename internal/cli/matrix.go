package cli

import (
	"fmt"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/huntaze/hybrid-orchestrator/internal/provider/fallback"
)

func (a *app) matrixCommand() *cobra.Command {
	asJSON := false
	cmd := &cobra.Command{
		Use:   "matrix",
		Short: "Show the fallback matrix in force: what follows when something does not work",
		Long: `Show the fallback matrix as a worker with this configuration applies it: the built-in one, or
with the rows and bounds of FALLBACK_MATRIX_FILE in their place.

  fallback    what follows after the tries: the other provider, queue (wait, then begin anew),
              fallback_text (the template's own), fail, or bypass_with_warning
  maxRetries  further tries on the same target
  delayMs     before each of them, or the length of the wait in the queue`,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			cfg, err := a.load()
			if err != nil {
				return err
			}
			matrix, err := matrixOf(cfg)
			if err != nil {
				return misused(err)
			}
			if asJSON {
				return a.printJSON(matrixAsJSON(matrix, cfg.FallbackMatrixFile))
			}
			return a.printMatrix(matrix, cfg.FallbackMatrixFile)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func (a *app) printMatrix(m fallback.Matrix, file string) error {
	title := "The built-in fallback matrix."
	if file != "" {
		title = fmt.Sprintf("The fallback matrix with what %s (FALLBACK_MATRIX_FILE) replaces, marked *.", file)
	}
	fmt.Fprintf(a.out, "%s\n\n", cell(title))
	builtIn := fallback.Default()
	var rows [][]string
	for _, s := range fallback.Scenarios() {
		row, mark := m.Row(s), ""
		if row != builtIn.Row(s) {
			mark = " *"
		}
		rows = append(rows, []string{string(s) + mark, string(row.Fallback), strconv.Itoa(row.MaxRetries), strconv.FormatInt(row.Delay.Milliseconds(), 10)})
	}
	if err := a.table("", []string{"SCENARIO", "FALLBACK", "MAX RETRIES", "DELAY (MS)"}, rows); err != nil {
		return err
	}
	b := m.Bounds()
	_, err := fmt.Fprintf(a.out, `
A chain of tries ends after %s or %d calls: then the row deadline holds.
A target that asks for a pause of more than %s is left for its fallback.
A text waits in the queue %s, and for %s in all, at most: then its messages fail.
`, length(b.Deadline), b.MaxCalls, length(b.RetryAfter), plural(b.QueueMaxWaits, "time"), length(b.QueueMaxAge))
	return err
}

type (
	matrixJSON struct {
		File   string          `json:"file"` // empty: the built-in one
		Bounds boundsJSON      `json:"bounds"`
		Rows   []matrixRowJSON `json:"rows"`
	}
	boundsJSON struct {
		DeadlineMs    int64 `json:"deadlineMs"`
		MaxCalls      int   `json:"maxCalls"`
		RetryAfterMs  int64 `json:"retryAfterMs"`
		QueueMaxWaits int   `json:"queueMaxWaits"`
		QueueMaxAgeMs int64 `json:"queueMaxAgeMs"`
	}
	matrixRowJSON struct {
		Scenario   fallback.Scenario `json:"scenario"`
		Fallback   fallback.Way      `json:"fallback"`
		MaxRetries int               `json:"maxRetries"`
		DelayMs    int64             `json:"delayMs"`
	}
)

// matrixAsJSON has the form of the matrix's own file.
func matrixAsJSON(m fallback.Matrix, file string) matrixJSON {
	b := m.Bounds()
	out := matrixJSON{File: file, Bounds: boundsJSON{b.Deadline.Milliseconds(), b.MaxCalls, b.RetryAfter.Milliseconds(), b.QueueMaxWaits, b.QueueMaxAge.Milliseconds()}}
	for _, s := range fallback.Scenarios() {
		row := m.Row(s)
		out.Rows = append(out.Rows, matrixRowJSON{s, row.Fallback, row.MaxRetries, row.Delay.Milliseconds()})
	}
	return out
}
