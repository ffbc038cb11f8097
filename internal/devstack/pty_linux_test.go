package devstack

import (
	"errors"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/huntaze/hybrid-orchestrator/internal/devstack/vt"
)

// openTerminal makes a pseudo terminal of that size.
func openTerminal(t *testing.T, columns, rows int) (master, slave *os.File) {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	number, err := unix.IoctlGetInt(int(master.Fd()), unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0)
	}
	if err == nil {
		slave, err = os.OpenFile("/dev/pts/"+strconv.Itoa(number), os.O_RDWR|syscall.O_NOCTTY, 0)
	}
	if err != nil {
		t.Fatal(errors.Join(err, master.Close()))
	}
	resize(t, master, columns, rows)
	return master, slave
}

func resize(t *testing.T, master *os.File, columns, rows int) {
	t.Helper()
	if err := unix.IoctlSetWinsize(int(master.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Col: uint16(columns), Row: uint16(rows)}); err != nil {
		t.Fatal(err)
	}
}

func init() { programTests["terminal"] = terminal }

func terminal(t *testing.T, n newcomer) {
	master, slave := openTerminal(t, 80, 24)
	defer func() { _ = master.Close() }()
	command := exec.Command(n.program, "dev", "--limit", "10/20s")
	command.Dir, command.Env = n.dir, n.environ
	command.Stdin, command.Stdout, command.Stderr = slave, slave, slave
	command.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	if err := slave.Close(); err != nil {
		t.Fatal(err)
	}
	screen := vt.New(80, 24)
	read := make(chan error, 1)
	go func() {
		buffer := make([]byte, 4096)
		for {
			size, err := master.Read(buffer)
			if _, failed := screen.Write(buffer[:size]); failed != nil {
				read <- failed
				return
			}
			if err != nil { // the other side is closed: the program has ended
				read <- nil
				return
			}
		}
	}()
	defer func() {
		if t.Failed() {
			t.Logf("history:\n%s\nscreen:\n%s", strings.Join(screen.History(), "\n"), strings.Join(screen.Lines(), "\n"))
		}
		if command.ProcessState == nil {
			_ = command.Process.Kill()
			_ = command.Wait()
		}
	}()
	count := func(what string) int { return strings.Count(strings.Join(screen.Lines(), "\n"), what) }

	eventually(t, start, "the limit is seen at work", func() bool { return count("The limit at work: night-bakery has sent its 10") == 1 })
	eventually(t, start, "what arrives is seen", func() bool { return count("night-bakery") > 3 })
	for _, part := range []string{"ACCOUNT", "INTAKE", "ARRIVED", "SAMPLE"} {
		eventually(t, start, part+" is there once", func() bool { return count(part) == 1 })
	}
	if history := strings.Join(screen.History(), "\n"); strings.Contains(history, "INTAKE") || !strings.Contains(history, "simulated: sends nothing to anybody") {
		t.Error("pictures have scrolled away, or the first lines are not there")
	}

	screen.Resize(100, 30)
	resize(t, master, 100, 30)
	eventually(t, start, "it is drawn anew", func() bool { return count("ACCOUNT") == 1 && strings.Contains(screen.Lines()[0], "Ctrl-C stops") })

	time.Sleep(time.Second) // Ctrl-C while it draws, not only at the beginning of a picture
	if _, err := master.Write([]byte{3}); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- command.Wait() }()
	select {
	case err := <-ended:
		if err != nil {
			t.Errorf("it ended: %v", err)
		}
	case <-time.After(30 * time.Second):
		t.Fatal("it still runs 30 s after Ctrl-C")
	}
	if err := <-read; err != nil {
		t.Error(err)
	}
	if screen.CursorHidden() {
		t.Error("the cursor stays hidden")
	}
	if count("Stopped after") != 1 {
		t.Error("there is no last line")
	}
}
