package localpg

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	embeddedpostgres "github.com/fergusstrange/embedded-postgres"
)

// downloadable are the versions that the library knows, by major version.
var downloadable = map[int]embeddedpostgres.PostgresVersion{
	13: embeddedpostgres.V13,
	14: embeddedpostgres.V14,
	15: embeddedpostgres.V15,
	16: embeddedpostgres.V16,
	17: embeddedpostgres.V17,
	18: embeddedpostgres.V18,
}

// defaultDownload is the major version that is downloaded when no cluster asks for another.
const defaultDownload = 17

// download brings a server into the cache and returns the folder of its programs. The library knows no "only
// download": its Start downloads, unpacks, makes a cluster and starts it, as the user that we are, which fails for
// root. So it is given a data folder that claims to be a cluster and is empty: Start then ends, with an error that means
// nothing, right after the unpacking, and what counts is whether the programs are there.
func download(ctx context.Context, who account, major int) (string, error) {
	cache, err := cacheFolder(who)
	if err != nil {
		return "", err
	}
	return downloadInto(ctx, cache, major, "")
}

// cacheFolder is where downloaded programs are kept: in the cache of our user, or, when the server runs as another
// user than we do, in a place that this user can reach and only we can write to.
func cacheFolder(who account) (string, error) {
	if !who.switched {
		cache, err := os.UserCacheDir()
		if err != nil {
			return "", err
		}
		folder := filepath.Join(cache, "huntaze", "postgres")
		return folder, os.MkdirAll(folder, 0o755)
	}
	folder := filepath.Join(sharedFolders()[0], "huntaze-postgres-programs")
	if err := os.Mkdir(folder, 0o755); err != nil && !errors.Is(err, os.ErrExist) {
		return "", err
	}
	info, err := os.Lstat(folder)
	if err != nil {
		return "", err
	}
	uid, _, err := ownerOf(folder)
	if err != nil {
		return "", err
	}
	if !info.IsDir() || int(uid) != os.Getuid() || info.Mode().Perm()&0o022 != 0 {
		return "", fmt.Errorf("%s can be written by others; remove it", folder)
	}
	return folder, nil
}

// downloadInto is download with the folder of the cache and the address of the repository (empty: Maven Central).
func downloadInto(ctx context.Context, cache string, major int, repository string) (string, error) {
	if major == 0 {
		major = defaultDownload
	}
	version, ok := downloadable[major]
	if !ok {
		return "", fmt.Errorf("there is no Postgres %d to download", major)
	}
	final := filepath.Join(cache, string(version))
	if isUnpacked(final) {
		return filepath.Join(final, "bin"), nil
	}
	// The library takes no context. When ours ends first, the rest goes on behind our back and cleans up after itself.
	done := make(chan error, 1)
	go func() { done <- fill(cache, final, major, repository) }()
	select {
	case <-ctx.Done():
		return "", ctx.Err()
	case err := <-done:
		return filepath.Join(final, "bin"), err
	}
}

func isUnpacked(folder string) bool {
	_, err := os.Stat(filepath.Join(folder, "bin", "postgres"))
	return err == nil
}

// fill unpacks beside the final place and moves there what is whole: a process that is killed leaves nothing that looks
// like a server, and of two processes that do this at once both find one.
func fill(cache, final string, major int, repository string) (err error) {
	work, err := os.MkdirTemp(cache, "unpack-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(work)) }()
	unpacked := filepath.Join(work, "postgres")
	if err := unpack(work, unpacked, major, repository); err != nil {
		return err
	}
	if err := os.Rename(unpacked, final); err != nil && !isUnpacked(final) {
		return err
	}
	return nil
}

func unpack(work, unpacked string, major int, repository string) error {
	pretended := filepath.Join(work, "data")
	if err := os.Mkdir(pretended, 0o700); err != nil {
		return err
	}
	version := []byte(strconv.Itoa(major) + "\n")
	if err := os.WriteFile(filepath.Join(pretended, "PG_VERSION"), version, 0o600); err != nil {
		return err
	}
	config := embeddedpostgres.DefaultConfig().
		Version(downloadable[major]).
		CachePath(work).
		RuntimePath(filepath.Join(work, "runtime")).
		BinariesPath(unpacked).
		DataPath(pretended).
		Logger(io.Discard)
	if repository != "" {
		config = config.BinaryRepositoryURL(repository)
	}
	var failure error
	for range attempts {
		// The library insists on a free port before it begins, although nothing will listen there.
		failure = embeddedpostgres.NewDatabase(config.Port(uint32(somePort()))).Start()
		if isUnpacked(unpacked) {
			return nil
		}
		if failure == nil || !strings.Contains(failure.Error(), "already listening") {
			break
		}
	}
	return fmt.Errorf("nothing was unpacked: %w", failure)
}
