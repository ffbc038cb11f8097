package pgtest

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/huntaze/hybrid-orchestrator/internal/devstack/localpg"
)

const (
	startTimeout = 2 * time.Minute // of the server
	stopTimeout  = time.Minute     // of the server, with the dropping of what is left
	// namePrefix begins the name of each of our databases; see sweep.
	namePrefix = "pgtest_"
)

// server is where the databases of this process live.
type server struct {
	cluster *localpg.Cluster // nil when the server is the one of TEST_DATABASE_URL
	url     *url.URL         // of the database that others are created from
	admin   *pgxpool.Pool
	alive   *pgxpool.Conn // tells other processes that ours lives; see sweep
	prefix  string        // of the names of our databases

	mu        sync.Mutex
	serial    int
	templates map[string]*template
	kept      int // databases that outlive the process
}

// keep says whether the databases of failed tests are kept.
func keep() bool { return os.Getenv("KEEP_TEST_DATABASES") == "1" }

func startServer() (*server, error) {
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	s := &server{prefix: newPrefix(time.Now()), templates: map[string]*template{}}
	if err := s.start(ctx); err != nil {
		return nil, errors.Join(err, s.stop(context.WithoutCancel(ctx)))
	}
	return s, nil
}

func (s *server) start(ctx context.Context) error {
	address := os.Getenv("TEST_DATABASE_URL")
	if address == "" {
		options := localpg.Options{Parameters: map[string]string{"max_connections": "400"}} // whole fleets, several at a time
		if keep() {
			// A folder of its own, since a temporary one would be gone with the server.
			options.DataDir = filepath.Join(os.TempDir(), "huntaze-"+s.prefix+"kept")
		}
		cluster, err := localpg.Start(ctx, options)
		if err != nil {
			return fmt.Errorf("%w\nor, for tests, name a running server with TEST_DATABASE_URL", err)
		}
		s.cluster, address = cluster, cluster.URL("postgres")
	}
	var err error
	if s.url, err = url.Parse(address); err != nil || !strings.HasPrefix(s.url.Scheme, "postgres") {
		// Not the error itself: it would quote the password.
		return errors.New("TEST_DATABASE_URL is not a URL (postgres://user:password@host:port/database)")
	}
	return s.connect(ctx)
}

func (s *server) connect(ctx context.Context) error {
	config, err := pgxpool.ParseConfig(s.url.String())
	if err != nil {
		return fmt.Errorf("TEST_DATABASE_URL: %w", err)
	}
	config.MaxConns = 8
	config.ConnConfig.RuntimeParams["application_name"] = s.prefix
	if s.admin, err = pgxpool.NewWithConfig(ctx, config); err != nil {
		return err
	}
	if s.alive, err = s.admin.Acquire(ctx); err != nil {
		return fmt.Errorf("the server of the tests does not answer: %w", err)
	}
	if s.cluster == nil {
		return s.sweep(ctx)
	}
	return nil
}

// urlOf returns the connection string of a database of the server.
func (s *server) urlOf(database string) *url.URL {
	other := *s.url
	other.Path = "/" + database
	return &other
}

// newName returns an unused name for a database.
func (s *server) newName(of string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.serial++
	name := fmt.Sprintf("%s%d_%s", s.prefix, s.serial, plain(of))
	return name[:min(len(name), 63)] // Postgres cuts names there
}

// plain turns the name of a test or template into a part of a name that needs no quotes.
func plain(name string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9':
			return r
		case r >= 'A' && r <= 'Z':
			return r + ('a' - 'A')
		default:
			return '_'
		}
	}, name)
}

// drop removes a database with whoever is connected to it.
func (s *server) drop(ctx context.Context, name string) error {
	_, err := s.admin.Exec(ctx, "DROP DATABASE IF EXISTS "+pgx.Identifier{name}.Sanitize()+" WITH (FORCE)")
	return err
}

// stop drops the templates, and ends the server if it is ours.
func (s *server) stop(ctx context.Context) error {
	var failures []error
	if s.admin != nil && s.cluster == nil {
		for _, t := range s.templates {
			failures = append(failures, s.dropTemplate(ctx, t))
		}
	}
	if s.alive != nil {
		s.alive.Release()
	}
	if s.admin != nil {
		s.admin.Close()
	}
	if s.cluster != nil {
		failures = append(failures, s.cluster.Stop(ctx))
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.kept == 0 {
			failures = append(failures, os.RemoveAll(s.cluster.Dir()))
		}
	}
	return errors.Join(failures...)
}

// newPrefix makes names that tell our databases from those of other processes, and when they were made.
func newPrefix(now time.Time) string {
	var random [4]byte
	_, _ = rand.Read(random[:]) // it never fails, by its contract
	return fmt.Sprintf("%s%x_%s_", namePrefix, now.Unix(), hex.EncodeToString(random[:]))
}
