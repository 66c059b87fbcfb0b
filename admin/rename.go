package admin

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/rowhouse/rowhouse"
	"github.com/rowhouse/rowhouse/internal/catalog"
	"github.com/rowhouse/rowhouse/internal/ident"
)

// Rename gives a tenant's schema another name, in one transaction: all of it or
// nothing. The tenant keeps its ID, domains, role and data, and is served on.
// Renaming it to the name that it has does nothing.
//
// It waits for a migration of the tenant that is running, for the tenant's open
// transactions and batches (some seconds, the last of which refuse new ones with
// [rowhouse.ErrTenantChanged]) and, with [IsolationSearchPath], for all that are open
// in the database if another tenant had the new name before. A single statement that
// is under way finishes or fails with [rowhouse.ErrTenantChanged]. The next look-up
// finds the tenant under its new name, in every process.
//
// A deleted tenant can be renamed too, which frees its name. It returns
// [ErrSchemaName], [rowhouse.ErrUnknownTenant], [ErrSchemaTaken],
// [ErrSchemaExists], [ErrInUse], [rowhouse.ErrTenantChanged] when the schema that bears the
// tenant's name is not its own, and a [*StateError] for a tenant that is being
// created or purged.
func (a *Admin) Rename(ctx context.Context, schema, newSchema string) (*rowhouse.Tenant, error) {
	if err := ident.CheckSchema(newSchema, a.settings.SharedSchema); err != nil {
		return nil, fmt.Errorf("admin: rename: %w", err)
	}
	t, err := catalog.BySchema(ctx, a.pool, schema)
	if err != nil {
		return nil, fmt.Errorf("admin: rename: %w", err)
	}
	for again := true; again; {
		err = a.rename(ctx, t, newSchema)
		if again = errors.Is(err, ErrSchemaTaken); again {
			again, err = a.clearLeftover(ctx, newSchema, err)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("admin: rename tenant %q: %w", schema, err)
	}
	return a.Tenant(ctx, newSchema)
}

// rename renames the tenant that the caller saw, if it still has the name.
func (a *Admin) rename(ctx context.Context, seen catalog.Tenant, newSchema string) error {
	name, err := a.await(ctx, a.pool, newSchema)
	if err != nil {
		return err
	}
	return pgx.BeginFunc(ctx, a.pool, func(tx pgx.Tx) error {
		// Before the row, as migrators do. One that works outside of a
		// transaction holds nothing else.
		if err := catalog.LockSchema(ctx, tx, seen.ID); err != nil {
			return err
		}
		if err := catalog.Hold(ctx, tx, seen.SchemaOID); err != nil {
			return err
		}
		if err := catalog.BecomeOwner(ctx, tx, a.settings); err != nil {
			return err
		}
		t, err := catalog.Lock(ctx, tx, seen.Schema)
		switch {
		case err != nil:
			return err
		case t.ID != seen.ID:
			return fmt.Errorf("%w: schema %q is another tenant's now", rowhouse.ErrUnknownTenant, t.Schema)
		case t.State == catalog.Provisioning || t.Purging:
			return renameRefused(t)
		case t.Schema == newSchema:
			return nil
		}
		if exists, err := a.ownSchema(ctx, tx, t); err != nil {
			return err
		} else if !exists {
			return fmt.Errorf("%w: there is no schema %q", rowhouse.ErrTenantChanged, t.Schema)
		}
		if err := a.moveSchema(ctx, tx, t, newSchema); err != nil {
			return err
		}
		if err := a.check(ctx, tx, name); err != nil {
			return err
		}
		return catalog.Record(ctx, tx, a.actor, "rename", t, map[string]any{"from": t.Schema, "to": newSchema})
	})
}

func renameRefused(t catalog.Tenant) *StateError {
	e := stateError(t, "rename")
	e.Hint = "wait until it is created"
	if t.Purging {
		e.Hint = "its purge has begun; purge it again to finish"
	}
	return e
}

// moveSchema renames row and schema. Of two that want the same name, the second
// waits at the row for the first.
func (a *Admin) moveSchema(ctx context.Context, tx pgx.Tx, t catalog.Tenant, newSchema string) error {
	err := catalog.Rename(ctx, tx, t.ID, newSchema)
	switch {
	case catalog.Constraint(err) == "tenants_schema_name_key", catalog.Code(err) == "40P01":
		// The deadlock is with a tenant that has the name and is being renamed to
		// this one's.
		return fmt.Errorf("%w: %q", ErrSchemaTaken, newSchema)
	case err != nil:
		return fmt.Errorf("rename in the catalog: %w", err)
	}
	_, err = tx.Exec(ctx, `SET LOCAL ROLE `+ident.Quote(a.settings.Renamer())+`;
		ALTER SCHEMA `+ident.Quote(t.Schema)+` RENAME TO `+ident.Quote(newSchema)+`;
		SET LOCAL ROLE `+ident.Quote(a.settings.Owner()), pgx.QueryExecModeSimpleProtocol)
	switch catalog.Code(err) {
	case "42P06":
		return fmt.Errorf("%w: %q; choose another name", ErrSchemaExists, newSchema)
	case "42501":
		return fmt.Errorf("%w to rename the schema: %w", rowhouse.ErrPrivilege, err)
	}
	if err != nil {
		return fmt.Errorf("rename the schema: %w", err)
	}
	return nil
}

// clearLeftover takes away what a killed Create left under a name that is wanted.
func (a *Admin) clearLeftover(ctx context.Context, schema string, taken error) (cleared bool, err error) {
	conn, err := a.pool.Acquire(ctx)
	if err != nil {
		return false, errors.Join(taken, err)
	}
	defer conn.Release()
	c := &creation{Admin: a, tenant: catalog.Tenant{Schema: schema}}
	return c.clearLeftover(ctx, conn, taken)
}
