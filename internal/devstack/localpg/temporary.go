package localpg

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// temporaryPrefix names the folders of temporary clusters.
const temporaryPrefix = "huntaze-postgres-tmp-"

// sweepAge is how old a temporary folder must be before it can count as left behind: younger ones may be about to
// be locked by the process that just made them.
const sweepAge = time.Minute

// temporaryFolders are where a temporary cluster may be, best first. One that has to survive nothing is in memory when the
// machine has plenty and nobody chose another place with TMPDIR: to copy a database is to make 300 files, which
// takes 25 ms there, and 50 to 300 ms on a disk's file system.
func temporaryFolders(o Options) []string {
	folders := []string{os.TempDir(), "/var/tmp"}
	if memory := memoryFolder(); memory != "" && !o.Durable && os.Getenv("TMPDIR") == "" {
		folders = append([]string{memory}, folders...)
	}
	return folders
}

// temporaryHome makes a folder for one run, and removes those that killed processes left.
func temporaryHome(ctx context.Context, who account, o Options) (*home, error) {
	var refused []error
	for _, base := range temporaryFolders(o) {
		sweep(base)
		dir, err := os.MkdirTemp(base, temporaryPrefix)
		if err != nil {
			refused = append(refused, err)
			continue
		}
		h := &home{dir: filepath.Clean(dir), temporary: true, who: who}
		if who.switched {
			err = os.Chmod(dir, 0o711)
		}
		if err == nil {
			err = who.probe(ctx, dir)
		}
		if err == nil {
			return h, nil
		}
		refused = append(refused, errors.Join(err, os.Remove(dir)))
	}
	return nil, fmt.Errorf("localpg: no place for a temporary cluster: %w", errors.Join(refused...))
}

// sweep removes the temporary folders whose process is gone. What can't be removed is left: it is only tidying.
func sweep(base string) {
	dirs, err := filepath.Glob(filepath.Join(base, temporaryPrefix+"*"))
	if err != nil {
		return
	}
	for _, dir := range dirs {
		left := &home{dir: dir, temporary: true}
		info, err := os.Stat(left.lockFile())
		if err != nil || time.Since(info.ModTime()) < sweepAge {
			continue
		}
		if uid, _, err := ownerOf(dir); err != nil || int(uid) != os.Getuid() {
			continue
		}
		if left.own() != nil {
			continue
		}
		if pid := postmasterPID(left.cluster()); pid != 0 && processAlive(pid) && servesFolder(pid, left.cluster()) {
			// It is dying or stuck; the next sweep will see.
			_ = left.lock.Close()
			continue
		}
		_ = left.release()
	}
}
