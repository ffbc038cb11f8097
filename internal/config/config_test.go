package config

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// The contract of the project names these values; a change of a tag must not change them by accident.
func TestLoadDefaults(t *testing.T) {
	t.Parallel()
	got, err := Load(map[string]string{})
	if err != nil {
		t.Fatal(err)
	}
	want := Config{
		DatabaseMaxConnections: 10, RiverMaxConnections: 10,
		AWSRegion: "us-east-1",
		SQSQueue:  "huntaze-hybrid-messages-production", SQSRetryQueue: "huntaze-alerts-production", SQSDeadLetters: "huntaze-dlq-production",
		SQSPollers: 4, SQSLinger: 5 * time.Millisecond, SQSBatchMax: 200, MaxMessageBytes: 262144,
		GatewayTimeout: 20 * time.Second, GatewaySettle: 2 * time.Minute, GatewayIdleTimeout: 4 * time.Second,
		RateLimitAccount: "10/60s", RateLimitRecipient: "1/60s,10/24h", RateLimitGuard: 500 * time.Millisecond,
		AzureAuth: "key", AzureScope: "https://ai.azure.com/.default", AzureZone: "global",
		ProviderPrimary: "azure", ProviderTimeout: 30 * time.Second, PlanWorkers: 20, PromptTemplate: "message",
		SendWorkers: 100, StepWorkers: 20, ShutdownTimeout: 110 * time.Second, SendReservation: 30 * time.Second, ReconcileInterval: time.Minute,
		LegacyMessagesPath: "/messages",
		HTTPAddr:           "127.0.0.1:8080", AdminAddr: "127.0.0.1:9090",
		APIRateLimit: 50, APIRequestTimeout: 30 * time.Second, APIMaxBody: 4194304, APIMaxUpload: 1073741824, APIURL: "http://127.0.0.1:8080",
		LogLevel: slog.LevelInfo, LogFormat: "json", EMFNamespace: "Huntaze",
		DataDir: ".data",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("defaults (-want +got):\n%s", diff)
	}
}

func TestLoadValues(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name    string
		environ map[string]string
		get     func(Config) any
		want    any
	}{
		{"empty is not set", map[string]string{"GATEWAY_TIMEOUT": "", "PORT": "", "LOG_LEVEL": ""}, func(c Config) any { return c.GatewayTimeout }, 20 * time.Second},
		{"duration", map[string]string{"GATEWAY_TIMEOUT": "1.5s"}, func(c Config) any { return c.GatewayTimeout }, 1500 * time.Millisecond},
		{"number", map[string]string{"SEND_WORKERS": "7"}, func(c Config) any { return c.SendWorkers }, 7},
		{"no linger", map[string]string{"SQS_LINGER": "0s"}, func(c Config) any { return c.SQSLinger }, time.Duration(0)},
		{"retry queue off", map[string]string{"SQS_RETRY_QUEUE": "off"}, func(c Config) any { return c.SQSRetryQueue }, ""},
		{"retry queue empty", map[string]string{"SQS_RETRY_QUEUE": ""}, func(c Config) any { return c.SQSRetryQueue }, ""},
		{"fifo queue", map[string]string{"SQS_QUEUE": "in.fifo"}, func(c Config) any { return c.SQSQueue }, "in.fifo"},
		{"gateway without last slash", map[string]string{"GATEWAY_URL": "https://gw.example.com/base/"}, func(c Config) any { return c.GatewayURL }, "https://gw.example.com/base"},
		{"postgres url", map[string]string{"DATABASE_URL": "postgresql://u:p@h/db?sslmode=verify-full"}, func(c Config) any { return c.DatabaseURL.Reveal() }, "postgresql://u:p@h/db?sslmode=verify-full"},
		{"postgres socket", map[string]string{"DATABASE_URL": "postgres:///db?host=/var/run/postgresql"}, func(c Config) any { return c.DatabaseURL.Reveal() }, "postgres:///db?host=/var/run/postgresql"},
		{"postgres pairs", map[string]string{"DATABASE_URL": "user=u host=h dbname=d"}, func(c Config) any { return c.DatabaseURL.Reveal() }, "user=u host=h dbname=d"},
		{"port", map[string]string{"PORT": "3000"}, func(c Config) any { return c.HTTPAddr }, ":3000"},
		{"address before port", map[string]string{"PORT": "3000", "HTTP_ADDR": "127.0.0.1:0"}, func(c Config) any { return c.HTTPAddr }, "127.0.0.1:0"},
		{"address of IPv6", map[string]string{"ADMIN_ADDR": "[::1]:9090"}, func(c Config) any { return c.AdminAddr }, "[::1]:9090"},
		{"level", map[string]string{"LOG_LEVEL": "WARN"}, func(c Config) any { return c.LogLevel }, slog.LevelWarn},
		{"form in capitals", map[string]string{"LOG_FORMAT": "Text"}, func(c Config) any { return c.LogFormat }, "text"},
		{"limits off", map[string]string{"RATE_LIMIT_RECIPIENT": "off"}, func(c Config) any { return c.RateLimitRecipient }, "off"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			cfg, err := Load(tt.environ)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, tt.get(cfg)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestLoadRefuses(t *testing.T) {
	t.Parallel()
	tests := []struct{ name, value, want string }{
		{"GATEWAY_TIMEOUT", "20", `GATEWAY_TIMEOUT="20": expected a time with its unit (ms, s, m or h) from 1ms to 5m; for example GATEWAY_TIMEOUT=20s`},
		{"GATEWAY_TIMEOUT", "0s", ""},
		{"GATEWAY_TIMEOUT", "-1s", ""},
		{"GATEWAY_TIMEOUT", "6m", ""},
		{"GATEWAY_IDLE_TIMEOUT", "0s", ""}, // net/http reads 0 as for ever
		{"SHUTDOWN_TIMEOUT", "20s", `SHUTDOWN_TIMEOUT="20s": not longer than GATEWAY_TIMEOUT=20s, so that a call in flight could not be finished: expected a time with its unit (ms, s, m or h) from 1ms to 1h; for example SHUTDOWN_TIMEOUT=110s`},
		{"SEND_WORKERS", "0", `SEND_WORKERS="0": expected a whole number from 1 to 10000; for example SEND_WORKERS=100`},
		{"SEND_WORKERS", "1e3", ""},
		{"SEND_WORKERS", "99999999999999999999", ""},
		{"SEND_WORKERS", " 5", ""},
		{"MAX_MESSAGE_BYTES", "1048577", ""},
		{"PORT", "65536", `PORT="65536": expected a whole number from 0 to 65535; for example PORT=8080`},
		{"HTTP_ADDR", "8080", `HTTP_ADDR="8080": expected host:port; for example HTTP_ADDR=127.0.0.1:8080`},
		{"HTTP_ADDR", "localhost:http", `HTTP_ADDR="localhost:http": port "http" is not a number from 0 to 65535: expected host:port; for example HTTP_ADDR=127.0.0.1:8080`},
		{"HTTP_ADDR", "http://localhost:80", ""},
		{"ADMIN_ADDR", "a b:80", ""},
		{"ADMIN_ADDR", "localhost:080", ""},
		{"AWS_REGION", "US East", ""},
		{"AWS_ENDPOINT_URL_SQS", "localhost:9324", `AWS_ENDPOINT_URL_SQS="localhost:9324": expected an http or https address; for example AWS_ENDPOINT_URL_SQS=http://127.0.0.1:9324`},
		{"SQS_QUEUE", "https://sqs.us-east-1.amazonaws.com/1/q", `SQS_QUEUE="https://sqs.us-east-1.amazonaws.com/1/q": expected the name of an SQS queue, not its URL: 1 to 80 letters, digits, - and _, with .fifo at the end of a FIFO queue; for example SQS_QUEUE=huntaze-hybrid-messages-production`},
		{"SQS_QUEUE", strings.Repeat("q", 81), ""},
		{"SQS_DLQ", "off", `SQS_DLQ="off": this queue can't be switched off: expected`},
		{"SQS_DLQ", "huntaze-hybrid-messages-production", `SQS_DLQ="huntaze-hybrid-messages-production": the same queue as SQS_QUEUE: expected`},
		{"SQS_DLQ", "huntaze-alerts-production", `SQS_DLQ="huntaze-alerts-production": the same queue as SQS_RETRY_QUEUE: expected`},
		{"SQS_RETRY_QUEUE", "huntaze-hybrid-messages-production", ""},
		{"DEFAULT_USER_ID", "creator 7", ""},
		{"DEFAULT_USER_ID", "creator\x00", ""},
		{"DEFAULT_USER_ID", "creator\xff", ""},
		{"GATEWAY_URL", "gateway.example.com", ""},
		{"GATEWAY_URL", "ftp://gateway.example.com", ""},
		{"GATEWAY_URL", "http://", ""},
		{"GATEWAY_URL", "https://:8443", ""},
		{"GATEWAY_URL", "https://user:hunter2@gateway.example.com", "GATEWAY_URL has a value (hidden) that can't be used: expected an http or https address without user, query and fragment; for example GATEWAY_URL=https://gateway.example.com"},
		{"GATEWAY_URL", "https://gateway.example.com/?key=hunter2", ""},
		{"GATEWAY_TOKEN", "hunter2 ", "GATEWAY_TOKEN has a value (hidden) that can't be used: expected printable ASCII characters without spaces; for example GATEWAY_TOKEN=token-from-the-operator-of-the-gateway"},
		{"GATEWAY_TOKEN", "hunter2\r\nX-Evil: 1", ""},
		{"DATABASE_URL", "mysql://u:hunter2@h/db", "DATABASE_URL has a value (hidden) that can't be used: expected a Postgres address, postgres://user:password@host:port/database"},
		{"DATABASE_URL", "postgres://u:hunter2#1@h/db", ""},
		{"DATABASE_URL", "hunter2", ""},
		{"LOG_LEVEL", "loud", `LOG_LEVEL="loud": expected debug, info, warn or error; for example LOG_LEVEL=info`},
		{"LOG_LEVEL", "info|warn", ""},
		{"LOG_LEVEL", "info+2", ""},
		{"LOG_FORMAT", "xml", `LOG_FORMAT="xml": expected json or text; for example LOG_FORMAT=json`},
	}
	for _, tt := range tests {
		t.Run(fmt.Sprintf("%s=%.20q", tt.name, tt.value), func(t *testing.T) {
			t.Parallel()
			_, err := Load(map[string]string{tt.name: tt.value})
			var problems Errors
			if !errors.As(err, &problems) || len(problems) != 1 || problems[0].Name != tt.name {
				t.Fatalf("got %v, want one problem with %s", err, tt.name)
			}
			if !strings.HasPrefix(err.Error(), "environment: "+tt.want) {
				t.Errorf("got  %s\nwant environment: %s", err, tt.want)
			}
			if strings.Contains(err.Error(), "hunter2") {
				t.Errorf("the error shows a secret: %s", err)
			}
		})
	}
}

func TestLoadReportsEverythingAtOnce(t *testing.T) {
	t.Parallel()
	_, err := Load(map[string]string{"SEND_WORKERS": "many", "SQS_QUEUE": "a/b", "PORT": "-1", "RATE_LIMIT_ACCOUNT": "10"},
		Check{"RATE_LIMIT_ACCOUNT", func(value string) error { return fmt.Errorf("%q has no time", value) }})
	want := `environment: 4 variables can't be used:
  SQS_QUEUE="a/b": expected the name of an SQS queue, not its URL: 1 to 80 letters, digits, - and _, with .fifo at the end of a FIFO queue; for example SQS_QUEUE=huntaze-hybrid-messages-production
  RATE_LIMIT_ACCOUNT="10": "10" has no time: expected a list of number/time, separated by commas, or off; for example RATE_LIMIT_ACCOUNT=10/60s
  SEND_WORKERS="many": expected a whole number from 1 to 10000; for example SEND_WORKERS=100
  PORT="-1": expected a whole number from 0 to 65535; for example PORT=8080`
	if err == nil {
		t.Fatal("no error")
	}
	if diff := cmp.Diff(want, err.Error()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	var problem Problem
	if !errors.As(err, &problem) || problem.Name != "SQS_QUEUE" {
		t.Errorf("errors.As found %+v, want the first problem", problem)
	}
}

func TestCheckIsAskedAboutDefaults(t *testing.T) {
	t.Parallel()
	var asked []string
	note := func(value string) error { asked = append(asked, value); return nil }
	if _, err := Load(nil, Check{"RATE_LIMIT_RECIPIENT", note}, Check{"GATEWAY_URL", note}); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"1/60s,10/24h"}, asked); diff != "" {
		t.Errorf("values that the checks were asked about (-want +got):\n%s", diff)
	}
}

func TestLongValuesAreCut(t *testing.T) {
	t.Parallel()
	_, err := Load(map[string]string{"LOG_FORMAT": strings.Repeat("é", 100000)})
	if err == nil || len(err.Error()) > 400 {
		t.Errorf("error of %d bytes", len(fmt.Sprint(err)))
	}
}

func TestRequire(t *testing.T) {
	t.Parallel()
	cfg, err := Load(map[string]string{"DATABASE_URL": "postgres://h/d"})
	if err != nil {
		t.Fatal(err)
	}
	if err := cfg.Require("DATABASE_URL", "SQS_QUEUE"); err != nil {
		t.Errorf("got %v for variables that have values", err)
	}
	err = cfg.Require("DATABASE_URL", "GATEWAY_URL")
	want := "environment: GATEWAY_URL is not set: expected an http or https address without user, query and fragment; for example GATEWAY_URL=https://gateway.example.com"
	if fmt.Sprint(err) != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
}
