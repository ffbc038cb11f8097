package localpg

import (
	"os"
	"path/filepath"
	"strconv"
	"syscall"
)

// attributes makes the child run as the account, in a process group of its own (Ctrl-C in a terminal goes to the
// whole group: we must be the one to stop the server), and get the signal when the thread that started it ends.
// The kernel forgets the signal when the user changes; os/exec sets it after that.
func attributes(who account, atOurDeath syscall.Signal) *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Credential: who.credential(), Setpgid: true, Pdeathsig: atOurDeath}
}

// servesFolder says whether the process is a Postgres server of that data folder: a server works in its data
// folder. Unknown counts as yes, because the answer no lets a pid file be removed.
func servesFolder(pid int, folder string) bool {
	at, err := os.Readlink(filepath.Join("/proc", strconv.Itoa(pid), "cwd"))
	if err != nil {
		return !os.IsNotExist(err)
	}
	if real, err := filepath.EvalSymlinks(folder); err == nil {
		folder = real
	}
	return at == folder
}

// memoryFolder returns the folder of files in memory if it has room for the largest of our tests many times over; in a container
// it is often 64 MB.
func memoryFolder() string {
	const (
		folder = "/dev/shm"
		tmpfs  = 0x01021994 // statfs(2)
		room   = 4 << 30
	)
	var about syscall.Statfs_t
	if err := syscall.Statfs(folder, &about); err != nil || int64(about.Type) != tmpfs {
		return ""
	}
	if uint64(about.Bsize)*about.Bavail < room {
		return ""
	}
	return folder
}
