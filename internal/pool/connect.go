package pool

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/rowhouse/rowhouse/internal/bind"
)

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
