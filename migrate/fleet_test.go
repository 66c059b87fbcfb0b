package migrate_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/rowhouse/rowhouse/admin"
	"github.com/rowhouse/rowhouse/internal/pgtest"
	"github.com/rowhouse/rowhouse/internal/pool"
	"github.com/rowhouse/rowhouse/migrate"
)

// TestMain runs the tests, or what a child process of a test is to do.
func TestMain(m *testing.M) {
	if url := os.Getenv(childURL); url != "" {
		os.Exit(runChild(url))
	}
	pgtest.Main(m)
}

// files makes a directory: names and texts alternate.
func files(pairs ...string) fstest.MapFS {
	dir := fstest.MapFS{}
	for i := 0; i < len(pairs); i += 2 {
		dir[pairs[i]] = &fstest.MapFile{Data: []byte(pairs[i+1])}
	}
	return dir
}

// tenantSet is a set of every tenant called "desk", one file for each text.
func tenantSet(texts ...string) migrate.Set {
	dir := fstest.MapFS{}
	for i, sql := range texts {
		dir[fmt.Sprintf("%d_desk.up.sql", i+1)] = &fstest.MapFile{Data: []byte(sql)}
	}
	return migrate.Set{Name: "desk", Scope: migrate.Tenant, FS: dir}
}

func sharedSet(texts ...string) migrate.Set {
	set := tenantSet(texts...)
	set.Name, set.Scope = "plans", migrate.Shared
	return set
}

// fleet is a database with empty tenants, made without any set, and the superuser.
type fleet struct {
	t     testing.TB
	url   string
	admin *admin.Admin
	super *pgx.Conn
	log   *queryLog
}

func newFleet(t testing.TB, tenants ...string) *fleet {
	t.Helper()
	f := &fleet{t: t, url: pgtest.Database(t), log: &queryLog{}}
	var err error
	f.admin, err = admin.Open(t.Context(), admin.Config{DatabaseURL: f.url})
	f.must(err)
	t.Cleanup(f.admin.Close)
	f.super, err = pgx.Connect(t.Context(), f.url)
	f.must(err)
	t.Cleanup(func() { _ = f.super.Close(context.Background()) })
	for _, schema := range tenants {
		f.create(schema, "")
	}
	return f
}

func (f *fleet) create(schema, kind string) {
	f.t.Helper()
	_, err := f.admin.Create(f.t.Context(), admin.CreateParams{Name: schema, Schema: schema, Kind: kind})
	f.must(err)
}

func (f *fleet) must(err error) {
	f.t.Helper()
	if err != nil {
		f.t.Fatal(err)
	}
}

// migrator makes a migrator whose pool has one connection, so that whatever one
// migration leaves on it the next one meets.
func (f *fleet) migrator(sets ...migrate.Set) *migrate.Migrator {
	f.t.Helper()
	cfg, err := pgxpool.ParseConfig(f.url)
	f.must(err)
	pool.Prepare(cfg.ConnConfig)
	cfg.ConnConfig.Tracer = f.log
	cfg.MaxConns = 1
	p, err := pgxpool.NewWithConfig(f.t.Context(), cfg)
	f.must(err)
	f.t.Cleanup(p.Close)
	m, err := migrate.New(f.t.Context(), p, sets...)
	f.must(err)
	return m
}

func (f *fleet) plan(m *migrate.Migrator, target migrate.Target) *migrate.Plan {
	f.t.Helper()
	plan, err := m.Plan(f.t.Context(), target)
	f.must(err)
	return plan
}

// run plans and runs, and returns what came of it.
func (f *fleet) run(m *migrate.Migrator, target migrate.Target) *migrate.Result {
	f.t.Helper()
	result, err := m.Run(f.t.Context(), f.plan(m, target), migrate.Options{})
	f.must(err)
	return result
}

// apply runs what is pending and fails the test if anything fails.
func (f *fleet) apply(sets ...migrate.Set) *migrate.Result {
	f.t.Helper()
	result := f.run(f.migrator(sets...), migrate.Target{})
	for _, failed := range result.Failed() {
		f.must(failed.Err)
	}
	return result
}

func (f *fleet) behind(sql string, args ...any) {
	f.t.Helper()
	if _, err := f.super.Exec(f.t.Context(), sql, args...); err != nil {
		f.t.Fatalf("%s: %v", sql, err)
	}
}

// await waits until a query of one boolean is true.
func (f *fleet) await(sql string, args ...any) {
	f.t.Helper()
	deadline := time.After(30 * time.Second)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !one[bool](f, sql, args...) {
		select {
		case <-deadline:
			f.t.Fatalf("waited in vain for %s %v", sql, args)
		case <-tick.C:
		}
	}
}

func one[T any](f *fleet, sql string, args ...any) (value T) {
	f.t.Helper()
	if err := f.super.QueryRow(f.t.Context(), sql, args...).Scan(&value); err != nil {
		f.t.Fatalf("%s: %v", sql, err)
	}
	return value
}

// ledger lists what has been applied as "SCHEMA SET VERSION", sorted; the shared
// schema is called shared.
func (f *fleet) ledger() []string {
	f.t.Helper()
	rows, err := f.super.Query(f.t.Context(), `SELECT coalesce(t.schema_name, 'shared') || ' ' || m.set_name || ' ' || m.version
		FROM rowhouse.migrations m LEFT JOIN rowhouse.tenants t ON t.id = m.tenant_id ORDER BY 1`)
	f.must(err)
	lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
	f.must(err)
	return lines
}

func (f *fleet) wantLedger(want ...string) {
	f.t.Helper()
	if got := f.ledger(); !slices.Equal(got, want) {
		f.t.Errorf("the ledger has %q, want %q", got, want)
	}
}

// tables lists the application's tables of all schemas as SCHEMA.TABLE.
func (f *fleet) tables() string {
	f.t.Helper()
	return one[string](f, `SELECT coalesce(string_agg(schemaname || '.' || tablename, ' ' ORDER BY schemaname, tablename), '')
		FROM pg_tables WHERE schemaname NOT IN ('pg_catalog', 'information_schema', 'rowhouse')`)
}

func (f *fleet) wantTables(want string) {
	f.t.Helper()
	if got := f.tables(); got != want {
		f.t.Errorf("tables are %q, want %q", got, want)
	}
}

// failure is the only failure of a result, and its *migrate.Error.
func (f *fleet) failure(result *migrate.Result) *migrate.Error {
	f.t.Helper()
	failed := result.Failed()
	if len(failed) != 1 {
		f.t.Fatalf("%d schemas failed, want one: %+v", len(failed), result)
	}
	var e *migrate.Error
	if !errors.As(failed[0].Err, &e) || failed[0].Error != failed[0].Err.Error() {
		f.t.Fatalf("it failed with %v, want a *migrate.Error", failed[0].Err)
	}
	return e
}

// queryLog counts the statements of the connections that it traces.
type queryLog struct {
	mu  sync.Mutex
	sql []string
}

func (l *queryLog) TraceQueryStart(ctx context.Context, _ *pgx.Conn, data pgx.TraceQueryStartData) context.Context {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sql = append(l.sql, strings.TrimSpace(data.SQL))
	return ctx
}

func (l *queryLog) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}

// take returns what was sent since the last take.
func (l *queryLog) take() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	sql := l.sql
	l.sql = nil
	return sql
}

// pool is a pool of the operator's login, as an application would make one.
func (f *fleet) pool() *pgxpool.Pool {
	f.t.Helper()
	p, err := pgxpool.New(f.t.Context(), f.url)
	f.must(err)
	f.t.Cleanup(p.Close)
	return p
}
