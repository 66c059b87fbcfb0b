package admin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/rowhouse/rowhouse"
	"github.com/rowhouse/rowhouse/internal/catalog"
	"github.com/rowhouse/rowhouse/internal/hostname"
	"github.com/rowhouse/rowhouse/internal/ident"
	"github.com/rowhouse/rowhouse/migrate"
)

// Errors of names.
var (
	// ErrSchemaName: the schema name is not allowed.
	ErrSchemaName = ident.ErrSchemaName
	// ErrName: the tenant's name is empty, too long or no text.
	ErrName = ident.ErrName
	// ErrLabel: the kind is not allowed.
	ErrLabel = ident.ErrLabel
	// ErrMetadata: the metadata do not encode to a JSON object.
	ErrMetadata = errors.New("the metadata are no JSON object")
)

// CreateParams describe a new tenant.
type CreateParams struct {
	// Name is for people: 1 to 100 characters.
	Name string
	// Schema is the name of its schema: it must start with a letter and only
	// contain lowercase letters, numbers or underscores, have at most 63 bytes
	// and not be reserved (public, information_schema, rowhouse, the shared
	// schema, pg_…).
	Schema string
	// Domains lead to the tenant; the first is its primary one. May be empty.
	Domains []string
	// Kind is the class of tenants that it belongs to. Defaults to "default".
	Kind string
	// Metadata are the application's own fields: a struct or map that
	// [json.Marshal] makes an object of. May be nil.
	Metadata any
}

// Create makes a tenant: row, domains, role, schema, privileges and all tenant
// migrations, in one transaction. When it returns nil the tenant is active and
// its domains lead to it; when it returns an error, or the process was killed,
// there is nothing that could be reached and nothing that a second try trips
// over.
//
// If a tenant set has a migration that cannot run in a transaction, the tenant is
// committed in state provisioning first, and becomes active last.
//
// It returns [ErrName], [ErrSchemaName], [rowhouse.ErrInvalidHost], [ErrLabel],
// [ErrMetadata], [ErrSchemaTaken], [ErrSchemaExists], [ErrDomainTaken],
// [rowhouse.ErrPrivilege] and [*migrate.Error].
func (a *Admin) Create(ctx context.Context, params CreateParams) (*rowhouse.Tenant, error) {
	c, err := a.newCreation(params)
	if err != nil {
		return nil, fmt.Errorf("admin: create tenant: %w", err)
	}
	conn, err := a.pool.Acquire(ctx)
	if err != nil {
		return nil, fmt.Errorf("admin: create tenant: %w", err)
	}
	defer conn.Release()
	for again := true; again; {
		err = c.create(ctx, conn)
		if again = errors.Is(err, ErrSchemaTaken) || errors.Is(err, ErrDomainTaken); again {
			// It may be taken by what a killed Create left.
			again, err = c.clearLeftover(ctx, conn, err)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("admin: create tenant %q: %w", params.Schema, err)
	}
	return a.Tenant(ctx, c.tenant.Schema)
}

// creation is one tenant being made.
type creation struct {
	*Admin
	tenant  catalog.Tenant
	domains []string
}

func (a *Admin) newCreation(p CreateParams) (*creation, error) {
	if p.Kind == "" {
		p.Kind = "default"
	}
	if err := errors.Join(ident.CheckName(p.Name), ident.CheckSchema(p.Schema, a.settings.SharedSchema), ident.CheckLabel("kind", p.Kind)); err != nil {
		return nil, err
	}
	c := &creation{Admin: a, tenant: catalog.Tenant{Name: p.Name, Schema: p.Schema, Kind: p.Kind, State: catalog.Provisioning}}
	for _, d := range p.Domains {
		domain, err := hostname.Normalize(d)
		if err != nil {
			return nil, err
		}
		c.domains = append(c.domains, domain)
	}
	if p.Metadata != nil {
		encoded, err := json.Marshal(p.Metadata)
		if err != nil || len(encoded) == 0 || encoded[0] != '{' {
			return nil, fmt.Errorf("%w: %T: %v", ErrMetadata, p.Metadata, err)
		}
		c.tenant.Metadata = encoded
	}
	return c, nil
}

func (c *creation) create(ctx context.Context, conn *pgxpool.Conn) error {
	name, err := c.await(ctx, conn, c.tenant.Schema)
	if err != nil {
		return err
	}
	alone := false
	err = pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		if err := c.insert(ctx, tx); err != nil {
			return err
		}
		if err := c.check(ctx, tx, name); err != nil {
			return err
		}
		if err := c.build(ctx, tx); err != nil {
			return err
		}
		err := c.migrator.Provision(ctx, tx, c.tenant.ID, c.tenant.Schema, c.tenant.Kind)
		if alone = errors.Is(err, migrate.ErrNotInTransaction); alone {
			// Held until the tenant is active, so that nobody takes it for
			// what a killed process left.
			_, err = tx.Exec(ctx, `SELECT pg_advisory_lock($1, hashtext($2))`, provisionLock, c.tenant.Schema)
			return err
		}
		if err != nil {
			return err
		}
		return c.activate(ctx, tx)
	})
	if alone {
		defer unlockProvisioning(ctx, conn, c.tenant.Schema)
	}
	if err != nil || !alone {
		return err
	}
	return c.finish(ctx, conn)
}

// provisionLock is the class of the advisory locks of tenants that are being
// made in several transactions ("rhpr" in ASCII).
const provisionLock = 0x72687072

func unlockProvisioning(ctx context.Context, conn *pgxpool.Conn, schema string) {
	ctx = context.WithoutCancel(ctx)
	if _, err := conn.Exec(ctx, `SELECT pg_advisory_unlock($1, hashtext($2))`, provisionLock, schema); err != nil {
		_ = conn.Conn().Close(ctx) // unlocks too
	}
}

// finish applies the migrations that cannot be in a transaction. A tenant for
// which that fails is taken away again.
func (c *creation) finish(ctx context.Context, conn *pgxpool.Conn) error {
	err := c.migrator.Finish(ctx, c.tenant.ID, c.tenant.Schema, c.tenant.Kind)
	if err == nil {
		err = pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error { return c.activate(ctx, tx) })
	}
	if err != nil {
		err = errors.Join(err, c.remove(context.WithoutCancel(ctx), c.tenant))
	}
	return err
}

// insert claims name and domains. Of two that race, the second waits here for
// the first.
func (c *creation) insert(ctx context.Context, tx pgx.Tx) error {
	if err := catalog.BecomeOwner(ctx, tx, c.settings); err != nil {
		return err
	}
	err := catalog.InsertTenant(ctx, tx, c.settings, &c.tenant)
	switch code := catalog.Code(err); {
	case catalog.Constraint(err) == "tenants_schema_name_key":
		return fmt.Errorf("%w: %q", ErrSchemaTaken, c.tenant.Schema)
	case strings.HasPrefix(code, "22") || strings.HasPrefix(code, "54"):
		// JSON that jsonb cannot hold: a zero character, too large a number.
		return fmt.Errorf("%w that PostgreSQL can hold: %w", ErrMetadata, err)
	case err != nil:
		return fmt.Errorf("insert into the catalog: %w", err)
	}
	for _, d := range c.domains {
		if err := insertDomain(ctx, tx, c.tenant.ID, d); err != nil {
			return err
		}
	}
	return nil
}

// build makes the schema and, where tenants have them, the role. CREATE ROLE needs
// the login's own rights; the schema belongs to the builder, and what the builder
// will create in it is the tenant's to use, by default privileges: GRANT … ON ALL
// TABLES would scan the tables of all tenants.
func (c *creation) build(ctx context.Context, tx pgx.Tx) error {
	s := c.settings
	role, schema := ident.Quote(s.RoleOf(c.tenant)), ident.Quote(c.tenant.Schema)
	makeRole := ""
	if c.tenant.Role != "" {
		makeRole = `SET LOCAL ROLE NONE;
		CREATE ROLE ` + role + ` NOLOGIN IN ROLE ` + ident.Quote(s.Tenants()) + `;
		GRANT ` + role + ` TO ` + ident.Quote(s.App()) + `;`
	}
	_, err := tx.Exec(ctx, makeRole+`
		SET LOCAL ROLE `+ident.Quote(s.Owner())+`;
		CREATE SCHEMA `+schema+` AUTHORIZATION `+ident.Quote(s.Builder())+`;
		SET LOCAL ROLE `+ident.Quote(s.Builder())+`;
		GRANT USAGE ON SCHEMA `+schema+` TO `+role+`;
		ALTER DEFAULT PRIVILEGES IN SCHEMA `+schema+`
			GRANT SELECT, INSERT, UPDATE, DELETE, TRUNCATE ON TABLES TO `+role+`;
		ALTER DEFAULT PRIVILEGES IN SCHEMA `+schema+` GRANT ALL ON SEQUENCES TO `+role+`;
		SET LOCAL ROLE `+ident.Quote(s.Owner()), pgx.QueryExecModeSimpleProtocol)
	switch catalog.Code(err) {
	case "42P06":
		return fmt.Errorf("%w: %q; choose another name", ErrSchemaExists, c.tenant.Schema)
	case "42501":
		return fmt.Errorf("%w to create role and schema: %w", rowhouse.ErrPrivilege, err)
	}
	if err != nil {
		return fmt.Errorf("create role and schema: %w", err)
	}
	return catalog.AdoptSchema(ctx, tx, c.tenant.ID)
}

// activate is the last thing that happens to a tenant that is being made.
func (c *creation) activate(ctx context.Context, tx pgx.Tx) error {
	if err := catalog.BecomeOwner(ctx, tx, c.settings); err != nil {
		return err
	}
	if err := catalog.SetState(ctx, tx, c.tenant.ID, catalog.Active); err != nil {
		return fmt.Errorf("activate: %w", err)
	}
	return catalog.Record(ctx, tx, c.actor, "create", c.tenant, map[string]any{"name": c.tenant.Name, "domains": c.domains})
}

// clearLeftover takes away a tenant that has the schema name or a domain of the
// new one and was left in state provisioning by a killed Create. It returns taken,
// the reason for asking, when there is none or when it is still being made.
func (c *creation) clearLeftover(ctx context.Context, conn *pgxpool.Conn, taken error) (cleared bool, err error) {
	t, err := catalog.Unfinished(ctx, conn, c.tenant.Schema, c.domains)
	if err != nil {
		return false, taken
	}
	var alone bool
	if err := conn.QueryRow(ctx, `SELECT pg_try_advisory_lock($1, hashtext($2))`, provisionLock, t.Schema).Scan(&alone); err != nil || !alone {
		return false, errors.Join(taken, err)
	}
	defer unlockProvisioning(ctx, conn, t.Schema)
	var finished *StateError
	switch err := c.remove(ctx, t); {
	case errors.As(err, &finished): // just before the lock was taken
		return false, taken
	case err != nil && !errors.Is(err, rowhouse.ErrUnknownTenant):
		return false, fmt.Errorf("take away what an earlier try left: %w", err)
	}
	return true, nil
}
