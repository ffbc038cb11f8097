package db

import (
	"context"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/huntaze/hybrid-orchestrator/internal/campaign"
)

// readShares reads how far the campaigns have got that share an account's rate: those of an account with messages of
// several campaigns of which one at least has a share.
func readShares(ctx context.Context, tx pgx.Tx, accounts []*account) error {
	var users, campaigns []string
	byUser := map[string]*account{}
	for _, a := range accounts {
		names := a.dueCampaigns()
		if a.wanted == 0 || len(names) < 2 {
			continue
		}
		byUser[a.request.UserID] = a
		for _, name := range names {
			users, campaigns = append(users, a.request.UserID), append(campaigns, name)
		}
	}
	if len(users) == 0 {
		return nil
	}
	rows, err := tx.Query(ctx, `SELECT k.user_id, k.campaign_id, c.share, coalesce(p.pass, 0) FROM `+few("user_id, campaign_id", "$1::text[]", "$2::text[]")+` k
		LEFT JOIN LATERAL (SELECT c.share FROM campaigns c WHERE c.user_id = k.user_id AND c.campaign_id = k.campaign_id LIMIT 1) c ON true
		LEFT JOIN LATERAL (SELECT p.pass FROM campaign_passes p WHERE p.user_id = k.user_id AND p.campaign_id = k.campaign_id LIMIT 1) p ON true`, users, campaigns)
	if err != nil {
		return fmt.Errorf("shares: %w", err)
	}
	shared := map[string]bool{}
	var user string
	var lane campaign.Lane
	var share *int
	if _, err := pgx.ForEachRow(rows, []any{&user, &lane.Campaign, &share, &lane.Pass}, func() error {
		one := lane
		one.Weight = 1
		if share != nil {
			one.Weight, shared[user] = *share, true
		}
		byUser[user].lanes = append(byUser[user].lanes, one)
		return nil
	}); err != nil {
		return fmt.Errorf("shares: %w", err)
	}
	for user, a := range byUser {
		if !shared[user] {
			a.lanes = nil
			continue
		}
		a.rejoin()
	}
	return nil
}

func (a *account) dueCampaigns() (names []string) {
	for _, r := range a.due {
		if !slices.Contains(names, r.campaignID) {
			names = append(names, r.campaignID)
		}
	}
	return names
}

// rejoin brings campaigns up that had nothing to send for a while: they get no credit for their absence.
func (a *account) rejoin() {
	slices.SortFunc(a.lanes, func(x, y campaign.Lane) int { return int(min(max(y.Pass-x.Pass, -1), 1)) })
	for i := range a.lanes {
		if i > 0 {
			// A lane that takes part is behind the others by a message or two; one that was away by more.
			after := []campaign.Lane{a.lanes[i]}
			campaign.Advance(after, 0)
			if joined := campaign.Join(a.lanes[:i], a.lanes[i]); joined.Pass-a.lanes[i].Pass > 2*(after[0].Pass-a.lanes[i].Pass) {
				a.lanes[i] = joined
			}
		}
	}
}

// turns is the order in which the due messages go: by urgency, and among those of one priority by the shares of their
// campaigns, each campaign's own in the order of their time.
func (a *account) turns() []record {
	if len(a.lanes) == 0 {
		return a.due
	}
	lanes := slices.Clone(a.lanes)
	var order []record
	for rest := a.due; len(rest) > 0; {
		end := slices.IndexFunc(rest, func(r record) bool { return r.priority != rest[0].priority })
		if end < 0 {
			end = len(rest)
		}
		order = append(order, byShare(lanes, rest[:end])...)
		rest = rest[end:]
	}
	return order
}

func byShare(lanes []campaign.Lane, due []record) (order []record) {
	queues := map[string][]record{}
	for _, r := range due {
		queues[r.campaignID] = append(queues[r.campaignID], r)
	}
	for len(order) < len(due) {
		var open []campaign.Lane
		var index []int
		for i, lane := range lanes {
			if len(queues[lane.Campaign]) > 0 {
				open, index = append(open, lane), append(index, i)
			}
		}
		turn := campaign.Pick(open)
		name := open[turn].Campaign
		order, queues[name] = append(order, queues[name][0]), queues[name][1:]
		campaign.Advance(lanes, index[turn])
	}
	return order
}

// queuePasses notes how far the campaigns have got whose messages go.
func queuePasses(st *statements, accounts []*account, winners []winner) {
	var users, campaigns []string
	var passes []int64
	for _, a := range accounts {
		if len(a.lanes) == 0 {
			continue
		}
		for _, w := range winners {
			if w.account != a {
				continue
			}
			i := slices.IndexFunc(a.lanes, func(l campaign.Lane) bool { return l.Campaign == w.record.campaignID })
			campaign.Advance(a.lanes, i)
		}
		for _, lane := range a.lanes {
			users, campaigns, passes = append(users, a.request.UserID), append(campaigns, lane.Campaign), append(passes, lane.Pass)
		}
	}
	if len(users) == 0 {
		return
	}
	st.exec("shares", `INSERT INTO campaign_passes (user_id, campaign_id, pass) SELECT p.user_id, p.campaign_id, p.pass
		FROM unnest($1::text[], $2::text[], $3::bigint[]) AS p(user_id, campaign_id, pass) ORDER BY 1, 2
		ON CONFLICT (user_id, campaign_id) DO UPDATE SET pass = excluded.pass WHERE campaign_passes.pass <> excluded.pass`, users, campaigns, passes)
}
