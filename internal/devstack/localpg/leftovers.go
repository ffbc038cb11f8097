package localpg

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// postmasterPID returns the process that the data folder says serves it; 0 when it says none.
func postmasterPID(clusterDir string) int {
	text, err := os.ReadFile(pidFile(clusterDir))
	if err != nil {
		return 0
	}
	line, _, _ := strings.Cut(string(text), "\n")
	pid, err := strconv.Atoi(strings.TrimSpace(line))
	if err != nil || pid < 0 {
		return 0
	}
	return pid
}

func pidFile(clusterDir string) string { return filepath.Join(clusterDir, "postmaster.pid") }

// clearLeftovers deals with the server of an owner that died. The folder's lock is ours, so no other process of this
// package runs one here. A file that names a dead process is left to Postgres, which also checks that no child of that
// server is left before it removes the file.
func (c *Cluster) clearLeftovers(ctx context.Context) error {
	folder := c.home.cluster()
	pid := postmasterPID(folder)
	if pid == 0 || !processAlive(pid) {
		return nil
	}
	if !servesFolder(pid, folder) {
		// The number was given to another process since; Postgres would take that for a running server.
		if err := os.Remove(pidFile(folder)); err != nil {
			return fmt.Errorf("localpg: %w", err)
		}
		return nil
	}
	if _, server := readLock(c.home.lockFile()); server != pid {
		return fmt.Errorf("%w: a Postgres that we did not start (process %d) runs in %s; stop it or choose another folder",
			ErrInUse, pid, folder)
	}
	c.logger.Info("stopping the Postgres that an earlier run left", "pid", pid, "folder", folder)
	_ = sendSignal(pid, Fast.signal()) // it fails only for a process that is gone
	ctx, cancel := context.WithTimeout(ctx, stopTimeout)
	defer cancel()
	tick := time.NewTicker(pollInterval)
	defer tick.Stop()
	for processAlive(pid) && servesFolder(pid, folder) {
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w: the Postgres of an earlier run (process %d) in %s does not stop: %w", ErrInUse, pid, folder, ctx.Err())
		case <-tick.C:
		}
	}
	return nil
}
