package screen

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/huntaze/hybrid-orchestrator/internal/devstack/vt"
)

// begin makes a terminal of that size and a way to change it.
func begin(size Size) (*vt.Screen, *Terminal, func(Size)) {
	screen := vt.New(size.Width, size.Height)
	terminal := NewTerminal(screen, func() Size { return size })
	return screen, terminal, func(to Size) { size = to; screen.Resize(to.Width, to.Height) }
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestTerminalRedrawsInPlace(t *testing.T) {
	t.Parallel()
	screen, terminal, _ := begin(Size{20, 6})
	must(t, terminal.Print("before"))
	must(t, terminal.Draw([]string{"one", "two", "three"}))
	must(t, terminal.Draw([]string{"ONE", "TWO"}))
	if diff := cmp.Diff([]string{"before", "ONE", "TWO"}, screen.Lines()); diff != "" {
		t.Error(diff)
	}
	must(t, terminal.Print("said"))
	must(t, terminal.Draw([]string{"1", "2", "3"}))
	if diff := cmp.Diff([]string{"before", "said", "1", "2", "3"}, screen.Lines()); diff != "" {
		t.Error(diff)
	}
}

func TestTerminalScrolls(t *testing.T) {
	t.Parallel()
	screen, terminal, _ := begin(Size{20, 5})
	must(t, terminal.Print("a", "b", "c", "d"))
	for range 3 {
		must(t, terminal.Draw([]string{"1", "2", "3", "4"}))
	}
	if diff := cmp.Diff([]string{"d", "1", "2", "3", "4"}, screen.Lines()); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"a", "b", "c"}, screen.History()); diff != "" {
		t.Errorf("what was said must be in the history, and no picture: %s", diff)
	}
}

func TestTerminalRestoresTheCursor(t *testing.T) {
	t.Parallel()
	screen, terminal, _ := begin(Size{20, 5})
	must(t, terminal.Draw([]string{"1", "2"}))
	if !screen.CursorHidden() {
		t.Error("the cursor is shown in the picture")
	}
	must(t, terminal.Close())
	if screen.CursorHidden() {
		t.Error("the cursor stays hidden")
	}
	if _, err := screen.Write([]byte("$ ")); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"1", "2", "$"}, screen.Lines()); diff != "" {
		t.Errorf("the next prompt is not below the picture: %s", diff)
	}
}

func TestTerminalResized(t *testing.T) {
	t.Parallel()
	screen, terminal, resize := begin(Size{40, 6})
	must(t, terminal.Draw([]string{strings.Repeat("x", 39), "two"}))
	resize(Size{20, 6})
	must(t, terminal.Draw([]string{strings.Repeat("y", 19), "two"}))
	if diff := cmp.Diff([]string{strings.Repeat("y", 19), "two"}, screen.Lines()); diff != "" {
		t.Error(diff)
	}
}
