package e2e_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
)

// key is what makes two deliveries the same message.
type key struct{ user, workflow, recipient string }

// input is a message that was handed over.
type input struct {
	key
	campaign  string
	content   string // of a message with a brief: what must arrive; empty: what the database says
	brief     string // for a provider to write the text from
	fields    map[string]string
	priority  int
	notBefore time.Time // zero: at once
}

// badInput is a body that can't be used, by the id that SQS gave it.
type badInput struct {
	name  string
	field string // what its quarantine must name
}

// newInput is the n-th message of an account, to a recipient of its own.
func newInput(user string, n int) input {
	id := user + "-" + strconv.Itoa(n)
	return input{key: key{user, "wf-" + id, "fan-" + id}, content: "Hello " + id, priority: 3}
}

// newInputs is count messages for each of several accounts, by turns.
func newInputs(accounts, count int) []input {
	var all []input
	for n := range count {
		for a := range accounts {
			all = append(all, newInput("creator-"+strconv.Itoa(a), n))
		}
	}
	return all
}

func (in input) body() string {
	fields := map[string]any{"userId": in.user, "workflowId": in.workflow, "recipientId": in.recipient, "priority": in.priority}
	if in.brief == "" {
		fields["content"] = in.content
	} else {
		fields["brief"] = in.brief
	}
	if len(in.fields) > 0 {
		fields["mergeFields"] = in.fields
	}
	if !in.notBefore.IsZero() {
		fields["scheduledFor"] = in.notBefore.UTC().Format(time.RFC3339Nano)
	}
	if in.campaign != "" {
		fields["campaignId"] = in.campaign
	}
	body, _ := json.Marshal(fields) // strings, maps of them and an int: can't fail
	return string(body)
}

// put hands messages over: they are on the queue when it returns. A message may be put several times.
func (f *fleet) put(inputs ...input) {
	f.t.Helper()
	bodies := make([]string, len(inputs))
	f.mu.Lock()
	for i, in := range inputs {
		bodies[i] = in.body()
		f.inputs[in.key] = in
	}
	f.mu.Unlock()
	f.putBodies(bodies...)
}

// putBodies puts any bodies on the queue and returns the ids that SQS gave them.
func (f *fleet) putBodies(bodies ...string) (ids []string) {
	f.t.Helper()
	client := f.sqs.Client()
	const most = 10 // in one call
	for len(bodies) > 0 {
		batch := bodies[:min(most, len(bodies))]
		bodies = bodies[len(batch):]
		request := &sqs.SendMessageBatchInput{QueueUrl: aws.String(f.queueURL(mainQueue))}
		for i, body := range batch {
			request.Entries = append(request.Entries, types.SendMessageBatchRequestEntry{Id: aws.String(strconv.Itoa(i)), MessageBody: aws.String(body)})
		}
		out, err := client.SendMessageBatch(context.Background(), request)
		if err != nil || len(out.Failed) > 0 {
			f.t.Errorf("put messages on the queue: %v", err)
			return ids
		}
		for _, done := range out.Successful {
			ids = append(ids, aws.ToString(done.MessageId))
		}
	}
	return ids
}

func (f *fleet) queueURL(name string) string { return f.sqs.URL + "/000000000000/" + name }

// park writes messages straight into the database, as if an intake had parked them: a backlog that would take
// minutes to come in. A reconciler or the next message of the account wakes them.
func (f *fleet) park(user, campaign string, count int) {
	f.t.Helper()
	f.exec(`INSERT INTO accounts (user_id, created_at) VALUES ($1, now()) ON CONFLICT DO NOTHING`, user)
	if campaign != "" {
		f.exec(`INSERT INTO campaigns (user_id, campaign_id, changed_at, created_at) VALUES ($1, $2, now(), now()) ON CONFLICT DO NOTHING`, user, campaign)
	}
	f.exec(`INSERT INTO hybrid_workflows (id, user_id, workflow_id, recipient_id, campaign_id, stage, not_before, provider_states, retry_attempts,
			trace_context, content, created_at, updated_at)
		SELECT gen_random_uuid(), $1, 'wf-' || $1 || '-' || n, 'fan-' || $1 || '-' || n, $2, 'queued', now(),
			'{"azure":"pending","openai":"pending","rateLimiter":"pending","onlyFans":"pending"}', '{"azure":0,"openai":0,"onlyFans":0}',
			'{"traceId":"0af7651916cd43dd8448eb211c80319c","spanId":"b7ad6b7169203331","timestamp":"2026-01-01T00:00:00Z"}',
			'Hello ' || $1 || '-' || n, now(), now()
		FROM generate_series(0, $3::int - 1) AS n`, user, campaign, count)
	f.exec(`ANALYZE hybrid_workflows`)
	f.mu.Lock()
	defer f.mu.Unlock()
	for n := range count {
		in := newInput(user, n)
		in.campaign = campaign
		f.inputs[in.key] = in
	}
}

func (k key) String() string { return fmt.Sprintf("%s/%s/%s", k.user, k.workflow, k.recipient) }
