package console

import (
	"bytes"
	"embed"
	"fmt"
	"html/template"
	"net/http"
	"strings"
	"time"

	"github.com/huntaze/hybrid-orchestrator/db"
	"github.com/huntaze/hybrid-orchestrator/internal/cost"
	"github.com/huntaze/hybrid-orchestrator/internal/wording"
	"github.com/huntaze/hybrid-orchestrator/internal/workflow"
)

//go:embed templates
var templateFiles embed.FS

// fragmentHeader asks for the live part of a page alone.
const fragmentHeader = "X-Fragment"

// view is what a template gets.
type view struct {
	Title  string
	Active string // the entry of the menu that the page belongs to
	Who    *Principal
	Now    time.Time
	Notice string
	Query  string // what was searched for
	Live   bool   // the page is kept up to date
	River  bool
	Body   any
}

// stamp is a time as a page shows it.
type stamp struct{ at, now time.Time }

func (s stamp) Zero() bool       { return s.at.IsZero() }
func (s stamp) ISO() string      { return s.at.UTC().Format("2006-01-02T15:04:05.000Z") }
func (s stamp) Text() string     { return wording.Moment(s.at) }
func (s stamp) Relative() string { return wording.Relative(s.at, s.now) }

// When is a time, or a pointer to one, as the page shows it.
func (v view) When(at any) stamp {
	switch at := at.(type) {
	case time.Time:
		return stamp{at, v.Now}
	case *time.Time:
		if at != nil {
			return stamp{*at, v.Now}
		}
	}
	return stamp{now: v.Now}
}

var functions = template.FuncMap{
	"asset":    assetPath,
	"grouped":  wording.Grouped,
	"number":   wording.Number,
	"plural":   wording.Plural,
	"reason":   wording.Reason,
	"scenario": wording.Scenario,
	"length":   wording.Length,
	"usd":      cost.FormatUSD,
	"words":    words,
	"stage":    func(s workflow.Stage) string { return words(string(s)) },
	"tone":     tone,
	"int64":    func(n int) int64 { return int64(n) },
	"some":     func(c db.Count) bool { return c.Number > 0 },
	"entry": func(v view, name, url, label string) link {
		return link{Label: label, URL: url, Active: v.Active == name}
	},
	"list": func(v view, messages []db.CampaignMessage, account bool) messageList {
		return messageList{v, messages, account}
	},
}

// messageList is a table of messages, with their accounts where they may have several.
type messageList struct {
	Page     view
	Messages []db.CampaignMessage
	Account  bool
}

// words makes a machine's name readable: in_doubt is in doubt.
func words(name string) string { return strings.ReplaceAll(name, "_", " ") }

// tones are the colours of states, wherever they stand.
var tones = map[string]string{
	"sent": "good", "accepted": "good", "completed": "good", "running": "good", "closed": "good", "on": "good", "text_ready": "good",
	"sending": "busy", "called": "busy", "released": "busy", "asked": "busy", "executing": "busy", "scheduled": "busy", "half_open": "warn", "planning": "plan",
	"in_doubt": "warn", "unknown": "warn", "paused": "warn", "throttled": "warn", "rate_limited": "warn", "fallback": "warn", "not_sent": "warn", "deferred": "warn",
	"failed": "bad", "rejected": "bad", "timeout": "bad", "open": "bad", "text_failed": "bad", "off": "bad",
	"queued": "calm", "cancelled": "done", "expired": "done", "draft": "done", "withdrawn": "done",
}

func tone(state any) string {
	if t, known := tones[fmt.Sprint(state)]; known {
		return t
	}
	return "calm"
}

// parseTemplates makes one set of templates for each page, all with the same layout.
func parseTemplates() (map[string]*template.Template, error) {
	shared, err := template.New("").Funcs(functions).ParseFS(templateFiles, "templates/layout.html", "templates/parts.html")
	if err != nil {
		return nil, fmt.Errorf("console: %w", err)
	}
	entries, err := templateFiles.ReadDir("templates")
	if err != nil {
		return nil, err
	}
	all := map[string]*template.Template{}
	for _, entry := range entries {
		name, _ := strings.CutSuffix(entry.Name(), ".html")
		if name == "layout" || name == "parts" {
			continue
		}
		one, err := shared.Clone()
		if err == nil {
			_, err = one.ParseFS(templateFiles, "templates/"+entry.Name())
		}
		if err != nil {
			return nil, fmt.Errorf("console: page %s: %w", name, err)
		}
		all[name] = one
	}
	return all, nil
}

// show renders a page that is as it should be.
func (r *request) show(name, title, active string, body any) error {
	r.render(http.StatusOK, name, title, active, body)
	return nil
}

func (r *request) render(status int, name, title, active string, body any) {
	v := view{Title: title, Active: active, Who: &r.who, Now: r.now, Query: r.URL.Query().Get("q"), River: r.c.RiverUI != nil, Live: status == http.StatusOK && name != "search", Body: body}
	if r.Header.Get(fragmentHeader) == "" {
		v.Notice = r.c.sessions.told(r.token)
	}
	r.c.write(r.w, r.Request, status, name, v)
}

// write renders into memory first: half a page would look like a whole one.
func (c *console) write(w http.ResponseWriter, r *http.Request, status int, name string, v view) {
	part := "layout"
	if r.Header.Get(fragmentHeader) != "" {
		part = "live"
	}
	var out bytes.Buffer
	if err := c.templates[name].ExecuteTemplate(&out, part, v); err != nil {
		c.Logger.Error("console: a page can't be rendered", "page", name, "error", err)
		http.Error(w, "This page can't be shown.", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write(out.Bytes())
}
