package console

import (
	"context"
	"sync"
	"time"

	"github.com/huntaze/hybrid-orchestrator/db"
	"github.com/huntaze/hybrid-orchestrator/internal/flags"
	"github.com/huntaze/hybrid-orchestrator/internal/workflow"
)

const (
	overviewCampaigns = 6
	overviewAccounts  = 6
)

// tile is one number of the fleet.
type tile struct {
	Label string
	Count db.Count
	Tone  string
	URL   string
}

type overviewView struct {
	Fleet     *db.Summary // nil: the key is for some accounts
	Live      []tile
	Over      []tile
	SendsOff  bool // by the kill switch for all
	Targets   []targetRow
	Spent     int64
	Campaigns []campaignRow
	Accounts  []accountRow
	Doubts    int
	MoreDoubt bool
	Jobs      []jobs
}

// jobs are those of one of River's queues.
type jobs struct {
	Queue  string
	Counts []db.JobCount
}

func (c *console) overviewPage(r *request) (err error) {
	var body overviewView
	if r.who.Admin {
		err = c.overviewOfFleet(r, &body)
	} else {
		err = c.overviewOfAccounts(r, &body)
	}
	if err != nil {
		return err
	}
	running, err := c.Store.CampaignPage(r.Context(), db.CampaignPage{Accounts: r.who.scope(), State: db.CampaignRunning, Limit: overviewCampaigns})
	if err != nil {
		return err
	}
	body.Campaigns = rowsOf(running)
	return r.show("overview", "Overview", "overview", body)
}

func (c *console) overviewOfFleet(r *request, body *overviewView) error {
	sum, err := c.summary.get(r.Context(), c.Store, c.Now())
	if err != nil {
		return err
	}
	body.Fleet, r.now = &sum, sum.Now
	for _, stage := range workflow.Stages {
		one := tile{Label: words(string(stage)), Count: sum.Stages[stage], Tone: tone(stage)}
		if stage == workflow.StageInDoubt {
			one.URL = "/doubts"
		}
		if stage.Final() {
			body.Over = append(body.Over, one)
		} else {
			body.Live = append(body.Live, one)
		}
	}
	for _, j := range sum.Jobs {
		if n := len(body.Jobs); n == 0 || body.Jobs[n-1].Queue != j.Queue {
			body.Jobs = append(body.Jobs, jobs{Queue: j.Queue})
		}
		last := &body.Jobs[len(body.Jobs)-1]
		last.Counts = append(last.Counts, j)
	}
	table, err := c.Store.Flags(r.Context())
	if err != nil {
		return err
	}
	body.SendsOff = !flags.New(table, c.Overrides, c.Legacy).SendsEnabled("")
	seen, err := c.Store.Targets(r.Context())
	if err != nil {
		return err
	}
	body.Targets, body.Spent = targetsOf(seen), seen.SpentPicoUSD
	return nil
}

func (c *console) overviewOfAccounts(r *request, body *overviewView) error {
	found, now, err := c.Store.AccountPage(r.Context(), r.who.scope(), "", overviewAccounts)
	if err != nil {
		return err
	}
	r.now = now
	for _, line := range found {
		body.Accounts = append(body.Accounts, accountRowOf(line, now))
	}
	doubts, err := c.Store.DoubtsIn(r.Context(), r.who.scope(), doubtsMost+1)
	if err != nil {
		return err
	}
	body.Doubts, body.MoreDoubt = min(len(doubts), doubtsMost), len(doubts) > doubtsMost
	return nil
}

// summaryAge is how old the numbers of the fleet may be. They are the dearest of all that pages read, and the same for
// everybody: however many look at them, they are read once in this time.
const summaryAge = time.Second

// summary remembers the numbers of the fleet for a moment.
type summary struct {
	mu   sync.Mutex
	at   time.Time
	last db.Summary
}

func (s *summary) get(ctx context.Context, store Store, now time.Time) (db.Summary, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.at.IsZero() && now.Sub(s.at) < summaryAge && !now.Before(s.at) {
		return s.last, nil
	}
	sum, err := store.Summarise(ctx)
	if err == nil {
		s.last, s.at = sum, now
	}
	return sum, err
}
