package cli

import (
	"fmt"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/huntaze/hybrid-orchestrator/internal/config"
)

func (a *app) configCommand() *cobra.Command {
	asJSON := false
	cmd := &cobra.Command{
		Use:   "config",
		Short: "List every environment variable with its default, its meaning and whether it is set",
		Long: `List every environment variable that huntaze reads, in groups: the value in use, its default,
whether the environment (or .env, or a running dev stack) sets it, and what it means.
Secrets are never shown.`,
		Example: "  huntaze config\n  huntaze config --json | jq '.[] | select(.set)'",
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			cfg, environ, err := a.environment()
			if err != nil {
				return err
			}
			variables := config.Describe(cfg, environ)
			if asJSON {
				return a.printJSON(variablesAsJSON(variables))
			}
			return a.printVariables(variables)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func (a *app) printVariables(variables []config.Variable) error {
	group := ""
	for i, v := range variables {
		if v.Group != group {
			if i > 0 {
				fmt.Fprintln(a.out)
			}
			group = v.Group
			fmt.Fprintf(a.out, "%s\n", strings.ToUpper(group))
		}
		w := tabwriter.NewWriter(a.out, 34, 4, 2, ' ', 0)
		fmt.Fprintf(w, "  %s\t%s\n", v.Name, cell(shownValue(v)))
		if err := w.Flush(); err != nil {
			return err
		}
		fmt.Fprintf(a.out, "      %s%s\n", v.Meaning, shownDefault(v))
	}
	return nil
}

// shownValue is the value in use, and where it comes from.
func shownValue(v config.Variable) string {
	switch {
	case v.Set && v.Value == "":
		return "set to nothing"
	case v.Set:
		return v.Value + "  (set)"
	case v.Value == "":
		return "not set"
	default:
		return v.Value + "  (default)"
	}
}

func shownDefault(v config.Variable) string {
	if !v.Set || v.Default == "" {
		return ""
	}
	return " [default: " + v.Default + "]"
}

// variableJSON is one variable for programs.
type variableJSON struct {
	Group   string `json:"group"`
	Name    string `json:"name"`
	Default string `json:"default"`
	Meaning string `json:"meaning"`
	Set     bool   `json:"set"`
	Secret  bool   `json:"secret"`
	Value   string `json:"value"`
}

func variablesAsJSON(variables []config.Variable) []variableJSON {
	list := make([]variableJSON, len(variables))
	for i, v := range variables {
		list[i] = variableJSON(v)
	}
	return list
}
