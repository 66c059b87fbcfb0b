package directory_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/rowhouse/rowhouse"
	"github.com/rowhouse/rowhouse/admin"
	"github.com/rowhouse/rowhouse/internal/pgtest"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

// town is an operator, and an application in what could be another process.
type town struct {
	t     *testing.T
	admin *admin.Admin
	db    *rowhouse.DB
	super *pgx.Conn
}

func newTown(t *testing.T, through func(url string) string) *town {
	t.Helper()
	url := pgtest.Database(t)
	h := &town{t: t}
	var err error
	h.admin, err = admin.Open(t.Context(), admin.Config{DatabaseURL: url})
	h.must(err)
	t.Cleanup(h.admin.Close)
	if through != nil {
		url = through(url)
	}
	h.db, err = rowhouse.Open(t.Context(), rowhouse.Config{DatabaseURL: url, MaxConns: 2})
	h.must(err)
	t.Cleanup(h.db.Close)
	h.super, err = pgx.Connect(t.Context(), pgtest.Server(t))
	h.must(err)
	t.Cleanup(func() { _ = h.super.Close(context.Background()) })
	_, err = h.admin.Create(t.Context(), admin.CreateParams{Name: "Acme", Schema: "acme", Domains: []string{"acme.example"}})
	h.must(err)
	h.within("it was created", func() bool { return h.state("acme.example") == rowhouse.StateActive })
	return h
}

func (h *town) must(err error) {
	h.t.Helper()
	if err != nil {
		h.t.Fatal(err)
	}
}

// state is that of the tenant that a domain leads to, and empty if there is none.
func (h *town) state(domain string) rowhouse.State {
	h.t.Helper()
	tenant, err := h.db.TenantByDomain(h.t.Context(), domain)
	if errors.Is(err, rowhouse.ErrUnknownTenant) {
		return ""
	}
	h.must(err)
	return tenant.State
}

// within fails the test unless the application sees a change in a second, asking
// for it all the time.
func (h *town) within(what string, seen func() bool) {
	h.t.Helper()
	began := time.Now()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for !seen() {
		if took := time.Since(began); took > time.Second {
			h.t.Fatalf("%s: not seen after %s", what, took)
		}
		<-tick.C
	}
}

func (h *town) change(tenant *rowhouse.Tenant, err error) {
	h.t.Helper()
	h.must(err)
}

// everyChange makes all changes that a look-up depends on.
func (h *town) everyChange() {
	h.t.Helper()
	ctx := h.t.Context()
	h.change(h.admin.Suspend(ctx, "acme"))
	h.within("suspend", func() bool { return h.state("acme.example") == rowhouse.StateSuspended })
	h.change(h.admin.Activate(ctx, "acme"))
	h.within("activate", func() bool { return h.state("acme.example") == rowhouse.StateActive })
	if got := h.state("new.example"); got != "" {
		h.t.Errorf("an unknown domain leads to a tenant that is %s", got)
	}
	h.must(h.admin.AddDomain(ctx, "acme", "new.example"))
	h.within("add domain", func() bool { return h.state("new.example") == rowhouse.StateActive })
	h.must(h.admin.RemoveDomain(ctx, "acme", "new.example"))
	h.within("remove domain", func() bool { return h.state("new.example") == "" })
	h.change(h.admin.Delete(ctx, "acme"))
	h.within("delete", func() bool { return h.state("acme.example") == rowhouse.StateTrashed })
	h.change(h.admin.Undelete(ctx, "acme"))
	h.within("undelete", func() bool { return h.state("acme.example") == rowhouse.StateActive })
	for n, scope := range []admin.LimitScope{{Kind: "default"}, {Schema: "acme"}} {
		_, err := h.admin.SetLimits(ctx, scope, admin.LimitsOverride{Connections: new(n + 1)})
		h.must(err)
		h.within("set limits", func() bool { return h.connections("acme.example") == n+1 })
	}
	for n, scope := range []admin.LimitScope{{Schema: "acme"}, {Kind: "default"}} {
		_, err := h.admin.UnsetLimits(ctx, scope)
		h.must(err)
		h.within("unset limits", func() bool { return h.connections("acme.example") == 1-n })
	}
}

// connections is the limit of the tenant that a domain leads to.
func (h *town) connections(domain string) int {
	h.t.Helper()
	tenant, err := h.db.TenantByDomain(h.t.Context(), domain)
	h.must(err)
	return tenant.Limits().Connections
}

func TestChangesAreSeen(t *testing.T) {
	t.Parallel()
	for what, through := range map[string]func(t *testing.T) func(string) string{
		"listening": func(*testing.T) func(string) string { return nil },
		"blind behind a pooler": func(t *testing.T) func(string) string {
			return func(url string) string { return pgtest.PgBouncer(t, url, "") }
		},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			newTown(t, through(t)).everyChange()
		})
	}
}

// The connection that listens is lost, again and again. Changes are seen all the
// same, also those that came in between.
func TestChangesAreSeenAfterALostConnection(t *testing.T) {
	t.Parallel()
	h := newTown(t, nil)
	var name string
	h.must(h.super.QueryRow(t.Context(), `SELECT datname FROM pg_stat_activity WHERE query = 'LISTEN rowhouse'
		AND datname = $1`, h.database()).Scan(&name))
	for range 3 {
		h.terminate(name)
		h.everyChange()
	}
}

func (h *town) database() (name string) {
	h.t.Helper()
	ctx := rowhouse.WithShared(h.t.Context())
	h.must(h.db.QueryRow(ctx, `SELECT current_database()::text`).Scan(&name))
	return name
}

// terminate ends the connection that listens, as soon as there is one.
func (h *town) terminate(database string) {
	h.t.Helper()
	deadline := time.After(20 * time.Second)
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for {
		tag, err := h.super.Exec(h.t.Context(), `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query = 'LISTEN rowhouse' AND datname = $1`, database)
		h.must(err)
		if tag.RowsAffected() > 0 {
			return
		}
		select {
		case <-deadline:
			h.t.Fatal("nobody listens")
		case <-tick.C:
		}
	}
}
