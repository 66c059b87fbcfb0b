//go:build linux || darwin

package pgtest_test

import (
	"errors"
	"os"
	osexec "os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/rowhouse/rowhouse/internal/pgtest"
)

// A prepared statement with a name works on whatever backend a transaction gets:
// only a PgBouncer that follows prepared statements can do that.
func TestPgBouncerNewFollowsPreparedStatements(t *testing.T) {
	t.Parallel()
	url := pgtest.Database(t)
	through := pgtest.PgBouncerNew(t, url, "default_pool_size = 2")
	prepared, other := open(t, through, t.Context()), open(t, through, t.Context())
	const sql = "SELECT pg_backend_pid()"
	if _, err := prepared.Prepare(t.Context(), "named", sql); err != nil {
		t.Fatal(err)
	}
	backends := map[int]bool{}
	for range 2 {
		var backend int
		if err := prepared.QueryRow(t.Context(), "named").Scan(&backend); err != nil {
			t.Fatal(err)
		}
		backends[backend] = true
		// The other client holds the backend that was just used.
		if _, err := other.Exec(t.Context(), "BEGIN", pgx.QueryExecModeSimpleProtocol); err != nil {
			t.Fatal(err)
		}
	}
	if len(backends) != 2 {
		t.Errorf("the statement ran on %d backends, want 2: the test proves nothing", len(backends))
	}
}

// TestOldPgBouncerFails runs the test above with a program that says it is too old,
// and with one that is not there.
func TestOldPgBouncerFails(t *testing.T) {
	t.Parallel()
	old := filepath.Join(t.TempDir(), "pgbouncer")
	if err := os.WriteFile(old, []byte("#!/bin/sh\necho PgBouncer 1.20.1\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	for program, want := range map[string]string{old: "version 1.20", old + "-gone": "no such file"} {
		cmd := osexec.Command(os.Args[0], "-test.run=^TestPgBouncerNew")
		cmd.Env = append(os.Environ(), pgtest.PgBouncerVariable+"="+program)
		out, err := cmd.CombinedOutput()
		var exit *osexec.ExitError
		if !errors.As(err, &exit) || !strings.Contains(string(out), want) {
			t.Errorf("%s: got %v, %s; want a failure that tells %q", program, err, out, want)
		}
	}
}
