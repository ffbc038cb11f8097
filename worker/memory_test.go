package worker_test

import (
	"runtime/debug"
	"testing"

	"github.com/huntaze/hybrid-orchestrator/worker"
)

// Whoever sets GOGC knows better.
func TestCollectRarely(t *testing.T) {
	before := debug.SetGCPercent(70)
	t.Cleanup(func() { debug.SetGCPercent(before) })
	for _, c := range []struct {
		given string
		want  int
	}{{"50", 70}, {"off", 70}, {"", 300}} {
		t.Setenv("GOGC", c.given)
		worker.CollectRarely()
		got := debug.SetGCPercent(70)
		if got != c.want {
			t.Errorf("GOGC %q: %d %%, want %d", c.given, got, c.want)
		}
	}
}
