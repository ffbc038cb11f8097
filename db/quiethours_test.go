package db_test

import (
	"testing"
	"time"
)

// TestUnreadableQuietHours: an account whose quiet hours nobody can read waits, says so, and holds nobody else up.
func TestUnreadableQuietHours(t *testing.T) {
	t.Parallel()
	f := newFleet(t, "10/60s", "off")
	f.park(message("ann", 1), message("ben", 1))
	f.exec(`INSERT INTO quiet_hours VALUES ('ann', '22:00-08:00 Atlantis/Capital', $1, 'test')`, start)
	released, err := f.store.Release(f.ctx, releaseOf("ann", "ben"))
	if err != nil {
		t.Fatal(err)
	}
	if ann := released[0]; ann.Count != 0 || ann.Unclear == nil || ann.Next != 5*time.Minute {
		t.Errorf("ann: %+v", ann)
	}
	if ben := released[1]; ben.Count != 1 || ben.Unclear != nil {
		t.Errorf("ben: %+v", ben)
	}
	if _, err := f.store.ClearQuietHours(f.ctx, "ann"); err != nil {
		t.Fatal(err)
	}
	if r := f.release("ann"); r.Count != 1 || r.Unclear != nil {
		t.Errorf("ann, cleared: %+v", r)
	}
}

// TestStoppedAccountIsLookedAtWhenItsRestEnds: of two reasons to wait the longer one counts.
func TestStoppedAccountIsLookedAtWhenItsRestEnds(t *testing.T) {
	t.Parallel()
	f := newFleet(t, "10/60s", "off")
	f.park(message("ann", 1))
	f.exec(`UPDATE accounts SET rest_until = hybrid_clock() + interval '10 minutes'`)
	f.exec(`INSERT INTO flags (name, user_id, value, reason, changed_at, changed_by) VALUES ('sends_enabled', '', 'off', 'test', hybrid_clock(), 'test')`)
	if r := f.release("ann"); r.Count != 0 || r.Next != 10*time.Minute {
		t.Errorf("%+v", r)
	}
}
