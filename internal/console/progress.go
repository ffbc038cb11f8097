package console

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/huntaze/hybrid-orchestrator/db"
	"github.com/huntaze/hybrid-orchestrator/internal/campaign"
	"github.com/huntaze/hybrid-orchestrator/internal/wording"
	"github.com/huntaze/hybrid-orchestrator/internal/workflow"
)

// campaignRow is a campaign as lists show it.
type campaignRow struct {
	db.CampaignDetail
	Total   int64 // recipients, or messages if there are more
	Sent    int64
	Ended   int64
	Percent string // of what has ended
	Bar     []segment
	Stages  []stageCount
}

// stageCount is how many messages are in a stage.
type stageCount struct {
	Stage  workflow.Stage
	Number int64
}

// segment is a part of a bar: percentages of its width.
type segment struct {
	X, Width string
	Tone     string
}

// barOrder is how the stages stand in a bar: from what is over to what has not begun.
var barOrder = []workflow.Stage{
	workflow.StageSent, workflow.StageFailed, workflow.StageCancelled, workflow.StageExpired, workflow.StageInDoubt,
	workflow.StageSending, workflow.StageQueued, workflow.StagePlanning,
}

func rowOf(c db.CampaignDetail) campaignRow {
	row := campaignRow{CampaignDetail: c, Sent: c.Counts[workflow.StageSent], Ended: c.Messages() - c.Live(), Total: max(c.Recipients, c.Messages())}
	for _, stage := range barOrder {
		if n := c.Counts[stage]; n > 0 {
			row.Stages = append(row.Stages, stageCount{stage, n})
		}
	}
	row.Percent = "0 %"
	if row.Total == 0 {
		return row
	}
	x := 0.0
	for _, stage := range barOrder {
		if n := c.Counts[stage]; n > 0 {
			width := 100 * float64(n) / float64(row.Total)
			row.Bar = append(row.Bar, segment{percent(x), percent(width), tone(stage)})
			x += width
		}
	}
	row.Percent = wording.Grouped(100*row.Ended/row.Total) + " %"
	return row
}

func percent(n float64) string { return strconv.FormatFloat(n, 'f', 3, 64) + "%" }

func rowsOf(campaigns []db.CampaignDetail) []campaignRow {
	rows := make([]campaignRow, len(campaigns))
	for i, c := range campaigns {
		rows[i] = rowOf(c)
	}
	return rows
}

// Label is what a person calls the campaign.
func (r campaignRow) Label() string {
	if r.Name != "" {
		return r.Name
	}
	return r.CampaignID
}

// Summary is the bar in words.
func (r campaignRow) Summary() string {
	if r.Total == 0 {
		return "no recipients yet"
	}
	parts := make([]string, len(r.Stages))
	for i, s := range r.Stages {
		parts[i] = fmt.Sprintf("%s %s", wording.Grouped(s.Number), words(string(s.Stage)))
	}
	if rest := r.Total - r.Messages(); rest > 0 {
		parts = append(parts, wording.Grouped(rest)+" not messages yet")
	}
	return strings.Join(parts, ", ")
}

// action is something that can be done to a campaign now.
type action struct {
	Name    string
	Label   string
	Confirm string // what a person should know before
	Danger  bool
}

// actionsOf lists what a person can do to a campaign in a state.
func actionsOf(state db.CampaignState) (actions []action) {
	known := map[campaign.Action]action{
		campaign.ActionStart:  {"start", "Start", "Its messages go out as the account's limits allow.", false},
		campaign.ActionPause:  {"pause", "Pause", "Nothing more of it is sent until it is resumed. What is on its way may still arrive.", false},
		campaign.ActionResume: {"resume", "Resume", "Its messages go on as the account's limits allow.", false},
		campaign.ActionCancel: {"cancel", "Cancel", "What was not sent is never sent. This can't be taken back.", true},
	}
	for _, possible := range campaign.Possible(campaign.State(state)) {
		if one, ours := known[possible]; ours {
			actions = append(actions, one)
		}
	}
	return actions
}
