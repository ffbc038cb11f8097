package localpg

import (
	"errors"
	"os/exec"
	"runtime"
	"sync/atomic"
)

// process is a started child. Its exit is awaited once, in the goroutine that started it.
type process struct {
	pid    int
	asked  atomic.Bool   // we told it to end
	exited chan struct{} // closed when it ended; then err is set
	err    error
}

// launch starts the command on a thread of its own that lives until the child ends. The kernel's signal "your parent
// died" is sent when the thread that forked ends, and the Go runtime ends idle threads when it likes: a child that was
// started from an ordinary goroutine could be stopped at any time.
func launch(command *exec.Cmd) (*process, error) {
	p := &process{exited: make(chan struct{})}
	started := make(chan error, 1)
	go func() {
		// Never unlocked: the thread ends with the goroutine, after the child.
		runtime.LockOSThread()
		if err := command.Start(); err != nil {
			started <- err
			return
		}
		p.pid = command.Process.Pid
		started <- nil
		p.err = command.Wait()
		close(p.exited)
	}()
	if err := <-started; err != nil {
		return nil, err
	}
	return p, nil
}

// runToEnd is exec.Cmd.Run with launch's care for the thread.
func runToEnd(command *exec.Cmd) error {
	p, err := launch(command)
	if err != nil {
		return err
	}
	<-p.exited
	return p.err
}

// ended says how the child ended, for an error or a log line.
func (p *process) ended() string {
	var exit *exec.ExitError
	switch {
	case p.err == nil:
		return "exit status 0"
	case errors.As(p.err, &exit):
		return exit.ProcessState.String()
	default:
		return p.err.Error()
	}
}
