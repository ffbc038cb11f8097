// Package steplog makes one wide log line of each run of a step: whoever takes part in the run adds what it knows to the
// line that the context carries, and the line is written once, at the end, however the run ends.
//
// It promises that a line holds ids, numbers and words of closed lists only, under the names below and no others; that
// nothing is lost for want of a line (without one in the context every call does nothing); and that it is safe for
// concurrent use.
package steplog

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

// The names of the fields. docs/logs.md says what each means.
const (
	Step      = "step"
	Outcome   = "outcome"
	Reason    = "reason"
	Error     = "error_kind"
	TraceID   = "trace_id"
	SpanID    = "span_id"
	Account   = "account"
	Workflow  = "workflow"
	ID        = "workflow_id"
	Campaign  = "campaign"
	Text      = "text"
	Attempt   = "attempt"
	Job       = "job"
	Run       = "job_attempt"
	Delay     = "delay_seconds"
	Took      = "took_seconds"
	Gateway   = "gateway_seconds"
	Provider  = "provider_seconds"
	Status    = "status"
	LookUp    = "look_up"
	Messages  = "messages"
	Calls     = "calls"
	Target    = "provider"
	Class     = "class"
	Code      = "code"
	Source    = "source"
	Fallback  = "fallback"
	Input     = "input_tokens"
	Output    = "output_tokens"
	Cost      = "cost_usd"
	RequestID = "request_id"
)

// Line is what is said of a run so far.
type Line struct {
	mu     sync.Mutex
	fields []slog.Attr
	level  slog.Level
}

type lineKey struct{}

// With puts a line into the context. It is written at the given level, unless something raises it.
func With(ctx context.Context, level slog.Level) (context.Context, *Line) {
	l := &Line{level: level}
	return context.WithValue(ctx, lineKey{}, l), l
}

// Set says something of the run that the context is of. What was said under the same name before is replaced; an empty
// text says nothing.
func Set(ctx context.Context, fields ...slog.Attr) {
	if l, _ := ctx.Value(lineKey{}).(*Line); l != nil {
		l.Set(fields...)
	}
}

// Add adds to a number that was said before.
func Add(ctx context.Context, name string, more float64) {
	l, _ := ctx.Value(lineKey{}).(*Line)
	if l == nil || more == 0 {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for i, f := range l.fields {
		if f.Key == name {
			l.fields[i] = slog.Float64(name, f.Value.Float64()+more)
			return
		}
	}
	l.fields = append(l.fields, slog.Float64(name, more))
}

// Raise makes the line at least as important as the level.
func Raise(ctx context.Context, level slog.Level) {
	if l, _ := ctx.Value(lineKey{}).(*Line); l != nil {
		l.Raise(level)
	}
}

// Set is Set on a line at hand.
func (l *Line) Set(fields ...slog.Attr) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, field := range fields {
		if field.Value.Kind() == slog.KindString && field.Value.String() == "" {
			continue
		}
		l.set(field)
	}
}

func (l *Line) set(field slog.Attr) {
	for i, f := range l.fields {
		if f.Key == field.Key {
			l.fields[i] = field
			return
		}
	}
	l.fields = append(l.fields, field)
}

// Default says something unless it was said already.
func (l *Line) Default(field slog.Attr) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, f := range l.fields {
		if f.Key == field.Key {
			return
		}
	}
	l.fields = append(l.fields, field)
}

// Raise is Raise on a line at hand.
func (l *Line) Raise(level slog.Level) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.level = max(l.level, level)
}

// Write writes the line.
func (l *Line) Write(ctx context.Context, logger *slog.Logger) {
	l.mu.Lock()
	defer l.mu.Unlock()
	logger.LogAttrs(ctx, l.level, "step", l.fields...)
}

// Seconds is a length of time as a field.
func Seconds(name string, d time.Duration) slog.Attr { return slog.Float64(name, d.Seconds()) }
