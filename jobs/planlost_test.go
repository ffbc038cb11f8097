package jobs_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/huntaze/hybrid-orchestrator/db"
	"github.com/huntaze/hybrid-orchestrator/internal/provider/providersim"
)

// What was chosen stays: a late answer of a call that was given up changes nothing, and nor does anybody else.
func TestChosenOnce(t *testing.T) {
	t.Parallel()
	w := newWriters(t, writerOptions{})
	w.ingest(briefed(1))
	args, _, _ := w.job()
	step := db.PlanStep{Text: args.Text, Step: args.Step}
	first, err := w.Plan(t.Context(), step)
	if err != nil || first.Do != db.PlanMakeCall {
		t.Fatalf("%+v, %v", first, err)
	}
	answer := w.author.Write(t.Context(), first.Call, time.Now()) // and the process is stopped here
	w.AdvanceClock(t, time.Minute)
	if r, err := w.store.Reconcile(t.Context()); err != nil || r.Unplanned != 1 {
		t.Fatalf("%+v, %v", r, err)
	}
	w.fails(providersim.Azure, "Quite another text.")
	w.run(5)
	chosen := w.life("wf-1")
	if chosen.Content != "Quite another text." || len(w.called()) != 2 {
		t.Fatalf("%+v after %v", chosen, w.called())
	}
	next, err := w.Plan(t.Context(), db.PlanStep{Text: args.Text, Step: args.Step, Ended: &answer})
	if err != nil || next.Do != db.PlanDone {
		t.Errorf("%+v, %v", next, err)
	}
	if after := w.life("wf-1"); after.Content != chosen.Content {
		t.Errorf("the late answer changed the text to %q", after.Content)
	}
	for _, sql := range []string{`UPDATE texts SET body = 'mine'`, `UPDATE texts SET state = 'failed', body = ''`, `UPDATE texts SET source = 'openai'`,
		`UPDATE provider_costs SET pico_usd = 0`, `DELETE FROM provider_costs`, `TRUNCATE provider_costs`} {
		var refused *pgconn.PgError
		if _, err := w.plain.Exec(t.Context(), sql); !errors.As(err, &refused) || refused.Code != "23514" {
			t.Errorf("%s: %v", sql, err)
		}
	}
	if n := w.number(`SELECT count(*) FROM provider_costs WHERE kind = 'estimated' AND pico_usd > 0`); n != 1 {
		t.Errorf("%d estimates for the call that was lost", n)
	}
	if n := w.number(`SELECT count(*) FROM plan_attempts WHERE state = 'lost'`); n != 1 {
		t.Errorf("%d calls lost", n)
	}
}

// A job that is run again while its call is under way does not make another.
func TestRunAgainWhileTheCallIsUnderWay(t *testing.T) {
	t.Parallel()
	w := newWriters(t, writerOptions{})
	w.ingest(briefed(1))
	args, _, _ := w.job()
	step := db.PlanStep{Text: args.Text, Step: args.Step}
	first, err := w.Plan(t.Context(), step)
	if err != nil || first.Do != db.PlanMakeCall {
		t.Fatalf("%+v, %v", first, err)
	}
	if err := w.work(args); err != nil || len(w.called()) != 0 {
		t.Fatalf("%v after %v", err, w.called())
	}
	end := w.author.Write(t.Context(), first.Call, time.Now())
	if next, err := w.Plan(t.Context(), db.PlanStep{Text: args.Text, Step: args.Step, Ended: &end}); err != nil || next.Moved != 1 {
		t.Errorf("%+v, %v", next, err)
	}
	w.run(5)
	if got := w.life("wf-1"); got.Stage != "queued" || len(w.called()) != 1 {
		t.Errorf("%+v after %v", got, w.called())
	}
}

// A fault table: whatever is lost between a call and its commit, the text is chosen once and paid for twice at most.
func TestLostBetweenAnswerAndCommit(t *testing.T) {
	t.Parallel()
	for name, lose := range map[string]func(w *writers, p *faultyPlanner){
		"the report fails once":             func(_ *writers, p *faultyPlanner) { p.before = 1 },
		"the report fails, but was applied": func(_ *writers, p *faultyPlanner) { p.after = 1 },
		"the process dies before it":        func(_ *writers, p *faultyPlanner) { p.dies = true },
		"the process dies after it":         func(_ *writers, p *faultyPlanner) { p.diesAfter = true },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWriters(t, writerOptions{})
			p := &faultyPlanner{writers: w}
			lose(w, p)
			w.worker = w.newWorker(p)
			w.ingest(briefed(1))
			args, _, _ := w.job()
			if died := dies(func() { _ = w.work(args) }); died != (p.dies || p.diesAfter) {
				t.Fatalf("died: %v", died)
			}
			p.dies, p.diesAfter = false, false
			w.AdvanceClock(t, time.Minute)
			if _, err := w.store.Reconcile(t.Context()); err != nil {
				t.Fatal(err)
			}
			w.run(5)
			_ = w.work(args) // River's rescue
			got := w.life("wf-1")
			if got.Stage != "queued" || got.Content == "" || len(w.called()) > 2 || w.number(`SELECT count(*) FROM texts WHERE state = 'ready'`) != 1 {
				t.Errorf("%+v after %v", got, w.called())
			}
			if calls, costs := len(w.called()), w.number(`SELECT count(*) FROM provider_costs`); int64(calls) != costs {
				t.Errorf("%d calls, %d costs", calls, costs)
			}
			if want := map[bool]int{true: 2, false: 1}[strings.Contains(name, "dies before")]; len(w.called()) != want {
				t.Errorf("%d calls, want %d", len(w.called()), want)
			}
		})
	}
}

// faultyPlanner loses reports of calls.
type faultyPlanner struct {
	*writers
	before, after   int
	dies, diesAfter bool
}

type death struct{}

func dies(do func()) (died bool) {
	defer func() {
		if r := recover(); r != nil {
			if _, died = r.(death); !died {
				panic(r)
			}
		}
	}()
	do()
	return false
}

// Plan implements jobs.Planner.
func (p *faultyPlanner) Plan(ctx context.Context, step db.PlanStep) (db.PlanNext, error) {
	if step.Ended == nil {
		return p.writers.Plan(ctx, step)
	}
	if p.dies {
		panic(death{})
	}
	if p.before > 0 {
		p.before--
		return db.PlanNext{}, errLost
	}
	next, err := p.writers.Plan(ctx, step)
	if p.diesAfter {
		panic(death{})
	}
	if p.after > 0 {
		p.after--
		return db.PlanNext{}, errLost
	}
	return next, err
}

var errLost = fmt.Errorf("transaction: %w", &pgconn.PgError{Code: "57P01", Message: "terminating connection"})
