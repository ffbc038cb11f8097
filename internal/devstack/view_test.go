package devstack

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/huntaze/hybrid-orchestrator/internal/devstack/screen"
)

func TestNotMoreThanAFewLinesASecond(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	now := noon
	v := &lines{out: &out, now: func() time.Time { return now }}
	sent, longest := 0, 0
	for range 40 { // ten seconds
		now = now.Add(drawEvery)
		var n news
		for range 25 {
			sent++
			n.arrivals = append(n.arrivals, screen.Arrival{At: now, Account: "a", Recipient: fmt.Sprint(sent)})
		}
		before := out.Len()
		if err := v.show(screen.Snapshot{Now: now, All: screen.Account{Sent: sent}}, n); err != nil {
			t.Fatal(err)
		}
		longest = max(longest, strings.Count(out.String()[before:], "\n"))
	}
	total := strings.Count(out.String(), "\n")
	if total > 10*(linesPerSecond+1) || total < 10 {
		t.Errorf("%d lines in ten seconds", total)
	}
	if longest > linesPerSecond+1 {
		t.Errorf("%d lines at once", longest)
	}
	if !strings.Contains(out.String(), "arrivals without a line of their own") {
		t.Error("it does not say that some got no line")
	}
}

func TestNothingNewIsNotRepeated(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	now := noon
	v := &lines{out: &out, now: func() time.Time { return now }}
	for range 1000 {
		now = now.Add(drawEvery)
		if err := v.show(screen.Snapshot{Now: now}, news{}); err != nil {
			t.Fatal(err)
		}
	}
	if n := strings.Count(out.String(), "\n"); n != 1 {
		t.Errorf("%d lines, want 1:\n%s", n, out.String())
	}
}

func TestUTF8(t *testing.T) {
	t.Parallel()
	for want, all := range map[bool][]map[string]string{
		true:  {{"LANG": "en_US.UTF-8"}, {"LANG": "C", "LC_ALL": "C.utf8"}, {"LC_CTYPE": "de_DE.UTF-8", "LANG": "C"}},
		false: {{}, {"LANG": "C"}, {"LANG": "en_US.UTF-8", "LC_ALL": "POSIX"}},
	} {
		for _, environ := range all {
			if got := isUTF8(func(name string) string { return environ[name] }); got != want {
				t.Errorf("%v: %v", environ, got)
			}
		}
	}
}

func TestRateIsThatOfAMinute(t *testing.T) {
	t.Parallel()
	var r rate
	var got int
	r.note(noon, 100)
	for i := range 481 { // two minutes, of ten messages a second
		got = r.note(noon.Add(time.Duration(i)*drawEvery), 100+i*10/4)
	}
	if got < 600 || got > 610 {
		t.Errorf("%d, want the 600 of a minute", got)
	}
	if n := len(r.counts); n > 70 {
		t.Errorf("%d readings are kept", n)
	}
	if got := r.note(noon.Add(5*time.Minute), 1300); got != 0 {
		t.Errorf("%d after minutes without any", got)
	}
}
