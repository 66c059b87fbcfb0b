package pgtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// PgBouncer starts the PgBouncer that is installed in transaction pooling mode in
// front of the server of url, a superuser's URL, and returns url through it. Every
// login and database of the server works through it with its own password. options
// are further lines for the section [pgbouncer] of its configuration, such as
// "default_pool_size = 2". It is stopped at the end of the test, or when the
// test binary dies.
//
// Which version it is depends on the machine; Debian 12 has 1.18. See
// [PgBouncerNew].
func PgBouncer(t testing.TB, url, options string) string {
	t.Helper()
	return runPgBouncer(t, installedPgBouncer, url, options)
}

func runPgBouncer(t testing.TB, find func() (string, error), url, options string) string {
	t.Helper()
	program, err := find()
	if err != nil {
		t.Fatalf("pgtest: this test needs PgBouncer: %v", err)
	}
	const tries = 3 // another program may take the port that was free
	for try := 1; ; try++ {
		through, err := startPgBouncer(t, program, url, options)
		if err == nil {
			return through
		}
		if try == tries || t.Context().Err() != nil {
			t.Fatalf("pgtest: start PgBouncer: %v", err)
		}
	}
}

func installedPgBouncer() (string, error) {
	for _, place := range []string{"pgbouncer", "/usr/sbin/pgbouncer", "/opt/homebrew/bin/pgbouncer"} {
		if program, err := exec.LookPath(place); err == nil {
			return program, nil
		}
	}
	return "", errors.New(`no program pgbouncer in PATH or /usr/sbin: install it, on Debian with "apt-get install pgbouncer"`)
}

func startPgBouncer(t testing.TB, program, server, options string) (string, error) {
	t.Helper()
	port, err := freePort()
	if err != nil {
		return "", err
	}
	dir, err := os.MkdirTemp("", "rowhouse-pgbouncer-*")
	if err != nil {
		return "", err
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Errorf("pgtest: remove files of PgBouncer: %v", err)
		}
	})
	args, err := configurePgBouncer(dir, parse(t, server), port, options)
	if err != nil {
		return "", err
	}
	var log bytes.Buffer
	stop, err := runWhileAlive(dir, program, args, &log)
	if err != nil {
		return "", err
	}
	through := parse(t, server)
	through.Host = net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
	if err := awaitPgBouncer(t.Context(), through.String()); err != nil {
		return "", fmt.Errorf("%w: %w: %s", err, stop(), log.String())
	}
	t.Cleanup(func() {
		if err := stop(); err != nil {
			t.Errorf("pgtest: stop PgBouncer: %v: %s", err, log.String())
		}
	})
	return through.String(), nil
}

// configurePgBouncer writes its files and returns its arguments. PgBouncer
// asks the server for each login's secret as the superuser, whose password it
// has in a file.
func configurePgBouncer(dir string, server *url.URL, port int, options string) ([]string, error) {
	password, _ := server.User.Password()
	ini := filepath.Join(dir, "pgbouncer.ini")
	users := filepath.Join(dir, "users.txt")
	files := map[string]string{
		users: fmt.Sprintf("%q %q\n", server.User.Username(), password),
		ini: fmt.Sprintf(`[databases]
* = host=%s port=%s
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = %d
unix_socket_dir =
auth_type = scram-sha-256
auth_user = %s
auth_file = %s
pool_mode = transaction
max_client_conn = 1000
server_lifetime = 3600
ignore_startup_parameters = extra_float_digits
%s
`, server.Hostname(), server.Port(), port, server.User.Username(), users, options),
	}
	args := []string{ini}
	owner, err := unprivileged()
	if err != nil {
		return nil, err
	}
	if owner != nil {
		args = []string{"-u", owner.Username, ini}
	}
	for path, text := range files {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			return nil, err
		}
		if err := give(path, owner); err != nil {
			return nil, err
		}
	}
	return args, give(dir, owner)
}

// unprivileged returns the user to run PgBouncer as, which refuses root; nil
// is the user of this process.
func unprivileged() (*user.User, error) {
	if os.Geteuid() != 0 {
		return nil, nil
	}
	if u, err := user.Lookup("postgres"); err == nil {
		return u, nil
	}
	return user.Lookup("nobody")
}

func give(path string, to *user.User) error {
	if to == nil {
		return nil
	}
	uid, err := strconv.Atoi(to.Uid)
	if err != nil {
		return fmt.Errorf("user %s: %w", to.Username, err)
	}
	gid, err := strconv.Atoi(to.Gid)
	if err != nil {
		return fmt.Errorf("user %s: %w", to.Username, err)
	}
	return os.Chown(path, uid, gid)
}

// runWhileAlive runs a program until stop is called or this process dies, and
// then removes its directory: a shell holds the other end of a pipe and ends
// the program when it closes.
func runWhileAlive(dir, program string, args []string, log io.Writer) (stop func() error, err error) {
	const script = `trap '' INT # of the terminal
dir=$1; shift
"$@" </dev/null & pid=$!
read -r _
kill -TERM $pid 2>/dev/null
wait $pid
rm -rf "$dir"`
	cmd := exec.Command("sh", append([]string{"-c", script, "sh", dir, program}, args...)...)
	cmd.Dir = "/"
	cmd.Stdout, cmd.Stderr = log, log
	pipe, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	return func() error { return errors.Join(pipe.Close(), cmd.Wait()) }, nil
}

// awaitPgBouncer waits until a statement goes through.
func awaitPgBouncer(ctx context.Context, url string) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		err := ping(ctx, url)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return err
		case <-tick.C:
		}
	}
}

func ping(ctx context.Context, url string) error {
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(ctx) }()
	return conn.PgConn().Exec(ctx, "SELECT 1").Close()
}

func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, fmt.Errorf("find a free port: %w", err)
	}
	_, text, err := net.SplitHostPort(l.Addr().String())
	if err := errors.Join(err, l.Close()); err != nil {
		return 0, fmt.Errorf("find a free port: %w", err)
	}
	return strconv.Atoi(text)
}
