package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/rogpeppe/go-internal/testscript"

	"github.com/rowhouse/rowhouse/internal/pgtest"
)

// TestMain makes the test binary the program as well: the scripts start it under
// the name rowhouse.
func TestMain(m *testing.M) {
	if filepath.Base(os.Args[0]) == "rowhouse" {
		os.Exit(run())
	}
	pgtest.Main(m)
}

// TestScripts runs testdata/script. Each script has a database of its own, whose
// superuser is in DATABASE_URL. Besides testscript's commands it has:
//
//	exits CODE PROGRAM ARGS…          run a program that ends with the code
//	signals SIGNAL CODE ARGS…         run rowhouse, send it INT or TERM while the server
//	                                  is in pg_sleep for it, and see it end with the
//	                                  code and the statement end too
//	db STATEMENT                      run SQL as the superuser and print its first column
//	login VARIABLE [ATTRIBUTES]       make a login and put its URL into the variable
func TestScripts(t *testing.T) {
	t.Parallel()
	testscript.Run(t, testscript.Params{
		Dir:                filepath.Join("testdata", "script"),
		Setup:              setup,
		RequireUniqueNames: true,
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exits": exits, "signals": signals, "db": db, "login": login,
		},
	})
}

type testKey struct{}

func setup(env *testscript.Env) error {
	t := env.T().(testing.TB)
	env.Values[testKey{}] = t
	database := pgtest.Database(t)
	u, err := url.Parse(database)
	if err != nil {
		return err
	}
	env.Setenv("DATABASE_URL", database)
	env.Setenv("SUPERUSER", database) // for scripts that take DATABASE_URL away
	env.Setenv("HOST", u.Host)
	env.Setenv("DATABASE", strings.TrimPrefix(u.Path, "/"))
	env.Setenv("NO_COLOR", "1")
	env.Setenv("GORACE", "atexit_sleep_ms=0") // the race detector sleeps for a second at each exit
	program, err := os.Executable()
	if err != nil {
		return err
	}
	bin := t.TempDir()
	env.Setenv("PATH", bin+string(filepath.ListSeparator)+env.Getenv("PATH"))
	return os.Symlink(program, filepath.Join(bin, "rowhouse"))
}

func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits code program [args...]")
	}
	checkCode(ts, args[0], ts.Exec(args[1], args[2:]...))
}

func checkCode(ts *testscript.TestScript, want string, err error) {
	got := 0
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		got = exit.ExitCode()
	} else if err != nil {
		ts.Fatalf("%v", err)
	}
	if strconv.Itoa(got) != want {
		ts.Fatalf("exit code %d, want %s", got, want)
	}
}

func signals(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 3 {
		ts.Fatalf("usage: signals INT|TERM code args...")
	}
	program, err := exec.LookPath(strings.Split(ts.Getenv("PATH"), string(filepath.ListSeparator))[0] + "/rowhouse")
	ts.Check(err)
	cmd := exec.Command(program, args[2:]...)
	cmd.Env = []string{"DATABASE_URL=" + ts.Getenv("DATABASE_URL"), "NO_COLOR=1"}
	cmd.Dir = ts.MkAbs(".")
	cmd.Stdout, cmd.Stderr = ts.Stdout(), ts.Stderr()
	ts.Check(cmd.Start())
	if err := wait(ts, 1); err != nil {
		_ = cmd.Process.Kill()
		ts.Fatalf("%v", err)
	}
	signal := map[string]os.Signal{"INT": os.Interrupt, "TERM": syscall.SIGTERM}[args[0]]
	ts.Check(cmd.Process.Signal(signal))
	err = cmd.Wait()
	ts.Check(wait(ts, 0))
	checkCode(ts, args[1], err)
}

const sleepingSQL = `
SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND state = 'active' AND wait_event = 'PgSleep'`

// wait waits until so many statements are in pg_sleep.
func wait(ts *testscript.TestScript, want int) error {
	ctx, cancel := context.WithTimeout(ts.Value(testKey{}).(testing.TB).Context(), 30*time.Second)
	defer cancel()
	conn, err := pgx.Connect(ctx, ts.Getenv("SUPERUSER"))
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	for got := -1; got != want; {
		if err := conn.QueryRow(ctx, sleepingSQL).Scan(&got); err != nil {
			return fmt.Errorf("waiting for %d statements in pg_sleep, last seen %d: %w", want, got, err)
		}
	}
	return nil
}

func db(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: db statement")
	}
	ctx := ts.Value(testKey{}).(testing.TB).Context()
	conn, err := pgx.Connect(ctx, ts.Getenv("SUPERUSER"))
	ts.Check(err)
	defer func() { _ = conn.Close(ctx) }()
	results, err := conn.PgConn().Exec(ctx, args[0]).ReadAll()
	ts.Check(err)
	for _, result := range results {
		for _, row := range result.Rows {
			_, err := fmt.Fprintf(ts.Stdout(), "%s\n", row[0])
			ts.Check(err)
		}
	}
}

func login(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 {
		ts.Fatalf("usage: login variable [attributes]")
	}
	t := ts.Value(testKey{}).(testing.TB)
	raw := pgtest.Login(t, ts.Getenv("SUPERUSER"), strings.Join(args[1:], " "))
	u, err := url.Parse(raw)
	ts.Check(err)
	ts.Setenv(args[0], raw)
	ts.Setenv(args[0]+"_NAME", u.User.Username())
}
