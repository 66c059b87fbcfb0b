package rowhouse_test

import (
	"context"
	"fmt"
	"net/url"
	"testing"
	"testing/fstest"

	"github.com/jackc/pgx/v5"

	"github.com/rowhouse/rowhouse"
	"github.com/rowhouse/rowhouse/admin"
	"github.com/rowhouse/rowhouse/internal/pgtest"
	"github.com/rowhouse/rowhouse/migrate"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

// sets are a small application: one shared table, and tables of each tenant that
// reference it.
func sets() []migrate.Set {
	return []migrate.Set{
		{Name: "plans", Scope: migrate.Shared, FS: fstest.MapFS{"1_plans.up.sql": {Data: []byte(`
			CREATE TABLE plans (id text PRIMARY KEY, price int NOT NULL);
			INSERT INTO plans VALUES ('free', 0), ('gold', 100);`)}}},
		{Name: "desk", Scope: migrate.Tenant, FS: fstest.MapFS{"1_desk.up.sql": {Data: []byte(`
			CREATE TABLE marks (mark text NOT NULL);
			CREATE TABLE tickets (
				id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
				title text NOT NULL,
				plan text NOT NULL DEFAULT 'free' REFERENCES plans,
				parent bigint REFERENCES tickets DEFERRABLE INITIALLY DEFERRED
			);`)}}},
	}
}

// fleet is a database with tenants, each with its own name in table marks, an
// operator, and an application whose login has no rights of its own.
type fleet struct {
	t        testing.TB
	url      string // the superuser's
	login    string // the application's, to the server itself
	admin    *admin.Admin
	db       *rowhouse.DB
	superior *pgx.Conn // the superuser, to do things behind rowhouse's back
}

// newFleet makes a fleet. via, if not nil, says how the application reaches the
// server.
func newFleet(t testing.TB, via func(f *fleet) string, tenants ...string) *fleet {
	t.Helper()
	f := &fleet{t: t, url: pgtest.Database(t)}
	f.login = pgtest.Login(t, f.url, "")
	ctx := t.Context()
	var err error
	f.admin, err = admin.Open(ctx, admin.Config{DatabaseURL: f.url, AppLogins: []string{userOf(t, f.login)}, Sets: sets()})
	f.must(err)
	t.Cleanup(f.admin.Close)
	plan, err := f.admin.Migrator().Plan(ctx, migrate.Target{Only: migrate.Shared})
	f.must(err)
	result, err := f.admin.Migrator().Run(ctx, plan, migrate.Options{})
	f.must(err)
	for _, failed := range result.Failed() {
		f.must(failed.Err)
	}
	app := f.login
	if via != nil {
		app = via(f)
	}
	f.db = f.open(app, 4)
	f.superior, err = pgx.Connect(ctx, f.url)
	f.must(err)
	t.Cleanup(func() { f.superior.Close(context.Background()) })
	for _, name := range tenants {
		f.create(name)
	}
	return f
}

func (f *fleet) must(err error) {
	f.t.Helper()
	if err != nil {
		f.t.Fatal(err)
	}
}

// open opens a DB of the application that is closed with the test.
func (f *fleet) open(url string, conns int32) *rowhouse.DB {
	f.t.Helper()
	db, err := rowhouse.Open(f.t.Context(), rowhouse.Config{DatabaseURL: url, MaxConns: conns})
	f.must(err)
	f.t.Cleanup(db.Close)
	return db
}

// create makes a tenant and marks it.
func (f *fleet) create(schema string) {
	f.t.Helper()
	_, err := f.admin.Create(f.t.Context(), admin.CreateParams{Name: schema, Schema: schema, Domains: []string{host(schema)}})
	f.must(err)
	_, err = f.db.Exec(f.as(schema), `INSERT INTO marks VALUES ($1)`, schema)
	f.must(err)
}

func host(schema string) string { return schema + ".example.com" }

// as is the test's context with a tenant.
func (f *fleet) as(schema string) context.Context {
	f.t.Helper()
	tenant, err := f.db.TenantBySchema(f.t.Context(), schema)
	f.must(err)
	return rowhouse.WithTenant(f.t.Context(), tenant)
}

// behind does something as superuser that rowhouse does not know of.
func (f *fleet) behind(sql string, args ...any) {
	f.t.Helper()
	if _, err := f.superior.Exec(f.t.Context(), sql, args...); err != nil {
		f.t.Fatalf("%s: %v", sql, err)
	}
}

// mark reads the tenant's mark: its own name, whoever else there is.
func mark(ctx context.Context, db interface {
	QueryRow(context.Context, string, ...any) pgx.Row
}) (string, error) {
	var m string
	err := db.QueryRow(ctx, `SELECT string_agg(mark, ',') FROM marks`).Scan(&m)
	return m, err
}

// wantMark fails the test unless work as the tenant sees the tenant's rows.
func (f *fleet) wantMark(schema string) {
	f.t.Helper()
	got, err := mark(f.as(schema), f.db)
	if err != nil || got != schema {
		f.t.Fatalf("as %s: got mark %q, %v", schema, got, err)
	}
}

func userOf(t testing.TB, raw string) string {
	t.Helper()
	u, err := url.Parse(raw)
	if err != nil {
		t.Fatal(err)
	}
	return u.User.Username()
}

// throughPgBouncer reaches the server through PgBouncer in transaction mode, with
// fewer server connections than the application has connections.
func throughPgBouncer(f *fleet) string {
	return f.pooled(pgtest.PgBouncer(f.t, f.url, "default_pool_size = 2"))
}

// throughPgBouncerNew is the same with one that keeps prepared statements.
func throughPgBouncerNew(f *fleet) string {
	return f.pooled(pgtest.PgBouncerNew(f.t, f.url, "default_pool_size = 2"))
}

// pooled is the application's URL with the address of a pooler.
func (f *fleet) pooled(pooler string) string {
	u, err := url.Parse(pooler)
	f.must(err)
	app, err := url.Parse(f.login)
	f.must(err)
	u.User = app.User
	return u.String()
}

// everyWay runs a test for each way in which an application reaches the server.
func everyWay(t *testing.T, test func(t *testing.T, via func(*fleet) string)) {
	for name, via := range map[string]func(*fleet) string{
		"direct": nil, "pgbouncer": throughPgBouncer, "pgbouncer with prepared statements": throughPgBouncerNew,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, via)
		})
	}
}

func names(n int) []string {
	all := make([]string, n)
	for i := range all {
		all[i] = fmt.Sprintf("t%02d", i)
	}
	return all
}
