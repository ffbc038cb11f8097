package localpg

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"strconv"
	"syscall"
)

// account is the user that the server runs as.
type account struct {
	uid, gid uint32
	switched bool // it is another user than ours
}

// lastResort is the uid that Linux calls nobody, whether or not a user of that name is known.
const lastResort = 65534

// chooseAccount returns ourselves, or, for root, the first unprivileged user that this process may become: in
// containers root may lack the right to, or the uid may not be mapped.
func chooseAccount(ctx context.Context) (account, error) {
	if os.Getuid() != 0 {
		return account{uid: uint32(os.Getuid()), gid: uint32(os.Getgid())}, nil
	}
	var failures []error
	for _, candidate := range unprivileged() {
		err := candidate.probe(ctx, "/")
		if err == nil {
			return candidate, nil
		}
		failures = append(failures, fmt.Errorf("uid %d: %w", candidate.uid, err))
	}
	return account{}, fmt.Errorf("localpg: Postgres refuses to run as root, and no unprivileged user can be used: %w",
		errors.Join(failures...))
}

func unprivileged() []account {
	var found []account
	for _, name := range []string{"postgres", "nobody"} {
		entry, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, errUID := strconv.ParseUint(entry.Uid, 10, 32)
		gid, errGID := strconv.ParseUint(entry.Gid, 10, 32)
		if errUID == nil && errGID == nil && uid != 0 {
			found = append(found, account{uid: uint32(uid), gid: uint32(gid), switched: true})
		}
	}
	return append(found, account{uid: lastResort, gid: lastResort, switched: true})
}

// ownerAccount returns the account that a cluster was made by, so that root and a user can share one.
func ownerAccount(clusterDir string) (account, error) {
	uid, gid, err := ownerOf(clusterDir)
	if err != nil {
		return account{}, err
	}
	return account{uid: uid, gid: gid, switched: int(uid) != os.Getuid()}, nil
}

// probe tries whether the account can be used and can reach the folder, by doing just that: the kernel knows about
// permissions, mounts, capabilities and namespaces what no reading of mode bits would tell.
func (a account) probe(ctx context.Context, folder string) error {
	command := exec.CommandContext(ctx, "/bin/sh", "-c", "exit 0")
	command.Dir = folder
	command.SysProcAttr = attributes(a, syscall.SIGKILL)
	return runToEnd(command)
}

// give makes the account the owner of a file that we made.
func (a account) give(path string) error {
	if !a.switched {
		return nil
	}
	return os.Chown(path, int(a.uid), int(a.gid))
}
