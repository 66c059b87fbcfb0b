package admin

import (
	"context"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/rowhouse/rowhouse"
	"github.com/rowhouse/rowhouse/internal/catalog"
	"github.com/rowhouse/rowhouse/internal/ident"
)

// purgeSlice is how many tables one transaction drops. Ten tables take about 180
// locks, and a server has some 7,800 by default (64 for each of 100 connections,
// and what is spare), which others need too.
const purgeSlice = 50

// Purge drops a deleted tenant's schema, its role if it has one of its own, and its
// row of the catalog.
// There is no way back. It works in slices, so that a schema of thousands of
// tables does not exhaust the server's lock table; killed in between, it is
// called again and goes on.
//
// It drops what the tenant owns and nothing else. It returns
// [rowhouse.ErrUnknownTenant], a [*StateError] unless the tenant was deleted,
// [rowhouse.ErrTenantChanged] when the schema that bears its name is not its own,
// and [ErrDependents].
func (a *Admin) Purge(ctx context.Context, schema string) error {
	var t catalog.Tenant
	err := a.asOwner(ctx, func(tx pgx.Tx) (err error) {
		if t, err = catalog.Lock(ctx, tx, schema); err != nil {
			return err
		}
		if t.State != catalog.Trashed {
			return stateError(t, "purge")
		}
		// Before anything is dropped.
		if exists, err := a.ownSchema(ctx, tx, t); err != nil {
			return err
		} else if exists {
			if err := a.checkDependents(ctx, tx, t); err != nil {
				return err
			}
		}
		return catalog.Record(ctx, tx, a.actor, "purge begun", t, nil)
	})
	if err == nil {
		err = a.remove(ctx, t)
	}
	if err != nil {
		return fmt.Errorf("admin: purge: %w", err)
	}
	return nil
}

// remove drops a tenant that is trashed or was never finished, slice by slice. It
// ends with an error if the tenant is no longer the one that the caller saw, or no
// longer in that state.
func (a *Admin) remove(ctx context.Context, seen catalog.Tenant) error {
	for more := true; more; {
		err := a.asOwner(ctx, func(tx pgx.Tx) error {
			t, err := catalog.Lock(ctx, tx, seen.Schema)
			switch {
			case err != nil:
				return err
			case t.ID != seen.ID:
				return fmt.Errorf("%w: schema %q is a new tenant's now", rowhouse.ErrUnknownTenant, t.Schema)
			case t.State != seen.State:
				return stateError(t, "purge")
			}
			more, err = a.removeSome(ctx, tx, t)
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// removeSome drops a slice of a tenant, or the rest of it. It tells whether there
// is more.
func (a *Admin) removeSome(ctx context.Context, tx pgx.Tx, t catalog.Tenant) (more bool, err error) {
	exists, err := a.ownSchema(ctx, tx, t)
	if err != nil {
		return false, err
	}
	if exists {
		if err := a.checkDependents(ctx, tx, t); err != nil {
			return false, err
		}
		if more, err = a.dropSlice(ctx, tx, t); err != nil || more {
			return more, err
		}
	}
	return false, a.dropRest(ctx, tx, t, exists)
}

const ownerSQL = `
SELECT n.oid, pg_catalog.pg_get_userbyid(n.nspowner)::text
FROM (SELECT) x LEFT JOIN pg_catalog.pg_namespace n ON n.nspname = $1`

// ownSchema tells whether the tenant's schema exists. It is an error if a schema
// of that name exists that is not the tenant's.
func (a *Admin) ownSchema(ctx context.Context, tx pgx.Tx, t catalog.Tenant) (exists bool, err error) {
	var oid *uint32
	var owner *string
	if err := tx.QueryRow(ctx, ownerSQL, t.Schema).Scan(&oid, &owner); err != nil {
		return false, fmt.Errorf("look for schema %q: %w", t.Schema, err)
	}
	switch {
	case oid == nil:
		return false, nil
	case *oid != t.SchemaOID || *owner != a.settings.Builder():
		return false, fmt.Errorf("%w: schema %q (oid %d, owner %s) was not made for this tenant; rename it, then try again",
			rowhouse.ErrTenantChanged, t.Schema, *oid, *owner)
	}
	return true, nil
}

// Tables that others reference come last: dropping one takes a lock on each of
// those that reference it. Dropping a table drops its partitions, so those that
// have any come after everything else.
const sliceSQL = `
SELECT c.relkind::text, c.relname FROM pg_catalog.pg_class c
LEFT JOIN (
    SELECT confrelid, pg_catalog.count(*) AS n FROM pg_catalog.pg_constraint
    WHERE contype = 'f' AND connamespace = $1 AND confrelid <> conrelid GROUP BY confrelid
) f ON f.confrelid = c.oid
WHERE c.relnamespace = $1 AND c.relkind IN ('r', 'p', 'f', 'v', 'm')
ORDER BY c.relhassubclass AND EXISTS (SELECT FROM pg_catalog.pg_inherits i WHERE i.inhparent = c.oid),
         coalesce(f.n, 0), c.oid
LIMIT $2`

// dropWords are what DROP calls the kinds of pg_class.
var dropWords = map[string]string{"r": "TABLE", "p": "TABLE", "f": "FOREIGN TABLE", "v": "VIEW", "m": "MATERIALIZED VIEW"}

// dropSlice drops some tables and views if there are more than one transaction
// should drop.
func (a *Admin) dropSlice(ctx context.Context, tx pgx.Tx, t catalog.Tenant) (dropped bool, err error) {
	rows, err := tx.Query(ctx, sliceSQL, t.SchemaOID, purgeSlice+1)
	if err != nil {
		return false, fmt.Errorf("list tables of %q: %w", t.Schema, err)
	}
	type relation struct{ Kind, Name string }
	relations, err := pgx.CollectRows(rows, pgx.RowToStructByPos[relation])
	if err != nil || len(relations) <= purgeSlice {
		return false, err
	}
	var sql strings.Builder
	for _, r := range relations[:purgeSlice] {
		// IF EXISTS, as one of those before may have had it with it.
		fmt.Fprintf(&sql, "DROP %s IF EXISTS %s.%s CASCADE;\n", dropWords[r.Kind], ident.Quote(t.Schema), ident.Quote(r.Name))
	}
	if err := catalog.SetPurging(ctx, tx, t.ID); err != nil {
		return false, err
	}
	return true, a.asBuilder(ctx, tx, sql.String())
}

// dropRest drops what the slices left: schema, role and row.
func (a *Admin) dropRest(ctx context.Context, tx pgx.Tx, t catalog.Tenant, exists bool) error {
	if exists {
		if err := a.asBuilder(ctx, tx, `DROP SCHEMA `+ident.Quote(t.Schema)+` CASCADE`); err != nil {
			return err
		}
	}
	if err := catalog.DeleteTenant(ctx, tx, t.ID); err != nil {
		return fmt.Errorf("delete from the catalog: %w", err)
	}
	if err := catalog.Record(ctx, tx, a.actor, "purge", t, map[string]any{"name": t.Name, "role": t.Role}); err != nil {
		return err
	}
	if t.Role == "" {
		return nil
	}
	return dropRole(ctx, tx, t)
}

// dropRole drops a tenant's own role, as the login that may create roles.
func dropRole(ctx context.Context, tx pgx.Tx, t catalog.Tenant) error {
	for _, sql := range []string{`SET LOCAL ROLE NONE`, `DROP ROLE IF EXISTS ` + ident.Quote(t.Role)} {
		_, err := tx.Exec(ctx, sql)
		if catalog.Code(err) == "2BP01" {
			return fmt.Errorf("%w: the role %s was given rights elsewhere; REVOKE them first: %w", ErrDependents, t.Role, err)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", sql, err)
		}
	}
	return nil
}

// asBuilder runs a statement as the owner of the tenants' schemas.
func (a *Admin) asBuilder(ctx context.Context, tx pgx.Tx, sql string) error {
	if _, err := tx.Exec(ctx, `SET LOCAL ROLE `+ident.Quote(a.settings.Builder())); err != nil {
		return fmt.Errorf("become the builder: %w", err)
	}
	if _, err := tx.Exec(ctx, sql, pgx.QueryExecModeSimpleProtocol); err != nil {
		return fmt.Errorf("%.60s: %w", sql, err)
	}
	return catalog.BecomeOwner(ctx, tx, a.settings)
}

// DROP … CASCADE drops what depends on the tenant's objects wherever it is and
// whoever owns it: a view in the shared schema, a foreign key of a shared table.
// This lists such objects: all, and not only those of the next slice, as a slice
// may have more of the schema with it.
const dependentsSQL = `
WITH mine AS (
    SELECT 'pg_class'::regclass AS class, c.oid FROM pg_catalog.pg_class c WHERE c.relnamespace = $1
    UNION ALL
    SELECT 'pg_type'::regclass, t.oid FROM pg_catalog.pg_type t WHERE t.typnamespace = $1
    UNION ALL
    SELECT 'pg_proc'::regclass, p.oid FROM pg_catalog.pg_proc p WHERE p.pronamespace = $1
), outside AS (
    SELECT DISTINCT d.classid, d.objid, d.objsubid FROM mine
    JOIN pg_catalog.pg_depend d ON d.refclassid = mine.class AND d.refobjid = mine.oid
    LEFT JOIN pg_catalog.pg_rewrite rw ON d.classid = 'pg_rewrite'::regclass AND rw.oid = d.objid
    LEFT JOIN pg_catalog.pg_constraint co ON d.classid = 'pg_constraint'::regclass AND co.oid = d.objid
    LEFT JOIN pg_catalog.pg_attrdef ad ON d.classid = 'pg_attrdef'::regclass AND ad.oid = d.objid
    LEFT JOIN pg_catalog.pg_trigger tg ON d.classid = 'pg_trigger'::regclass AND tg.oid = d.objid
    LEFT JOIN pg_catalog.pg_policy po ON d.classid = 'pg_policy'::regclass AND po.oid = d.objid
    LEFT JOIN pg_catalog.pg_class c ON c.oid = coalesce(rw.ev_class, nullif(co.conrelid, 0), ad.adrelid, tg.tgrelid, po.polrelid,
        CASE WHEN d.classid = 'pg_class'::regclass THEN d.objid END)
    LEFT JOIN pg_catalog.pg_proc p ON d.classid = 'pg_proc'::regclass AND p.oid = d.objid
    LEFT JOIN pg_catalog.pg_type t ON d.classid = 'pg_type'::regclass AND t.oid = d.objid
    WHERE coalesce(c.relnamespace, p.pronamespace, t.typnamespace, co.connamespace) NOT IN ($1, 'pg_toast'::regnamespace)
)
SELECT pg_catalog.pg_describe_object(classid, objid, objsubid) FROM outside ORDER BY 1 LIMIT 5`

// checkDependents returns [ErrDependents] if dropping the tenant's objects would
// drop something outside of its schema.
func (a *Admin) checkDependents(ctx context.Context, tx pgx.Tx, t catalog.Tenant) error {
	rows, err := tx.Query(ctx, dependentsSQL, t.SchemaOID)
	if err != nil {
		return fmt.Errorf("look for dependents of %q: %w", t.Schema, err)
	}
	found, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return fmt.Errorf("look for dependents of %q: %w", t.Schema, err)
	}
	if len(found) > 0 {
		return fmt.Errorf("%w, and would be dropped with schema %q: %s; drop them first", ErrDependents, t.Schema, strings.Join(found, ", "))
	}
	return nil
}
