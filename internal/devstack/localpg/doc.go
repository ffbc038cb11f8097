// Package localpg runs a private Postgres cluster as a child of this process: the database of `huntaze dev`
// when DATABASE_URL is not set, and the database of the tests.
//
// # What it promises
//
//   - The server ends with this process, however the process ends. On Linux the kernel signals the server when we
//     die; elsewhere a server that outlived us is stopped by the next [Start] on the same folder.
//   - One folder, one owner. A folder that another process uses is refused with [ErrInUse]; what a crash left
//     behind (a stale postmaster.pid, a half-made cluster, a temporary folder) is cleaned up.
//   - It listens on 127.0.0.1 only, without Unix sockets, and asks for a random password that is kept in the
//     folder in a file that only its owner can read.
//   - It works as root. Postgres refuses to run as root, so the server then runs as an unprivileged user
//     (`postgres`, else `nobody`, else uid 65534), and only folders made by this package are given to that user.
//   - A port that is taken is not an error: another one is chosen. Ask [Cluster.Port].
//
// # Where the server comes from
//
// From the machine: the PATH, then the usual folders of the distributions, newest version first. It must be
// Postgres 13 or newer and have the contrib extension btree_gist, which our schema uses. When none is found, the
// library github.com/fergusstrange/embedded-postgres downloads one from Maven Central into the user's cache.
// That last way is tested against a stand-in for the repository only, never against Maven Central itself; when it fails,
// the error says what to do instead: install Postgres, or set DATABASE_URL.
//
// Only Unix systems are supported; elsewhere [Start] returns an error that says to set DATABASE_URL.
package localpg
