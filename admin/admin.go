// Package admin is the operator's door: it makes the catalog, creates tenants and
// looks after them.
//
// An [Admin] connects with the operator's login, apart from the one that the
// application serves with. Everything that it changes is in the catalog's events,
// with who did it, and reaches every process that serves within a second.
//
// Begin with [Open] and [Admin.Create]; migrations are run by [Admin.Migrator].
package admin

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/rowhouse/rowhouse"
	"github.com/rowhouse/rowhouse/internal/catalog"
	"github.com/rowhouse/rowhouse/internal/pool"
	"github.com/rowhouse/rowhouse/migrate"
)

// Config says how an Admin reaches PostgreSQL. Only DatabaseURL is needed.
type Config struct {
	// DatabaseURL is the operator's connection string. Its login must be a
	// superuser, or own the database and have CREATEROLE. It must lead to the
	// server itself: a pooler in transaction mode will not do.
	DatabaseURL string

	// AppLogins are the logins that the application serves with, those of
	// rowhouse.Config.DatabaseURL; they must exist. The operator's own login
	// always may serve, so one login for both needs none here.
	AppLogins []string

	// SharedSchema is the schema of the tables that all tenants see. It counts
	// only when the catalog is made. Defaults to "public".
	SharedSchema string

	// Isolation is what keeps tenants apart. It is chosen when the catalog is
	// made, for good: later it must be what the catalog has, or empty. Defaults
	// to [IsolationRoles] for a new catalog.
	Isolation Isolation

	// Sets are the application's migration sets, in the order in which they run.
	Sets []migrate.Set

	// ReadOnly opens the catalog as it is, to look and not to change: nothing is
	// made, upgraded or granted. A catalog that is not there, or of another
	// version, is an error: [rowhouse.ErrNoCatalog], [rowhouse.ErrCatalogTooOld]
	// or [rowhouse.ErrCatalogTooNew].
	ReadOnly bool

	// Actor is who the events name. Defaults to the name of the login.
	Actor string
}

// Admin looks after the tenants of a catalog. It is safe for concurrent use.
type Admin struct {
	pool     *pgxpool.Pool
	settings catalog.Settings
	migrator *migrate.Migrator
	actor    string
}

// Open connects, and makes the catalog or brings it up to date. Of several that
// open at once, one does it and the others wait. Close the Admin when done.
//
// It returns [rowhouse.ErrInvalidURL], [rowhouse.ErrServerTooOld],
// [rowhouse.ErrPrivilege], [rowhouse.ErrCatalogTooNew], [ErrForeignSchema],
// [ErrIsolation], [*IsolationError], the errors of [migrate.New], and pgconn's when
// the server cannot be reached.
func Open(ctx context.Context, cfg Config) (*Admin, error) {
	pc, err := pgxpool.ParseConfig(cfg.DatabaseURL)
	if err != nil {
		return nil, fmt.Errorf("admin: %w: %w", pool.ErrConfig, err)
	}
	pool.Prepare(pc.ConnConfig)
	p, err := pgxpool.NewWithConfig(ctx, pc)
	if err != nil {
		return nil, fmt.Errorf("admin: %w", err)
	}
	a := &Admin{pool: p, actor: cfg.Actor}
	if a.actor == "" {
		a.actor = pc.ConnConfig.User
	}
	if err := a.open(ctx, cfg); err != nil {
		p.Close()
		return nil, fmt.Errorf("admin: %w", err)
	}
	return a, nil
}

func (a *Admin) open(ctx context.Context, cfg Config) (err error) {
	if a.settings, err = a.catalog(ctx, cfg); err != nil {
		return err
	}
	a.migrator, err = migrate.New(ctx, a.pool, cfg.Sets...)
	return err
}

// catalog makes or upgrades the catalog, or reads it if that is all that is
// wanted.
func (a *Admin) catalog(ctx context.Context, cfg Config) (catalog.Settings, error) {
	conn, err := a.pool.Acquire(ctx)
	if err != nil {
		return catalog.Settings{}, fmt.Errorf("connect to the database: %w", err)
	}
	defer conn.Release()
	if !cfg.ReadOnly {
		return catalog.Install(ctx, conn.Conn(), catalog.Options{
			SharedSchema: cfg.SharedSchema, Isolation: cfg.Isolation, AppLogins: cfg.AppLogins,
		})
	}
	if _, err := catalog.CheckServer(ctx, conn); err != nil {
		return catalog.Settings{}, err
	}
	settings, err := catalog.Load(ctx, conn)
	if err != nil {
		return settings, err
	}
	if err := settings.CheckVersion(); err != nil {
		return settings, err
	}
	return settings, settings.CheckIsolation(cfg.Isolation)
}

// Close closes the connections, after waiting for those in use.
func (a *Admin) Close() { a.pool.Close() }

// Migrator applies the sets of the configuration.
func (a *Admin) Migrator() *migrate.Migrator { return a.migrator }

// SharedSchema is the name of the shared schema.
func (a *Admin) SharedSchema() string { return a.settings.SharedSchema }

// Isolation is what keeps the tenants of this catalog apart.
func (a *Admin) Isolation() Isolation { return a.settings.Isolation }

// Tenant finds a tenant, in any state, by the name of its schema. It returns
// [rowhouse.ErrUnknownTenant] if there is none.
func (a *Admin) Tenant(ctx context.Context, schema string) (*rowhouse.Tenant, error) {
	row, err := catalog.BySchema(ctx, a.pool, schema)
	if err != nil {
		return nil, fmt.Errorf("admin: %w", err)
	}
	return rowhouse.NewTenant(row, a.settings, rowhouse.Limits{}), nil
}

// Tenants lists all tenants, in any state, in the order of their schema names.
func (a *Admin) Tenants(ctx context.Context) ([]*rowhouse.Tenant, error) {
	rows, err := catalog.All(ctx, a.pool)
	if err != nil {
		return nil, fmt.Errorf("admin: %w", err)
	}
	tenants := make([]*rowhouse.Tenant, len(rows))
	for i, row := range rows {
		tenants[i] = rowhouse.NewTenant(row, a.settings, rowhouse.Limits{})
	}
	return tenants, nil
}

// asOwner runs fn in a transaction as the catalog's owner.
func (a *Admin) asOwner(ctx context.Context, fn func(tx pgx.Tx) error) error {
	return pgx.BeginFunc(ctx, a.pool, func(tx pgx.Tx) error {
		if err := catalog.BecomeOwner(ctx, tx, a.settings); err != nil {
			return err
		}
		return fn(tx)
	})
}

// change runs fn in a transaction that holds the tenant's lock and, if fn did
// something, records it under the name of action. It returns the tenant as it is
// afterwards.
func (a *Admin) change(ctx context.Context, schema, action string, fn func(tx pgx.Tx, t catalog.Tenant) (did bool, err error)) (*rowhouse.Tenant, error) {
	var after catalog.Tenant
	err := a.asOwner(ctx, func(tx pgx.Tx) error {
		t, err := catalog.Lock(ctx, tx, schema)
		if err != nil {
			return err
		}
		did, err := fn(tx, t)
		if err != nil {
			return err
		}
		if did {
			if err := catalog.Record(ctx, tx, a.actor, action, t, nil); err != nil {
				return err
			}
		}
		after, err = catalog.BySchema(ctx, tx, schema)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("admin: %s: %w", action, err)
	}
	return rowhouse.NewTenant(after, a.settings, rowhouse.Limits{}), nil
}

// Errors, besides those of package rowhouse. Each is wrapped with what was being
// done; test for them with [errors.Is].
var (
	// ErrForeignSchema: the database has a schema "rowhouse" that is no catalog.
	ErrForeignSchema = catalog.ErrForeignSchema
	// ErrInUse: the tenant's transactions did not end in time.
	ErrInUse = catalog.ErrInUse

	// ErrSchemaTaken: a tenant has that schema name already.
	ErrSchemaTaken = errors.New("the schema name is taken by another tenant")
	// ErrSchemaExists: the database has a schema of that name, which rowhouse
	// did not make and does not touch.
	ErrSchemaExists = errors.New("a schema of that name exists and is no tenant's")
	// ErrDomainTaken: a tenant has that domain already.
	ErrDomainTaken = errors.New("the domain is taken")
	// ErrUnknownDomain: the tenant has no such domain.
	ErrUnknownDomain = errors.New("the tenant has no such domain")
	// ErrPrimaryDomain: a primary domain cannot go while there are others.
	ErrPrimaryDomain = errors.New("it is the primary domain")
	// ErrDependents: objects outside of the tenant's schema depend on it.
	ErrDependents = errors.New("objects of other schemas depend on the tenant's")
)

// StateError: the tenant's state does not allow what was asked.
type StateError struct {
	// Schema is the tenant's.
	Schema string
	// State is the one it is in.
	State rowhouse.State
	// Action is what was asked: "suspend", "purge" and so on.
	Action string
	// Hint says what to do about it. May be empty.
	Hint string
}

// Error names the tenant, its state and what was asked.
func (e *StateError) Error() string {
	msg := fmt.Sprintf("cannot %s tenant %q: it is %s", e.Action, e.Schema, e.State)
	if e.Hint != "" {
		msg += "; " + e.Hint
	}
	return msg
}
