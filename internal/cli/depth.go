package cli

import (
	"context"
	"fmt"

	"github.com/huntaze/hybrid-orchestrator/internal/config"
	"github.com/huntaze/hybrid-orchestrator/queue"
)

// depth is that of a queue, as far as it is known.
type depth struct {
	Queue string `json:"queue"`
	queue.Depth
	Error string `json:"error,omitempty"` // why nothing is known
}

func (d depth) inWords() string {
	if d.Error != "" {
		return d.Queue + ": " + d.Error
	}
	return fmt.Sprintf("%s: about %d visible, %d in flight, %d delayed", d.Queue, d.Visible, d.InFlight, d.Delayed)
}

func depthsOf(ctx context.Context, cfg config.Config, names ...string) []depth {
	client, err := queue.NewClient(ctx, cfg.AWSRegion, cfg.SQSEndpoint)
	var depths []depth
	for _, name := range names {
		if name == "" {
			continue
		}
		d, failed := depth{Queue: name}, err
		if failed == nil {
			d.Depth, failed = queue.DepthOf(ctx, client, name)
		}
		if failed != nil {
			d.Error = "can't be asked: " + oneLine(failed)
		}
		depths = append(depths, d)
	}
	return depths
}
