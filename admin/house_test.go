package admin_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/rowhouse/rowhouse"
	"github.com/rowhouse/rowhouse/admin"
	"github.com/rowhouse/rowhouse/internal/pgtest"
	"github.com/rowhouse/rowhouse/migrate"
)

// shared is a set of the shared schema, one file of the given SQL.
func shared(sql string) migrate.Set {
	return migrate.Set{Name: "shared", Scope: migrate.Shared, FS: fstest.MapFS{"1_shared.up.sql": {Data: []byte(sql)}}}
}

// tenantSet is a set of every tenant, one file for each text.
func tenantSet(files ...string) migrate.Set {
	dir := fstest.MapFS{}
	for i, sql := range files {
		dir[fmt.Sprintf("%d_tenant.up.sql", i+1)] = &fstest.MapFile{Data: []byte(sql)}
	}
	return migrate.Set{Name: "desk", Scope: migrate.Tenant, FS: dir}
}

// desk is a small tenant set: two files, two tables.
func desk() migrate.Set {
	return tenantSet(`CREATE TABLE tickets (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, title text NOT NULL);`,
		`CREATE TABLE comments (ticket bigint NOT NULL REFERENCES tickets, body text NOT NULL);`)
}

// house is a database with an operator, and with the superuser who can look at
// and do what rowhouse cannot.
type house struct {
	t     testing.TB
	url   string
	admin *admin.Admin
	super *pgx.Conn
}

func newHouse(t testing.TB, sets ...migrate.Set) *house {
	t.Helper()
	return houseAt(t, pgtest.Database(t), nil, sets...)
}

// houseAt makes the house in a database that exists and migrates its shared
// schema. super may be nil if url is the superuser's.
func houseAt(t testing.TB, url string, super *pgx.Conn, sets ...migrate.Set) *house {
	t.Helper()
	h := &house{t: t, url: url, super: super}
	h.admin = h.open(sets...)
	if super == nil {
		var err error
		h.super, err = pgx.Connect(t.Context(), url)
		h.must(err)
		t.Cleanup(func() { _ = h.super.Close(context.Background()) })
	}
	h.migrate(h.admin, migrate.Target{Only: migrate.Shared})
	return h
}

// open opens another operator of the same house.
func (h *house) open(sets ...migrate.Set) *admin.Admin {
	h.t.Helper()
	a, err := admin.Open(h.t.Context(), admin.Config{DatabaseURL: h.url, Sets: sets, Actor: "the operator"})
	h.must(err)
	h.t.Cleanup(a.Close)
	return a
}

// migrate runs what is pending and fails the test if anything fails.
func (h *house) migrate(a *admin.Admin, target migrate.Target) {
	h.t.Helper()
	plan, err := a.Migrator().Plan(h.t.Context(), target)
	h.must(err)
	result, err := a.Migrator().Run(h.t.Context(), plan, migrate.Options{})
	h.must(err)
	for _, failed := range result.Failed() {
		h.must(failed.Err)
	}
}

func (h *house) must(err error) {
	h.t.Helper()
	if err != nil {
		h.t.Fatal(err)
	}
}

// behind does something as superuser that rowhouse does not know of.
func (h *house) behind(sql string, args ...any) {
	h.t.Helper()
	if _, err := h.super.Exec(h.t.Context(), sql, args...); err != nil {
		h.t.Fatalf("%s: %v", sql, err)
	}
}

// create makes a tenant with the domain NAME.example.com.
func (h *house) create(schema string) *rowhouse.Tenant {
	h.t.Helper()
	tenant, err := h.admin.Create(h.t.Context(), params(schema))
	h.must(err)
	return tenant
}

func params(schema string) admin.CreateParams {
	return admin.CreateParams{Name: "Company " + schema, Schema: schema, Domains: []string{schema + ".example.com"}}
}

// as opens a DB of the application, until the test ends, and returns it with a
// context of the tenant.
func (h *house) as(schema string) (*rowhouse.DB, context.Context) {
	h.t.Helper()
	db := h.serve()
	h.t.Cleanup(db.Close)
	tenant, err := db.TenantBySchema(h.t.Context(), schema)
	h.must(err)
	return db, rowhouse.WithTenant(h.t.Context(), tenant)
}

// serve opens a DB of the application.
func (h *house) serve() *rowhouse.DB {
	h.t.Helper()
	db, err := rowhouse.Open(h.t.Context(), rowhouse.Config{DatabaseURL: h.url, MaxConns: 2})
	h.must(err)
	return db
}

// one reads a single value as superuser.
func one[T any](h *house, sql string, args ...any) (value T) {
	h.t.Helper()
	if err := h.super.QueryRow(h.t.Context(), sql, args...).Scan(&value); err != nil {
		h.t.Fatalf("%s: %v", sql, err)
	}
	return value
}

const snapshotSQL = `
SELECT 'schema ' || n.nspname || ' ' || pg_get_userbyid(n.nspowner) || ' ' || coalesce(n.nspacl::text, '')
FROM pg_namespace n WHERE n.nspname !~ '^pg_(temp|toast)'
UNION ALL SELECT 'role ' || rolname FROM pg_roles WHERE starts_with(rolname, $1)
UNION ALL SELECT 'member ' || m.member::regrole || ' of ' || m.roleid::regrole FROM pg_auth_members m
    WHERE starts_with(m.roleid::regrole::text, $1)
UNION ALL SELECT 'relation ' || c.oid::regclass || ' ' || c.relkind::text || ' ' || coalesce(c.relacl::text, '')
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
UNION ALL SELECT 'defaults ' || defaclnamespace || ' ' || defaclacl::text FROM pg_default_acl
UNION ALL SELECT 'tenant ' || t::text FROM rowhouse.tenants t
UNION ALL SELECT 'domain ' || d::text FROM rowhouse.domains d
UNION ALL SELECT 'migration ' || m::text FROM rowhouse.migrations m
UNION ALL SELECT 'event ' || e::text FROM rowhouse.events e
ORDER BY 1`

// snapshot lists all that rowhouse could have made in the database and the roles
// that belong to it.
func (h *house) snapshot() []string {
	h.t.Helper()
	prefix := one[string](h, `SELECT role_prefix FROM rowhouse.settings`)
	rows, err := h.super.Query(h.t.Context(), snapshotSQL, prefix)
	h.must(err)
	lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
	h.must(err)
	return lines
}

// wantUnchanged fails the test if the database is not as it was in a snapshot.
func (h *house) wantUnchanged(before []string, what string) {
	h.t.Helper()
	after := h.snapshot()
	for _, line := range after {
		if !slices.Contains(before, line) {
			h.t.Errorf("%s: there is now %s", what, line)
		}
	}
	for _, line := range before {
		if !slices.Contains(after, line) {
			h.t.Errorf("%s: there is no longer %s", what, line)
		}
	}
}

// without leaves out the lines of one sort.
func without(sort string, lines []string) []string {
	return slices.DeleteFunc(slices.Clone(lines), func(l string) bool { return strings.HasPrefix(l, sort+" ") })
}

// await waits until a query of one boolean is true.
func (h *house) await(sql string, args ...any) {
	h.t.Helper()
	deadline := time.After(30 * time.Second)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !one[bool](h, sql, args...) {
		select {
		case <-deadline:
			h.t.Fatalf("waited in vain for %s %v", sql, args)
		case <-tick.C:
		}
	}
}

func wantIs(t testing.TB, what string, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("%s: got %v, want %v", what, err, want)
	}
}
