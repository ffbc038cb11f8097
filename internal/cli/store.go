package cli

import (
	"context"
	"fmt"
	"os/user"

	"github.com/huntaze/hybrid-orchestrator/db"
	"github.com/huntaze/hybrid-orchestrator/internal/config"
	"github.com/huntaze/hybrid-orchestrator/worker"
)

// storeConnections is enough for a command, which does one thing after the other.
const storeConnections = 2

// openStore opens the fleet's memory for a command.
func openStore(ctx context.Context, cfg config.Config, command string) (*db.Store, func(), error) {
	return worker.OpenStore(ctx, cfg.DatabaseURL.Reveal(), storeConnections, db.Config{
		Timing: db.Timing{Reservation: cfg.SendReservation, CallTimeout: cfg.GatewayTimeout, Settle: cfg.GatewaySettle},
		Worker: command,
	})
}

// withStore runs something on the fleet's memory.
func (a *app) withStore(ctx context.Context, do func(*db.Store) error) error {
	return a.withConfiguredStore(ctx, func(_ config.Config, store *db.Store) error { return do(store) })
}

// withConfiguredStore is withStore for what also needs the configuration.
func (a *app) withConfiguredStore(ctx context.Context, do func(config.Config, *db.Store) error) error {
	cfg, err := a.load("DATABASE_URL")
	if err != nil {
		return err
	}
	store, closeStore, err := openStore(ctx, cfg, a.command)
	if err != nil {
		return err
	}
	defer closeStore()
	return do(cfg, store)
}

// operator is the name that the system knows the person by, for what is written down about a change.
func operator() string {
	if who, err := user.Current(); err == nil && who.Username != "" {
		return who.Username
	}
	return "unknown"
}

// operatorFlag is the flag --by of commands that write down who acted.
const operatorFlag = "by"

func byOperator(name string) string { return fmt.Sprintf("operator %s", name) }
