//go:build linux || darwin

package pgtest_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	osexec "os/exec"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/rowhouse/rowhouse/internal/pgtest"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

func TestDatabaseIsEmptyAndOwn(t *testing.T) {
	t.Parallel()
	one, two := pgtest.Database(t), pgtest.Database(t)
	if one == two {
		t.Fatalf("two databases have one URL %s", one)
	}
	exec(t, one, "CREATE TABLE public.things (id int)")
	tables := query[int](t, two, "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'")
	if tables != 0 {
		t.Errorf("a new database has %d tables", tables)
	}
	if !query[bool](t, one, "SELECT rolsuper FROM pg_roles WHERE rolname = current_user") {
		t.Error("the login of a new database is no superuser")
	}
}

// TestVersion fails if ROWHOUSE_TEST_PG is not obeyed.
func TestVersion(t *testing.T) {
	t.Parallel()
	got := query[int](t, pgtest.Server(t), "SELECT current_setting('server_version_num')::int / 10000")
	if want := os.Getenv(pgtest.VersionVariable); want != "" && want != strconv.Itoa(got) {
		t.Errorf("tests run on PostgreSQL %d, want %s", got, want)
	}
}

// TestMissingPostgreSQLFails runs this test binary with a version that nobody has.
func TestMissingPostgreSQLFails(t *testing.T) {
	t.Parallel()
	cmd := osexec.Command(os.Args[0], "-test.run=^TestVersion$")
	cmd.Env = append(os.Environ(), pgtest.VersionVariable+"=99", "ROWHOUSE_TEST_SERVER=")
	out, err := cmd.CombinedOutput()
	var exit *osexec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 1 {
		t.Errorf("exit is %v, want code 1", err)
	}
	for _, part := range []string{"these tests need PostgreSQL", "99"} {
		if !strings.Contains(string(out), part) {
			t.Errorf("output %q does not tell %q", out, part)
		}
	}
}

func TestDatabaseGoesAwayWithItsRoles(t *testing.T) {
	t.Parallel()
	server := pgtest.Server(t)
	var names []string
	t.Run("use", func(t *testing.T) {
		url := pgtest.Database(t)
		oid := query[uint32](t, url, "SELECT oid FROM pg_database WHERE datname = current_database()")
		names = append(names, query[string](t, url, "SELECT current_database()"))
		login := pgtest.Login(t, url, "CREATEROLE")
		names = append(names, query[string](t, login, "SELECT current_user"))
		role, member := fmt.Sprintf("rh_%d_a", oid), fmt.Sprintf("rh_%d_b", oid)
		names = append(names, role, member)
		exec(t, login, "CREATE ROLE "+role, "CREATE ROLE "+member, "GRANT "+role+" TO "+member)
		exec(t, url, "CREATE SCHEMA x AUTHORIZATION "+role, "GRANT CREATE ON DATABASE "+names[0]+" TO "+names[1])
		open(t, url, context.Background()) // left open: FORCE has to end it
	})
	conn := open(t, server, t.Context())
	for _, name := range names {
		var found bool
		const sql = `SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = $1) OR EXISTS (SELECT FROM pg_database WHERE datname = $1)`
		if err := conn.QueryRow(t.Context(), sql, name).Scan(&found); err != nil {
			t.Fatal(err)
		}
		if found {
			t.Errorf("%s is still there after the test", name)
		}
	}
}

func TestLoginHasOnlyItsAttributes(t *testing.T) {
	t.Parallel()
	url := pgtest.Database(t)
	const mayCreate = "SELECT rolcreaterole FROM pg_roles WHERE rolname = current_user"
	const isSuper = "SELECT rolsuper FROM pg_roles WHERE rolname = current_user"
	plain, creator := pgtest.Login(t, url, ""), pgtest.Login(t, url, "CREATEROLE")
	if plain == creator {
		t.Error("two logins are the same")
	}
	for login, want := range map[string]bool{plain: false, creator: true} {
		if got := query[bool](t, login, mayCreate); got != want {
			t.Errorf("login has CREATEROLE %t, want %t", got, want)
		}
		if query[bool](t, login, isSuper) {
			t.Error("login is a superuser")
		}
	}
}

func TestPgBouncerPoolsTransactions(t *testing.T) {
	t.Parallel()
	url := pgtest.Database(t)
	through := pgtest.PgBouncer(t, url, "default_pool_size = 1")
	const backend = "SELECT pg_backend_pid()"
	one, two := open(t, through, t.Context()), open(t, through, t.Context())
	if a, b := queryOn[int](t, one, backend), queryOn[int](t, two, backend); a != b {
		t.Errorf("two clients got the backends %d and %d from a pool of one", a, b)
	}
	login := pgtest.Login(t, url, "")
	if direct, pooled := query[string](t, login, "SELECT current_user"),
		query[string](t, atPort(t, login, through), "SELECT current_user"); direct != pooled {
		t.Errorf("login %s is %s through PgBouncer", direct, pooled)
	}
}

func TestPgBouncerRefusesWrongPassword(t *testing.T) {
	t.Parallel()
	url := pgtest.Database(t)
	through := pgtest.PgBouncer(t, url, "")
	config, err := pgx.ParseConfig(through)
	if err != nil {
		t.Fatal(err)
	}
	config.Password += "x"
	conn, err := pgx.ConnectConfig(t.Context(), config)
	if err == nil {
		conn.Close(t.Context())
		t.Fatal("PgBouncer lets in a wrong password")
	}
}

func TestPgBouncerEndsWithTest(t *testing.T) {
	t.Parallel()
	url := pgtest.Database(t)
	var through string
	t.Run("use", func(t *testing.T) { through = pgtest.PgBouncer(t, url, "") })
	conn, err := pgx.Connect(t.Context(), through)
	if err == nil {
		conn.Close(t.Context())
		t.Error("PgBouncer still runs after its test")
	}
}

func TestClusterSurvivesKill(t *testing.T) {
	t.Parallel()
	srv := pgtest.Cluster(t, "wal_level=logical", "max_locks_per_transaction=64")
	url := srv.URL("postgres")
	exec(t, url, "CREATE TABLE kept (id int)", "INSERT INTO kept VALUES (7)")
	if got := query[string](t, url, "SHOW wal_level"); got != "logical" {
		t.Errorf("wal_level is %s, want logical", got)
	}
	if err := syscall.Kill(srv.PID(), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := srv.Restart(ctx); err != nil {
		t.Fatal(err)
	}
	if got := srv.URL("postgres"); got != url {
		t.Errorf("URL after a restart is %s, was %s", got, url)
	}
	if got := query[int](t, url, "SELECT id FROM kept"); got != 7 {
		t.Errorf("found %d after the crash, want 7", got)
	}
}

func TestClusterGoesAwayWithTest(t *testing.T) {
	t.Parallel()
	var dir, url string
	t.Run("use", func(t *testing.T) {
		srv := pgtest.Cluster(t)
		dir, url = srv.DataDir(), srv.URL("postgres")
	})
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("data directory %s is still there: %v", dir, err)
	}
	if _, err := pgx.Connect(t.Context(), url); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("connecting to a cluster that is gone: %v", err)
	}
}

// TestManyAtOnce has more tests at once than a server of default settings has
// connections for.
func TestManyAtOnce(t *testing.T) {
	t.Parallel()
	for i := range 40 {
		t.Run(strconv.Itoa(i), func(t *testing.T) {
			t.Parallel()
			exec(t, pgtest.Database(t), "CREATE TABLE t (id int)")
		})
	}
}

func open(t *testing.T, url string, ctx context.Context) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn
}

func exec(t *testing.T, url string, statements ...string) {
	t.Helper()
	conn := open(t, url, t.Context())
	for _, sql := range statements {
		if _, err := conn.Exec(t.Context(), sql); err != nil {
			t.Fatalf("%s: %v", sql, err)
		}
	}
}

func query[T any](t *testing.T, url, sql string) T {
	t.Helper()
	return queryOn[T](t, open(t, url, t.Context()), sql)
}

func queryOn[T any](t *testing.T, conn *pgx.Conn, sql string) (value T) {
	t.Helper()
	err := conn.QueryRow(t.Context(), sql, pgx.QueryExecModeSimpleProtocol).Scan(&value)
	var pgErr *pgconn.PgError
	if errors.As(err, &pgErr) {
		t.Fatalf("%s: %s", sql, pgErr.Message)
	}
	if err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return value
}

// atPort returns url with the host and port of other.
func atPort(t *testing.T, url, other string) string {
	t.Helper()
	host := func(u string) string {
		parts := strings.FieldsFunc(u, func(r rune) bool { return r == '@' || r == '/' })
		return parts[slices.IndexFunc(parts, func(p string) bool { return strings.HasPrefix(p, "127.0.0.1:") })]
	}
	return strings.Replace(url, host(url), host(other), 1)
}
