package localpg

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

const (
	// oldest is the first version with DROP DATABASE ... WITH (FORCE) and gen_random_uuid(), which we use.
	oldest = 13
	// needed is the contrib extension of our schema.
	needed = "btree_gist"
)

// remedy ends every error about a server that can't be had.
const remedy = "install Postgres 13 or newer with its contrib extensions (Debian: apt install postgresql; Fedora: dnf install postgresql-server postgresql-contrib; macOS: brew install postgresql), or set DATABASE_URL"

// usualFolders are where distributions put the server when they do not put it on the PATH.
var usualFolders = []string{
	"/usr/lib/postgresql/*/bin",                          // Debian, Ubuntu
	"/usr/pgsql-*/bin",                                   // postgresql.org's packages for Fedora and Red Hat
	"/usr/lib/postgresql*/bin",                           // openSUSE
	"/usr/lib64/postgresql-*/bin",                        // Gentoo
	"/usr/libexec/postgresql*",                           // Alpine
	"/opt/homebrew/opt/postgresql*/bin",                  // Homebrew on Apple silicon
	"/usr/local/opt/postgresql*/bin",                     // Homebrew on Intel
	"/home/linuxbrew/.linuxbrew/opt/postgresql*/bin",     // Homebrew on Linux
	"/Applications/Postgres.app/Contents/Versions/*/bin", // Postgres.app
	"/usr/local/pgsql/bin",                               // built from source
}

// binaries is an installed server that fulfils what we need.
type binaries struct {
	dir   string
	major int
}

func (b binaries) initdb() string   { return filepath.Join(b.dir, "initdb") }
func (b binaries) postgres() string { return filepath.Join(b.dir, "postgres") }

// finder looks for a server that the account can run. An existing cluster wants the major version that made it (0: any).
type finder struct {
	who    account
	major  int
	logger *slog.Logger

	path     []string // folders named by the PATH
	patterns []string // usualFolders
	download func(ctx context.Context, major int) (dir string, err error)
}

func newFinder(who account, major int, logger *slog.Logger) finder {
	return finder{
		who: who, major: major, logger: logger,
		path: filepath.SplitList(os.Getenv("PATH")), patterns: usualFolders,
		download: func(ctx context.Context, major int) (string, error) { return download(ctx, who, major) },
	}
}

// find returns the first that fits: from the PATH, from the usual folders, downloaded.
func (f finder) find(ctx context.Context) (binaries, error) {
	var refused []error
	for _, dir := range f.candidates() {
		found, err := f.check(ctx, dir)
		if err == nil {
			return found, nil
		}
		refused = append(refused, fmt.Errorf("%s: %w", dir, err))
	}
	f.logger.Info("no Postgres that fits is installed; downloading one", "looked_at", len(refused))
	dir, err := f.download(ctx, f.major)
	if err == nil {
		found, errCheck := f.check(ctx, dir)
		if errCheck == nil {
			return found, nil
		}
		err = fmt.Errorf("%s: %w", dir, errCheck)
	}
	refused = append(refused, fmt.Errorf("download: %w", err))
	return binaries{}, fmt.Errorf("localpg: no Postgres to run: %w\n%s", errors.Join(refused...), remedy)
}

// candidates are the folders with a server, symbolic links followed, each once.
func (f finder) candidates() []string {
	var dirs []string
	add := func(dir string) {
		var where []string
		for _, name := range []string{"postgres", "initdb"} {
			file, err := filepath.EvalSymlinks(filepath.Join(dir, name))
			if err != nil {
				return
			}
			where = append(where, filepath.Dir(file))
		}
		// The PATH may hold links to single programs: the server looks for its neighbours where it really is.
		if where[0] == where[1] && !slices.Contains(dirs, where[0]) {
			dirs = append(dirs, where[0])
		}
	}
	for _, dir := range f.path {
		if filepath.IsAbs(dir) {
			add(dir)
		}
	}
	for _, pattern := range f.patterns {
		matches, err := filepath.Glob(pattern)
		if err != nil {
			continue
		}
		slices.SortStableFunc(matches, func(a, b string) int {
			return cmp.Compare(versionInPath(b), versionInPath(a))
		})
		for _, dir := range matches {
			add(dir)
		}
	}
	return dirs
}

var number = regexp.MustCompile(`\d+(\.\d+)?`)

// versionInPath is the last number of the path, such as 16 for /usr/lib/postgresql/16/bin.
func versionInPath(path string) float64 {
	all := number.FindAllString(path, -1)
	if len(all) == 0 {
		return 0
	}
	version, _ := strconv.ParseFloat(all[len(all)-1], 64)
	return version
}

func (f finder) check(ctx context.Context, dir string) (binaries, error) {
	version, err := f.output(ctx, filepath.Join(dir, "postgres"), "--version")
	if err != nil {
		return binaries{}, err
	}
	found := binaries{dir: dir}
	if found.major, err = parseMajor(version); err != nil {
		return binaries{}, err
	}
	if found.major < oldest {
		return binaries{}, fmt.Errorf("version %d is too old, %d is the oldest that will do", found.major, oldest)
	}
	if f.major != 0 && found.major != f.major {
		return binaries{}, fmt.Errorf("this is Postgres %d, but the cluster was made by Postgres %d", found.major, f.major)
	}
	if !f.hasExtension(ctx, found) {
		return binaries{}, fmt.Errorf("the extension %s is missing (it belongs to Postgres's contrib package)", needed)
	}
	return found, nil
}

// versionText matches "postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)" and "postgres (PostgreSQL) 18beta1".
var versionText = regexp.MustCompile(`\(PostgreSQL\) (\d+)`)

func parseMajor(version string) (int, error) {
	match := versionText.FindStringSubmatch(version)
	if match == nil {
		return 0, fmt.Errorf("this is no Postgres: %q", strings.TrimSpace(version))
	}
	return strconv.Atoi(match[1])
}

// hasExtension looks where pg_config says that the shared files are, else where they are relative to the programs
// (the server finds them the same way).
func (f finder) hasExtension(ctx context.Context, b binaries) bool {
	shares := []string{
		filepath.Join(b.dir, "..", "share"),
		filepath.Join(b.dir, "..", "share", "postgresql"),
		filepath.Join(b.dir, "..", "..", "..", "share", "postgresql", strconv.Itoa(b.major)),
	}
	if said, err := f.output(ctx, filepath.Join(b.dir, "pg_config"), "--sharedir"); err == nil {
		shares = append([]string{strings.TrimSpace(said)}, shares...)
	}
	return slices.ContainsFunc(shares, func(share string) bool {
		_, err := os.Stat(filepath.Join(share, "extension", needed+".control"))
		return err == nil
	})
}

// output runs a program as the server's account: one that it can't run is of no use.
func (f finder) output(ctx context.Context, program string, arguments ...string) (string, error) {
	var out strings.Builder
	command := exec.CommandContext(ctx, program, arguments...)
	command.Dir = "/"
	command.Env = childEnvironment()
	command.Stdout = &out
	command.SysProcAttr = attributes(f.who, syscall.SIGKILL)
	if err := runToEnd(command); err != nil {
		return "", err
	}
	return out.String(), nil
}

// childEnvironment hands on what programs need to load, and nothing else: not our secrets, not the PG* variables
// that would change what they do, and no locale, so that messages are in English.
func childEnvironment() []string {
	environment := []string{"LC_ALL=C"}
	for _, name := range []string{"PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "DYLD_FALLBACK_LIBRARY_PATH"} {
		if value, ok := os.LookupEnv(name); ok {
			environment = append(environment, name+"="+value)
		}
	}
	return environment
}
