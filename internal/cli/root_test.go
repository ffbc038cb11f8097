package cli

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"

	"github.com/huntaze/hybrid-orchestrator/db"
)

// Run itself, with the process' environment.
func TestRun(t *testing.T) {
	t.Setenv("DATABASE_URL", "")
	t.Setenv("AWS_ENDPOINT_URL_SQS", "")
	t.Setenv("HUNTAZE_DATA_DIR", t.TempDir())
	t.Setenv("GATEWAY_TOKEN", "hunter2")
	for _, tt := range []struct {
		args []string
		code int
		says string
	}{
		{[]string{"--version"}, exitOK, "huntaze version 1.2.3"},
		{[]string{"config"}, exitOK, "[hidden]  (set)"},
		{[]string{"explain", "wf-1"}, exitMisused, "DATABASE_URL is not set"},
	} {
		var out, errOut bytes.Buffer
		code := Run(t.Context(), "1.2.3", tt.args, strings.NewReader(""), &out, &errOut)
		result{code, out.String(), errOut.String()}.wants(t, tt.code, tt.says)
	}
}

func TestCommandLine(t *testing.T) {
	t.Parallel()
	c := newTerminal(t)
	c.run().wants(t, exitOK, "Available Commands:", "send")
	c.run("help", "send").wants(t, exitOK, "Usage:", "huntaze send FILE")
	c.run("dlq").wants(t, exitOK, "redrive")
	c.run("campaign", "--help").wants(t, exitOK, "pause")
	c.run("sned").wants(t, exitMisused, `unknown command "sned" for "huntaze"`, "Did you mean this?", "send")
	c.run("dlq", "lst").wants(t, exitMisused, `unknown command "lst" for "huntaze dlq": use one of list, redrive, show`)
	c.run("migrate", "up", "now").wants(t, exitMisused, `"now"`, "usage: huntaze migrate up")
	c.run("--nonsense").wants(t, exitMisused, "unknown flag: --nonsense")
	c.run("completion", "bash").wants(t, exitOK, "bash completion")
	c.run("__complete", "limits", "").wants(t, exitOK, "show", "wake")
}

// Every command says what it is for and refuses arguments that it does not know.
func TestEveryCommandIsDescribed(t *testing.T) {
	t.Parallel()
	c := newTerminal(t)
	var walk func(*cobra.Command)
	walk = func(cmd *cobra.Command) {
		if cmd.Name() == "completion" || cmd.Name() == "help" {
			return
		}
		path := strings.Fields(cmd.CommandPath())[1:]
		if len(path) > 0 {
			c.run(append(path, "--help")...).wants(t, exitOK, "Usage:", "huntaze "+strings.Join(path, " "))
			if cmd.Short == "" {
				t.Errorf("%s: no description", cmd.CommandPath())
			}
			c.run(append(path, "a", "b", "c", "d")...).wants(t, exitMisused)
		}
		for _, child := range cmd.Commands() {
			walk(child)
		}
	}
	var nothing bytes.Buffer
	walk(c.app(strings.NewReader(""), &nothing, &nothing).root())
}

func TestClean(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"Grüße, 你好 🙂":          "Grüße, 你好 🙂",
		"two\nlines\tand tabs": "two\nlines\tand tabs",
		"\x1b]0;title\a":       `\x1b]0;title\a`,
		"\x00 \xff\xfe":        `\x00 \xff\xfe`,
		"right\u202eleft":      `right\u202eleft`,
		"\ufffd":               "\ufffd",
	} {
		if got := clean(text); got != want {
			t.Errorf("%q is shown as %q, want %q", text, got, want)
		}
	}
	if got := cell("a\tb\nc"); got != `a\tb\nc` {
		t.Errorf("a cell is %q", got)
	}
}

func TestLengthsAndNumbers(t *testing.T) {
	t.Parallel()
	for d, want := range map[time.Duration]string{
		0: "0s", 1500 * time.Microsecond: "2ms", 1540 * time.Millisecond: "1.5s", 42*time.Second + 300*time.Millisecond: "42s", 135 * time.Second: "2m15s",
		3*time.Hour + 12*time.Minute + 31*time.Second: "3h13m", 75 * time.Hour: "3d3h",
	} {
		if got := length(d); got != want {
			t.Errorf("%d is %q, want %q", d, got, want)
		}
	}
	got := []string{number(db.Count{Number: 1234567}), number(db.Count{Number: 10000, Certainty: db.AtLeast}), grouped(-1234), plural(1, "line"), plural(2, "line")}
	if diff := cmp.Diff([]string{"1,234,567", "over 10,000", "-1,234", "1 line", "2 lines"}, got); diff != "" {
		t.Error(diff)
	}
}

func TestProgress(t *testing.T) {
	t.Parallel()
	now := start
	clock := func() time.Time { return now }
	var screen bytes.Buffer
	bar := newProgress(&screen, true, clock)
	bar.show(0.1, "too early")
	now = now.Add(barEvery)
	bar.show(0.5, "1,000 sent, 0 refused")
	now = now.Add(barEvery)
	bar.show(1, "2 sent")
	bar.end()
	frames := strings.Split(screen.String(), "\r")
	want := []string{"", strings.Repeat("█", 15) + strings.Repeat("░", 15) + "  50%  1,000 sent, 0 refused",
		strings.Repeat("█", 30) + " 100%  2 sent" + strings.Repeat(" ", 15), strings.Repeat(" ", 43), ""}
	if diff := cmp.Diff(want, frames); diff != "" {
		t.Errorf("on a terminal (-want +got):\n%s", diff)
	}

	var log bytes.Buffer
	plain := newProgress(&log, false, clock)
	for range 100 {
		now = now.Add(time.Second / 5)
		plain.show(-1, "some sent")
	}
	now = now.Add(lineEvery)
	plain.show(0.25, "more sent")
	plain.end()
	if got := log.String(); got != strings.Repeat("some sent\n", 4)+" 25%  more sent\n" {
		t.Errorf("in a log: %q", got)
	}
}
