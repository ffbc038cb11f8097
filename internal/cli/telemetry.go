package cli

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/huntaze/hybrid-orchestrator/internal/telemetry"
)

// flushTimeout is how long the end of a process may wait for its last spans, after everything else has ended.
const flushTimeout = 3 * time.Second

// telemetry makes traces as the environment says (OTEL_*), or none. What it returns besides is called at the very end.
func (a *app) telemetry(environ map[string]string, instance string, console io.Writer, logger *slog.Logger) (*telemetry.Telemetry, func(), error) {
	t, err := telemetry.Setup(environ, telemetry.Options{Version: a.version, Instance: instance, Logger: logger, Console: console, Now: time.Now})
	if err != nil {
		return nil, nil, misused(err)
	}
	return t, func() {
		ctx, cancel := context.WithTimeout(context.Background(), flushTimeout)
		defer cancel()
		if err := t.Shutdown(ctx); err != nil {
			logger.Warn("the last spans may be missing", "error", err)
		}
	}, nil
}

// kinds and pages are the first parts of the paths that there are; a scanner that tries others makes no new names.
var (
	kinds = map[string]bool{"campaigns": true, "campaigns:estimate": true, "workflows": true, "accounts": true}
	pages = map[string]bool{"river": true, "openapi.json": true}
)

// actions are the last parts of a path below /v1 that are no ids.
var actions = map[string]bool{"start": true, "pause": true, "resume": true, "cancel": true, "recipients": true, "workflows": true, "events": true,
	"limits": true, "opt-outs": true, "quiet-hours": true, "forecast": true}

// routeOf is a request's path with the ids in it replaced: what spans of the API are called. What is not below /v1 is
// called by its first part, or a page.
func routeOf(r *http.Request) string {
	parts := strings.Split(strings.Trim(r.URL.Path, "/"), "/")
	switch {
	case parts[0] == "v1" && len(parts) > 1 && kinds[parts[1]]:
	case pages[parts[0]]:
		return "/" + parts[0]
	default:
		return "/{page}"
	}
	for i := 2; i < len(parts); i++ {
		if !actions[parts[i]] {
			parts[i] = "{id}"
		}
	}
	return "/" + strings.Join(parts[:min(len(parts), 6)], "/")
}
