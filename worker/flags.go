package worker

import (
	"context"
	"fmt"

	"github.com/huntaze/hybrid-orchestrator/internal/flags"
)

// watchFlags reads the flags and keeps them up to date until the worker ends.
func (w *Worker) watchFlags(ctx context.Context) error {
	if err := w.flags.Load(ctx); err != nil {
		return fmt.Errorf("flags: %w", err)
	}
	lifetime, end := context.WithCancel(context.WithoutCancel(ctx))
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = w.flags.Run(lifetime)
	}()
	w.onClose("flags", func(context.Context) error { end(); <-ended; return nil })
	return nil
}

func (w *Worker) overrides() flags.Overrides {
	if w.config.Flags == nil {
		return flags.Overrides{}
	}
	return *w.config.Flags
}

// stopped says that this process' own environment forbids sends, for as long as it runs. The database does not know of
// that; what it says itself is read in the transactions that release and begin.
func (w *Worker) stopped() bool {
	value, given := w.overrides()[flags.SendsEnabled]
	return given && value == flags.Off
}
