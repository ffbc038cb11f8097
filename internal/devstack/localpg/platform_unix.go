//go:build unix && !linux

package localpg

import (
	"os/exec"
	"strconv"
	"strings"
	"syscall"
)

// attributes makes the child run as the account, in a process group of its own (Ctrl-C in a terminal goes to the
// whole group: we must be the one to stop the server). There is no signal at our death here; the next start on
// the folder stops what we left.
func attributes(who account, _ syscall.Signal) *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Credential: who.credential(), Setpgid: true}
}

// servesFolder says whether the process is a Postgres server of that data folder. Unknown counts as yes, because
// the answer no lets a pid file be removed.
func servesFolder(pid int, folder string) bool {
	command, err := exec.Command("ps", "-o", "command=", "-p", strconv.Itoa(pid)).Output()
	if err != nil {
		return processAlive(pid)
	}
	return strings.Contains(string(command), folder)
}

// memoryFolder is empty: no folder of files in memory is known here.
func memoryFolder() string { return "" }
