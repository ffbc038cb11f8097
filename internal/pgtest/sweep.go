package pgtest

import (
	"context"
	"fmt"
	"regexp"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
)

const (
	// sweepAge is how old databases must be before they can count as left behind.
	sweepAge = time.Hour
	// keptComment marks a database that was kept on purpose.
	keptComment = "kept after a failed test"
)

// ourName matches the names of the databases of any process: when, who, the rest.
var ourName = regexp.MustCompile(`^(` + namePrefix + `([0-9a-f]+)_[0-9a-f]{8}_)`)

// sweep drops, on a server that is not ours, what killed test processes left behind. A process that lives has a session
// whose application name is the prefix of its databases.
func (s *server) sweep(ctx context.Context) error {
	rows, err := s.admin.Query(ctx, `
		SELECT datname FROM pg_database
		WHERE starts_with(datname, $1) AND shobj_description(oid, 'pg_database') IS DISTINCT FROM $2`,
		namePrefix, keptComment)
	if err != nil {
		return fmt.Errorf("list the databases: %w", err)
	}
	names, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return fmt.Errorf("list the databases: %w", err)
	}
	for _, name := range names {
		match := ourName.FindStringSubmatch(name)
		if match == nil {
			continue
		}
		made, err := strconv.ParseInt(match[2], 16, 64)
		if err != nil || time.Since(time.Unix(made, 0)) < sweepAge {
			continue
		}
		var lives bool
		err = s.admin.QueryRow(ctx, "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE application_name = $1)", match[1]).Scan(&lives)
		if err != nil {
			return fmt.Errorf("look for the owner of %s: %w", name, err)
		}
		if !lives {
			// Another process may be sweeping too, and a database of another user is not ours to drop: no error.
			_ = s.dropTemplate(ctx, &template{database: name})
		}
	}
	return nil
}
