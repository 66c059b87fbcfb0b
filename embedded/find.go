package embedded

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Installation is one set of PostgreSQL server binaries.
type Installation struct {
	// BinDir is the directory with initdb, pg_ctl and postgres.
	BinDir string
	// Version is what the server calls itself, such as "17.5" or "19beta1".
	Version string
	// Major is the major version, such as 17.
	Major int

	minor int
}

// program returns the path of one of the binaries.
func (i Installation) program(name string) string { return filepath.Join(i.BinDir, name) }

// Find returns the PostgreSQL server binaries on this machine, newest version
// first, at least one. Those older than [OldestMajor] are left out.
//
// It looks in the directories of the environment variable ROWHOUSE_PG_BIN, in
// PATH, where pg_config says, and where Debian, Red Hat, Homebrew and
// Postgres.app put them. Of equal versions the one that comes earlier
// in this list is first. Errors are ErrNotFound, ErrTooOld and ErrUnsupported,
// wrapped.
func Find(ctx context.Context) ([]Installation, error) {
	if err := supported(); err != nil {
		return nil, err
	}
	return findIn(ctx, candidates(ctx))
}

// findIn is Find over a list of directories.
func findIn(ctx context.Context, places []string) ([]Installation, error) {
	var found, old []Installation
	seen := make(map[string]bool)
	for _, dir := range places {
		real, err := filepath.EvalSymlinks(filepath.Join(dir, "postgres"))
		if err != nil || seen[real] {
			continue
		}
		seen[real] = true
		inst, err := inspect(ctx, dir)
		switch {
		case errors.Is(err, ErrTooOld):
			old = append(old, inst)
		case err == nil:
			found = append(found, inst)
		case ctx.Err() != nil:
			return nil, fmt.Errorf("look for PostgreSQL: %w", context.Cause(ctx))
		}
	}
	if len(found) == 0 {
		return nil, nothingFound(places, old)
	}
	slices.SortStableFunc(found, func(a, b Installation) int {
		return cmp.Or(cmp.Compare(b.Major, a.Major), cmp.Compare(b.minor, a.minor))
	})
	return found, nil
}

const howToInstall = `on Debian or Ubuntu "apt-get install postgresql", on Red Hat or Fedora ` +
	`"dnf install postgresql-server", on macOS "brew install postgresql"; or set ` + BinVariable +
	` to the directory with initdb and postgres`

func nothingFound(places []string, old []Installation) error {
	if len(old) > 0 {
		return fmt.Errorf("%w: %s has version %s, the oldest supported is %d: install a newer one: %s",
			ErrTooOld, old[0].BinDir, old[0].Version, OldestMajor, howToInstall)
	}
	return fmt.Errorf("%w: looked in %s; install it: %s", ErrNotFound, strings.Join(places, ", "), howToInstall)
}

// candidates returns the directories to look at, in order. Patterns that match
// nothing stay in as they are, so that a message can name them.
func candidates(ctx context.Context) []string {
	places := filepath.SplitList(os.Getenv(BinVariable))
	for i, dir := range places {
		if abs, err := filepath.Abs(dir); err == nil && dir != "" {
			places[i] = abs
		}
	}
	places = append(places, filepath.SplitList(os.Getenv("PATH"))...)
	if out, err := exec.CommandContext(ctx, "pg_config", "--bindir").Output(); err == nil {
		places = append(places, strings.TrimSpace(string(out)))
	}
	for _, pattern := range []string{
		"/usr/lib/postgresql/*/bin",
		"/usr/pgsql-*/bin",
		"/opt/homebrew/opt/postgresql@*/bin",
		"/usr/local/opt/postgresql@*/bin",
		"/Applications/Postgres.app/Contents/Versions/*/bin",
	} {
		matches, err := filepath.Glob(pattern)
		if err != nil || len(matches) == 0 {
			matches = []string{pattern}
		}
		places = append(places, matches...)
	}
	// A relative directory in PATH is whatever the current directory has.
	places = slices.DeleteFunc(places, func(dir string) bool { return !filepath.IsAbs(dir) })
	return dedupe(places)
}

func dedupe(list []string) []string {
	seen := make(map[string]bool, len(list))
	return slices.DeleteFunc(list, func(s string) bool {
		before := seen[s]
		seen[s] = true
		return before
	})
}

// inspect looks at the binaries in dir. The installation is also returned with
// ErrTooOld.
func inspect(ctx context.Context, dir string) (Installation, error) {
	for _, program := range []string{"initdb", "pg_ctl", "postgres"} {
		if _, err := exec.LookPath(filepath.Join(dir, program)); err != nil {
			return Installation{}, fmt.Errorf("%w: %s has no program %s: install the server's package, not only the client's",
				ErrNotFound, dir, program)
		}
	}
	out, err := exec.CommandContext(ctx, filepath.Join(dir, "postgres"), "--version").Output()
	if err != nil {
		return Installation{}, fmt.Errorf("ask %s for its version: %w", filepath.Join(dir, "postgres"), describeExit(err))
	}
	inst, err := parseVersion(string(out))
	if err != nil {
		return Installation{}, fmt.Errorf("ask %s for its version: %w", filepath.Join(dir, "postgres"), err)
	}
	inst.BinDir = dir
	if inst.Major < OldestMajor {
		return inst, fmt.Errorf("%w: %s has version %s, the oldest supported is %d", ErrTooOld, dir, inst.Version, OldestMajor)
	}
	return inst, nil
}

// parseVersion reads a line such as "postgres (PostgreSQL) 15.13 (Debian 15.13-0)".
func parseVersion(line string) (Installation, error) {
	m := regexp.MustCompile(`\(PostgreSQL\) ((\d+)(?:\.(\d+))?[^\s]*)`).FindStringSubmatch(line)
	if m == nil {
		return Installation{}, fmt.Errorf("the answer %q has no version of PostgreSQL", strings.TrimSpace(line))
	}
	major, err := strconv.Atoi(m[2])
	if err != nil {
		return Installation{}, fmt.Errorf("read version %q: %w", m[1], err)
	}
	minor := -1 // a beta comes before the release
	if m[3] != "" {
		if minor, err = strconv.Atoi(m[3]); err != nil {
			return Installation{}, fmt.Errorf("read version %q: %w", m[1], err)
		}
	}
	return Installation{Version: m[1], Major: major, minor: minor}, nil
}

// describeExit adds what a program wrote to its standard error.
func describeExit(err error) error {
	var exit *exec.ExitError
	if errors.As(err, &exit) && len(exit.Stderr) > 0 {
		return fmt.Errorf("%w: %s", err, strings.TrimSpace(string(exit.Stderr)))
	}
	return err
}
