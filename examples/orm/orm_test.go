package orm_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
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

// desks are the application with each library.
var desks = map[string]func(db *rowhouse.DB) (orm.Desk, error){
	"sqlc, pgx":          func(db *rowhouse.DB) (orm.Desk, error) { return sqlcpgx.New(db), nil },
	"sqlc, database/sql": func(db *rowhouse.DB) (orm.Desk, error) { return sqlcstd.New(db), nil },
	"gorm":               func(db *rowhouse.DB) (orm.Desk, error) { return gormdesk.New(db, nil) },
	"gorm, lean": func(db *rowhouse.DB) (orm.Desk, error) {
		return gormdesk.New(db, &gorm.Config{PrepareStmt: true, SkipDefaultTransaction: true})
	},
	"bun":  func(db *rowhouse.DB) (orm.Desk, error) { return bundesk.New(db), nil },
	"ent":  func(db *rowhouse.DB) (orm.Desk, error) { return entdesk.New(db), nil },
	"sqlx": func(db *rowhouse.DB) (orm.Desk, error) { return sqlxdesk.New(db), nil },
}

// house is a server with a tenant acme and a tenant globex for each desk.
type house struct {
	t  *testing.T
	db *rowhouse.DB
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
	operator, login := h.operator(server.URL("postgres"))
	for i := range desks {
		for _, name := range []string{"acme", "globex"} {
			_, err := operator.Create(ctx, admin.CreateParams{Name: name, Schema: schema(name, i)})
			h.must(err)
		}
	}
	// Few connections, so that one which is kept is noticed.
	h.db, err = rowhouse.Open(ctx, rowhouse.Config{DatabaseURL: login, MaxConns: 3})
	h.must(err)
	t.Cleanup(h.db.Close)
	return h
}

// operator prepares the server for an application whose login has no rights of its
// own.
func (h *house) operator(server string) (operator *admin.Admin, login string) {
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
	operator, err = admin.Open(h.t.Context(), admin.Config{
		DatabaseURL: server, AppLogins: []string{"app"},
		Sets: []migrate.Set{{Name: "desk", Scope: migrate.Tenant, FS: migrations}},
	})
	h.must(err)
	h.t.Cleanup(operator.Close)
	return operator, u.String()
}

// schema is the one of a desk's tenant.
func schema(tenant, desk string) string {
	return tenant + "_" + strings.NewReplacer(", ", "_", "/", "_").Replace(desk)
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
	for name, open := range desks {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := &house{t: t, db: h.db}
			desk, err := open(h.db)
			h.must(err)
			acme, globex := schema("acme", name), schema("globex", name)
			h.wantFailClosed(desk)
			h.wantOwnRows(desk, acme, globex)
			h.wantAllOrNone(desk, acme)
			h.wantWall(desk, acme, globex)
			if sorter, ok := desk.(orm.Sorter); ok {
				h.wantNested(sorter, globex)
			}
			h.wantOwnRowsAtOnce(desk, acme, globex)
		})
	}
}

// Without a tenant nothing runs.
func (h *house) wantFailClosed(desk orm.Desk) {
	h.t.Helper()
	ctx := h.t.Context()
	_, listErr := desk.Titles(ctx)
	for what, err := range map[string]error{
		"list": listErr, "create": desk.Create(ctx, "x"), "create all": desk.CreateAll(ctx, "x"), "spy": desk.Spy(ctx, "public"),
	} {
		if !errors.Is(err, rowhouse.ErrNoTenant) {
			h.t.Errorf("%s without a tenant: got %v, want ErrNoTenant", what, err)
		}
	}
}

func (h *house) wantTitles(desk orm.Desk, schema string, want ...string) {
	h.t.Helper()
	got, err := desk.Titles(h.as(schema))
	if err != nil || !slices.Equal(got, want) {
		h.t.Errorf("%s has tickets %q, %v; want %q", schema, got, err, want)
	}
}

// Each tenant sees its own rows only.
func (h *house) wantOwnRows(desk orm.Desk, schemas ...string) {
	h.t.Helper()
	for _, s := range schemas {
		h.must(desk.Create(h.as(s), "of "+s))
	}
	for _, s := range schemas {
		h.wantTitles(desk, s, "of "+s)
	}
}

// A transaction that fails leaves nothing.
func (h *house) wantAllOrNone(desk orm.Desk, schema string) {
	h.t.Helper()
	err := desk.CreateAll(h.as(schema), "one", "two", "")
	var pgErr *pgconn.PgError
	if !errors.As(err, &pgErr) || pgErr.Code != "23514" {
		h.t.Errorf("a ticket without a title: got %v, want 23514", err)
	}
	h.wantTitles(desk, schema, "of "+schema)
	h.must(desk.CreateAll(h.as(schema), "one", "two"))
	h.wantTitles(desk, schema, "of "+schema, "one", "two")
}

// PostgreSQL refuses what names another tenant's schema.
func (h *house) wantWall(desk orm.Desk, own, other string) {
	h.t.Helper()
	h.must(desk.Spy(h.as(own), own))
	var pgErr *pgconn.PgError
	if err := desk.Spy(h.as(own), other); !errors.As(err, &pgErr) || pgErr.Code != "42501" {
		h.t.Errorf("%s reads %s: got %v, want 42501", own, other, err)
	}
}

// Nested transactions are savepoints.
func (h *house) wantNested(desk orm.Sorter, schema string) {
	h.t.Helper()
	h.must(desk.CreateSome(h.as(schema), "", "one", "", "two"))
	h.wantTitles(desk, schema, "of "+schema, "one", "two")
}

// Two tenants at once, on fewer connections than there are goroutines.
func (h *house) wantOwnRowsAtOnce(desk orm.Desk, schemas ...string) {
	h.t.Helper()
	var wg sync.WaitGroup
	for i := range 10 {
		wg.Go(func() {
			own, ctx := schemas[i%len(schemas)], h.as(schemas[i%len(schemas)])
			if err := desk.Create(ctx, fmt.Sprintf("of %s, %d", own, i)); err != nil {
				h.t.Error(err)
			}
			titles, err := desk.Titles(ctx)
			if err != nil {
				h.t.Error(err)
			}
			for _, title := range titles {
				if strings.HasPrefix(title, "of ") && !strings.HasPrefix(title, "of "+own) {
					h.t.Errorf("%s sees %q", own, title)
				}
			}
		})
	}
	wg.Wait()
}
