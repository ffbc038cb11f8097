package e2e_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// api is a `huntaze api` process, as somebody uses it who has a key for some accounts.
type api struct {
	f       *fleet
	process *process
	key     string
	client  *http.Client
}

// startAPI starts the API and makes a key for it.
func (f *fleet) startAPI(accounts ...string) *api {
	f.t.Helper()
	var made struct{ Key string }
	said := f.run("apikey", "create", "--name", "e2e", "--account", strings.Join(accounts, ","), "--json")
	if err := json.Unmarshal([]byte(said), &made); err != nil || made.Key == "" {
		f.t.Fatalf("huntaze apikey create --json says no key: %v", err)
	}
	p := launch(f.t, f.folder, "api", "api", f.environment("HTTP_ADDR=127.0.0.1:0"))
	p.awaitStart()
	return &api{f: f, process: p, key: made.Key, client: &http.Client{Timeout: 2 * time.Minute}}
}

// campaign is what the API says of one. What a test does not need is left out.
type campaign struct {
	ID         string
	State      string
	Recipients int
	Expanding  bool
	Counts     map[string]int
	ChangedAt  time.Time
	InFlight   int
}

// do makes one request. The test fails unless the answer has the status; the answer is read into the last argument.
func (a *api) do(method, path, kind string, body io.Reader, status int, answer any) {
	a.f.t.Helper()
	request, err := http.NewRequestWithContext(a.f.t.Context(), method, "http://"+a.process.log.adminAddr()+path, body)
	if err != nil {
		a.f.t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer "+a.key)
	if kind != "" {
		request.Header.Set("Content-Type", kind)
	}
	response, err := a.client.Do(request)
	if err != nil {
		a.f.t.Fatalf("%s %s: %v\n%s", method, path, err, a.process.log.tail(20))
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != status {
		a.f.t.Fatalf("%s %s: %d, %v, want %d\n%s", method, path, response.StatusCode, err, status, text)
	}
	if err := json.Unmarshal(text, answer); err != nil {
		a.f.t.Fatalf("%s %s: %v\n%s", method, path, err, text)
	}
}

func (a *api) create(fields map[string]any) (c campaign) {
	a.f.t.Helper()
	body, err := json.Marshal(fields)
	a.f.must(err)
	a.do(http.MethodPost, "/v1/campaigns", "application/json", bytes.NewReader(body), http.StatusCreated, &c)
	return c
}

func (a *api) show(id string) (c campaign) {
	a.f.t.Helper()
	a.do(http.MethodGet, "/v1/campaigns/"+id, "", nil, http.StatusOK, &c)
	return c
}

// act starts, pauses, resumes or cancels a campaign.
func (a *api) act(id, verb string) (c campaign) {
	a.f.t.Helper()
	a.do(http.MethodPost, "/v1/campaigns/"+id+"/"+verb, "", nil, http.StatusOK, &c)
	return c
}

// uploaded is what the API says of a list of recipients.
type uploaded struct{ Lines, Added, Duplicates, RefusedTotal, Recipients int }

// upload adds recipients from a list, which is written while it is sent.
func (a *api) upload(id string, recipients []input) (u uploaded) {
	a.f.t.Helper()
	read, write := io.Pipe()
	go func() {
		for _, in := range recipients {
			line, _ := json.Marshal(map[string]any{"recipientId": in.recipient, "mergeFields": in.fields}) // strings and a map of them
			if _, err := write.Write(append(line, '\n')); err != nil {
				return // the request says why
			}
		}
		_ = write.Close()
	}()
	a.do(http.MethodPost, "/v1/campaigns/"+id+"/recipients", "application/x-ndjson", read, http.StatusOK, &u)
	return u
}

// recipientsOf are those of a campaign of an account, with a name each.
func recipientsOf(user string, count int) (all []input) {
	for n := range count {
		name := fmt.Sprintf("Ann %d", n)
		all = append(all, input{key: key{user: user, recipient: fmt.Sprintf("fan-%d", n)}, fields: map[string]string{"name": name}, content: "Hello " + name + "!"})
	}
	return all
}

// withLines gives recipients the messages that they become: who stands on which line of a campaign's lists.
func withLines(c campaign, first int, recipients []input) []input {
	for i := range recipients {
		recipients[i].campaign, recipients[i].workflow = c.ID, fmt.Sprintf("%s-%d", c.ID, first+i)
	}
	return recipients
}

// expect notes messages that come in another way than over the queue.
func (f *fleet) expect(inputs ...input) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, in := range inputs {
		f.inputs[in.key] = in
	}
}

// checkCounts compares what the API counts of a campaign with its messages, which must not move meanwhile.
func (a *api) checkCounts(t testing.TB, id string) campaign {
	t.Helper()
	c := a.show(id)
	maps.DeleteFunc(c.Counts, func(_ string, n int) bool { return n == 0 })
	truth := counts(a.f, `SELECT stage, count(*) FROM hybrid_workflows WHERE campaign_id = $1 GROUP BY stage`, id)
	if !maps.Equal(c.Counts, truth) {
		t.Errorf("the API counts %v of a campaign that is %s, its messages are %v", c.Counts, c.State, truth)
	}
	return c
}

// miscounted lists the stages of which the counts differ from the messages in one and the same moment, whatever moves.
func (f *fleet) miscounted(id string) []string {
	f.t.Helper()
	return query(f, pgx.RowTo[string], `
		SELECT stage || ': ' || sum(counted) || ' counted, ' || sum(there) || ' there' FROM (
			SELECT stage, number AS counted, 0 AS there FROM campaign_counts WHERE campaign_id = $1
			UNION ALL SELECT stage, number, 0 FROM campaign_deltas WHERE campaign_id = $1
			UNION ALL SELECT stage, 0, count(*) FROM hybrid_workflows WHERE campaign_id = $1 GROUP BY stage) AS n
		GROUP BY stage HAVING sum(counted) <> sum(there)`, id)
}

// settled waits until no call is open.
func (f *fleet) settled() {
	f.t.Helper()
	f.within(time.Minute, "no call is open", func() bool { return len(f.openAttempts()) == 0 })
}

// startedBetween counts the calls that began in a time, by the database's clock.
func (f *fleet) startedBetween(from, to time.Time) int {
	f.t.Helper()
	return number(f, `SELECT count(*) FROM send_attempts WHERE started_at > $1 AND started_at < $2`, from, to)
}

// clock is the time of the database.
func (f *fleet) clock() time.Time {
	f.t.Helper()
	return query(f, pgx.RowTo[time.Time], `SELECT hybrid_clock()`)[0]
}
