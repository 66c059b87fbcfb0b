//go:build linux || darwin

package embedded_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/rowhouse/rowhouse/embedded"
)

// TestProcessesShareAServer starts programs at once on a directory that does
// not exist yet. One makes it, all use it, the last one stops it.
func TestProcessesShareAServer(t *testing.T) {
	t.Parallel()
	dir := dataDir(t)
	programs := make([]*program, 6)
	for i := range programs {
		programs[i] = startProgram(t, dir)
	}
	starters := 0
	for _, p := range programs {
		p.ready(t)
		if p.pid != programs[0].pid {
			t.Errorf("there are two servers, %d and %d", programs[0].pid, p.pid)
		}
		if !p.attached {
			starters++
		}
	}
	if starters != 1 {
		t.Errorf("%d programs started the server, want 1", starters)
	}
	for _, p := range programs {
		queryURL[int](t, p.url, "SELECT 1") // runs until the last one has left
		p.stop(t)
	}
	if alive(programs[0].pid) {
		t.Error("the server runs after its last user has left")
	}
}

// TestStartAndStopDoNotFight has programs come and go while others use the server.
func TestStartAndStopDoNotFight(t *testing.T) {
	t.Parallel()
	dir := dataDir(t)
	for range 3 {
		one, two := startProgram(t, dir), startProgram(t, dir)
		one.ready(t)
		if err := one.stdin.Close(); err != nil { // stops while two may be starting
			t.Fatal(err)
		}
		two.ready(t)
		queryURL[int](t, two.url, "SELECT 1")
		two.stop(t)
	}
}

func TestServerOfAKilledProgramIsFound(t *testing.T) {
	t.Parallel()
	dir := dataDir(t)
	p := startProgram(t, dir)
	p.ready(t)
	p.kill(t)
	srv := start(t, embedded.Config{DataDir: dir})
	if !srv.Attached() || srv.PID() != p.pid || srv.URL("postgres") != p.url {
		t.Errorf("server %d of the killed program was not found, but %d (attached %t)", p.pid, srv.PID(), srv.Attached())
	}
	query[int](t, srv, "SELECT 1")
	stop(t, srv)
	if alive(p.pid) {
		t.Error("the server that was found was not stopped")
	}
}

func TestServerThatWasKilledRecovers(t *testing.T) {
	t.Parallel()
	cfg := embedded.Config{DataDir: dataDir(t)}
	first := start(t, cfg)
	query[int](t, first, "CREATE TABLE kept AS SELECT 7 AS id; SELECT 1")
	kill(t, first.PID())
	second := start(t, cfg) // while the first still thinks that it has one
	if second.Attached() {
		t.Error("a killed server was found running")
	}
	if got := query[int](t, second, "SELECT id FROM kept"); got != 7 {
		t.Errorf("found %d after the crash, want 7", got)
	}
	stop(t, first)
	query[int](t, second, "SELECT 1")
}

// TestForeignProcessNumber is what a crash of a machine or container leaves: a
// postmaster.pid whose number is now that of another program.
func TestForeignProcessNumber(t *testing.T) {
	t.Parallel()
	cfg := embedded.Config{DataDir: dataDir(t)}
	srv := start(t, cfg)
	pidFile := filepath.Join(srv.DataDir(), "data", "postmaster.pid")
	text, err := os.ReadFile(pidFile)
	if err != nil {
		t.Fatal(err)
	}
	stop(t, srv)
	innocent := startProgram(t, childTemporary)
	innocent.ready(t)
	other := fmt.Sprint(innocent.pid) // a server too, but of another directory
	text = append([]byte(other), text[len(fmt.Sprint(srv.PID())):]...)
	if err := os.WriteFile(pidFile, text, 0o600); err != nil {
		t.Fatal(err)
	}
	stop(t, start(t, cfg))
	queryURL[int](t, innocent.url, "SELECT 1")
	innocent.stop(t)
}

func TestUnfinishedInitdbIsDoneAgain(t *testing.T) {
	t.Parallel()
	dir := dataDir(t)
	p := startProgram(t, dir)
	unfinished := filepath.Join(dir, "initdb-*")
	eventually(t, "initdb is at work", func() bool {
		return len(glob(t, filepath.Join(unfinished, "PG_VERSION"))) > 0
	})
	p.kill(t)
	srv := start(t, embedded.Config{DataDir: dir})
	query[int](t, srv, "SELECT 1")
	stop(t, srv)
	srv = start(t, embedded.Config{DataDir: dir})
	query[int](t, srv, "SELECT 1")
}

func TestForgottenTemporaryServerIsRemoved(t *testing.T) {
	t.Setenv("TMPDIR", passable(t))
	p := startProgram(t, childTemporary)
	p.ready(t)
	used := startProgram(t, childTemporary)
	used.ready(t)
	p.kill(t)
	foreign := filepath.Join(os.TempDir(), "rowhouse-pg-mine")
	if err := os.Mkdir(foreign, 0o755); err != nil {
		t.Fatal(err)
	}
	start(t, embedded.Config{})
	if _, err := os.Stat(foreign); err != nil {
		t.Errorf("a directory with a name alike was not left alone: %v", err)
	}
	if _, err := os.Stat(p.dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("directory of the killed program is still there: %v", err)
	}
	eventually(t, "the forgotten server ends", func() bool { return !alive(p.pid) })
	queryURL[int](t, used.url, "SELECT 1")
	used.stop(t)
	if _, err := os.Stat(used.dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("directory of the other program is still there: %v", err)
	}
}

// TestForgottenInitdbIsRemoved kills programs while their temporary clusters are
// being made: initdb goes on for a while without them.
func TestForgottenInitdbIsRemoved(t *testing.T) {
	t.Setenv("TMPDIR", passable(t))
	work := filepath.Join(os.TempDir(), "rowhouse-pg-*", "initdb-*", "PG_VERSION")
	for range 3 {
		p := startProgram(t, childTemporary)
		eventually(t, "initdb is at work", func() bool { return len(glob(t, work)) > 0 })
		p.kill(t)
		eventually(t, "all is removed", func() bool {
			stop(t, start(t, embedded.Config{}))
			return len(glob(t, filepath.Join(os.TempDir(), "*"))) == 0
		})
	}
}

func TestStopWithEndedContext(t *testing.T) {
	t.Parallel()
	cfg := embedded.Config{DataDir: dataDir(t)}
	srv := start(t, cfg)
	query[int](t, srv, "CREATE TABLE kept AS SELECT 7 AS id; SELECT 1")
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := srv.Stop(ended); err != nil {
		t.Fatal(err)
	}
	if alive(srv.PID()) {
		t.Error("the server runs on")
	}
	if got := query[int](t, start(t, cfg), "SELECT id FROM kept"); got != 7 {
		t.Errorf("found %d, want 7", got)
	}
}

func TestStartWithEndedContext(t *testing.T) {
	t.Setenv("TMPDIR", passable(t))
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := embedded.Start(ended, embedded.Config{})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("error is %v, want context.Canceled", err)
	}
	if left := glob(t, filepath.Join(os.TempDir(), "*")); len(left) > 0 {
		t.Errorf("a start that failed leaves %v", left)
	}
}

// TestInterruptedStart cancels while initdb works, and tries again.
func TestInterruptedStart(t *testing.T) {
	t.Parallel()
	dir := dataDir(t)
	ctx, cancel := context.WithCancel(t.Context())
	failed := make(chan error, 1)
	go func() {
		_, err := embedded.Start(ctx, embedded.Config{DataDir: dir})
		failed <- err
	}()
	eventually(t, "initdb is at work", func() bool { return len(glob(t, filepath.Join(dir, "initdb-*", "PG_VERSION"))) > 0 })
	cancel()
	if err := <-failed; !errors.Is(err, context.Canceled) {
		t.Errorf("error is %v, want context.Canceled", err)
	}
	if left := glob(t, filepath.Join(dir, "initdb-*")); len(left) > 0 {
		t.Errorf("an interrupted start leaves %v", left)
	}
	query[int](t, start(t, embedded.Config{DataDir: dir}), "SELECT 1")
}

func TestRestart(t *testing.T) {
	t.Parallel()
	srv := start(t, embedded.Config{})
	url, pid := srv.URL("postgres"), srv.PID()
	for _, crash := range []bool{false, true} {
		if crash {
			kill(t, pid)
		}
		if err := srv.Restart(t.Context()); err != nil {
			t.Fatal(err)
		}
		if srv.PID() == pid || srv.URL("postgres") != url {
			t.Errorf("after a restart the server is %d at %s, was %d at %s", srv.PID(), srv.URL("postgres"), pid, url)
		}
		pid = srv.PID()
		query[int](t, srv, "SELECT 1")
	}
	stop(t, srv)
	if err := srv.Restart(t.Context()); err == nil {
		t.Error("a server that was stopped restarts")
	}
}

func kill(t *testing.T, pid int) {
	t.Helper()
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
}

// alive says whether a process exists; one that has ended and waits for its
// parent to notice does not count.
func alive(pid int) bool {
	if err := syscall.Kill(pid, 0); errors.Is(err, syscall.ESRCH) {
		return false
	}
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	return err != nil || len(text) > 0
}

func glob(t *testing.T, pattern string) []string {
	t.Helper()
	matches, err := filepath.Glob(pattern)
	if err != nil {
		t.Fatal(err)
	}
	return matches
}

// passable returns a temporary directory that the server's user can pass, too,
// when that is not the user of the tests.
func passable(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for _, d := range []string{dir, filepath.Dir(dir)} {
		if err := os.Chmod(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}
