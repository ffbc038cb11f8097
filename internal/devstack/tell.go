package devstack

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/huntaze/hybrid-orchestrator/internal/devstack/screen"
	"github.com/huntaze/hybrid-orchestrator/internal/workflow"
)

// tellPart prints a part in columns; where it is gets a second line when it is long.
func (r *run) tellPart(p Part) {
	const indent = "  %-9s %-36s "
	name, what := p.Name, p.What
	for _, where := range screen.Wrap(p.Where, max(20, r.view.size().Width-50)) {
		_ = r.view.say(strings.TrimRight(fmt.Sprintf(indent+"%s", name, what, where), " "))
		name, what = "", ""
	}
}

// found tells what earlier runs left, and which limit holds.
func (r *run) found() (text []string) {
	if in := r.stack.limits.policy.Account; !in.Equal(r.stack.wanted) {
		text = append(text, fmt.Sprintf("An account may send %s, as this database has it, not %s. `%s limits set` changes that.", inWords(in), inWords(r.stack.wanted), r.Command))
	}
	if r.Fresh && r.stack.database.cluster == nil {
		text = append(text, "--fresh emptied the data folder; the database of DATABASE_URL is as it was.")
	}
	if total := r.watcher.totals; total.over+total.open > 0 {
		more := ""
		if total.behind {
			more = "more than "
		}
		text = append(text, fmt.Sprintf("Found from earlier runs: %s%s, %d of them on their way; those go on.", more, countOf(total.over+total.open, "message", "messages"), total.open))
	}
	return text
}

// introduce says what is going to be seen.
func (r *run) introduce(sample *follower, length time.Duration, end time.Time) error {
	counts := map[string]int{}
	most := ""
	for _, m := range sample.messages {
		if m.problem == nil && !m.again {
			if counts[m.key.UserID]++; counts[m.key.UserID] > counts[most] {
				most = m.key.UserID
			}
		}
	}
	text := fmt.Sprintf("A sample of %s for %d accounts goes on the SQS queue now. ", countOf(len(sample.messages), "message", "messages"), len(sample.accounts()))
	limit := r.watcher.limits.account()
	if limit.Capacity > 0 && counts[most] > limit.Capacity {
		text += fmt.Sprintf("%s has %d of them and may send %d in any %s, so the others wait their turn: that is the limit doing its work. All of it takes about %s, until %s. ",
			most, counts[most], limit.Capacity, screen.Window(limit.Window), screen.Span(length.Round(time.Second)), screen.Clock(end))
	} else {
		text += fmt.Sprintf("The last is expected to go about %s. ", screen.Clock(end))
	}
	text += "Among them are one message twice, two that can't be used, an urgent one, one for later, two for one recipient, one whose reply the gateway loses, and five whose text is written from a brief, " + r.byWhom()
	return errors.Join(r.view.say(""), r.view.paragraph(text), r.view.say(""))
}

// byWhom says who writes the texts of the sample.
func (r *run) byWhom() string {
	if r.stack.providers == nil {
		return "by " + r.stack.writers() + ", as configured, which may cost money."
	}
	return "by simulated providers; the first call fails, so that the other provider stands in."
}

func (r *run) sendMore() string { return r.Command + " send " + shown(r.stack.folder.more()) }

// report is the table, and how to go on.
func (r *run) report() []string {
	r.watcher.mu.Lock()
	rows := r.watcher.sample.rows(r.watcher.limits)
	urgent := r.watcher.sample.messages[0].key.WorkflowID
	for _, m := range r.watcher.sample.messages {
		if m.priority == workflow.PriorityUrgent {
			urgent = m.key.WorkflowID
		}
	}
	written := r.watcher.sample.writtenOne()
	r.watcher.mu.Unlock()
	text := []string{fmt.Sprintf("What happened to the %d messages of the sample:", len(rows)), ""}
	text = append(text, screen.Table(rows, r.view.size(), tableEach, tableMost, r.view.look())...)
	if r.For > 0 {
		return append(text, "")
	}
	addrs := r.stack.fleet.adminAddrs()
	text = append(text, "", "How to go on, from a second terminal in this folder:",
		"  "+r.sendMore(), "      six more messages; write a file of your own like it",
		"  "+r.Command+" explain "+urgent, "      the life of one message, here of the urgent one")
	if written != nil {
		text = append(text, "  "+r.Command+" explain "+written.key.WorkflowID, "      how its text was written: by whom, after what, and at which cost")
	}
	if r.stack.apiURL != "" {
		text = append(text, "  "+r.stack.apiURL, "      the console; log in with the key "+r.stack.apiKey,
			"  "+r.Command+" campaign create --help", "      a campaign of your own, from a terminal")
	}
	return append(text, "  curl http://"+addrs[0]+"/metrics", "      what a worker counts; /readyz says how it is",
		"This keeps running until Ctrl-C.", "")
}
