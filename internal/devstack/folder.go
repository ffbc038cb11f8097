package devstack

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/huntaze/hybrid-orchestrator/internal/devstack/localpg"
)

// ErrRunning is returned when another process uses the data folder.
var ErrRunning = errors.New("huntaze dev is running already")

// folder is the data folder of a stack:
//
//	lock            locked by the process that owns the folder; its pid
//	stack.env       where everything is, while it runs
//	postgres/       the database
//	queues.json     what was in the simulated queues at the last stop
//	arrivals.jsonl  what arrived at the simulated gateway, without contents
//	huntaze.log     what the workers say
//	more.jsonl      messages to send from a second terminal
type folder struct {
	path string // absolute
	lock *os.File
	ours bool // it was made by an earlier run
}

func (f *folder) file(name string) string { return filepath.Join(f.path, name) }
func (f *folder) postgres() string        { return f.file("postgres") }
func (f *folder) queues() string          { return f.file("queues.json") }
func (f *folder) arrivals() string        { return f.file("arrivals.jsonl") }
func (f *folder) log() string             { return f.file("huntaze.log") }
func (f *folder) environment() string     { return f.file("stack.env") }
func (f *folder) more() string            { return f.file("more.jsonl") }
func (f *folder) lockFile() string        { return f.file("lock") }

// openFolder makes the folder when it is missing and locks it. The kernel releases the lock when this process ends.
func openFolder(path string) (*folder, error) {
	absolute, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("data folder: %w", err)
	}
	// The user that Postgres runs as must be able to pass through; what is secret in it has modes of its own.
	if err := os.MkdirAll(absolute, 0o755); err != nil {
		return nil, fmt.Errorf("data folder: %w", err)
	}
	f := &folder{path: absolute}
	_, err = os.Lstat(f.lockFile())
	f.ours = err == nil
	if f.lock, err = os.OpenFile(f.lockFile(), os.O_RDWR|os.O_CREATE, 0o600); err != nil {
		return nil, fmt.Errorf("data folder: %w", err)
	}
	free, err := tryLock(f.lock)
	if err == nil && !free {
		owner, _ := os.ReadFile(f.lockFile())
		err = fmt.Errorf("%w: process %s uses the data folder %s; stop it (Ctrl-C in its terminal, or kill %[2]s), or set HUNTAZE_DATA_DIR to another folder",
			ErrRunning, orUnknown(strings.TrimSpace(string(owner))), absolute)
	}
	if err == nil {
		err = f.record()
	}
	if err != nil {
		return nil, errors.Join(err, f.lock.Close())
	}
	return f, nil
}

func orUnknown(pid string) string {
	if pid == "" {
		return "(unknown)"
	}
	return pid
}

// record writes down whose the folder is, for the error of the next who asks.
func (f *folder) record() error {
	if err := f.lock.Truncate(0); err != nil {
		return fmt.Errorf("data folder: %w", err)
	}
	if _, err := f.lock.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0); err != nil {
		return fmt.Errorf("data folder: %w", err)
	}
	return nil
}

// clear removes what earlier runs made, and nothing else. In a folder that had no lock there is nothing of ours.
func (f *folder) clear(ctx context.Context, logger *slog.Logger) error {
	if !f.ours {
		return nil
	}
	if err := localpg.Remove(ctx, localpg.Options{DataDir: f.postgres(), Logger: logger}); err != nil {
		return fmt.Errorf("start anew: %w", err)
	}
	paths := []string{f.environment(), f.queues(), unfinished(f.queues()), f.arrivals(), f.log()}
	if !moreWasEdited(f.more()) {
		paths = append(paths, f.more())
	}
	for _, path := range paths {
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("start anew: %w", err)
		}
	}
	return nil
}

func (f *folder) close() error { return f.lock.Close() }

// unfinished is the name under which a file is written before it takes its place.
func unfinished(path string) string { return path + ".new" }

// replaceFile writes a file whole or not at all, for its owner only.
func replaceFile(path string, write func(*os.File) error) error {
	file, err := os.OpenFile(unfinished(path), os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	err = write(file)
	if err == nil {
		err = file.Sync()
	}
	if err = errors.Join(err, file.Close()); err != nil {
		return errors.Join(err, os.Remove(unfinished(path)))
	}
	return os.Rename(unfinished(path), path)
}

// shown is how a path is written for a person: as short as it can be from here.
func shown(path string) string {
	here, err := os.Getwd()
	if err != nil {
		return path
	}
	relative, err := filepath.Rel(here, path)
	if err != nil || strings.HasPrefix(relative, "..") {
		return path
	}
	return relative
}
