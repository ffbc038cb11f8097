package db

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/huntaze/hybrid-orchestrator/internal/provider"
	"github.com/huntaze/hybrid-orchestrator/internal/provider/fallback"
	"github.com/huntaze/hybrid-orchestrator/internal/provider/guard"
)

// plannedText is a text's row.
type plannedText struct {
	id         uuid.UUID
	userID     string
	campaignID string
	workflow   *uuid.UUID
	brief      string
	fields     []string
	recipient  map[string]string
	template   string
	state      string
	step       int
	attempts   int
	dueAt      time.Time
	waitsFor   string
	body       string
	why        string
	source     string
	reason     string
	progress   fallback.Progress
	campaign   CampaignState // empty: it belongs to none
	disabled   bool          // by the flag planning_enabled
	maxCost    *int64        // pico-USD that the texts of its campaign may cost; nil: no limit
	cost       int64         // that they have cost so far, read only where there is a limit
	open       *openCall
}

// openCall is a call that is written down and has not been reported.
type openCall struct {
	id       uuid.UUID
	provider provider.Name
	target   string
	probe    bool
	deadline time.Time
}

func (t *plannedText) call() PlanCall {
	return PlanCall{Sequence: t.attempts, Template: t.template, Brief: t.brief, Fields: t.fields, Recipient: t.recipient, Violations: t.progress.Checkpoint.Violations}
}

// read locks the texts and what their steps may change, always in this order: campaigns, texts, targets; their
// messages and accounts follow in spread.
func (p *planning) read(ctx context.Context, tx pgx.Tx) error {
	ids := make([]uuid.UUID, len(p.steps))
	for i, step := range p.steps {
		ids[i] = step.Text
	}
	var targets []string
	for _, name := range slices.Sorted(maps.Keys(p.config.Targets)) {
		targets = append(targets, p.config.Targets[name].Key())
	}
	slices.Sort(targets)
	p.texts, p.guards, p.underWay = map[uuid.UUID]*plannedText{}, map[string]guard.State{}, map[string]int{}
	campaigns := map[campaignKey]CampaignState{}
	var st statements
	st.query("campaigns", func(rows pgx.Rows) error {
		var key campaignKey
		var state CampaignState
		_, err := pgx.ForEachRow(rows, []any{&key.userID, &key.campaignID, &state}, func() error { campaigns[key] = state; return nil })
		return err
	}, `SELECT c.user_id, c.campaign_id, c.state FROM campaigns c
		WHERE (c.user_id, c.campaign_id) IN (SELECT t.user_id, t.campaign_id FROM texts t WHERE t.id = ANY($1))
		ORDER BY 1, 2 FOR SHARE OF c`, ids)
	st.query("texts", into(scanText, func(t *plannedText) error {
		t.campaign = campaigns[campaignKey{t.userID, t.campaignID}]
		p.texts[t.id] = t
		return nil
	}), `SELECT id, user_id, campaign_id, workflow, brief, fields, recipient, template, state, step, attempts, due_at, waits_for, body, why, source, reason,
			current_provider, provider_states, fallback_history, retry_attempts, checkpoint_data, NOT planning_enabled(user_id),
			(SELECT c.max_cost_pico FROM campaigns c WHERE c.user_id = texts.user_id AND c.campaign_id = texts.campaign_id LIMIT 1)
		FROM texts WHERE id = ANY($1) ORDER BY id FOR UPDATE`, ids)
	st.query("open calls", func(rows pgx.Rows) error {
		for rows.Next() {
			var text uuid.UUID
			var c openCall
			if err := rows.Scan(&text, &c.id, &c.provider, &c.target, &c.probe, &c.deadline); err != nil {
				return err
			}
			p.texts[text].open = &c
		}
		return nil
	}, `SELECT text, id, provider, target, probe, deadline FROM plan_attempts WHERE text = ANY($1) AND state = 'executing'`, ids)
	st.query("targets", func(rows pgx.Rows) error {
		var key string
		var state []byte
		_, err := pgx.ForEachRow(rows, []any{&key, &state}, func() error {
			var g guard.State
			if err := json.Unmarshal(state, &g); err != nil {
				return fmt.Errorf("guard of %s: %w", key, err)
			}
			p.guards[key] = g
			return nil
		})
		return err
	}, `SELECT target, guard FROM provider_targets WHERE target = ANY($1) ORDER BY target FOR UPDATE`, targets)
	// From here on the time is the one at which the locks were had.
	st.query("clock", into(pgx.RowTo[time.Time], func(t time.Time) error { p.now = t; return nil }), "SELECT hybrid_clock()")
	// Also those that have ended by themselves and are about to be reported: what they say is not known yet.
	st.query("calls under way", func(rows pgx.Rows) error {
		var key string
		var count int
		_, err := pgx.ForEachRow(rows, []any{&key, &count}, func() error { p.underWay[key] = count; return nil })
		return err
	}, `SELECT target, count(*) FROM plan_attempts WHERE state = 'executing' AND target = ANY($1) AND deadline > hybrid_clock() - $2::interval GROUP BY target`, targets, planSlack)
	st.query("spent today", into(pgx.RowTo[int64], func(pico int64) error { p.spent = pico; return nil }),
		`SELECT pico_usd FROM provider_days WHERE day = (hybrid_clock() AT TIME ZONE 'UTC')::date`)
	if err := st.run(ctx, tx); err != nil {
		return err
	}
	return p.readCampaignCosts(ctx, tx)
}

// readCampaignCosts adds up what the texts of campaigns with a limit have cost, and what the calls under way may.
func (p *planning) readCampaignCosts(ctx context.Context, tx pgx.Tx) error {
	for _, t := range p.texts {
		if t.maxCost == nil || t.state != textPlanning {
			continue
		}
		var underWay int64
		err := tx.QueryRow(ctx, `SELECT (SELECT coalesce(sum(pico_usd), 0)::bigint FROM provider_costs WHERE user_id = $1 AND campaign_id = $2 AND campaign_id <> ''),
			(SELECT count(*) FROM texts o JOIN plan_attempts a ON a.text = o.id AND a.state = 'executing' WHERE o.user_id = $1 AND o.campaign_id = $2 AND o.state = 'planning')`,
			t.userID, t.campaignID).Scan(&t.cost, &underWay)
		if err != nil {
			return fmt.Errorf("cost of the campaign: %w", err)
		}
		if underWay > 0 {
			for name := range p.config.Targets {
				if most := p.config.Estimate(name, t.call()).PicoUSD; most != nil {
					t.cost += underWay * *most
					break
				}
			}
		}
	}
	return nil
}

func scanText(row pgx.CollectableRow) (*plannedText, error) {
	var t plannedText
	var states, history, retries, checkpoint []byte
	err := row.Scan(&t.id, &t.userID, &t.campaignID, &t.workflow, &t.brief, &t.fields, &t.recipient, &t.template, &t.state, &t.step, &t.attempts, &t.dueAt,
		&t.waitsFor, &t.body, &t.why, &t.source, &t.reason, &t.progress.Current, &states, &history, &retries, &checkpoint, &t.disabled, &t.maxCost)
	if err != nil {
		return nil, err
	}
	for _, part := range []struct {
		column string
		text   []byte
		value  any
	}{{"provider_states", states, &t.progress.States}, {"fallback_history", history, &t.progress.History},
		{"retry_attempts", retries, &t.progress.Retries}, {"checkpoint_data", checkpoint, &t.progress.Checkpoint}} {
		if err := json.Unmarshal(part.text, part.value); err != nil {
			return nil, fmt.Errorf("text %s: %s: %w", t.id, part.column, err)
		}
	}
	return &t, nil
}

// write makes the decisions durable.
func (p *planning) write(ctx context.Context, tx pgx.Tx) error {
	var st statements
	p.queueEnded(&st)
	p.queueCosts(&st)
	p.queueSpent(&st)
	p.queueTexts(&st)
	p.queueBegun(&st)
	p.queueGuards(&st)
	return st.run(ctx, tx)
}

func (p *planning) queueEnded(st *statements) {
	var ids []uuid.UUID
	var states, classes, codes, requests, violations []string
	var statuses []int32
	for _, e := range p.ended {
		broken, _ := json.Marshal(append([]string{}, e.violations...))
		ids, states, classes = append(ids, e.attempt), append(states, e.state), append(classes, string(e.result.Class))
		codes, requests, statuses = append(codes, e.result.Code), append(requests, e.result.RequestID), append(statuses, int32(e.result.Status))
		violations = append(violations, string(broken))
	}
	if len(ids) == 0 {
		return
	}
	st.exec("ended calls", `UPDATE plan_attempts a SET state = e.state, class = e.class, code = e.code, request_id = e.request_id, status = e.status,
			violations = e.violations::jsonb, ended_at = $8
		FROM `+few("id, state, class, code, request_id, status, violations", "$1::uuid[]", "$2::text[]", "$3::text[]", "$4::text[]", "$5::text[]", "$6::int[]", "$7::text[]")+` e
		WHERE a.id = e.id AND a.state = 'executing'`, ids, states, classes, codes, requests, statuses, violations, p.now)
}

func (p *planning) queueBegun(st *statements) {
	for _, b := range p.begun {
		st.exec("call", `INSERT INTO plan_attempts (id, text, sequence, provider, target, probe, repair, worker, started_at, deadline) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)`,
			b.call.Attempt, b.text, b.call.Sequence, string(b.call.Target), b.target.Key(), b.probe, len(b.call.Violations) > 0, p.store.config.Worker, p.now, b.deadline)
	}
}

func (p *planning) queueCosts(st *statements) {
	for _, c := range p.costs {
		u := c.cost.Usage
		st.exec("cost", `INSERT INTO provider_costs (attempt, at, user_id, campaign_id, workflow, text, provider, target, deployment, model, zone, tier,
				input, cached, cache_write, output, reasoning, kind, price_id, pico_usd, anomaly)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21)`,
			c.attempt, p.now, c.text.userID, c.text.campaignID, c.text.workflow, c.text.id, string(c.target.Provider), c.target.Key(), c.target.Deployment,
			c.target.Model, c.target.Zone, c.cost.Tier, u.Input, u.Cached, u.CacheWrite, u.Output, u.Reasoning, c.cost.Kind, c.cost.PriceID, c.cost.PicoUSD, c.cost.Anomaly)
	}
}

// queueSpent adds the costs to their day.
func (p *planning) queueSpent(st *statements) {
	sum := int64(0)
	for _, c := range p.costs {
		if c.cost.PicoUSD != nil {
			sum += *c.cost.PicoUSD
		}
	}
	if sum > 0 {
		st.exec("spent today", `INSERT INTO provider_days AS d (day, pico_usd) VALUES (($1::timestamptz AT TIME ZONE 'UTC')::date, $2)
			ON CONFLICT (day) DO UPDATE SET pico_usd = d.pico_usd + excluded.pico_usd`, p.now, sum)
	}
}

func (p *planning) queueTexts(st *statements) {
	for _, id := range slices.SortedFunc(maps.Keys(p.decided), func(a, b uuid.UUID) int { return slices.Compare(a[:], b[:]) }) {
		t := p.texts[id]
		states, _ := json.Marshal(t.progress.States)
		history, _ := json.Marshal(t.progress.History)
		retries, _ := json.Marshal(t.progress.Retries)
		checkpoint, _ := json.Marshal(t.progress.Checkpoint)
		st.exec("text", `UPDATE texts SET template = $2, state = $3, step = $4, attempts = $5, due_at = $6, waits_for = $7, body = $8, why = $9, source = $10, reason = $11,
				current_provider = $12, provider_states = $13::text::jsonb, fallback_history = $14::text::jsonb, retry_attempts = $15::text::jsonb,
				checkpoint_data = $16::text::jsonb, updated_at = $17
			WHERE id = $1`, t.id, t.template, t.state, t.step, t.attempts, t.dueAt, t.waitsFor, t.body, t.why, t.source, t.reason,
			string(t.progress.Current), string(states), string(history), string(retries), string(checkpoint), p.now)
	}
}

func (p *planning) queueGuards(st *statements) {
	for _, name := range slices.Sorted(maps.Keys(p.config.Targets)) {
		key := p.config.Targets[name].Key()
		if !p.changed[key] {
			continue
		}
		state, _ := json.Marshal(p.guards[key])
		st.exec("guard", `INSERT INTO provider_targets (target, provider, guard, seen_at, updated_at) VALUES ($1, $2, $3::text::jsonb, $4, $4)
			ON CONFLICT (target) DO UPDATE SET guard = excluded.guard, updated_at = excluded.updated_at`, key, string(name), string(state), p.now)
	}
}
