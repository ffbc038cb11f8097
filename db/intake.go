package db

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/huntaze/hybrid-orchestrator/internal/workflow"
)

// IntakeResult is what an intake did, besides its answer to each delivery.
type IntakeResult struct {
	Answers  []workflow.Intake
	Released []Released // accounts whose messages were looked at in the same transaction
}

// Ingest writes a batch of deliveries in one transaction: what each says, the workflows that are new, and,
// where tokens are free, the attempts and send jobs of the best of them. Deliveries that came before change
// nothing. When it returns an error nothing may have been written, or everything: deliver again. Without
// release it parks the messages and leaves the rest to the caller.
func (s *Store) Ingest(ctx context.Context, batch []workflow.Delivery, release bool) (IntakeResult, error) {
	var result IntakeResult
	err := s.releasing(ctx, func(tx pgx.Tx, careful bool) error {
		result = IntakeResult{}
		in := intake{store: s, batch: batch, answers: make([]workflow.Intake, len(batch)), careful: careful}
		return in.run(ctx, tx, release, &result)
	})
	return result, err
}

// intake is one batch on its way into the database.
type intake struct {
	store   *Store
	batch   []workflow.Delivery
	answers []workflow.Intake
	careful bool
	now     time.Time

	users []string           // the account of each delivery
	ids   []uuid.UUID        // the workflow of each delivery that is not quarantined
	fresh map[uuid.UUID]bool // those that are new
	texts map[int]uuid.UUID  // of the new ones that have only a brief
	jobs  []Job              // of these texts
}

func (in *intake) run(ctx context.Context, tx pgx.Tx, release bool, result *IntakeResult) error {
	if err := tx.QueryRow(ctx, "SELECT hybrid_clock()").Scan(&in.now); err != nil {
		return err
	}
	if err := in.resolveAccounts(ctx, tx); err != nil {
		return err
	}
	if err := in.insertWorkflows(ctx, tx); err != nil {
		return err
	}
	accounts := in.answer()
	var st statements
	in.queueQuarantine(&st)
	if err := st.run(ctx, tx); err != nil {
		return err
	}
	result.Answers = in.answers
	if !release {
		for _, user := range accounts {
			result.Released = append(result.Released, Released{UserID: user, Waiting: true, NextToken: -1})
		}
		return in.enqueue(ctx, tx, nil)
	}
	requests := make([]Release, len(accounts))
	for i, user := range accounts {
		requests[i].UserID = user
	}
	released, jobs, err := in.store.releaseTx(ctx, tx, requests, in.careful)
	if err != nil {
		return err
	}
	result.Released = released
	return in.enqueue(ctx, tx, jobs)
}

func (in *intake) enqueue(ctx context.Context, tx pgx.Tx, released []Job) error {
	jobs := slices.Concat(in.jobs, released)
	if len(jobs) == 0 {
		return nil
	}
	return in.store.enqueuer.EnqueueTx(ctx, tx, jobs)
}

// resolveAccounts finds the account of each delivery: in the message, else that of an existing workflow of
// the same id (also one in this batch), else the default.
func (in *intake) resolveAccounts(ctx context.Context, tx pgx.Tx) error {
	in.users = make([]string, len(in.batch))
	known := map[string]map[string]bool{}
	note := func(workflowID, userID string) {
		if known[workflowID] == nil {
			known[workflowID] = map[string]bool{}
		}
		known[workflowID][userID] = true
	}
	var missing []string
	for i, d := range in.batch {
		if d.Problem != nil {
			continue
		}
		in.users[i] = d.Message.UserID
		if in.users[i] == "" {
			missing = append(missing, d.Message.WorkflowID)
		} else {
			note(d.Message.WorkflowID, d.Message.UserID)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	rows, err := tx.Query(ctx, `SELECT DISTINCT workflow_id, user_id FROM inbox WHERE workflow_id = ANY($1)`, missing)
	if err != nil {
		return fmt.Errorf("accounts of known workflows: %w", err)
	}
	var workflowID, userID string
	if _, err := pgx.ForEachRow(rows, []any{&workflowID, &userID}, func() error { note(workflowID, userID); return nil }); err != nil {
		return fmt.Errorf("accounts of known workflows: %w", err)
	}
	for i, d := range in.batch {
		if d.Problem != nil || in.users[i] != "" {
			continue
		}
		switch owners := known[d.Message.WorkflowID]; {
		case len(owners) == 1:
			for user := range owners {
				in.users[i] = user
			}
		case len(owners) > 1:
			in.answers[i].Problem = &workflow.Problem{Field: "userId", Reason: "is missing, and workflows of several accounts have this workflowId", Remedy: "send userId in the body or as a message attribute"}
		case in.store.config.DefaultUserID != "":
			in.users[i] = in.store.config.DefaultUserID
		default:
			in.answers[i].Problem = &workflow.Problem{Field: "userId", Reason: "is missing, no workflow with this workflowId exists, and there is no default account", Remedy: "send userId in the body or as a message attribute, or set DEFAULT_USER_ID"}
		}
	}
	return nil
}

// insertWorkflows writes the workflows that do not exist yet, in the order of their keys: two batches with
// the same messages then wait for each other and never in a circle.
func (in *intake) insertWorkflows(ctx context.Context, tx pgx.Tx) error {
	in.ids = make([]uuid.UUID, len(in.batch))
	in.fresh = map[uuid.UUID]bool{}
	first := map[workflow.Key]int{}
	var order []int
	for i, d := range in.batch {
		if d.Problem != nil || in.answers[i].Problem != nil {
			continue
		}
		key := in.key(i)
		if at, twice := first[key]; twice {
			in.ids[i] = in.ids[at]
			continue
		}
		id, err := uuid.NewV7()
		if err != nil {
			return err
		}
		first[key], in.ids[i] = i, id
		order = append(order, i)
	}
	slices.SortFunc(order, func(a, b int) int {
		x, y := in.key(a), in.key(b)
		return cmp.Or(cmp.Compare(x.WorkflowID, y.WorkflowID), cmp.Compare(x.UserID, y.UserID), cmp.Compare(x.RecipientID, y.RecipientID))
	})
	if len(order) == 0 {
		return nil
	}
	var keys statements
	in.queueInbox(&keys, order)
	if err := keys.run(ctx, tx); err != nil {
		return err
	}
	order = slices.DeleteFunc(order, func(i int) bool { return !in.fresh[in.ids[i]] })
	if len(order) == 0 {
		return nil
	}
	var st statements
	in.queueCampaigns(&st, order)
	if in.planned(order) {
		// In the order in which everybody locks: campaigns before their texts.
		if err := st.run(ctx, tx); err != nil {
			return err
		}
		st = statements{}
		if err := in.findTexts(ctx, tx, order); err != nil {
			return err
		}
	}
	in.queueWorkflows(&st, order)
	return st.run(ctx, tx)
}

func (in *intake) key(i int) workflow.Key {
	k := in.batch[i].Message.Key()
	k.UserID = in.users[i]
	return k
}

// trace is a delivery's trace context, as its workflow keeps it.
func (in *intake) trace(i int) workflow.TraceContext {
	m := in.batch[i].Message
	m.Trace.UserID, m.Trace.WorkflowID = in.users[i], m.WorkflowID
	return m.Trace
}

func (in *intake) queueCampaigns(st *statements, order []int) {
	users, campaignUsers, campaigns := []string{}, []string{}, []string{}
	seen := map[[2]string]bool{}
	for _, i := range order {
		user, campaign := in.users[i], in.batch[i].Message.CampaignID
		if !seen[[2]string{user}] {
			seen[[2]string{user}] = true
			users = append(users, user)
		}
		if campaign != "" && !seen[[2]string{user, campaign}] {
			seen[[2]string{user, campaign}] = true
			campaignUsers, campaigns = append(campaignUsers, user), append(campaigns, campaign)
		}
	}
	st.exec("accounts", `INSERT INTO accounts (user_id, created_at) SELECT u, $2 FROM unnest($1::text[]) u ORDER BY u ON CONFLICT DO NOTHING`, users, in.now)
	if len(campaigns) > 0 {
		st.exec("campaigns", `INSERT INTO campaigns (user_id, campaign_id, changed_at, created_at)
			SELECT c.user_id, c.campaign_id, $3, $3 FROM unnest($1::text[], $2::text[]) AS c(user_id, campaign_id) ORDER BY 1, 2 ON CONFLICT DO NOTHING`,
			campaignUsers, campaigns, in.now)
	}
}

func (in *intake) queueWorkflows(st *statements, order []int) {
	n := len(order)
	var (
		ids                                                                = make([]uuid.UUID, 0, n)
		users, workflows, recipients, campaigns, stages, waits, lastErrors []string
		states, retries, traces, sqs, contents, briefs                     []string
		extras, mergeFields                                                []*string
		texts                                                              []*uuid.UUID
		expires                                                            []*time.Time
		priorities                                                         []int16
		attempts, maxRetries                                               []int32
		notBefore                                                          []time.Time
	)
	for _, i := range order {
		d := in.batch[i]
		m := d.Message
		state := workflow.Begin(m, in.now)
		providerStates, _ := json.Marshal(state.ProviderStates)
		retryAttempts, _ := json.Marshal(state.RetryAttempts)
		traceContext, _ := json.Marshal(in.trace(i))
		var extra *string
		if len(m.Extra) > 0 {
			text := string(m.Extra)
			extra = &text
		}
		var fields *string
		if len(m.MergeFields) > 0 {
			encoded, _ := json.Marshal(m.MergeFields)
			text := string(encoded)
			fields = &text
		}
		var text *uuid.UUID
		if id, planned := in.texts[i]; planned {
			text = &id
		}
		mergeFields, texts = append(mergeFields, fields), append(texts, text)
		var expiry *time.Time
		if !m.ExpiresAt.IsZero() {
			expiry = &m.ExpiresAt
		}
		expires = append(expires, expiry)
		ids = append(ids, in.ids[i])
		users, workflows, recipients = append(users, in.users[i]), append(workflows, m.WorkflowID), append(recipients, m.RecipientID)
		campaigns, stages, waits = append(campaigns, m.CampaignID), append(stages, string(state.Stage)), append(waits, string(state.WaitReason))
		lastErrors, states, retries = append(lastErrors, state.LastError), append(states, string(providerStates)), append(retries, string(retryAttempts))
		traces, sqs, contents, briefs = append(traces, string(traceContext)), append(sqs, d.MessageID), append(contents, m.Content), append(briefs, m.Brief)
		extras, priorities = append(extras, extra), append(priorities, int16(m.Priority))
		attempts, maxRetries = append(attempts, int32(state.Attempts)), append(maxRetries, int32(state.MaxRetries))
		notBefore = append(notBefore, state.NotBefore)
	}
	st.exec("workflows", `INSERT INTO hybrid_workflows (id, user_id, workflow_id, recipient_id, campaign_id, stage, wait_reason, last_error, provider_states,
			retry_attempts, trace_context, sqs_message_id, content, brief, extra, priority, attempts, max_retries, not_before, text, merge_fields, expires_at, created_at, updated_at)
		SELECT w.id, w.user_id, w.workflow_id, w.recipient_id, w.campaign_id, w.stage, w.wait_reason, w.last_error, w.provider_states::jsonb,
			w.retry_attempts::jsonb, w.trace_context::jsonb, w.sqs_message_id, w.content, w.brief, w.extra::jsonb, w.priority, w.attempts, w.max_retries, w.not_before, w.text, w.merge_fields::jsonb, w.expires_at, $23, $23
		FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[], $9::text[], $10::text[], $11::text[],
			$12::text[], $13::text[], $14::text[], $15::text[], $16::smallint[], $17::int[], $18::int[], $19::timestamptz[], $20::uuid[], $21::text[], $22::timestamptz[])
			AS w(id, user_id, workflow_id, recipient_id, campaign_id, stage, wait_reason, last_error, provider_states, retry_attempts, trace_context,
			sqs_message_id, content, brief, extra, priority, attempts, max_retries, not_before, text, merge_fields, expires_at)`,
		ids, users, workflows, recipients, campaigns, stages, waits, lastErrors, states, retries, traces, sqs, contents, briefs, extras, priorities, attempts, maxRetries, notBefore, texts, mergeFields, expires, in.now)
}

// answer says what became of each delivery, and lists the accounts that have a new message.
func (in *intake) answer() []string {
	var accounts []string
	seen := map[string]bool{}
	told := map[uuid.UUID]bool{}
	for i, d := range in.batch {
		switch {
		case d.Problem != nil:
			in.answers[i] = workflow.Intake{Outcome: workflow.IntakeQuarantined, Problem: d.Problem}
		case in.answers[i].Problem != nil:
			in.answers[i].Outcome = workflow.IntakeQuarantined
		case in.fresh[in.ids[i]] && !told[in.ids[i]]:
			told[in.ids[i]] = true
			in.answers[i].Outcome = workflow.IntakeAccepted
			if !seen[in.users[i]] {
				seen[in.users[i]] = true
				accounts = append(accounts, in.users[i])
			}
		default:
			in.answers[i].Outcome = workflow.IntakeDuplicate
		}
	}
	return accounts
}

func (in *intake) queueInbox(st *statements, order []int) {
	n := len(order)
	ids, users, workflows, recipients := make([]uuid.UUID, n), make([]string, n), make([]string, n), make([]string, n)
	messages, sources := make([]string, n), make([]string, n)
	for j, i := range order {
		m := in.batch[i].Message
		ids[j], users[j], workflows[j], recipients[j] = in.ids[i], in.users[i], m.WorkflowID, m.RecipientID
		messages[j], sources[j] = in.batch[i].MessageID, in.batch[i].Source
	}
	st.query("inbox", into(pgx.RowTo[uuid.UUID], func(id uuid.UUID) error { in.fresh[id] = true; return nil }), `
		INSERT INTO inbox (workflow, user_id, workflow_id, recipient_id, message_id, source, received_at)
		SELECT m.workflow, m.user_id, m.workflow_id, m.recipient_id, m.message_id, m.source, $7
		FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[]) AS m(workflow, user_id, workflow_id, recipient_id, message_id, source)
		ON CONFLICT ON CONSTRAINT inbox_key DO NOTHING
		RETURNING workflow`, ids, users, workflows, recipients, messages, sources, in.now)
}

func (in *intake) queueQuarantine(st *statements) {
	order := in.byMessageID(func(i int) bool { return in.answers[i].Outcome == workflow.IntakeQuarantined })
	if len(order) == 0 {
		return
	}
	var messages, sources, fields, reasons, remedies []string
	var bodies [][]byte
	for _, i := range order {
		p := in.answers[i].Problem
		messages, sources, bodies = append(messages, in.batch[i].MessageID), append(sources, in.batch[i].Source), append(bodies, in.batch[i].Body)
		fields, reasons, remedies = append(fields, p.Field), append(reasons, p.Reason), append(remedies, p.Remedy)
	}
	st.exec("quarantine", `INSERT INTO quarantine (message_id, source, field, reason, remedy, body, received_at)
		SELECT q.message_id, q.source, q.field, q.reason, q.remedy, q.body, $7
		FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::bytea[]) AS q(message_id, source, field, reason, remedy, body)
		ON CONFLICT (message_id) DO NOTHING`, messages, sources, fields, reasons, remedies, bodies, in.now)
}

// byMessageID returns the chosen deliveries in the order of their message ids, each id once.
func (in *intake) byMessageID(chosen func(int) bool) []int {
	var order []int
	at := map[string]int{}
	for i := range in.batch {
		if !chosen(i) {
			continue
		}
		id := in.batch[i].MessageID
		if _, twice := at[id]; twice {
			continue // the same message twice in a batch: the first answer is the one that counts
		}
		at[id] = i
		order = append(order, i)
	}
	slices.SortFunc(order, func(a, b int) int { return cmp.Compare(in.batch[a].MessageID, in.batch[b].MessageID) })
	return order
}
