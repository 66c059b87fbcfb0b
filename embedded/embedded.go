// Package embedded runs a private PostgreSQL server for demos, development
// and tests: no administrator, no container, nothing to configure. It finds the
// server binaries that are installed, makes a cluster (PostgreSQL's word for
// a server's files) in a directory of its own and serves it on a free port of
// 127.0.0.1.
//
//	srv, err := embedded.Start(ctx, embedded.Config{})
//	if err != nil {
//		return err
//	}
//	defer srv.Stop(ctx)
//	conn, err := pgx.Connect(ctx, srv.URL("postgres"))
//
// It is not meant for production: nobody makes backups of it, and nothing
// starts it again when it dies.
//
// What holds:
//
//   - A directory that this package did not make is never changed or removed.
//     Its own it knows by a lock file; the files of the server appear under
//     their final name only when they are complete, so a process that is
//     killed half-way leaves nothing that a second try trips over.
//   - Any number of processes may use one data directory. The first starts the
//     server, the others attach to it, the last one to leave stops it. Locks of
//     the operating system, which end with their process, keep the count.
//   - A process that is killed leaves its server running. The next Start finds
//     it and attaches; after a crash of the machine PostgreSQL recovers.
//   - Each cluster has a random password in a file that only its user can
//     read. Nobody else on the machine gets in.
//   - PostgreSQL refuses to run as root. A process of root runs the server as
//     the user postgres, or else nobody.
//
// Begin reading at [Start], then see serve.go for how a server comes to run,
// cluster.go for its directory, postmaster.go for its process and find.go for
// the binaries.
package embedded

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
)

// OldestMajor is the oldest major version of PostgreSQL that [Start] accepts.
const OldestMajor = 15

// BinVariable is the environment variable with directories of server binaries
// that [Find] looks at before all others; a list in the form of PATH.
const BinVariable = "ROWHOUSE_PG_BIN"

var (
	// ErrNotFound says that no PostgreSQL server binaries were found, or none
	// of the version that was asked for. The message has the places that were
	// looked at and what to install.
	ErrNotFound = errors.New("no PostgreSQL server binaries found")

	// ErrUnsupported says that this package does not work on this operating
	// system. It works on Linux and macOS.
	ErrUnsupported = errors.New("embedded PostgreSQL is not supported on this operating system")

	// ErrTooOld says that the PostgreSQL that was found is older than
	// [OldestMajor].
	ErrTooOld = errors.New("PostgreSQL is too old")

	// ErrForeignDir says that the data directory holds files and was not made
	// by this package, so it was left alone.
	ErrForeignDir = errors.New("directory is not empty and was not made by this package")

	// ErrUnreachable says that the user that the server runs as cannot enter a
	// directory that it needs. It happens only to processes of root.
	ErrUnreachable = errors.New("directory cannot be reached by the server's user")
)

// VersionError says that a data directory was made by another major version of
// PostgreSQL than the binaries that would have to serve it.
type VersionError struct {
	// DataDir is the data directory as configured.
	DataDir string
	// DataMajor is the major version that made the data directory.
	DataMajor int
	// BinaryMajor is the major version that was asked for or, if none was, the
	// newest that is installed.
	BinaryMajor int
}

// Error implements error.
func (e *VersionError) Error() string {
	return fmt.Sprintf("data directory %s was made by PostgreSQL %d and cannot be served by PostgreSQL %d: "+
		"install PostgreSQL %d, or remove the directory to begin with an empty one",
		e.DataDir, e.DataMajor, e.BinaryMajor, e.DataMajor)
}

// Config says what to run. The zero value is a temporary server of the newest
// PostgreSQL that is installed.
type Config struct {
	// DataDir is the directory that the cluster is kept in, together with its
	// password, log and locks. It and its parents are created when missing; if it
	// exists it must be empty or have been made by this package. [DefaultDataDir]
	// suggests one. Defaults to a directory among the temporary files that is
	// removed on Stop, and that a later temporary server removes if this
	// process is killed.
	DataDir string

	// BinDir is the directory with the programs initdb and postgres. Defaults
	// to the newest installation that [Find] returns, or, for a DataDir that
	// exists, to the newest of the version that made it.
	BinDir string

	// Version is the major version of PostgreSQL to run, such as 17. Defaults
	// to any, see BinDir.
	Version int

	// Port is the TCP port to listen on. Defaults to one that is free. It is
	// not used when Start attaches to a server that already runs.
	Port int

	// Fetch obtains server binaries when none are installed. It gets FetchDir
	// and returns the directory of the programs; it is called on each Start
	// that needs it and must itself remember what it already fetched.
	// The module embedded/fetchpg has one. Defaults to none: ErrNotFound.
	Fetch func(ctx context.Context, dir string) (binDir string, err error)

	// FetchDir is the directory that Fetch keeps binaries in. Defaults to a
	// directory beside those of [DefaultDataDir].
	FetchDir string

	// Parameters are settings of the server, as in postgresql.conf. The
	// settings listen_addresses, port, unix_socket_directories and
	// data_directory are taken by this package and refused. A temporary server
	// has fsync and full_page_writes off unless they are given here. Not used
	// when Start attaches to a server that already runs.
	Parameters map[string]string

	// Log gets a line for each step: what was found, made, started, stopped.
	// The server's own log is the file server.log in DataDir. Defaults to
	// no log.
	Log *slog.Logger
}

// reservedParameter says whether Config.Parameters may not have it.
func reservedParameter(name string) bool {
	switch strings.ToLower(name) {
	case "listen_addresses", "port", "unix_socket_directories", "data_directory":
		return true
	}
	return false
}

func (c Config) validate() error {
	for name := range c.Parameters {
		if reservedParameter(name) {
			return fmt.Errorf("parameter %s cannot be set: the embedded server chooses it (for a fixed port use Config.Port)", name)
		}
	}
	if c.Version != 0 && c.Version < OldestMajor {
		return fmt.Errorf("%w: version %d was asked for, the oldest supported is %d", ErrTooOld, c.Version, OldestMajor)
	}
	if c.Port < 0 || c.Port > 65535 {
		return fmt.Errorf("port %d is out of range: choose 1 to 65535, or 0 for a free one", c.Port)
	}
	return nil
}

// Start runs a server, or attaches to the one that already serves
// cfg.DataDir, and returns when it takes connections. Each Server that Start
// returns must be stopped.
//
// ctx limits the start only; the server outlives it. Starting takes about a
// second for a new cluster and less for an existing one, but as long as
// recovery needs after a crash. Errors are ErrNotFound, ErrTooOld,
// ErrUnsupported, ErrForeignDir, ErrUnreachable and *VersionError, wrapped, or
// what the server said.
func Start(ctx context.Context, cfg Config) (*Server, error) {
	if err := supported(); err != nil {
		return nil, err
	}
	if err := cfg.validate(); err != nil {
		return nil, fmt.Errorf("start embedded PostgreSQL: %w", err)
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	srv, err := start(ctx, cfg)
	if err != nil {
		return nil, fmt.Errorf("start embedded PostgreSQL: %w", err)
	}
	return srv, nil
}

func start(ctx context.Context, cfg Config) (*Server, error) {
	acct, err := serverAccount()
	if err != nil {
		return nil, err
	}
	c, err := openCluster(ctx, cfg, acct)
	if err != nil {
		return nil, err
	}
	srv := &Server{cfg: cfg, cluster: c}
	if err := srv.serve(ctx); err != nil {
		c.abandon()
		return nil, err
	}
	if err := c.gate.release(); err != nil {
		return nil, err
	}
	return srv, nil
}
