package db

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/huntaze/hybrid-orchestrator/internal/flags"
)

// ErrFlagChanged says that somebody else changed a flag in between.
var ErrFlagChanged = errors.New("the flag was changed by somebody else in between")

// FlagChange is a change that is to be made.
type FlagChange struct {
	Name   flags.Name
	UserID string // empty: of all that have no value of their own
	Value  flags.Value
	By     string
	Reason string
	// Expect makes it fail with ErrFlagChanged unless the value in force is of that version; 0: there is none.
	Expect *int64
}

// FlagChanged is the answer to a change.
type FlagChanged struct {
	Version int64
	// InFlight are the messages whose call had begun before the kill switch was set to off: they may still arrive.
	InFlight int
}

// SetFlag gives a flag a value. When it returns, it is in force in the database: after sends_enabled was set to off,
// no transaction that obeys the switch starts a send any more.
func (s *Store) SetFlag(ctx context.Context, change FlagChange) (FlagChanged, error) {
	if _, err := flags.ParseValue(change.Name, change.UserID, change.Value.String()); err != nil {
		return FlagChanged{}, err
	}
	var changed FlagChanged
	err := s.changeFlag(ctx, change, func(tx pgx.Tx) error {
		// The lock on the flags keeps others from inserting in between. ON CONFLICT would spend two numbers on a change.
		args := []any{change.Name, change.UserID, change.Value.String(), change.By, change.Reason}
		err := tx.QueryRow(ctx, `UPDATE flags SET value = $3, changed_by = $4, reason = $5 WHERE name = $1 AND user_id = $2 RETURNING version`, args...).Scan(&changed.Version)
		if errors.Is(err, pgx.ErrNoRows) {
			err = tx.QueryRow(ctx, `INSERT INTO flags (name, user_id, value, changed_by, reason) VALUES ($1, $2, $3, $4, $5) RETURNING version`, args...).Scan(&changed.Version)
		}
		if err != nil {
			return fmt.Errorf("set flag %s: %w", change.Name, err)
		}
		if change.Name != flags.SendsEnabled || change.Value != flags.Off {
			return nil
		}
		return tx.QueryRow(ctx, `SELECT count(*) FROM send_attempts a WHERE a.state = 'in_flight' AND NOT sends_enabled(a.user_id) AND $1 IN ('', a.user_id)`,
			change.UserID).Scan(&changed.InFlight)
	})
	return changed, err
}

// ClearFlag removes a value, so that what holds for all, or the default, holds again. It says whether there was one.
func (s *Store) ClearFlag(ctx context.Context, change FlagChange) (cleared bool, err error) {
	if _, err := flags.Parse(string(change.Name)); err != nil {
		return false, err
	}
	err = s.changeFlag(ctx, change, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `SELECT set_config('huntaze.changed_by', $1, true), set_config('huntaze.reason', $2, true)`, change.By, change.Reason); err != nil {
			return err
		}
		tag, err := tx.Exec(ctx, `DELETE FROM flags WHERE name = $1 AND user_id = $2`, change.Name, change.UserID)
		if err != nil {
			return fmt.Errorf("clear flag %s: %w", change.Name, err)
		}
		cleared = tag.RowsAffected() > 0
		return nil
	})
	return cleared, err
}

// changeFlag makes one change after the other.
func (s *Store) changeFlag(ctx context.Context, change FlagChange, do func(pgx.Tx) error) error {
	if change.By == "" || change.Reason == "" {
		return errors.New("a change of a flag needs who makes it, and why")
	}
	return s.inTx(ctx, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `SELECT 1 FROM flags_version FOR UPDATE`); err != nil {
			return fmt.Errorf("lock the flags: %w", err)
		}
		if change.Expect != nil {
			var version int64
			if err := tx.QueryRow(ctx, `SELECT coalesce((SELECT version FROM flags WHERE name = $1 AND user_id = $2), 0)`, change.Name, change.UserID).Scan(&version); err != nil {
				return err
			}
			if version != *change.Expect {
				return ErrFlagChanged
			}
		}
		return do(tx)
	})
}

// Flags is the state of all flags now, ordered by name and account.
func (s *Store) Flags(ctx context.Context) (flags.Table, error) {
	table, _, err := s.FlagSource().Load(ctx, flags.Version{})
	return table, err
}

// FlagEntry is one change that was made.
type FlagEntry struct {
	Version   int64
	Name      flags.Name
	UserID    string
	Previous  string // empty: there was none
	Value     string // empty: it was removed
	ChangedAt time.Time
	ChangedBy string
	Reason    string
}

// FlagHistory lists changes, the latest first: of one flag or of all, of one account or of all, before a version or,
// with 0, from the latest on.
func (s *Store) FlagHistory(ctx context.Context, name flags.Name, userID string, before int64, most int) ([]FlagEntry, error) {
	rows, err := s.pool.Query(ctx, `SELECT version, name, user_id, coalesce(previous, ''), coalesce(value, ''), changed_at, changed_by, reason FROM flags_history
		WHERE $1 IN ('', name) AND $2 IN ('', user_id) AND ($3 = 0 OR version < $3) ORDER BY version DESC LIMIT $4`, name, userID, before, most)
	if err != nil {
		return nil, fmt.Errorf("history of the flags: %w", err)
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[FlagEntry])
}

// SendsEnabled reads the kill switch of an account in the database.
func (s *Store) SendsEnabled(ctx context.Context, userID string) (enabled bool, err error) {
	err = s.pool.QueryRow(ctx, `SELECT sends_enabled($1)`, userID).Scan(&enabled)
	return enabled, err
}

// flagsChannel is where the database tells of changes.
const flagsChannel = "huntaze_flags"

const (
	// listenIdle is how long a connection that listens may be silent before it is asked whether it is still there.
	listenIdle = 30 * time.Second
	// listenAnswer is how long it has for the answer.
	listenAnswer = 5 * time.Second
)

// FlagSource is the flags of the database as a process watches them. It implements flags.Source.
type FlagSource struct{ pool *Pool }

// FlagSource returns the source of flags.
func (s *Store) FlagSource() FlagSource { return FlagSource{s.pool} }

// loadFlagsSQL is one statement, so that the rows and their version are of one moment. Where the version is the one
// that is known, it reads no rows.
const loadFlagsSQL = `
SELECT v.system, v.timeline, v.version, f.name, f.user_id, f.value, f.version, f.changed_at, f.changed_by, f.reason
FROM (SELECT c.system_identifier AS system, current_timeline() AS timeline, version FROM flags_version, pg_control_system() c) v
LEFT JOIN flags f ON (v.system, v.timeline, v.version) <> ($1, $2, $3)
ORDER BY f.name, f.user_id`

// Load implements flags.Source.
func (f FlagSource) Load(ctx context.Context, known flags.Version) (flags.Table, bool, error) {
	rows, err := f.pool.Query(ctx, loadFlagsSQL, known.System, known.Timeline, known.Number)
	if err != nil {
		return flags.Table{}, false, fmt.Errorf("read the flags: %w", err)
	}
	var table flags.Table
	v := &table.Version
	var name, userID, value, by, reason *string
	var version *int64
	var at *time.Time
	_, err = pgx.ForEachRow(rows, []any{&v.System, &v.Timeline, &v.Number, &name, &userID, &value, &version, &at, &by, &reason}, func() error {
		if name != nil {
			table.Rows = append(table.Rows, flags.Row{Name: flags.Name(*name), UserID: *userID, Value: *value, Version: *version, ChangedAt: *at, ChangedBy: *by, Reason: *reason})
		}
		return nil
	})
	if err != nil {
		return flags.Table{}, false, fmt.Errorf("read the flags: %w", err)
	}
	if *v == (flags.Version{}) {
		return flags.Table{}, false, errors.New("read the flags: the table flags_version is empty")
	}
	return table, *v != known, nil
}

// Listen implements flags.Source, on a connection of its own: one of the pool could be given to somebody else.
func (f FlagSource) Listen(ctx context.Context, notify func()) error {
	conn, err := pgx.ConnectConfig(ctx, f.pool.Config().ConnConfig)
	if err != nil {
		return fmt.Errorf("listen for changes of flags: %w", err)
	}
	defer func() {
		closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), listenAnswer)
		defer cancel()
		_ = conn.Close(closing)
	}()
	if _, err := conn.Exec(ctx, "LISTEN "+flagsChannel); err != nil {
		return fmt.Errorf("listen for changes of flags: %w", err)
	}
	notify() // what changed before it listened
	for {
		waiting, cancel := context.WithTimeout(ctx, listenIdle)
		_, err := conn.WaitForNotification(waiting)
		cancel()
		switch {
		case err == nil:
			notify()
		case ctx.Err() != nil:
			return ctx.Err()
		case waiting.Err() == nil || conn.IsClosed():
			return fmt.Errorf("listen for changes of flags: %w", err)
		default:
			asking, cancel := context.WithTimeout(ctx, listenAnswer)
			err := conn.Ping(asking) // a connection that a firewall forgot says nothing by itself
			cancel()
			if err != nil {
				return fmt.Errorf("listen for changes of flags: %w", err)
			}
		}
	}
}
