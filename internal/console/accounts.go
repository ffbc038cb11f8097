package console

import (
	"math"
	"net/url"
	"strconv"
	"time"

	"github.com/huntaze/hybrid-orchestrator/db"
	"github.com/huntaze/hybrid-orchestrator/internal/campaign"
	"github.com/huntaze/hybrid-orchestrator/internal/wording"
)

const accountsPerPage = 25

// bucket is a rule with its tokens, as they are drawn.
type bucket struct {
	Rule   string
	Free   int
	All    int
	Next   time.Time // when the next one comes back; zero: one is free
	Tokens []token   // none: there are too many to draw
	Width  int       // of the drawing
	Bar    []segment // of those that can't be drawn one by one
}

// token is one of a bucket: free, in use, or on its way back.
type token struct {
	State   string
	X       int
	Left    string // until it is back, in short
	Dash    string // how much of its ring is drawn
	Returns time.Time
}

const (
	drawnMost  = 30 // tokens
	tokenPitch = 40
	ringLength = 2 * math.Pi * 14 // of a token's ring
)

func bucketsOf(state db.AccountState, now time.Time) (buckets []bucket) {
	for _, t := range state.Tokens {
		b := bucket{Rule: t.Rule.String(), Free: t.Free(), All: t.Rule.Capacity}
		if b.Free == 0 {
			b.Next = t.NextFree
		}
		held := t.Rule.Window + state.Policy.Guard
		if t.Rule.Capacity > drawnMost {
			free := 100 * float64(b.Free) / float64(b.All)
			b.Bar = []segment{{percent(0), percent(free), "good"}, {percent(free), percent(100 - free), "busy"}}
			buckets = append(buckets, b)
			continue
		}
		for _, at := range t.Returns() {
			one := token{State: "back", Returns: at, Left: seconds(at.Sub(now)), Dash: dash(at.Sub(now), held)}
			if at.Sub(now) > held {
				one = token{State: "used", Returns: at} // the call that it pays for has not certainly ended
			}
			b.Tokens = append(b.Tokens, one)
		}
		for len(b.Tokens) < t.Rule.Capacity {
			b.Tokens = append(b.Tokens, token{State: "free"})
		}
		for i := range b.Tokens {
			b.Tokens[i].X = tokenPitch/2 + i*tokenPitch
		}
		b.Width = len(b.Tokens) * tokenPitch
		buckets = append(buckets, b)
	}
	return buckets
}

func seconds(d time.Duration) string {
	switch s := int(math.Ceil(d.Seconds())); {
	case s < 100:
		return strconv.Itoa(s) + "s"
	case s < 100*60:
		return strconv.Itoa(s/60) + "m"
	default:
		return strconv.Itoa(s/3600) + "h"
	}
}

func dash(left, of time.Duration) string {
	part := min(1, max(0.02, float64(left)/float64(max(of, 1))))
	return strconv.FormatFloat(part*ringLength, 'f', 1, 64) + " " + strconv.FormatFloat(ringLength, 'f', 1, 64)
}

type accountRow struct {
	db.AccountLine
	Buckets []bucket
	Rests   bool
	Probes  bool // one message at a time, until one gets through
}

func accountRowOf(l db.AccountLine, now time.Time) accountRow {
	rests := l.RestUntil.After(now)
	return accountRow{AccountLine: l, Buckets: bucketsOf(l.AccountState, now), Rests: rests, Probes: !rests && l.AccountState.Rests > 0}
}

// URL is the account's page.
func (a accountRow) URL() string { return accountURL(a.UserID) }

func accountURL(userID string) string { return "/account?" + url.Values{"user": {userID}}.Encode() }

type accountsView struct {
	Accounts []accountRow
	Next     string
	First    bool
}

func (c *console) accountsPage(r *request) error {
	after := r.FormValue("after")
	found, now, err := c.Store.AccountPage(r.Context(), r.who.scope(), after, accountsPerPage+1)
	if err != nil {
		return err
	}
	r.now = now
	body := accountsView{First: after == ""}
	if len(found) > accountsPerPage {
		found = found[:accountsPerPage]
		body.Next = "/accounts?" + url.Values{"after": {found[len(found)-1].UserID}}.Encode()
	}
	for _, line := range found {
		body.Accounts = append(body.Accounts, accountRowOf(line, now))
	}
	return r.show("accounts", "Accounts", "accounts", body)
}

type accountView struct {
	accountRow
	Limits    string
	Recipient string // limits of each recipient
	Guard     time.Duration
	Quiet     string
	QuietEnds time.Time // zero: it is not quiet now
	Waiting   int64
	AtLeast   bool
	Ends      time.Time // zero: nothing waits, or nobody knows
	Campaigns []campaignRow
}

func (c *console) accountPage(r *request) error {
	userID := r.FormValue("user")
	if !r.may(userID) {
		return errNotFound
	}
	load, err := c.Store.AccountLoad(r.Context(), userID)
	if err != nil {
		return err
	}
	if !load.State.Known {
		return errNotFound
	}
	r.now = load.Now
	body := accountView{
		accountRow: accountRowOf(db.AccountLine{AccountState: load.State}, load.Now),
		Limits:     load.State.Policy.Account.String(), Recipient: load.State.Policy.Recipient.String(), Guard: load.State.Policy.Guard,
		Quiet: load.QuietHours, Waiting: load.Waiting(), AtLeast: load.Certainty == db.AtLeast,
	}
	if until := load.Quiet.Until(load.Now); load.QuietHours != "" && until.After(load.Now) {
		body.QuietEnds = until
	}
	queues := make([]campaign.Queue, len(load.Queues))
	for i, q := range load.Queues {
		queues[i] = campaign.Queue{Campaign: q.CampaignID, Priority: int(q.Priority), Weight: q.Share, Messages: int(q.Messages), NotBefore: q.NotBefore, ExpiresAt: q.ExpiresAt}
	}
	table := campaign.ETA(load.Now, load.Account(), queues)
	for i := range queues {
		if ends := table.Of(i).Ends; ends.After(body.Ends) {
			body.Ends = ends
		}
	}
	recent, err := c.Store.CampaignPage(r.Context(), db.CampaignPage{Accounts: []string{userID}, Limit: 10})
	if err != nil {
		return err
	}
	body.Campaigns = rowsOf(recent)
	return r.show("account", userID, "accounts", body)
}

func (c *console) wakeAccount(r *request) error {
	userID := r.PostFormValue("user")
	if !r.may(userID) {
		return errNotFound
	}
	state, _, err := c.Store.AccountState(r.Context(), userID)
	if err != nil {
		return err
	}
	if !state.Known {
		return errNotFound
	}
	rested, err := c.Store.EndRest(r.Context(), userID)
	if err != nil {
		return err
	}
	if !rested {
		return r.done(accountURL(userID), "The account was not resting any more.")
	}
	r.said("rest ended", "account", userID)
	return r.done(accountURL(userID), "The rest is over. One message goes first; when the gateway takes it, the others follow. It was: %s.", wording.Reason(state.RestReason))
}
