package devstack

import (
	"context"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/huntaze/hybrid-orchestrator/db"
	"github.com/huntaze/hybrid-orchestrator/internal/devstack/screen"
	"github.com/huntaze/hybrid-orchestrator/internal/workflow"
	"github.com/huntaze/hybrid-orchestrator/queue"
)

const (
	// lookEvery is the time between two looks at the database.
	lookEvery = 500 * time.Millisecond
	// lookShare keeps looks from costing more than a twentieth of the time, however much there is to count.
	lookShare = 20
	// listEvery is the time between two looks for accounts that are not shown yet.
	listEvery = 5 * time.Second
	// accountsMost is how many accounts there is a look at.
	accountsMost = 20
	// problemsMost is how many problems are kept to be shown.
	problemsMost = 5
	// arrivalsMost is how many arrivals a picture may show.
	arrivalsMost = 40
)

// watcher looks at the stack from time to time, and makes pictures of what it saw last.
type watcher struct {
	stack  *Stack
	limits limits
	tally  *tally // used by look only
	rate   rate   // used by snapshot only

	mu          sync.Mutex
	sample      *follower    // nil: there is none
	more        workflow.Key // of the first message for a second terminal
	moreUsed    bool         // it was sent
	expect      time.Time    // when the sample ends
	ended       bool
	users       []string
	listed      time.Time
	progress    db.Progress
	endings     map[string]ending // of the accounts in progress
	totals      totals
	shift       time.Duration    // from the database's clock to ours
	problems    []screen.Problem // the latest
	untold      []screen.Problem // since the last call of news
	quarantined int64            // the latest entry seen
	trouble     string
	duplicates  int // that the bridges had seen when the sample began
	lastSeq     int64
}

// ending counts how an account's messages have ended.
type ending struct{ sent, failed int }

// totals are of all accounts.
type totals struct {
	sent, over, open int
	behind           bool // there is more than was counted
}

// newWatcher notes what is there already.
func newWatcher(ctx context.Context, s *Stack) (*watcher, error) {
	w := &watcher{stack: s, limits: s.limits, tally: newTally()}
	var err error
	if w.quarantined, err = s.database.store.LastQuarantined(ctx); err != nil {
		return nil, err
	}
	if sim := s.gateway.sim; sim != nil {
		w.lastSeq = sim.Stats().Arrivals
		w.rate.note(time.Now(), int(sim.Stats().Accepted))
	}
	return w, w.look(ctx)
}

// follow makes the sample part of what is watched, and says when it should have come to its end if it begins now.
func (w *watcher) follow(sample *follower, now time.Time) (expect time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.sample, w.listed = sample, time.Time{}
	w.expect = w.limits.estimate(now, sample.messages, w.progress.Accounts)
	w.duplicates = int(w.stack.fleet.intake.duplicates.Load())
	return w.expect
}

// run looks until ctx ends.
func (w *watcher) run(ctx context.Context) {
	for {
		started := time.Now()
		err := w.look(ctx)
		if ctx.Err() != nil {
			return
		}
		w.report(err)
		select {
		case <-ctx.Done():
			return
		case <-time.After(max(lookEvery, lookShare*time.Since(started))):
		}
	}
}

func (w *watcher) report(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.trouble = ""
	if err != nil {
		w.trouble = "the database does not answer; what is shown is old (" + err.Error() + ")"
	}
}

// look reads the database once.
func (w *watcher) look(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	store := w.stack.database.store
	users, err := w.accounts(ctx)
	if err != nil {
		return err
	}
	progress, err := store.Progress(ctx, users)
	if err != nil {
		return err
	}
	if err := w.tally.look(ctx, store); err != nil {
		return err
	}
	w.mu.Lock()
	var keys []workflow.Key
	if w.sample != nil {
		keys = w.sample.open()
	}
	if !w.moreUsed && w.more != (workflow.Key{}) {
		keys = append(keys, w.more)
	}
	after := w.quarantined
	w.mu.Unlock()
	var found []db.MessageProgress
	if len(keys) > 0 {
		if found, err = store.Messages(ctx, keys); err != nil {
			return err
		}
	}
	quarantined, err := store.QuarantinedAfter(ctx, after, 100)
	if err != nil {
		return err
	}
	texts, err := w.texts(ctx, found)
	if err != nil {
		return err
	}
	w.take(progress, found, texts, quarantined)
	return nil
}

// accounts are those to look at: the sample's, then those that have something waiting, then others.
func (w *watcher) accounts(ctx context.Context) ([]string, error) {
	w.mu.Lock()
	users, listed, sample := w.users, w.listed, w.sample
	w.mu.Unlock()
	if time.Since(listed) < listEvery {
		return users, nil
	}
	known, err := w.stack.database.store.KnownAccounts(ctx, accountsMost+1)
	if err != nil {
		return nil, err
	}
	users = nil
	if sample != nil {
		users = sample.accounts()
	}
	for _, user := range known {
		if !slices.Contains(users, user) {
			users = append(users, user)
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.users, w.listed = users, time.Now()
	return users, nil
}

func (w *watcher) take(progress db.Progress, found []db.MessageProgress, texts map[uuid.UUID]db.TextProgress, quarantined []db.Quarantined) {
	now := time.Now()
	w.mu.Lock()
	defer w.mu.Unlock()
	w.progress, w.shift = progress, now.Sub(progress.Now)
	w.endings, w.totals = w.tally.endings(progress.Accounts), w.tally.totals()
	for _, q := range quarantined {
		w.quarantined = q.ID
		problem := screen.Problem{Message: w.sample.workflowOf(q), Reason: q.Problem.Field + ": " + q.Problem.Reason}
		w.problems, w.untold = append(w.problems, problem), append(w.untold, problem)
	}
	w.problems = w.problems[max(0, len(w.problems)-problemsMost):]
	w.moreUsed = w.moreUsed || slices.ContainsFunc(found, func(m db.MessageProgress) bool { return m.Key == w.more })
	if w.sample != nil {
		w.sample.noteTexts(found, texts)
		w.sample.update(progress.Now, found, quarantined, int(w.stack.fleet.intake.duplicates.Load())-w.duplicates)
	}
}

// workflowOf is the workflow id that a quarantined message would have had, as far as it is known.
func (f *follower) workflowOf(q db.Quarantined) string {
	if f == nil {
		return ""
	}
	for body, m := range f.unusable {
		if string(body[:]) == string(q.BodySHA256) {
			return m.key.WorkflowID
		}
	}
	return ""
}

// offer writes messages for a second terminal, and does so again after they were sent: the same ids a second time would
// be duplicates.
func (w *watcher) offer(now time.Time) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.more != (workflow.Key{}) && !w.moreUsed {
		return nil
	}
	run := runName(now) + "m"
	if err := writeMore(w.stack.folder.more(), run); err != nil {
		return err
	}
	first, _, _ := strings.Cut(moreText, "\n")
	w.more, w.moreUsed = newFollower([]string{strings.ReplaceAll(first, "{run}", run)}, queue.Limits{}).messages[0].key, false
	return nil
}

// sampleEnded says whether every message of the sample has come to its end. It says so once.
func (w *watcher) sampleEnded() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.sample == nil || w.ended || w.sample.done(w.progress.Now) < len(w.sample.messages) {
		return false
	}
	w.ended = true
	return true
}

// news is what happened since the last call.
type news struct {
	arrivals []screen.Arrival // at the simulated gateway, answered
	problems []screen.Problem
}

func (w *watcher) news() (n news) {
	w.mu.Lock()
	defer w.mu.Unlock()
	n.problems, w.untold = w.untold, nil
	if w.stack.gateway.sim == nil {
		return n
	}
	for _, a := range w.stack.gateway.sim.Arrivals(w.lastSeq) {
		arrival := w.arrival(a)
		if arrival.Took < 0 && time.Since(a.At) < 2*longestReply {
			break // its reply is not out yet
		}
		w.lastSeq = a.Seq
		n.arrivals = append(n.arrivals, arrival)
	}
	return n
}
