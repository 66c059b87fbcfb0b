package catalog

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// Domain is a row of rowhouse.domains.
type Domain struct {
	Domain    string
	Schema    string
	IsPrimary bool
	CreatedOn time.Time
}

const domainsSQL = `
SELECT d.domain, t.schema_name, d.is_primary, d.created_on
FROM rowhouse.domains d JOIN rowhouse.tenants t ON t.id = d.tenant_id
WHERE $1 = '' OR t.schema_name = $1
ORDER BY t.schema_name, d.is_primary DESC, d.domain`

// Domains lists the domains of one tenant, or of all for an empty schema; the
// primary one first.
func Domains(ctx context.Context, q Querier, schema string) ([]Domain, error) {
	rows, err := q.Query(ctx, domainsSQL, schema)
	if err != nil {
		return nil, fmt.Errorf("list domains: %w", err)
	}
	domains, err := pgx.CollectRows(rows, pgx.RowToStructByPos[Domain])
	if err != nil {
		return nil, fmt.Errorf("list domains: %w", err)
	}
	return domains, nil
}

// The first domain of a tenant is its primary one, asked for or not.
const insertDomainSQL = `
INSERT INTO rowhouse.domains (domain, tenant_id, is_primary)
SELECT $2, $1::uuid, NOT EXISTS (SELECT FROM rowhouse.domains WHERE tenant_id = $1::uuid)`

// InsertDomain adds a normalised host name to a tenant.
func InsertDomain(ctx context.Context, tx pgx.Tx, tenantID, domain string) error {
	_, err := tx.Exec(ctx, insertDomainSQL, tenantID, domain)
	return err
}

// DeleteDomain removes a domain of a tenant. It returns how many that were.
func DeleteDomain(ctx context.Context, tx pgx.Tx, tenantID, domain string) (int64, error) {
	tag, err := tx.Exec(ctx, `DELETE FROM rowhouse.domains WHERE tenant_id = $1::uuid AND domain = $2`, tenantID, domain)
	return tag.RowsAffected(), err
}

// SetPrimary makes a domain of a tenant its primary one. It returns false when
// the tenant has no such domain; nothing may be committed then. Two statements,
// as the unique index is checked row by row.
func SetPrimary(ctx context.Context, tx pgx.Tx, tenantID, domain string) (bool, error) {
	_, err := tx.Exec(ctx, `UPDATE rowhouse.domains SET is_primary = false WHERE tenant_id = $1::uuid AND is_primary AND domain <> $2`, tenantID, domain)
	if err != nil {
		return false, err
	}
	tag, err := tx.Exec(ctx, `UPDATE rowhouse.domains SET is_primary = true WHERE tenant_id = $1::uuid AND domain = $2`, tenantID, domain)
	return tag.RowsAffected() == 1, err
}
