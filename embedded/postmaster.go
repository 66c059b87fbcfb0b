package embedded

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"
)

// postmaster is a server process: the number in postmaster.pid, and what the
// process that started it knows besides.
type postmaster struct {
	pid  int
	port int

	done chan struct{} // closed when the process has ended; nil if another process started it
}

// ended says whether the process is gone.
func (p *postmaster) ended() bool {
	if p.done == nil {
		return !processExists(p.pid)
	}
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// running returns the server process of the cluster, or nil. A postmaster.pid of
// a process that is gone, or whose number now belongs to another program, counts as none.
func (c *cluster) running(ctx context.Context) (*postmaster, error) {
	lines, err := c.readPidFile()
	if err != nil || len(lines) < 4 { // fewer: just being written, or cut off by a crash
		return nil, err
	}
	pid, pidErr := strconv.Atoi(lines[0])
	port, portErr := strconv.Atoi(lines[3])
	if pidErr != nil || portErr != nil || pid <= 0 {
		return nil, nil
	}
	if ours, err := c.isServer(ctx, pid); err != nil || !ours {
		return nil, err
	}
	return &postmaster{pid: pid, port: port}, nil
}

// isServer says whether a process runs and is the server of this cluster, which
// has the directory among its arguments.
func (c *cluster) isServer(ctx context.Context, pid int) (bool, error) {
	if !processExists(pid) {
		return false, nil
	}
	ours, err := hasArgument(ctx, pid, c.data())
	if err != nil && processExists(pid) {
		return false, fmt.Errorf("tell whether process %d is the server of %s: %w", pid, c.dir, err)
	}
	return ours, nil
}

// reportsReady says whether the server process has noted that it takes
// connections.
func (c *cluster) reportsReady(pid int) bool {
	lines, err := c.readPidFile()
	return err == nil && len(lines) >= 8 && lines[0] == strconv.Itoa(pid) && lines[7] == "ready"
}

// readPidFile returns the lines of postmaster.pid: process number, directory,
// start time, port, socket directory, address, shared memory, status.
func (c *cluster) readPidFile() ([]string, error) {
	text, err := os.ReadFile(c.pidFile())
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the server's process number: %w", err)
	}
	lines := strings.Split(string(text), "\n")
	for i := range lines {
		lines[i] = strings.TrimSpace(lines[i])
	}
	return lines, nil
}

func (c *cluster) pidFile() string { return filepath.Join(c.data(), "postmaster.pid") }

// removeStale removes the postmaster.pid of a server that is gone and that
// nobody uses: PostgreSQL would not start if its process number is now
// another program's, as it often is after the crash of a machine or container.
func (c *cluster) removeStale(ctx context.Context) error {
	lines, err := c.readPidFile()
	if err != nil || len(lines) < 4 || !c.alone {
		return err
	}
	if p, err := c.running(ctx); err != nil || p != nil {
		return err
	}
	c.log.Info("removing the postmaster.pid of a server that is gone", "dir", c.dir, "pid", lines[0])
	if err := os.Remove(c.pidFile()); err != nil {
		return fmt.Errorf("remove the lock of a server that is gone: %w", err)
	}
	return nil
}

// hasArgument says whether a process was started with an argument, one of
// several. One that has ended but was not waited for has none.
func hasArgument(ctx context.Context, pid int, arg string) (bool, error) {
	if runtime.GOOS == "linux" {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
		return strings.Contains(string(text), "\x00"+arg+"\x00"), err
	}
	out, err := exec.CommandContext(ctx, "ps", "-ww", "-o", "args=", "-p", strconv.Itoa(pid)).Output()
	return strings.Contains(string(out), " "+arg+" "), err
}

// launch starts a server process. It does not wait until it is ready.
func (c *cluster) launch(inst Installation, port int, parameters map[string]string) (*postmaster, error) {
	if err := os.Rename(c.path(logName), c.path(logName+".old")); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("put the old server log aside: %w", err)
	}
	logFile, err := os.OpenFile(c.path(logName), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open the server log: %w", err)
	}
	defer func() { _ = logFile.Close() }() // the server has its own copy
	cmd := exec.Command(inst.program("postgres"), c.arguments(port, parameters)...)
	cmd.Dir = c.dir
	cmd.Env = environment()
	cmd.Stdout, cmd.Stderr = logFile, logFile
	isolate(cmd, c.account)
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start the server: %w", err)
	}
	p := &postmaster{pid: cmd.Process.Pid, port: port, done: make(chan struct{})}
	go func() {
		_ = cmd.Wait() // its log tells more than its exit code
		close(p.done)
	}()
	return p, nil
}

func (c *cluster) arguments(port int, parameters map[string]string) []string {
	args := []string{
		"-D", c.data(),
		"-c", "listen_addresses=127.0.0.1",
		"-c", "port=" + strconv.Itoa(port),
		"-c", "unix_socket_directories=",
	}
	if c.temporary {
		args = append(args, "-c", "fsync=off", "-c", "full_page_writes=off")
	}
	for name, value := range parameters {
		args = append(args, "-c", name+"="+value)
	}
	return args
}

// freePort returns a port that nobody listens on at the moment.
func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, fmt.Errorf("find a free port: %w", err)
	}
	addr, ok := l.Addr().(*net.TCPAddr)
	if err := l.Close(); err != nil {
		return 0, fmt.Errorf("find a free port: %w", err)
	}
	if !ok {
		return 0, fmt.Errorf("find a free port: odd address %s", l.Addr())
	}
	return addr.Port, nil
}

// haltGrace is how long a stop may take that can wait no longer: of a server
// that was told to drop everything, or when the caller's context has ended.
const haltGrace = 15 * time.Second

// halt stops the server, if it runs, and waits until it has ended. Servers
// that are kept shut down in order; temporary ones, and those whose ctx ends
// first, drop everything. known is the process if the caller started it.
func (c *cluster) halt(ctx context.Context, known *postmaster) error {
	p, err := c.running(ctx)
	if err != nil {
		return err
	}
	if known != nil && known.done != nil && (p == nil || p.pid == known.pid) {
		p = known // a process that wrote no postmaster.pid yet is stopped too
	}
	if p == nil {
		return nil
	}
	c.log.Info("stopping PostgreSQL", "dir", c.dir, "pid", p.pid)
	if !c.temporary {
		if err := sendSignal(p.pid, fastShutdown); err != nil {
			return err
		}
		if c.awaitEnd(ctx, p) == nil {
			return nil
		}
		c.log.Warn("PostgreSQL did not stop in time, dropping its connections", "dir", c.dir)
	}
	if err := sendSignal(p.pid, immediateShutdown); err != nil {
		return err
	}
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), haltGrace)
	defer cancel()
	if err := c.awaitEnd(grace, p); err != nil {
		return fmt.Errorf("server process %d in %s does not stop: %w", p.pid, c.dir, err)
	}
	return nil
}

// awaitEnd waits until the process has ended. One that another process started,
// and that still waits for that to notice, counts as ended.
func (c *cluster) awaitEnd(ctx context.Context, p *postmaster) error {
	for !p.ended() {
		if p.done == nil {
			if runs, err := c.isServer(ctx, p.pid); err == nil && !runs {
				return nil
			}
		}
		if err := pause(ctx); err != nil {
			return err
		}
	}
	return nil
}

// environment is that of this process without what would change the server's
// or initdb's mind.
func environment() []string {
	env := slices.DeleteFunc(os.Environ(), func(entry string) bool {
		return strings.HasPrefix(entry, "PG") || strings.HasPrefix(entry, "LC_") || strings.HasPrefix(entry, "LANG")
	})
	return append(env, "LC_ALL=C")
}

// oldLocale is the locale for versions before 17, which had none built in.
func oldLocale() string {
	if runtime.GOOS == "linux" {
		return "C.UTF-8"
	}
	return "C"
}

// lastLines returns the end of a program's output, for messages.
func lastLines(text string) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return strings.Join(lines[max(0, len(lines)-8):], "\n")
}
