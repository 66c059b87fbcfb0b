package sqldb_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"testing"
	"testing/fstest"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/rowhouse/rowhouse"
	"github.com/rowhouse/rowhouse/admin"
	"github.com/rowhouse/rowhouse/internal/pgtest"
	"github.com/rowhouse/rowhouse/migrate"
	"github.com/rowhouse/rowhouse/sqldb"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

const fileTicket = `INSERT INTO tickets (title) VALUES ('x')`

// fleet is a database with tenants, each with its own name in table marks, and an
// application that knows database/sql only.
type fleet struct {
	t        testing.TB
	url      string // the superuser's
	login    string // the application's, to the server itself
	admin    *admin.Admin
	db       *rowhouse.DB
	std      *sql.DB   // the view of db
	superior *pgx.Conn // the superuser, to do things behind rowhouse's back
}

func newFleet(t testing.TB, via func(f *fleet) string, tenants ...string) *fleet {
	t.Helper()
	f := &fleet{t: t, url: pgtest.Database(t)}
	f.login = pgtest.Login(t, f.url, "")
	ctx := t.Context()
	var err error
	f.admin, err = admin.Open(ctx, admin.Config{DatabaseURL: f.url, AppLogins: []string{parse(t, f.login).User.Username()}, Sets: []migrate.Set{
		{Name: "plans", Scope: migrate.Shared, FS: fstest.MapFS{"1_plans.up.sql": {Data: []byte(`
			CREATE TABLE plans (id text PRIMARY KEY); INSERT INTO plans VALUES ('free')`)}}},
		{Name: "desk", Scope: migrate.Tenant, FS: fstest.MapFS{"1_desk.up.sql": {Data: []byte(`
			CREATE TABLE marks (mark text NOT NULL);
			CREATE TABLE tickets (
				id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
				title text NOT NULL,
				parent bigint REFERENCES tickets DEFERRABLE INITIALLY DEFERRED
			);`)}}},
	}})
	f.must(err)
	t.Cleanup(f.admin.Close)
	plan, err := f.admin.Migrator().Plan(ctx, migrate.Target{Only: migrate.Shared})
	f.must(err)
	_, err = f.admin.Migrator().Run(ctx, plan, migrate.Options{})
	f.must(err)
	app := f.login
	if via != nil {
		app = via(f)
	}
	f.open(app, 4)
	f.superior, err = pgx.Connect(ctx, f.url)
	f.must(err)
	t.Cleanup(func() { _ = f.superior.Close(context.Background()) })
	for _, schema := range tenants {
		_, err := f.admin.Create(ctx, admin.CreateParams{Name: schema, Schema: schema})
		f.must(err)
		_, err = f.std.ExecContext(f.as(schema), `INSERT INTO marks VALUES ($1)`, schema)
		f.must(err)
	}
	return f
}

// open opens the application's DB and its view, with so many connections.
func (f *fleet) open(url string, conns int32) {
	f.t.Helper()
	db, err := rowhouse.Open(f.t.Context(), rowhouse.Config{DatabaseURL: url, MaxConns: conns})
	f.must(err)
	f.t.Cleanup(db.Close)
	f.db, f.std = db, sqldb.New(db)
	f.t.Cleanup(func() { _ = f.std.Close() })
}

func (f *fleet) must(err error) {
	f.t.Helper()
	if err != nil {
		f.t.Fatal(err)
	}
}

// as is the test's context with a tenant.
func (f *fleet) as(schema string) context.Context {
	f.t.Helper()
	tenant, err := f.db.TenantBySchema(f.t.Context(), schema)
	f.must(err)
	return rowhouse.WithTenant(f.t.Context(), tenant)
}

// behind does something as superuser that rowhouse does not know of.
func (f *fleet) behind(sql string) {
	f.t.Helper()
	if _, err := f.superior.Exec(f.t.Context(), sql); err != nil {
		f.t.Fatalf("%s: %v", sql, err)
	}
}

// rowQuerier is a sql.DB, sql.Tx or sql.Conn.
type rowQuerier interface {
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// mark reads the tenant's mark: its own name, whoever else there is.
func mark(ctx context.Context, db rowQuerier) (m string, err error) {
	err = db.QueryRowContext(ctx, `SELECT string_agg(mark, ',') FROM marks`).Scan(&m)
	return m, err
}

func (f *fleet) wantMark(schema string) {
	f.t.Helper()
	if got, err := mark(f.as(schema), f.std); err != nil || got != schema {
		f.t.Fatalf("as %s: got mark %q, %v", schema, got, err)
	}
}

func (f *fleet) wantTickets(schema string, want int) {
	f.t.Helper()
	var n int
	f.must(f.std.QueryRowContext(f.as(schema), `SELECT count(*) FROM tickets`).Scan(&n))
	if n != want {
		f.t.Fatalf("%s has %d tickets, want %d", schema, n, want)
	}
}

// wantCode fails the test unless PostgreSQL gave the error.
func (f *fleet) wantCode(what string, err error, code string) {
	f.t.Helper()
	var pgErr *pgconn.PgError
	if !errors.As(err, &pgErr) || pgErr.Code != code {
		f.t.Errorf("%s: got %v, want %s", what, err, code)
	}
}

func (f *fleet) wantError(what string, err, want error) {
	f.t.Helper()
	if !errors.Is(err, want) {
		f.t.Errorf("%s: got %v, want %v", what, err, want)
	}
}

func parse(t testing.TB, raw string) *url.URL {
	t.Helper()
	u, err := url.Parse(raw)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// throughPgBouncer reaches the server through PgBouncer in transaction mode, with
// fewer server connections than the application has connections.
func throughPgBouncer(f *fleet) string {
	u := parse(f.t, pgtest.PgBouncer(f.t, f.url, "default_pool_size = 2"))
	u.User = parse(f.t, f.login).User
	return u.String()
}

// everyWay runs a test for each way in which an application reaches the server.
func everyWay(t *testing.T, test func(t *testing.T, via func(*fleet) string)) {
	t.Helper()
	for name, via := range map[string]func(*fleet) string{"direct": nil, "pgbouncer": throughPgBouncer} {
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
