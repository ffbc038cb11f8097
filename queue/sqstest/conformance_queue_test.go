package sqstest_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/google/go-cmp/cmp"
)

func TestCreateQueueWithRedrivePolicyAndTags(t *testing.T) {
	e := newEnv(t)
	dead := e.queue("dead", nil)
	policy := redrivePolicy(e.arn(dead), 3)
	out, err := e.client.CreateQueue(e.ctx, &sqs.CreateQueueInput{
		QueueName:  aws.String(e.name("main")),
		Attributes: map[string]string{"RedrivePolicy": policy, "VisibilityTimeout": "300"},
		Tags:       map[string]string{"team": "messages"},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer e.client.DeleteQueue(e.ctx, &sqs.DeleteQueueInput{QueueUrl: out.QueueUrl}) //nolint:errcheck // cleaning up

	attributes := e.attributes(*out.QueueUrl)
	if got := attributes["RedrivePolicy"]; got != policy {
		t.Errorf("RedrivePolicy is %s, want %s", got, policy)
	}
	if got := attributes["VisibilityTimeout"]; got != "300" {
		t.Errorf("VisibilityTimeout is %s", got)
	}
	if !strings.HasSuffix(attributes["QueueArn"], ":"+e.name("main")) {
		t.Errorf("QueueArn is %s", attributes["QueueArn"])
	}

	_, err = e.client.TagQueue(e.ctx, &sqs.TagQueueInput{QueueUrl: out.QueueUrl, Tags: map[string]string{"stage": "test"}})
	if err != nil {
		t.Fatal(err)
	}
	tags, err := e.client.ListQueueTags(e.ctx, &sqs.ListQueueTagsInput{QueueUrl: out.QueueUrl})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]string{"team": "messages", "stage": "test"}, tags.Tags); diff != "" {
		t.Error(diff)
	}
	if _, err := e.client.UntagQueue(e.ctx, &sqs.UntagQueueInput{QueueUrl: out.QueueUrl, TagKeys: []string{"team"}}); err != nil {
		t.Fatal(err)
	}
	tags, err = e.client.ListQueueTags(e.ctx, &sqs.ListQueueTagsInput{QueueUrl: out.QueueUrl})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]string{"stage": "test"}, tags.Tags); diff != "" {
		t.Error(diff)
	}
}

func TestCreateQueueIsIdempotent(t *testing.T) {
	e := newEnv(t)
	first := e.queue("q", map[string]string{"VisibilityTimeout": "45"})
	for _, attributes := range []map[string]string{nil, {"VisibilityTimeout": "45"}, {"DelaySeconds": "0"}} {
		again, err := e.client.CreateQueue(e.ctx, &sqs.CreateQueueInput{QueueName: aws.String(e.name("q")), Attributes: attributes})
		if err != nil {
			t.Fatalf("with %v: %v", attributes, err)
		}
		if *again.QueueUrl != first {
			t.Errorf("URL is %s, want %s", *again.QueueUrl, first)
		}
	}
	_, err := e.client.CreateQueue(e.ctx, &sqs.CreateQueueInput{
		QueueName: aws.String(e.name("q")), Attributes: map[string]string{"VisibilityTimeout": "46"},
	})
	wantTyped[*types.QueueNameExists](t, err)
}

func TestCreateQueueRefuses(t *testing.T) {
	e := newEnv(t)
	for _, c := range []struct {
		title, name string
		attributes  map[string]string
		code        string
	}{
		{"bad name", "not a name", nil, "InvalidParameterValue"},
		{"long name", strings.Repeat("x", 81), nil, "InvalidParameterValue"},
		{"FIFO name without attribute", e.name("x.fifo"), nil, "InvalidParameterValue"},
		{"FIFO attribute without name", e.name("x"), map[string]string{"FifoQueue": "true"}, "InvalidParameterValue"},
		{"FIFO attribute on a standard queue", e.name("x"), map[string]string{"FifoQueue": "false"}, "InvalidAttributeName"},
		{"unknown attribute", e.name("x"), map[string]string{"Colour": "red"}, "InvalidAttributeName"},
		{"visibility out of range", e.name("x"), map[string]string{"VisibilityTimeout": "43201"}, "InvalidAttributeValue"},
		{"retention out of range", e.name("x"), map[string]string{"MessageRetentionPeriod": "59"}, "InvalidAttributeValue"},
		{"wait out of range", e.name("x"), map[string]string{"ReceiveMessageWaitTimeSeconds": "21"}, "InvalidAttributeValue"},
		{"delay not a number", e.name("x"), map[string]string{"DelaySeconds": "soon"}, "InvalidAttributeValue"},
		{"size out of range", e.name("x"), map[string]string{"MaximumMessageSize": "1048577"}, "InvalidAttributeValue"},
		{"policy not JSON", e.name("x"), map[string]string{"RedrivePolicy": "{"}, "InvalidAttributeValue"},
	} {
		t.Run(c.title, func(t *testing.T) {
			_, err := e.client.CreateQueue(e.ctx, &sqs.CreateQueueInput{QueueName: aws.String(c.name), Attributes: c.attributes})
			wantCode(t, err, c.code)
		})
	}
}

func TestQueueAttributes(t *testing.T) {
	e := newEnv(t)
	url := e.queue("q", nil)
	defaults := e.attributes(url)
	for name, want := range map[string]string{
		"VisibilityTimeout": "30", "MessageRetentionPeriod": "345600", "DelaySeconds": "0", "ReceiveMessageWaitTimeSeconds": "0",
		"MaximumMessageSize": "1048576", "SqsManagedSseEnabled": "true",
		"ApproximateNumberOfMessages": "0", "ApproximateNumberOfMessagesNotVisible": "0", "ApproximateNumberOfMessagesDelayed": "0",
	} {
		if defaults[name] != want {
			t.Errorf("default %s is %q, want %q", name, defaults[name], want)
		}
	}
	if defaults["CreatedTimestamp"] == "" || defaults["LastModifiedTimestamp"] == "" {
		t.Error("timestamps are missing")
	}

	set := map[string]string{
		"VisibilityTimeout": "300", "MessageRetentionPeriod": "1209600", "DelaySeconds": "1", "ReceiveMessageWaitTimeSeconds": "20",
		"MaximumMessageSize": "1024", "SqsManagedSseEnabled": "false", "RedriveAllowPolicy": `{"redrivePermission":"denyAll"}`,
	}
	if _, err := e.client.SetQueueAttributes(e.ctx, &sqs.SetQueueAttributesInput{QueueUrl: aws.String(url), Attributes: set}); err != nil {
		t.Fatal(err)
	}
	changed := e.attributes(url)
	for name, want := range set {
		if changed[name] != want {
			t.Errorf("%s is %q, want %q", name, changed[name], want)
		}
	}

	some, err := e.client.GetQueueAttributes(e.ctx, &sqs.GetQueueAttributesInput{
		QueueUrl: aws.String(url), AttributeNames: []types.QueueAttributeName{"DelaySeconds", "RedrivePolicy"},
	})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]string{"DelaySeconds": "1"}, some.Attributes); diff != "" {
		t.Errorf("chosen attributes (-want +got):\n%s", diff)
	}
	_, err = e.client.GetQueueAttributes(e.ctx, &sqs.GetQueueAttributesInput{QueueUrl: aws.String(url), AttributeNames: []types.QueueAttributeName{"Colour"}})
	wantTyped[*types.InvalidAttributeName](t, err)
	_, err = e.client.SetQueueAttributes(e.ctx, &sqs.SetQueueAttributesInput{QueueUrl: aws.String(url), Attributes: map[string]string{"Colour": "red"}})
	wantTyped[*types.InvalidAttributeName](t, err)
	_, err = e.client.SetQueueAttributes(e.ctx, &sqs.SetQueueAttributesInput{QueueUrl: aws.String(url), Attributes: map[string]string{"DelaySeconds": "901"}})
	wantTyped[*types.InvalidAttributeValue](t, err)
}

func TestCustomerKeyReplacesManagedEncryption(t *testing.T) {
	e := newEnv(t)
	got := e.attributes(e.queue("q", map[string]string{"KmsMasterKeyId": "alias/aws/sqs"}))
	if got["KmsMasterKeyId"] != "alias/aws/sqs" || got["SqsManagedSseEnabled"] != "false" || got["KmsDataKeyReusePeriodSeconds"] != "300" {
		t.Errorf("attributes are %v", got)
	}
}

func TestApproximateCounts(t *testing.T) {
	e := ownEnv(t)
	url := e.queue("q", nil)
	for range 3 {
		e.send(url, "x")
	}
	e.send(url, "later", func(in *sqs.SendMessageInput) { in.DelaySeconds = 60 })
	e.receive(url, func(in *sqs.ReceiveMessageInput) { in.MaxNumberOfMessages = 2 })
	got := e.attributes(url)
	want := []string{"1", "2", "1"}
	if diff := cmp.Diff(want, []string{
		got["ApproximateNumberOfMessages"], got["ApproximateNumberOfMessagesNotVisible"], got["ApproximateNumberOfMessagesDelayed"],
	}); diff != "" {
		t.Error(diff)
	}
}

func TestQueueDoesNotExist(t *testing.T) {
	e := newEnv(t)
	url := e.queue("q", nil)
	missing := aws.String(url + "-missing")
	_, err := e.client.SendMessage(e.ctx, &sqs.SendMessageInput{QueueUrl: missing, MessageBody: aws.String("x")})
	wantTyped[*types.QueueDoesNotExist](t, err)
	wantCode(t, err, "AWS.SimpleQueueService.NonExistentQueue")
	_, err = e.client.ReceiveMessage(e.ctx, &sqs.ReceiveMessageInput{QueueUrl: missing})
	wantTyped[*types.QueueDoesNotExist](t, err)
	_, err = e.client.GetQueueUrl(e.ctx, &sqs.GetQueueUrlInput{QueueName: aws.String(e.name("missing"))})
	wantTyped[*types.QueueDoesNotExist](t, err)
	_, err = e.client.DeleteQueue(e.ctx, &sqs.DeleteQueueInput{QueueUrl: missing})
	wantTyped[*types.QueueDoesNotExist](t, err)
}

func TestGetQueueURLAndListQueues(t *testing.T) {
	e := newEnv(t)
	var want []string
	for _, name := range []string{"a", "b", "c"} {
		want = append(want, e.queue(name, nil))
	}
	got, err := e.client.GetQueueUrl(e.ctx, &sqs.GetQueueUrlInput{QueueName: aws.String(e.name("b"))})
	if err != nil {
		t.Fatal(err)
	}
	if *got.QueueUrl != want[1] {
		t.Errorf("URL is %s, want %s", *got.QueueUrl, want[1])
	}

	var listed []string
	pages := sqs.NewListQueuesPaginator(e.client, &sqs.ListQueuesInput{QueueNamePrefix: aws.String(e.name("")), MaxResults: aws.Int32(2)})
	count := 0
	for pages.HasMorePages() {
		page, err := pages.NextPage(e.ctx)
		if err != nil {
			t.Fatal(err)
		}
		listed = append(listed, page.QueueUrls...)
		count++
	}
	slices.Sort(listed)
	if diff := cmp.Diff(want, listed); diff != "" {
		t.Error(diff)
	}
	if count != 2 {
		t.Errorf("%d pages, want 2", count)
	}
}

func TestDeleteQueue(t *testing.T) {
	e := ownEnv(t)
	url := e.queue("q", nil)
	poll := e.poll(url)
	e.awaitPollers(url, 1)
	if _, err := e.client.DeleteQueue(e.ctx, &sqs.DeleteQueueInput{QueueUrl: aws.String(url)}); err != nil {
		t.Fatal(err)
	}
	wantTyped[*types.QueueDoesNotExist](t, (<-poll).err)
	_, err := e.client.SendMessage(e.ctx, &sqs.SendMessageInput{QueueUrl: aws.String(url), MessageBody: aws.String("x")})
	wantTyped[*types.QueueDoesNotExist](t, err)
}

func TestPurgeQueue(t *testing.T) {
	e := ownEnv(t)
	url := e.queue("q", nil)
	for range 5 {
		e.send(url, "x")
	}
	held := e.receive(url, func(in *sqs.ReceiveMessageInput) { in.MaxNumberOfMessages = 1 })[0]
	if _, err := e.client.PurgeQueue(e.ctx, &sqs.PurgeQueueInput{QueueUrl: aws.String(url)}); err != nil {
		t.Fatal(err)
	}
	e.wantNone(url)
	e.delete(url, held) // as of any message that is gone
	if got := len(e.server.Messages(nameOf(url))); got != 0 {
		t.Errorf("%d messages are left", got)
	}
}
