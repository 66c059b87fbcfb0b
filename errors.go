package rowhouse

import (
	"errors"

	"github.com/rowhouse/rowhouse/internal/bind"
	"github.com/rowhouse/rowhouse/internal/catalog"
	"github.com/rowhouse/rowhouse/internal/hostname"
	"github.com/rowhouse/rowhouse/internal/pool"
)

// Errors of units of work. Each is wrapped with what was being done; test for
// them with [errors.Is].
var (
	// ErrNoTenant: the context carries no tenant. Nothing was sent to the
	// database.
	ErrNoTenant = errors.New("rowhouse: no tenant in the context")

	// ErrTenantMismatch: a transaction of one tenant was given the context of
	// another, or a tenant of another catalog was given to this DB. Nothing was
	// sent to the database.
	ErrTenantMismatch = errors.New("rowhouse: the context is another tenant's")

	// ErrTenantUnavailable: the tenant's state allows no work: it is
	// provisioning, archived or trashed. Nothing was sent to the database.
	ErrTenantUnavailable = errors.New("rowhouse: the tenant is not available")

	// ErrTenantBusy: the tenant has as much work waiting as it may, or it waited
	// as long as it may; a [*LimitError] says which. Nothing was sent to the
	// database.
	ErrTenantBusy = errors.New("the tenant is busy")

	// ErrTenantChanged: the tenant's schema is not the one that the catalog
	// means. It was dropped, renamed, recreated or moved since the tenant was
	// looked up, or behind rowhouse's back. The server refused the work.
	ErrTenantChanged = bind.ErrChanged

	// ErrStatementRefused: the statement would change the session or the
	// transaction that it runs in: SET, RESET, BEGIN, COMMIT, DISCARD and the
	// like. Nothing was sent to the database.
	ErrStatementRefused = bind.ErrRefused

	// ErrRetry: a migration changed a table while a transaction, or a batch,
	// was reading it. It was not committed and can be tried again. Statements
	// outside of transactions are tried again by themselves.
	ErrRetry = bind.ErrRetry
)

// Errors of look-ups.
var (
	// ErrUnknownTenant: the catalog has no such tenant or domain.
	ErrUnknownTenant = catalog.ErrNoTenant

	// ErrInvalidHost: what was given is no host name.
	ErrInvalidHost = hostname.ErrInvalid
)

// Errors of [Open].
var (
	// ErrInvalidURL: the connection string cannot be read.
	ErrInvalidURL = pool.ErrConfig

	// ErrInvalidLimit: one of the [Limits] is below zero, or too long a time.
	ErrInvalidLimit = errors.New("invalid limit")

	// ErrNoCatalog: the database has no rowhouse catalog yet. The operator makes
	// it, with "rowhouse migrate" or admin.Open.
	ErrNoCatalog = catalog.ErrNoCatalog

	// ErrCatalogTooOld and ErrCatalogTooNew: the catalog and this program do not
	// fit.
	ErrCatalogTooOld = catalog.ErrTooOld
	ErrCatalogTooNew = catalog.ErrTooNew

	// ErrServerTooOld: PostgreSQL is older than 15.
	ErrServerTooOld = catalog.ErrServerTooOld

	// ErrUnsafePooler: a connection pooler mixes up the work of its clients. The
	// message says what leaked, and how to set the pooler up.
	ErrUnsafePooler = pool.ErrPooler

	// ErrPrivilege: the login lacks a privilege. The message says which, and how
	// to give it.
	ErrPrivilege = catalog.ErrPrivilege
)
