package cli

import (
	"strings"
	"testing"
	"time"

	"github.com/huntaze/hybrid-orchestrator/internal/apikey"
)

func TestAPIKeyCommands(t *testing.T) {
	t.Parallel()
	f := newFleet(t, "10/60s", "off")
	f.run("apikey", "list").wants(t, exitOK, "There are no keys")
	made := f.run("apikey", "create", "--name", "shop", "--account", "creator-7", "--account", "creator-8", "--expires", "90d", "--by", "Ann").
		wants(t, exitOK, "for creator-7, creator-8, until 2026-05-31 12:00:00 UTC. Keep it: it is not shown again.")
	key, err := apikey.Parse(strings.TrimSpace(made.out))
	if err != nil {
		t.Fatal(err)
	}
	f.run("apikey", "create", "--name", "operations", "--admin").wants(t, exitOK, "for all accounts")
	f.run("apikey", "list").wants(t, exitOK, "shop", "creator-7, creator-8", "valid for 90d0h", "operator Ann", "never")
	rotated := f.run("apikey", "rotate", key.ID, "--keep", "1h").wants(t, exitOK, "Keep it")
	next, err := apikey.Parse(strings.TrimSpace(rotated.out))
	if err != nil || next.ID != key.ID || next == key {
		t.Errorf("%v, %v", next, err)
	}
	f.run("apikey", "list").wants(t, exitOK, "the previous secret too, for 1h0m")
	f.advance(2 * time.Hour)
	f.run("apikey", "revoke", key.ID).wants(t, exitOK, "is revoked")
	f.run("apikey", "revoke", key.ID).wants(t, exitFailed, "it was revoked")
	f.run("apikey", "list").wants(t, exitOK, "revoked")
	leak := f.run("apikey", "revoke", next.Reveal()).wants(t, exitMisused, "not the key itself")
	if strings.Contains(leak.out+leak.errOut, next.Reveal()[20:40]) {
		t.Error("the key is shown")
	}
	f.run("apikey", "create", "--name", "x").wants(t, exitMisused, "--account or --admin is missing")
	f.run("apikey", "create", "--admin").wants(t, exitMisused, "--name")
	f.run("apikey", "create", "--name", "x", "--admin", "--expires", "soon").wants(t, exitMisused, "90d")
}
