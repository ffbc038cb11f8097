package worker

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/rivertype"

	"github.com/huntaze/hybrid-orchestrator/internal/metrics"
	"github.com/huntaze/hybrid-orchestrator/internal/steplog"
)

// TestEveryRunIsOneLine: however a run ends, there is one line of it and it is counted, and of an error only its kind.
func TestEveryRunIsOneLine(t *testing.T) {
	t.Parallel()
	due := time.Now().Add(-3 * time.Second)
	begun := due.Add(2 * time.Second)
	for name, test := range map[string]struct {
		kind                 string
		work                 func(context.Context) error
		result, level, error string
		outcome              string
	}{
		"completed": {"send", func(context.Context) error { return nil }, "completed", "INFO", "", "completed"},
		"says more": {"send", func(ctx context.Context) error {
			steplog.Set(ctx, slog.String(steplog.Outcome, "accepted"))
			return nil
		}, "completed", "INFO", "", "accepted"},
		"in doubt":     {"send", func(ctx context.Context) error { steplog.Raise(ctx, slog.LevelError); return nil }, "completed", "ERROR", "", "completed"},
		"failed":       {"plan", func(context.Context) error { return errors.New("the secret that somebody's error says") }, "failed", "ERROR", "*errors.errorString", "failed"},
		"database":     {"plan", func(context.Context) error { return &pgconn.PgError{Code: "40001", Message: "the secret"} }, "failed", "ERROR", "40001", "failed"},
		"snoozed":      {"resolve", func(context.Context) error { return river.JobSnooze(time.Second) }, "snoozed", "INFO", "", "snoozed"},
		"cancelled":    {"resolve", func(context.Context) error { return river.JobCancel(errors.New("the secret")) }, "cancelled", "INFO", "", "cancelled"},
		"panicked":     {"send", func(context.Context) error { panic("the secret") }, "panicked", "ERROR", "", "panicked"},
		"housekeeping": {"release", func(context.Context) error { return nil }, "completed", "DEBUG", "", "completed"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var out bytes.Buffer
			registry := prometheus.NewPedanticRegistry()
			s := &stepWatch{logger: slog.New(slog.NewJSONHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug})), metrics: newStepMetrics(registry)}
			func() {
				defer func() { _ = recover() }()
				_ = s.Work(t.Context(), &rivertype.JobRow{ID: 42, Kind: test.kind, Attempt: 2, ScheduledAt: due, AttemptedAt: &begun, EncodedArgs: []byte("{}")}, test.work)
			}()
			var line map[string]any
			if err := json.Unmarshal(out.Bytes(), &line); err != nil {
				t.Fatalf("%v: %s", err, out.String())
			}
			kind, _ := line[steplog.Error].(string)
			if line["msg"] != "step" || line["step"] != test.kind || line["level"] != test.level || line[steplog.Outcome] != test.outcome || kind != test.error || line[steplog.Job] != 42.0 || line[steplog.Delay] != 2.0 {
				t.Errorf("%s", out.String())
			}
			if bytes.Contains(out.Bytes(), []byte("secret")) {
				t.Errorf("the line says what an error says: %s", out.String())
			}
			families, err := registry.Gather()
			if err != nil {
				t.Fatal(err)
			}
			if n, _ := total(families, metrics.StepDuration, map[string]string{"step": test.kind, "result": test.result}); n != 1 {
				t.Errorf("counted %v times as %s", n, test.result)
			}
			if n, _ := total(families, metrics.StepDelay, map[string]string{"step": test.kind}); n != 1 {
				t.Errorf("its delay was counted %v times", n)
			}
		})
	}
}
