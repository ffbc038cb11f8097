package db_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"golang.org/x/sync/errgroup"

	"github.com/huntaze/hybrid-orchestrator/db"
	"github.com/huntaze/hybrid-orchestrator/internal/pgtest"
	"github.com/huntaze/hybrid-orchestrator/migrations"
)

// emptyDatabase is one that nothing was ever done to.
var emptyDatabase = pgtest.Template{Name: "empty"}

// objects lists everything in the schemas of a database that migrations make, and the migrations they know.
func objects(t *testing.T, pool *pgxpool.Pool) []string {
	t.Helper()
	rows, err := pool.Query(t.Context(), `
		SELECT format('%s %s.%s', c.relkind, n.nspname, c.relname) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
			WHERE n.nspname IN ('public', 'river')
		UNION ALL SELECT format('function %s.%s %s', n.nspname, p.proname, md5(p.prosrc)) FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
			WHERE n.nspname IN ('public', 'river') AND p.prolang <> (SELECT oid FROM pg_language WHERE lanname = 'c')
		ORDER BY 1`)
	if err != nil {
		t.Fatal(err)
	}
	all, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// TestMigrateAtOnce: many processes start on an empty database; one migrates it, the others wait and find it done.
func TestMigrateAtOnce(t *testing.T) {
	t.Parallel()
	database := pgtest.New(t, emptyDatabase)
	var all errgroup.Group
	for range 8 {
		pool := database.Pool(t, func(c *pgxpool.Config) { c.MaxConns = 2 })
		all.Go(func() error { return db.Migrate(t.Context(), pool) })
	}
	if err := all.Wait(); err != nil {
		t.Fatal(err)
	}
	pool := database.Pool(t)
	once := pgtest.New(t, emptyDatabase).Pool(t)
	if err := db.Migrate(t.Context(), once); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(objects(t, once), objects(t, pool)); diff != "" {
		t.Errorf("migrated by eight at once (-by one +by eight):\n%s", diff)
	}
	if err := db.Migrate(t.Context(), pool); err != nil {
		t.Errorf("a second time: %v", err)
	}
	if err := db.CheckSchema(t.Context(), pool); err != nil {
		t.Errorf("check after migrating: %v", err)
	}
}

// TestMigrateWithOnePool: those who wait for their turn keep no connection from the one who works.
func TestMigrateWithOnePool(t *testing.T) {
	t.Parallel()
	pool := pgtest.New(t, emptyDatabase).Pool(t, func(c *pgxpool.Config) { c.MaxConns = 1 })
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	all, ctx := errgroup.WithContext(ctx)
	for range 4 {
		all.Go(func() error { return db.Migrate(ctx, pool) })
	}
	if err := all.Wait(); err != nil {
		t.Fatal(err)
	}
}

// TestMigrationState reads an empty database, without writing to it, and a migrated one.
func TestMigrationState(t *testing.T) {
	t.Parallel()
	pool := pgtest.New(t, emptyDatabase).Pool(t)
	before, err := db.MigrationState(t.Context(), pool)
	if err != nil {
		t.Fatal(err)
	}
	if made := objects(t, pool); len(made) > 0 {
		t.Errorf("asking for the state made %v", made)
	}
	if err := db.CheckSchema(t.Context(), pool); err == nil || !strings.Contains(err.Error(), "huntaze migrate up") {
		t.Errorf("check of an empty database: %v, want what to do", err)
	}
	if err := db.Migrate(t.Context(), pool); err != nil {
		t.Fatal(err)
	}
	after, err := db.MigrationState(t.Context(), pool)
	if err != nil {
		t.Fatal(err)
	}
	lines := map[string]int{}
	for i := range before {
		if before[i].Applied {
			t.Errorf("%s %d is applied before the migration", before[i].Line, before[i].Version)
		}
		before[i].Applied = true
		lines[before[i].Line]++
		if before[i].Version != lines[before[i].Line] || before[i].Name == "" {
			t.Errorf("migration %d of %s is %d (%q)", lines[before[i].Line], before[i].Line, before[i].Version, before[i].Name)
		}
	}
	if diff := cmp.Diff(before, after); diff != "" {
		t.Errorf("after the migration (-want +got):\n%s", diff)
	}
	if lines["fleet"] == 0 || lines["river"] == 0 {
		t.Errorf("lines: %v, want both", lines)
	}
}

// TestMigrateRefuses databases that this binary does not know.
func TestMigrateRefuses(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name, sql string
		newer     bool
		says      string
	}{
		{name: "newer fleet", sql: `INSERT INTO schema_migrations (version, name, checksum) SELECT max(version) + 1, 'future', 'x' FROM schema_migrations`, newer: true, says: "future"},
		{name: "newer river", sql: `INSERT INTO river.river_migration (line, version) SELECT 'main', max(version) + 1 FROM river.river_migration`, newer: true, says: "river"},
		{name: "other text", sql: `UPDATE schema_migrations SET checksum = 'x' WHERE version = 1`, says: "another text"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			pool := pgtest.New(t, schema).Pool(t)
			if _, err := pool.Exec(t.Context(), test.sql); err != nil {
				t.Fatal(err)
			}
			before := objects(t, pool)
			for name, do := range map[string]func() error{
				"migrate": func() error { return db.Migrate(t.Context(), pool) },
				"check":   func() error { return db.CheckSchema(t.Context(), pool) },
				"state":   func() error { _, err := db.MigrationState(t.Context(), pool); return err },
			} {
				err := do()
				if err == nil || errors.Is(err, db.ErrNewerSchema) != test.newer {
					t.Errorf("%s: %v, want it refused, newer: %v", name, err, test.newer)
				} else if !strings.Contains(err.Error(), test.says) {
					t.Errorf("%s: %v, want it to name %q", name, err, test.says)
				}
			}
			if diff := cmp.Diff(before, objects(t, pool)); diff != "" {
				t.Errorf("refused, but changed:\n%s", diff)
			}
		})
	}
}

// TestMigrationFails: nothing of a migration that fails stays, and the next process may try again.
func TestMigrationFails(t *testing.T) {
	t.Parallel()
	pool := pgtest.New(t, schema).Pool(t)
	before := objects(t, pool)
	bad := migrations.Migration{Version: 99, Name: "bad", Checksum: "x", SQL: `
		CREATE TABLE half (id int);
		INSERT INTO half VALUES (1);
		UPDATE hybrid_workflows SET no_such_column = 1;`}
	apply := func() error {
		return db.WithMigrationLock(t.Context(), pool, func(conn *pgx.Conn) error { return db.ApplyMigration(t.Context(), conn, bad) })
	}
	if err := apply(); err == nil {
		t.Fatal("a migration with a mistake in it passed")
	}
	if diff := cmp.Diff(before, objects(t, pool)); diff != "" {
		t.Errorf("left by a migration that failed:\n%s", diff)
	}
	if err := db.CheckSchema(t.Context(), pool); err != nil {
		t.Errorf("after a migration that failed: %v", err)
	}
	bad.SQL = `CREATE TABLE whole (id int)`
	if err := apply(); err != nil {
		t.Errorf("the corrected migration: %v", err)
	}
	if !slices.Contains(objects(t, pool), "r public.whole") {
		t.Error("the corrected migration left nothing")
	}
}

// TestMigrateIsInterrupted: a process that gives up waiting or dies keeps nobody out.
func TestMigrateIsInterrupted(t *testing.T) {
	t.Parallel()
	pool := pgtest.New(t, emptyDatabase).Pool(t)
	err := db.WithMigrationLock(t.Context(), pool, func(*pgx.Conn) error {
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		defer cancel()
		if err := db.Migrate(ctx, pool); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("waiting for another migration: %v, want the deadline", err)
		}
		return errors.New("dies")
	})
	if err == nil || err.Error() != "dies" {
		t.Fatal(err)
	}
	if err := db.Migrate(t.Context(), pool); err != nil {
		t.Error(err)
	}
}
