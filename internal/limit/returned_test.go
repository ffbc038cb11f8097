package limit_test

import (
	"testing"
	"time"

	"github.com/huntaze/hybrid-orchestrator/internal/limit"
)

func TestBucketReturned(t *testing.T) {
	t.Parallel()
	now := time.Unix(1000, 0)
	b := limit.NewBucket(limit.Rules{{Capacity: 2, Window: time.Minute}})
	b.Add(0, limit.Use{Slot: 0, FreeAt: now.Add(-time.Second)})
	if got := b.Returned(now); !got.IsZero() {
		t.Errorf("a token was never used, and %s is said", got)
	}
	b.Add(0, limit.Use{Slot: 1, FreeAt: now.Add(time.Second)})
	if got := b.Returned(now); !got.Equal(now.Add(-time.Second)) {
		t.Errorf("the only free token came back at %s", got)
	}
}
