// Package grafana_test makes the dashboards and checks them. They are described in boards_test.go;
//
//	UPDATE_DOCS=1 go test ./deploy/observability/grafana
//
// writes dashboards/*.json, which is what Grafana loads.
package grafana_test

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const (
	prometheusUID = "huntaze-prometheus"
	columns       = 24 // of Grafana's grid
)

// board is a dashboard: sections of panels, each panel where there is room after the one before.
type board struct {
	file, title, description string
	sections                 []section
}

type section struct {
	title  string
	panels []panel
}

type panel struct {
	kind               string // stat, timeseries, text
	title, description string
	unit               string
	queries            []query
	limits             []limit  // thresholds
	says               []saying // for values of a stat
	none               string   // for a stat without a value
	stacked            bool
	text               string
}

type query struct{ expr, legend string }

// limit is a value from which on a colour is shown.
type limit struct {
	from  float64
	color string
}

type saying struct{ value, text, color string }

type object = map[string]any

func (p panel) size() (width, height int) {
	switch p.kind {
	case "stat":
		return 4, 4
	case "text":
		return columns, 6
	default:
		return 8, 8
	}
}

func (b board) model() object {
	var panels []any
	id, y := 0, 0
	for _, s := range b.sections {
		id++
		panels = append(panels, object{
			"id": id, "type": "row", "title": s.title, "collapsed": false, "panels": []any{},
			"gridPos": object{"x": 0, "y": y, "w": columns, "h": 1},
		})
		y++
		x, tallest := 0, 0
		for _, p := range s.panels {
			width, height := p.size()
			if x+width > columns {
				x, y, tallest = 0, y+tallest, 0
			}
			id++
			model := p.model()
			model["id"], model["gridPos"] = id, object{"x": x, "y": y, "w": width, "h": height}
			panels = append(panels, model)
			x, tallest = x+width, max(tallest, height)
		}
		y += tallest
	}
	return object{
		"uid": "huntaze-" + b.file, "title": "Huntaze: " + b.title, "description": b.description, "tags": []string{"huntaze"},
		"schemaVersion": 39, "version": 1, "editable": false, "graphTooltip": 1, "timezone": "browser",
		"time": object{"from": "now-1h", "to": "now"}, "refresh": "15s",
		"templating": object{"list": []any{}}, "annotations": object{"list": []any{versions()}},
		"links": []any{object{
			"type": "dashboards", "title": "", "tags": []string{"huntaze"}, "asDropdown": false, "includeVars": false,
			"keepTime": true, "targetBlank": false, "icon": "external link", "tooltip": "", "url": "",
		}},
		"panels": panels,
	}
}

// versions marks where a process with another version began: the first question after a change for the worse.
func versions() object {
	return object{
		"name": "Versions", "datasource": datasource(), "enable": true, "hide": false, "iconColor": "blue",
		"expr":        "count by (version, role) (huntaze_build_info) unless count by (version, role) (huntaze_build_info offset 2m)",
		"titleFormat": "{{role}} {{version}}", "step": "60s",
	}
}

func datasource() object { return object{"type": "prometheus", "uid": prometheusUID} }

func (p panel) model() object {
	if p.kind == "text" {
		return object{
			"type": "text", "title": p.title, "description": p.description,
			"options": object{"mode": "markdown", "content": p.text},
		}
	}
	model := object{
		"type": p.kind, "title": p.title, "description": p.description, "datasource": datasource(),
		"targets": p.targets(), "fieldConfig": object{"defaults": p.field(), "overrides": []any{}},
	}
	if p.kind == "stat" {
		model["options"] = object{
			"reduceOptions": object{"calcs": []string{"lastNotNull"}, "fields": "", "values": false},
			"colorMode":     "background", "graphMode": "area", "justifyMode": "auto", "orientation": "auto", "textMode": "auto",
		}
		return model
	}
	model["options"] = object{
		"legend":  object{"displayMode": "table", "placement": "bottom", "showLegend": true, "calcs": []string{"lastNotNull", "max"}},
		"tooltip": object{"mode": "multi", "sort": "desc"},
	}
	return model
}

func (p panel) targets() []any {
	var list []any
	for i, q := range p.queries {
		target := object{
			"refId": string(rune('A' + i)), "datasource": datasource(), "editorMode": "code", "expr": q.expr, "legendFormat": q.legend, "range": true,
		}
		list = append(list, target)
	}
	return list
}

func (p panel) field() object {
	steps := []any{object{"color": "green", "value": nil}}
	for _, l := range p.limits {
		steps = append(steps, object{"color": l.color, "value": l.from})
	}
	defaults := object{"unit": p.unit, "thresholds": object{"mode": "absolute", "steps": steps}, "mappings": []any{}}
	if p.kind == "stat" {
		defaults["color"] = object{"mode": "thresholds"}
		if len(p.limits) == 0 && len(p.says) == 0 {
			defaults["color"] = object{"mode": "fixed", "fixedColor": "blue"} // a number that is neither good nor bad
		}
		if p.none != "" {
			defaults["noValue"] = p.none
		}
		options := object{}
		for i, s := range p.says {
			options[s.value] = object{"text": s.text, "color": s.color, "index": i}
		}
		if len(options) > 0 {
			defaults["mappings"] = []any{object{"type": "value", "options": options}}
		}
		return defaults
	}
	custom := object{
		"drawStyle": "line", "lineWidth": 1, "fillOpacity": 10, "showPoints": "never", "spanNulls": 60_000,
		"stacking": object{"mode": "none", "group": "A"}, "thresholdsStyle": object{"mode": "off"},
	}
	if p.stacked {
		custom["stacking"], custom["fillOpacity"] = object{"mode": "normal", "group": "A"}, 40
	}
	if len(p.limits) > 0 {
		custom["thresholdsStyle"] = object{"mode": "dashed"}
	}
	defaults["custom"], defaults["min"], defaults["color"] = custom, 0, object{"mode": "palette-classic"}
	return defaults
}

// Not parallel: it may write the files, and the others, which are, begin after it.
func TestDashboardsAreWhatIsDescribed(t *testing.T) {
	var files []string
	for _, b := range boards() {
		var want bytes.Buffer
		encoder := json.NewEncoder(&want)
		encoder.SetEscapeHTML(false)
		encoder.SetIndent("", "  ")
		if err := encoder.Encode(b.model()); err != nil {
			t.Fatal(err)
		}
		path := filepath.Join("dashboards", b.file+".json")
		files = append(files, path)
		if os.Getenv("UPDATE_DOCS") != "" {
			if err := os.WriteFile(path, want.Bytes(), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		got, err := os.ReadFile(path)
		if err != nil {
			t.Error(err)
			continue
		}
		if !bytes.Equal(got, want.Bytes()) {
			t.Errorf("%s is not what boards_test.go describes: run with UPDATE_DOCS=1", path)
		}
	}
	there, err := filepath.Glob("dashboards/*")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(files, there); diff != "" {
		t.Errorf("files in dashboards (-want +got):\n%s", diff)
	}
}
