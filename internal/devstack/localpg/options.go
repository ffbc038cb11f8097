package localpg

import (
	"fmt"
	"log/slog"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Options say how a cluster is kept and run. The zero value is a temporary, fast, not durable cluster on a free port.
type Options struct {
	// DataDir is the folder that keeps the cluster between runs; it is made when missing. Empty: a temporary
	// folder, removed by Stop; unless the cluster is durable or TMPDIR is set, on Linux it is in /dev/shm if
	// 4 GiB are free there. When root asks for a folder that the server's user can't reach (below /root, or
	// in a closed temporary folder), another one that is named after it is used and stays: see Cluster.Dir.
	DataDir string
	// Port is the TCP port on 127.0.0.1 to prefer; when it is taken, another one is chosen. 0: any free port.
	Port int
	// Durable false switches fsync, synchronous_commit and full_page_writes off: right for tests, since a
	// crash of the machine (not of Postgres) may then corrupt the cluster. True leaves them as Postgres has them.
	Durable bool
	// Parameters are further settings of postgresql.conf. They override ours, except where the server listens.
	Parameters map[string]string
	// Logger is told what is unusual: another port or folder than the one asked for, a server that ended
	// unasked. Nil: silent.
	Logger *slog.Logger
}

// parameterName is what Postgres accepts as the name of a setting, with one dot for the settings of extensions.
var parameterName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_$]*(\.[A-Za-z_][A-Za-z0-9_$]*)?$`)

// fixedParameters can't be set from outside: the promise of a private server depends on them.
var fixedParameters = []string{"listen_addresses", "port", "unix_socket_directories"}

func (o Options) validate() error {
	if o.Port < 0 || o.Port > 65535 {
		return fmt.Errorf("localpg: %d is not a port", o.Port)
	}
	for name, value := range o.Parameters {
		if !parameterName.MatchString(name) {
			return fmt.Errorf("localpg: %q is not the name of a Postgres setting", name)
		}
		if slices.Contains(fixedParameters, strings.ToLower(name)) {
			return fmt.Errorf("localpg: the setting %s is not yours to choose", name)
		}
		if strings.ContainsAny(value, "\n\r\x00") {
			return fmt.Errorf("localpg: the value of the setting %s has a line break or a zero byte", name)
		}
	}
	return nil
}

// settings is the text of the file that postgresql.conf includes last. ALTER SYSTEM still overrides it.
func (o Options) settings(port int) string {
	all := map[string]string{
		"listen_addresses":        "127.0.0.1",
		"port":                    strconv.Itoa(port),
		"unix_socket_directories": "",
		"max_connections":         "200",
		"timezone":                "UTC",
		"log_timezone":            "UTC",
		"log_destination":         "stderr",
		"logging_collector":       "off",
		"log_line_prefix":         "%m [%p] ",
		// Statements and details may quote what a message says, which belongs in no log.
		"log_min_error_statement": "panic",
		"log_error_verbosity":     "terse",
		// Compiling pays for queries of seconds; ours take milliseconds.
		"jit": "off",
	}
	if !o.Durable {
		all["fsync"] = "off"
		all["synchronous_commit"] = "off"
		all["full_page_writes"] = "off"
		all["checkpoint_timeout"] = "1h"
	}
	for name, value := range o.Parameters {
		all[strings.ToLower(name)] = value
	}
	quote := strings.NewReplacer(`'`, `''`, `\`, `\\`)
	var text strings.Builder
	text.WriteString("# Written anew at every start.\n")
	for _, name := range slices.Sorted(maps.Keys(all)) {
		fmt.Fprintf(&text, "%s = '%s'\n", name, quote.Replace(all[name]))
	}
	return text.String()
}
