package db

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/huntaze/hybrid-orchestrator/internal/flags"
)

// claimRoutesSQL writes the sides of workflows that have none. What was taken in here is here, whatever was wanted;
// what was decided while the account was not known holds for the account, too. Everybody writes in the order of the key.
const claimRoutesSQL = `
INSERT INTO workflow_routes (workflow_id, user_id, side, decided_at, request)
SELECT c.workflow_id, c.user_id,
       CASE WHEN EXISTS (SELECT 1 FROM inbox i WHERE i.workflow_id = c.workflow_id AND c.user_id IN ('', i.user_id)) THEN 'here'
            ELSE coalesce((SELECT r.side FROM workflow_routes r WHERE r.workflow_id = c.workflow_id AND r.user_id = ''), c.wanted) END,
       hybrid_clock(), c.request
FROM unnest($1::text[], $2::text[], $3::text[], $4::text[]) WITH ORDINALITY AS c(workflow_id, user_id, wanted, request, place)
ORDER BY c.workflow_id, c.user_id, c.place
ON CONFLICT DO NOTHING`

// ClaimRoutes decides on which side workflows are, for good, and answers claim by claim. Of several claims of a workflow,
// at whatever time and by whichever process, the first decides. It must be called before a workflow is taken in or
// handed over.
func (s *Store) ClaimRoutes(ctx context.Context, claims []flags.Claim) ([]flags.Side, error) {
	n := len(claims)
	workflows, users, wanted, requests := make([]string, n), make([]string, n), make([]string, n), make([]string, n)
	for i, c := range claims {
		workflows[i], users[i], wanted[i], requests[i] = c.WorkflowID, c.UserID, string(c.Wanted), c.Request
	}
	sides := map[[2]string]flags.Side{}
	err := s.inTx(ctx, func(tx pgx.Tx) error {
		clear(sides)
		var st statements
		st.exec("claim", claimRoutesSQL, workflows, users, wanted, requests)
		var workflowID, userID string
		var side flags.Side
		st.query("sides", func(rows pgx.Rows) error {
			_, err := pgx.ForEachRow(rows, []any{&workflowID, &userID, &side}, func() error { sides[[2]string{workflowID, userID}] = side; return nil })
			return err
		}, `SELECT r.workflow_id, r.user_id, r.side FROM `+few("workflow_id, user_id", "$1::text[]", "$2::text[]")+` c
			JOIN workflow_routes r ON r.workflow_id = c.workflow_id AND r.user_id = c.user_id`, workflows, users)
		return st.run(ctx, tx)
	})
	if err != nil {
		return nil, fmt.Errorf("sides of workflows: %w", err)
	}
	answers := make([]flags.Side, n)
	for i, c := range claims {
		if answers[i] = sides[[2]string{c.WorkflowID, c.UserID}]; answers[i] == "" {
			return nil, errors.New("sides of workflows: one was not written")
		}
	}
	return answers, nil
}

// Known says on which side a workflow is, if that is decided. Without an account it looks at all workflows of that id,
// and knows it only if they are on one side.
func (s *Store) Known(ctx context.Context, userID, workflowID string) (side flags.Side, known bool, err error) {
	// As a claim would find it: the account's own, then the inbox, then one from before the account was known.
	rows, err := s.pool.Query(ctx, `
		SELECT min(k.side) FROM (
			SELECT CASE WHEN $2 = '' THEN 0 WHEN user_id = $2 THEN 1 ELSE 3 END AS rank, side FROM workflow_routes WHERE workflow_id = $1 AND ($2 = '' OR user_id IN ($2, ''))
			UNION ALL
			(SELECT CASE WHEN $2 = '' THEN 0 ELSE 2 END, 'here' FROM inbox WHERE workflow_id = $1 AND $2 IN ('', user_id) LIMIT 1)) AS k
		GROUP BY k.rank HAVING count(DISTINCT k.side) = 1 ORDER BY k.rank LIMIT 1`, workflowID, userID)
	if err != nil {
		return "", false, fmt.Errorf("side of a workflow: %w", err)
	}
	side, err = pgx.CollectExactlyOneRow(rows, pgx.RowTo[flags.Side])
	if errors.Is(err, pgx.ErrNoRows) {
		return "", false, nil
	}
	if err != nil {
		return "", false, fmt.Errorf("side of a workflow: %w", err)
	}
	return side, true, nil
}

// Owners finds the accounts of workflows by their ids: of those that belong to exactly one.
func (s *Store) Owners(ctx context.Context, workflowIDs []string) (map[string]string, error) {
	rows, err := s.pool.Query(ctx, `
		SELECT o.workflow_id, min(o.user_id) FROM (
			SELECT workflow_id, user_id FROM inbox WHERE workflow_id = ANY($1)
			UNION SELECT workflow_id, user_id FROM workflow_routes WHERE workflow_id = ANY($1) AND user_id <> '') AS o
		GROUP BY o.workflow_id HAVING count(*) = 1`, workflowIDs)
	if err != nil {
		return nil, fmt.Errorf("accounts of workflows: %w", err)
	}
	owners := make(map[string]string, len(workflowIDs))
	var workflowID, userID string
	if _, err := pgx.ForEachRow(rows, []any{&workflowID, &userID}, func() error { owners[workflowID] = userID; return nil }); err != nil {
		return nil, fmt.Errorf("accounts of workflows: %w", err)
	}
	return owners, nil
}

// CampaignHere says whether a campaign is known here; without an account, whether any of that id is.
func (s *Store) CampaignHere(ctx context.Context, userID, campaignID string) (here bool, err error) {
	// Not by the key alone where the account is missing: campaigns are few.
	err = s.pool.QueryRow(ctx, `SELECT EXISTS (SELECT 1 FROM campaigns WHERE campaign_id = $2 AND $1 IN ('', user_id))`, userID, campaignID).Scan(&here)
	if err != nil {
		return false, fmt.Errorf("side of a campaign: %w", err)
	}
	return here, nil
}
