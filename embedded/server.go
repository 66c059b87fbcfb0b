package embedded

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"sync"
)

// superuser is the name of the role that initdb makes.
const superuser = "postgres"

// Server is a running PostgreSQL that this process uses. Its methods may be
// called from several goroutines.
type Server struct {
	cfg     Config
	cluster *cluster
	secret  string

	mu       sync.Mutex  // held while the server is stopped or restarted
	process  *postmaster // never nil once Start has returned
	major    int
	attached bool
	stopped  bool
}

// URL returns the address of a database on the server, with the superuser's
// name and password. The database need not exist; "postgres" always does.
func (s *Server) URL(database string) string {
	return s.url(s.Port(), database)
}

func (s *Server) url(port int, database string) string {
	u := url.URL{
		Scheme:   "postgres",
		User:     url.UserPassword(superuser, s.secret),
		Host:     net.JoinHostPort("127.0.0.1", strconv.Itoa(port)),
		Path:     "/" + database,
		RawQuery: "sslmode=disable",
	}
	return u.String()
}

// DataDir returns the directory that the server is kept in, absolute and
// without symbolic links.
func (s *Server) DataDir() string { return s.cluster.dir }

// Version returns the server's major version, such as 17.
func (s *Server) Version() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.major
}

// Port returns the TCP port on 127.0.0.1 that the server listens on.
func (s *Server) Port() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.process.port
}

// PID returns the number of the server's main process, for tests that
// kill it and then call Restart.
func (s *Server) PID() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.process.pid
}

// Attached says whether Start found the server running, instead of starting it.
func (s *Server) Attached() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.attached
}

// Stop ends this use of the server. If no other process, and no other Server of
// this one, uses the data directory, it stops the server, which ends all
// connections, and removes a temporary data directory. Otherwise the server
// runs on.
//
// A server that is kept is shut down in order, which may take as long as
// writing its buffers. If ctx ends before, or has ended already, it is stopped at once
// all the same and recovers at the next Start. Stop returns nil when it was
// called before.
func (s *Server) Stop(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopped {
		return nil
	}
	if err := s.stop(ctx); err != nil {
		return fmt.Errorf("stop embedded PostgreSQL: %w", err)
	}
	s.stopped = true
	return nil
}

func (s *Server) stop(ctx context.Context) (err error) {
	c := s.cluster
	gate, err := c.takeGate(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, gate.release()) }()
	last, err := c.leave()
	if err != nil {
		return err
	}
	if !last {
		c.log.Info("leaving PostgreSQL to its other users", "dir", c.dir)
		return nil
	}
	if err := c.halt(ctx, s.process); err != nil {
		return err
	}
	if c.temporary {
		return discard(c.dir)
	}
	return nil
}

// takeGate waits for the gate; if ctx ends, not for much longer, but a stop
// must not fail because of a context that has ended.
func (c *cluster) takeGate(ctx context.Context) (*fileLock, error) {
	gate, err := acquire(ctx, c.path(gateName))
	if err == nil || ctx.Err() == nil {
		return gate, err
	}
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), haltGrace)
	defer cancel()
	return acquire(grace, c.path(gateName))
}

// Restart stops the server in order if it runs and starts it again on the same
// port, with the binaries and parameters of this Server's Config. It is for
// tests, which may also kill the process first. ctx limits both; if it ends
// the server may be down, and Restart may be called again.
func (s *Server) Restart(ctx context.Context) (err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopped {
		return errors.New("restart embedded PostgreSQL: the server was stopped: call Start")
	}
	c := s.cluster
	gate, err := acquire(ctx, c.path(gateName))
	if err != nil {
		return fmt.Errorf("restart embedded PostgreSQL: %w", err)
	}
	defer func() { err = errors.Join(err, gate.release()) }()
	s.cfg.Port = s.process.port
	if err := c.halt(ctx, s.process); err != nil {
		return fmt.Errorf("restart embedded PostgreSQL: %w", err)
	}
	if err := s.serve(ctx); err != nil {
		return fmt.Errorf("restart embedded PostgreSQL: %w", err)
	}
	return nil
}
