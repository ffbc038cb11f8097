package localpg

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// home is the folder of one cluster:
//
//	lock        locked by the process that owns the folder; its pid, and the server's
//	password    of the superuser
//	server.log  what Postgres says
//	settings.conf  ours, which include Postgres's own
//	cluster/    Postgres's data folder
type home struct {
	dir       string
	temporary bool
	who       account
	lock      *os.File
}

func (h *home) cluster() string  { return filepath.Join(h.dir, "cluster") }
func (h *home) password() string { return filepath.Join(h.dir, "password") }
func (h *home) logFile() string  { return filepath.Join(h.dir, "server.log") }
func (h *home) settings() string { return filepath.Join(h.dir, "settings.conf") }
func (h *home) lockFile() string { return filepath.Join(h.dir, "lock") }

// openHome finds or makes a folder that the server's account can reach, and locks it.
func openHome(ctx context.Context, o Options, logger *slog.Logger) (*home, error) {
	who, err := chooseAccount(ctx)
	if err != nil {
		return nil, err
	}
	var h *home
	if o.DataDir == "" {
		h, err = temporaryHome(ctx, who, o)
	} else {
		h, err = lastingHome(ctx, who, o.DataDir, logger)
	}
	if err != nil {
		return nil, err
	}
	if err := h.own(); err != nil {
		return nil, err
	}
	return h, nil
}

// lastingHome settles for the wanted folder, or, when the server's account can't get there (below /root, say),
// for one that is named after it in a place for everybody.
func lastingHome(ctx context.Context, who account, dataDir string, logger *slog.Logger) (*home, error) {
	wanted, err := filepath.Abs(dataDir)
	if err != nil {
		return nil, fmt.Errorf("localpg: %w", err)
	}
	h, err := settle(ctx, who, wanted)
	if !errors.Is(err, errUnreachable) || !who.switched {
		return h, err
	}
	refused := err
	sum := sha256.Sum256([]byte(wanted))
	name := "huntaze-postgres-" + hex.EncodeToString(sum[:6])
	for _, base := range sharedFolders() {
		other, err := settle(ctx, who, filepath.Join(base, name))
		if err == nil {
			logger.Info("the database is kept in another folder, since Postgres does not run as root and its user can't reach the one asked for",
				"asked", wanted, "folder", other.dir, "uid", other.who.uid)
			return other, nil
		}
		refused = errors.Join(refused, err)
	}
	return nil, refused
}

var errUnreachable = errors.New("localpg: the user that the server runs as can't reach the folder")

// sharedFolders are places that any user can reach; the first survives a restart of the machine.
func sharedFolders() []string {
	if os.TempDir() == "/var/tmp" {
		return []string{"/var/tmp"}
	}
	return []string{"/var/tmp", os.TempDir()}
}

// settle makes the folder when it is missing, and checks that it is ours and that the server can work in it.
func settle(ctx context.Context, who account, dir string) (*home, error) {
	h := &home{dir: dir, who: who}
	made, err := makeFolder(dir, who)
	if err != nil {
		return nil, err
	}
	if !made {
		if err := h.checkOurs(); err != nil {
			return nil, err
		}
	}
	if _, err := os.Lstat(h.cluster()); err == nil {
		if h.who, err = ownerAccount(h.cluster()); err != nil {
			return nil, fmt.Errorf("localpg: %w", err)
		}
	}
	if err := h.who.probe(ctx, dir); err != nil {
		if made {
			_ = os.Remove(dir)
		}
		return nil, fmt.Errorf("%w (uid %d) %s: %w", errUnreachable, h.who.uid, dir, err)
	}
	return h, nil
}

// makeFolder reports whether it was missing. The server's account may pass through, not look around.
func makeFolder(dir string, who account) (bool, error) {
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return false, fmt.Errorf("localpg: %w", err)
	}
	if err := os.Mkdir(dir, 0o700); errors.Is(err, os.ErrExist) {
		return false, nil
	} else if err != nil {
		return false, fmt.Errorf("localpg: %w", err)
	}
	if !who.switched {
		return true, nil
	}
	if err := os.Chmod(dir, 0o711); err != nil {
		return true, fmt.Errorf("localpg: %w", err)
	}
	return true, nil
}

// checkOurs refuses a folder with something else in it, and one that somebody else prepared for us in a place where
// everybody may write.
func (h *home) checkOurs() error {
	info, err := os.Lstat(h.dir)
	if err != nil {
		return fmt.Errorf("localpg: %w", err)
	}
	if info.Mode()&os.ModeSymlink != 0 {
		if info, err = os.Stat(h.dir); err != nil {
			return fmt.Errorf("localpg: %w", err)
		}
	}
	if !info.IsDir() {
		return fmt.Errorf("localpg: %s is not a folder", h.dir)
	}
	if info.Mode().Perm()&0o022 != 0 {
		return fmt.Errorf("localpg: others may write to %s; choose another folder", h.dir)
	}
	if uid, _, err := ownerOf(h.dir); err != nil {
		return fmt.Errorf("localpg: %w", err)
	} else if os.Getuid() != 0 && int(uid) != os.Getuid() {
		return fmt.Errorf("localpg: %s belongs to another user (uid %d); choose another folder", h.dir, uid)
	}
	entries, err := os.ReadDir(h.dir)
	if err != nil {
		return fmt.Errorf("localpg: %w", err)
	}
	if _, err := os.Lstat(h.lockFile()); err != nil && len(entries) > 0 {
		return fmt.Errorf("localpg: %s holds files that are not ours; choose an empty folder", h.dir)
	}
	return nil
}

// own takes the folder's lock, which the kernel releases when this process ends.
func (h *home) own() error {
	file, err := os.OpenFile(h.lockFile(), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return fmt.Errorf("localpg: %w", err)
	}
	free, err := tryLock(file)
	if err != nil {
		_ = file.Close()
		return fmt.Errorf("localpg: lock %s: %w", h.lockFile(), err)
	}
	if !free {
		owner, server := readLock(h.lockFile())
		_ = file.Close()
		return fmt.Errorf("%w: the folder %s belongs to the running process %d (its Postgres is process %d); stop that one or choose another folder",
			ErrInUse, h.dir, owner, server)
	}
	h.lock = file
	return nil
}

// record writes down who owns the folder: for the error of the next who asks, and for the clean-up after a crash.
// The server's pid is 0 before it runs.
func (h *home) record(server int) error {
	text := fmt.Sprintf("%d %d\n", os.Getpid(), server)
	if err := h.lock.Truncate(0); err != nil {
		return fmt.Errorf("localpg: %w", err)
	}
	if _, err := h.lock.WriteAt([]byte(text), 0); err != nil {
		return fmt.Errorf("localpg: %w", err)
	}
	return nil
}

// readLock returns the owner and the server that a lock file names; 0 is unknown.
func readLock(path string) (owner, server int) {
	text, err := os.ReadFile(path)
	if err != nil {
		return 0, 0
	}
	fields := strings.Fields(string(text))
	if len(fields) != 2 {
		return 0, 0
	}
	owner, _ = strconv.Atoi(fields[0])
	server, _ = strconv.Atoi(fields[1])
	return owner, server
}

// release gives the folder up; a temporary one is removed.
func (h *home) release() error {
	var err error
	if h.temporary {
		err = os.RemoveAll(h.dir)
	}
	return errors.Join(err, h.lock.Close())
}

// superuserPassword reads the password of the cluster, or makes one for a cluster that is yet to be made.
func (h *home) superuserPassword() (string, error) {
	text, err := os.ReadFile(h.password())
	if err == nil {
		return strings.TrimSpace(string(text)), nil
	}
	if !errors.Is(err, os.ErrNotExist) {
		return "", fmt.Errorf("localpg: %w", err)
	}
	if _, err := os.Lstat(h.cluster()); err == nil {
		return "", fmt.Errorf("localpg: %s has a cluster, but its password is gone; remove the folder to start anew", h.dir)
	}
	password := rand.Text()
	if err := os.WriteFile(h.password(), []byte(password+"\n"), 0o600); err != nil {
		return "", fmt.Errorf("localpg: %w", err)
	}
	return password, h.who.give(h.password())
}
