package api

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/huntaze/hybrid-orchestrator/db"
	"github.com/huntaze/hybrid-orchestrator/internal/campaign"
)

// AccountPath names an account.
type AccountPath struct {
	UserID string `path:"userId" maxLength:"256"`
}

// account checks that the caller may use the account.
func (a AccountPath) account(who caller) error {
	if p := checkID("path", "userId", a.UserID); p != nil {
		return p
	}
	if !who.may(a.UserID) {
		return notFound("path", "userId", "account")
	}
	return nil
}

// TokensOfRule are the tokens of one rule.
type TokensOfRule struct {
	Rule     string    `json:"rule" doc:"Number of messages / time."`
	Capacity int       `json:"capacity"`
	WindowMs int64     `json:"windowMs"`
	Free     int       `json:"free"`
	NextFree time.Time `json:"nextFree" doc:"When there is a free one, not before now."`
}

// Limits is what an account may send, and what waits.
type Limits struct {
	UserID         string         `json:"userId"`
	Known          bool           `json:"known" doc:"False: nothing of it was ever taken in."`
	Now            time.Time      `json:"now"`
	GuardMs        int64          `json:"guardMs"`
	Tokens         []TokensOfRule `json:"tokens" nullable:"false" doc:"One entry for each rule; none: no limit."`
	NextFree       time.Time      `json:"nextFree" doc:"When the account has a token of every rule."`
	RestsUntil     *time.Time     `json:"restsUntil,omitempty"`
	RestReason     string         `json:"restReason,omitempty"`
	QuietHours     string         `json:"quietHours,omitempty"`
	QuietUntil     *time.Time     `json:"quietUntil,omitempty"`
	Queued         int64          `json:"queued" doc:"Messages that wait, those that recipients of running and scheduled campaigns still become among them."`
	QueuedExact    bool           `json:"queuedExact" doc:"False: there are more than were counted."`
	ExpectedFinish *time.Time     `json:"expectedFinish,omitempty" doc:"About when all of them have gone, if nothing changes."`
}

type limitsOutput struct{ Body Limits }

func (s *Server) accountRoutes() {
	tags := []string{"Accounts"}
	register(s, huma.Operation{OperationID: "get-limits", Method: http.MethodGet, Path: "/v1/accounts/{userId}/limits", Tags: tags, Summary: "What an account may send now, what waits, and when that has gone"}, s.getLimits)
	register(s, huma.Operation{OperationID: "list-opt-outs", Method: http.MethodGet, Path: "/v1/accounts/{userId}/opt-outs", Tags: tags, Summary: "List the recipients who get nothing from an account"}, s.listOptOuts)
	register(s, huma.Operation{OperationID: "get-opt-out", Method: http.MethodGet, Path: "/v1/accounts/{userId}/opt-outs/{recipientId}", Tags: tags, Summary: "Whether a recipient opted out"}, s.getOptOut)
	register(s, huma.Operation{OperationID: "put-opt-out", Method: http.MethodPut, Path: "/v1/accounts/{userId}/opt-outs/{recipientId}", Tags: tags, Summary: "Send a recipient nothing more: no call that has not begun begins any more"}, s.putOptOut)
	register(s, huma.Operation{OperationID: "delete-opt-out", Method: http.MethodDelete, Path: "/v1/accounts/{userId}/opt-outs/{recipientId}", Tags: tags, Summary: "Let a recipient get messages again"}, s.deleteOptOut)
	register(s, huma.Operation{OperationID: "get-quiet-hours", Method: http.MethodGet, Path: "/v1/accounts/{userId}/quiet-hours", Tags: tags, Summary: "When an account sends nothing"}, s.getQuiet)
	register(s, huma.Operation{OperationID: "put-quiet-hours", Method: http.MethodPut, Path: "/v1/accounts/{userId}/quiet-hours", Tags: tags, Summary: "Change when an account sends nothing"}, s.putQuiet)
	register(s, huma.Operation{OperationID: "delete-quiet-hours", Method: http.MethodDelete, Path: "/v1/accounts/{userId}/quiet-hours", Tags: tags, Summary: "Let an account send at all hours"}, s.deleteQuiet)
}

func (s *Server) getLimits(ctx context.Context, who caller, in *AccountPath) (*limitsOutput, error) {
	if err := in.account(who); err != nil {
		return nil, err
	}
	load, err := s.store.AccountLoad(ctx, in.UserID)
	if err != nil {
		return nil, err
	}
	l := Limits{
		UserID: in.UserID, Known: load.State.Known, Now: load.Now.UTC(), GuardMs: load.State.Policy.Guard.Milliseconds(), Tokens: []TokensOfRule{},
		NextFree: load.State.NextFree(load.Now).UTC(), QuietHours: load.QuietHours, Queued: load.Waiting(), QueuedExact: load.Certainty == db.Exactly,
		ExpectedFinish: finishOf(load),
	}
	for _, t := range load.State.Tokens {
		l.Tokens = append(l.Tokens, TokensOfRule{t.Rule.String(), t.Rule.Capacity, t.Rule.Window.Milliseconds(), t.Free(), t.NextFree.UTC()})
	}
	if account := load.Account(); account.Rests.After(load.Now) {
		l.RestsUntil, l.RestReason = timeOf(account.Rests), load.State.RestReason
	}
	if until := load.Quiet.Until(load.Now); until.After(load.Now) {
		l.QuietUntil = timeOf(until)
	}
	return &limitsOutput{l}, nil
}

// finishOf is when everything that waits has gone; nil if nothing waits, or that is not foreseen.
func finishOf(load db.AccountLoad) *time.Time {
	table := campaign.ETA(load.Now, load.Account(), queuesOf(load))
	var last time.Time
	for i := range load.Queues {
		course := table.Of(i)
		if course.Beyond > 0 {
			return nil
		}
		if course.Ends.After(last) {
			last = course.Ends
		}
	}
	return timeOf(last)
}

// QuietHours is when an account sends nothing.
type QuietHours struct {
	UserID     string     `json:"userId"`
	QuietHours string     `json:"quietHours" doc:"Such as 22:00-08:00 Europe/Berlin, or off."`
	QuietUntil *time.Time `json:"quietUntil,omitempty" doc:"It is quiet now, until then."`
	NextAt     *time.Time `json:"nextAt,omitempty" doc:"When it gets quiet next."`
	ChangedAt  *time.Time `json:"changedAt,omitempty"`
	ChangedBy  string     `json:"changedBy,omitempty"`
}

type quietOutput struct{ Body QuietHours }

type putQuietInput struct {
	AccountPath
	Body struct {
		QuietHours string `json:"quietHours" minLength:"1" maxLength:"200" doc:"Such as 22:00-08:00 Europe/Berlin, with weekdays if it is not for every day: 00:00-24:00 Europe/Berlin Sat,Sun."`
	}
}

func (s *Server) getQuiet(ctx context.Context, who caller, in *AccountPath) (*quietOutput, error) {
	if err := in.account(who); err != nil {
		return nil, err
	}
	q, found, err := s.store.QuietHours(ctx, in.UserID)
	if err != nil {
		return nil, err
	}
	if !found {
		return &quietOutput{QuietHours{UserID: in.UserID, QuietHours: campaign.QuietOff}}, nil
	}
	return s.quiet(ctx, q)
}

func (s *Server) quiet(ctx context.Context, q db.QuietHours) (*quietOutput, error) {
	now, err := s.store.Now(ctx)
	if err != nil {
		return nil, err
	}
	out := QuietHours{UserID: q.UserID, QuietHours: q.Hours, ChangedAt: timeOf(q.ChangedAt), ChangedBy: q.ChangedBy}
	if parsed, err := campaign.ParseQuiet(q.Hours); err == nil {
		if until := parsed.Until(now); until.After(now) {
			out.QuietUntil = timeOf(until)
		} else if next, ok := parsed.Next(now); ok {
			out.NextAt = timeOf(next)
		}
	}
	return &quietOutput{out}, nil
}

func (s *Server) putQuiet(ctx context.Context, who caller, in *putQuietInput) (*quietOutput, error) {
	if err := in.account(who); err != nil {
		return nil, err
	}
	parsed, err := campaign.ParseQuiet(in.Body.QuietHours)
	if err != nil {
		return nil, invalid("body", "quietHours", "can't be used: "+err.Error(), "write 22:00-08:00 Europe/Berlin, with weekdays behind it if it is not for every day, or off")
	}
	q, err := s.store.SetQuietHours(ctx, in.UserID, parsed.String(), who.name())
	if err != nil {
		return nil, err
	}
	return s.quiet(ctx, q)
}

func (s *Server) deleteQuiet(ctx context.Context, who caller, in *AccountPath) (*struct{}, error) {
	if err := in.account(who); err != nil {
		return nil, err
	}
	_, err := s.store.ClearQuietHours(ctx, in.UserID)
	return nil, err
}
