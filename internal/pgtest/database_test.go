package pgtest

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/huntaze/hybrid-orchestrator/internal/devstack/localpg"
)

// small is shaped as the real schema is: a clock, and something that uses it.
var small = Template{Name: "small", Migrate: func(ctx context.Context, url string) error {
	return execute(ctx, url, `
		CREATE FUNCTION hybrid_clock() RETURNS timestamptz LANGUAGE sql VOLATILE AS 'SELECT clock_timestamp()';
		CREATE TABLE thing (id bigint PRIMARY KEY, made timestamptz NOT NULL DEFAULT hybrid_clock());
		INSERT INTO thing (id) VALUES (1)`)
}}

func execute(ctx context.Context, url, statements string) error {
	connection, err := pgx.Connect(ctx, url)
	if err != nil {
		return err
	}
	defer func() { _ = connection.Close(ctx) }()
	_, err = connection.Exec(ctx, statements)
	return err
}

func TestDatabasesAreFreshAndApart(t *testing.T) {
	t.Parallel()
	for i := range 4 {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			t.Parallel()
			pool := New(t, small).Pool(t)
			if _, err := pool.Exec(t.Context(), "INSERT INTO thing (id) VALUES ($1)", 10+i); err != nil {
				t.Fatal(err)
			}
			rows, err := pool.Query(t.Context(), "SELECT id FROM thing ORDER BY id")
			if err != nil {
				t.Fatal(err)
			}
			ids, err := pgx.CollectRows(rows, pgx.RowTo[int])
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff([]int{1, 10 + i}, ids); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestDatabaseIsDroppedWithTheTest(t *testing.T) {
	t.Parallel()
	var name string
	var held *pgx.Conn
	t.Run("inside", func(t *testing.T) {
		db := New(t, small)
		name = db.Name
		var err error
		if held, err = pgx.Connect(t.Context(), db.URL); err != nil { // nobody closes it
			t.Fatal(err)
		}
	})
	if held == nil {
		return
	}
	defer func() { _ = held.Close(context.Background()) }()
	s, err := sharedServer()
	if err != nil {
		t.Fatal(err)
	}
	var exists bool
	if err := s.admin.QueryRow(t.Context(), "SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)", name).Scan(&exists); err != nil {
		t.Fatal(err)
	}
	if exists {
		t.Errorf("%s is still there", name)
	}
}

// The names of the next two are new in every run of -count: templates are kept for the process.
func TestTemplateIsMigratedOnce(t *testing.T) {
	t.Parallel()
	var runs atomic.Int32
	counted := Template{Name: "counted" + rand.Text(), Migrate: func(ctx context.Context, url string) error {
		runs.Add(1)
		return small.Migrate(ctx, url)
	}}
	t.Run("tests", func(t *testing.T) {
		for range 3 {
			t.Run("", func(t *testing.T) {
				t.Parallel()
				New(t, counted)
			})
		}
	})
	if got := runs.Load(); got != 1 {
		t.Errorf("%d runs", got)
	}
}

func TestFailedMigrationFailsEveryTest(t *testing.T) {
	t.Parallel()
	s, err := sharedServer()
	if err != nil {
		t.Fatal(err)
	}
	broken, runs := errors.New("no such column"), 0
	template := Template{Name: "broken" + rand.Text(), Migrate: func(context.Context, string) error { runs++; return broken }}
	for range 2 {
		if _, err := s.template(template); !errors.Is(err, broken) {
			t.Errorf("error: %v", err)
		}
	}
	if runs != 1 {
		t.Errorf("%d runs", runs)
	}
}

func TestEmptyTemplateAndLongName(t *testing.T) {
	t.Parallel()
	t.Run(strings.Repeat("Name with 'quotes\" and ünicode ", 5), func(t *testing.T) {
		db := New(t, Template{Name: "empty"})
		pool := db.Pool(t, func(config *pgxpool.Config) { config.MaxConns = 1 })
		var name string
		if err := pool.QueryRow(t.Context(), "SELECT current_database()").Scan(&name); err != nil {
			t.Fatal(err)
		}
		if name != db.Name || pool.Config().MaxConns != 1 {
			t.Errorf("database %q, want %q; %d connections", name, db.Name, pool.Config().MaxConns)
		}
	})
}

func TestSweepDropsOnlyWhatIsAbandoned(t *testing.T) {
	t.Parallel()
	cluster := Cluster(t, func(o *localpg.Options) { o.Durable = false })
	old, now := time.Now().Add(-2*sweepAge), time.Now()
	name := func(made time.Time, who string) string {
		return fmt.Sprintf("%s%x_%s_1_test", namePrefix, made.Unix(), who)
	}
	abandoned, young := name(old, "00000001"), name(now, "00000002")
	kept, living, foreign := name(old, "00000003"), name(old, "00000004"), namePrefix+"mine"
	for _, database := range []string{abandoned, young, kept, living, foreign} {
		if err := cluster.EnsureDatabase(t.Context(), database); err != nil {
			t.Fatal(err)
		}
	}
	if err := execute(t.Context(), cluster.URL("postgres"), "COMMENT ON DATABASE "+kept+" IS '"+keptComment+"'"); err != nil {
		t.Fatal(err)
	}
	owner := strings.TrimSuffix(living, "1_test")
	session, err := pgx.Connect(t.Context(), cluster.URL("postgres")+"&application_name="+owner)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = session.Close(context.Background()) }()

	if output, passed := inner(t, "pass", "TEST_DATABASE_URL="+cluster.URL("postgres")); !passed {
		t.Fatal(output)
	}

	rows, err := session.Query(t.Context(), "SELECT datname FROM pg_database WHERE starts_with(datname, $1)", namePrefix)
	if err != nil {
		t.Fatal(err)
	}
	left, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]bool{young: true, kept: true, living: true, foreign: true}
	got := map[string]bool{}
	for _, database := range left {
		got[database] = true
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestClusterCanBeRestarted(t *testing.T) {
	t.Parallel()
	cluster := Cluster(t)
	if err := execute(t.Context(), cluster.URL("postgres"), "CREATE TABLE committed ()"); err != nil {
		t.Fatal(err)
	}
	if err := cluster.Restart(t.Context(), localpg.Immediate); err != nil {
		t.Fatal(err)
	}
	if err := execute(t.Context(), cluster.URL("postgres"), "DROP TABLE committed"); err != nil {
		t.Error(err)
	}
}

func BenchmarkNew(b *testing.B) {
	New(b, small) // the server and the template
	for b.Loop() {
		db := New(b, small)
		if err := db.server.drop(b.Context(), db.Name); err != nil {
			b.Fatal(err)
		}
	}
}
