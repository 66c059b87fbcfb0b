package admin

import "github.com/rowhouse/rowhouse/internal/catalog"

// Isolation says what keeps the tenants of a catalog apart. It is chosen once,
// when the catalog is made.
type Isolation = catalog.Isolation

const (
	// IsolationRoles gives each tenant a role of its own, so that PostgreSQL
	// refuses SQL that names another tenant's schema.
	IsolationRoles = catalog.IsolationRoles
	// IsolationSearchPath lets all tenants work as one role: no role is made or
	// dropped with a tenant. What keeps a tenant in its schema is its
	// search_path; SQL that names another tenant's schema reaches it. It is for
	// databases where roles cannot be made after the set-up, or where a login
	// with thousands of them is slow (before PostgreSQL 17).
	// [rowhouse.DB.WallGaps] tells of it.
	IsolationSearchPath = catalog.IsolationSearchPath
)

// ErrIsolation: the isolation that was asked for is neither [IsolationRoles] nor
// [IsolationSearchPath].
var ErrIsolation = catalog.ErrIsolation

// IsolationError: the catalog has another isolation (Catalog) than was asked for
// (Asked), and nothing was changed. To have the other make a new catalog, in
// another database.
type IsolationError = catalog.IsolationError
