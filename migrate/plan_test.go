package migrate_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/rowhouse/rowhouse/migrate"
)

// planned writes a plan down as "SCHEMA: SET VERSION, …; …".
func planned(p *migrate.Plan) string {
	var schemas []string
	for _, s := range p.Schemas {
		var pending []string
		for _, m := range s.Pending {
			pending = append(pending, fmt.Sprintf("%s %d", m.Set, m.Version))
		}
		name := s.Schema
		if s.Shared {
			name = "(" + name + ")"
		}
		schemas = append(schemas, name+": "+strings.Join(pending, ", "))
	}
	return strings.Join(schemas, "; ")
}

func TestPlan(t *testing.T) {
	t.Parallel()
	f := newFleet(t, "acme", "beta")
	f.create("gold", "gold")
	set := func(name string, scope migrate.Scope, kind string) migrate.Set {
		return migrate.Set{Name: name, Scope: scope, Kind: kind, FS: files("10_b.up.sql", `SELECT 2;`, "9_a.up.sql", `SELECT 1;`)}
	}
	m := f.migrator(set("z-first", migrate.Tenant, ""), set("shared", migrate.Shared, ""), set("both", migrate.Both, ""),
		set("gold-both", migrate.Both, "gold"), set("gold", migrate.Tenant, "gold"))
	for _, c := range []struct {
		what   string
		target migrate.Target
		want   string
	}{
		{"everything", migrate.Target{}, "(public): shared 9, shared 10, both 9, both 10, gold-both 9, gold-both 10; " +
			"acme: z-first 9, z-first 10, both 9, both 10; beta: z-first 9, z-first 10, both 9, both 10; " +
			"gold: z-first 9, z-first 10, both 9, both 10, gold-both 9, gold-both 10, gold 9, gold 10"},
		{"shared", migrate.Target{Only: migrate.Shared}, "(public): shared 9, shared 10, both 9, both 10, gold-both 9, gold-both 10"},
		{"one tenant", migrate.Target{Schemas: []string{"beta"}}, "beta: z-first 9, z-first 10, both 9, both 10"},
		{"one tenant, tenants only", migrate.Target{Only: migrate.Tenant, Schemas: []string{"acme"}}, "acme: z-first 9, z-first 10, both 9, both 10"},
		{"one tenant and the shared schema", migrate.Target{Only: migrate.Both, Schemas: []string{"acme"}},
			"(public): shared 9, shared 10, both 9, both 10, gold-both 9, gold-both 10; acme: z-first 9, z-first 10, both 9, both 10"},
	} {
		plan := f.plan(m, c.target)
		if got := planned(plan); got != c.want {
			t.Errorf("%s: got %s, want %s", c.what, got, c.want)
		}
	}
	plan := f.plan(m, migrate.Target{Schemas: []string{"acme"}})
	if p := plan.Schemas[0].Pending[0]; p != (migrate.Pending{Set: "z-first", Version: 9, Name: "a", File: "9_a.up.sql"}) {
		t.Errorf("the first is %+v", p)
	}
	f.wantLedger() // planning wrote nothing
	if n := f.run(m, migrate.Target{}).Applied(); n != 6+4+4+8 {
		t.Errorf("%d were applied", n)
	}
	if plan := f.plan(m, migrate.Target{}); plan.Count() != 0 || plan.Schemas == nil || len(plan.Schemas) != 0 || len(plan.Changed) != 0 {
		t.Errorf("afterwards there is %+v", plan)
	}
}

// A plan is one query, whatever the number of tenants, and touches no schema of
// theirs.
func TestPlanIsOneQuery(t *testing.T) {
	t.Parallel()
	var many []string
	for i := range 30 {
		many = append(many, fmt.Sprintf("t%02d", i))
	}
	f := newFleet(t, many...)
	m := f.migrator(tenantSet(`CREATE TABLE a (i int);`, `CREATE TABLE b (i int);`), sharedSet(`CREATE TABLE c (i int);`))
	for _, want := range []int{61, 0} {
		f.log.take()
		plan := f.plan(m, migrate.Target{})
		if sent := f.log.take(); len(sent) != 1 {
			t.Errorf("planning sent %d statements: %q", len(sent), sent)
		}
		if plan.Count() != want {
			t.Errorf("%d are pending, want %d", plan.Count(), want)
		}
		f.run(m, migrate.Target{})
	}
}

// Tenants that are not migrated are in no plan, and asking for one is an error.
func TestPlanOfTenantsThatAreNotMigrated(t *testing.T) {
	t.Parallel()
	f := newFleet(t, "acme", "beta")
	m := f.migrator(tenantSet(`CREATE TABLE a (i int);`))
	for state, migrated := range map[string]bool{
		"provisioning": false, "active": true, "maintenance": true, "read_only": true, "suspended": true, "archived": false, "trashed": false,
	} {
		f.behind(`UPDATE rowhouse.tenants SET state = $1, previous_state = CASE WHEN $1 = 'trashed' THEN 'active' END WHERE schema_name = 'acme'`, state)
		want := "beta: desk 1"
		if migrated {
			want = "acme: desk 1; " + want
		}
		if got := planned(f.plan(m, migrate.Target{})); got != want {
			t.Errorf("%s: got %s, want %s", state, got, want)
		}
		if _, err := m.Plan(t.Context(), migrate.Target{Schemas: []string{"beta", "acme"}}); migrated == errors.Is(err, migrate.ErrUnknownTenant) {
			t.Errorf("%s: asked for, got %v", state, err)
		}
	}
	for _, schema := range []string{"nobody", "public", "rowhouse", "", "acme; DROP SCHEMA beta"} {
		if _, err := m.Plan(t.Context(), migrate.Target{Schemas: []string{schema}}); !errors.Is(err, migrate.ErrUnknownTenant) {
			t.Errorf("schema %q: got %v, want ErrUnknownTenant", schema, err)
		}
	}
}

func TestChangedFiles(t *testing.T) {
	t.Parallel()
	f := newFleet(t, "acme", "beta")
	f.apply(tenantSet(`CREATE TABLE a (i int);`), sharedSet(`CREATE TABLE s (i int);`))
	m := f.migrator(tenantSet(`CREATE TABLE a (i bigint);`, `CREATE TABLE b (i int);`), sharedSet(`CREATE TABLE s (i int); -- more`))
	plan := f.plan(m, migrate.Target{})
	want := []migrate.Change{{Schema: "public", Set: "plans", Version: 1}, {Schema: "acme", Set: "desk", Version: 1}, {Schema: "beta", Set: "desk", Version: 1}}
	if fmt.Sprint(plan.Changed) != fmt.Sprint(want) {
		t.Errorf("changed are %v, want %v", plan.Changed, want)
	}
	before := f.ledger()
	if result, err := m.Run(t.Context(), plan, migrate.Options{}); !errors.Is(err, migrate.ErrChanged) || result != nil {
		t.Errorf("got %v, %v; want ErrChanged", result, err)
	}
	f.wantLedger(before...)
	result, err := m.Run(t.Context(), plan, migrate.Options{AllowChanged: true})
	f.must(err)
	if result.Applied() != 2 || len(result.Failed()) != 0 {
		t.Errorf("got %+v", result)
	}
	// A plan for one tenant speaks of that tenant alone.
	if plan := f.plan(m, migrate.Target{Schemas: []string{"beta"}}); len(plan.Changed) != 1 {
		t.Errorf("changed are %v", plan.Changed)
	}
	if typ := one[string](f, `SELECT format_type(atttypid, -1) FROM pg_attribute WHERE attrelid = 'acme.a'::regclass AND attname = 'i'`); typ != "integer" {
		t.Errorf("an applied migration ran again: column is %s", typ)
	}
}

func TestWrongSets(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	dir := files("1_a.up.sql", `SELECT 1;`)
	for what, c := range map[string]struct {
		sets []migrate.Set
		file bool // a *FileError, else ErrSet
	}{
		"no name":            {[]migrate.Set{{Scope: migrate.Tenant, FS: dir}}, false},
		"bad name":           {[]migrate.Set{{Name: "A b", Scope: migrate.Tenant, FS: dir}}, false},
		"no scope":           {[]migrate.Set{{Name: "a", FS: dir}}, false},
		"unknown scope":      {[]migrate.Set{{Name: "a", Scope: "all", FS: dir}}, false},
		"shared with a kind": {[]migrate.Set{{Name: "a", Scope: migrate.Shared, Kind: "gold", FS: dir}}, false},
		"no files":           {[]migrate.Set{{Name: "a", Scope: migrate.Shared}}, false},
		"twice":              {[]migrate.Set{{Name: "a", Scope: migrate.Tenant, FS: dir}, {Name: "a", Scope: migrate.Both, FS: dir}}, false},
		"an empty directory": {[]migrate.Set{{Name: "a", Scope: migrate.Shared, FS: fstest.MapFS{}}}, true},
		"two formats":        {[]migrate.Set{{Name: "a", Scope: migrate.Shared, FS: files("1_a.up.sql", `SELECT 1;`, "2_b.sql", "-- +goose Up\nSELECT 1;")}}, true},
		"variables, no look": {[]migrate.Set{{Name: "a", Scope: migrate.Shared, FS: files("1_a.sql", "-- +goose Up\n-- +goose ENVSUB ON\nSELECT '$X';")}}, true},
	} {
		_, err := migrate.New(t.Context(), f.pool(), c.sets...)
		var file *migrate.FileError
		if errors.As(err, &file) != c.file || errors.Is(err, migrate.ErrSet) == c.file {
			t.Errorf("%s: got %v", what, err)
		}
	}
}
