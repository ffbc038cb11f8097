package e2e_test

import (
	"fmt"
	"testing"
	"time"
)

// A process whose environment forbids sends takes no wake-up and no send from those that may: what it would take
// would only go on when the reconciler finds it.
func TestProcessesThatMayNotSendTakeNothing(t *testing.T) {
	t.Parallel()
	f := newFleet(t, "SEND_RESERVATION=60s")
	f.start(3, "FLAG_SENDS_ENABLED=off")
	f.start(1)
	const accounts, each = 20, 5
	for n := range accounts {
		f.park(fmt.Sprintf("creator-%d", n), "", each)
	}
	f.exec(`UPDATE accounts SET wake_at = now()`)
	if woken, err := f.store.WakeWaiting(t.Context(), ""); err != nil || woken != accounts {
		t.Fatalf("%d accounts woken: %v", woken, err)
	}
	took := f.within(20*time.Second, "all messages sent", func() bool { return f.sent() == accounts*each })
	if n := number(f, `SELECT count(*) FROM send_attempts WHERE state <> 'accepted'`); n > 0 {
		t.Errorf("%d attempts were taken and not carried out", n)
	}
	t.Logf("%d messages of %d accounts went out within %s of their wake-ups", accounts*each, accounts, took.Round(time.Millisecond))
	f.check()
}
