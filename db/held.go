package db

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/huntaze/hybrid-orchestrator/internal/limit"
)

// hold is a token of an account or a recipient that is in use.
type hold struct {
	key        string
	rule, slot int
	until      time.Time
}

// atBest is when the token returns if the call that it pays for ends now.
func (h hold) atBest(rules limit.Rules, guard time.Duration, now time.Time) time.Time {
	if h.rule < len(rules) {
		if soon := now.Add(rules[h.rule].Window + guard); soon.Before(h.until) {
			return soon
		}
	}
	return h.until
}

func scanHold(row pgx.CollectableRow) (h hold, err error) {
	return h, row.Scan(&h.key, &h.rule, &h.slot, &h.until)
}

// limiterError tells a limiter that is down from a database that is.
func limiterError(err error) error {
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		return fmt.Errorf("%w: %w", ErrLimiterDown, err)
	}
	return err
}

// heldTokensSQL lists the tokens of the given buckets that the ledger says are held. The time is asked for in a query
// of its own, without which the index would be read back to the first hold there ever was.
var heldTokensSQL = `
SELECT k.key, h.rule, h.slot, upper(h.held)
FROM ` + few("key", "$2::text[]") + ` k
CROSS JOIN LATERAL (` + heldBy("$1", "k.key") + `) h`

// heldBy selects the holds of a bucket that are in force, through the index of the constraint.
func heldBy(scope, key string) string {
	return strings.NewReplacer("{scope}", scope, "{key}", key).Replace(`
    SELECT * FROM send_holds h
    WHERE h.token >= first_token({scope}, {key}) AND h.token <= first_token({scope}, {key}) + 65535
      AND h.held && tstzrange((SELECT hybrid_clock()), NULL) AND h.scope = {scope} AND h.key = {key} OFFSET 0`)
}
