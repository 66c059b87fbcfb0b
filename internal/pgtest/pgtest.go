// Package pgtest gives tests a real PostgreSQL: one temporary server for each
// test binary, and a database of its own for each test.
//
//	func TestMain(m *testing.M) { pgtest.Main(m) }
//
//	func TestSomething(t *testing.T) {
//		t.Parallel()
//		url := pgtest.Database(t)
//		...
//	}
//
// The server is started by [Main] from installed binaries, the newest or the
// major version in the environment variable ROWHOUSE_TEST_PG, and its address is
// kept in the environment, where the processes that a test starts find it.
// A machine without PostgreSQL fails the tests; nothing is skipped. Nothing is
// left behind by a normal run, and what a killed run left is removed by the next.
package pgtest

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/signal"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/rowhouse/rowhouse/embedded"
)

// VersionVariable is the environment variable with the major version of PostgreSQL to
// test with. Not set, it is the newest that is installed.
const VersionVariable = "ROWHOUSE_TEST_PG"

// serverVariable tells Database, in this process and its children, where the
// server of the test binary is. It holds the superuser's URL.
const serverVariable = "ROWHOUSE_TEST_SERVER"

// cleanupTime is how long putting one thing away may take.
const cleanupTime = 60 * time.Second

// Main runs the tests of a package with a server and exits. It is what TestMain
// calls. If the environment already names a server, as in a child of a test, it
// uses that.
func Main(m *testing.M) {
	os.Exit(run(m))
}

func run(m *testing.M) int {
	if os.Getenv(serverVariable) != "" {
		return m.Run()
	}
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer cancel()
	srv, err := startShared(ctx)
	if err != nil {
		fmt.Fprintln(os.Stderr, "these tests need PostgreSQL:", err)
		return 1
	}
	if err := os.Setenv(serverVariable, srv.URL("postgres")); err != nil {
		return fail(err, srv.Stop(ctx))
	}
	finished := make(chan int, 1)
	go func() { finished <- m.Run() }()
	select {
	case code := <-finished:
		if err := srv.Stop(ctx); err != nil {
			return fail(err)
		}
		return code
	case <-ctx.Done():
		return fail(errors.New("interrupted"), srv.Stop(ctx))
	}
}

func fail(errs ...error) int {
	fmt.Fprintln(os.Stderr, "pgtest:", errors.Join(errs...))
	return 1
}

// startShared starts the server of the test binary: many connections, nothing
// that has to survive.
func startShared(ctx context.Context) (*embedded.Server, error) {
	version, err := wantedVersion()
	if err != nil {
		return nil, err
	}
	return embedded.Start(ctx, embedded.Config{
		Version: version,
		Parameters: map[string]string{
			"max_connections":    "300",
			"synchronous_commit": "off",
			"wal_level":          "minimal",
			"max_wal_senders":    "0",
			"log_min_messages":   "log", // tests provoke errors by the thousand
		},
	})
}

func wantedVersion() (int, error) {
	text := os.Getenv(VersionVariable)
	if text == "" {
		return 0, nil
	}
	version, err := strconv.Atoi(text)
	if err != nil {
		return 0, fmt.Errorf("%s is %q: set it to a major version, such as 15", VersionVariable, text)
	}
	return version, nil
}

// Server returns the superuser's URL of database "postgres" on the server that Main started.
func Server(t testing.TB) string {
	t.Helper()
	// "go test" takes a cached result only if the variables that tests read are
	// the same. It did not see what Main read.
	_, _ = os.LookupEnv(VersionVariable)
	_, _ = os.LookupEnv(embedded.BinVariable)
	server := os.Getenv(serverVariable)
	if server == "" {
		t.Fatal("pgtest: there is no server: add func TestMain(m *testing.M) { pgtest.Main(m) } to the package")
	}
	return server
}

// inDatabase returns the URL of another database of the same server and login.
func inDatabase(t testing.TB, server, database string) string {
	t.Helper()
	u := parse(t, server)
	u.Path = "/" + database
	return u.String()
}

func parse(t testing.TB, text string) *url.URL {
	t.Helper()
	u, err := url.Parse(text)
	if err != nil {
		t.Fatalf("pgtest: read server URL: %v", err)
	}
	return u
}

// connect opens a connection for one use; the caller closes it.
func connect(ctx context.Context, t testing.TB, url string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		t.Fatalf("pgtest: connect: %v", err)
	}
	return conn
}
