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

// Purge drops a deleted tenant's schema and role, and its row of the catalog.
// There is no way back. It works in slices, so that a schema of thousands of
// tables does not exhaust the server's lock table; killed in between, it is
// called again and goes on.
//
// It drops what the tenant owns and nothing else. It returns
// [rowhouse.ErrUnknownTenant], a [*StateError] unless the tenant was deleted,
// [rowhouse.ErrTenantChanged] when the schema that bears its name is not its own,
// and [ErrDependents].
func (a *Admin) Purge(ctx context.Context, schema string) error {
	err := a.asOwner(ctx, func(tx pgx.Tx) error {
		t, err := catalog.Lock(ctx, tx, schema)
		if err != nil {
			return err
		}
		if t.State != catalog.Trashed {
			return stateError(t, "purge")
		}
		if _, err := a.ownSchema(ctx, tx, t); err != nil {
			return err
		}
		return catalog.Record(ctx, tx, a.actor, "purge begun", t, nil)
	})
	if err == nil {
		err = a.remove(ctx, schema)
	}
	if err != nil {
		return fmt.Errorf("admin: purge: %w", err)
	}
	return nil
}

// remove drops a tenant that is trashed or was never finished, slice by slice.
func (a *Admin) remove(ctx context.Context, schema string) error {
	for more := true; more; {
		err := a.asOwner(ctx, func(tx pgx.Tx) error {
			t, err := catalog.Lock(ctx, tx, schema)
			if err != nil {
				return err
			}
			exists, err := a.ownSchema(ctx, tx, t)
			if err != nil {
				return err
			}
			if exists {
				if more, err = a.dropSlice(ctx, tx, t); err != nil || more {
					return err
				}
			}
			more = false
			return a.dropRest(ctx, tx, t, exists)
		})
		if err != nil {
			return err
		}
	}
	return nil
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
// those that reference it. Partitions come before what they are partitions of.
const sliceSQL = `
SELECT c.oid, c.relname FROM pg_catalog.pg_class c
WHERE c.relnamespace = $1 AND c.relkind IN ('r', 'p', 'f')
ORDER BY (SELECT pg_catalog.count(*) FROM pg_catalog.pg_constraint f WHERE f.confrelid = c.oid AND f.conrelid <> c.oid),
         c.relispartition DESC, c.oid
LIMIT $2`

// dropSlice drops some tables if there are more than one transaction should drop.
func (a *Admin) dropSlice(ctx context.Context, tx pgx.Tx, t catalog.Tenant) (dropped bool, err error) {
	rows, err := tx.Query(ctx, sliceSQL, t.SchemaOID, purgeSlice+1)
	if err != nil {
		return false, fmt.Errorf("list tables of %q: %w", t.Schema, err)
	}
	type table struct {
		OID  uint32
		Name string
	}
	tables, err := pgx.CollectRows(rows, pgx.RowToStructByPos[table])
	if err != nil || len(tables) <= purgeSlice {
		return false, err
	}
	var oids []uint32
	var names []string
	for _, tb := range tables[:purgeSlice] {
		oids = append(oids, tb.OID)
		names = append(names, ident.Quote(t.Schema)+"."+ident.Quote(tb.Name))
	}
	if err := a.checkDependents(ctx, tx, t, oids); err != nil {
		return false, err
	}
	if err := catalog.SetPurging(ctx, tx, t.ID); err != nil {
		return false, err
	}
	return true, a.asBuilder(ctx, tx, `DROP TABLE `+strings.Join(names, ", ")+` CASCADE`)
}

// dropRest drops what the slices left: schema, role and row.
func (a *Admin) dropRest(ctx context.Context, tx pgx.Tx, t catalog.Tenant, exists bool) error {
	if exists {
		if err := a.checkDependents(ctx, tx, t, nil); err != nil {
			return err
		}
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
	// A role is dropped by the login that may create roles.
	for _, sql := range []string{`SET LOCAL ROLE NONE`, `DROP ROLE IF EXISTS ` + ident.Quote(t.Role)} {
		if _, err := tx.Exec(ctx, sql); err != nil {
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
// This lists such objects. $2 restricts it to some of the schema's tables.
const dependentsSQL = `
WITH mine AS (
    SELECT 'pg_class'::regclass AS class, c.oid, c.oid AS rel FROM pg_catalog.pg_class c WHERE c.relnamespace = $1
    UNION ALL
    SELECT 'pg_type'::regclass, t.oid, t.typrelid FROM pg_catalog.pg_type t WHERE t.typnamespace = $1
    UNION ALL
    SELECT 'pg_proc'::regclass, p.oid, 0 FROM pg_catalog.pg_proc p WHERE p.pronamespace = $1
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
    WHERE ($2::oid[] IS NULL OR mine.rel = ANY ($2))
      AND coalesce(c.relnamespace, p.pronamespace, t.typnamespace, co.connamespace) NOT IN ($1, 'pg_toast'::regnamespace)
)
SELECT pg_catalog.pg_describe_object(classid, objid, objsubid) FROM outside ORDER BY 1 LIMIT 5`

// checkDependents returns [ErrDependents] if dropping the tenant's objects would
// drop something outside of its schema.
func (a *Admin) checkDependents(ctx context.Context, tx pgx.Tx, t catalog.Tenant, tables []uint32) error {
	rows, err := tx.Query(ctx, dependentsSQL, t.SchemaOID, tables)
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
