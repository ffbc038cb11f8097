package api_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/huntaze/hybrid-orchestrator/db"
	"github.com/huntaze/hybrid-orchestrator/internal/api"
)

// faulty is a store whose reading of a campaign goes wrong.
type faulty struct {
	api.Store
	read func() error
}

func (f *faulty) CampaignByID(context.Context, uuid.UUID) (db.CampaignDetail, error) {
	return db.CampaignDetail{}, f.read()
}

func (f *faulty) CreateCampaign(context.Context, db.NewCampaign) error { return f.read() }

// TestFaults: whatever goes wrong below is a problem document that says nothing about it, and a line in the log that does.
func TestFaults(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		read   func() error
		status int
	}{
		"outage":  {func() error { return errors.New("dial tcp 10.0.0.7: " + secret) }, http.StatusServiceUnavailable},
		"timeout": {func() error { return context.DeadlineExceeded }, http.StatusServiceUnavailable},
		"panic":   {func() error { panic("at the wrong moment") }, http.StatusInternalServerError},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			store := &faulty{read: c.read}
			r := newRig(t, func(config *api.Config) { store.Store, config.Store = config.Store, store })
			for _, a := range []answer{
				r.do(r.a, "GET", "/v1/campaigns/"+uuid.NewString(), ""),
				r.do(r.a, "GET", "/v1/campaigns/"+uuid.NewString()+"/events", ""),
				r.do(r.a, "POST", "/v1/campaigns", createBody, "Idempotency-Key", "order-1"),
				r.do(r.a, "POST", "/v1/campaigns", createBody, "Idempotency-Key", "order-1"), // it was given free
			} {
				p := a.refuses(c.status, "")
				if strings.Contains(string(a.body), secret) || c.status == http.StatusServiceUnavailable && a.header.Get("Retry-After") == "" {
					t.Errorf("%v %s", a.header, a.body)
				}
				if !strings.Contains(r.log.String(), p.RequestID) {
					t.Errorf("%s is not in the log", p.RequestID)
				}
			}
			r.do(r.a, "GET", "/v1/campaigns", "").wants(http.StatusOK)
		})
	}
}

// TestStreamsAreBounded: there are only so many at once, and one that ended makes room.
func TestStreamsAreBounded(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(c *api.Config) { c.MaxStreams = 1 })
	id := r.newCampaign(r.a, "a", 1)
	response, events := r.follow(r.a, id)
	await(t, events, "progress")
	r.do(r.a, "GET", "/v1/campaigns/"+id+"/events", "").refuses(http.StatusServiceUnavailable, "")
	_ = response.Body.Close()
	for range events {
	}
	for range 200 {
		again, events := r.follow(r.a, id)
		_ = again.Body.Close()
		for range events {
		}
		if again.StatusCode == http.StatusOK {
			return
		}
	}
	t.Error("no room was made")
}
