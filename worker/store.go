package worker

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"

	"github.com/huntaze/hybrid-orchestrator/db"
	"github.com/huntaze/hybrid-orchestrator/jobs"
)

// OpenStore opens the fleet's memory for a process that is no member of the fleet, such as an operator's command:
// what it changes it changes as the fleet does, in one transaction with the jobs that follow, but it works none of
// them. It fails when the database can't be reached or lacks a migration. Call close at the end.
func OpenStore(ctx context.Context, databaseURL string, connections int, config db.Config) (store *db.Store, close func(), err error) {
	pool, err := db.Open(ctx, databaseURL, connections, "huntaze "+config.Worker)
	if err != nil {
		return nil, nil, err
	}
	defer func() {
		if err != nil {
			pool.Close()
		}
	}()
	if err := pool.Ping(ctx); err != nil {
		return nil, nil, fmt.Errorf("DATABASE_URL: the database can't be reached: %w", err)
	}
	if err := db.CheckSchema(ctx, pool); err != nil {
		return nil, nil, err
	}
	client, err := river.NewClient(riverpgxv5.New(pool), &river.Config{Schema: db.RiverSchema, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return nil, nil, fmt.Errorf("river: %w", err)
	}
	return db.NewStore(pool, jobs.NewEnqueuer(client), config), pool.Close, nil
}

// OpenRiver opens a client of River that works nothing, for its pages. Call close at the end.
func OpenRiver(ctx context.Context, databaseURL string, connections int) (client *river.Client[pgx.Tx], close func(), err error) {
	pool, err := db.OpenForRiver(ctx, databaseURL, connections, "huntaze river pages")
	if err != nil {
		return nil, nil, err
	}
	client, err = river.NewClient(riverpgxv5.New(pool), &river.Config{Schema: db.RiverSchema, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		pool.Close()
		return nil, nil, fmt.Errorf("river: %w", err)
	}
	return client, pool.Close, nil
}
