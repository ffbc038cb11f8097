package middleware_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/huntaze/hybrid-orchestrator/internal/flags"
	"github.com/huntaze/hybrid-orchestrator/internal/middleware"
	"github.com/huntaze/hybrid-orchestrator/internal/workflow"
)

// shelf is a store that keeps what it is given.
type shelf struct {
	mu    sync.Mutex
	got   []workflow.Delivery
	fails error
}

func (s *shelf) Ingest(_ context.Context, batch []workflow.Delivery) ([]workflow.Intake, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fails != nil {
		return nil, s.fails
	}
	answers := make([]workflow.Intake, len(batch))
	for i, d := range batch {
		answers[i].Outcome = workflow.IntakeDuplicate
		if d.Problem != nil {
			answers[i] = workflow.Intake{Outcome: workflow.IntakeQuarantined, Problem: d.Problem}
		} else if !slices.ContainsFunc(s.got, func(o workflow.Delivery) bool { return o.MessageID == d.MessageID }) {
			s.got = append(s.got, d)
			answers[i].Outcome = workflow.IntakeAccepted
		}
	}
	return answers, nil
}

func (s *shelf) Ping(context.Context) error { return s.fails }

func ids(got []seen) (all []string) {
	for _, s := range got {
		all = append(all, s.Header.Get("X-Sqs-Message-Id"))
	}
	return all
}

func left(err error) map[int]error {
	var some interface{ Left() map[int]error }
	if errors.As(err, &some) {
		return some.Left()
	}
	return nil
}

func TestMessages(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	store := &shelf{}
	messages := r.Messages(store)
	r.flags.set("off", "new")
	broken := workflow.Delivery{Source: "messages", MessageID: "broken", Body: []byte(`{"userId":"new","workflowId":"b1"`), Problem: &workflow.Problem{Field: "body", Reason: "is no JSON"}}
	brokenOld := broken
	brokenOld.MessageID, brokenOld.Body = "broken-old", []byte("\x00"+`{"userId":"a\u0000b"}`)
	batch := []workflow.Delivery{delivery("new", 1), delivery("old", 2), broken, brokenOld, delivery("old", 3), delivery("new", 4)}
	answers, err := messages.Ingest(t.Context(), batch)
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []workflow.IntakeOutcome{workflow.IntakeAccepted, workflow.IntakeAccepted, workflow.IntakeQuarantined, workflow.IntakeAccepted, workflow.IntakeAccepted, workflow.IntakeAccepted} {
		if answers[i].Outcome != want {
			t.Errorf("%s: %+v, want %s", batch[i].MessageID, answers[i], want)
		}
	}
	got := r.legacy.take()
	if all := ids(got); len(all) != 3 || len(store.got) != 2 {
		t.Fatalf("handed over %v, taken in %d", all, len(store.got))
	}
	i := slices.IndexFunc(got, func(s seen) bool { return s.Header.Get("X-Sqs-Message-Id") == "sqs-old-2" })
	one := got[i]
	if one.Method != "POST" || one.URI != "/messages" || one.Body != string(batch[1].Body) || one.Length != int64(len(one.Body)) {
		t.Errorf("got %+v", one)
	}
	for name, want := range map[string]string{
		"Content-Type": "application/json", "X-Huntaze-Source": "sqs", "X-Huntaze-User-Id": "old", "X-Sqs-Receive-Count": "1",
		"Traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", "Tracestate": "a=b",
	} {
		if one.Header.Get(name) != want {
			t.Errorf("%s is %q, want %q", name, one.Header.Get(name), want)
		}
	}
	// Once more: the same answers, and nobody gets anything twice.
	again, err := messages.Ingest(t.Context(), batch)
	if err != nil || again[1].Outcome != workflow.IntakeAccepted || again[0].Outcome != workflow.IntakeDuplicate || len(r.legacy.take()) != 0 {
		t.Errorf("again: %+v (%v)", again, err)
	}
}

// Whose message it is that names nobody: as the intake finds it.
func TestMessagesOfNobody(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		what      string
		owners    map[string]string
		standard  string
		neighbour string
		want      flags.Side
	}{
		{what: "nobody's", want: flags.Legacy},
		{what: "its workflow's", owners: map[string]string{"wf-1": "new"}, want: flags.Here},
		{what: "its neighbour's", neighbour: "new", want: flags.Here},
		{what: "the default", standard: "new", want: flags.Here},
		{what: "of two", owners: map[string]string{"wf-1": "new"}, neighbour: "other", want: flags.Legacy},
	} {
		r := newRig(t, func(c *middleware.Config) { c.DefaultUserID = tt.standard })
		r.flags.set("off", "new")
		r.routes.owners = tt.owners
		batch := []workflow.Delivery{delivery("", 1)}
		if tt.neighbour != "" {
			sibling := delivery(tt.neighbour, 1)
			sibling.MessageID = "sibling"
			batch = append(batch, sibling)
		}
		store := &shelf{}
		if _, err := r.Messages(store).Ingest(t.Context(), batch); err != nil {
			t.Fatal(err)
		}
		got := flags.Here
		if slices.Contains(ids(r.legacy.take()), "sqs--1") {
			got = flags.Legacy
		}
		if got != tt.want {
			t.Errorf("%s: %s, want %s", tt.what, got, tt.want)
		}
	}
}

// Only what the legacy orchestrator took with a 2xx counts; the others stay, and their neighbours are not affected.
func TestMessagesLeft(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(c *middleware.Config) { c.MessagesAtOnce = 1 })
	store := &shelf{}
	messages := r.Messages(store)
	r.flags.set("off", "new")
	batch := []workflow.Delivery{delivery("old", 1), delivery("new", 2), delivery("old", 3), delivery("other", 4)}
	for status, want := range map[int]string{200: "[]", 204: "[]", 299: "[]", 301: "[0]", 307: "[0]", 400: "[0]", 404: "[0]", 500: "[0]", 429: "[0 2 3]", 503: "[0 2 3]"} {
		for i := range batch {
			batch[i].MessageID = fmt.Sprint(status, "-", i)
		}
		first := true
		r.legacy.answers(func(w http.ResponseWriter, _ *http.Request) {
			if first {
				w.Header().Set("Location", r.legacy.URL+"/elsewhere")
				w.WriteHeader(status)
				_, _ = io.WriteString(w, canary)
			}
			first = false
		})
		answers, err := messages.Ingest(t.Context(), batch)
		places := []int{}
		for place := range left(err) {
			places = append(places, place)
		}
		slices.Sort(places)
		if got := fmt.Sprint(places); got != want {
			t.Errorf("%d: left %s, want %s (%v)", status, got, want, err)
		}
		for i, answer := range answers {
			if isLeft := slices.Contains(places, i); isLeft != (answer.Outcome == "") {
				t.Errorf("%d: %d is %+v", status, i, answer)
			}
		}
		if err != nil && (strings.Contains(err.Error(), canary) || strings.Contains(err.Error(), "Hello") || errors.Is(err, context.DeadlineExceeded)) {
			t.Errorf("%d: error %v", status, err)
		}
		r.legacy.take()
	}
}

// The bridge as it is halves a batch that fails, down to the messages at fault: whatever was taken is not handed over again.
func TestMessagesHalved(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	store := &shelf{}
	messages := r.Messages(store)
	var batch []workflow.Delivery
	for n := range 40 {
		batch = append(batch, delivery(fmt.Sprint("creator-", n%7), n))
	}
	r.legacy.answers(func(w http.ResponseWriter, req *http.Request) {
		if strings.HasSuffix(req.Header.Get("X-Sqs-Message-Id"), "3") {
			w.WriteHeader(http.StatusBadRequest)
		}
	})
	var refused []string
	var run func([]workflow.Delivery)
	run = func(part []workflow.Delivery) {
		if _, err := messages.Ingest(t.Context(), part); err == nil {
			return
		}
		if len(part) == 1 {
			refused = append(refused, part[0].MessageID)
			return
		}
		run(part[:len(part)/2])
		run(part[len(part)/2:])
	}
	run(batch)
	if len(refused) != 4 {
		t.Errorf("refused %v", refused)
	}
	times := map[string]int{}
	for _, id := range ids(r.legacy.take()) {
		times[id]++
	}
	for _, d := range batch {
		if n := times[d.MessageID]; n != 1 && !slices.Contains(refused, d.MessageID) {
			t.Errorf("%s was handed over %d times", d.MessageID, n)
		}
	}
}

// When the store fails the whole batch does; what was handed over is not handed over again.
func TestMessagesStoreFails(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	store := &shelf{fails: errAway}
	messages := r.Messages(store)
	r.flags.set("off", "new")
	batch := []workflow.Delivery{delivery("old", 1), delivery("new", 2)}
	if _, err := messages.Ingest(t.Context(), batch); !errors.Is(err, errAway) || messages.Ping(t.Context()) == nil {
		t.Errorf("error %v", err)
	}
	store.fails = nil
	if answers, err := messages.Ingest(t.Context(), batch); err != nil || answers[1].Outcome != workflow.IntakeAccepted {
		t.Errorf("%+v (%v)", answers, err)
	}
	if all := ids(r.legacy.take()); len(all) != 1 {
		t.Errorf("handed over %v", all)
	}
	r.routes.fails = errAway
	if _, err := messages.Ingest(t.Context(), []workflow.Delivery{delivery("old", 9)}); !errors.Is(err, errAway) {
		t.Errorf("without routes: %v", err)
	}
	r.routes.fails = nil
	r.flags.snapshot = flags.NewClient(flags.Config{Legacy: true}).Snapshot()
	if _, err := messages.Ingest(t.Context(), []workflow.Delivery{delivery("old", 9)}); err == nil || messages.Ping(t.Context()) == nil {
		t.Error("it decides before the flags were read")
	}
	if n := len(r.legacy.take()); n != 0 {
		t.Errorf("%d were handed over undecided", n)
	}
}

// A legacy orchestrator that hangs costs a batch one timeout for each account at a time, not one for each message.
func TestMessagesHang(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(c *middleware.Config) { c.MessageTimeout, c.MessagesAtOnce = 100*time.Millisecond, 2 })
	release := make(chan struct{})
	r.legacy.answers(func(http.ResponseWriter, *http.Request) { <-release })
	var batch []workflow.Delivery
	for n := range 100 {
		batch = append(batch, delivery(fmt.Sprint("creator-", n%10), n))
	}
	began := time.Now()
	_, err := r.Messages(&shelf{}).Ingest(t.Context(), batch)
	took := time.Since(began)
	close(release)
	if len(left(err)) != 100 || took > 2*time.Second || len(r.legacy.take()) > 2 {
		t.Errorf("%d left after %s", len(left(err)), took)
	}
}

// TestDecisionNeverChanges: with a real database, processes whose flags differ, flip, and come late: each workflow is
// only ever seen by one side, whoever gets its messages.
func TestDecisionNeverChanges(t *testing.T) {
	t.Parallel()
	store, pool := newStore(t)
	const processes, workflows, rounds = 3, 40, 20
	var rigs []*rig
	var fronts []*middleware.Messages
	for range processes {
		r := newRig(t, func(c *middleware.Config) { c.Routes = store })
		rigs, fronts = append(rigs, r), append(fronts, r.Messages(parking{store}))
	}
	var all sync.WaitGroup
	for p := range processes {
		all.Go(func() {
			random := rand.New(rand.NewPCG(uint64(p), 3))
			for round := range rounds {
				rigs[p].flags.set([]string{"off", "on", "50%"}[random.IntN(3)])
				var batch []workflow.Delivery
				for range 8 {
					n := random.IntN(workflows)
					d := delivery(fmt.Sprint("creator-", n%5), n)
					d.MessageID = fmt.Sprint(p, "-", round, "-", len(batch))
					d.Message.RecipientID = fmt.Sprint("fan-", random.IntN(1000))
					batch = append(batch, d)
				}
				if _, err := fronts[p].Ingest(t.Context(), batch); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	handed := map[string]bool{}
	for _, r := range rigs {
		for _, s := range r.legacy.take() {
			id := strings.Split(s.Body, `"`)[3]
			handed[id] = true
		}
	}
	here := 0
	for n := range workflows {
		id, user := fmt.Sprint("wf-", n), fmt.Sprint("creator-", n%5)
		side, known, err := store.Known(t.Context(), user, id)
		if err != nil {
			t.Fatal(err)
		}
		if known && (side == flags.Legacy) != handed[id] {
			t.Errorf("%s is %s, and handed over: %v", id, side, handed[id])
		}
		owners, err := store.Owners(t.Context(), []string{id})
		if err != nil || known && owners[id] != user {
			t.Errorf("%s belongs to %v (%v)", id, owners, err)
		}
		if side == flags.Here {
			here++
		}
	}
	var both int
	if err := pool.QueryRow(t.Context(), `SELECT count(*) FROM inbox i JOIN workflow_routes r USING (workflow_id, user_id) WHERE r.side = 'legacy'`).Scan(&both); err != nil || both != 0 {
		t.Errorf("%d messages were taken in of workflows that were handed over (%v)", both, err)
	}
	if here == 0 || len(handed) == 0 {
		t.Errorf("%d here, %d handed over: nothing was tried", here, len(handed))
	}
}
