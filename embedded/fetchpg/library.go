package fetchpg

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	embeddedpostgres "github.com/fergusstrange/embedded-postgres"
)

type pgRelease = embeddedpostgres.PostgresVersion

// release returns the release that is fetched for a major version.
func release(major int) (pgRelease, error) {
	switch major {
	case 0, 18:
		return embeddedpostgres.V18, nil
	case 17:
		return embeddedpostgres.V17, nil
	case 16:
		return embeddedpostgres.V16, nil
	case 15:
		return embeddedpostgres.V15, nil
	}
	return "", fmt.Errorf("PostgreSQL %d: %w: choose 15 to 18", major, ErrUnsupported)
}

// The library's Start downloads, unpacks, runs initdb unless the data directory
// looks like one of the same version, and runs pg_ctl. Here the data directory
// has nothing but its PG_VERSION, so that initdb is not run and pg_ctl fails at
// once, for root and for everybody else. That this is how Start failed tells
// that all before it went well.
const failedAfterUnpacking = "could not start postgres using"

// unpack leads the library to that point and returns the directory with bin,
// lib and share.
func unpack(scratch, repository string, version pgRelease) (dir string, err error) {
	data, dir := filepath.Join(scratch, "data"), filepath.Join(scratch, "postgresql")
	if err := os.Mkdir(data, 0o700); err != nil {
		return "", fmt.Errorf("make a scratch data directory: %w", err)
	}
	if err := os.WriteFile(filepath.Join(data, "PG_VERSION"), []byte(version), 0o600); err != nil {
		return "", fmt.Errorf("make a scratch data directory: %w", err)
	}
	config := embeddedpostgres.DefaultConfig().
		Version(version).
		Port(0). // always free, and never used
		CachePath(filepath.Join(scratch, "cache")).
		RuntimePath(filepath.Join(scratch, "runtime")).
		BinariesPath(dir).
		DataPath(data).
		Logger(io.Discard)
	if repository != "" {
		config = config.BinaryRepositoryURL(strings.TrimSuffix(repository, "/"))
	}
	if err := run(embeddedpostgres.NewDatabase(config)); err != nil {
		return "", err
	}
	return dir, nil
}

// run returns nil if Start failed in the way that is wanted.
func run(server *embeddedpostgres.EmbeddedPostgres) (err error) {
	defer func() {
		if p := recover(); p != nil { // the library panics when it cannot clean up
			err = fmt.Errorf("download or unpack: %v", p)
		}
	}()
	defer runtime.KeepAlive(server) // and so its log file open
	defer removeLog()
	err = server.Start()
	if err == nil {
		return errors.Join(errors.New("a server was started where none could be: update fetchpg for this version of its library"), server.Stop())
	}
	if strings.HasPrefix(err.Error(), failedAfterUnpacking) {
		return nil
	}
	return err
}

// removeLog removes the log that the library makes among the temporary files
// and leaves there. It is known by being open in this process.
func removeLog() {
	logs, err := filepath.Glob(filepath.Join(os.TempDir(), "embedded_postgres_log*"))
	if err != nil {
		return
	}
	descriptors, err := filepath.Glob("/dev/fd/*")
	if err != nil {
		return
	}
	for _, descriptor := range descriptors {
		mine, err := os.Stat(descriptor)
		if err != nil {
			continue
		}
		for _, log := range logs {
			if info, err := os.Lstat(log); err == nil && os.SameFile(mine, info) {
				_ = os.Remove(log) // it is in nobody's way
			}
		}
	}
}
