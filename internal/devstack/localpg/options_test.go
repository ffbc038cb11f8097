package localpg

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestOptionsAreChecked(t *testing.T) {
	t.Parallel()
	bad := map[string]Options{
		"port":          {Port: 65536},
		"negative port": {Port: -1},
		"listens":       {Parameters: map[string]string{"listen_addresses": "*"}},
		"listens too":   {Parameters: map[string]string{"Port": "1"}},
		"not a name":    {Parameters: map[string]string{"work_mem = '1' --": "1"}},
		"line break":    {Parameters: map[string]string{"work_mem": "1MB'\nport = '1"}},
	}
	for name, o := range bad {
		if err := o.validate(); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	good := Options{Port: 65535, Parameters: map[string]string{"work_mem": "1MB", "auto_explain.log_min_duration": "1s"}}
	if err := good.validate(); err != nil {
		t.Error(err)
	}
}

func TestSettings(t *testing.T) {
	t.Parallel()
	text := Options{Parameters: map[string]string{"Max_Connections": "7", "search_path": `a'b\c`}}.settings(5)
	want := []string{"max_connections = '7'", `search_path = 'a''b\\c'`, "port = '5'", "fsync = 'off'", "synchronous_commit = 'off'", "full_page_writes = 'off'"}
	for _, line := range want {
		if strings.Count(text, line+"\n") != 1 {
			t.Errorf("%q is not there once:\n%s", line, text)
		}
	}
	if durable := (Options{Durable: true}).settings(5); strings.Contains(durable, "fsync") || strings.Contains(durable, "full_page_writes") {
		t.Errorf("a durable cluster is as Postgres has it:\n%s", durable)
	}
}

func TestTail(t *testing.T) {
	t.Parallel()
	if diff := cmp.Diff("a\nb", tail("a\nb\n")); diff != "" {
		t.Error(diff)
	}
	if got := strings.Count(tail(strings.Repeat("line\n", 100)), "line"); got != tailLines {
		t.Errorf("%d lines", got)
	}
}
