package pgtest

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// PgBouncerVariable is the environment variable that names a PgBouncer of version
// 1.21 or later. "make test" sets it; scripts/test-deps.sh prints it.
const PgBouncerVariable = "ROWHOUSE_PGBOUNCER"

// PgBouncerNew is [PgBouncer] with version 1.21 or later and its support of
// prepared statements, max_prepared_statements, switched on: the program that
// ROWHOUSE_PGBOUNCER names, else the installed one if that is new enough, else the
// one that scripts/test-deps.sh has put into its cache. A machine without one fails
// the test.
func PgBouncerNew(t testing.TB, url, options string) string {
	t.Helper()
	return runPgBouncer(t, newPgBouncer, url, "max_prepared_statements = 100\n"+options)
}

// newPgBouncer finds a PgBouncer that knows max_prepared_statements.
func newPgBouncer() (string, error) {
	if program := os.Getenv(PgBouncerVariable); program != "" {
		return program, isNew(program)
	}
	var why error
	if program, err := installedPgBouncer(); err != nil {
		why = err
	} else if why = isNew(program); why == nil {
		return program, nil
	}
	if program := filepath.Join(cache(), "pgbouncer", "bin", "pgbouncer"); isNew(program) == nil {
		return program, nil
	}
	return "", fmt.Errorf("%w; run scripts/test-deps.sh, as \"make test\" does, or set %s to one of 1.21 or later", why, PgBouncerVariable)
}

func isNew(program string) error {
	version, err := pgBouncerVersion(program)
	if err == nil && version < 21 {
		err = fmt.Errorf("%s is version 1.%d", program, version)
	}
	return err
}

// cache is the directory that scripts/test-deps.sh keeps programs in.
func cache() string {
	if dir := os.Getenv("ROWHOUSE_CACHE"); dir != "" {
		return dir
	}
	if os.Geteuid() == 0 {
		return "/var/cache/rowhouse"
	}
	dir := os.Getenv("XDG_CACHE_HOME")
	if dir == "" {
		dir = filepath.Join(os.Getenv("HOME"), ".cache")
	}
	return filepath.Join(dir, "rowhouse")
}

// pgBouncerVersion returns the 21 of PgBouncer 1.21.0.
func pgBouncerVersion(program string) (int, error) {
	out, err := exec.Command(program, "--version").Output()
	if err != nil {
		return 0, fmt.Errorf("%s --version: %w", program, err)
	}
	first, _, _ := strings.Cut(string(out), "\n") // PgBouncer 1.24.1
	parts := strings.Split(strings.TrimPrefix(first, "PgBouncer "), ".")
	if len(parts) < 2 || parts[0] != "1" {
		return 0, fmt.Errorf("%s --version says %q", program, first)
	}
	return strconv.Atoi(parts[1])
}
