package console

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"

	"github.com/riverqueue/river"
	"riverqueue.com/riverui"
)

// riverPrefix is where River's own pages are.
const riverPrefix = "/river"

// riverPolicy is what River's pages need: they set styles in their markup, and have pictures in their styles.
const riverPolicy = "default-src 'none'; style-src 'self' 'unsafe-inline'; script-src 'self'; img-src 'self' data:; connect-src 'self'; font-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"

// NewRiverUI makes River's own pages for Options.RiverUI. The client needs not be started. What counts jobs in the
// background ends with the context.
func NewRiverUI[Tx any](ctx context.Context, client *river.Client[Tx], logger *slog.Logger) (http.Handler, error) {
	handler, err := riverui.NewHandler(&riverui.HandlerOpts{
		Endpoints: riverui.NewEndpoints(client, nil), Logger: logger, Prefix: riverPrefix, JobListHideArgsByDefault: true,
	})
	if err != nil {
		return nil, fmt.Errorf("river's pages: %w", err)
	}
	if err := handler.Start(ctx); err != nil {
		return nil, fmt.Errorf("river's pages: %w", err)
	}
	return handler, nil
}

// riverPage hands admins on to River's own pages, which know of no users. Nothing can be changed there unless the
// option says so. Whatever is done to a job, no message is sent twice: a job that is run again reads the send ledger
// first, and one that is deleted is missed by the reconciler.
func (c *console) riverPage(r *request) error {
	if c.RiverUI == nil {
		return errNotFound
	}
	if r.URL.Path == riverPrefix {
		return r.see(riverPrefix + "/")
	}
	safe := r.Method == http.MethodGet || r.Method == http.MethodHead
	if !safe && !c.RiverWrites {
		return refusal{http.StatusForbidden, "Read only", "Jobs can't be changed here."}
	}
	if !safe {
		r.said("river: jobs changed", "method", r.Method, "path", r.URL.Path)
	}
	r.w.Header().Set("Content-Security-Policy", riverPolicy)
	c.RiverUI.ServeHTTP(r.w, r.Request)
	return nil
}
