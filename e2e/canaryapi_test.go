package e2e_test

import (
	"io"
	"net/http"
	"os"
	"regexp"
	"strings"
)

// api hands private words to the API, in good requests and in bad ones, and keeps what it says of them where others look:
// its log and its metrics. The answers are the caller's own and not looked through.
func (c *canaries) api() {
	c.t.Helper()
	a := c.startAPI("creator")
	request := func(key, kind, path, body string) {
		r, err := http.NewRequestWithContext(c.t.Context(), http.MethodPost, "http://"+a.process.log.adminAddr()+path, strings.NewReader(body))
		c.must(err)
		r.Header.Set("Authorization", "Bearer "+key)
		r.Header.Set("Content-Type", kind)
		answer, err := a.client.Do(r)
		c.must(err)
		_, _ = io.Copy(io.Discard, answer.Body)
		_ = answer.Body.Close()
	}
	for _, body := range []string{
		`{"userId":"creator","name":"spring","content":"` + canaryContent + ` {{name}}","recipients":[{"recipientId":"fan-api","mergeFields":{"name":"` + canaryName + `"}}]}`,
		`{"userId":"creator","name":"spring","brief":"` + canaryBrief + `"}`,
		`{"userId":"creator","name":"spring","content":["` + canaryBroken + `"]}`,
		`{"userId":"creator","` + canaryBroken + ` x":"` + canaryBroken + `"}`,
		`{"userId":"` + canaryBroken,
	} {
		request(a.key, "application/json", "/v1/campaigns", body)
		request(canaryWrong, "application/json", "/v1/campaigns", body)
	}
	log, err := os.ReadFile(a.process.log.path)
	c.must(err)
	admin := regexp.MustCompile(`"metrics are served","address":"([^"]+)"`).FindSubmatch(log)
	if admin == nil {
		c.t.Fatal("the API does not say where its metrics are")
	}
	for _, path := range []string{"/metrics", "/readyz"} {
		answer, err := a.client.Get("http://" + string(admin[1]) + path)
		c.must(err)
		text, err := io.ReadAll(answer.Body)
		_ = answer.Body.Close()
		c.must(err)
		c.said[path+" of the api"] = string(text)
	}
	if !strings.Contains(c.said["/metrics of the api"], `huntaze_http_problems_total{code="unauthorized"} 5`) {
		c.t.Error("the API's metrics do not know the requests")
	}
	a.client.CloseIdleConnections()
	log, err = os.ReadFile(a.process.log.path)
	c.must(err)
	c.said["log of the api"] = string(log)
}
