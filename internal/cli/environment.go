package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/huntaze/hybrid-orchestrator/internal/config"
	"github.com/huntaze/hybrid-orchestrator/internal/limit"
)

// stackFile is where a running `huntaze dev` says in its data folder how to reach its parts.
const stackFile = "stack.env"

// ownParts are the commands that bring or name their own parts: a stack that runs beside them is none of theirs.
var ownParts = []string{"dev", "worker", "gateway-sim", "sqs-sim"}

// load reads the configuration and checks that what the command needs is there. Where neither a database nor
// a queue is configured and `huntaze dev` runs here, that is what commands from a second terminal mean.
func (a *app) load(needs ...string) (config.Config, error) {
	cfg, _, err := a.environment(needs...)
	return cfg, err
}

func (a *app) environment(needs ...string) (config.Config, map[string]string, error) {
	environ, err := a.environ(".env")
	if err != nil {
		return config.Config{}, nil, misused(err)
	}
	cfg, err := parse(environ)
	if err == nil && !slices.Contains(ownParts, a.command) {
		cfg, err = a.withStack(cfg, environ)
	}
	if err == nil {
		err = cfg.Require(needs...)
	}
	if err != nil {
		return cfg, nil, misused(err)
	}
	for _, warning := range config.Warnings(environ) {
		fmt.Fprintln(a.err, "warning:", warning)
	}
	return cfg, environ, nil
}

func parse(environ map[string]string) (config.Config, error) {
	parses := func(value string) error { _, err := limit.ParseRules(value); return err }
	return config.Load(environ, config.Check{Name: "RATE_LIMIT_ACCOUNT", Valid: parses}, config.Check{Name: "RATE_LIMIT_RECIPIENT", Valid: parses})
}

// withStack adds what the stack's file says to environ, where that says nothing. With a database or a queue of
// their own people would get one part from here and the other from there, so then it is not read at all.
func (a *app) withStack(cfg config.Config, environ map[string]string) (config.Config, error) {
	if cfg.DatabaseURL != "" || cfg.SQSEndpoint != "" {
		return cfg, nil
	}
	file := filepath.Join(cfg.DataDir, stackFile)
	if _, err := os.Stat(file); errors.Is(err, fs.ErrNotExist) {
		return cfg, nil
	}
	stack, err := a.environ(file)
	if err != nil {
		return cfg, err
	}
	for name, value := range stack {
		if environ[name] == "" {
			environ[name] = value
		}
	}
	fmt.Fprintf(a.err, "using the running dev stack in %s\n", cfg.DataDir)
	a.stack = file
	return parse(environ)
}
