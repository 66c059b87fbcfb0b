//go:build linux || darwin

package embedded_test

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/rowhouse/rowhouse/embedded"
)

func TestTemporaryServer(t *testing.T) {
	t.Parallel()
	srv := start(t, embedded.Config{})
	if got := query[string](t, srv, "SHOW fsync"); got != "off" {
		t.Errorf("fsync is %s in a temporary server, want off", got)
	}
	if got := query[int](t, srv, "SELECT current_setting('server_version_num')::int / 10000"); got != srv.Version() {
		t.Errorf("Version is %d, the server says %d", srv.Version(), got)
	}
	if srv.Attached() {
		t.Error("a new server says that it was running before")
	}
	for range 2 { // the second has nothing to do
		if err := srv.Stop(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := os.Stat(srv.DataDir()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("temporary directory is still there: %v", err)
	}
	assertDown(t, srv)
}

func TestKeptServer(t *testing.T) {
	t.Parallel()
	cfg := embedded.Config{DataDir: dataDir(t)}
	first := start(t, cfg)
	query[string](t, first, "CREATE TABLE kept AS SELECT 7 AS id; SHOW fsync")
	stop(t, first)
	assertDown(t, first)
	second := start(t, cfg)
	if got := query[int](t, second, "SELECT id FROM kept"); got != 7 {
		t.Errorf("found %d after stop and start, want 7", got)
	}
	if got := query[string](t, second, "SHOW fsync"); got != "on" {
		t.Errorf("fsync is %s in a server that is kept, want on", got)
	}
}

func TestOnlyThePasswordOpens(t *testing.T) {
	t.Parallel()
	srv := start(t, embedded.Config{DataDir: dataDir(t)})
	config, err := pgx.ParseConfig(srv.URL("postgres"))
	if err != nil {
		t.Fatal(err)
	}
	config.Password = "guess"
	_, err = pgx.ConnectConfig(t.Context(), config)
	var pgErr *pgconn.PgError
	if !errors.As(err, &pgErr) || pgErr.Code != "28P01" {
		t.Errorf("a wrong password gives %v, want 28P01", err)
	}
	const sql = `SELECT coalesce(string_agg(DISTINCT auth_method, ' '), '') FROM pg_hba_file_rules`
	if got := query[string](t, srv, sql); got != "scram-sha-256" {
		t.Errorf("the server lets in by %q, want scram-sha-256 only", got)
	}
	if got := query[string](t, srv, "SHOW unix_socket_directories"); got != "" {
		t.Errorf("the server has sockets in %q", got)
	}
	for name, want := range map[string]os.FileMode{"password": 0o600, "data": 0o700, "server.log": 0o600} {
		info, err := os.Stat(filepath.Join(srv.DataDir(), name))
		if err != nil {
			t.Fatal(err)
		}
		if got := info.Mode().Perm(); got != want {
			t.Errorf("%s has mode %04o, want %04o", name, got, want)
		}
	}
}

func TestServerIsOutOfReachOfCtrlC(t *testing.T) {
	t.Parallel()
	srv := start(t, embedded.Config{})
	group, err := syscall.Getpgid(srv.PID())
	if err != nil {
		t.Fatal(err)
	}
	if group == syscall.Getpgrp() {
		t.Error("the server is in the process group of its program, so Ctrl-C stops it first")
	}
}

func TestForeignDirectoryIsLeftAlone(t *testing.T) {
	t.Parallel()
	dir := dataDir(t)
	precious := filepath.Join(dir, "data", "precious")
	if err := os.MkdirAll(filepath.Dir(precious), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(precious, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := embedded.Start(t.Context(), embedded.Config{DataDir: dir})
	if !errors.Is(err, embedded.ErrForeignDir) || !strings.Contains(err.Error(), dir) {
		t.Errorf("error is %v, want ErrForeignDir with the name", err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 1 {
		t.Errorf("the directory now holds %v (%v)", entries, err)
	}
	if _, err := os.Stat(precious); err != nil {
		t.Error(err)
	}
}

func TestParameters(t *testing.T) {
	t.Parallel()
	srv := start(t, embedded.Config{Parameters: map[string]string{"search_path": `"a b", 'c'`, "fsync": "on"}})
	if got := query[string](t, srv, "SHOW search_path"); got != `"a b", 'c'` {
		t.Errorf("search_path is %s", got)
	}
	if got := query[string](t, srv, "SHOW fsync"); got != "on" {
		t.Errorf("fsync is %s, want on as configured", got)
	}
	for _, name := range []string{"port", "listen_addresses", "Unix_Socket_Directories"} {
		_, err := embedded.Start(t.Context(), embedded.Config{Parameters: map[string]string{name: "1"}})
		if err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("parameter %s: error is %v, want one with its name", name, err)
		}
	}
}

func TestServerThatDoesNotStartTellsWhy(t *testing.T) {
	t.Parallel()
	dir := dataDir(t)
	_, err := embedded.Start(t.Context(), embedded.Config{DataDir: dir, Parameters: map[string]string{"no_such_thing": "1"}})
	if err == nil || !strings.Contains(err.Error(), "no_such_thing") {
		t.Errorf("error is %v, want what the server said", err)
	}
	start(t, embedded.Config{DataDir: dir}) // and it does no harm
}

func TestPort(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	port := l.Addr().(*net.TCPAddr).Port
	_, err = embedded.Start(t.Context(), embedded.Config{Port: port})
	if err == nil || !strings.Contains(err.Error(), "could not bind") {
		t.Errorf("on a port that is taken the error is %v", err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if srv := start(t, embedded.Config{Port: port}); srv.Port() != port {
		t.Errorf("port is %d, want %d", srv.Port(), port)
	}
}

func TestOtherMajorVersion(t *testing.T) {
	t.Parallel()
	cfg := embedded.Config{DataDir: dataDir(t)}
	srv := start(t, cfg)
	made := srv.Version()
	var mismatch *embedded.VersionError
	_, err := embedded.Start(t.Context(), embedded.Config{DataDir: cfg.DataDir, Version: made + 1})
	if !errors.As(err, &mismatch) || mismatch.DataMajor != made || mismatch.BinaryMajor != made+1 {
		t.Errorf("attaching as version %d to %d gives %v", made+1, made, err)
	}
	stop(t, srv)
	_, err = embedded.Start(t.Context(), embedded.Config{DataDir: cfg.DataDir, Version: made + 1})
	if !errors.As(err, &mismatch) || mismatch.DataMajor != made || mismatch.BinaryMajor != made+1 {
		t.Errorf("starting as version %d what %d made gives %v", made+1, made, err)
	}
	if err := os.WriteFile(filepath.Join(srv.DataDir(), "data", "PG_VERSION"), []byte("77\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err = embedded.Start(t.Context(), cfg)
	if !errors.As(err, &mismatch) || mismatch.DataMajor != 77 || !strings.Contains(err.Error(), "install PostgreSQL 77") {
		t.Errorf("starting what version 77 made gives %v", err)
	}
}

// TestEveryInstalledVersion makes a cluster with each major version that is
// installed and starts it again with no version given.
func TestEveryInstalledVersion(t *testing.T) {
	t.Parallel()
	found, err := embedded.Find(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, inst := range found {
		dir := dataDir(t)
		srv := start(t, embedded.Config{DataDir: dir, BinDir: inst.BinDir})
		if got := query[int](t, srv, "SELECT count(*) FROM pg_tablespace WHERE lower('Ä') = 'ä'"); got == 0 {
			t.Errorf("PostgreSQL %s does not know Unicode", inst.Version)
		}
		stop(t, srv)
		if srv = start(t, embedded.Config{DataDir: dir}); srv.Version() != inst.Major {
			t.Errorf("data of version %d is served by %d", inst.Major, srv.Version())
		}
	}
}

func TestFetch(t *testing.T) {
	t.Parallel()
	found, err := embedded.Find(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	const absent = 99
	asked := ""
	cfg := embedded.Config{Version: absent, FetchDir: "/fetched"}
	cfg.Fetch = func(_ context.Context, dir string) (string, error) {
		asked = dir
		return found[0].BinDir, nil
	}
	if _, err = embedded.Start(t.Context(), cfg); !errors.Is(err, embedded.ErrNotFound) {
		t.Errorf("fetching the wrong version gives %v, want ErrNotFound", err)
	}
	if asked != "/fetched" {
		t.Errorf("fetched to %q, want FetchDir", asked)
	}
	broken := errors.New("broken")
	cfg.Fetch = func(context.Context, string) (string, error) { return "", broken }
	if _, err = embedded.Start(t.Context(), cfg); !errors.Is(err, broken) {
		t.Errorf("a failed fetch gives %v, want its error", err)
	}
}

func TestConfigIsChecked(t *testing.T) {
	t.Parallel()
	if _, err := embedded.Start(t.Context(), embedded.Config{Version: 14}); !errors.Is(err, embedded.ErrTooOld) {
		t.Errorf("version 14 gives %v, want ErrTooOld", err)
	}
	if _, err := embedded.Start(t.Context(), embedded.Config{Port: 70000}); err == nil {
		t.Error("port 70000 is accepted")
	}
}

func TestDefaultDataDir(t *testing.T) {
	t.Parallel()
	dir, err := embedded.DefaultDataDir("demo")
	if err != nil {
		t.Fatal(err)
	}
	if !filepath.IsAbs(dir) || filepath.Base(dir) != "demo" {
		t.Errorf("directory is %s", dir)
	}
	if os.Geteuid() == 0 && dir != "/var/lib/rowhouse/demo" {
		t.Errorf("root's directory is %s, which the server's user may not reach", dir)
	}
	for _, name := range []string{"", "..", "a/b", ".binaries", "Demo"} {
		if dir, err := embedded.DefaultDataDir(name); err == nil {
			t.Errorf("name %q gives %s, want an error", name, dir)
		}
	}
}

// TestClosedDirectory is about root, whose server runs as somebody else.
func TestClosedDirectory(t *testing.T) {
	t.Parallel()
	closed := filepath.Join(passable(t), "closed")
	if err := os.MkdirAll(closed, 0o700); err != nil {
		t.Fatal(err)
	}
	cfg := embedded.Config{DataDir: filepath.Join(closed, "pg")}
	if os.Geteuid() != 0 {
		start(t, cfg) // its own user has no trouble
		return
	}
	_, err := embedded.Start(t.Context(), cfg)
	if !errors.Is(err, embedded.ErrUnreachable) || !strings.Contains(err.Error(), "may not enter "+closed+" ") {
		t.Errorf("error is %v, want ErrUnreachable with %s", err, closed)
	}
	if err := os.Chmod(closed, 0o711); err != nil {
		t.Fatal(err)
	}
	start(t, cfg)
}

// dataDir returns the name of a directory that does not exist yet.
func dataDir(t *testing.T) string {
	t.Helper()
	return filepath.Join(passable(t), "a", "b")
}

func start(t *testing.T, cfg embedded.Config) *embedded.Server {
	t.Helper()
	srv, err := embedded.Start(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := srv.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return srv
}

func stop(t *testing.T, srv *embedded.Server) {
	t.Helper()
	if err := srv.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func query[T any](t *testing.T, srv *embedded.Server, sql string) T {
	t.Helper()
	return queryURL[T](t, srv.URL("postgres"), sql)
}

// queryURL runs statements and returns the value of the last.
func queryURL[T any](t *testing.T, url, sql string) (value T) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	statements := strings.Split(sql, ";")
	last := len(statements) - 1
	for _, s := range statements[:last] {
		if _, err := conn.Exec(t.Context(), s); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
	}
	if err := conn.QueryRow(t.Context(), statements[last]).Scan(&value); err != nil {
		t.Fatalf("%s: %v", statements[last], err)
	}
	return value
}

func assertDown(t *testing.T, srv *embedded.Server) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), srv.URL("postgres"))
	if err == nil {
		conn.Close(t.Context())
		t.Error("the server still takes connections")
	}
}
