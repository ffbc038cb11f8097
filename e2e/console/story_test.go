package console

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/huntaze/hybrid-orchestrator/db"
	"github.com/huntaze/hybrid-orchestrator/internal/campaign"
	"github.com/huntaze/hybrid-orchestrator/internal/flags"
	"github.com/huntaze/hybrid-orchestrator/internal/limit"
	"github.com/huntaze/hybrid-orchestrator/internal/pgtest"
	"github.com/huntaze/hybrid-orchestrator/internal/workflow"
	"github.com/huntaze/hybrid-orchestrator/worker"
)

var schema = pgtest.Template{Name: "console-browser", Migrate: func(ctx context.Context, url string) error {
	pool, err := pgxpool.New(ctx, url)
	if err != nil {
		return err
	}
	defer pool.Close()
	return db.Migrate(ctx, pool)
}}

// story is a fleet in the middle of its work, with something of everything.
type story struct {
	t        *testing.T
	database *pgtest.Database
	pool     *pgxpool.Pool
	store    *db.Store
	campaign uuid.UUID
	account  string
	waiting  string // a message that waits for a token
	doubt    string // a message that a person has to decide about
	earlier  string // another one, which stands before it
}

const minutes = 9 // that the fleet has worked

func newStory(t *testing.T) *story {
	t.Helper()
	s := &story{t: t, database: pgtest.New(t, schema), account: "creator-7", doubt: "order-1042", earlier: "order-1041"}
	s.pool = s.database.Pool(t)
	store, closeStore, err := worker.OpenStore(t.Context(), s.database.URL, 4, db.Config{
		Timing: db.Timing{Reservation: 30 * time.Second, CallTimeout: 20 * time.Second, Settle: 2 * time.Minute}, Worker: "worker-1",
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(closeStore)
	s.store = store
	account, err := limit.ParseRules("10/60s")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := store.SeedLimits(t.Context(), account, limit.Rules{}, 500*time.Millisecond); err != nil {
		t.Fatal(err)
	}
	s.database.SetClock(t, -minutes*time.Minute)
	s.campaign = s.create("creator-7", "Spring: thank you for a year", 140, true)
	s.create("creator-3", "New set on Friday", 60, true)
	s.create("creator-12", "Birthday weekend", 400, false)
	paused := s.create("creator-3", "Old price list", 25, true)
	s.change(paused, campaign.ActionPause, "the price is wrong")
	s.take("creator-9", s.earlier, "fan-880")
	s.take("creator-9", s.doubt, "fan-881")
	s.end("creator-9", func(int) db.Finish { return db.Finish{Outcome: workflow.EventUnknown, Reason: "timeout"} })
	s.exec(`UPDATE send_attempts SET look_up_at = NULL WHERE state = 'unknown'`)
	for minute := range minutes {
		for _, user := range []string{"creator-7", "creator-3"} {
			s.end(user, func(n int) db.Finish {
				if n == 3 && minute%4 == 1 {
					return db.Finish{Outcome: workflow.EventRejected, Reason: "refused", Status: 422}
				}
				return db.Finish{Outcome: workflow.EventAccepted, GatewayMessageID: fmt.Sprint("gw-", minute, "-", n), Status: 200}
			})
		}
		s.database.AdvanceClock(t, time.Minute+time.Second)
	}
	s.end("creator-7", func(n int) db.Finish {
		return db.Finish{Outcome: workflow.EventAccepted, GatewayMessageID: fmt.Sprint("gw-last-", n), Status: 200}
	})
	s.take("creator-5", "order-2001", "fan-77")
	s.end("creator-5", func(int) db.Finish {
		return db.Finish{Outcome: workflow.EventNotSent, Reason: "rate_limited", Status: 429, Rest: 3 * time.Minute, RestReason: "rate_limited"}
	})
	s.rest()
	s.database.FreezeClock(t, s.database.Clock(t)) // what waits must still wait for the same when a slow browser gets there
	return s
}

// rest is what stands around the work.
func (s *story) rest() {
	s.exec(`INSERT INTO quarantine (message_id, source, field, reason, remedy, body, received_at) VALUES
		('5fea7756-0ea4-451a-a703-a558b933e274', 'huntaze-hybrid-messages-production', 'recipientId', 'is missing', 'send recipientId in the body', '{}', hybrid_clock() - interval '3 minutes'),
		('0c1f6f0e-8f0f-4a54-9d4b-0b1f7a0f3c55', 'huntaze-hybrid-messages-production', 'body', 'is not JSON', '', '{', hybrid_clock() - interval '2 hours')`)
	s.exec(`INSERT INTO provider_targets (target, provider, seen_at, guard, updated_at) VALUES
		('azure/huntaze-prod/gpt-5-mini', 'azure', hybrid_clock(), jsonb_build_object('Failures', 5, 'Opened', 1, 'OpenUntil', to_char(hybrid_clock() AT TIME ZONE 'UTC' + interval '10 minutes', 'YYYY-MM-DD"T"HH24:MI:SS"Z"'), 'OpenReason', 'timeout'), hybrid_clock()),
		('openai/gpt-5-mini', 'openai', hybrid_clock(), '{}', hybrid_clock())`)
	for _, change := range []db.FlagChange{
		{Name: flags.PlanningEnabled, UserID: "creator-12", Value: flags.Off, By: "operator alex", Reason: "waits for the new brief"},
		{Name: flags.OrchestratorEnabled, Value: flags.On, By: "operator alex", Reason: "everybody is moved"},
	} {
		if _, err := s.store.SetFlag(s.t.Context(), change); err != nil {
			s.t.Fatal(err)
		}
	}
	if err := s.pool.QueryRow(s.t.Context(), `SELECT workflow_id FROM hybrid_workflows WHERE user_id = 'creator-7' AND stage = 'queued' ORDER BY id DESC LIMIT 1`).Scan(&s.waiting); err != nil {
		s.t.Fatal(err)
	}
}

func (s *story) create(userID, name string, recipients int, starts bool) uuid.UUID {
	s.t.Helper()
	id := uuid.Must(uuid.NewV7())
	if err := s.store.CreateCampaign(s.t.Context(), db.NewCampaign{ID: id, UserID: userID, Name: name, Content: "Thank you!", Priority: 3, Share: 1, CreatedBy: "key browsertest1"}); err != nil {
		s.t.Fatal(err)
	}
	list := make([]db.Recipient, recipients)
	for i := range list {
		list[i] = db.Recipient{ID: fmt.Sprintf("fan-%04d", i+1)}
	}
	if _, err := s.store.AddRecipients(s.t.Context(), id, list); err != nil {
		s.t.Fatal(err)
	}
	if !starts {
		return id
	}
	s.change(id, campaign.ActionStart, "")
	var step int
	if err := s.pool.QueryRow(s.t.Context(), `SELECT step FROM campaign_expansions WHERE campaign = $1`, id).Scan(&step); err != nil {
		s.t.Fatal(err)
	}
	if made, err := s.store.Expand(s.t.Context(), id, step); err != nil || made.Made != recipients {
		s.t.Fatalf("%d messages (%v)", made.Made, err)
	}
	return id
}

func (s *story) change(id uuid.UUID, action campaign.Action, reason string) {
	s.t.Helper()
	_, err := s.store.ChangeCampaign(s.t.Context(), id, func(state db.CampaignState) (db.CampaignState, error) {
		next, err := campaign.Next(campaign.State(state), action)
		return db.CampaignState(next), err
	}, reason)
	if err != nil {
		s.t.Fatal(err)
	}
}

func (s *story) take(userID, workflowID, recipientID string) {
	s.t.Helper()
	m := workflow.Message{WorkflowID: workflowID, UserID: userID, RecipientID: recipientID, Content: "Hello", Priority: workflow.PriorityDefault, MaxRetries: 3}
	if _, err := s.store.Ingest(s.t.Context(), []workflow.Delivery{{Source: "huntaze-hybrid-messages-production", MessageID: "sqs-" + workflowID, Message: m, Body: []byte("{}")}}, true); err != nil {
		s.t.Fatal(err)
	}
}

// end lets go what may go of an account, and brings it to an outcome.
func (s *story) end(userID string, outcome func(n int) db.Finish) {
	s.t.Helper()
	if _, err := s.store.Release(s.t.Context(), []db.Release{{UserID: userID}}); err != nil {
		s.t.Fatal(err)
	}
	rows, err := s.pool.Query(s.t.Context(), `SELECT workflow, sequence FROM send_attempts WHERE user_id = $1 AND state = 'reserved'`, userID)
	if err != nil {
		s.t.Fatal(err)
	}
	var attempts []db.Attempt
	for rows.Next() {
		var a db.Attempt
		if err := rows.Scan(&a.Workflow, &a.Sequence); err != nil {
			s.t.Fatal(err)
		}
		attempts = append(attempts, a)
	}
	if err := rows.Err(); err != nil {
		s.t.Fatal(err)
	}
	starts, err := s.store.Begin(s.t.Context(), attempts)
	if err != nil {
		s.t.Fatal(err)
	}
	var reports []db.Finish
	for n, start := range starts {
		if start.Verdict != db.VerdictGo {
			continue
		}
		report := outcome(n)
		report.Attempt, report.Fence = attempts[n], start.Fence
		reports = append(reports, report)
	}
	if _, err := s.store.Finish(s.t.Context(), reports, true); err != nil {
		s.t.Fatal(err)
	}
}

func (s *story) exec(sql string, args ...any) {
	s.t.Helper()
	if _, err := s.pool.Exec(s.t.Context(), sql, args...); err != nil {
		s.t.Fatal(err)
	}
}

func (s *story) state(id uuid.UUID) db.CampaignState {
	s.t.Helper()
	found, err := s.store.CampaignByID(s.t.Context(), id)
	if err != nil {
		s.t.Fatal(err)
	}
	return found.State
}

func (s *story) stage(workflowID string) (stage workflow.Stage) {
	s.t.Helper()
	if err := s.pool.QueryRow(s.t.Context(), `SELECT stage FROM hybrid_workflows WHERE workflow_id = $1`, workflowID).Scan(&stage); err != nil {
		s.t.Fatal(err)
	}
	return stage
}

// detail is what the ledger says about the latest try.
func (s *story) detail(workflowID string) (detail string) {
	s.t.Helper()
	if err := s.pool.QueryRow(s.t.Context(), `SELECT a.detail FROM send_attempts a JOIN hybrid_workflows w ON w.id = a.workflow WHERE w.workflow_id = $1 ORDER BY a.sequence DESC LIMIT 1`, workflowID).Scan(&detail); err != nil {
		s.t.Fatal(err)
	}
	return detail
}
