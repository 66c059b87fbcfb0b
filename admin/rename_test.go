package admin_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/rowhouse/rowhouse"
	"github.com/rowhouse/rowhouse/admin"
	"github.com/rowhouse/rowhouse/internal/pgtest"
	"github.com/rowhouse/rowhouse/migrate"
)

func TestRename(t *testing.T) {
	t.Parallel()
	h := newHouse(t, shared(`CREATE TABLE plans (id text PRIMARY KEY);`), desk())
	old := h.create("acme")
	db, ctx := h.as("acme")
	_, err := db.Exec(ctx, `INSERT INTO tickets (title) VALUES ('kept')`)
	h.must(err)
	role := one[string](h, `SELECT role_name FROM rowhouse.tenants`)
	_, err = db.TenantBySchema(t.Context(), "apex") // so that the answer is kept
	wantIs(t, "the new name before", err, rowhouse.ErrUnknownTenant)

	got, err := h.admin.Rename(t.Context(), "acme", "apex")
	h.must(err)
	if got.Schema != "apex" || got.ID != old.ID || got.Domain != "acme.example.com" || got.State != rowhouse.StateActive || !got.UpdatedOn.After(old.UpdatedOn) {
		t.Errorf("got %+v", got)
	}
	for what, sql := range map[string]string{
		"the schema is the one it was": `SELECT n.oid = t.schema_oid FROM rowhouse.tenants t JOIN pg_namespace n ON n.nspname = t.schema_name`,
		"it is still the builder's":    `SELECT pg_get_userbyid(nspowner) = role_prefix || 'builder' FROM pg_namespace, rowhouse.settings WHERE nspname = 'apex'`,
		"the old one is gone":          `SELECT to_regnamespace('acme') IS NULL`,
		"there is one event": `SELECT count(*) = 1 AND min(actor) = 'the operator' AND min(schema_name) = 'acme' AND min(detail->>'from') = 'acme' AND min(detail->>'to') = 'apex'
			FROM rowhouse.events WHERE action = 'rename'`,
	} {
		if !one[bool](h, sql) {
			t.Errorf("not so: %s", what)
		}
	}
	if now := one[string](h, `SELECT role_name FROM rowhouse.tenants`); now != role {
		t.Errorf("the role is %s, was %s", now, role)
	}

	// Who holds the tenant as it was is told; who looks it up again works.
	_, err = db.Exec(ctx, `SELECT * FROM tickets`)
	wantIs(t, "work with the old name", err, rowhouse.ErrTenantChanged)
	for what, find := range map[string]func() (*rowhouse.Tenant, error){
		"domain": func() (*rowhouse.Tenant, error) { return db.TenantByDomain(t.Context(), "acme.example.com") },
		"id":     func() (*rowhouse.Tenant, error) { return db.TenantByID(t.Context(), old.ID) },
		"schema": func() (*rowhouse.Tenant, error) { return db.TenantBySchema(t.Context(), "apex") },
	} {
		tenant, err := find()
		h.must(err)
		var title string
		if err := db.QueryRow(rowhouse.WithTenant(t.Context(), tenant), `SELECT title FROM tickets`).Scan(&title); err != nil || title != "kept" || tenant.Schema != "apex" {
			t.Errorf("by %s: got %q of %s, %v", what, title, tenant.Schema, err)
		}
	}
	_, err = db.TenantBySchema(t.Context(), "acme")
	wantIs(t, "the old name", err, rowhouse.ErrUnknownTenant)

	// The fleet goes on: migrations, another tenant of the old name, purge.
	h.migrate(h.open(shared(`CREATE TABLE plans (id text PRIMARY KEY);`),
		tenantSet(`CREATE TABLE tickets (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, title text NOT NULL);`,
			`CREATE TABLE comments (ticket bigint NOT NULL REFERENCES tickets, body text NOT NULL);`, `CREATE TABLE late (i int);`)), migrate.Target{})
	_, err = db.Exec(rowhouse.WithTenant(t.Context(), got), `INSERT INTO late VALUES (1)`)
	h.must(err)
	_, err = h.admin.Create(t.Context(), admin.CreateParams{Name: "Another", Schema: "acme"})
	h.must(err)
	h.trash("apex")
	h.must(h.admin.Purge(t.Context(), "apex"))
	if one[bool](h, `SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = $1) OR to_regnamespace('apex') IS NOT NULL`, role) {
		t.Error("the purge left schema or role")
	}
}

// What cannot be renamed, or not to that, is told why, and stays as it is.
func TestRenameRefused(t *testing.T) {
	t.Parallel()
	h := newHouse(t, desk())
	for _, schema := range []string{"acme", "beta", "gone", "stray", "begun", "half"} {
		h.create(schema)
	}
	h.behind(`CREATE SCHEMA mine`)
	h.trash("gone")
	h.trash("begun")
	h.behind(`UPDATE rowhouse.tenants SET purging = true WHERE schema_name = 'begun'`)
	h.behind(`UPDATE rowhouse.tenants SET state = 'provisioning' WHERE schema_name = 'half'`)
	h.behind(`ALTER SCHEMA stray RENAME TO elsewhere`)
	before := h.snapshot()
	for what, c := range map[string]struct {
		from, to string
		want     error
	}{
		"unknown":                   {"nobody", "new", rowhouse.ErrUnknownTenant},
		"the shared schema":         {"public", "new", rowhouse.ErrUnknownTenant},
		"the catalog":               {"rowhouse", "new", rowhouse.ErrUnknownTenant},
		"taken":                     {"acme", "beta", admin.ErrSchemaTaken},
		"taken by a deleted tenant": {"acme", "gone", admin.ErrSchemaTaken},
		"somebody else's schema":    {"acme", "mine", admin.ErrSchemaExists},
		"no name":                   {"acme", "", admin.ErrSchemaName},
		"a bad name":                {"acme", "New", admin.ErrSchemaName},
		"to the shared schema":      {"acme", "public", admin.ErrSchemaName},
		"to the catalog":            {"acme", "rowhouse", admin.ErrSchemaName},
		"to PostgreSQL's":           {"acme", "pg_temp", admin.ErrSchemaName},
		"injected":                  {"acme", `x"; DROP SCHEMA beta; --`, admin.ErrSchemaName},
		"too long":                  {"acme", strings.Repeat("a", 64), admin.ErrSchemaName},
		"its schema is not there":   {"stray", "new", rowhouse.ErrTenantChanged},
	} {
		tenant, err := h.admin.Rename(t.Context(), c.from, c.to)
		wantIs(t, what, err, c.want)
		if tenant != nil {
			t.Errorf("%s: a tenant was returned", what)
		}
		h.wantUnchanged(before, what)
	}
	for schema, state := range map[string]rowhouse.State{"half": rowhouse.StateProvisioning, "begun": rowhouse.StateTrashed} {
		_, err := h.admin.Rename(t.Context(), schema, "new")
		var refused *admin.StateError
		if !errors.As(err, &refused) || refused.State != state || refused.Action != "rename" || refused.Hint == "" {
			t.Errorf("%s: got %v, want a StateError with a hint", schema, err)
		}
	}
	_, err := h.admin.Rename(t.Context(), "acme", "acme") // nothing to do
	h.must(err)
	h.wantUnchanged(before, "to the name that it has")
}

// Whatever a tenant's state, its name can be given to another; a leftover of a
// killed Create is in nobody's way.
func TestRenameInEveryState(t *testing.T) {
	t.Parallel()
	h := newHouse(t, desk())
	h.create("t0")
	for i, state := range []rowhouse.State{
		rowhouse.StateActive, rowhouse.StateMaintenance, rowhouse.StateReadOnly, rowhouse.StateSuspended, rowhouse.StateArchived, rowhouse.StateTrashed,
	} {
		h.behind(`UPDATE rowhouse.tenants SET state = $1, previous_state = CASE WHEN $1 = 'trashed' THEN 'active' END`, state)
		got, err := h.admin.Rename(t.Context(), fmt.Sprintf("t%d", i), fmt.Sprintf("t%d", i+1))
		if err != nil || got.State != state {
			t.Errorf("%s: got %+v, %v", state, got, err)
		}
	}
	_, err := h.admin.Create(t.Context(), admin.CreateParams{Name: "Leftover", Schema: "t0"})
	h.must(err)
	h.behind(`UPDATE rowhouse.tenants SET state = 'provisioning' WHERE schema_name = 't0'`)
	_, err = h.admin.Rename(t.Context(), "t6", "t0")
	h.must(err)
	if got := one[string](h, `SELECT string_agg(schema_name || ' ' || state, ',') FROM rowhouse.tenants`); got != "t0 trashed" {
		t.Errorf("tenants are %s", got)
	}
}

// A rename waits for a migration that is running on the tenant, also for one that
// is in no transaction.
func TestRenameWaitsForMigration(t *testing.T) {
	t.Parallel()
	for what, sql := range map[string]string{
		"in a transaction": `SELECT pg_advisory_xact_lock(4712); CREATE TABLE b (i int);`,
		"alone":            "-- rowhouse: no transaction\nSELECT pg_advisory_lock(4712);\nCREATE TABLE b (i int);",
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			h := newHouse(t, tenantSet(`CREATE TABLE a (i int);`))
			h.create("acme")
			h.behind(`SELECT pg_advisory_lock(4712)`)
			migrator := h.open(tenantSet(`CREATE TABLE a (i int);`, sql))
			migrated, renamed := make(chan error, 1), make(chan error, 1)
			go func() {
				plan, err := migrator.Migrator().Plan(t.Context(), migrate.Target{})
				if err == nil {
					var result *migrate.Result
					if result, err = migrator.Migrator().Run(t.Context(), plan, migrate.Options{}); err == nil && len(result.Failed()) > 0 {
						err = result.Failed()[0].Err
					}
				}
				migrated <- err
			}()
			h.await(`SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND objid = 4712 AND NOT granted
				AND database = (SELECT oid FROM pg_database WHERE datname = current_database()))`)
			go func() {
				_, err := h.admin.Rename(t.Context(), "acme", "apex")
				renamed <- err
			}()
			// It is waiting: it has asked for the schema's lock.
			h.await(`SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() AND query LIKE '%pg_try_advisory_xact_lock%' AND pid <> pg_backend_pid())`)
			if one[bool](h, `SELECT to_regnamespace('apex') IS NOT NULL`) {
				t.Error("it was renamed while it was migrated")
			}
			h.behind(`SELECT pg_advisory_unlock(4712)`)
			h.must(<-migrated)
			h.must(<-renamed)
			if !one[bool](h, `SELECT to_regclass('apex.b') IS NOT NULL AND (SELECT count(*) = 2 FROM rowhouse.migrations)`) {
				t.Error("the migration is not whole")
			}
		})
	}
}

// Two that want the same name, and two that swap theirs: never both, and nothing
// half.
func TestRenamesAtOnce(t *testing.T) {
	t.Parallel()
	h := newHouse(t, desk())
	h.create("acme")
	h.create("beta")
	for range 10 {
		for _, c := range [][2][2]string{{{"acme", "same"}, {"beta", "same"}}, {{"acme", "beta"}, {"beta", "acme"}}} {
			errs := make([]error, len(c))
			var wg sync.WaitGroup
			for i, names := range c {
				wg.Go(func() { _, errs[i] = h.admin.Rename(t.Context(), names[0], names[1]) })
			}
			wg.Wait()
			done := 0
			for i, err := range errs {
				if err == nil {
					done++
					_, err = h.admin.Rename(t.Context(), c[i][1], c[i][0])
					h.must(err)
				} else {
					wantIs(t, "the other one", err, admin.ErrSchemaTaken)
				}
			}
			if want := c[0][1] == "same"; want && done != 1 || !want && done != 0 {
				t.Errorf("%v: %d were renamed", c, done)
			}
			if !one[bool](h, `SELECT bool_and(n.oid = t.schema_oid) FROM rowhouse.tenants t LEFT JOIN pg_namespace n ON n.nspname = t.schema_name`) {
				t.Fatal("catalog and schemas do not agree")
			}
		}
	}
}

// Tenants that are renamed while they are served, and that take each other's
// names: whatever is read is the tenant's own, or refused as changed or unknown.
func TestRenameUnderLoad(t *testing.T) {
	t.Parallel()
	for _, isolation := range []admin.Isolation{admin.IsolationRoles, admin.IsolationSearchPath} {
		t.Run(string(isolation), func(t *testing.T) {
			t.Parallel()
			newHouseOf(t, isolation, tenantSet(`CREATE TABLE marks (mark uuid NOT NULL);`)).renameUnderLoad()
		})
	}
}

// newHouseOf makes a house of an isolation.
func newHouseOf(t testing.TB, isolation admin.Isolation, sets ...migrate.Set) *house {
	t.Helper()
	server := pgtest.Database(t)
	first, err := admin.Open(t.Context(), admin.Config{DatabaseURL: server, Isolation: isolation})
	if err != nil {
		t.Fatal(err)
	}
	first.Close()
	return houseAt(t, server, nil, sets...)
}

func (h *house) renameUnderLoad() {
	t := h.t
	db, err := rowhouse.Open(t.Context(), rowhouse.Config{DatabaseURL: h.url, MaxConns: 4})
	h.must(err)
	t.Cleanup(db.Close)
	var ids []string
	for _, schema := range []string{"acme", "beta"} {
		tenant := h.create(schema)
		_, err := db.Exec(h.at(db, schema), `INSERT INTO marks VALUES ($1)`, tenant.ID)
		h.must(err)
		ids = append(ids, tenant.ID)
	}
	var reads, refusals atomic.Int64
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				switch err := h.readOne(db, ids); {
				case err == nil:
					reads.Add(1)
				case errors.Is(err, rowhouse.ErrTenantChanged), errors.Is(err, rowhouse.ErrUnknownTenant):
					refusals.Add(1)
				default:
					t.Errorf("a read: %v", err)
				}
			}
		})
	}
	// Round and round: each name is the other's a moment later.
	for range 60 {
		for _, names := range [][2]string{{"acme", "spare"}, {"beta", "acme"}, {"spare", "beta"}} {
			_, err := h.admin.Rename(t.Context(), names[0], names[1])
			h.must(err)
		}
	}
	close(stop)
	wg.Wait()
	t.Logf("%d reads, %d refusals", reads.Load(), refusals.Load())
	if reads.Load() == 0 {
		t.Error("nothing was read")
	}
	for _, schema := range []string{"acme", "beta"} { // served as before
		tenant, err := db.TenantByDomain(t.Context(), schema+".example.com")
		h.must(err)
		h.must(readMark(rowhouse.WithTenant(t.Context(), tenant), db, tenant.ID))
	}
}

// readOne looks a tenant up, in one of the ways that there are, and reads its mark
// in one of the ways that there are.
func (h *house) readOne(db *rowhouse.DB, ids []string) error {
	ctx := h.t.Context()
	var tenant *rowhouse.Tenant
	var err error
	schema := []string{"acme", "beta", "spare"}[rand.IntN(3)]
	switch rand.IntN(3) {
	case 0:
		tenant, err = db.TenantByID(ctx, ids[rand.IntN(len(ids))])
	case 1:
		tenant, err = db.TenantBySchema(ctx, schema)
	default:
		tenant, err = db.TenantByDomain(ctx, []string{"acme", "beta"}[rand.IntN(2)]+".example.com")
	}
	if err != nil {
		return err
	}
	ctx = rowhouse.WithTenant(ctx, tenant)
	if rand.IntN(2) == 0 {
		return readMark(ctx, db, tenant.ID)
	}
	return db.InTx(ctx, func(tx pgx.Tx) error {
		for range 3 {
			if err := readMark(ctx, tx, tenant.ID); err != nil {
				return err
			}
		}
		return nil
	})
}

func readMark(ctx context.Context, db interface {
	QueryRow(context.Context, string, ...any) pgx.Row
}, want string) error {
	var mark string
	if err := db.QueryRow(ctx, `SELECT string_agg(mark::text, ',') FROM marks`).Scan(&mark); err != nil {
		return err
	}
	if mark != want {
		return fmt.Errorf("read the mark of %s as %s", mark, want)
	}
	return nil
}

// Where tenants share a role, a name is another's only when no transaction is left
// that may have it in its search_path, whichever way the name was given up.
func TestNameOfAnOpenTransaction(t *testing.T) {
	t.Parallel()
	for what, take := range map[string]func(ctx context.Context, h *house) error{
		"created": func(ctx context.Context, h *house) error {
			_, err := h.admin.Create(ctx, admin.CreateParams{Name: "Another", Schema: "acme"})
			return err
		},
		"renamed": func(ctx context.Context, h *house) error {
			_, err := h.admin.Rename(ctx, "beta", "acme")
			return err
		},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			h := newHouseOf(t, admin.IsolationSearchPath, desk())
			h.create("acme")
			h.create("beta")
			db, ctx := h.as("acme")
			tx, err := db.Begin(ctx)
			h.must(err)
			_, err = tx.Exec(ctx, `SELECT 1`) // bound, and holding no table
			h.must(err)
			h.trash("acme")
			h.must(h.admin.Purge(h.t.Context(), "acme"))
			impatient, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
			defer cancel()
			before := h.snapshot()
			wantIs(t, "while the transaction is open", take(impatient, h), context.DeadlineExceeded)
			h.wantUnchanged(before, "while the transaction is open")
			taken := make(chan error, 1)
			go func() { taken <- take(t.Context(), h) }()
			_, err = tx.Exec(ctx, `SELECT * FROM tickets`)
			wantIs(t, "the next statement", err, rowhouse.ErrTenantChanged)
			h.must(tx.Rollback(ctx))
			h.must(<-taken)
		})
	}
}

// A tenant with an open transaction is not renamed: the rename waits, and gives up
// after a while. The transaction notices nothing.
func TestRenameDuringTransaction(t *testing.T) {
	t.Parallel()
	h := newHouse(t, desk())
	h.create("acme")
	db, ctx := h.as("acme")
	const insert = `INSERT INTO tickets (title) VALUES ('x')`
	h.must(db.InTx(ctx, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, insert); err != nil {
			return err
		}
		impatient, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		_, err := h.admin.Rename(impatient, "acme", "apex")
		wantIs(t, "an impatient rename", err, context.DeadlineExceeded)
		_, err = h.admin.Rename(t.Context(), "acme", "apex")
		wantIs(t, "a patient rename", err, admin.ErrInUse)
		_, err = tx.Exec(t.Context(), insert) // no tenant in the context is fine
		return err
	}))
	_, err := h.admin.Rename(t.Context(), "acme", "apex")
	h.must(err)
	if n := one[int](h, `SELECT count(*) FROM apex.tickets`); n != 2 {
		t.Errorf("%d rows were committed, want 2", n)
	}
}

// A process that is killed in the middle of a rename leaves the old name or the
// new one, never a mixture.
func TestRenameIsKilled(t *testing.T) {
	t.Parallel()
	h := newHouse(t, childSets["in one transaction"])
	h.create("acme")
	messages := h.killRename(0)
	_, err := h.admin.Rename(t.Context(), "apex", "acme")
	h.must(err)
	for range kills(t) {
		at := 1 + rand.IntN(messages)
		h.killRename(at)
		name := one[string](h, `SELECT schema_name FROM rowhouse.tenants`)
		if !one[bool](h, `SELECT count(*) = 1 AND bool_and(n.nspname = t.schema_name) FROM rowhouse.tenants t JOIN pg_namespace n ON n.oid = t.schema_oid`) ||
			one[bool](h, `SELECT to_regnamespace('acme') IS NOT NULL AND to_regnamespace('apex') IS NOT NULL`) {
			t.Fatalf("killed at message %d of %d: schema and row do not agree", at, messages)
		}
		events := one[int](h, `SELECT count(*) FROM rowhouse.events WHERE action = 'rename'`)
		if odd := events%2 == 1; odd != (name == "apex") {
			t.Errorf("killed at message %d of %d: %d renames are recorded and the name is %s", at, messages, events, name)
		}
		if name == "apex" {
			_, err := h.admin.Rename(t.Context(), "apex", "acme")
			h.must(err)
		}
	}
}

// killRename starts a process that renames tenant acme to apex and kills it at its
// message of that number; 0 is none. It returns how many messages there were.
func (h *house) killRename(at int) int {
	h.t.Helper()
	g, through := newGate(h.t, h.url)
	p := startProcess(h.t, "rename", named(through, "victim"), "in one transaction")
	g.arm(at, func() { _ = p.cmd.Process.Kill() })
	p.work()
	if said := p.end(); at == 0 && said != "done" {
		h.t.Fatalf("the process says %q", said)
	}
	h.await(`SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE application_name = 'victim' AND datname = current_database())`)
	return g.count()
}
