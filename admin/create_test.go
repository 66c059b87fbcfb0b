package admin_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/rowhouse/rowhouse"
	"github.com/rowhouse/rowhouse/admin"
	"github.com/rowhouse/rowhouse/migrate"
)

// company is an application's own fields on a tenant.
type company struct {
	Plan  string `json:"plan"`
	Seats int    `json:"seats"`
}

func TestCreate(t *testing.T) {
	t.Parallel()
	h := newHouse(t, desk())
	began := time.Now().Add(-time.Minute)
	got, err := h.admin.Create(t.Context(), admin.CreateParams{
		Name: "Acme Limited", Schema: "acme", Kind: "gold",
		Domains:  []string{"ACME.Example.com:8080", "bücher.example."},
		Metadata: company{Plan: "free", Seats: 3},
	})
	h.must(err)
	if got.Name != "Acme Limited" || got.Schema != "acme" || got.Kind != "gold" || got.Domain != "acme.example.com" ||
		got.State != rowhouse.StateActive || !got.IsActive() || got.Database != "default" || got.CreatedOn.Before(began) || got.UpdatedOn.Before(got.CreatedOn) {
		t.Errorf("got %+v", got)
	}
	var own company
	h.must(got.DecodeMetadata(&own))
	if own != (company{Plan: "free", Seats: 3}) {
		t.Errorf("metadata are %+v", own)
	}
	domains, err := h.admin.Domains(t.Context(), "acme")
	h.must(err)
	if len(domains) != 2 || domains[0].Domain != "acme.example.com" || !domains[0].IsPrimary || domains[1].Domain != "xn--bcher-kva.example" || domains[1].IsPrimary {
		t.Errorf("domains are %+v", domains)
	}
	for what, sql := range map[string]string{
		"the schema is the builder's and the catalog knows it": `SELECT n.oid = t.schema_oid AND pg_get_userbyid(n.nspowner) = s.role_prefix || 'builder'
			FROM rowhouse.tenants t, rowhouse.settings s, pg_namespace n WHERE n.nspname = t.schema_name`,
		"the role is named after the id": `SELECT role_name = role_prefix || replace(id::text, '-', '') FROM rowhouse.tenants, rowhouse.settings`,
		"the role cannot log in and owns nothing": `SELECT NOT r.rolcanlogin AND NOT r.rolsuper AND NOT EXISTS (SELECT FROM pg_class WHERE relowner = r.oid)
			FROM rowhouse.tenants t JOIN pg_roles r ON r.rolname = t.role_name`,
		"the role uses its schema and cannot create in it": `SELECT has_schema_privilege(role_name, 'acme', 'USAGE') AND NOT has_schema_privilege(role_name, 'acme', 'CREATE') FROM rowhouse.tenants`,
		"all migrations are in the ledger":                 `SELECT array_agg(version ORDER BY version) = '{1,2}' FROM rowhouse.migrations JOIN rowhouse.tenants t ON t.id = tenant_id`,
		"there is one event": `SELECT count(*) = 1 AND min(actor) = 'the operator' AND min(action) = 'create' AND min(schema_name) = 'acme'
			AND min(detail->>'name') = 'Acme Limited' AND min(detail->'domains'->>1) = 'xn--bcher-kva.example' FROM rowhouse.events`,
	} {
		if !one[bool](h, sql) {
			t.Errorf("not so: %s", what)
		}
	}
}

// What later migrations create is the tenant's to use too, and nobody else's.
func TestDefaultPrivileges(t *testing.T) {
	t.Parallel()
	h := newHouse(t, desk())
	h.create("acme")
	later := h.open(tenantSet(`CREATE TABLE tickets (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, title text NOT NULL);`,
		`CREATE TABLE comments (ticket bigint NOT NULL REFERENCES tickets, body text NOT NULL);`,
		`CREATE TABLE late (id serial PRIMARY KEY, note text);
		 CREATE VIEW overview AS SELECT note FROM late;`))
	h.migrate(later, migrate.Target{})
	h.create("beta")
	db, ctx := h.as("acme")
	for _, sql := range []string{
		`INSERT INTO tickets (title) VALUES ('x')`, `INSERT INTO late (note) VALUES ('x')`, `UPDATE late SET note = 'y'`,
		`SELECT * FROM overview`, `DELETE FROM late`, `TRUNCATE late`,
	} {
		if _, err := db.Exec(ctx, sql); err != nil {
			t.Errorf("%s: %v", sql, err)
		}
	}
	if one[bool](h, `SELECT has_table_privilege(role_name, 'acme.late', 'SELECT') FROM rowhouse.tenants WHERE schema_name = 'beta'`) {
		t.Error("another tenant reads a table of a later migration")
	}
}

// Tables of the application may reference the catalog's tenants.
func TestTablesReferenceTenants(t *testing.T) {
	t.Parallel()
	h := newHouse(t,
		shared(`CREATE TABLE accounts (tenant uuid PRIMARY KEY REFERENCES rowhouse.tenants (id) ON DELETE CASCADE, balance int NOT NULL DEFAULT 0);`),
		tenantSet(`CREATE TABLE bills (id bigint GENERATED ALWAYS AS IDENTITY, tenant uuid NOT NULL REFERENCES rowhouse.tenants (id), account uuid REFERENCES accounts);`))
	acme := h.create("acme")
	db, ctx := h.as("acme")
	_, err := db.Exec(rowhouse.WithShared(ctx), `INSERT INTO accounts (tenant) VALUES ($1)`, acme.ID)
	h.must(err)
	_, err = db.Exec(ctx, `INSERT INTO bills (tenant, account) VALUES ($1, $1)`, acme.ID)
	h.must(err)
	for _, sql := range []string{`INSERT INTO bills (tenant) VALUES (gen_random_uuid())`} {
		if _, err := db.Exec(ctx, sql); err == nil || !strings.Contains(err.Error(), "23503") {
			t.Errorf("%s: got %v, want a foreign key violation", sql, err)
		}
	}
}

// Whatever fails leaves nothing behind and touches nothing that was there.
func TestCreateFails(t *testing.T) {
	t.Parallel()
	h := newHouse(t, desk())
	h.create("acme")
	h.behind(`CREATE SCHEMA mine`)
	h.behind(`CREATE TABLE mine.kept AS SELECT 1 AS i`)
	good := func(change func(*admin.CreateParams)) admin.CreateParams {
		p := params("new")
		change(&p)
		return p
	}
	before := h.snapshot()
	for what, c := range map[string]struct {
		params admin.CreateParams
		want   error
	}{
		"schema of a tenant":        {good(func(p *admin.CreateParams) { p.Schema = "acme" }), admin.ErrSchemaTaken},
		"schema of somebody else":   {good(func(p *admin.CreateParams) { p.Schema = "mine" }), admin.ErrSchemaExists},
		"domain of a tenant":        {good(func(p *admin.CreateParams) { p.Domains = []string{"Acme.EXAMPLE.com."} }), admin.ErrDomainTaken},
		"second domain of a tenant": {good(func(p *admin.CreateParams) { p.Domains = append(p.Domains, "acme.example.com") }), admin.ErrDomainTaken},
		"domain given twice":        {good(func(p *admin.CreateParams) { p.Domains = []string{"x.example.com", "X.example.com"} }), admin.ErrDomainTaken},
	} {
		tenant, err := h.admin.Create(t.Context(), c.params)
		wantIs(t, what, err, c.want)
		if tenant != nil {
			t.Errorf("%s: a tenant was returned", what)
		}
		h.wantUnchanged(before, what)
	}
	if one[int](h, `SELECT i FROM mine.kept`) != 1 {
		t.Error("a schema of somebody else was touched")
	}
}

func TestCreateWithFailingMigration(t *testing.T) {
	t.Parallel()
	for what, c := range map[string]struct {
		files []string
		line  int
	}{
		"in the transaction":  {[]string{`CREATE TABLE a (i int);`, "CREATE TABLE b (i int);\n\nINSERT INTO b\nVALUES ('x');"}, 4},
		"at run time":         {[]string{`CREATE TABLE a (i int);`, "CREATE TABLE b (i int);\n\nINSERT INTO b SELECT 1/0;"}, 3},
		"outside of it":       {[]string{`CREATE TABLE a (i int);`, "-- rowhouse: no transaction\nCREATE TABLE b (i int);\nSELECT 1/0;"}, 3},
		"an index that fails": {[]string{`CREATE TABLE a AS SELECT 1 AS i UNION ALL SELECT 1;`, "CREATE UNIQUE INDEX CONCURRENTLY ON a (i);"}, 1},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			h := newHouse(t, tenantSet(c.files...))
			before := without("event", h.snapshot())
			_, err := h.admin.Create(t.Context(), params("acme"))
			var failed *migrate.Error
			if !errors.As(err, &failed) {
				t.Fatalf("got %v, want a *migrate.Error", err)
			}
			if failed.File != "2_tenant.up.sql" || failed.Line != c.line || failed.Schema != "acme" || failed.Version != 2 || failed.Set != "desk" {
				t.Errorf("got %+v, want line %d of the second file", failed, c.line)
			}
			after := without("event", h.snapshot())
			if strings.Join(before, "\n") != strings.Join(after, "\n") {
				t.Errorf("left behind: before\n%s\nafter\n%s", strings.Join(before, "\n"), strings.Join(after, "\n"))
			}
		})
	}
}

// A tenant that a live process is making in several transactions is not taken for
// what a dead one left, and cannot be worked as.
func TestUnfinishedTenantOfALiveProcess(t *testing.T) {
	t.Parallel()
	const lock = 4711
	h := newHouse(t, tenantSet(`CREATE TABLE a (i int);`, "-- rowhouse: no transaction\nSELECT pg_advisory_lock(4711);"))
	h.behind(`SELECT pg_advisory_lock($1)`, lock)
	first := make(chan error, 1)
	other := h.open(tenantSet(`CREATE TABLE a (i int);`, "-- rowhouse: no transaction\nSELECT pg_advisory_lock(4711);"))
	go func() {
		_, err := other.Create(t.Context(), params("acme"))
		first <- err
	}()
	h.await(`SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND objid = $1 AND NOT granted
		AND database = (SELECT oid FROM pg_database WHERE datname = current_database()))`, lock)
	_, err := h.admin.Create(t.Context(), params("acme"))
	wantIs(t, "create while it is being made", err, admin.ErrSchemaTaken)
	p := params("other")
	p.Domains = []string{"acme.example.com"}
	_, err = h.admin.Create(t.Context(), p)
	wantIs(t, "its domain for another tenant", err, admin.ErrDomainTaken)
	db, ctx := h.as("acme")
	_, err = db.Exec(ctx, `SELECT 1`)
	wantIs(t, "work while it is being made", err, rowhouse.ErrTenantUnavailable)
	h.behind(`SELECT pg_advisory_unlock($1)`, lock)
	h.must(<-first)
	tenant, err := h.admin.Tenant(t.Context(), "acme")
	h.must(err)
	if tenant.State != rowhouse.StateActive {
		t.Errorf("the tenant is %s", tenant.State)
	}
}
