package pgtest

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// Database is the database of one test.
type Database struct {
	// URL is its connection string, for a user that may do everything in it.
	URL string
	// Name is what the server calls it.
	Name string

	server *server
	clock  clock
}

// cloneTimeout bounds the making of a database, dropTimeout its end.
const (
	cloneTimeout = time.Minute
	dropTimeout  = time.Minute
	// closeTimeout is how long a pool may wait for its connections to be given back.
	closeTimeout = 5 * time.Second
)

// New makes a fresh database from the template. It is dropped when the test ends, together with whoever is connected;
// when the test failed and KEEP_TEST_DATABASES is 1, it is kept and its URL logged. The test fails when there is no Postgres.
func New(t testing.TB, from Template) *Database {
	t.Helper()
	s, err := sharedServer()
	if err != nil {
		t.Fatalf("pgtest: %v", err)
	}
	source, err := s.template(from)
	if err != nil {
		t.Fatalf("pgtest: %v", err)
	}
	name := s.newName(t.Name())
	db := &Database{URL: s.urlOf(name).String(), Name: name, server: s}
	ctx, cancel := context.WithTimeout(t.Context(), cloneTimeout)
	defer cancel()
	if err := s.clone(ctx, name, source); err != nil {
		t.Fatalf("pgtest: copy the template %s: %v", from.Name, err)
	}
	t.Cleanup(func() { db.end(t) })
	return db
}

func (db *Database) end(t testing.TB) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), dropTimeout)
	defer cancel()
	db.clock.close(ctx)
	if t.Failed() && keep() {
		if err := db.server.keep(ctx, db.Name); err != nil {
			t.Errorf("pgtest: keep the database: %v", err)
		}
		t.Logf("pgtest: kept the database of this test: %s", db.server.howToReach(db))
		return
	}
	if err := db.server.drop(ctx, db.Name); err != nil {
		t.Errorf("pgtest: drop the database: %v", err)
	}
}

// keep marks the database so that no later process sweeps it.
func (s *server) keep(ctx context.Context, name string) error {
	s.mu.Lock()
	s.kept++
	s.mu.Unlock()
	_, err := s.admin.Exec(ctx, "COMMENT ON DATABASE "+pgx.Identifier{name}.Sanitize()+" IS '"+keptComment+"'")
	return err
}

func (s *server) howToReach(db *Database) string {
	if s.cluster == nil {
		return s.urlOf(db.Name).Redacted()
	}
	return fmt.Sprintf("%s\nits server ends with the tests and is started again by\n%s", db.URL, s.cluster.ManualStart())
}

// Pool returns a pool of connections to the database, closed when the test ends. Each adjust may change its
// configuration. The test fails when connections are still in use 5 s after its end.
func (db *Database) Pool(t testing.TB, adjust ...func(*pgxpool.Config)) *pgxpool.Pool {
	t.Helper()
	config, err := pgxpool.ParseConfig(db.URL)
	if err != nil {
		t.Fatalf("pgtest: %v", err)
	}
	for _, change := range adjust {
		change(config)
	}
	pool, err := pgxpool.NewWithConfig(context.Background(), config)
	if err != nil {
		t.Fatalf("pgtest: %v", err)
	}
	t.Cleanup(func() {
		closed := make(chan struct{})
		go func() {
			defer close(closed)
			pool.Close()
		}()
		select {
		case <-closed:
		case <-time.After(closeTimeout):
			t.Errorf("pgtest: %d connections of the pool were not given back", pool.Stat().AcquiredConns())
		}
	})
	return pool
}
