// Package db is the fleet's memory and the only place with SQL: one file for each aggregate. What must
// become durable together is one transaction here. Decisions are not made here: the transition of a workflow
// (internal/workflow) and the choice of tokens (internal/limit) are pure functions that it calls between
// reading under a lock and writing.
//
// Every operation takes many requests at once and uses a fixed number of statements for them, so that
// concurrent work can share a transaction.
package db

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	pgxuuid "github.com/vgarvardt/pgx-google-uuid/v5"

	"github.com/huntaze/hybrid-orchestrator/internal/workflow"
)

// Job is a step that is to be enqueued in the transaction that makes it necessary.
type Job struct {
	Kind     workflow.StepKind
	Workflow uuid.UUID         // send, resolve
	Text     uuid.UUID         // plan: the text; expand: the campaign
	Sequence int               // send, resolve: the attempt; plan, expand: the step
	UserID   string            // release: the account
	Priority workflow.Priority // send, plan
	At       time.Time         // not before; zero: at once
	Due      bool              // release: at once although it is named by a time, which is now
	// The trace of the workflow that it is a step of, and what that waited for until now; zero: unknown, or of several.
	Trace workflow.TraceContext
	Waits []workflow.Waited
}

// Enqueuer writes jobs in the caller's transaction.
type Enqueuer interface {
	EnqueueTx(ctx context.Context, tx pgx.Tx, jobs []Job) error
}

// Timing are the lengths of time that deadlines and holds are made of.
type Timing struct {
	Reservation time.Duration // a send job must start its call within this time after the tokens were taken
	CallTimeout time.Duration // the longest call to the gateway
	Settle      time.Duration // the longest time that anything on the way may hold a request (GATEWAY_SETTLE)
}

// DefaultReservation bounds how long a released message may wait for a free worker.
const DefaultReservation = 30 * time.Second

// hold is how long a call that nobody hears of again may still reach the gateway, from its release on.
func (t Timing) hold() time.Duration { return t.Reservation + t.CallTimeout + t.Settle }

// Config is what a Store needs to know.
type Config struct {
	Timing        Timing
	DefaultUserID string    // the account of messages that name none; empty: they are quarantined
	Worker        string    // names this process in the ledger
	Planning      *Planning // how texts are written; nil: not by this process
}

// Store runs the fleet's transactions. It is safe for concurrent use.
type Store struct {
	pool     *pgxpool.Pool
	enqueuer Enqueuer
	config   Config
}

// NewStore returns a store on a pool whose schema is up to date.
func NewStore(pool *pgxpool.Pool, enqueuer Enqueuer, config Config) *Store {
	return &Store{pool: pool, enqueuer: enqueuer, config: config}
}

// Pool is the store's, for who measures it.
func (s *Store) Pool() *Pool { return s.pool }

// ErrReadOnly says that the database is a standby.
var ErrReadOnly = errors.New("the database is read-only: DATABASE_URL must lead to the primary")

// Ping says whether the database answers and can be written to: a standby that a failover left behind can't.
func (s *Store) Ping(ctx context.Context) error {
	var readOnly bool
	if err := s.pool.QueryRow(ctx, "SELECT current_setting('transaction_read_only')::boolean").Scan(&readOnly); err != nil {
		return err
	}
	if readOnly {
		return ErrReadOnly
	}
	return nil
}

// Now is the database's time.
func (s *Store) Now(ctx context.Context) (now time.Time, err error) {
	err = s.pool.QueryRow(ctx, "SELECT hybrid_clock()").Scan(&now)
	return now, err
}

// deadlockTries is how often a transaction is tried that Postgres ended for being in a circle of waits with others.
// Everybody locks in one order, but the ledger's constraints make transactions wait for each other's new rows, too.
const deadlockTries = 8

// inTx runs do in a transaction that waits for its commit to reach the disk, whatever the database's default:
// a send that was forgotten is a send that may be repeated. After a deadlock, which certainly undid everything, it
// runs do again. An error says that nothing was written, as far as anybody can know.
func (s *Store) inTx(ctx context.Context, do func(pgx.Tx) error) error {
	for try := 1; ; try++ {
		var f fate
		err := pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) (err error) {
			if err = do(tx); err == nil {
				f, err = readFate(ctx, tx)
			}
			return err
		})
		if err == nil || s.committed(ctx, f) {
			return nil
		}
		if try == deadlockTries || !hasCode(err, deadlockDetected) {
			return fmt.Errorf("transaction: %w", err)
		}
		stepAside(ctx, try)
	}
}

// stepAside waits for a moment by chance, longer with each try: who runs again at once meets the same others.
func stepAside(ctx context.Context, try int) {
	timer := time.NewTimer(rand.N(time.Duration(try) * 20 * time.Millisecond))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// SQLSTATEs that mean something to us.
const (
	deadlockDetected   = "40P01"
	uniqueViolation    = "23505"
	exclusionViolation = "23P01"
)

func hasCode(err error, code string) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && pg.Code == code
}

// Pool is a pool of connections to the fleet's database.
type Pool = pgxpool.Pool

// sessionSettings make every statement go the way it was written for: from a few given keys through indexes.
// Statistics lag behind tables that grow from nothing to a million rows in minutes, and a plan that was right
// for the empty table would read the whole of the full one.
var sessionSettings = map[string]string{
	"plan_cache_mode":  "force_generic_plan",
	"enable_seqscan":   "off",
	"enable_hashjoin":  "off",
	"enable_mergejoin": "off",
	// A bitmap collects all entries before the first row is looked at, of which most of our queries want a few.
	"enable_bitmapscan": "off",
	// Where a page lies costs little: what is needed is in memory, or on a disk without a head.
	"random_page_cost": "1.1",
	"jit":              "off",
	// A commit has happened when it is on the disk, whatever the server's default says.
	"synchronous_commit": "on",
}

// Open returns a pool whose sessions commit durably, give up on idle transactions and plan as this package's
// statements need it.
func Open(ctx context.Context, url string, maxConnections int, name string) (*Pool, error) {
	return open(ctx, url, maxConnections, name, sessionSettings)
}

// OpenForRiver returns the same for River, which has statements of its own: planned like ours they take three
// times as long.
func OpenForRiver(ctx context.Context, url string, maxConnections int, name string) (*Pool, error) {
	return open(ctx, url, maxConnections, name, map[string]string{"synchronous_commit": "on"})
}

func open(ctx context.Context, url string, maxConnections int, name string, settings map[string]string) (*Pool, error) {
	config, err := pgxpool.ParseConfig(url)
	if err != nil {
		return nil, fmt.Errorf("DATABASE_URL can't be read: want postgres://user:password@host:port/database") //nolint:errorlint // the parser's error may hold the password
	}
	config.MaxConns = int32(maxConnections)
	config.MinIdleConns = 1
	config.ConnConfig.RuntimeParams["application_name"] = name
	config.ConnConfig.RuntimeParams["idle_in_transaction_session_timeout"] = "30000"
	for name, value := range settings {
		config.ConnConfig.RuntimeParams[name] = value
	}
	config.ConnConfig.ConnectTimeout = 5 * time.Second
	config.AfterConnect = func(_ context.Context, conn *pgx.Conn) error {
		pgxuuid.Register(conn.TypeMap()) // otherwise ids travel as text
		return nil
	}
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return nil, err
	}
	return pool, nil
}

// Refused says whether an error is the database's final answer to a statement: not a lost connection, a
// shutdown, a lack of resources or a conflict with another transaction, after which the same may succeed.
func Refused(err error) bool {
	var pg *pgconn.PgError
	if !errors.As(err, &pg) || len(pg.Code) != 5 {
		return false
	}
	switch pg.Code[:2] {
	case "08", "25", "40", "53", "55", "57", "58":
		return false
	}
	return true
}

// Interrupted says whether an error tells of the connection, the server or other transactions, and nothing of the
// statement: the same may succeed the next time.
func Interrupted(err error) bool {
	var pg *pgconn.PgError
	var network net.Error
	return errors.As(err, &pg) && !Refused(err) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, pgconn.ErrConnClosed) ||
		errors.As(err, &network) || pgconn.SafeToRetry(err)
}

// querier is a pool or a transaction.
type querier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
}

// AccountsWaiting lists the accounts that have a wake-up pending within the next minute: a process that starts
// looks at them, for nobody's timers may remember them.
func (s *Store) AccountsWaiting(ctx context.Context) ([]string, error) {
	rows, err := s.pool.Query(ctx, `SELECT user_id FROM accounts WHERE wake_at < hybrid_clock() + $1::interval ORDER BY wake_at LIMIT 10000`, time.Minute+backupDelay)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[string])
}
