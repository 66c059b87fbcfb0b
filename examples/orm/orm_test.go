package orm_test

import (
	"context"
	"io/fs"
	"net/url"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"gorm.io/gorm"

	"github.com/rowhouse/rowhouse"
	"github.com/rowhouse/rowhouse/admin"
	"github.com/rowhouse/rowhouse/embedded"
	"github.com/rowhouse/rowhouse/examples/orm"
	"github.com/rowhouse/rowhouse/examples/orm/bundesk"
	"github.com/rowhouse/rowhouse/examples/orm/entdesk"
	"github.com/rowhouse/rowhouse/examples/orm/gormdesk"
	"github.com/rowhouse/rowhouse/examples/orm/sqlcpgx"
	"github.com/rowhouse/rowhouse/examples/orm/sqlcstd"
	"github.com/rowhouse/rowhouse/examples/orm/sqlxdesk"
	"github.com/rowhouse/rowhouse/migrate"
)

// library is the application with one of the libraries.
type library struct {
	open  func(ctx context.Context, db *rowhouse.DB) (orm.Desk, error)
	nests bool // a transaction in a transaction is a savepoint
}

var libraries = map[string]library{
	"sqlc_pgx": {func(_ context.Context, db *rowhouse.DB) (orm.Desk, error) { return sqlcpgx.New(db), nil }, true},
	"sqlc_std": {func(_ context.Context, db *rowhouse.DB) (orm.Desk, error) { return sqlcstd.New(db), nil }, false},
	"sqlc_std_prepared": {func(ctx context.Context, db *rowhouse.DB) (orm.Desk, error) {
		return sqlcstd.Prepare(ctx, db)
	}, false},
	"gorm": {func(_ context.Context, db *rowhouse.DB) (orm.Desk, error) { return gormdesk.New(db, nil) }, true},
	"gorm_lean": {func(_ context.Context, db *rowhouse.DB) (orm.Desk, error) {
		return gormdesk.New(db, &gorm.Config{PrepareStmt: true, SkipDefaultTransaction: true})
	}, true},
	"bun":  {func(_ context.Context, db *rowhouse.DB) (orm.Desk, error) { return bundesk.New(db), nil }, true},
	"ent":  {func(_ context.Context, db *rowhouse.DB) (orm.Desk, error) { return entdesk.New(db), nil }, false},
	"sqlx": {func(ctx context.Context, db *rowhouse.DB) (orm.Desk, error) { return sqlxdesk.New(ctx, db) }, false},
}

// house is a server with a tenant acme and a tenant globex for each library.
type house struct {
	t     *testing.T
	login string // the application's
	db    *rowhouse.DB
}

func newHouse(t *testing.T) *house {
	t.Helper()
	h := &house{t: t}
	ctx := t.Context()
	server, err := embedded.Start(ctx, embedded.Config{})
	h.must(err)
	t.Cleanup(func() {
		grace, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := server.Stop(grace); err != nil {
			t.Error(err)
		}
	})
	operator := h.operator(server.URL("postgres"))
	for lib := range libraries {
		for _, name := range []string{"acme", "globex"} {
			_, err := operator.Create(ctx, admin.CreateParams{Name: name, Schema: name + "_" + lib})
			h.must(err)
		}
	}
	// Few connections, so that one which is kept is noticed.
	h.db, err = rowhouse.Open(ctx, rowhouse.Config{DatabaseURL: h.login, MaxConns: 3})
	h.must(err)
	t.Cleanup(h.db.Close)
	return h
}

// operator prepares the server for an application whose login has no rights of its
// own.
func (h *house) operator(server string) *admin.Admin {
	h.t.Helper()
	conn, err := pgx.Connect(h.t.Context(), server)
	h.must(err)
	defer func() { _ = conn.Close(h.t.Context()) }()
	_, err = conn.Exec(h.t.Context(), `CREATE ROLE app LOGIN PASSWORD 'secret'`)
	h.must(err)
	u, err := url.Parse(server)
	h.must(err)
	u.User = url.UserPassword("app", "secret")
	migrations, err := fs.Sub(orm.Migrations, "migrations")
	h.must(err)
	operator, err := admin.Open(h.t.Context(), admin.Config{
		DatabaseURL: server, AppLogins: []string{"app"},
		Sets: []migrate.Set{{Name: "desk", Scope: migrate.Tenant, FS: migrations}},
	})
	h.must(err)
	h.t.Cleanup(operator.Close)
	h.login = u.String()
	return operator
}

func (h *house) must(err error) {
	h.t.Helper()
	if err != nil {
		h.t.Fatal(err)
	}
}

func (h *house) as(schema string) context.Context {
	h.t.Helper()
	tenant, err := h.db.TenantBySchema(h.t.Context(), schema)
	h.must(err)
	return rowhouse.WithTenant(h.t.Context(), tenant)
}

func TestDesks(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	for name, lib := range libraries {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			// No tenant is needed to open a library.
			desk, err := lib.open(t.Context(), h.db)
			d := &desktop{house: house{t: t, db: h.db}, Desk: desk, acme: "acme_" + name, globex: "globex_" + name}
			d.must(err)
			d.wantFailClosed()
			d.wantOwnTickets()
			d.wantOwnIDs()
			d.wantOwnDevices()
			d.wantAllOrNone()
			d.wantOneTenantInTx()
			d.wantNested(lib.nests)
			d.wantWall()
			d.wantCancelled()
			d.wantOwnRowsAtOnce()
		})
	}
}
