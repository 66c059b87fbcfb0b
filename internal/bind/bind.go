// Package bind is what is sent so that work runs as one tenant, and how the
// answer is checked.
//
// PostgreSQL runs everything up to one Sync of the extended protocol as one
// implicit transaction. So the bind statement and the user's statement, written
// to the network together, are a binding that lasts for that statement and
// leaves nothing behind, without BEGIN, COMMIT or a round trip of its own:
//
//	Bind/Execute  set_config(…, true) for search_path, tenant id and role
//	Bind/Execute  SELECT … (the user's)
//	Sync
//
// The server skips the user's statement when the bind statement fails, and it
// fails unless the tenant's schema exists and is the one that the catalog
// means: PostgreSQL would ignore a missing schema in search_path and go on to
// the shared one. A statement that the connection has not seen yet is parsed
// under a binding too, in a flight of its own: names resolve when it is parsed.
//
// A [Session] does this on one connection. Begin reading at [Session.Query].
package bind

import (
	"errors"
	"fmt"
	"strconv"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/rowhouse/rowhouse/internal/catalog"
)

var (
	// ErrChanged: the tenant's schema or role is not the one that the catalog
	// means: it was dropped, renamed, recreated or moved.
	ErrChanged = catalog.ErrSchemaChanged
	// ErrNotAdmitted: the login may not become the role of the binding.
	ErrNotAdmitted = errors.New("the database login may not bind")
)

// statementSQL binds. set_config is called for the role last, in the one
// expression that also holds the check: where the schema that bears the
// tenant's schema name is not the one of the catalog, the role asked for cannot
// exist, and the statement fails.
//
// The functions are looked up by name in pg_catalog, so no search_path that was
// left by anybody changes what it means.
const statementSQL = `
SELECT pg_catalog.set_config('search_path', $1::pg_catalog.text, true),
       pg_catalog.set_config('rowhouse.tenant_id', $2::pg_catalog.text, true),
       pg_catalog.set_config('role', CASE
           WHEN pg_catalog.to_regnamespace($3::pg_catalog.text)::pg_catalog.oid OPERATOR(pg_catalog.=) $4::pg_catalog.oid
           THEN $5::pg_catalog.text ELSE 'rowhouse: schema changed' END, true)`

// readOnlySQL binds to a tenant whose writes PostgreSQL refuses. It lets nobody
// take that back once a query has run in the transaction, as this one has.
const readOnlySQL = statementSQL + `, pg_catalog.set_config('transaction_read_only', 'on', true)`

// Binding is what a unit of work runs as. It is made once for each tenant and
// used by many connections at once: its parameters are encoded already.
type Binding struct {
	name     string
	params   [][]byte
	readOnly bool
}

// Target says what a [Binding] binds to.
type Target struct {
	// Schema must exist under this name with this OID, or the work is refused.
	Schema    string
	SchemaOID uint32
	// Role is what the work runs as.
	Role string
	// SearchPath is its search_path, identifiers quoted.
	SearchPath string
	// ReadOnly makes PostgreSQL refuse writes.
	ReadOnly bool
	// TenantID is the value of the setting rowhouse.tenant_id. May be empty.
	TenantID string
}

// New makes a binding.
func New(t Target) *Binding {
	return &Binding{
		name:     t.Schema,
		readOnly: t.ReadOnly,
		params: [][]byte{
			[]byte(t.SearchPath),
			[]byte(t.TenantID),
			[]byte(t.Schema),
			strconv.AppendUint(nil, uint64(t.SchemaOID), 10),
			[]byte(t.Role),
		},
	}
}

// failed explains an error that the bind statement got.
func (b *Binding) failed(err error) error {
	var pgErr *pgconn.PgError
	if !errors.As(err, &pgErr) {
		return fmt.Errorf("bind to schema %q: %w", b.name, err)
	}
	switch pgErr.Code {
	case "22023": // the role of the CASE's ELSE, or the tenant's own, does not exist
		return fmt.Errorf("bind to schema %q: %w: it, or its role, was dropped, renamed, recreated or moved: %w", b.name, ErrChanged, err)
	case "42501":
		return fmt.Errorf("bind to schema %q: %w: the operator must name it as an application login: %w", b.name, ErrNotAdmitted, err)
	}
	return fmt.Errorf("bind to schema %q: %w", b.name, err)
}
