package pool

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/jackc/pgx/v5"

	"github.com/rowhouse/rowhouse/internal/bind"
)

// Prepare settles how a connection behaves, whether it is in a pool or not: an
// empty search_path, and cancellation that reaches the server.
func Prepare(cfg *pgx.ConnConfig) {
	cfg.RuntimeParams["search_path"] = ""
	cfg.BuildContextWatcherHandler = newCanceller
}

// probe connects once. Where a pooler answers, it changes cfg to what the pooler
// can do, and tests that it is safe.
//
// A direct connection is not tested. The process id of the start-up answer is one
// half of what cancel requests are routed by, so who shares backends between
// clients has to make up its own: where it is the backend's, no one else is on it.
func probe(ctx context.Context, cfg *pgx.ConnConfig) (bind.Mode, error) {
	mode, err := probeMode(ctx, cfg)
	if err != nil || mode == bind.Named {
		return mode, err
	}
	delete(cfg.RuntimeParams, "search_path")
	cfg.DefaultQueryExecMode = pgx.QueryExecModeCacheDescribe
	err = SelfTest(ctx, cfg)
	if errors.Is(err, errCannotBind) {
		err = nil // nothing can leak then; who opens says what the login lacks
	}
	return mode, err
}

// probeMode asks a connection of its own, which is closed again: there may be only
// one backend. It comes without the pool's start-up parameter, which poolers refuse,
// or take and choke on.
func probeMode(ctx context.Context, cfg *pgx.ConnConfig) (bind.Mode, error) {
	cfg = cfg.Copy()
	delete(cfg.RuntimeParams, "search_path")
	conn, err := pgx.ConnectConfig(ctx, cfg)
	if err != nil {
		return 0, fmt.Errorf("connect to the database: %w", err)
	}
	defer conn.Close(context.WithoutCancel(ctx))
	// In one message, which no pooler tears.
	results, err := conn.PgConn().Exec(ctx, "SELECT pg_catalog.pg_backend_pid()").ReadAll()
	if err == nil && (len(results) != 1 || len(results[0].Rows) != 1) {
		err = errors.New("there is no answer")
	}
	if err != nil {
		return 0, fmt.Errorf("ask for the backend's process id: %w", err)
	}
	if string(results[0].Rows[0][0]) == strconv.FormatUint(uint64(conn.PgConn().PID()), 10) {
		return bind.Named, nil
	}
	return bind.Described, nil
}

// protocolViolation is also what PgBouncer calls whatever it does not like.
const protocolViolation = "08P01"
