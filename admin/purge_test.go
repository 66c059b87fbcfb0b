package admin_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/rowhouse/rowhouse"
	"github.com/rowhouse/rowhouse/admin"
)

// trash deletes a tenant so that it can be purged.
func (h *house) trash(schema string) {
	h.t.Helper()
	_, err := h.admin.Delete(h.t.Context(), schema)
	h.must(err)
}

func TestPurge(t *testing.T) {
	t.Parallel()
	h := newHouse(t, shared(`CREATE TABLE plans (id text PRIMARY KEY);`), desk())
	h.create("beta")
	before := without("event", h.snapshot())
	h.create("acme")
	h.behind(`CREATE TABLE acme.own (plan text REFERENCES public.plans, ticket bigint REFERENCES acme.tickets)`)
	h.trash("acme")
	h.must(h.admin.Purge(t.Context(), "acme"))
	if after := without("event", h.snapshot()); strings.Join(after, "\n") != strings.Join(before, "\n") {
		t.Errorf("after create and purge:\n%s\nbefore:\n%s", strings.Join(after, "\n"), strings.Join(before, "\n"))
	}
	if got := one[string](h, `SELECT string_agg(action, ', ' ORDER BY id) FROM rowhouse.events WHERE schema_name = 'acme'`); got != "create, delete, purge begun, purge" {
		t.Errorf("events are %s", got)
	}
	wantIs(t, "purge again", h.admin.Purge(t.Context(), "acme"), rowhouse.ErrUnknownTenant)
	h.create("acme") // the name is free again
}

// A tenant whose schema somebody dropped can be purged all the same.
func TestPurgeWithoutSchema(t *testing.T) {
	t.Parallel()
	h := newHouse(t, desk())
	h.create("acme")
	h.trash("acme")
	h.behind(`DROP SCHEMA acme CASCADE`)
	h.must(h.admin.Purge(t.Context(), "acme"))
	if one[bool](h, `SELECT EXISTS (SELECT FROM rowhouse.tenants)`) {
		t.Error("the tenant is still there")
	}
}

// What bears the tenant's name and is not the tenant's is never touched, not even
// when the catalog's rows were tampered with.
func TestPurgeLeavesWhatIsNotTheTenants(t *testing.T) {
	t.Parallel()
	for what, sql := range map[string][]string{
		"recreated":            {`DROP SCHEMA acme CASCADE`, `CREATE SCHEMA acme`, `CREATE TABLE acme.kept ()`},
		"recreated as builder": {`DROP SCHEMA acme CASCADE`, `DO $$ BEGIN EXECUTE format('CREATE SCHEMA acme AUTHORIZATION %I', (SELECT role_prefix || 'builder' FROM rowhouse.settings)); END $$`, `CREATE TABLE acme.kept ()`},
		"given away":           {`ALTER SCHEMA acme OWNER TO CURRENT_USER`},
		"another's":            {`UPDATE rowhouse.tenants SET schema_name = 'free' WHERE schema_name = 'beta'`, `UPDATE rowhouse.tenants SET schema_name = 'beta' WHERE schema_name = 'acme'`},
		"the shared schema":    {`ALTER SCHEMA acme RENAME TO gone`, `ALTER TABLE rowhouse.tenants DROP CONSTRAINT tenants_schema_name_check`, `UPDATE rowhouse.tenants SET schema_name = 'public', schema_oid = 'public'::regnamespace WHERE schema_name = 'acme'`},
		"the catalog":          {`ALTER TABLE rowhouse.tenants DROP CONSTRAINT tenants_schema_name_check`, `UPDATE rowhouse.tenants SET schema_name = 'rowhouse', schema_oid = 'rowhouse'::regnamespace WHERE schema_name = 'acme'`},
		"PostgreSQL's":         {`ALTER TABLE rowhouse.tenants DROP CONSTRAINT tenants_schema_name_check`, `UPDATE rowhouse.tenants SET schema_name = 'pg_catalog', schema_oid = 'pg_catalog'::regnamespace WHERE schema_name = 'acme'`},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			h := newHouse(t, shared(`CREATE TABLE plans (id text PRIMARY KEY);`), desk())
			h.create("acme")
			h.create("beta")
			h.trash("acme")
			for _, s := range sql {
				h.behind(s)
			}
			before := h.snapshot()
			name := one[string](h, `SELECT schema_name FROM rowhouse.tenants WHERE state = 'trashed'`)
			wantIs(t, "purge", h.admin.Purge(t.Context(), name), rowhouse.ErrTenantChanged)
			h.wantUnchanged(before, what)
		})
	}
}

// Objects of other schemas that PostgreSQL would drop along are found before
// anything is dropped, whether the tenant is small or goes in slices.
func TestPurgeWithDependents(t *testing.T) {
	t.Parallel()
	for what, sql := range map[string][]string{
		"view":             {`CREATE VIEW public.kept AS SELECT title FROM acme.tickets`},
		"view of a view":   {`CREATE VIEW acme.between AS SELECT title FROM acme.tickets`, `CREATE VIEW public.kept AS SELECT * FROM acme.between`},
		"foreign key":      {`CREATE TABLE public.kept (ticket bigint REFERENCES acme.tickets)`},
		"inheritance":      {`CREATE TABLE public.kept () INHERITS (acme.tickets)`},
		"default":          {`CREATE SEQUENCE acme.numbers`, `CREATE TABLE public.kept (i int DEFAULT nextval('acme.numbers'))`},
		"column type":      {`CREATE TYPE acme.mood AS ENUM ('good')`, `CREATE TABLE public.kept (m acme.mood)`},
		"row type":         {`CREATE FUNCTION public.kept(acme.tickets) RETURNS int LANGUAGE sql AS 'SELECT 1'`},
		"trigger":          {`CREATE FUNCTION acme.f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'`, `CREATE TRIGGER kept AFTER INSERT ON public.plans EXECUTE FUNCTION acme.f()`},
		"another tenant's": {`CREATE VIEW beta.kept AS SELECT title FROM acme.tickets`},
	} {
		for _, more := range []int{0, 120} {
			t.Run(fmt.Sprintf("%s, %d more tables", what, more), func(t *testing.T) {
				t.Parallel()
				h := newHouse(t, shared(`CREATE TABLE plans (id text PRIMARY KEY);`), desk())
				h.create("acme")
				h.create("beta")
				h.behind(fmt.Sprintf(`DO $$ BEGIN FOR i IN 1..%d LOOP EXECUTE format('CREATE TABLE acme.t%%s ()', i); END LOOP; END $$`, more))
				for _, s := range sql {
					h.behind(s)
				}
				h.trash("acme")
				before := h.snapshot()
				err := h.admin.Purge(t.Context(), "acme")
				wantIs(t, "purge", err, admin.ErrDependents)
				if err != nil && what == "view" && !strings.Contains(err.Error(), "kept") {
					t.Errorf("the error names nothing: %v", err)
				}
				h.wantUnchanged(before, what)
				_, err = h.admin.Undelete(t.Context(), "acme")
				h.must(err)
			})
		}
	}
}

// A role that was given rights elsewhere is not dropped with them unasked.
func TestPurgeOfARoleWithRights(t *testing.T) {
	t.Parallel()
	h := newHouse(t, shared(`CREATE TABLE plans (id text PRIMARY KEY);`), desk())
	h.create("acme")
	role := one[string](h, `SELECT role_name FROM rowhouse.tenants`)
	h.behind(`GRANT INSERT ON public.plans TO ` + role)
	h.trash("acme")
	before := without("event", h.snapshot())
	wantIs(t, "purge", h.admin.Purge(t.Context(), "acme"), admin.ErrDependents)
	if strings.Join(before, "\n") != strings.Join(without("event", h.snapshot()), "\n") {
		t.Error("something was dropped")
	}
	h.behind(`REVOKE INSERT ON public.plans FROM ` + role)
	h.must(h.admin.Purge(t.Context(), "acme"))
}
