package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/huntaze/hybrid-orchestrator/queue"
)

// lines are n messages of the given number of accounts, whose names start with account, each recipient once.
func lines(prefix, account string, accounts, n int) *bytes.Buffer {
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	for i := range n {
		_ = encoder.Encode(map[string]any{"userId": fmt.Sprintf("%s-%d", account, i%accounts), "workflowId": fmt.Sprintf("%s-%d", prefix, i),
			"recipientId": fmt.Sprintf("fan-%s-%d", prefix, i), "content": "Thank you for being here. There is something new on my page tonight."})
	}
	return &b
}

func (f *fleet) fill(ctx context.Context, prefix, account string, accounts, n int) error {
	sender := queue.Sender{API: f.sqs.Client(), Queue: queueName}
	result, err := sender.Send(ctx, lines(prefix, account, accounts, n))
	if err == nil && result.Sent != n {
		err = fmt.Errorf("%d of %d messages were put on the queue", result.Sent, n)
	}
	return err
}

func (f *fleet) accepted(n int) func() (bool, error) {
	return func() (bool, error) { return f.gateway.Stats().Accepted >= int64(n), nil }
}

// pathRate measures from a full queue to the last arrival, in messages per second.
func (b *bench) pathRate(ctx context.Context, recipient string) (float64, error) {
	f, err := b.fleet(ctx, "10/60s", recipient)
	if err != nil {
		return 0, err
	}
	defer f.close()
	n := b.count(20_000)
	if err := f.fill(ctx, "path", "creator", 10_000, n); err != nil {
		return 0, err
	}
	begin := time.Now()
	if err := f.start(ctx); err != nil {
		return 0, err
	}
	if err := waitFor(ctx, 5*time.Minute, "whole path", f.accepted(n)); err != nil {
		return 0, err
	}
	return float64(n) / time.Since(begin).Seconds(), nil
}
