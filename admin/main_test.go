package admin_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"

	"github.com/rowhouse/rowhouse/admin"
	"github.com/rowhouse/rowhouse/internal/pgtest"
	"github.com/rowhouse/rowhouse/migrate"
)

// What a child process reads from its environment.
const (
	childTask = "ROWHOUSE_CHILD_TASK" // create, purge or rename
	childURL  = "ROWHOUSE_CHILD_URL"
	childSet  = "ROWHOUSE_CHILD_SET" // a key of childSets
)

// childSets are the tenant sets that tests and their child processes share.
var childSets = map[string]migrate.Set{
	"in one transaction": desk(),
	"in several": tenantSet(`CREATE TABLE tickets (id int PRIMARY KEY, title text);`,
		`CREATE INDEX CONCURRENTLY tickets_title_idx ON tickets (title);`,
		`CREATE TABLE comments (ticket int REFERENCES tickets);`),
}

// TestMain runs the tests, or the task of a child process: tests start this
// binary again to have something that they can kill.
func TestMain(m *testing.M) {
	if task := os.Getenv(childTask); task != "" {
		os.Exit(runTask(task))
	}
	pgtest.Main(m)
}

// runTask opens an operator, says "ready", waits for a line, does its task on
// tenant acme and says how it went.
func runTask(task string) int {
	ctx := context.Background()
	a, err := admin.Open(ctx, admin.Config{DatabaseURL: os.Getenv(childURL), Sets: []migrate.Set{childSets[os.Getenv(childSet)]}})
	if err != nil {
		fmt.Println(err)
		return 1
	}
	defer a.Close()
	fmt.Println("ready")
	if _, err := bufio.NewReader(os.Stdin).ReadString('\n'); err != nil {
		return 1
	}
	switch task {
	case "purge":
		err = a.Purge(ctx, "acme")
	case "rename":
		_, err = a.Rename(ctx, "acme", "apex")
	default:
		_, err = a.Create(ctx, params("acme"))
	}
	switch {
	case errors.Is(err, admin.ErrSchemaTaken):
		fmt.Println("taken")
	case err != nil:
		fmt.Println("failed:", err)
	default:
		fmt.Println("done")
	}
	return 0
}

// process is a child that is ready for its task.
type process struct {
	t   testing.TB
	cmd *exec.Cmd
	in  io.Writer
	out *bufio.Scanner
}

func startProcess(t testing.TB, task, url, set string) *process {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), childTask+"="+task, childURL+"="+url, childSet+"="+set)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p := &process{t: t, cmd: cmd, in: in, out: bufio.NewScanner(out)}
	if line := p.line(); line != "ready" {
		t.Fatalf("the child process says %q", line)
	}
	return p
}

func (p *process) line() string {
	p.out.Scan()
	return p.out.Text()
}

// work lets the process do its task.
func (p *process) work() {
	p.t.Helper()
	if _, err := io.WriteString(p.in, "go\n"); err != nil {
		p.t.Fatal(err)
	}
}

// end waits for the process. It returns what it said: nothing if it was killed.
func (p *process) end() string {
	said := p.line()
	_ = p.cmd.Wait() // killed, or it has said how it went
	return said
}

// gate passes the connections of a process on to the server, counts what the
// process sends, and kills it at a chosen message.
type gate struct {
	listener net.Listener
	target   string

	mu     sync.Mutex
	sent   int    // since arm
	at     int    // the message to kill at; 0 is none
	before bool   // kill before it is passed on, not after
	kill   func() // nil before arm
}

// newGate stands in front of the server of url and returns the way through it.
func newGate(t testing.TB, server string) (g *gate, through string) {
	t.Helper()
	u, err := url.Parse(server)
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	g = &gate{listener: listener, target: u.Host}
	var wg sync.WaitGroup
	t.Cleanup(func() { _ = listener.Close(); wg.Wait() })
	wg.Go(func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			wg.Go(func() { g.pass(client) })
		}
	})
	u.Host = listener.Addr().String()
	return g, u.String()
}

// arm makes the gate kill at the message of that number from now on.
func (g *gate) arm(at int, kill func()) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.sent, g.at, g.kill, g.before = 0, at, kill, rand.IntN(2) == 0
}

// count is how many messages were sent since arm.
func (g *gate) count() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.sent
}

func (g *gate) pass(client net.Conn) {
	defer client.Close()
	server, err := net.Dial("tcp", g.target)
	if err != nil {
		return
	}
	defer server.Close()
	go func() {
		_, _ = io.Copy(client, server)
		_ = client.Close()
	}()
	buf := make([]byte, 64<<10)
	for {
		n, err := client.Read(buf)
		if err != nil || !g.forward(server, buf[:n]) {
			return
		}
	}
}

// forward passes one message on, and tells whether the process goes on.
func (g *gate) forward(server io.Writer, message []byte) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.sent++
	deadly := g.kill != nil && g.sent == g.at
	if deadly && g.before {
		g.kill()
		return false
	}
	_, err := server.Write(message)
	if deadly {
		g.kill()
	}
	return err == nil && !deadly
}

// named adds a name to a connection string, by which the server shows it.
func named(server, name string) string {
	return server + map[bool]string{true: "&", false: "?"}[strings.Contains(server, "?")] + "application_name=" + name
}
