package cli

import (
	"context"
	"errors"
	"time"

	"github.com/huntaze/hybrid-orchestrator/db"
	"github.com/huntaze/hybrid-orchestrator/internal/config"
	"github.com/huntaze/hybrid-orchestrator/internal/limit"
)

const (
	oldestPostgres = 14_00_00 // multiranges and the exclusion constraint's gist_btree; what the tests run on is newer
	clockTolerance = 2 * time.Second
)

// checkDatabase looks at the server, the schema, and what the schema tells of the fleet.
func (d *doctor) checkDatabase(ctx context.Context, cfg config.Config) {
	const part = "database"
	if cfg.DatabaseURL == "" {
		d.fail(part, "set DATABASE_URL, for example postgres://huntaze@127.0.0.1:5432/huntaze", "DATABASE_URL is not set")
		return
	}
	pool, err := db.Open(ctx, cfg.DatabaseURL.Reveal(), storeConnections, "huntaze doctor")
	if err != nil {
		d.fail(part, "correct DATABASE_URL", "%s", oneLine(err))
		return
	}
	defer pool.Close()
	server, err := db.InspectServer(ctx, pool)
	if err != nil {
		d.fail(part, "start it, or correct DATABASE_URL", "%s can't be reached: %s", cfg.DatabaseURL.Address(), oneLine(err))
		return
	}
	d.ok(part, "%s answers, Postgres %s", cfg.DatabaseURL.Address(), server.Version)
	d.checkServer(cfg, server)
	if !d.checkSchema(ctx, pool) {
		return
	}
	store, closeStore, err := openStore(ctx, cfg, "doctor")
	if err != nil {
		d.fail(part, "", "%s", oneLine(err))
		return
	}
	defer closeStore()
	if err := store.InspectFleet(ctx, &server); err != nil {
		d.fail("fleet", "give the database's user the right to read what huntaze migrate made, and pg_control_system()", "its state can't be read: %s", oneLine(err))
		return
	}
	d.checkFleet(server)
	d.checkLimits(ctx, cfg, store)
}

func (d *doctor) checkServer(cfg config.Config, server db.Server) {
	const part = "database"
	if server.VersionNumber < oldestPostgres {
		d.fail(part, "use Postgres 14 or newer", "Postgres %s is too old", server.Version)
	}
	if server.ReadOnly {
		d.fail(part, "name the primary in DATABASE_URL", "it is read-only: a standby, or set so")
	}
	durable := true
	for _, name := range []string{"fsync", "full_page_writes", "synchronous_commit"} {
		if server.Durability[name] == "off" {
			durable = false
			d.fail(part, "set "+name+" = on", "%s is off: a crash may forget sends, which are then made again", name)
		}
	}
	if durable {
		d.ok(part, "a commit that was answered is on the disk (fsync, full_page_writes, synchronous_commit)")
	}
	switch ahead := server.ClockAhead; {
	case ahead.Abs() > clockTolerance+server.ClockUncertainty:
		d.warn(part, "let both keep time with NTP; limits go by the database's clock alone, but log lines of both will not fit together",
			"its clock differs from this machine's by %s", length(ahead.Abs()))
	default:
		d.ok(part, "its clock agrees with this machine's")
	}
	if need := cfg.DatabaseMaxConnections + cfg.RiverMaxConnections; server.MaxConnections < need {
		d.warn(part, "raise max_connections, or lower DATABASE_MAX_CONNECTIONS and RIVER_MAX_CONNECTIONS",
			"it takes %d connections, and one worker uses up to %d", server.MaxConnections, need)
	}
}

// checkSchema says whether the tables can be read.
func (d *doctor) checkSchema(ctx context.Context, pool *db.Pool) bool {
	const part = "schema"
	status, err := db.MigrationState(ctx, pool)
	switch {
	case errors.Is(err, db.ErrNewerSchema):
		d.fail(part, "deploy a binary at least as new as the one that migrated it", "%s", oneLine(err))
		return false
	case err != nil:
		d.fail(part, "see the error", "it can't be read: %s", oneLine(err))
		return false
	}
	missing := map[string]int{}
	for _, s := range status {
		if !s.Applied {
			missing[s.Line]++
		}
	}
	for _, line := range []struct{ name, what string }{{"fleet", "the fleet's tables"}, {"river", "River's tables"}} {
		if n := missing[line.name]; n > 0 {
			d.fail(part, "run huntaze migrate up", "%s lack %s", line.what, plural(n, "migration"))
		} else {
			d.ok(part, "%s are up to date", line.what)
		}
	}
	return len(missing) == 0
}

func (d *doctor) checkFleet(server db.Server) {
	const part = "fleet"
	if server.WorkersActive {
		d.ok(part, "workers are active")
	} else {
		d.warn(part, "start one: huntaze worker", "no worker is active: messages are not sent")
	}
	switch {
	case !server.SameDatabase:
		d.warn(part, "start a worker: it freezes the fleet for as long as a forgotten send could count, then goes on",
			"the database failed over or was restored since the last send")
	case !server.FrozenUntil.IsZero():
		d.warn(part, "nothing: it ends by itself", "the fleet is frozen until %s: %s", moment(server.FrozenUntil), server.FrozenReason)
	default:
		d.ok(part, "it is not frozen")
	}
	if server.DoubtsForOperator.Number > 0 {
		d.warn(part, "see huntaze doubt list, then huntaze doubt resolve", "%s in doubt: an operator must decide", counted(server.DoubtsForOperator, "message"))
	}
}

// checkLimits compares the environment with the rules in force.
func (d *doctor) checkLimits(ctx context.Context, cfg config.Config, store *db.Store) {
	const part = "limits"
	policies, err := store.Limits(ctx)
	if err != nil {
		d.fail(part, "see the error", "they can't be read: %s", oneLine(err))
		return
	}
	found, agree := 0, true
	for _, p := range policies {
		if p.UserID != "" {
			continue
		}
		found++
		name, text := "RATE_LIMIT_ACCOUNT", cfg.RateLimitAccount
		if p.Scope == limit.ScopeRecipient {
			name, text = "RATE_LIMIT_RECIPIENT", cfg.RateLimitRecipient
		}
		if rules, err := limit.ParseRules(text); err == nil && !rules.Equal(p.Rules) {
			agree = false
			d.warn(part, "huntaze limits set changes the database; or make the variable the same", "%s is %s here, the database has %s, which is obeyed", name, rules, p.Rules)
		}
		if p.Guard != cfg.RateLimitGuard {
			agree = false
			d.warn(part, "huntaze limits set --guard changes the database; or make the variable the same",
				"RATE_LIMIT_GUARD is %s here, the database has %s for the limit of the %s, which is obeyed", cfg.RateLimitGuard, p.Guard, p.Scope)
		}
	}
	switch {
	case found == 0:
		d.warn(part, "nothing: the first worker seeds them from the environment", "the database has no rules yet")
	case agree:
		d.ok(part, "environment and database agree")
	}
}
