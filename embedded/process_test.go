//go:build linux || darwin

package embedded_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/rowhouse/rowhouse/embedded"
)

// childVariable makes the test binary a program that uses a server, which
// tests start and kill. Its value is the data directory, or childTemporary.
const (
	childVariable  = "ROWHOUSE_TEST_CHILD"
	childTemporary = "temporary"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(childVariable); dir != "" {
		os.Exit(child(strings.TrimPrefix(dir, childTemporary)))
	}
	os.Exit(m.Run())
}

// child starts a server, says which, and stops it when its standard input ends.
func child(dir string) int {
	ctx := context.Background()
	srv, err := embedded.Start(ctx, embedded.Config{DataDir: dir})
	if err != nil {
		fmt.Println("error", err)
		return 1
	}
	fmt.Println("ready", srv.PID(), srv.Attached(), srv.DataDir(), srv.URL("postgres"))
	_, _ = io.Copy(io.Discard, os.Stdin)
	if err := srv.Stop(ctx); err != nil {
		fmt.Println("error", err)
		return 1
	}
	return 0
}

// program is a running child.
type program struct {
	cmd   *exec.Cmd
	stdin io.Closer
	out   *bufio.Reader

	pid      int
	attached bool
	dir, url string
}

func startProgram(t *testing.T, dir string) *program {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childVariable+"="+dir)
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = cmd.Process.Kill(), cmd.Wait() })
	return &program{cmd: cmd, stdin: stdin, out: bufio.NewReader(stdout)}
}

// ready waits until the program uses its server.
func (p *program) ready(t *testing.T) {
	t.Helper()
	line, err := p.out.ReadString('\n')
	if err != nil {
		t.Fatalf("child said %q: %v", line, err)
	}
	if _, err := fmt.Sscanf(line, "ready %d %t %s %s", &p.pid, &p.attached, &p.dir, &p.url); err != nil {
		t.Fatalf("child said %q: %v", line, err)
	}
}

// stop makes the program stop its server and end.
func (p *program) stop(t *testing.T) {
	t.Helper()
	if err := p.stdin.Close(); err != nil {
		t.Fatal(err)
	}
	rest, err := io.ReadAll(p.out)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Wait(); err != nil {
		t.Fatalf("child said %q: %v", rest, err)
	}
}

// kill ends the program without giving it a chance.
func (p *program) kill(t *testing.T) {
	t.Helper()
	if err := p.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = p.cmd.Wait() // it was killed
}

// eventually waits until condition holds.
func eventually(t *testing.T, what string, condition func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for !condition() {
		select {
		case <-ctx.Done():
			t.Fatalf("it does not come to pass that %s", what)
		case <-tick.C:
		}
	}
}
