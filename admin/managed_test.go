package admin_test

import (
	"context"
	"errors"
	"net/url"
	"slices"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/rowhouse/rowhouse"
	"github.com/rowhouse/rowhouse/admin"
	"github.com/rowhouse/rowhouse/internal/pgtest"
	"github.com/rowhouse/rowhouse/migrate"
)

func userOf(t testing.TB, raw string) string {
	t.Helper()
	u, err := url.Parse(raw)
	if err != nil {
		t.Fatal(err)
	}
	return u.User.Username()
}

// newManaged makes a database as managed servers give it out: its owner may make
// roles and is no superuser.
func newManaged(t testing.TB) (super *pgx.Conn, owner, app string) {
	t.Helper()
	server := pgtest.Database(t)
	owner, app = pgtest.Login(t, server, "CREATEROLE"), pgtest.Login(t, server, "")
	super, err := pgx.Connect(t.Context(), server)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = super.Close(context.Background()) })
	_, err = super.Exec(t.Context(), `DO $$ BEGIN EXECUTE format('ALTER DATABASE %I OWNER TO `+userOf(t, owner)+`', current_database()); END $$`)
	if err != nil {
		t.Fatal(err)
	}
	return super, owner, app
}

// On a managed server the operator's login does its work, the application's
// serves, and what the wall lacks is told with its cure.
func TestManagedServer(t *testing.T) {
	t.Parallel()
	for what, sharedSchema := range map[string]string{"public": "", "a shared schema of its own": "common"} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			super, owner, app := newManaged(t)
			h := &house{t: t, url: owner, super: super}
			cfg := admin.Config{DatabaseURL: owner, AppLogins: []string{userOf(t, app)}, SharedSchema: sharedSchema,
				Sets: []migrate.Set{shared(`CREATE TABLE plans (id text PRIMARY KEY);`), childSets["in several"]}}
			var err error
			h.admin, err = admin.Open(t.Context(), cfg)
			h.must(err)
			t.Cleanup(h.admin.Close)
			h.migrate(h.admin, migrate.Target{Only: migrate.Shared})
			h.create("acme")
			h.create("beta")
			db, err := rowhouse.Open(t.Context(), rowhouse.Config{DatabaseURL: app, MaxConns: 2})
			h.must(err)
			t.Cleanup(db.Close)
			h.wantServed(db)
			h.wantGaps(db.WallGaps(), "plpgsql", "set_config")
			for _, gap := range db.WallGaps() {
				h.behind(gap.Cure, pgx.QueryExecModeSimpleProtocol)
			}
			again, err := admin.Open(t.Context(), cfg)
			h.must(err)
			again.Close()
			h.trash("acme")
			h.must(h.admin.Purge(t.Context(), "acme"))
		})
	}
}

// wantServed fails the test unless the application works as one tenant and cannot
// reach another.
func (h *house) wantServed(db *rowhouse.DB) {
	h.t.Helper()
	tenant, err := db.TenantByDomain(h.t.Context(), "acme.example.com")
	h.must(err)
	ctx := rowhouse.WithTenant(h.t.Context(), tenant)
	_, err = db.Exec(ctx, `INSERT INTO tickets VALUES (1, 'x')`)
	h.must(err)
	_, err = db.Exec(rowhouse.WithShared(ctx), `INSERT INTO plans VALUES ('free')`)
	h.must(err)
	for _, sql := range []string{`SELECT * FROM beta.tickets`, `CREATE TEMP TABLE x (i int)`, `INSERT INTO plans VALUES ('x')`} {
		_, err = db.Exec(ctx, sql)
		var pgErr *pgconn.PgError
		if !errors.As(err, &pgErr) || pgErr.Code != "42501" {
			h.t.Errorf("%s: got %v, want 42501", sql, err)
		}
	}
}

func (h *house) wantGaps(gaps []rowhouse.WallGap, want ...string) {
	h.t.Helper()
	var parts []string
	for _, g := range gaps {
		parts = append(parts, g.Part)
		if g.Means == "" || g.Cure == "" {
			h.t.Errorf("gap %q does not say what it means and how it is cured", g.Part)
		}
	}
	slices.Sort(parts)
	if !slices.Equal(parts, want) {
		h.t.Errorf("gaps are %q, want %q", parts, want)
	}
}

// The cures of the gaps, run by a superuser, close them and nothing else.
func TestCuresCloseTheGaps(t *testing.T) {
	t.Parallel()
	super, owner, app := newManaged(t)
	h := &house{t: t, url: owner, super: super}
	var err error
	h.admin, err = admin.Open(t.Context(), admin.Config{DatabaseURL: owner, AppLogins: []string{userOf(t, app)}, Sets: []migrate.Set{
		shared(`CREATE TABLE plans (id text PRIMARY KEY);`), childSets["in one transaction"]}})
	h.must(err)
	t.Cleanup(h.admin.Close)
	h.migrate(h.admin, migrate.Target{Only: migrate.Shared})
	h.create("acme")
	h.create("beta")
	open := func() *rowhouse.DB {
		db, err := rowhouse.Open(t.Context(), rowhouse.Config{DatabaseURL: app, MaxConns: 1})
		h.must(err)
		t.Cleanup(db.Close)
		return db
	}
	for _, gap := range open().WallGaps() {
		h.behind(gap.Cure, pgx.QueryExecModeSimpleProtocol)
	}
	db := open()
	h.wantGaps(db.WallGaps())
	tenant, err := db.TenantBySchema(t.Context(), "acme")
	h.must(err)
	_, err = db.Exec(rowhouse.WithTenant(t.Context(), tenant), `INSERT INTO tickets (title) VALUES ('served')`)
	h.must(err)
	h.create("gamma") // the operator still works
}

// Nobody but the operator changes anything through the operator's door.
func TestOtherLoginsAreNoOperators(t *testing.T) {
	t.Parallel()
	url := pgtest.Database(t)
	app := pgtest.Login(t, url, "")
	first, err := admin.Open(t.Context(), admin.Config{DatabaseURL: url, AppLogins: []string{userOf(t, app)}})
	if err != nil {
		t.Fatal(err)
	}
	defer first.Close()
	second, err := admin.Open(t.Context(), admin.Config{DatabaseURL: app})
	if err == nil { // nothing was to be installed
		defer second.Close()
		_, err = second.Create(t.Context(), params("acme"))
	}
	wantIs(t, "create with the application's login", err, rowhouse.ErrPrivilege)
}
