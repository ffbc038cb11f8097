package readiness

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestReport: each part is named with its reason and since when; one that hangs does not hide the others, and the
// answer comes in time.
func TestReport(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		looks, reason := 0, ""
		hang := false
		c := New(time.Now, Part{"database", func(context.Context) string { looks++; return reason }}, Part{"queue", func(ctx context.Context) string {
			if hang {
				time.Sleep(time.Minute) // deaf to its context
			}
			return ""
		}})
		if r := c.Report(t.Context()); !r.Ready || len(r.Parts) != 2 || r.Parts["database"] != (State{Ready: true}) {
			t.Errorf("%+v", r)
		}
		reason = "does not answer"
		if r := c.Report(t.Context()); !r.Ready || looks != 1 {
			t.Errorf("looked %d times within a second: %+v", looks, r)
		}
		time.Sleep(fresh)
		since := time.Now().UTC()
		for range 2 {
			r := c.Report(t.Context())
			if s := r.Parts["database"]; r.Ready || s.Ready || s.Reason != reason || s.Since == nil || !s.Since.Equal(since) || !r.Parts["queue"].Ready {
				t.Errorf("%+v", r)
			}
			time.Sleep(fresh)
		}
		hang, reason = true, ""
		began := time.Now()
		r := c.Report(t.Context())
		if took := time.Since(began); took != within || r.Ready || r.Parts["queue"].Reason == "" || !r.Parts["database"].Ready || r.Parts["database"].Since != nil {
			t.Errorf("after %s: %+v", took, r)
		}
		time.Sleep(time.Minute)
	})
}

func TestHTTP(t *testing.T) {
	t.Parallel()
	for want, reason := range map[int]string{http.StatusOK: "", http.StatusServiceUnavailable: "draining"} {
		answer := httptest.NewRecorder()
		New(time.Now, Part{"process", func(context.Context) string { return reason }}).ServeHTTP(answer, httptest.NewRequest("GET", "/readyz", nil))
		var r Report
		if err := json.Unmarshal(answer.Body.Bytes(), &r); err != nil || answer.Code != want || r.Parts["process"].Reason != reason || r.Ready != (reason == "") {
			t.Errorf("%d %s (%v)", answer.Code, answer.Body, err)
		}
	}
}
