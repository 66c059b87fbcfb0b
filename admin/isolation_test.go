package admin_test

import (
	"context"
	"errors"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/rowhouse/rowhouse"
	"github.com/rowhouse/rowhouse/admin"
	"github.com/rowhouse/rowhouse/internal/pgtest"
	"github.com/rowhouse/rowhouse/migrate"
)

// oneRoleSets are a shared table and a tenant's table whose rows say whose they are.
func oneRoleSets() []migrate.Set {
	return []migrate.Set{
		shared(`CREATE TABLE plans (id text PRIMARY KEY);`),
		tenantSet(`CREATE TABLE marks (id serial PRIMARY KEY, mark text NOT NULL DEFAULT current_schema());`),
	}
}

// newOneRoleHouse makes a house without roles of tenants, on a server where the
// operator's login may make no role once the catalog is there. app is the
// application's login.
func newOneRoleHouse(t testing.TB) (h *house, app string) {
	t.Helper()
	super, owner, app := newManaged(t)
	first, err := admin.Open(t.Context(), admin.Config{
		DatabaseURL: owner, Isolation: admin.IsolationSearchPath, AppLogins: []string{userOf(t, app)},
	})
	if err != nil {
		t.Fatal(err)
	}
	first.Close()
	if _, err := super.Exec(t.Context(), `ALTER ROLE `+userOf(t, owner)+` NOCREATEROLE`); err != nil {
		t.Fatal(err)
	}
	return houseAt(t, owner, super, oneRoleSets()...), app
}

// roles lists the roles of the catalog and how often one is in another.
func (h *house) roles() string {
	h.t.Helper()
	return one[string](h, `WITH mine AS (SELECT r.oid, r.rolname FROM pg_roles r, rowhouse.settings s WHERE starts_with(r.rolname, s.role_prefix))
		SELECT string_agg(rolname, ',' ORDER BY rolname) || ' ' || (SELECT count(*) FROM pg_auth_members WHERE roleid IN (SELECT oid FROM mine)) FROM mine`)
}

// A tenant's whole life without a role of its own, directly and through PgBouncer.
func TestSearchPathIsolation(t *testing.T) {
	t.Parallel()
	for what, via := range map[string]func(t testing.TB, h *house, app string) string{
		"direct": func(_ testing.TB, _ *house, app string) string { return app },
		"pgbouncer": func(t testing.TB, h *house, app string) string {
			u, err := url.Parse(pgtest.PgBouncer(t, h.superURL(), "default_pool_size = 2"))
			h.must(err)
			login, err := url.Parse(app)
			h.must(err)
			u.User = login.User
			return u.String()
		},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			h, app := newOneRoleHouse(t)
			roles := h.roles()
			if h.admin.Isolation() != admin.IsolationSearchPath {
				t.Errorf("the isolation is %q", h.admin.Isolation())
			}
			h.create("acme")
			h.create("beta")
			db, err := rowhouse.Open(t.Context(), rowhouse.Config{DatabaseURL: via(t, h, app), MaxConns: 2})
			h.must(err)
			t.Cleanup(db.Close)
			h.wantOwnRows(db, "acme", "beta")
			h.wantOneRoleWall(db)
			h.lifecycle(db)
			if got := h.roles(); got != roles {
				t.Errorf("the roles are now %s, were %s", got, roles)
			}
		})
	}
}

// superURL is the database with its superuser.
func (h *house) superURL() string {
	h.t.Helper()
	u, err := url.Parse(h.url)
	h.must(err)
	cfg := h.super.Config()
	u.User = url.UserPassword(cfg.User, cfg.Password)
	return u.String()
}

// at is the test's context with a tenant, looked up now.
func (h *house) at(db *rowhouse.DB, schema string) context.Context {
	h.t.Helper()
	tenant, err := db.TenantBySchema(h.t.Context(), schema)
	h.must(err)
	return rowhouse.WithTenant(h.t.Context(), tenant)
}

// wantOwnRows lets each tenant write a row, and read it and no other.
func (h *house) wantOwnRows(db *rowhouse.DB, schemas ...string) {
	h.t.Helper()
	for _, s := range schemas {
		_, err := db.Exec(h.at(db, s), `INSERT INTO marks DEFAULT VALUES`)
		h.must(err)
	}
	for _, s := range schemas {
		var marks, as string
		h.must(db.QueryRow(h.at(db, s), `SELECT string_agg(DISTINCT mark, ','), current_user FROM marks`).Scan(&marks, &as))
		if want := one[string](h, `SELECT role_prefix || 'tenants' FROM rowhouse.settings`); marks != s || as != want {
			h.t.Errorf("as %s: read the rows of %s as %s, want its own as %s", s, marks, as, want)
		}
	}
}

// wantOneRoleWall looks at what of the wall there is without roles of tenants, and
// that what is not there is told.
func (h *house) wantOneRoleWall(db *rowhouse.DB) {
	h.t.Helper()
	ctx := h.at(db, "acme")
	for _, sql := range []string{
		`INSERT INTO plans VALUES ('x')`, `CREATE TABLE x (i int)`, `CREATE TABLE beta.x (i int)`, `DROP TABLE marks`, `CREATE SCHEMA x`, `CREATE TEMP TABLE x (i int)`,
		`SELECT * FROM rowhouse.tenants`, `ALTER SCHEMA beta RENAME TO gamma`,
	} {
		if _, err := db.Exec(ctx, sql); !refused(err) {
			h.t.Errorf("%s: got %v, want 42501", sql, err)
		}
	}
	if _, err := db.Exec(h.t.Context(), `SELECT * FROM acme.marks`); !errors.Is(err, rowhouse.ErrNoTenant) {
		h.t.Errorf("without a tenant: got %v", err)
	}
	if _, err := db.Exec(rowhouse.WithShared(ctx), `SELECT * FROM acme.marks`); !refused(err) {
		h.t.Errorf("work on the shared schema reads a tenant: %v", err)
	}
	// The gap, and that it is told.
	var mark string
	if err := db.QueryRow(ctx, `SELECT mark FROM beta.marks`).Scan(&mark); err != nil || mark != "beta" {
		h.t.Errorf("another's schema by its name: got %q, %v; if PostgreSQL refuses it now there is no gap to tell of", mark, err)
	}
	i := slices.IndexFunc(db.WallGaps(), func(g rowhouse.WallGap) bool { return g.Part == "roles of tenants" })
	if i < 0 {
		h.t.Fatalf("the gaps are %+v", db.WallGaps())
	}
	if gap := db.WallGaps()[i]; gap.Cure != "" || !strings.Contains(gap.Means, "names another tenant's schema") || !strings.Contains(gap.Means, "a new catalog") {
		h.t.Errorf("the gap is %+v", gap)
	}
}

// lifecycle takes tenant acme through all that an operator can do.
func (h *house) lifecycle(db *rowhouse.DB) {
	h.t.Helper()
	ctx, t := h.t.Context(), h.t
	later := h.open(append(oneRoleSets()[:1], tenantSet(`CREATE TABLE marks (id serial PRIMARY KEY, mark text NOT NULL DEFAULT current_schema());`,
		`CREATE TABLE late (id serial PRIMARY KEY, note text);`))...)
	h.migrate(later, migrate.Target{})
	_, err := db.Exec(h.at(db, "acme"), `INSERT INTO late (note) VALUES ('x')`)
	h.must(err)
	_, err = h.admin.Suspend(ctx, "acme")
	h.must(err)
	_, err = h.admin.Activate(ctx, "acme")
	h.must(err)
	_, err = h.admin.Rename(ctx, "acme", "acme2")
	h.must(err)
	h.wantRows(db, "acme2", "acme")
	// A schema that is not the tenant's is found here as well.
	held := h.at(db, "acme2")
	h.behind(`ALTER SCHEMA acme2 RENAME TO aside`)
	h.behind(`ALTER SCHEMA beta RENAME TO acme2`)
	_, err = db.Exec(held, `SELECT * FROM marks`)
	wantIs(t, "a schema put in the tenant's place", err, rowhouse.ErrTenantChanged)
	h.behind(`ALTER SCHEMA acme2 RENAME TO beta`)
	h.behind(`ALTER SCHEMA aside RENAME TO acme2`)
	_, err = h.admin.Delete(ctx, "acme2")
	h.must(err)
	_, err = h.admin.Undelete(ctx, "acme2")
	h.must(err)
	h.trash("acme2")
	h.must(h.admin.Purge(ctx, "acme2"))
	if one[bool](h, `SELECT EXISTS (SELECT FROM pg_namespace WHERE nspname IN ('acme', 'acme2'))`) {
		t.Error("a purged tenant left its schema")
	}
	h.create("acme") // the name is free again
	h.trash("beta")
	h.must(h.admin.Purge(ctx, "beta"))
}

// wantRows fails the test unless the tenant reads the mark.
func (h *house) wantRows(db *rowhouse.DB, schema, mark string) {
	h.t.Helper()
	var got string
	h.must(db.QueryRow(h.at(db, schema), `SELECT string_agg(DISTINCT mark, ',') FROM marks`).Scan(&got))
	if got != mark {
		h.t.Errorf("as %s: read the rows of %s, want those of %s", schema, got, mark)
	}
}

func refused(err error) bool {
	var pgErr *pgconn.PgError
	return errors.As(err, &pgErr) && pgErr.Code == "42501"
}

// What the application's login may do before it is bound does not depend on the
// isolation: nothing.
func TestUnboundWithoutRolesOfTenants(t *testing.T) {
	t.Parallel()
	h, app := newOneRoleHouse(t)
	h.create("acme")
	conn, err := pgx.Connect(t.Context(), app)
	h.must(err)
	defer func() { _ = conn.Close(context.Background()) }()
	h.wantPowerless(conn, "acme")
}

// The isolation is chosen once. What asks for another is told, and changes
// nothing.
func TestIsolationIsChosenOnce(t *testing.T) {
	t.Parallel()
	for has, other := range map[admin.Isolation]admin.Isolation{
		admin.IsolationRoles: admin.IsolationSearchPath, admin.IsolationSearchPath: admin.IsolationRoles,
	} {
		t.Run(string(has), func(t *testing.T) {
			t.Parallel()
			server := pgtest.Database(t)
			login := userOf(t, pgtest.Login(t, server, ""))
			open := func(cfg admin.Config) (admin.Isolation, error) {
				cfg.DatabaseURL = server
				a, err := admin.Open(t.Context(), cfg)
				if err != nil {
					return "", err
				}
				defer a.Close()
				return a.Isolation(), nil
			}
			if _, err := open(admin.Config{Isolation: "rolls"}); !errors.Is(err, admin.ErrIsolation) {
				t.Errorf("an unknown isolation: got %v", err)
			}
			if got, err := open(admin.Config{Isolation: has}); err != nil || got != has {
				t.Fatalf("made with %q, %v", got, err)
			}
			h := houseAt(t, server, nil, desk())
			h.create("acme")
			before := h.snapshot()
			for _, readOnly := range []bool{false, true} {
				_, err := open(admin.Config{Isolation: other, ReadOnly: readOnly, AppLogins: []string{login}})
				var refused *admin.IsolationError
				if !errors.As(err, &refused) || refused.Catalog != has || refused.Asked != other ||
					!strings.Contains(err.Error(), `"`+string(has)+`"`) || !strings.Contains(err.Error(), "cannot be changed in place") {
					t.Errorf("read-only %t: got %v", readOnly, err)
				}
				for _, same := range []admin.Isolation{"", has} {
					if got, err := open(admin.Config{Isolation: same, ReadOnly: readOnly}); err != nil || got != has {
						t.Errorf("asked for %q: got %q, %v", same, got, err)
					}
				}
				_, err = open(admin.Config{Isolation: "rolls", ReadOnly: readOnly})
				wantIs(t, "an unknown isolation", err, admin.ErrIsolation)
			}
			h.wantUnchanged(before, "opening with another isolation")
		})
	}
}

// Without a word tenants have roles.
func TestRolesAreTheDefault(t *testing.T) {
	t.Parallel()
	h := newHouse(t, desk())
	h.create("acme")
	if h.admin.Isolation() != admin.IsolationRoles || one[bool](h, `SELECT role_name IS NULL FROM rowhouse.tenants`) {
		t.Errorf("the isolation is %q", h.admin.Isolation())
	}
	db := h.serve()
	defer db.Close()
	if gaps := db.WallGaps(); len(gaps) != 0 {
		t.Errorf("the gaps are %+v", gaps)
	}
}
