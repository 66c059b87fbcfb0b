package migrate_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/rowhouse/rowhouse/admin"
	"github.com/rowhouse/rowhouse/migrate"
)

// A tenant's migration never changes the shared schema, the catalog or another
// tenant: PostgreSQL refuses it, and the error names file and line.
func TestTenantSetStaysInItsSchema(t *testing.T) {
	t.Parallel()
	f := newFleet(t, "acme")
	f.apply(sharedSet(`CREATE TABLE plans (id text PRIMARY KEY); CREATE FUNCTION shout() RETURNS text LANGUAGE sql AS 'SELECT upper(id) FROM plans';`))
	for _, sql := range []string{
		`CREATE TABLE public.x (i int);`, `CREATE VIEW public.x AS SELECT 1;`, `CREATE FUNCTION public.x() RETURNS int LANGUAGE sql AS 'SELECT 1';`,
		`CREATE TYPE public.x AS ENUM ('a');`, `CREATE SEQUENCE public.x;`, `DO $$ BEGIN CREATE TABLE public.x (i int); END $$;`,
		`ALTER TABLE plans ADD x int;`, `DROP TABLE plans;`, `DROP TABLE IF EXISTS plans;`, `CREATE INDEX ON plans (id);`, `INSERT INTO plans VALUES ('x');`,
		`DELETE FROM plans;`, `TRUNCATE plans;`, `DROP FUNCTION shout();`, `ALTER TABLE plans SET SCHEMA acme;`, `GRANT ALL ON SCHEMA public TO public; CREATE TABLE public.x (i int);`,
		`CREATE TABLE rowhouse.x (i int);`, `UPDATE rowhouse.tenants SET state = 'active';`, `DELETE FROM rowhouse.tenants;`, `INSERT INTO rowhouse.domains VALUES ('x');`,
		`CREATE SCHEMA another;`, `CREATE ROLE another;`, `ALTER ROLE CURRENT_USER SUPERUSER;`,
	} {
		m := f.migrator(tenantSet("CREATE TABLE mine (i int);\n\n" + sql + "\n"))
		failed := f.failure(f.run(m, migrate.Target{}))
		var pgErr *pgconn.PgError
		if !errors.As(failed, &pgErr) || pgErr.Code != "42501" {
			t.Errorf("%s: got %v, want 42501", sql, failed)
		}
		if failed.File != "1_desk.up.sql" || failed.Line != 3 {
			t.Errorf("%s: the error is at %s:%d, want line 3", sql, failed.File, failed.Line)
		}
	}
	f.wantTables("public.plans")
	f.wantLedger("shared plans 1")
}

// A migration that goes elsewhere is found out, in a transaction and outside of
// one, and what follows it does not run elsewhere.
func TestMigrationThatLeaves(t *testing.T) {
	t.Parallel()
	f := newFleet(t, "acme", "beta")
	for _, sql := range []string{
		`SET search_path = public`, `SET SESSION search_path = public`, `SET LOCAL search_path TO beta`, `SET SCHEMA 'beta'`, `RESET search_path`,
		`SELECT set_config('search_path', '', false)`, `SELECT pg_catalog.set_config('search_path', 'beta', true)`,
		`SET ROLE none`, `SELECT set_config('role', 'none', false)`, `RESET ALL`, `SET SESSION AUTHORIZATION DEFAULT`,
		`DO $$ BEGIN SET search_path = beta; END $$`,
	} {
		for prefix, after := range map[string]string{"": ";", "-- rowhouse: no transaction\n": ";\nCREATE TABLE gone (i int);"} {
			if prefix != "" && (strings.Contains(sql, "LOCAL") || strings.Contains(sql, "true") || strings.HasPrefix(sql, "RESET") || strings.Contains(sql, "AUTHORIZATION")) {
				continue // ends with its statement, or leads back
			}
			m := f.migrator(tenantSet(prefix + sql + after))
			result := f.run(m, migrate.Target{Schemas: []string{"acme"}})
			if failed := result.Failed(); len(failed) != 1 || !errors.Is(failed[0].Err, migrate.ErrLeft) {
				t.Errorf("%s%s: got %+v, want ErrLeft", prefix, sql, result)
			}
			f.wantTables("")
			f.wantLedger()
			// The connection is in its place again.
			f.run(f.migrator(tenantSet(`CREATE TABLE here (i int);`)), migrate.Target{Schemas: []string{"acme"}})
			f.wantTables("acme.here")
			f.behind(`DROP TABLE acme.here`)
			f.behind(`DELETE FROM rowhouse.migrations`)
		}
	}
}

// What a migration sets is gone when the next one runs: on the same connection, in
// the transaction that makes a tenant, and outside of one.
func TestSettingsDoNotStay(t *testing.T) {
	t.Parallel()
	const look = `CREATE TABLE seen AS SELECT current_setting('lock_timeout') AS lock, current_setting('check_function_bodies') AS bodies, coalesce(current_setting('my.own', true), '') AS own;`
	for what, setting := range map[string]string{
		"SET":            `SET lock_timeout = '7s'; SET check_function_bodies = false; SET my.own = 'x';`,
		"SET LOCAL":      `SET LOCAL lock_timeout = '7s'; SET LOCAL check_function_bodies = false; SET LOCAL my.own = 'x';`,
		"set_config":     `SELECT set_config('lock_timeout', '7s', false), set_config('check_function_bodies', 'off', false), set_config('my.own', 'x', false);`,
		"no transaction": "-- rowhouse: no transaction\n" + `SET lock_timeout = '7s'; SET check_function_bodies = false; SET my.own = 'x';`,
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			f := newFleet(t, "acme", "beta")
			set := tenantSet(setting, look)
			f.apply(set)
			made, err := admin.Open(t.Context(), admin.Config{DatabaseURL: f.url, Sets: []migrate.Set{set}})
			f.must(err)
			defer made.Close()
			for _, schema := range []string{"fresh", "fresher"} {
				_, err = made.Create(t.Context(), admin.CreateParams{Name: schema, Schema: schema})
				f.must(err)
			}
			for _, schema := range []string{"acme", "beta", "fresh", "fresher"} {
				if got := one[string](f, `SELECT lock || bodies || own FROM `+schema+`.seen`); got != "0on" {
					t.Errorf("the second migration of %s saw %s", schema, got)
				}
			}
		})
	}
}

func TestNoTransaction(t *testing.T) {
	t.Parallel()
	f := newFleet(t, "acme", "beta")
	f.apply(sharedSet(`CREATE TABLE plans (id text);`, `CREATE INDEX CONCURRENTLY plans_idx ON plans (id);`),
		tenantSet(`CREATE TABLE a (i int);`, `CREATE INDEX CONCURRENTLY a_idx ON a (i);`,
			"-- rowhouse: no transaction\nCREATE TYPE mood AS ENUM ('good');\nALTER TYPE mood ADD VALUE 'bad';\nCREATE TABLE m (m mood DEFAULT 'bad');"),
		migrate.Set{Name: "goose", Scope: migrate.Tenant, FS: files("1_x.sql", "-- +goose NO TRANSACTION\n-- +goose Up\nDROP INDEX CONCURRENTLY a_idx;\nVACUUM a;\n")})
	f.wantTables("acme.a acme.m beta.a beta.m public.plans")
	if got := one[string](f, `SELECT string_agg(schemaname || '.' || indexname, ' ' ORDER BY 1) FROM pg_indexes WHERE schemaname IN ('acme', 'beta', 'public')`); got != "public.plans_idx" {
		t.Errorf("indexes are %s", got)
	}
	f.wantLedger("acme desk 1", "acme desk 2", "acme desk 3", "acme goose 1", "beta desk 1", "beta desk 2", "beta desk 3", "beta goose 1", "shared plans 1", "shared plans 2")
}

// A migration outside of a transaction that fails half-way is not recorded, and
// says at which statement.
func TestNoTransactionFails(t *testing.T) {
	t.Parallel()
	f := newFleet(t, "acme")
	text := "-- rowhouse: no transaction\nCREATE TABLE IF NOT EXISTS a (i int);\nSELECT 1/(SELECT count(*) FROM a);\nCREATE TABLE z (i int);\n"
	m := f.migrator(tenantSet(text))
	if failed := f.failure(f.run(m, migrate.Target{})); failed.Line != 3 {
		t.Errorf("got %+v", failed)
	}
	f.wantTables("acme.a")
	f.wantLedger()
	f.behind(`INSERT INTO acme.a VALUES (1)`)
	f.run(m, migrate.Target{})
	f.wantTables("acme.a acme.z")
	f.wantLedger("acme desk 1")
}

// A new tenant gets all migrations in one transaction. Rows whose constraints are
// deferred must not keep a later migration from altering their table, and what is
// wrong is told with the migration that did it.
func TestDeferredConstraints(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	const tables = `CREATE TABLE parents (id int PRIMARY KEY);
		CREATE TABLE kids (parent int CONSTRAINT "Odd ""Name""" REFERENCES parents DEFERRABLE INITIALLY DEFERRED);`
	for what, c := range map[string]struct {
		set  migrate.Set
		want string // in the error
	}{
		"good": {tenantSet(tables, `INSERT INTO kids VALUES (1); INSERT INTO parents VALUES (1);`, `ALTER TABLE kids ADD x int; ALTER TABLE parents ADD x int;`,
			`INSERT INTO kids VALUES (2); INSERT INTO parents VALUES (2);`), ""},
		"bad": {tenantSet(tables, `INSERT INTO kids VALUES (1);`, `CREATE TABLE z (i int);`), "2_desk.up.sql"},
	} {
		a, err := admin.Open(t.Context(), admin.Config{DatabaseURL: f.url, Sets: []migrate.Set{c.set}})
		f.must(err)
		defer a.Close()
		_, err = a.Create(t.Context(), admin.CreateParams{Name: what, Schema: what})
		var failed *migrate.Error
		if c.want == "" && err != nil || c.want != "" && (!errors.As(err, &failed) || failed.File != c.want) {
			t.Errorf("%s: got %v, want %q", what, err, c.want)
		}
	}
	f.wantTables("good.kids good.parents")
}
