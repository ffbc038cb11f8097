package migrations_test

import (
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/huntaze/hybrid-orchestrator/migrations"
)

// TestAll: every file of the folder is in the binary, numbered from 1 without a gap, as it is in the folder.
func TestAll(t *testing.T) {
	t.Parallel()
	all, err := migrations.All()
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob("*.sql")
	if err != nil || len(files) != len(all) {
		t.Fatalf("%d files, %d migrations, error %v", len(files), len(all), err)
	}
	for i, m := range all {
		if m.Version != i+1 {
			t.Errorf("migration %d has version %d", i+1, m.Version)
		}
		if name := strings.TrimSuffix(files[i][len("0000_"):], ".sql"); m.Name != name {
			t.Errorf("migration %d is called %q, its file %q", i+1, m.Name, files[i])
		}
		text, err := os.ReadFile(files[i])
		if err != nil {
			t.Fatal(err)
		}
		sum := sha256.Sum256(text)
		if m.SQL != string(text) || m.Checksum != hex.EncodeToString(sum[:]) {
			t.Errorf("migration %d is not the text of %s", i+1, files[i])
		}
	}
}
