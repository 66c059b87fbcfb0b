// Package pool is where bound work is sent: one budget of connections, shared by
// all tenants.
//
// It is pgxpool with three things settled. Between units of work a connection's
// search_path is empty, so that what was not bound fails instead of guessing.
// Every connection carries a [bind.Session]. And a cancelled context cancels the
// statement in the server and keeps the connection, which is clean again when
// the server has said so.
//
// A pooler such as PgBouncer in transaction mode is found out when the pool is
// opened: the process id in the protocol's start-up answer is then not the one of
// the backend that runs the statements. Named prepared statements and start-up
// parameters are not used then; everything else is the same.
package pool

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/rowhouse/rowhouse/internal/bind"
)

// ErrConfig: the connection string cannot be used.
var ErrConfig = errors.New("invalid database URL")

// sessionKey is where a connection keeps its session.
const sessionKey = "rowhouse.session"

// Options of a pool.
type Options struct {
	// URL is a connection string as pgxpool takes it, pool_ settings included.
	URL string
	// MaxConns is the budget. 0 leaves it to the URL and pgxpool's default.
	MaxConns int32
	// Statements is how many statements a connection keeps.
	Statements int
	// AfterConnect is called for each new connection, unbound. May be nil.
	AfterConnect func(context.Context, *pgx.Conn) error
}

// Pool is a pool of bound sessions.
type Pool struct {
	*pgxpool.Pool
	mode bind.Mode
}

// Open connects once, to find out what is at the other end, and makes the pool.
func Open(ctx context.Context, opts Options) (*Pool, error) {
	cfg, err := pgxpool.ParseConfig(opts.URL)
	if err != nil {
		// pgx redacts passwords in this error.
		return nil, fmt.Errorf("%w: %w", ErrConfig, err)
	}
	if opts.MaxConns > 0 {
		cfg.MaxConns = opts.MaxConns
	}
	Prepare(cfg.ConnConfig)
	mode, err := probe(ctx, cfg.ConnConfig)
	if err != nil {
		return nil, err
	}
	cfg.AfterConnect = func(ctx context.Context, conn *pgx.Conn) error {
		if opts.AfterConnect != nil {
			if err := opts.AfterConnect(ctx, conn); err != nil {
				return err
			}
		}
		s, err := bind.NewSession(ctx, conn, mode, opts.Statements)
		if err != nil {
			return err
		}
		conn.PgConn().CustomData()[sessionKey] = s
		return nil
	}
	p, err := pgxpool.NewWithConfig(ctx, cfg)
	if err != nil {
		return nil, fmt.Errorf("open connection pool: %w", err)
	}
	return &Pool{Pool: p, mode: mode}, nil
}

// Prepare settles how a connection behaves, whether it is in a pool or not: an
// empty search_path, and cancellation that reaches the server.
func Prepare(cfg *pgx.ConnConfig) {
	cfg.RuntimeParams["search_path"] = ""
	cfg.BuildContextWatcherHandler = newCanceller
}

// probe connects once. Where a pooler answers, it changes cfg to what the pooler
// can do.
func probe(ctx context.Context, cfg *pgx.ConnConfig) (bind.Mode, error) {
	conn, err := pgx.ConnectConfig(ctx, cfg)
	if refusesParameters(err) {
		delete(cfg.RuntimeParams, "search_path")
		conn, err = pgx.ConnectConfig(ctx, cfg)
	}
	if err != nil {
		return 0, fmt.Errorf("connect to the database: %w", err)
	}
	defer conn.Close(context.WithoutCancel(ctx))
	var pid uint32
	if err := conn.QueryRow(ctx, "SELECT pg_catalog.pg_backend_pid()", pgx.QueryExecModeExec).Scan(&pid); err != nil {
		return 0, fmt.Errorf("ask for the backend's process id: %w", err)
	}
	if pid == conn.PgConn().PID() {
		return bind.Named, nil
	}
	delete(cfg.RuntimeParams, "search_path")
	cfg.DefaultQueryExecMode = pgx.QueryExecModeCacheDescribe
	return bind.Described, nil
}

// refusesParameters tells whether a pooler refused to connect because of a
// start-up parameter that it does not know.
func refusesParameters(err error) bool {
	var pgErr *pgconn.PgError
	return errors.As(err, &pgErr) && pgErr.Code == protocolViolation
}

// protocolViolation is what PgBouncer answers to "unsupported startup
// parameter".
const protocolViolation = "08P01"

// Pooled tells whether a pooler that shares backends between clients was found.
func (p *Pool) Pooled() bool { return p.mode == bind.Described }

// Acquire takes a connection out of the pool and returns its session. release
// gives it back, or closes it if it is not clean.
func (p *Pool) Acquire(ctx context.Context) (s *bind.Session, release func(), err error) {
	conn, err := p.Pool.Acquire(ctx)
	if err != nil {
		return nil, nil, fmt.Errorf("acquire a database connection: %w", err)
	}
	s = conn.Conn().PgConn().CustomData()[sessionKey].(*bind.Session)
	return s, func() {
		if s.Spent() {
			_ = conn.Conn().Close(context.WithoutCancel(ctx)) // the pool sees that it is closed
		}
		conn.Release()
	}, nil
}
