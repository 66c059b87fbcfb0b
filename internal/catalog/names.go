package catalog

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/jackc/pgx/v5"
)

// By events_schema_name_idx.
const givenUpSQL = `
SELECT coalesce(max(id), 0) FROM rowhouse.events WHERE schema_name = $1 AND action IN ('rename', 'purge')`

// GivenUp is the id of the event by which a tenant last gave a schema name up, 0
// if none ever did.
func GivenUp(ctx context.Context, tx pgx.Tx, schema string) (event int64, err error) {
	if err = tx.QueryRow(ctx, givenUpSQL, schema).Scan(&event); err != nil {
		err = fmt.Errorf("look who had the name %q: %w", schema, err)
	}
	return event, err
}

// Every transaction holds the lock of its own virtual id, and everybody sees it.
// Autovacuum's workers are nobody's.
const (
	openSQL = `
SELECT coalesce(array_agg(l.virtualxid), '{}')
FROM pg_catalog.pg_locks l JOIN pg_catalog.pg_stat_activity a ON a.pid = l.pid
WHERE l.locktype = 'virtualxid' AND l.mode = 'ExclusiveLock' AND l.pid <> pg_catalog.pg_backend_pid()
  AND a.datname = pg_catalog.current_database() AND a.usename IS NOT NULL`

	stillOpenSQL = `
SELECT EXISTS (SELECT FROM pg_catalog.pg_locks
WHERE locktype = 'virtualxid' AND mode = 'ExclusiveLock' AND virtualxid = ANY ($1))`
)

// AwaitOpen waits until the transactions of this database that are open now have
// ended. q must not be in one, or two that wait would wait for each other.
func AwaitOpen(ctx context.Context, q Querier) error {
	var open []string
	if err := q.QueryRow(ctx, openSQL).Scan(&open); err != nil {
		return fmt.Errorf("list the open transactions: %w", err)
	}
	for pause := time.Millisecond; ; pause = min(2*pause, 200*time.Millisecond) {
		var some bool
		if err := q.QueryRow(ctx, stillOpenSQL, open).Scan(&some); err != nil {
			return fmt.Errorf("wait for the open transactions: %w", err)
		}
		if !some {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for the open transactions: %w", ctx.Err())
		case <-time.After(pause/2 + rand.N(pause)):
		}
	}
}
