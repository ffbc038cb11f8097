package db

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/huntaze/hybrid-orchestrator/internal/provider"
	"github.com/huntaze/hybrid-orchestrator/internal/provider/guard"
)

// Target is what the fleet knows of a place where texts are written.
type Target struct {
	Provider provider.Name
	Key      string // provider.Target.Key
	SeenAt   time.Time
	Guard    guard.State
	UnderWay int // calls
	Today    TargetCosts
}

// TargetCosts are those of a day's calls that have ended.
type TargetCosts struct {
	Calls     int
	PicoUSD   int64
	Estimated int // calls whose part is an estimate
	Unpriced  int // calls that are not in the sum, because nobody knows their price
}

// Targets is what the fleet knows of all of them at one moment.
type Targets struct {
	Now          time.Time // the database's
	All          []Target
	SpentPicoUSD int64 // today (UTC), as a budget counts it
}

// targetsSQL adds up the calls of the day as the ledger has them, by its index on the time.
const targetsSQL = `
WITH today AS (
    SELECT c.target, count(*) AS calls, coalesce(sum(c.pico_usd), 0) AS pico_usd, count(*) FILTER (WHERE c.kind = 'estimated') AS estimated,
        count(*) FILTER (WHERE c.kind = 'unpriced') AS unpriced
    FROM provider_costs c WHERE c.at >= date_trunc('day', hybrid_clock(), 'UTC') GROUP BY c.target)
SELECT t.provider, t.target, t.seen_at, t.guard,
    (SELECT count(*) FROM plan_attempts a WHERE a.state = 'executing' AND a.target = t.target AND a.deadline > hybrid_clock()),
    coalesce(d.calls, 0), coalesce(d.pico_usd, 0)::bigint, coalesce(d.estimated, 0), coalesce(d.unpriced, 0)
FROM provider_targets t LEFT JOIN today d ON d.target = t.target
ORDER BY t.provider, t.target`

// Targets lists the targets that a worker of the fleet was ever configured for.
func (s *Store) Targets(ctx context.Context) (Targets, error) {
	var seen Targets
	err := s.readTx(ctx, func(tx pgx.Tx) error {
		var st statements
		st.query("clock", into(pgx.RowTo[time.Time], func(t time.Time) error { seen.Now = t; return nil }), "SELECT hybrid_clock()")
		st.query("spent today", into(pgx.RowTo[int64], func(pico int64) error { seen.SpentPicoUSD = pico; return nil }),
			`SELECT pico_usd FROM provider_days WHERE day = (hybrid_clock() AT TIME ZONE 'UTC')::date`)
		st.query("targets", into(scanTarget, func(t Target) error { seen.All = append(seen.All, t); return nil }), targetsSQL)
		return st.run(ctx, tx)
	})
	if err != nil {
		return Targets{}, fmt.Errorf("targets: %w", err)
	}
	return seen, nil
}

func scanTarget(row pgx.CollectableRow) (t Target, err error) {
	var state []byte
	d := &t.Today
	if err := row.Scan(&t.Provider, &t.Key, &t.SeenAt, &state, &t.UnderWay, &d.Calls, &d.PicoUSD, &d.Estimated, &d.Unpriced); err != nil {
		return t, err
	}
	if err := json.Unmarshal(state, &t.Guard); err != nil {
		return t, fmt.Errorf("guard of %s: %w", t.Key, err)
	}
	return t, nil
}
