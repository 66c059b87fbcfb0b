package admin_test

import (
	"context"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/rowhouse/rowhouse"
	"github.com/rowhouse/rowhouse/admin"
	"github.com/rowhouse/rowhouse/migrate"
)

// wantPowerless fails the test if a connection that is not bound can create or
// read anything of the application's, or change the catalog.
func (h *house) wantPowerless(conn *pgx.Conn, tenant string) {
	h.t.Helper()
	shared := h.admin.SharedSchema()
	for _, sql := range []string{
		`CREATE SCHEMA mine`,
		`CREATE SCHEMA AUTHORIZATION CURRENT_USER`,
		`CREATE TABLE ` + shared + `.mine (i int)`,
		`CREATE TABLE ` + tenant + `.mine (i int)`,
		`CREATE TABLE public.mine (i int)`,
		`CREATE TABLE rowhouse.mine (i int)`,
		`CREATE TABLE mine (i int)`,
		`CREATE TEMP TABLE mine (i int)`,
		`CREATE VIEW ` + shared + `.mine AS SELECT 1`,
		`CREATE FUNCTION ` + shared + `.mine() RETURNS int LANGUAGE sql AS 'SELECT 1'`,
		`CREATE TYPE ` + tenant + `.mine AS ENUM ('x')`,
		`CREATE ROLE mine`,
		`SELECT * FROM ` + tenant + `.marks`,
		`INSERT INTO ` + tenant + `.marks DEFAULT VALUES`,
		`UPDATE ` + tenant + `.marks SET mark = 'x'`,
		`DELETE FROM ` + tenant + `.marks`,
		`SELECT nextval('` + tenant + `.marks_id_seq')`,
		`COPY ` + tenant + `.marks TO STDOUT`,
		`SELECT * FROM ` + shared + `.plans`,
		`INSERT INTO ` + shared + `.plans VALUES ('x')`,
		`TRUNCATE ` + shared + `.plans`,
		`DROP TABLE ` + tenant + `.marks`,
		`ALTER SCHEMA ` + tenant + ` RENAME TO mine`,
		`UPDATE rowhouse.tenants SET state = 'active'`,
		`SELECT * FROM rowhouse.events`,
		`DELETE FROM rowhouse.migrations`,
	} {
		if _, err := conn.Exec(h.t.Context(), sql); !refused(err) {
			h.t.Errorf("unbound: %s: got %v, want 42501", sql, err)
		}
	}
	prefix := one[string](h, `SELECT role_prefix FROM rowhouse.settings`)
	for _, role := range []string{"owner", "builder", "admin", "renamer"} {
		if _, err := conn.Exec(h.t.Context(), `SET ROLE `+prefix+role); !refused(err) {
			h.t.Errorf("become the %s: got %v, want 42501", role, err)
		}
	}
}

// With a login of its own the application can neither create nor read before it
// is bound, whatever shared schema there is and though others left public open.
func TestServingLogin(t *testing.T) {
	t.Parallel()
	for _, sharedSchema := range []string{"public", "common"} {
		t.Run(sharedSchema, func(t *testing.T) {
			t.Parallel()
			super, owner, app := newManaged(t)
			// As in a database that was upgraded from PostgreSQL 14.
			if _, err := super.Exec(t.Context(), `GRANT CREATE ON SCHEMA public TO PUBLIC`); err != nil {
				t.Fatal(err)
			}
			cfg := admin.Config{DatabaseURL: owner, AppLogins: []string{userOf(t, app)}, SharedSchema: sharedSchema}
			first, err := admin.Open(t.Context(), cfg)
			if err != nil {
				t.Fatal(err)
			}
			first.Close()
			h := houseAt(t, owner, super, oneRoleSets()...)
			h.create("acme")
			conn, err := pgx.Connect(t.Context(), app)
			h.must(err)
			defer func() { _ = conn.Close(context.Background()) }()
			h.wantPowerless(conn, "acme")
			db, err := rowhouse.Open(t.Context(), rowhouse.Config{DatabaseURL: app, MaxConns: 2})
			h.must(err)
			t.Cleanup(db.Close)
			_, err = db.Exec(h.at(db, "acme"), `INSERT INTO marks DEFAULT VALUES`) // bound it works
			h.must(err)
			h.wantPowerless(conn, "acme")
		})
	}
}

// One login for both works too, and reads no tenant before it is bound either.
func TestOneLoginForBoth(t *testing.T) {
	t.Parallel()
	super, owner, _ := newManaged(t)
	h := houseAt(t, owner, super, oneRoleSets()...)
	h.create("acme")
	h.create("beta")
	db := h.serve()
	defer db.Close()
	for _, schema := range []string{"acme", "beta"} {
		_, err := db.Exec(h.at(db, schema), `INSERT INTO marks DEFAULT VALUES`)
		h.must(err)
		h.wantRows(db, schema, schema)
	}
	if _, err := db.Exec(h.at(db, "acme"), `SELECT * FROM beta.marks`); !refused(err) {
		t.Errorf("another tenant's rows: got %v, want 42501", err)
	}
	conn, err := pgx.Connect(t.Context(), owner)
	h.must(err)
	defer func() { _ = conn.Close(context.Background()) }()
	for _, sql := range []string{`SELECT * FROM acme.marks`, `SELECT * FROM plans`, `CREATE TABLE acme.mine (i int)`} {
		if _, err := conn.Exec(t.Context(), sql); !refused(err) {
			t.Errorf("unbound: %s: got %v, want 42501", sql, err)
		}
	}
	h.migrate(h.open(append(oneRoleSets(), migrate.Set{Name: "more", Scope: migrate.Tenant, FS: childSets["in several"].FS})...), migrate.Target{})
}
