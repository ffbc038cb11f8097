package db

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/huntaze/hybrid-orchestrator/internal/campaign"
	"github.com/huntaze/hybrid-orchestrator/internal/picture"
)

const (
	// observeParked bounds how many parked messages an observation counts by reason.
	observeParked = 100_000
	// observeAccounts bounds for how many accounts it looks at tokens.
	observeAccounts = 2_000
)

// Observation is the fleet at one moment, for metrics. What it reads is bounded, whatever the backlog.
type Observation struct {
	Summary
	Picture           picture.Picture
	NotCounted        int64 // parked messages beyond the bound
	SendsOff          bool  // the kill switch, for all accounts
	PlanningOff       bool
	OldestJobs        map[string]time.Duration // by River's queue: for how long the oldest available job has been due
	OldestTransaction time.Duration
	Targets           Targets
}

// BeObserver makes this process the one that observes the fleet for the given time, unless another one is.
func (s *Store) BeObserver(ctx context.Context, worker string, lease time.Duration) (is bool, err error) {
	tag, err := s.pool.Exec(ctx, `UPDATE fleet_observer SET worker = $1, until = hybrid_clock() + $2::interval WHERE worker = $1 OR until < hybrid_clock()`, worker, lease)
	if err != nil {
		return false, fmt.Errorf("observer: %w", err)
	}
	return tag.RowsAffected() == 1, nil
}

// EndObserver lets another process observe the fleet at once.
func (s *Store) EndObserver(ctx context.Context, worker string) error {
	if _, err := s.pool.Exec(ctx, `UPDATE fleet_observer SET until = 'epoch' WHERE worker = $1`, worker); err != nil {
		return fmt.Errorf("observer: %w", err)
	}
	return nil
}

// Observe looks at the fleet as a whole.
func (s *Store) Observe(ctx context.Context) (Observation, error) {
	var o Observation
	var err error
	if o.Summary, err = s.Summarise(ctx); err != nil {
		return o, err
	}
	if o.Targets, err = s.Targets(ctx); err != nil {
		return o, err
	}
	err = s.readTx(ctx, func(tx pgx.Tx) error {
		accounts, err := o.readParked(ctx, tx)
		if err != nil {
			return err
		}
		o.Picture = picture.Draw(accounts, !o.FrozenUntil.IsZero(), o.Now)
		return o.readRest(ctx, tx)
	})
	if err != nil {
		return o, fmt.Errorf("observation: %w", err)
	}
	return o, nil
}

// parkedSQL groups the parked messages by account, campaign and why they wait, in the order of their index. A message may
// go since its time came, or since it was parked, whichever is later.
const parkedSQL = `
SELECT g.user_id, g.why, g.number, g.since, coalesce(c.state NOT IN ('running', 'completed'), false), coalesce(c.changed_at, 'epoch')
FROM (SELECT q.user_id, q.campaign_id, q.why, count(*) AS number, min(q.since) AS since
    FROM (SELECT w.user_id, w.campaign_id, greatest(w.not_before, w.updated_at) AS since,
            CASE WHEN w.not_before <= hybrid_clock() THEN '' WHEN w.wait_reason IN ('recipient', 'retry') THEN w.wait_reason ELSE 'schedule' END AS why
        FROM hybrid_workflows w WHERE w.stage = 'queued' ORDER BY w.user_id, w.campaign_id, w.priority, w.not_before, w.id LIMIT $1) q
    GROUP BY q.user_id, q.campaign_id, q.why) g
LEFT JOIN LATERAL (SELECT c.state, c.changed_at FROM campaigns c WHERE c.user_id = g.user_id AND c.campaign_id = g.campaign_id LIMIT 1) c ON true
ORDER BY g.user_id`

// readParked reads the accounts that have parked messages, up to the bounds.
func (o *Observation) readParked(ctx context.Context, tx pgx.Tx) ([]picture.Account, error) {
	rows, err := tx.Query(ctx, parkedSQL, observeParked)
	if err != nil {
		return nil, err
	}
	var users []string
	parked := map[string][]picture.Parked{}
	counted := int64(0)
	var user string
	var m picture.Parked
	var resumed time.Time
	if _, err := pgx.ForEachRow(rows, []any{&user, &m.Why, &m.Number, &m.Since, &m.Held, &resumed}, func() error {
		if parked[user] == nil {
			if len(users) == observeAccounts {
				return nil
			}
			users = append(users, user)
		}
		if resumed.After(m.Since) {
			m.Since = resumed
		}
		parked[user] = append(parked[user], m)
		counted += m.Number
		return nil
	}); err != nil {
		return nil, err
	}
	o.NotCounted = max(0, o.Stages["queued"].Number-counted)
	states, err := readAccountStates(ctx, tx, users, o.Now)
	if err != nil {
		return nil, err
	}
	held, err := readHeld(ctx, tx, users, o.Now)
	if err != nil {
		return nil, err
	}
	accounts := make([]picture.Account, 0, len(users))
	for _, user := range users {
		a := states[user].drawn(o.Now)
		_, quiet := held.quiet[user]
		a.Parked, a.Stopped, a.Quiet = parked[user], held.stopped[user], quiet
		accounts = append(accounts, a)
	}
	return accounts, nil
}

// drawn says how many tokens the account has, of its scarcest rule.
func (a *AccountState) drawn(now time.Time) picture.Account {
	one := picture.Account{Resting: a.RestUntil.After(now) || a.Rests > 0, Free: a.RestUntil}
	for _, tokens := range a.Tokens {
		if !one.Limited || tokens.Free() < one.Allowed-one.Used {
			one.Limited, one.Allowed, one.Used = true, tokens.Rule.Capacity, tokens.Taken
		}
		if tokens.FreeSince.After(one.Free) {
			one.Free = tokens.FreeSince
		}
	}
	return one
}

// held are the accounts that send nothing now by somebody's wish.
type held struct {
	stopped map[string]bool
	quiet   map[string]time.Time // until when; zero: nobody can read its hours, and it waits
}

func readHeld(ctx context.Context, tx pgx.Tx, users []string, now time.Time) (held, error) {
	h := held{stopped: map[string]bool{}, quiet: map[string]time.Time{}}
	var st statements
	st.query("kill switch", into(pgx.RowTo[string], func(user string) error { h.stopped[user] = true; return nil }),
		`SELECT u FROM unnest($1::text[]) u WHERE NOT sends_enabled(u)`, users)
	st.query("quiet hours", func(rows pgx.Rows) error {
		var user, hours string
		_, err := pgx.ForEachRow(rows, []any{&user, &hours}, func() error {
			quiet, err := campaign.ParseQuiet(hours)
			if err != nil {
				h.quiet[user] = time.Time{}
			} else if until := quiet.Until(now); until.After(now) {
				h.quiet[user] = until
			}
			return nil
		})
		return err
	}, `SELECT user_id, hours FROM quiet_hours WHERE user_id = ANY($1)`, users)
	return h, st.run(ctx, tx)
}

// readRest reads what is about the fleet and no account: the switches, the oldest jobs, the oldest transaction.
func (o *Observation) readRest(ctx context.Context, tx pgx.Tx) error {
	o.OldestJobs = map[string]time.Duration{}
	var st statements
	st.query("switches", func(rows pgx.Rows) error {
		_, err := pgx.ForEachRow(rows, []any{&o.SendsOff, &o.PlanningOff}, func() error { return nil })
		return err
	}, `SELECT NOT sends_enabled(''), NOT planning_enabled('')`)
	st.query("oldest jobs", func(rows pgx.Rows) error {
		var queue string
		var due *time.Time
		_, err := pgx.ForEachRow(rows, []any{&queue, &due}, func() error {
			age := time.Duration(0)
			if due != nil {
				age = o.Now.Sub(*due)
			}
			o.OldestJobs[queue] = max(o.OldestJobs[queue], age)
			return nil
		})
		return err
	}, withRiver(`SELECT q.queue, (SELECT j.scheduled_at FROM {river}.river_job j WHERE j.state = 'available' AND j.queue = q.queue
			AND j.priority = p.priority ORDER BY j.scheduled_at, j.id LIMIT 1)
		FROM (VALUES ('send'), ('default'), ('plan')) AS q(queue) CROSS JOIN (VALUES (1), (2), (3), (4)) AS p(priority)`))
	st.query("oldest transaction", func(rows pgx.Rows) error {
		var began *time.Time
		_, err := pgx.ForEachRow(rows, []any{&began}, func() error {
			if began != nil {
				o.OldestTransaction = max(0, o.Now.Sub(*began))
			}
			return nil
		})
		return err
	}, `SELECT min(xact_start) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'`)
	return st.run(ctx, tx)
}
