package api_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/huntaze/hybrid-orchestrator/db"
	"github.com/huntaze/hybrid-orchestrator/internal/api"
)

const createBody = `{"userId":"a","name":"Spring","content":"Hello","recipients":["fan-1","fan-2"],"start":true}`

func TestIdempotency(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	first := r.do(r.a, "POST", "/v1/campaigns", createBody, "Idempotency-Key", "order-1")
	first.wants(http.StatusCreated)
	again := r.do(r.a, "POST", "/v1/campaigns", createBody, "Idempotency-Key", "order-1")
	again.wants(http.StatusCreated)
	if !bytes.Equal(first.body, again.body) || again.header.Get("Location") != first.header.Get("Location") || again.header.Get("Content-Type") != first.header.Get("Content-Type") ||
		again.header.Get("Idempotency-Replayed") != "true" || first.header.Get("Idempotency-Replayed") != "" || again.header.Get("X-Request-Id") == first.header.Get("X-Request-Id") {
		t.Errorf("%s %v\n%s %v", first.body, first.header, again.body, again.header)
	}
	r.do(r.a, "POST", "/v1/campaigns", strings.Replace(createBody, "Spring", "Autumn", 1), "Idempotency-Key", "order-1").refuses(http.StatusUnprocessableEntity, "Idempotency-Key")
	r.do(r.a, "POST", "/v1/campaigns:estimate", `{"userId":"a","content":"x"}`, "Idempotency-Key", "order-1").refuses(http.StatusUnprocessableEntity, "Idempotency-Key")
	r.do(r.b, "POST", "/v1/campaigns", strings.Replace(createBody, `"a"`, `"b"`, 1), "Idempotency-Key", "order-1").wants(http.StatusCreated) // another key's
	// What was refused is not kept.
	r.do(r.a, "POST", "/v1/campaigns", `{"userId":"a","name":"x"}`, "Idempotency-Key", "order-2").refuses(http.StatusUnprocessableEntity, "content")
	r.do(r.a, "POST", "/v1/campaigns", `{"userId":"a","name":"x","content":"y"}`, "Idempotency-Key", "order-2").wants(http.StatusCreated)
	// A list.
	id := r.newCampaign(r.a, "a", 0)
	list := "recipientId\nfan-1\nfan-2\n"
	upload := func(text string) answer {
		return r.do(r.a, "POST", "/v1/campaigns/"+id+"/recipients", text, "Content-Type", "text/csv", "Idempotency-Key", "list-1")
	}
	one := upload(list)
	if one.wants(http.StatusOK)["added"] != 2.0 {
		t.Errorf("%s", one.body)
	}
	if two := upload(list); !bytes.Equal(one.body, two.body) {
		t.Errorf("%s, then %s", one.body, two.body)
	}
	upload(list+"fan-3\n").refuses(http.StatusUnprocessableEntity, "Idempotency-Key")
	r.AdvanceClock(t, db.IdempotencyKept)
	next := r.do(r.a, "POST", "/v1/campaigns", createBody, "Idempotency-Key", "order-1")
	if next.wants(http.StatusCreated); next.header.Get("Idempotency-Replayed") != "" || next.header.Get("Location") == first.header.Get("Location") {
		t.Errorf("an answer of yesterday was given: %v", next.header)
	}
}

// TestIdempotencyAtOnce: of many equal requests at the same time one creates a campaign, and the others get its answer or are told to wait.
func TestIdempotencyAtOnce(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	var group sync.WaitGroup
	var waited atomic.Int64
	bodies := make([][]byte, 12)
	for i := range bodies {
		group.Go(func() {
			for {
				a := r.do(r.a, "POST", "/v1/campaigns", createBody, "Idempotency-Key", "order-1")
				if a.status == http.StatusCreated {
					bodies[i] = a.body
					return
				}
				if a.status != http.StatusConflict || a.header.Get("Retry-After") != "1" {
					t.Errorf("%d %s", a.status, a.body)
					return
				}
				a.refuses(http.StatusConflict, "Idempotency-Key")
				waited.Add(1)
				time.Sleep(5 * time.Millisecond)
			}
		})
	}
	group.Wait()
	for _, body := range bodies {
		if !bytes.Equal(body, bodies[0]) {
			t.Errorf("%s\n%s", body, bodies[0])
		}
	}
	if n := len(r.do(r.a, "GET", "/v1/campaigns", "").wants(http.StatusOK)["campaigns"].([]any)); n != 1 {
		t.Errorf("%d campaigns", n)
	}
	t.Logf("%d waited", waited.Load())
}

// crashing is a store whose process dies at one point: from then on nothing of it reaches the database.
type crashing struct {
	api.Store
	at   string
	dead atomic.Bool
}

var errDead = errors.New("the process is dead")

func (c *crashing) AddRecipients(ctx context.Context, campaign uuid.UUID, recipients []db.Recipient) (db.AddedRecipients, error) {
	if c.at == "add" {
		c.dead.Store(true)
		return db.AddedRecipients{}, errDead
	}
	return c.Store.AddRecipients(ctx, campaign, recipients)
}

func (c *crashing) AnswerRequest(ctx context.Context, r db.Request, a db.Answer) error {
	if c.at == "answer" || c.dead.Load() {
		return errDead
	}
	return c.Store.AnswerRequest(ctx, r, a)
}

func (c *crashing) ForgetRequest(ctx context.Context, r db.Request) error {
	if c.dead.Load() {
		return errDead
	}
	return c.Store.ForgetRequest(ctx, r)
}

// TestIdempotencyAfterACrash: a request whose process died at any point can be repeated soon, and ends in one campaign.
func TestIdempotencyAfterACrash(t *testing.T) {
	t.Parallel()
	for _, at := range []string{"add", "answer"} {
		t.Run(at, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, func(c *api.Config) { c.Store = &crashing{Store: c.Store, at: at} })
			r.do(r.a, "POST", "/v1/campaigns", createBody, "Idempotency-Key", "order-1")
			if err := r.stop(); err != nil {
				t.Fatal(err)
			}
			r.serve() // another process
			r.do(r.a, "POST", "/v1/campaigns", createBody, "Idempotency-Key", "order-1").refuses(http.StatusConflict, "Idempotency-Key")
			r.AdvanceClock(t, 31*time.Second)
			c := r.do(r.a, "POST", "/v1/campaigns", createBody, "Idempotency-Key", "order-1").wants(http.StatusCreated)
			if c["recipients"] != 2.0 || c["state"] != "running" {
				t.Errorf("%v", c)
			}
			if n := len(r.do(r.a, "GET", "/v1/campaigns", "").wants(http.StatusOK)["campaigns"].([]any)); n != 1 {
				t.Errorf("%d campaigns", n)
			}
		})
	}
}

// list writes NDJSON of so many recipients as it is read.
func list(n int) io.Reader {
	read, write := io.Pipe()
	go func() {
		var chunk bytes.Buffer
		for i := range n {
			fmt.Fprintf(&chunk, `{"recipientId":"fan-%d","mergeFields":{"name":"Ann %d"}}`+"\n", i, i)
			if chunk.Len() > 32<<10 {
				if _, err := write.Write(chunk.Bytes()); err != nil {
					return
				}
				chunk.Reset()
			}
		}
		_, _ = write.Write(chunk.Bytes())
		_ = write.Close()
	}()
	return read
}

func TestListOfRecipients(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	id := r.newCampaign(r.a, "a", 3)
	path := "/v1/campaigns/" + id + "/recipients"
	got := r.do(r.a, "POST", path, `{"recipientId":"fan-2"}
{"recipientId":"new-1","mergeFields":{"name":"Ann"}}

{"recipientId":""}
{"recipient":"`+secret+`"}
{"recipientId":"new-2","mergeFields":{"a b":"x"}}
no JSON at all
{"recipientId":"new-1"}
`, "Content-Type", "application/x-ndjson").wants(http.StatusOK)
	if got["lines"] != 7.0 || got["added"] != 1.0 || got["duplicates"] != 2.0 || got["refusedTotal"] != 4.0 || got["recipients"] != 4.0 {
		t.Errorf("%v", got)
	}
	if first := got["refused"].([]any)[0].(map[string]any); first["line"] != 4.0 || first["field"] != "recipientId" || first["reason"] == "" || first["remedy"] == "" {
		t.Errorf("%v", first)
	}
	if strings.Contains(fmt.Sprint(got), secret) {
		t.Errorf("a value is shown: %v", got)
	}
	r.do(r.a, "POST", path, "x", "Content-Type", "application/json").refuses(http.StatusUnsupportedMediaType, "Content-Type")
	r.do(r.a, "POST", path, "name\nAnn\n", "Content-Type", "text/csv").refuses(http.StatusUnprocessableEntity, "line 1")
	many := r.do(r.a, "POST", path, strings.Repeat("{}\n", 1500), "Content-Type", "application/x-ndjson").wants(http.StatusOK)
	if many["refusedTotal"] != 1500.0 || len(many["refused"].([]any)) != 1000 {
		t.Errorf("%v refused, %d listed", many["refusedTotal"], len(many["refused"].([]any)))
	}
	small := newRig(t, func(c *api.Config) { c.MaxUploadBytes = 1 << 20 })
	id = small.newCampaign(small.a, "a", 0)
	p := small.send(small.a, "POST", "/v1/campaigns/"+id+"/recipients", list(100_000), "Content-Type", "application/x-ndjson").refuses(http.StatusRequestEntityTooLarge, "")
	if !strings.Contains(p.Detail, "stand") {
		t.Errorf("%q", p.Detail)
	}
}

// A list that is cut off, and one that stops coming, keep what was taken and end.
func TestListThatBreaksOff(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(c *api.Config) { c.RequestTimeout = 300 * time.Millisecond })
	id := r.newCampaign(r.a, "a", 0)
	read, write := io.Pipe()
	go func() { _, _ = write.Write([]byte(strings.Repeat("{\"recipientId\":\"fan-1\"}\n", 10))) }() // and no more
	r.send(r.a, "POST", "/v1/campaigns/"+id+"/recipients", read, "Content-Type", "application/x-ndjson").refuses(http.StatusRequestTimeout, "line 11")
	_ = write.Close()
	if c := r.do(r.a, "GET", "/v1/campaigns/"+id, "").wants(http.StatusOK); c["recipients"] != 1.0 {
		t.Errorf("%v", c["recipients"])
	}
}
