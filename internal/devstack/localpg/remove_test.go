//go:build unix

package localpg

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
)

func TestRemove(t *testing.T) {
	t.Parallel()
	o := Options{DataDir: filepath.Join(reachable(t), "cluster")}
	c := begin(t, o)
	if err := Remove(t.Context(), o); !errors.Is(err, ErrInUse) {
		t.Errorf("while it runs: %v, want ErrInUse", err)
	}
	stop(t, c)
	if err := Remove(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Lstat(o.DataDir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the folder is still there: %v", err)
	}
	if err := Remove(t.Context(), o); err != nil {
		t.Errorf("when there is none: %v", err)
	}
}

func TestRemoveLeavesOthersFiles(t *testing.T) {
	t.Parallel()
	o := Options{DataDir: filepath.Join(reachable(t), "cluster")}
	c, err := Start(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Stop(context.Background()); err != nil {
		t.Fatal(err)
	}
	theirs := filepath.Join(o.DataDir, "notes.txt")
	if err := os.WriteFile(theirs, []byte("not ours"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := Remove(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(o.DataDir)
	if err != nil || len(entries) != 1 || entries[0].Name() != "notes.txt" {
		t.Errorf("left: %v, %v", entries, err)
	}
	// Without our lock it is a folder of somebody else's, and is not touched.
	if err := Remove(t.Context(), o); err == nil {
		t.Error("a folder with other files was taken for ours")
	}
}
