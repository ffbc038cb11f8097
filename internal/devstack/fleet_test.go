package devstack

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"
)

func TestStopIsHurried(t *testing.T) {
	t.Parallel()
	hurry, forEver := make(chan struct{}), make(chan struct{})
	f := &fleet{cancel: func() {}, hurry: hurry, failed: make(chan error, 1)}
	f.running.Go(func() { <-forEver })
	defer func() { close(forEver); f.running.Wait() }()
	ended := make(chan error, 1)
	go func() { ended <- f.stop(t.Context()) }()
	select {
	case err := <-ended:
		t.Fatalf("it did not wait: %v", err)
	case <-time.After(50 * time.Millisecond):
	}
	close(hurry)
	if err := <-ended; err == nil || !strings.Contains(err.Error(), "twice") {
		t.Errorf("%v", err)
	}
}

func TestStopIsBounded(t *testing.T) {
	t.Parallel()
	forEver, over := make(chan struct{}), errors.New("too long")
	f := &fleet{cancel: func() {}, failed: make(chan error, 1)}
	f.running.Go(func() { <-forEver })
	defer func() { close(forEver); f.running.Wait() }()
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(over)
	if err := f.stop(ctx); !errors.Is(err, over) {
		t.Errorf("%v", err)
	}
}
