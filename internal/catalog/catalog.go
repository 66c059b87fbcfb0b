// Package catalog is the schema "rowhouse": which tenants there are, where they
// live, which migrations they have and what was done to them. Every statement
// that touches these tables is here, each in a named constant.
//
// # Roles
//
// Roles are cluster-wide, so their names carry the oid of the database that
// they were made for. Seven of them belong to the catalog:
//
//	rh_16384_owner    owns the catalog; migrations of the shared schema run as it
//	rh_16384_builder  owns every tenant schema; migrations of tenants run as it
//	rh_16384_admin    the operator's door: may become the owner or the builder
//	rh_16384_app      the application's door: may become a tenant or the shared role
//	rh_16384_shared   what work on the shared schema runs as
//	rh_16384_tenants  what every tenant may do in the shared schema
//	rh_16384_renamer  renames tenants' schemas: the builder with CREATE on the database
//
// and one to each tenant, named after its immutable id (rh_16384_ and 32 hex
// digits). With [IsolationSearchPath] no tenant has one: all work as
// rh_16384_tenants, which may use every tenant's schema then.
//
// The builder may not create in the shared schema, so that a tenant's
// migration which would is refused by PostgreSQL. The two doors are NOINHERIT: a login that is a member of a door may
// SET ROLE through it, and has none of the rights behind it before it does. So a
// login reads no tenant's rows until it is bound, on PostgreSQL 15 as well,
// where memberships cannot say WITH INHERIT FALSE, and whatever attributes the
// login has.
//
// Begin reading at [Install].
package catalog

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/rowhouse/rowhouse/internal/ident"
)

// MinServerVersion is the oldest PostgreSQL that rowhouse works with, as
// server_version_num: UNIQUE NULLS NOT DISTINCT came with 15.
const MinServerVersion = 150000

// Channel is where the catalog's triggers notify of changes.
const Channel = "rowhouse"

var (
	// ErrNoCatalog: the database has no catalog, or the login may not read it.
	ErrNoCatalog = errors.New("no rowhouse catalog in this database")
	// ErrTooNew: the catalog was made by a newer rowhouse.
	ErrTooNew = errors.New("the rowhouse catalog is newer than this program")
	// ErrTooOld: the catalog must be upgraded before this program can use it.
	ErrTooOld = errors.New("the rowhouse catalog is older than this program")
	// ErrServerTooOld: PostgreSQL is older than [MinServerVersion].
	ErrServerTooOld = errors.New("PostgreSQL is too old")
	// ErrPrivilege: the login lacks a privilege for what was asked.
	ErrPrivilege = errors.New("the database login lacks a privilege")
	// ErrForeignSchema: there is a schema called rowhouse that is no catalog.
	ErrForeignSchema = errors.New(`a schema "rowhouse" exists that rowhouse did not make`)
)

// Querier runs statements: a pool, a connection or a transaction.
type Querier interface {
	Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error)
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

// Settings is what a catalog says of itself.
type Settings struct {
	// Home tells this catalog from any other: its id and the database's oid.
	Home string
	// RolePrefix begins the name of every role of this catalog.
	RolePrefix string
	// SharedSchema holds the tables that all tenants see.
	SharedSchema string
	// Isolation is what keeps tenants apart: [IsolationRoles] or
	// [IsolationSearchPath].
	Isolation Isolation
	// Version counts the catalog's own migrations that were applied.
	Version int
}

// Owner names the role that owns the catalog and the tables of the shared schema.
func (s Settings) Owner() string { return s.RolePrefix + "owner" }

// Builder names the role that owns all tenants' schemas.
func (s Settings) Builder() string { return s.RolePrefix + "builder" }

// Admin names the operator's door.
func (s Settings) Admin() string { return s.RolePrefix + "admin" }

// App names the application's door.
func (s Settings) App() string { return s.RolePrefix + "app" }

// Shared names the role of work on the shared schema.
func (s Settings) Shared() string { return s.RolePrefix + "shared" }

// Tenants names the group of all tenants' roles.
func (s Settings) Tenants() string { return s.RolePrefix + "tenants" }

// Renamer names the role that renames tenants' schemas. PostgreSQL wants two
// things for that which no other role has both of: to own the schema, and CREATE
// on the database, with which a tenant's migration could make schemas.
func (s Settings) Renamer() string { return s.RolePrefix + "renamer" }

// RoleOf names the role that work of the tenant runs as: its own, or the one that
// all share.
func (s Settings) RoleOf(t Tenant) string {
	if t.Role == "" {
		return s.Tenants()
	}
	return t.Role
}

// SearchPath is the search_path of a unit of work in schema: the schema, then
// the shared one. pg_temp comes last, where a temporary table shadows nothing.
func (s Settings) SearchPath(schema string) string {
	path := ident.Quote(schema)
	if schema != s.SharedSchema {
		path += ", " + ident.Quote(s.SharedSchema)
	}
	return path + ", pg_temp"
}

const settingsSQL = `
SELECT s.catalog_id::text || '/' || d.oid, s.role_prefix, s.shared_schema, s.isolation,
       (SELECT max(version) FROM rowhouse.versions)
FROM rowhouse.settings s, pg_catalog.pg_database d
WHERE d.datname = pg_catalog.current_database()`

// Load reads the settings. It returns [ErrNoCatalog] when there is no catalog,
// [ErrPrivilege] when the login may not read it.
func Load(ctx context.Context, q Querier) (Settings, error) {
	var s Settings
	err := q.QueryRow(ctx, settingsSQL).Scan(&s.Home, &s.RolePrefix, &s.SharedSchema, &s.Isolation, &s.Version)
	switch code := Code(err); {
	case code == "42P01" || code == "3F000" || errors.Is(err, pgx.ErrNoRows):
		return Settings{}, ErrNoCatalog
	case code == "42501":
		return Settings{}, fmt.Errorf("%w to read the rowhouse catalog: let the operator name this login as an application login: %w", ErrPrivilege, err)
	case err != nil:
		return Settings{}, fmt.Errorf("read the rowhouse catalog's settings: %w", err)
	}
	return s, nil
}

// CheckVersion compares the catalog with this program. It returns [ErrTooNew]
// or [ErrTooOld] where they do not fit.
func (s Settings) CheckVersion() error {
	switch want := len(migrations()); {
	case s.Version > want:
		return fmt.Errorf("%w: it is at version %d, this program knows up to %d; upgrade the program", ErrTooNew, s.Version, want)
	case s.Version < want:
		return fmt.Errorf("%w: it is at version %d, this program needs %d; run \"rowhouse migrate\" with the operator's login", ErrTooOld, s.Version, want)
	}
	return nil
}

// CheckServer returns [ErrServerTooOld] for a server that is older than
// [MinServerVersion].
func CheckServer(ctx context.Context, q Querier) (version int, err error) {
	if err := q.QueryRow(ctx, `SELECT current_setting('server_version_num')::int`).Scan(&version); err != nil {
		return 0, fmt.Errorf("ask the server's version: %w", err)
	}
	if version < MinServerVersion {
		return version, fmt.Errorf("%w: it is %d, the oldest that works is %d", ErrServerTooOld, version/10000, MinServerVersion/10000)
	}
	return version, nil
}

// Code is the SQLSTATE of an error that came from PostgreSQL, else empty.
func Code(err error) string {
	var pgErr *pgconn.PgError
	if errors.As(err, &pgErr) {
		return pgErr.Code
	}
	return ""
}

// Constraint is the constraint that an error of PostgreSQL names, else empty.
func Constraint(err error) string {
	var pgErr *pgconn.PgError
	if errors.As(err, &pgErr) {
		return pgErr.ConstraintName
	}
	return ""
}

const checkLoginSQL = `
SELECT current_user::text,
       CASE WHEN pg_catalog.current_setting('server_version_num')::int < 160000 THEN pg_catalog.pg_has_role(r.oid, 'MEMBER')
            ELSE pg_catalog.pg_has_role(r.oid, 'SET') END,
       pg_catalog.has_function_privilege('pg_catalog.set_config(text, text, boolean)', 'EXECUTE')
FROM pg_catalog.pg_roles r WHERE r.rolname = $1`

// CheckLogin returns [ErrPrivilege] if the current login cannot serve the
// application.
func CheckLogin(ctx context.Context, q Querier, s Settings) error {
	var login string
	var member, canBind bool
	err := q.QueryRow(ctx, checkLoginSQL, s.App()).Scan(&login, &member, &canBind)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return fmt.Errorf("%w: role %s does not exist; run \"rowhouse migrate\" with the operator's login", ErrPrivilege, s.App())
	case err != nil:
		return fmt.Errorf("check the login's privileges: %w", err)
	case !member:
		return fmt.Errorf("%w: %q is no application login: GRANT %s TO %s", ErrPrivilege, login, ident.Quote(s.App()), ident.Quote(login))
	case !canBind:
		return fmt.Errorf("%w: %q may not call set_config, since it is NOINHERIT: ALTER ROLE %s INHERIT", ErrPrivilege, login, ident.Quote(login))
	}
	return nil
}

// BecomeOwner makes what follows in the transaction run as the catalog's owner.
// It returns [ErrPrivilege] if the login may not.
func BecomeOwner(ctx context.Context, tx pgx.Tx, s Settings) error {
	_, err := tx.Exec(ctx, `SET LOCAL ROLE `+ident.Quote(s.Owner()))
	switch {
	case Code(err) == "42501":
		return fmt.Errorf("%w: this login is not the operator's: GRANT %s to it, or use the login that made the catalog: %w", ErrPrivilege, ident.Quote(s.Admin()), err)
	case err != nil:
		return fmt.Errorf("become the catalog's owner: %w", err)
	}
	return nil
}
