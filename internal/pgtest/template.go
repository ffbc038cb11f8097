package pgtest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// Template is what the databases of tests start as.
type Template struct {
	// Name identifies the template within the process: the first Migrate under a name is the one that is run.
	Name string
	// Migrate brings an empty database to its schema and returns with its connections closed. Nil: an empty database.
	Migrate func(ctx context.Context, url string) error
}

// migrateTimeout bounds the migration of a template.
const migrateTimeout = 2 * time.Minute

// template is a Template on the server.
type template struct {
	database string
	once     sync.Once
	err      error
}

// template returns the migrated template, making it at the first call for its name. Its error stays.
func (s *server) template(wanted Template) (*template, error) {
	s.mu.Lock()
	t := s.templates[wanted.Name]
	if t == nil {
		t = &template{}
		s.templates[wanted.Name] = t
	}
	s.mu.Unlock()
	t.once.Do(func() {
		t.database = s.newName("template_" + wanted.Name)
		t.err = s.migrate(t.database, wanted)
	})
	return t, t.err
}

func (s *server) migrate(database string, wanted Template) error {
	// Not the context of a test: the template serves all of them.
	ctx, cancel := context.WithTimeout(context.Background(), migrateTimeout)
	defer cancel()
	if _, err := s.admin.Exec(ctx, "CREATE DATABASE "+pgx.Identifier{database}.Sanitize()+" TEMPLATE template0"); err != nil {
		return fmt.Errorf("create the template %s: %w", wanted.Name, err)
	}
	if wanted.Migrate != nil {
		if err := wanted.Migrate(ctx, s.urlOf(database).String()); err != nil {
			return fmt.Errorf("migrate the template %s: %w", wanted.Name, err)
		}
	}
	// From here on nobody can change it, or be connected while it is copied, which Postgres refuses.
	if _, err := s.admin.Exec(ctx, "ALTER DATABASE "+pgx.Identifier{database}.Sanitize()+" WITH ALLOW_CONNECTIONS false"); err != nil {
		return fmt.Errorf("close the template %s: %w", wanted.Name, err)
	}
	return nil
}

// clone creates a database as a copy of the template.
func (s *server) clone(ctx context.Context, database string, from *template) error {
	statement := "CREATE DATABASE " + pgx.Identifier{database}.Sanitize() + " TEMPLATE " + pgx.Identifier{from.database}.Sanitize()
	for {
		_, err := s.admin.Exec(ctx, statement)
		var refused *pgconn.PgError
		// A backend of the migration ends a little after its connection was closed. Postgres itself waits 5 s for it.
		if errors.As(err, &refused) && refused.Code == objectInUse && ctx.Err() == nil {
			continue
		}
		return err
	}
}

// objectInUse is the SQLSTATE of a template that somebody is connected to.
const objectInUse = "55006"

func (s *server) dropTemplate(ctx context.Context, t *template) error {
	if t.database == "" {
		return nil
	}
	return s.drop(ctx, t.database)
}
