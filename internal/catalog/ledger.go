package catalog

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
)

// Applied is what the ledger says of one set in one schema.
type Applied struct {
	// TenantID is empty for the shared schema. So are Schema, Kind and State.
	TenantID, Schema, Kind, State string
	// Set is empty for a tenant of which the ledger has nothing.
	Set string
	// Versions and Checksums go together, in the order of the versions.
	Versions  []int64
	Checksums []string
}

// One scan of the ledger, whatever the number of tenants. Tenants that are not
// migrated at all are left out: those being made, and those put away.
const ledgerSQL = `
SELECT coalesce(t.id::text, ''), coalesce(t.schema_name, ''), coalesce(t.kind, ''), coalesce(t.state, ''),
       coalesce(m.set_name, ''), m.versions, m.checksums
FROM (SELECT * FROM rowhouse.tenants WHERE state NOT IN ('provisioning', 'archived', 'trashed')) t
FULL JOIN (
    SELECT tenant_id, set_name, array_agg(version ORDER BY version) AS versions,
           array_agg(checksum ORDER BY version) AS checksums
    FROM rowhouse.migrations GROUP BY tenant_id, set_name
) m ON m.tenant_id = t.id
WHERE t.id IS NOT NULL OR m.tenant_id IS NULL
ORDER BY t.schema_name NULLS FIRST, m.set_name`

// Ledger reads what has been applied where: to the shared schema first, then to
// each tenant in the order of the schema names.
func Ledger(ctx context.Context, q Querier) ([]Applied, error) {
	rows, err := q.Query(ctx, ledgerSQL)
	if err != nil {
		return nil, fmt.Errorf("read the migration ledger: %w", err)
	}
	applied, err := pgx.CollectRows(rows, pgx.RowToStructByPos[Applied])
	if err != nil {
		return nil, fmt.Errorf("read the migration ledger: %w", err)
	}
	return applied, nil
}

// Entry is one row of the ledger to be written.
type Entry struct {
	TenantID string // empty for the shared schema
	Set      string
	Version  int64
	Name     string
	Checksum string
	Duration time.Duration
}

const insertEntrySQL = `
INSERT INTO rowhouse.migrations (tenant_id, set_name, version, name, checksum, duration)
VALUES (nullif($1, '')::uuid, $2, $3, $4, $5, $6)`

// InsertEntry records a migration in the transaction that applied it.
func InsertEntry(ctx context.Context, tx pgx.Tx, e Entry) error {
	_, err := tx.Exec(ctx, insertEntrySQL, e.TenantID, e.Set, e.Version, e.Name, e.Checksum, e.Duration)
	if err != nil {
		return fmt.Errorf("record migration %s %d: %w", e.Set, e.Version, err)
	}
	return nil
}

const hasEntrySQL = `
SELECT EXISTS (SELECT FROM rowhouse.migrations
WHERE tenant_id IS NOT DISTINCT FROM nullif($1, '')::uuid AND set_name = $2 AND version = $3)`

// HasEntry tells whether a migration has been applied to a tenant, or to the
// shared schema for an empty tenantID.
func HasEntry(ctx context.Context, q Querier, tenantID, set string, version int64) (has bool, err error) {
	if err = q.QueryRow(ctx, hasEntrySQL, tenantID, set, version).Scan(&has); err != nil {
		err = fmt.Errorf("look for migration %s %d in the ledger: %w", set, version, err)
	}
	return has, err
}

// migrateLock is the class of the advisory locks of schemas that are being
// migrated ("rhmg" in ASCII).
const migrateLock = 0x72686d67

// LockSchema locks the schema of a tenant, or the shared one for an empty
// tenantID, against other migrators until the transaction ends.
//
// It asks again and again instead of waiting in the server: a statement that waits
// holds a snapshot, and the CREATE INDEX CONCURRENTLY that it may be waiting for
// would wait for that snapshot in turn, for ever, as half of the circle is here
// where PostgreSQL does not see it. In the extended protocol the portal of a
// statement that is done holds one, too.
func LockSchema(ctx context.Context, tx pgx.Tx, tenantID string) error {
	const sql = `SELECT pg_catalog.pg_try_advisory_xact_lock($1, pg_catalog.hashtext($2))`
	for pause := 5 * time.Millisecond; ; pause = min(2*pause, 200*time.Millisecond) {
		var locked bool
		if err := tx.QueryRow(ctx, sql, pgx.QueryExecModeSimpleProtocol, migrateLock, tenantID).Scan(&locked); err != nil {
			return fmt.Errorf("lock the schema for migrating: %w", err)
		}
		if locked {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for another migrator: %w", ctx.Err())
		case <-time.After(pause/2 + rand.N(pause/2)):
		}
	}
}

// HoldKey is the advisory lock that a tenant's transactions share ("rhho" in ASCII
// and the OID of its schema). Who has it alone may rename the schema: no name is
// being looked up in it.
func HoldKey(schemaOID uint32) int64 { return 0x7268686f<<32 | int64(schemaOID) }

// ErrInUse: the tenant's transactions did not end in time.
var ErrInUse = errors.New("the tenant has open transactions")

const (
	// holdPatience is how long a rename waits for a moment without transactions.
	holdPatience = 5 * time.Second
	// holdTimeout is how long after that it waits for those that are open, while
	// new ones are refused.
	holdTimeout = 2 * time.Second
)

// Hold waits until the tenant whose schema has the OID has no transaction open, and
// keeps new ones away until tx ends. After some seconds it returns [ErrInUse].
func Hold(ctx context.Context, tx pgx.Tx, schemaOID uint32) error {
	deadline := time.Now().Add(holdPatience)
	for pause := time.Millisecond; time.Now().Before(deadline); pause = min(2*pause, 50*time.Millisecond) {
		var held bool
		err := tx.QueryRow(ctx, `SELECT pg_catalog.pg_try_advisory_xact_lock($1)`, HoldKey(schemaOID)).Scan(&held)
		if err != nil {
			return fmt.Errorf("wait for the tenant's transactions: %w", err)
		}
		if held {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for the tenant's transactions: %w", ctx.Err())
		case <-time.After(pause/2 + rand.N(pause/2)):
		}
	}
	ms := strconv.FormatInt(holdTimeout.Milliseconds(), 10)
	_, err := tx.Exec(ctx, `SET LOCAL lock_timeout = `+ms+`; SELECT pg_catalog.pg_advisory_xact_lock(`+
		strconv.FormatInt(HoldKey(schemaOID), 10)+`); SET LOCAL lock_timeout = DEFAULT`, pgx.QueryExecModeSimpleProtocol)
	if Code(err) == "55P03" {
		return fmt.Errorf("%w for more than %s", ErrInUse, holdPatience+holdTimeout)
	}
	if err != nil {
		return fmt.Errorf("wait for the tenant's transactions: %w", err)
	}
	return nil
}

// LockForMigration locks a tenant's row until the transaction ends, and returns it
// as it is now. Domains may be added meanwhile; a rename and a delete wait.
func LockForMigration(ctx context.Context, tx Querier, id string) (Tenant, error) {
	return one(ctx, tx, tenantSQL+`WHERE t.id = $1::uuid FOR NO KEY UPDATE OF t`, "id", id)
}
