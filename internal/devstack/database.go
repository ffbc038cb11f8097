package devstack

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/huntaze/hybrid-orchestrator/db"
	"github.com/huntaze/hybrid-orchestrator/internal/devstack/localpg"
)

const (
	// postgresPort is tried first, so that the address is the same at every start.
	postgresPort = 25432
	databaseName = "huntaze"
	// displayConnections are for what is shown; the workers have pools of their own.
	displayConnections = 3
)

// database is the Postgres that the fleet works in: the one of the configuration, or one of our own.
type database struct {
	url     string
	cluster *localpg.Cluster // nil: not ours
	pool    *db.Pool
	store   *db.Store
}

// startDatabase starts a Postgres unless there is a URL.
func startDatabase(ctx context.Context, url, dir string, logger *slog.Logger) (_ *database, err error) {
	d := &database{url: url}
	if url == "" {
		if d.cluster, err = localpg.Start(ctx, localpg.Options{DataDir: dir, Port: portIfFree(postgresPort), Durable: true, Logger: logger}); err != nil {
			return nil, err
		}
		if err = d.cluster.EnsureDatabase(ctx, databaseName); err != nil {
			return nil, errors.Join(err, d.stop(context.WithoutCancel(ctx)))
		}
		d.url = d.cluster.URL(databaseName)
	}
	return d, nil
}

// open brings the schema up to date and opens the pool for what is shown.
func (d *database) open(ctx context.Context) (err error) {
	if d.pool, err = db.Open(ctx, d.url, displayConnections, "huntaze dev"); err != nil {
		return err
	}
	if err := d.pool.Ping(ctx); err != nil {
		return fmt.Errorf("DATABASE_URL: the database can't be reached: %w", err)
	}
	if err := db.Migrate(ctx, d.pool); err != nil {
		return err
	}
	d.store = db.NewStore(d.pool, nil, db.Config{})
	return nil
}

func (d *database) closePool(context.Context) error {
	if d.pool != nil {
		d.pool.Close()
	}
	return nil
}

// lost says whether our own server ended unasked.
func (d *database) lost() bool { return d.cluster != nil && d.cluster.PID() == 0 }

func (d *database) stop(ctx context.Context) error {
	if d.cluster == nil {
		return nil
	}
	return d.cluster.Stop(ctx)
}

// checkPurpose refuses a database of others when nothing that it says is sent is sent.
func (d *database) checkPurpose(ctx context.Context, gatewaySimulated bool) error {
	if d.cluster != nil || !gatewaySimulated {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	ok, err := d.store.IsForDevelopment(ctx)
	if err != nil {
		return err
	}
	if !ok {
		return errors.New("DATABASE_URL names a database with messages that were not made by huntaze dev: the simulated gateway would take those that wait for sent; " +
			"set GATEWAY_URL, or name an empty database, or none")
	}
	return d.store.MarkForDevelopment(ctx)
}
