package embedded

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// How long serve tries again if a start failed for a passing reason: so often
// if another program took the port, so long if processes of a server that was
// killed have not ended yet.
const (
	portTries   = 5
	remnantWait = 20 * time.Second
)

// serve attaches to the cluster's server or starts it, making the cluster
// first if need be. It needs the gate.
func (s *Server) serve(ctx context.Context) error {
	deadline := time.Now().Add(remnantWait)
	for try := 1; ; try++ {
		err := s.tryServe(ctx)
		var passing *passingError
		if err == nil || !errors.As(err, &passing) {
			return err
		}
		if passing.port && try >= portTries || time.Now().After(deadline) {
			return err
		}
		if ended := pause(ctx); ended != nil {
			return errors.Join(ended, err)
		}
	}
}

func (s *Server) tryServe(ctx context.Context) error {
	p, err := s.cluster.running(ctx)
	if err != nil {
		return err
	}
	if p != nil {
		if attached, err := s.attach(ctx, p); err != nil || attached {
			return err
		}
	}
	inst, err := s.prepare(ctx)
	if err != nil {
		return err
	}
	if s.secret, err = s.cluster.password(); err != nil {
		return err
	}
	return s.launch(ctx, inst)
}

// prepare finds the binaries and makes the cluster if there is none.
func (s *Server) prepare(ctx context.Context) (Installation, error) {
	c := s.cluster
	made, err := c.major()
	if err != nil {
		return Installation{}, err
	}
	inst, err := binaries(ctx, s.cfg, made)
	if err != nil {
		return Installation{}, err
	}
	if err := errors.Join(c.account.reachFile(inst.program("postgres")), c.account.reach(c.dir)); err != nil {
		return Installation{}, err
	}
	if made == 0 {
		return inst, c.create(ctx, inst)
	}
	return inst, c.removeStale(ctx)
}

// attach waits until the running server takes connections. It returns false if
// the server ended instead.
func (s *Server) attach(ctx context.Context, p *postmaster) (bool, error) {
	secret, err := s.cluster.password()
	if err != nil {
		return false, err
	}
	s.secret = secret
	ready, err := s.awaitReady(ctx, p)
	if err != nil || !ready {
		return false, err
	}
	if want := s.cfg.Version; want != 0 && want != s.major {
		return false, &VersionError{DataDir: s.cfg.DataDir, DataMajor: s.major, BinaryMajor: want}
	}
	s.attached = true
	s.cluster.log.Info("attached to PostgreSQL", "dir", s.cluster.dir, "port", p.port, "pid", p.pid)
	return true, nil
}

// passingError is the message of a server that ended for a reason that may pass.
type passingError struct {
	port bool // the port is taken
	text string
}

func (e *passingError) Error() string { return e.text }

// launch starts a server and waits until it is ready.
func (s *Server) launch(ctx context.Context, inst Installation) error {
	c, port := s.cluster, s.cfg.Port
	if port == 0 {
		var err error
		if port, err = freePort(); err != nil {
			return err
		}
	}
	p, err := c.launch(inst, port, s.cfg.Parameters)
	if err != nil {
		return err
	}
	ready, err := s.awaitReady(ctx, p)
	if err != nil {
		grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), haltGrace)
		defer cancel()
		return errors.Join(err, c.halt(grace, p))
	}
	if !ready {
		return c.explainEnd(inst)
	}
	s.attached = false
	c.log.Info("started PostgreSQL", "dir", c.dir, "version", inst.Version, "port", port, "pid", p.pid)
	return nil
}

// explainEnd makes an error of the log of a server that ended at its start.
func (c *cluster) explainEnd(inst Installation) error {
	text, err := os.ReadFile(c.path(logName))
	if err != nil {
		return fmt.Errorf("read the log of the server that did not start: %w", err)
	}
	log := lastLines(string(text))
	failure := fmt.Sprintf("the server of PostgreSQL %s in %s did not start: %s", inst.Version, inst.BinDir, log)
	switch {
	case strings.Contains(log, "could not bind") || strings.Contains(log, "could not create any TCP/IP sockets"):
		return &passingError{port: true, text: failure}
	case strings.Contains(log, "pre-existing shared memory block") || strings.Contains(log, `lock file "postmaster.pid" already exists`):
		return &passingError{text: failure}
	}
	return errors.New(failure)
}

// awaitReady waits until the server takes connections. It returns false if it
// ended. It connects only when postmaster.pid says so, because until then the
// port may be another program's.
func (s *Server) awaitReady(ctx context.Context, p *postmaster) (bool, error) {
	for {
		if s.cluster.reportsReady(p.pid) {
			major, err := s.probe(ctx, p.port)
			if err == nil {
				s.process, s.major = p, major
				return true, nil
			}
			if !notReady(err) {
				return false, fmt.Errorf("connect to the server: %w", err)
			}
		}
		if p.ended() {
			return false, nil
		}
		if err := pause(ctx); err != nil {
			return false, fmt.Errorf("wait for the server: %w", err)
		}
	}
}

// probe connects to the server and returns its major version. It makes sure that
// it is the server of this cluster.
func (s *Server) probe(ctx context.Context, port int) (int, error) {
	conn, err := pgx.Connect(ctx, s.url(port, "postgres"))
	if err != nil {
		return 0, err
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }() // nothing is lost with it
	var number int
	var dir string
	const sql = `SELECT current_setting('server_version_num')::int, current_setting('data_directory')`
	if err := conn.QueryRow(ctx, sql).Scan(&number, &dir); err != nil {
		return 0, err
	}
	if dir != s.cluster.data() {
		return 0, fmt.Errorf("port %d is served by the server of %s, not of %s", port, dir, s.cluster.data())
	}
	return number / 10000, nil
}

// notReady says whether a failed connection is that of a server which starts
// or stops.
func notReady(err error) bool {
	var pgErr *pgconn.PgError
	if errors.As(err, &pgErr) {
		switch pgErr.Code {
		case "57P01", "57P02", "57P03": // admin_shutdown, crash_shutdown, cannot_connect_now
			return true
		}
		return false
	}
	return errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, syscall.ECONNRESET) ||
		errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
}
