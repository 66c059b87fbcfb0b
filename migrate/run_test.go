package migrate_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/rowhouse/rowhouse/migrate"
)

// Sets of both formats and of every scope run where they belong and nowhere else.
func TestRun(t *testing.T) {
	t.Parallel()
	f := newFleet(t, "acme", "beta")
	f.create("gold", "gold")
	sets := []migrate.Set{
		{Name: "plans", Scope: migrate.Shared, FS: files("00001_plans.sql", "-- +goose Up\nCREATE TABLE plans (id text PRIMARY KEY);\n-- +goose Down\nDROP TABLE plans;")},
		{Name: "desk", Scope: migrate.Tenant, FS: files(
			"2_more.up.sql", `ALTER TABLE tickets ADD plan text REFERENCES plans;`, "2_more.down.sql", `ALTER TABLE tickets DROP plan;`,
			"10_last.up.sql", `CREATE INDEX ON tickets (plan);`, "1_tickets.up.sql", `CREATE TABLE tickets (id int);`)},
		{Name: "extra", Scope: migrate.Tenant, Kind: "gold", FS: files("20240101120000_x.sql", "-- +goose Up\n-- +goose StatementBegin\n"+
			"CREATE FUNCTION two() RETURNS int LANGUAGE plpgsql AS $$ BEGIN RETURN 2; END $$;\n-- +goose StatementEnd\nCREATE TABLE extras (i int DEFAULT two());")},
		{Name: "audit", Scope: migrate.Both, FS: files("1_audit.up.sql", `CREATE TABLE audit (at timestamptz);`)},
	}
	result := f.apply(sets...)
	f.wantTables("acme.audit acme.tickets beta.audit beta.tickets gold.audit gold.extras gold.tickets public.audit public.plans")
	f.wantLedger("acme audit 1", "acme desk 1", "acme desk 10", "acme desk 2", "beta audit 1", "beta desk 1", "beta desk 10", "beta desk 2",
		"gold audit 1", "gold desk 1", "gold desk 10", "gold desk 2", "gold extra 20240101120000", "shared audit 1", "shared plans 1")
	if len(result.Schemas) != 4 || !result.Schemas[0].Shared || result.Schemas[0].Schema != "public" || result.Schemas[3].Applied != 5 || result.Schemas[3].Duration <= 0 {
		t.Errorf("got %+v", result)
	}
	row := one[string](f, `SELECT name || ' ' || length(checksum) || ' ' || (duration > '0')::text || ' ' || (applied_at > now() - interval '1 hour')::text
		FROM rowhouse.migrations WHERE version = 10 LIMIT 1`)
	if row != "last 64 true true" {
		t.Errorf("the ledger's row is %s", row)
	}
	if again := f.apply(sets...); again.Applied() != 0 || len(again.Schemas) != 0 {
		t.Errorf("the second run did %+v", again)
	}
}

// A failure in one tenant is told with file and line, undoes that migration only,
// and keeps no other tenant from being done. The next run does the rest.
func TestFailureInOneTenant(t *testing.T) {
	t.Parallel()
	f := newFleet(t, "acme", "beta", "gamma")
	f.behind(`CREATE TABLE beta.b (i int)`)
	m := f.migrator(tenantSet(`CREATE TABLE a (i int);`, "CREATE TABLE before (i int);\n\n-- this one\nCREATE TABLE b (i int);\n", `CREATE TABLE c (i int);`))
	var seen []string
	result, err := m.Run(t.Context(), f.plan(m, migrate.Target{}), migrate.Options{OnSchema: func(s migrate.SchemaResult) {
		seen = append(seen, fmt.Sprintf("%s %d %t", s.Schema, s.Applied, s.Err != nil))
	}})
	f.must(err)
	if got := strings.Join(seen, ", "); got != "acme 3 false, beta 1 true, gamma 3 false" {
		t.Errorf("reported were %s", got)
	}
	failed := f.failure(result)
	if failed.Schema != "beta" || failed.Set != "desk" || failed.Version != 2 || failed.File != "2_desk.up.sql" || failed.Line != 4 {
		t.Errorf("got %+v", failed)
	}
	if text := failed.Error(); !strings.Contains(text, "2_desk.up.sql:4") || !strings.Contains(text, `"beta"`) {
		t.Errorf("the error says %s", text)
	}
	f.wantTables("acme.a acme.b acme.before acme.c beta.a beta.b gamma.a gamma.b gamma.before gamma.c")
	f.behind(`DROP TABLE beta.b`)
	if got := planned(f.plan(m, migrate.Target{})); got != "beta: desk 2, desk 3" {
		t.Errorf("what is left is %s", got)
	}
	f.run(m, migrate.Target{})
	f.wantTables("acme.a acme.b acme.before acme.c beta.a beta.b beta.before beta.c gamma.a gamma.b gamma.before gamma.c")
}

// Tenants may depend on the shared schema, so its failure ends the run.
func TestFailureInTheSharedSchema(t *testing.T) {
	t.Parallel()
	f := newFleet(t, "acme")
	m := f.migrator(tenantSet(`CREATE TABLE a (i int);`), sharedSet(`CREATE TABLE s (i int);`, `SELECT 1/0;`, `CREATE TABLE z (i int);`))
	result := f.run(m, migrate.Target{})
	if failed := f.failure(result); failed.Schema != "public" || failed.Version != 2 || len(result.Schemas) != 1 || result.Applied() != 1 {
		t.Errorf("got %+v", result)
	}
	f.wantTables("public.s")
	f.wantLedger("shared plans 1")
}

// The row of the ledger and the migration are one transaction: without the one
// there is not the other.
func TestLedgerRowIsInTheTransaction(t *testing.T) {
	t.Parallel()
	f := newFleet(t, "acme")
	f.behind(`CREATE FUNCTION public.refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
		IF NEW.version = 2 THEN RAISE 'no more rows'; END IF; RETURN NEW; END $$`)
	f.behind(`CREATE TRIGGER refuse BEFORE INSERT ON rowhouse.migrations FOR EACH ROW EXECUTE FUNCTION public.refuse()`)
	m := f.migrator(tenantSet(`CREATE TABLE a (i int);`, `CREATE TABLE b (i int);`))
	if failed := f.failure(f.run(m, migrate.Target{})); !strings.Contains(failed.Error(), "no more rows") {
		t.Errorf("got %v", failed)
	}
	f.wantTables("acme.a")
	f.behind(`DROP TRIGGER refuse ON rowhouse.migrations`)
	f.run(m, migrate.Target{})
	f.wantTables("acme.a acme.b")
}

// The backend dies between the migration and its row of the ledger.
func TestBackendDiesInAMigration(t *testing.T) {
	t.Parallel()
	f := newFleet(t, "acme", "beta")
	m := f.migrator(tenantSet(`CREATE TABLE a (i int);`, `CREATE TABLE b (i int); SELECT pg_terminate_backend(pg_backend_pid()) WHERE current_schema = 'acme';`))
	f.behind(`DO $$ BEGIN EXECUTE (SELECT 'GRANT pg_signal_backend TO ' || role_prefix || 'builder' FROM rowhouse.settings); END $$`)
	result := f.run(m, migrate.Target{})
	if failed := f.failure(result); failed.Schema != "acme" {
		t.Errorf("got %v", failed)
	}
	f.wantTables("acme.a beta.a beta.b")
	f.wantLedger("acme desk 1", "beta desk 1", "beta desk 2")
}

// Cancelling the context ends the server's statement and the run.
func TestCancel(t *testing.T) {
	t.Parallel()
	f := newFleet(t, "acme", "beta")
	for what, text := range map[string]string{
		"in a transaction": `CREATE TABLE a (i int); SELECT pg_sleep(600);`,
		"outside of one":   "-- rowhouse: no transaction\nSELECT pg_sleep(600);",
	} {
		m := f.migrator(tenantSet(text))
		plan := f.plan(m, migrate.Target{})
		ctx, cancel := context.WithCancel(t.Context())
		type outcome struct {
			result *migrate.Result
			err    error
		}
		done := make(chan outcome, 1)
		go func() {
			result, err := m.Run(ctx, plan, migrate.Options{})
			done <- outcome{result, err}
		}()
		const running = `SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()
			AND state = 'active' AND wait_event = 'PgSleep')`
		f.await(running)
		began := time.Now()
		cancel()
		got := <-done
		if !errors.Is(got.err, context.Canceled) || len(got.result.Schemas) != 1 || got.result.Schemas[0].Err == nil {
			t.Errorf("%s: got %+v, %v", what, got.result, got.err)
		}
		if took := time.Since(began); took > 10*time.Second {
			t.Errorf("%s: it took %s", what, took)
		}
		f.await(`SELECT NOT (` + strings.TrimPrefix(running, "SELECT ") + `)`)
		f.wantTables("")
		f.wantLedger()
	}
}

// What PostgreSQL says is to be had from the error.
func TestErrorIsPostgreSQLs(t *testing.T) {
	t.Parallel()
	f := newFleet(t, "acme")
	m := f.migrator(tenantSet("CREATE TABLE a (i int);\nINSERT INTO a VALUES ('ä', 1);\n"))
	failed := f.failure(f.run(m, migrate.Target{}))
	var pgErr *pgconn.PgError
	if !errors.As(failed, &pgErr) || pgErr.Code != "42601" && pgErr.Code != "22P02" || failed.Line != 2 {
		t.Errorf("got %+v", failed)
	}
}
