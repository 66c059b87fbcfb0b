package catalog

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// Limits are what a row of rowhouse.limits says. Nil says nothing, and 0 that there
// is no limit.
type Limits struct {
	Connections                *int32
	Waiting                    *int32
	WaitMS                     *int32
	StatementTimeoutMS         *int32
	IdleInTransactionTimeoutMS *int32
	LockTimeoutMS              *int32
}

// LimitsRow is a row of rowhouse.limits: of a kind, or of the tenant with a schema.
type LimitsRow struct {
	Kind      string
	Schema    string
	UpdatedOn time.Time
	Limits
}

const limitsSQL = `
SELECT coalesce(l.kind, ''), coalesce(t.schema_name, ''), l.updated_on, l.connections, l.waiting, l.wait_ms,
       l.statement_timeout_ms, l.idle_in_transaction_timeout_ms, l.lock_timeout_ms
FROM rowhouse.limits l LEFT JOIN rowhouse.tenants t ON t.id = l.tenant_id `

const (
	allLimitsSQL = limitsSQL + `ORDER BY l.kind NULLS LAST, t.schema_name`
	limitsOfSQL  = limitsSQL + `WHERE l.kind = nullif($1, '') OR l.tenant_id = nullif($2::text, '')::uuid`
)

// AllLimits lists the limits of kinds, then those of tenants.
func AllLimits(ctx context.Context, q Querier) ([]LimitsRow, error) {
	rows, err := q.Query(ctx, allLimitsSQL)
	if err != nil {
		return nil, fmt.Errorf("list limits: %w", err)
	}
	all, err := pgx.CollectRows(rows, pgx.RowToStructByPos[LimitsRow])
	if err != nil {
		return nil, fmt.Errorf("list limits: %w", err)
	}
	return all, nil
}

// LimitsOf reads what the catalog says of a kind, or of the tenant with that id;
// the other is empty.
func LimitsOf(ctx context.Context, q Querier, kind, tenantID string) (Limits, error) {
	rows, err := q.Query(ctx, limitsOfSQL, kind, tenantID)
	if err != nil {
		return Limits{}, fmt.Errorf("read limits: %w", err)
	}
	row, err := pgx.CollectExactlyOneRow(rows, pgx.RowToStructByPos[LimitsRow])
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return Limits{}, fmt.Errorf("read limits: %w", err)
	}
	return row.Limits, nil
}

// LockLimits keeps others from changing limits until the transaction ends. Whoever
// also locks a tenant does that first.
func LockLimits(ctx context.Context, tx pgx.Tx) error {
	_, err := tx.Exec(ctx, `LOCK TABLE rowhouse.limits IN SHARE ROW EXCLUSIVE MODE`)
	return err
}

const (
	setLimitsSQL = `
INSERT INTO rowhouse.limits (kind, tenant_id, connections, waiting, wait_ms, statement_timeout_ms,
       idle_in_transaction_timeout_ms, lock_timeout_ms)
VALUES (nullif($1, ''), nullif($2::text, '')::uuid, $3, $4, $5, $6, $7, $8)
ON CONFLICT ON CONSTRAINT limits_key DO UPDATE SET
       connections = EXCLUDED.connections, waiting = EXCLUDED.waiting, wait_ms = EXCLUDED.wait_ms,
       statement_timeout_ms = EXCLUDED.statement_timeout_ms,
       idle_in_transaction_timeout_ms = EXCLUDED.idle_in_transaction_timeout_ms,
       lock_timeout_ms = EXCLUDED.lock_timeout_ms, updated_on = EXCLUDED.updated_on`
	deleteLimitsSQL = `DELETE FROM rowhouse.limits WHERE kind = nullif($1, '') OR tenant_id = nullif($2::text, '')::uuid`
)

// SetLimits replaces what the catalog says of a kind, or of the tenant with that
// id; the other is empty.
func SetLimits(ctx context.Context, tx pgx.Tx, kind, tenantID string, l Limits) (err error) {
	if l == (Limits{}) {
		_, err = tx.Exec(ctx, deleteLimitsSQL, kind, tenantID)
	} else {
		_, err = tx.Exec(ctx, setLimitsSQL, kind, tenantID, l.Connections, l.Waiting, l.WaitMS,
			l.StatementTimeoutMS, l.IdleInTransactionTimeoutMS, l.LockTimeoutMS)
	}
	if err != nil {
		return fmt.Errorf("write limits: %w", err)
	}
	return nil
}
