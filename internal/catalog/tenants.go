package catalog

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// ErrNoTenant: the catalog has no such tenant or domain.
var ErrNoTenant = errors.New("no such tenant")

// States of a tenant, as the catalog stores them.
const (
	Provisioning = "provisioning"
	Active       = "active"
	Maintenance  = "maintenance"
	ReadOnly     = "read_only"
	Suspended    = "suspended"
	Archived     = "archived"
	Trashed      = "trashed"
)

// Tenant is a row of rowhouse.tenants with its primary domain and its limits: its
// own, and its kind's where it has none.
type Tenant struct {
	ID        string
	Name      string
	Schema    string
	Kind      string
	State     string
	IsActive  bool
	Database  string
	Metadata  json.RawMessage
	Role      string // empty where all tenants share one; see Settings.RoleOf
	SchemaOID uint32 // 0 while provisioning
	Purging   bool   // some of it may be gone already
	Domain    string // empty without domains
	CreatedOn time.Time
	UpdatedOn time.Time
	Limits
	Shape string // what its tables look like; of [BySchema], [ByDomain] and [ByID] only
}

const tenantColumns = `
SELECT t.id::text, t.name, t.schema_name, t.kind, t.state, t.is_active, t.database, t.metadata,
       coalesce(t.role_name, ''), coalesce(t.schema_oid, 0)::oid, t.purging, coalesce(p.domain, ''), t.created_on, t.updated_on,
       coalesce(o.connections, k.connections), coalesce(o.waiting, k.waiting), coalesce(o.wait_ms, k.wait_ms),
       coalesce(o.statement_timeout_ms, k.statement_timeout_ms),
       coalesce(o.idle_in_transaction_timeout_ms, k.idle_in_transaction_timeout_ms),
       coalesce(o.lock_timeout_ms, k.lock_timeout_ms)`

const tenantFrom = `
FROM rowhouse.tenants t
LEFT JOIN rowhouse.domains p ON p.tenant_id = t.id AND p.is_primary
LEFT JOIN rowhouse.limits o ON o.tenant_id = t.id
LEFT JOIN rowhouse.limits k ON k.kind = t.kind `

// shapeSQL names what the tables of a tenant, and the shared ones, look like, by
// what was migrated.
const shapeSQL = `
(SELECT md5(string_agg(m.set_name || ' ' || m.version || ' ' || m.checksum, ',' ORDER BY m.tenant_id, m.set_name, m.version))
FROM rowhouse.migrations m WHERE m.tenant_id = t.id OR m.tenant_id IS NULL)`

// tenantSQL reads tenants, and lookupSQL one with its shape; each use adds its
// WHERE. All look-ups go by a unique index of tenants or domains, and from there by
// those of domains, limits and migrations.
const (
	tenantSQL = tenantColumns + `, ''` + tenantFrom
	lookupSQL = tenantColumns + `, coalesce(` + shapeSQL + `, '')` + tenantFrom
)

const (
	byIDSQL     = lookupSQL + `WHERE t.id = $1::uuid`
	bySchemaSQL = lookupSQL + `WHERE t.schema_name = $1`
	byDomainSQL = lookupSQL + `WHERE t.id = (SELECT d.tenant_id FROM rowhouse.domains d WHERE d.domain = $1)`
	listSQL     = tenantSQL + `ORDER BY t.schema_name`
	lockSQL     = tenantSQL + `WHERE t.schema_name = $1 FOR UPDATE OF t`

	unfinishedSQL = tenantSQL + `WHERE t.state = 'provisioning'
AND (t.schema_name = $1 OR t.id IN (SELECT d.tenant_id FROM rowhouse.domains d WHERE d.domain = ANY ($2)))
ORDER BY t.schema_name LIMIT 1`
)

// BySchema finds the tenant with that schema name, else [ErrNoTenant].
func BySchema(ctx context.Context, q Querier, schema string) (Tenant, error) {
	return one(ctx, q, bySchemaSQL, "schema", schema)
}

// ByDomain finds the tenant that the normalised host name leads to, else
// [ErrNoTenant].
func ByDomain(ctx context.Context, q Querier, domain string) (Tenant, error) {
	return one(ctx, q, byDomainSQL, "domain", domain)
}

// ByID finds the tenant with that id, else [ErrNoTenant].
func ByID(ctx context.Context, q Querier, id string) (Tenant, error) {
	return one(ctx, q, byIDSQL, "id", id)
}

// Lock finds a tenant by schema name and locks its row until the transaction
// ends.
func Lock(ctx context.Context, tx pgx.Tx, schema string) (Tenant, error) {
	return one(ctx, tx, lockSQL, "schema", schema)
}

// Unfinished finds a tenant in state provisioning that has that schema name or
// one of the domains, else [ErrNoTenant].
func Unfinished(ctx context.Context, q Querier, schema string, domains []string) (Tenant, error) {
	return one(ctx, q, unfinishedSQL, "schema", schema, domains)
}

// All lists the tenants in the order of their schema names.
func All(ctx context.Context, q Querier) ([]Tenant, error) {
	rows, err := q.Query(ctx, listSQL)
	if err != nil {
		return nil, fmt.Errorf("list tenants: %w", err)
	}
	tenants, err := pgx.CollectRows(rows, pgx.RowToStructByPos[Tenant])
	if err != nil {
		return nil, fmt.Errorf("list tenants: %w", err)
	}
	return tenants, nil
}

// one runs a query for a single tenant, whose first argument is value; what is
// the word for it.
func one(ctx context.Context, q Querier, sql, what, value string, more ...any) (Tenant, error) {
	rows, err := q.Query(ctx, sql, append([]any{value}, more...)...)
	if err != nil {
		return Tenant{}, fmt.Errorf("look up tenant by %s %q: %w", what, value, err)
	}
	t, err := pgx.CollectExactlyOneRow(rows, pgx.RowToStructByPos[Tenant])
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return Tenant{}, fmt.Errorf("%w: %s %q", ErrNoTenant, what, value)
	case err != nil:
		return Tenant{}, fmt.Errorf("look up tenant by %s %q: %w", what, value, err)
	}
	return t, nil
}

const insertTenantSQL = `
INSERT INTO rowhouse.tenants (id, name, schema_name, kind, metadata, role_name)
SELECT n.id, $1, $2, $3, $4, nullif($5::text, '') || replace(n.id::text, '-', '')
FROM (SELECT gen_random_uuid() AS id) n
RETURNING id::text, coalesce(role_name, '')`

// InsertTenant adds a tenant in state provisioning and fills in its ID and, where
// tenants have roles of their own, its Role.
func InsertTenant(ctx context.Context, tx pgx.Tx, s Settings, t *Tenant) error {
	if t.Metadata == nil {
		t.Metadata = json.RawMessage(`{}`)
	}
	prefix := s.RolePrefix
	if s.Isolation == IsolationSearchPath {
		prefix = ""
	}
	return tx.QueryRow(ctx, insertTenantSQL, t.Name, t.Schema, t.Kind, t.Metadata, prefix).Scan(&t.ID, &t.Role)
}

const adoptSchemaSQL = `
UPDATE rowhouse.tenants SET schema_oid = to_regnamespace(quote_ident(schema_name))::oid WHERE id = $1::uuid`

// AdoptSchema records the identity of the tenant's schema, which was just made.
func AdoptSchema(ctx context.Context, tx pgx.Tx, id string) error {
	_, err := tx.Exec(ctx, adoptSchemaSQL, id)
	return err
}

const setStateSQL = `
UPDATE rowhouse.tenants SET state = $2,
       previous_state = CASE WHEN $2 = 'trashed' THEN state END
WHERE id = $1::uuid`

// SetState moves a tenant to a state. Whether the move is allowed is for the
// caller, who holds the row's lock.
func SetState(ctx context.Context, tx pgx.Tx, id, state string) error {
	_, err := tx.Exec(ctx, setStateSQL, id, state)
	return err
}

// Rename gives a tenant's row another schema name. The schema itself is for the
// caller, who holds the row's lock.
func Rename(ctx context.Context, tx pgx.Tx, id, schema string) error {
	_, err := tx.Exec(ctx, `UPDATE rowhouse.tenants SET schema_name = $2 WHERE id = $1::uuid`, id, schema)
	return err
}

// SetPurging notes that the purge of a tenant has begun.
func SetPurging(ctx context.Context, tx pgx.Tx, id string) error {
	_, err := tx.Exec(ctx, `UPDATE rowhouse.tenants SET purging = true WHERE id = $1::uuid AND NOT purging`, id)
	return err
}

// RestoreState takes a tenant out of the trash, to the state that it had before.
func RestoreState(ctx context.Context, tx pgx.Tx, id string) error {
	_, err := tx.Exec(ctx, `UPDATE rowhouse.tenants SET state = previous_state, previous_state = NULL WHERE id = $1::uuid`, id)
	return err
}

// DeleteTenant removes the row of a tenant and, by cascade, its domains and its
// part of the ledger. The database refuses it for a tenant that is in use.
func DeleteTenant(ctx context.Context, tx pgx.Tx, id string) error {
	_, err := tx.Exec(ctx, `DELETE FROM rowhouse.tenants WHERE id = $1::uuid`, id)
	return err
}

const insertEventSQL = `
INSERT INTO rowhouse.events (actor, action, tenant_id, schema_name, detail)
VALUES ($1, $2, nullif($3::text, '')::uuid, nullif($4, ''), $5)`

// Record writes an event about a tenant, or about none. detail may be nil.
func Record(ctx context.Context, tx pgx.Tx, actor, action string, t Tenant, detail map[string]any) error {
	if detail == nil {
		detail = map[string]any{}
	}
	if _, err := tx.Exec(ctx, insertEventSQL, actor, action, t.ID, t.Schema, detail); err != nil {
		return fmt.Errorf("record event %s: %w", action, err)
	}
	return nil
}

// ErrSchemaChanged: the schema that bears a tenant's name is not the one that
// was made for it.
var ErrSchemaChanged = errors.New("the tenant's schema is not the one that the catalog means")

// CheckSchemaOID returns [ErrSchemaChanged] if the schema of the tenant was
// dropped, renamed or recreated behind rowhouse's back.
func CheckSchemaOID(ctx context.Context, q Querier, t Tenant) error {
	var oid *uint32
	err := q.QueryRow(ctx, `SELECT to_regnamespace(quote_ident($1))::oid`, t.Schema).Scan(&oid)
	switch {
	case err != nil:
		return fmt.Errorf("look for schema %q: %w", t.Schema, err)
	case oid == nil:
		return fmt.Errorf("%w: there is no schema %q", ErrSchemaChanged, t.Schema)
	case *oid != t.SchemaOID:
		return fmt.Errorf("%w: schema %q was made by somebody else", ErrSchemaChanged, t.Schema)
	}
	return nil
}
