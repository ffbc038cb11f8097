// Command huntaze is the message fleet: one binary, several roles. See `huntaze help`.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/huntaze/hybrid-orchestrator/internal/cli"
)

var version = "dev" // set by the build

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := cli.Run(ctx, version, os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}
