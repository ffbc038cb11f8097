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
	// observePairs bounds at how many pairs of account and campaign an observation looks.
	observePairs = 2_000
	// observeEach bounds how many parked messages of a pair it reads; the others are taken to wait for the same as the last.
	observeEach = 100
)

// Observation is the fleet at one moment, for metrics. What it reads is bounded, whatever the backlog.
type Observation struct {
	Summary
	Picture           picture.Picture
	NotCounted        int64 // parked messages of pairs of account and campaign beyond the bound
	SendsOff          bool  // the kill switch, for all accounts
	PlanningOff       bool
	OldestJobs        map[string]time.Duration // by River's queue: for how long the oldest available job has been due
	OldestTransaction time.Duration
	Targets           Targets
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

// parkedSQL looks at the first parked messages of each pair of account and campaign, in the order in which they go: what a look costs does not grow with the number that wait. A message may go since its time came, or since
// it was parked, whichever is later.
const parkedSQL = pairsSQL + `
SELECT g.user_id, g.campaign_id, g.why, g.number, g.since, g.last, coalesce(c.state NOT IN ('running', 'completed'), false), coalesce(c.changed_at, 'epoch')
FROM (SELECT p.user_id, p.campaign_id, q.why, count(*) AS number, min(q.since) AS since, max(q.position) AS last
    FROM pairs p CROSS JOIN LATERAL (
        SELECT f.*, row_number() OVER () AS position FROM (
            SELECT greatest(w.not_before, w.updated_at) AS since,
                CASE WHEN w.not_before <= hybrid_clock() THEN '' WHEN w.wait_reason IN ('recipient', 'retry') THEN w.wait_reason ELSE 'schedule' END AS why
            FROM hybrid_workflows w WHERE w.stage = 'queued' AND w.user_id = p.user_id AND w.campaign_id = p.campaign_id
            ORDER BY w.priority, w.not_before, w.id LIMIT $2) f) q
    GROUP BY p.user_id, p.campaign_id, q.why) g
LEFT JOIN LATERAL (SELECT c.state, c.changed_at FROM campaigns c WHERE c.user_id = g.user_id AND c.campaign_id = g.campaign_id LIMIT 1) c ON true
ORDER BY g.user_id, g.campaign_id, g.last`

// campaignQueuedSQL are the sums of the parked messages of campaigns.
const campaignQueuedSQL = `
SELECT k.user_id, k.campaign_id, (SELECT coalesce(sum(a.number), 0)::bigint FROM (
        SELECT c.number FROM campaign_counts c WHERE c.user_id = k.user_id AND c.campaign_id = k.campaign_id AND c.stage = 'queued'
        UNION ALL SELECT d.number FROM campaign_deltas d WHERE d.user_id = k.user_id AND d.campaign_id = k.campaign_id AND d.stage = 'queued') a)
FROM unnest($1::text[], $2::text[]) AS k(user_id, campaign_id)`

// parkedGroup is where the messages of a pair beyond those that were looked at are counted: with the last of these.
type parkedGroup struct {
	user   string
	index  int // in the account's list
	looked int64
}

// readParked reads the accounts that have parked messages, up to the bounds.
func (o *Observation) readParked(ctx context.Context, tx pgx.Tx) ([]picture.Account, error) {
	rows, err := tx.Query(ctx, parkedSQL, observePairs, observeEach)
	if err != nil {
		return nil, err
	}
	var users []string
	parked, looked, more := map[string][]picture.Parked{}, map[campaignKey]int64{}, map[campaignKey]parkedGroup{}
	counted := int64(0)
	var key campaignKey
	var m picture.Parked
	var last int64
	var resumed time.Time
	if _, err := pgx.ForEachRow(rows, []any{&key.userID, &key.campaignID, &m.Why, &m.Number, &m.Since, &last, &m.Held, &resumed}, func() error {
		if parked[key.userID] == nil {
			users = append(users, key.userID)
		}
		if resumed.After(m.Since) {
			m.Since = resumed
		}
		parked[key.userID] = append(parked[key.userID], m)
		counted += m.Number
		if looked[key] += m.Number; looked[key] == observeEach {
			more[key] = parkedGroup{key.userID, len(parked[key.userID]) - 1, looked[key]}
		}
		return nil
	}); err != nil {
		return nil, err
	}
	if err := o.addBeyond(ctx, tx, parked, more, len(looked), o.Stages["queued"].Number-counted); err != nil {
		return nil, err
	}
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

// addBeyond adds the messages that were not looked at, so that all that are parked are somewhere. How many a campaign has is
// known; what is left then is without a campaign, and shared out evenly between the accounts that have more such messages.
func (o *Observation) addBeyond(ctx context.Context, tx pgx.Tx, parked map[string][]picture.Parked, more map[campaignKey]parkedGroup, pairs int, rest int64) error {
	var users, campaigns []string
	var without []parkedGroup
	for key, group := range more {
		if key.campaignID == "" {
			without = append(without, group)
			continue
		}
		users, campaigns = append(users, key.userID), append(campaigns, key.campaignID)
	}
	if len(users) > 0 {
		rows, err := tx.Query(ctx, campaignQueuedSQL, users, campaigns)
		if err != nil {
			return err
		}
		var key campaignKey
		var number int64
		if _, err := pgx.ForEachRow(rows, []any{&key.userID, &key.campaignID, &number}, func() error {
			group := more[key]
			beyond := max(0, min(number-group.looked, rest))
			parked[group.user][group.index].Number += beyond
			rest -= beyond
			return nil
		}); err != nil {
			return err
		}
	}
	if rest = max(0, rest); len(without) > 0 && pairs < observePairs {
		for i, group := range without {
			share := rest / int64(len(without)-i)
			parked[group.user][group.index].Number += share
			rest -= share
		}
	}
	o.NotCounted = rest
	return nil
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
