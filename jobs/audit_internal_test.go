package jobs

import (
	"testing"
	"time"
)

func TestAuditIsHourlyByTheClock(t *testing.T) {
	t.Parallel()
	for from, want := range map[string]string{"10:00:00": "10:23:00", "10:22:59": "10:23:00", "10:23:00": "11:23:00", "23:40:00": "00:23:00"} {
		now, err := time.Parse(time.TimeOnly, from)
		if err != nil {
			t.Fatal(err)
		}
		if next := (hourly{}).Next(now); next.Format(time.TimeOnly) != want || !next.After(now) || next.Sub(now) > AuditEvery {
			t.Errorf("after %s: %s, want %s", from, next.Format(time.TimeOnly), want)
		}
	}
}
