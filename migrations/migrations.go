// Package migrations holds the schema as numbered SQL files. A file that was released is never changed: a
// change is a new file. Deployments run old and new binaries side by side, so a migration must leave the
// schema usable by the binary before it.
package migrations

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"io/fs"
	"strconv"
	"strings"
)

//go:embed *.sql
var files embed.FS

// Migration is one numbered file.
type Migration struct {
	Version  int
	Name     string
	SQL      string
	Checksum string // SHA-256 of the SQL, in hex
}

// All returns the migrations in order. Their versions run from 1 without a gap; anything else is a mistake in
// the build and is returned as an error.
func All() ([]Migration, error) {
	names, err := fs.Glob(files, "*.sql")
	if err != nil {
		return nil, err
	}
	var all []Migration
	for i, name := range names {
		number, title, _ := strings.Cut(strings.TrimSuffix(name, ".sql"), "_")
		version, err := strconv.Atoi(number)
		if err != nil || version != i+1 {
			return nil, fmt.Errorf("migration %s: its number should be %04d", name, i+1)
		}
		sql, err := files.ReadFile(name)
		if err != nil {
			return nil, err
		}
		sum := sha256.Sum256(sql)
		all = append(all, Migration{Version: version, Name: title, SQL: string(sql), Checksum: hex.EncodeToString(sum[:])})
	}
	return all, nil
}
