package e2e_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/url"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/huntaze/hybrid-orchestrator/internal/audit"
)

// exitFindings is the exit code of an audit that found something.
const exitFindings = 3

// The audit is independent of what keeps the promises: in a copy of a finished run's database, with the constraints gone,
// each promise is broken by hand, and the command says which and where. With the original it finds nothing.
func TestAuditOfABrokenCopy(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	f.start(2)
	f.put(newInputs(2, 15)...)
	f.drained(time.Minute)
	f.check()
	f.audited(f.url, 0, "30 received = 30 sent", "Nothing was found.")

	t.Run("the 11th message of a window", func(t *testing.T) {
		broken, do := f.copy(t)
		// The 11th message of an account is moved beside the first one, in the ledger and in the holds.
		move := `WITH sent AS (SELECT workflow, started_at, row_number() OVER (ORDER BY started_at, workflow) AS n FROM send_attempts WHERE user_id = 'creator-1' AND state = 'accepted'),
			moved AS (SELECT last.workflow, first.started_at - last.started_at AS by FROM sent first, sent last WHERE first.n = 1 AND last.n = 11)
			UPDATE `
		holds := move + `send_holds h SET held = tstzrange(lower(h.held) + by, upper(h.held) + by) FROM moved WHERE h.workflow = moved.workflow`
		var refused *pgconn.PgError
		if err := do(holds); !errors.As(err, &refused) || refused.Code != "23P01" {
			t.Errorf("with the constraint: %v", err)
		}
		if err := do(`ALTER TABLE send_holds DROP CONSTRAINT send_holds_strict_limit; ` + holds + `; ` + move +
			`send_attempts a SET reserved_at = reserved_at + by, started_at = a.started_at + by, call_deadline = call_deadline + by, ended_at = ended_at + by FROM moved WHERE a.workflow = moved.workflow`); err != nil {
			t.Fatal(err)
		}
		f.audited(broken, exitFindings, "violation  account_limit  creator-1", "11 to 11, allowed 10/2s")
		var report audit.Report
		out, _ := f.try([]string{"DATABASE_URL=" + broken}, "audit", "--since", "all", "--json")
		if err := json.Unmarshal([]byte(out), &report); err != nil || len(report.Findings) != 1 {
			t.Fatalf("%v\n%s", err, out)
		}
		first := query(f, pgx.RowTo[time.Time], `SELECT min(started_at) FROM send_attempts WHERE user_id = 'creator-1'`)[0]
		if one := report.Findings[0]; one.From.After(first) || !one.To.After(first) || one.To.Sub(one.From) != limitWindow {
			t.Errorf("the window is %s to %s, and the calls begin at %s", one.From, one.To, first)
		}
	})
	t.Run("a message accepted twice", func(t *testing.T) {
		broken, do := f.copy(t)
		if err := do(`DROP INDEX send_attempts_one_open; INSERT INTO send_attempts
			SELECT (jsonb_populate_record(a, jsonb_build_object('sequence', a.sequence + 1, 'fence', nextval('send_fence')))).*
			FROM send_attempts a JOIN hybrid_workflows w ON w.id = a.workflow WHERE w.workflow_id = 'wf-creator-0-3'`); err != nil {
			t.Fatal(err)
		}
		f.audited(broken, exitFindings, "violation  two_acceptances  creator-0", "wf-creator-0-3")
	})
	t.Run("a message that vanished", func(t *testing.T) {
		broken, do := f.copy(t)
		if err := do(`SET session_replication_role = replica; DELETE FROM hybrid_workflows WHERE workflow_id = 'wf-creator-0-3'`); err != nil {
			t.Fatal(err)
		}
		f.audited(broken, exitFindings, "30 received = 29 sent", "inbox_without_workflow", "sum_differs", "wf-creator-0-3")
	})
	f.audited(f.url, 0, "Nothing was found.")
}

// audited carries out an audit of everything in a database and checks its exit code and what it says.
func (f *fleet) audited(database string, code int, says ...string) {
	f.t.Helper()
	out, err := f.try([]string{"DATABASE_URL=" + database}, "audit", "--since", "all")
	got := 0
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		got = exit.ExitCode()
	} else if err != nil {
		f.t.Fatal(err)
	}
	if got != code {
		f.t.Errorf("the audit ended with %d, want %d", got, code)
	}
	for _, text := range says {
		if !strings.Contains(out, text) {
			f.t.Errorf("the audit does not say %q:\n%s", text, out)
		}
	}
}

// copy makes a copy of the fleet's database, in which nobody works, and returns its URL and what executes SQL in it.
func (f *fleet) copy(t *testing.T) (copied string, do func(sql string) error) {
	t.Helper()
	parsed, err := url.Parse(f.url)
	if err != nil {
		t.Fatal(err)
	}
	name := strings.TrimPrefix(parsed.Path, "/")
	from, to := pgx.Identifier{name}.Sanitize(), pgx.Identifier{name[:min(len(name), 50)] + "_copy"}
	connect := func(database string) *pgx.Conn {
		other := *parsed
		other.Path = "/" + database
		connection, err := pgx.Connect(context.Background(), other.String())
		if err != nil {
			t.Fatal(err)
		}
		copied = other.String()
		return connection
	}
	admin := connect("postgres")
	f.pool.Reset() // Postgres copies no database that somebody uses; it waits a little for those that leave
	if _, err := admin.Exec(context.Background(), `CREATE DATABASE `+to.Sanitize()+` TEMPLATE `+from); err != nil {
		t.Fatal(err)
	}
	inside := connect(to[0])
	t.Cleanup(func() {
		_ = inside.Close(context.Background())
		if _, err := admin.Exec(context.Background(), `DROP DATABASE `+to.Sanitize()); err != nil {
			t.Error(err)
		}
		_ = admin.Close(context.Background())
	})
	return copied, func(sql string) error {
		_, err := inside.Exec(context.Background(), sql)
		return err
	}
}
