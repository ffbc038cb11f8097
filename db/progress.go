package db

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/huntaze/hybrid-orchestrator/internal/limit"
	"github.com/huntaze/hybrid-orchestrator/internal/workflow"
)

// countMost bounds how many messages of one account, and how many of one stage, a look at the progress reads.
const countMost = 5000

// AccountProgress is how one account does now.
type AccountProgress struct {
	UserID string
	// Live counts its messages that have not ended, by stage. With More they are not all counted: an account may have
	// millions of them.
	Live    map[workflow.Stage]int
	More    bool
	Waiting []Waiting // why its queued messages wait, the reason of the most first
	Policy  limit.Policy
	// Tokens are those of the account's first rule that are not free, in the order of their return.
	Tokens     []TokenUse
	RestUntil  time.Time // the account sends nothing before; zero: it does not rest
	RestReason string
}

// Waiting is a reason to wait, and for how many messages it holds.
type Waiting struct {
	Reason workflow.WaitReason // WaitNone: their time has come, they wait for a token; WaitPaused is derived
	Count  int
	Next   time.Time // the earliest not-before among them
}

// WaitPaused is the reason of messages whose campaign is paused or cancelled. It is not stored with them.
const WaitPaused workflow.WaitReason = "paused"

// TokenUse is a token that is not free.
type TokenUse struct {
	InUse  bool      // its call has not ended
	FreeAt time.Time // of a token in use: if its call ended now
}

// Progress is how accounts do at one moment.
type Progress struct {
	Now          time.Time
	FrozenUntil  time.Time // the whole fleet sends nothing before; zero: it is not frozen
	FrozenReason string
	Accounts     []AccountProgress // in the order in which they were asked for; unknown ones are left out
}

// Progress looks at accounts without locking anything. What it reads is bounded by the number of accounts.
func (s *Store) Progress(ctx context.Context, users []string) (Progress, error) {
	p := progress{byUser: map[string]*AccountProgress{}}
	err := s.readTx(ctx, func(tx pgx.Tx) error {
		var st statements
		// The first rows in the order of an index are wanted: to fetch all of an account's and sort them is never better.
		st.exec("plans", "SET LOCAL enable_sort = off")
		st.exec("plans", "SET LOCAL enable_bitmapscan = off")
		st.query("fleet state", into(scanFleet, p.fleet), fleetSQL)
		st.query("accounts", p.readAccounts, progressAccountsSQL, users)
		st.query("limit policies", p.readPolicies, policiesSQL, users)
		st.query("tokens", into(scanHold, p.token), `SELECT user_id, rule, slot, busy_until FROM account_tokens WHERE user_id = ANY($1) AND rule = 0`, users)
		st.query("queued", p.readWaiting, progressWaitingSQL, users, countMost)
		st.query("on their way", p.readOpen, progressOpenSQL, users, countMost)
		return st.run(ctx, tx)
	})
	if err != nil {
		return Progress{}, fmt.Errorf("progress: %w", err)
	}
	result := p.result
	for _, user := range users {
		if a := p.byUser[user]; a != nil {
			slices.SortFunc(a.Tokens, func(x, y TokenUse) int { return x.FreeAt.Compare(y.FreeAt) })
			slices.SortFunc(a.Waiting, func(x, y Waiting) int { return cmp.Or(y.Count-x.Count, cmp.Compare(x.Reason, y.Reason)) })
			result.Accounts = append(result.Accounts, *a)
			delete(p.byUser, user)
		}
	}
	return result, nil
}

// progress collects what the statements of one look return.
type progress struct {
	result Progress
	byUser map[string]*AccountProgress
}

const progressAccountsSQL = `SELECT user_id, rest_until, rest_reason FROM accounts WHERE user_id = ANY($1)`

// progressWaitingSQL groups the parked messages by why they wait, reading each account's by the index of the release query.
const progressWaitingSQL = `
SELECT a.user_id, q.reason, count(*), min(q.not_before)
FROM unnest($1::text[]) AS a(user_id)
CROSS JOIN LATERAL (
    SELECT w.not_before, CASE
        WHEN EXISTS (SELECT 1 FROM campaigns c WHERE c.user_id = w.user_id AND c.campaign_id = w.campaign_id AND c.state NOT IN ('running', 'completed')) THEN 'paused'
        WHEN w.not_before > hybrid_clock() THEN w.wait_reason
        ELSE '' END AS reason
    FROM hybrid_workflows w
    WHERE w.user_id = a.user_id AND w.stage = 'queued'
    ORDER BY w.campaign_id, w.priority, w.not_before, w.id LIMIT $2
) q
GROUP BY a.user_id, q.reason`

// progressOpenSQL counts the messages in the other live stages, which are few, by their index.
const progressOpenSQL = `
SELECT o.user_id, s.stage, count(*)
FROM (VALUES ('sending'), ('in_doubt'), ('planning')) AS s(stage)
CROSS JOIN LATERAL (
    SELECT w.user_id FROM hybrid_workflows w
    WHERE w.stage IN ('sending', 'in_doubt', 'planning') AND w.stage = s.stage
    ORDER BY w.stage, w.updated_at LIMIT $2
) o
WHERE o.user_id = ANY($1)
GROUP BY o.user_id, s.stage`

func (p *progress) fleet(f fleet) error {
	p.result.Now = f.now
	if f.frozenUntil.After(f.now) {
		p.result.FrozenUntil, p.result.FrozenReason = f.frozenUntil, f.frozenReason
	}
	return nil
}

func (p *progress) readAccounts(rows pgx.Rows) error {
	var user, reason string
	var until time.Time
	_, err := pgx.ForEachRow(rows, []any{&user, &until, &reason}, func() error {
		a := &AccountProgress{UserID: user, Live: map[workflow.Stage]int{}}
		if until.After(p.result.Now) {
			a.RestUntil, a.RestReason = until, reason
		}
		p.byUser[user] = a
		return nil
	})
	return err
}

func (p *progress) readPolicies(rows pgx.Rows) error {
	all, err := collectPolicies(rows)
	for user, a := range p.byUser {
		a.Policy = all.forAccount(user)
	}
	return err
}

func (p *progress) token(h hold) error {
	a := p.byUser[h.key]
	if a == nil || len(a.Policy.Account) == 0 {
		return nil
	}
	use := TokenUse{InUse: h.until.After(p.result.Now)}
	if use.InUse {
		h.until = p.result.Now
	}
	use.FreeAt = h.until.Add(a.Policy.Account[0].Window + a.Policy.Guard)
	if use.FreeAt.After(p.result.Now) {
		a.Tokens = append(a.Tokens, use)
	}
	return nil
}

func (p *progress) readWaiting(rows pgx.Rows) error {
	var user string
	var w Waiting
	_, err := pgx.ForEachRow(rows, []any{&user, &w.Reason, &w.Count, &w.Next}, func() error {
		if a := p.byUser[user]; a != nil {
			a.Waiting = append(a.Waiting, w)
			a.Live[workflow.StageQueued] += w.Count
			a.More = a.Live[workflow.StageQueued] >= countMost
		}
		return nil
	})
	return err
}

func (p *progress) readOpen(rows pgx.Rows) error {
	var user string
	var stage workflow.Stage
	var count int
	_, err := pgx.ForEachRow(rows, []any{&user, &stage, &count}, func() error {
		if a := p.byUser[user]; a != nil {
			a.Live[stage] = count
			a.More = a.More || count >= countMost
		}
		return nil
	})
	return err
}

// KnownAccounts lists accounts for a display, at most that many: those that have parked messages first.
func (s *Store) KnownAccounts(ctx context.Context, most int) ([]string, error) {
	rows, err := s.pool.Query(ctx, `
		WITH RECURSIVE waiting(user_id, n) AS (
			(SELECT user_id, 1 FROM hybrid_workflows WHERE stage = 'queued' ORDER BY user_id LIMIT 1)
			UNION ALL
			SELECT (SELECT q.user_id FROM hybrid_workflows q WHERE q.stage = 'queued' AND q.user_id > w.user_id ORDER BY q.user_id LIMIT 1), w.n + 1
			FROM waiting w WHERE w.user_id IS NOT NULL AND w.n < $1)
		SELECT k.user_id FROM (
			SELECT user_id, 0 AS class FROM waiting WHERE user_id IS NOT NULL
			UNION ALL
			(SELECT user_id, 1 FROM accounts ORDER BY user_id LIMIT $1)) k
		GROUP BY k.user_id ORDER BY min(k.class), k.user_id LIMIT $1`, most)
	if err != nil {
		return nil, fmt.Errorf("known accounts: %w", err)
	}
	users, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return nil, fmt.Errorf("known accounts: %w", err)
	}
	return users, nil
}

// MessageProgress is where one message is.
type MessageProgress struct {
	Key        workflow.Key
	ID         uuid.UUID
	Stage      workflow.Stage
	WaitReason workflow.WaitReason
	NotBefore  time.Time
	Attempts   int // tries known not to have been sent
	LastError  string
	CreatedAt  time.Time // of its intake
	UpdatedAt  time.Time // of its latest step; for a final stage, its end
}

// Messages looks up messages by their keys; those that were never received are left out.
func (s *Store) Messages(ctx context.Context, keys []workflow.Key) ([]MessageProgress, error) {
	users, ids, recipients := make([]string, len(keys)), make([]string, len(keys)), make([]string, len(keys))
	for i, k := range keys {
		users[i], ids[i], recipients[i] = k.UserID, k.WorkflowID, k.RecipientID
	}
	rows, err := s.pool.Query(ctx, `
		SELECT w.user_id, w.workflow_id, w.recipient_id, w.id, w.stage, w.wait_reason, w.not_before, w.attempts, w.last_error, w.created_at, w.updated_at
		FROM unnest($1::text[], $2::text[], $3::text[]) AS k(user_id, workflow_id, recipient_id)
		JOIN inbox i ON i.workflow_id = k.workflow_id AND i.user_id = k.user_id AND i.recipient_id = k.recipient_id
		JOIN hybrid_workflows w ON w.id = i.workflow`, users, ids, recipients)
	if err != nil {
		return nil, fmt.Errorf("messages: %w", err)
	}
	found, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (m MessageProgress, err error) {
		return m, row.Scan(&m.Key.UserID, &m.Key.WorkflowID, &m.Key.RecipientID, &m.ID, &m.Stage, &m.WaitReason, &m.NotBefore, &m.Attempts, &m.LastError, &m.CreatedAt, &m.UpdatedAt)
	})
	if err != nil {
		return nil, fmt.Errorf("messages: %w", err)
	}
	return found, nil
}

// MessageStage is a message as a count sees it.
type MessageStage struct {
	ID        uuid.UUID
	UserID    string
	Stage     workflow.Stage
	CreatedAt time.Time
}

// MessagesAfter lists messages in the order of their ids, which is about that of their intake, from after the given one
// on, at most that many. It also returns the database's time. Messages that are being taken in may come to stand before
// others that were listed already.
func (s *Store) MessagesAfter(ctx context.Context, id uuid.UUID, most int) (messages []MessageStage, now time.Time, err error) {
	err = s.readTx(ctx, func(tx pgx.Tx) error {
		var st statements
		st.query("clock", into(pgx.RowTo[time.Time], func(t time.Time) error { now = t; return nil }), "SELECT hybrid_clock()")
		st.query("messages", into(func(row pgx.CollectableRow) (m MessageStage, err error) {
			return m, row.Scan(&m.ID, &m.UserID, &m.Stage, &m.CreatedAt)
		}, func(m MessageStage) error { messages = append(messages, m); return nil }),
			`SELECT id, user_id, stage, created_at FROM hybrid_workflows WHERE id > $1 ORDER BY id LIMIT $2`, id, most)
		return st.run(ctx, tx)
	})
	return messages, now, err
}

// StagesOf returns the stages of messages; those that do not exist are left out.
func (s *Store) StagesOf(ctx context.Context, ids []uuid.UUID) (map[uuid.UUID]workflow.Stage, error) {
	rows, err := s.pool.Query(ctx, `SELECT w.id, w.stage FROM unnest($1::uuid[]) AS u(id) JOIN hybrid_workflows w ON w.id = u.id`, ids)
	if err != nil {
		return nil, fmt.Errorf("stages: %w", err)
	}
	stages := make(map[uuid.UUID]workflow.Stage, len(ids))
	var id uuid.UUID
	var stage workflow.Stage
	if _, err := pgx.ForEachRow(rows, []any{&id, &stage}, func() error { stages[id] = stage; return nil }); err != nil {
		return nil, fmt.Errorf("stages: %w", err)
	}
	return stages, nil
}

// Quarantined is a message that could not be used, without its body.
type Quarantined struct {
	ID         int64
	Problem    workflow.Problem
	BodySHA256 []byte
	ReceivedAt time.Time
}

// QuarantinedAfter lists what was quarantined after the entry of that id, the oldest first, at most that many.
func (s *Store) QuarantinedAfter(ctx context.Context, id int64, most int) ([]Quarantined, error) {
	rows, err := s.pool.Query(ctx, `SELECT id, field, reason, remedy, sha256(body), received_at FROM quarantine WHERE id > $1 ORDER BY id LIMIT $2`, id, most)
	if err != nil {
		return nil, fmt.Errorf("quarantine: %w", err)
	}
	found, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (q Quarantined, err error) {
		return q, row.Scan(&q.ID, &q.Problem.Field, &q.Problem.Reason, &q.Problem.Remedy, &q.BodySHA256, &q.ReceivedAt)
	})
	if err != nil {
		return nil, fmt.Errorf("quarantine: %w", err)
	}
	return found, nil
}

// LastQuarantined is the id of the latest entry of the quarantine, 0 when it is empty.
func (s *Store) LastQuarantined(ctx context.Context) (id int64, err error) {
	err = s.pool.QueryRow(ctx, `SELECT coalesce((SELECT id FROM quarantine ORDER BY id DESC LIMIT 1), 0)`).Scan(&id)
	if err != nil {
		return 0, fmt.Errorf("quarantine: %w", err)
	}
	return id, nil
}
