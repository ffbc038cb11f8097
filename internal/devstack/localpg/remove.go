package localpg

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
)

// Remove deletes the cluster that Start would use with these options, wherever it was put, and nothing else; a folder
// that holds only what this package made goes too. There need not be one. A server that an earlier process left behind
// is stopped first. Errors: ErrInUse.
func Remove(ctx context.Context, o Options) error {
	if o.DataDir == "" {
		return errors.New("localpg: a temporary cluster is removed by Stop")
	}
	if err := supported(); err != nil {
		return err
	}
	logger := o.Logger
	if logger == nil {
		logger = slog.New(slog.DiscardHandler)
	}
	h, err := openHome(ctx, o, logger)
	if err != nil {
		return err
	}
	c := &Cluster{options: o, logger: logger, home: h}
	err = c.clearLeftovers(ctx)
	if err == nil {
		err = h.empty()
	}
	return errors.Join(err, h.release())
}

// empty deletes what this package makes in a home.
func (h *home) empty() error {
	for _, path := range []string{h.cluster(), h.cluster() + ".new", h.password(), h.logFile(), h.settings(), h.lockFile()} {
		if err := os.RemoveAll(path); err != nil {
			return fmt.Errorf("localpg: %w", err)
		}
	}
	// It fails when there is something of somebody else's in it, which stays.
	_ = os.Remove(filepath.Clean(h.dir))
	return nil
}
