package cli

import (
	"context"
	"fmt"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/huntaze/hybrid-orchestrator/db"
)

func (a *app) migrateCommand() *cobra.Command {
	root := &cobra.Command{Use: "migrate", Short: "Bring the database's schema up to this binary, or show what it has"}
	root.AddCommand(
		&cobra.Command{
			Use: "up", Short: "Apply the migrations that are missing, ours and River's", Args: cobra.NoArgs,
			Long: "Apply the migrations that are missing, ours and River's, in order. Safe to run from several processes at once; refuses a database that is newer than this binary.",
			RunE: func(cmd *cobra.Command, _ []string) error {
				return a.withPool(cmd.Context(), func(pool *db.Pool) error {
					if err := db.Migrate(cmd.Context(), pool); err != nil {
						return err
					}
					fmt.Fprintln(a.out, "the schema is up to date")
					return nil
				})
			},
		},
		&cobra.Command{
			Use: "status", Short: "List the migrations and whether the database has them", Args: cobra.NoArgs,
			RunE: func(cmd *cobra.Command, _ []string) error {
				return a.withPool(cmd.Context(), func(pool *db.Pool) error {
					status, err := db.MigrationState(cmd.Context(), pool)
					if err != nil {
						return err
					}
					missing := 0
					table := tabwriter.NewWriter(a.out, 0, 4, 2, ' ', 0)
					fmt.Fprintln(table, "LINE\tVERSION\tNAME\tAPPLIED")
					for _, s := range status {
						applied := "yes"
						if !s.Applied {
							applied, missing = "no", missing+1
						}
						fmt.Fprintf(table, "%s\t%d\t%s\t%s\n", s.Line, s.Version, s.Name, applied)
					}
					if err := table.Flush(); err != nil || missing == 0 {
						return err
					}
					return codedError{fmt.Errorf("%d migrations are missing; run `huntaze migrate up`", missing), exitFindings}
				})
			},
		})
	return root
}

// withPool opens the database for one command.
func (a *app) withPool(ctx context.Context, do func(*db.Pool) error) error {
	cfg, err := a.load("DATABASE_URL")
	if err != nil {
		return err
	}
	pool, err := db.Open(ctx, cfg.DatabaseURL.Reveal(), 4, "huntaze command")
	if err != nil {
		return misused(err)
	}
	defer pool.Close()
	if err := pool.Ping(ctx); err != nil {
		return fmt.Errorf("DATABASE_URL: the database can't be reached: %w", err)
	}
	return do(pool)
}
