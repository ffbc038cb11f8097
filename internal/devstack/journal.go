package devstack

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"sync"

	"github.com/huntaze/hybrid-orchestrator/internal/steplog"
)

// maxJournal is the size above which the log file is begun anew at a start.
const maxJournal = 8 << 20

// journal keeps the log out of the picture: it goes to a file, and what a person should know of is counted.
type journal struct {
	file *os.File

	mu       sync.Mutex
	warnings int
	last     string
}

func openJournal(path string) (*journal, error) {
	flags := os.O_CREATE | os.O_WRONLY | os.O_APPEND
	if info, err := os.Stat(path); err == nil && info.Size() > maxJournal {
		flags |= os.O_TRUNC
	}
	file, err := os.OpenFile(path, flags, 0o600)
	if err != nil {
		return nil, fmt.Errorf("log file: %w", err)
	}
	return &journal{file: file}, nil
}

func (j *journal) close() error { return j.file.Close() }

// noted returns how many warnings and errors there were, and the last of them.
func (j *journal) noted() (int, string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.warnings, j.last
}

func (j *journal) note(r slog.Record) {
	text := r.Message
	r.Attrs(func(a slog.Attr) bool {
		switch value := a.Value.String(); {
		case a.Key == "error":
			text += ": " + value
		case value != "0": // of many counts those that matter
			text += " " + a.Key + "=" + value
		}
		return true
	})
	j.mu.Lock()
	defer j.mu.Unlock()
	j.warnings++
	j.last = text
}

// handler writes to the file in the form of the configuration.
func (j *journal) handler(level slog.Leveler, json bool) slog.Handler {
	options := &slog.HandlerOptions{Level: level}
	if json {
		return notingHandler{slog.NewJSONHandler(j.file, options), j}
	}
	return notingHandler{slog.NewTextHandler(j.file, options), j}
}

// notingHandler is a slog.Handler that tells the journal of warnings.
type notingHandler struct {
	slog.Handler
	journal *journal
}

func (h notingHandler) Handle(ctx context.Context, r slog.Record) error {
	if r.Level >= slog.LevelWarn && !ofMessage(r) {
		h.journal.note(r)
	}
	return h.Handler.Handle(ctx, r)
}

// ofMessage is true for what happened to one message, such as a fallback or a lost reply: the screen tells of it anyway.
func ofMessage(r slog.Record) bool {
	failed := false
	r.Attrs(func(a slog.Attr) bool { failed = failed || a.Key == steplog.Error; return true })
	return r.Message == "step" && !failed
}

func (h notingHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return notingHandler{h.Handler.WithAttrs(attrs), h.journal}
}

func (h notingHandler) WithGroup(name string) slog.Handler {
	return notingHandler{h.Handler.WithGroup(name), h.journal}
}
