package config

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestDescribe(t *testing.T) {
	t.Parallel()
	environ := map[string]string{
		"DATABASE_URL": "postgres://u:p@db/huntaze", "GATEWAY_TOKEN": "t", "GATEWAY_SETTLE": "180s", "PORT": "3000",
		"SQS_RETRY_QUEUE": "", "SEND_WORKERS": "", "LOG_LEVEL": "DEBUG", "OTEL_EXPORTER_OTLP_HEADERS": "key=secret",
	}
	cfg, err := Load(environ)
	if err != nil {
		t.Fatal(err)
	}
	cfg.StepWorkers = 3 // as a command may after it has read its flags
	cfg.SQSLinger = time.Second
	got := make(map[string]Variable)
	for _, v := range Describe(cfg, environ) {
		got[v.Name] = v
	}
	type shown struct {
		Default, Value string
		Set, Secret    bool
	}
	want := map[string]shown{
		"DATABASE_URL":         {Value: "postgres://u:***@db/huntaze", Set: true, Secret: true},
		"GATEWAY_TOKEN":        {Value: hidden, Set: true, Secret: true},
		"GATEWAY_URL":          {},
		"GATEWAY_SETTLE":       {Default: "120s", Value: "180s", Set: true},
		"GATEWAY_TIMEOUT":      {Default: "20s", Value: "20s"},
		"PORT":                 {Value: "3000", Set: true},
		"HTTP_ADDR":            {Default: "127.0.0.1:8080", Value: ":3000"},
		"SQS_RETRY_QUEUE":      {Default: "huntaze-alerts-production", Value: "off", Set: true},
		"SEND_WORKERS":         {Default: "100", Value: "100"},
		"STEP_WORKERS":         {Default: "20", Value: "3"},
		"SQS_LINGER":           {Default: "5ms", Value: "1s"},
		"LOG_LEVEL":            {Default: "info", Value: "debug", Set: true},
		"OTEL_*":               {Value: hidden, Set: true, Secret: true},
		"AWS_*":                {},
		"AWS_ENDPOINT_URL_SQS": {},
	}
	for name, w := range want {
		v := got[name]
		if diff := cmp.Diff(w, shown{v.Default, v.Value, v.Set, v.Secret}); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

// Every variable says what it means, what is expected and an example that is right, and the variables of
// a group follow each other.
func TestEveryVariableIsDescribed(t *testing.T) {
	t.Parallel()
	closed := make(map[string]bool)
	previous := ""
	for _, f := range fields {
		group := f.Tag.Get("group")
		if group != previous {
			if closed[group] {
				t.Errorf("%s: its group %q is torn apart", f.name, group)
			}
			closed[group], previous = true, group
		}
		for what, text := range map[string]string{"name": f.name, "group": group, "desc": f.Tag.Get("desc"), "expected": f.expected(), "example": f.example()} {
			if text == "" {
				t.Errorf("%s (%s) has no %s", f.Name, f.name, what)
			}
		}
		if _, err := Load(map[string]string{f.name: f.example()}); err != nil {
			t.Errorf("the example of %s is refused: %v", f.name, err)
		}
		for _, bound := range []string{f.Tag.Get("min"), f.Tag.Get("max")} {
			if bound == "" {
				continue
			}
			if f.outside(bound) {
				t.Errorf("%s refuses its own bound %s", f.name, bound)
			}
		}
	}
	if len(Names()) != len(fields) || len(fieldByName) != len(fields) {
		t.Errorf("%d fields, %d names, %d different", len(fields), len(Names()), len(fieldByName))
	}
}

func TestWarnings(t *testing.T) {
	t.Parallel()
	got := Warnings(map[string]string{
		"RATE_LIMIT_ACOUNT": "5/60s", "GATEWAY_TIMOUT": "5s", "SQS_QUEU": "q", "DATABASE_URI": "x", "GATWAY_URL": "x", "AWS_REGON": "x",
		"PORT": "1", "HTTP_ADDR": "x",
		"PATH": "x", "HOME": "x", "HOST": "x", "HTTP_PROXY": "x", "AWS_PROFILE": "x", "AWS_ENDPOINT_URL_SNS": "x", "AWS_ENDPOINT_URL_STS": "x",
		"GATEWAY_PORT": "tcp://x", "TEST_DATABASE_URL": "x", "SQS_QUEUE": "q", "LOG_FILE": "x", "ADMIN": "x", "OTEL_SERVICE_NAME": "x",
	})
	want := []string{
		"AWS_REGON is not a variable of this program: did you mean AWS_REGION?",
		"DATABASE_URI is not a variable of this program: did you mean DATABASE_URL?",
		"GATEWAY_TIMOUT is not a variable of this program: did you mean GATEWAY_TIMEOUT?",
		"GATWAY_URL is not a variable of this program: did you mean GATEWAY_URL?",
		"PORT is not used, because HTTP_ADDR is set",
		"RATE_LIMIT_ACOUNT is not a variable of this program: did you mean RATE_LIMIT_ACCOUNT?",
		"SQS_QUEU is not a variable of this program: did you mean SQS_QUEUE?",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestDistance(t *testing.T) {
	t.Parallel()
	tests := []struct {
		a, b string
		want int
	}{{"", "", 0}, {"", "abc", 3}, {"abc", "", 3}, {"kitten", "sitting", 3}, {"flaw", "lawn", 2}, {"same", "same", 0}}
	for _, tt := range tests {
		if got := distance(tt.a, tt.b); got != tt.want {
			t.Errorf("distance(%q, %q) = %d, want %d", tt.a, tt.b, got, tt.want)
		}
	}
	if name := nearest(strings.Repeat("X", 1000)); name != "" {
		t.Errorf("nearest found %s", name)
	}
}
