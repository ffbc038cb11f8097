package api

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/huntaze/hybrid-orchestrator/db"
	"github.com/huntaze/hybrid-orchestrator/internal/campaign"
)

// writeTimeout is how long a client may be slow to take an event.
const writeTimeout = 10 * time.Second

// reconnectAfter is when a client asks again whose stream ended before the campaign.
const reconnectAfter = time.Second

// Progress is how far a campaign is, as an event tells it.
type Progress struct {
	State      string          `json:"state"`
	Recipients int64           `json:"recipients"`
	Expanding  bool            `json:"expanding"`
	Counts     Counts          `json:"counts"`
	CostUSD    float64         `json:"costUsd"`
	Forecast   *ForecastOfRest `json:"forecast,omitempty"`
}

func (s *Server) eventRoute(tags []string) {
	registerLong(s, huma.Operation{OperationID: "watch-campaign", Method: http.MethodGet, Path: "/v1/campaigns/{id}/events", Tags: tags,
		Summary: "Follow a campaign's progress as server-sent events",
		Description: "An event `progress` with the campaign's counts and forecast comes at once, then whenever they have changed, at most once a second; the event `end` is the last one, when the campaign is over. " +
			"Between them there are comments, so that nothing on the way takes the connection for dead. A stream that ends without `end` is to be opened again.",
		Responses: map[string]*huma.Response{"200": {Description: "The events", Content: map[string]*huma.MediaType{"text/event-stream": {Schema: &huma.Schema{Type: huma.TypeString}}}}},
	}, s.watch)
}

func (s *Server) watch(ctx context.Context, who caller, in *CampaignPath) (*huma.StreamResponse, error) {
	ctx, cancel := context.WithTimeout(ctx, s.config.RequestTimeout)
	defer cancel()
	detail, err := s.own(ctx, who, in.ID)
	if err != nil {
		return nil, err
	}
	progress, err := s.progressOf(ctx, detail)
	if err != nil {
		return nil, err
	}
	if s.drain.Err() != nil {
		return nil, retry(problem(http.StatusServiceUnavailable, codeUnavailable, "this process is shutting down"), reconnectAfter)
	}
	select {
	case s.streams <- struct{}{}:
	default:
		return nil, retry(problem(http.StatusServiceUnavailable, codeUnavailable, "there are too many event streams"), 10*time.Second)
	}
	return &huma.StreamResponse{Body: func(ctx huma.Context) {
		defer func() { <-s.streams }()
		defer s.config.Metrics.begun(openStreams)()
		r, w := humago.Unwrap(ctx)
		w.Header().Set("Content-Type", "text/event-stream")
		w.Header().Set("X-Accel-Buffering", "no")
		w.WriteHeader(http.StatusOK)
		if r.Method == http.MethodHead {
			return
		}
		st := &stream{server: s, out: w, control: http.NewResponseController(w), detail: detail}
		st.run(r.Context(), progress)
	}}, nil
}

func (s *Server) progressOf(ctx context.Context, c db.CampaignDetail) (Progress, error) {
	forecast, err := s.rest(ctx, c)
	return Progress{State: string(c.State), Recipients: c.Recipients, Expanding: c.Expanding, Counts: countsOf(c.Counts), CostUSD: float64(c.Cost.PicoUSD) / picoPerUSD, Forecast: forecast}, err
}

// stream is one client that follows a campaign.
type stream struct {
	server  *Server
	out     io.Writer
	control *http.ResponseController
	detail  db.CampaignDetail
	last    []byte // what was sent, without the forecast: that one moves with the clock
	failing bool
}

func (st *stream) run(ctx context.Context, progress Progress) {
	if st.write("retry: %d\n\n", reconnectAfter.Milliseconds()) != nil || st.tell(progress) {
		return
	}
	poll, beat := time.NewTicker(st.server.config.PollEvery), time.NewTicker(st.server.config.HeartbeatEvery)
	defer poll.Stop()
	defer beat.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-st.server.drain.Done():
			_ = st.write(": this process is shutting down, ask again\n\n")
			return
		case <-beat.C:
			if st.write(": still here\n\n") != nil {
				return
			}
		case <-poll.C:
			if st.look(ctx) {
				return
			}
		}
	}
}

// look reads the campaign and tells what has changed. It returns true when the stream is over.
func (st *stream) look(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, st.server.config.RequestTimeout)
	defer cancel()
	detail, err := st.server.store.CampaignByID(ctx, st.detail.ID)
	if err == nil && bytes.Equal(fingerprint(detail), st.last) {
		st.failing = false
		return false
	}
	var progress Progress
	if err == nil {
		st.detail = detail
		progress, err = st.server.progressOf(ctx, detail)
	}
	if err != nil {
		if !st.failing && ctx.Err() == nil { // an outage is told once, and waited for
			st.server.logger.Warn("an event stream could not read its campaign", "campaign", st.detail.ID, "error", err)
		}
		st.failing = true
		return false
	}
	st.failing = false
	return st.tell(progress)
}

// fingerprint is what makes an event worth sending.
func fingerprint(c db.CampaignDetail) []byte {
	text, _ := json.Marshal(Progress{State: string(c.State), Recipients: c.Recipients, Expanding: c.Expanding, Counts: countsOf(c.Counts), CostUSD: float64(c.Cost.PicoUSD) / picoPerUSD})
	return text
}

// tell sends an event. It returns true when it was the last one, or the client is gone.
func (st *stream) tell(p Progress) bool {
	st.last = fingerprint(st.detail)
	text, err := json.Marshal(p)
	if err != nil {
		return true
	}
	kind, over := "progress", campaign.State(p.State).Final()
	if over {
		kind = "end"
	}
	return st.write("event: %s\ndata: %s\n\n", kind, text) != nil || over
}

func (st *stream) write(format string, args ...any) error {
	_ = st.control.SetWriteDeadline(time.Now().Add(writeTimeout))
	if _, err := fmt.Fprintf(st.out, format, args...); err != nil {
		return err
	}
	return st.control.Flush()
}
