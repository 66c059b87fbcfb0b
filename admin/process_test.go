package admin_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"testing"

	"github.com/rowhouse/rowhouse"
)

// Two processes make the same tenant at the same time: one does, the other is
// told that the schema is taken.
func TestTwoProcessesCreateTheSame(t *testing.T) {
	t.Parallel()
	for set := range childSets {
		t.Run(set, func(t *testing.T) {
			t.Parallel()
			h := newHouse(t, childSets[set])
			one, two := startProcess(t, "create", h.url, set), startProcess(t, "create", h.url, set)
			one.work()
			two.work()
			said := []string{one.end(), two.end()}
			slices.Sort(said)
			if !slices.Equal(said, []string{"done", "taken"}) {
				t.Errorf("the processes say %q, want one of them done", said)
			}
			h.wantWhole(set)
		})
	}
}

// wantWhole fails the test unless tenant acme is there, is active, has all that
// belongs to it and works.
func (h *house) wantWhole(set string) {
	h.t.Helper()
	tables := one[int](h, `SELECT count(*) FROM pg_class WHERE relnamespace = 'acme'::regnamespace AND relkind = 'r'`)
	ledger := one[int](h, `SELECT count(*) FROM rowhouse.migrations m JOIN rowhouse.tenants t ON t.id = m.tenant_id WHERE t.schema_name = 'acme'`)
	invalid := one[int](h, `SELECT count(*) FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
		WHERE c.relnamespace = 'acme'::regnamespace AND NOT i.indisvalid`)
	if want := map[string]int{"in one transaction": 2, "in several": 3}[set]; tables != 2 || ledger != want || invalid != 0 {
		h.t.Errorf("the tenant has %d tables, %d of %d migrations, %d invalid indexes", tables, ledger, want, invalid)
	}
	db := h.serve()
	defer db.Close()
	tenant, err := db.TenantByDomain(h.t.Context(), "acme.example.com")
	h.must(err)
	if tenant.State != rowhouse.StateActive || tenant.Schema != "acme" {
		h.t.Errorf("the domain leads to %s, which is %s", tenant.Schema, tenant.State)
	}
	_, err = db.Exec(rowhouse.WithTenant(h.t.Context(), tenant), `INSERT INTO comments (ticket) SELECT id FROM tickets`)
	h.must(err)
	if n := one[int](h, `SELECT count(*) FROM rowhouse.tenants`); n != 1 {
		h.t.Errorf("there are %d tenants", n)
	}
	prefix := one[string](h, `SELECT role_prefix FROM rowhouse.settings`)
	if n := one[int](h, `SELECT count(*) FROM pg_roles WHERE rolname ~ ('^' || $1 || '[0-9a-f]{32}$')`, prefix); n != 1 {
		h.t.Errorf("there are %d roles of tenants", n)
	}
}

// kills is how often each kind of creation is killed.
func kills(t testing.TB) int {
	text := os.Getenv("ROWHOUSE_KILLS")
	if text == "" {
		return 8
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatalf("ROWHOUSE_KILLS is %q: %v", text, err)
	}
	return n
}

// A creating process that is killed, at whichever of its messages, leaves no half
// tenant that could be reached, and nothing that a second try trips over.
func TestCreateIsKilled(t *testing.T) {
	t.Parallel()
	for set := range childSets {
		t.Run(set, func(t *testing.T) {
			t.Parallel()
			h := newHouse(t, childSets[set])
			messages := h.killCreate(set, 0) // not killed, to see how many there are
			h.wantWhole(set)
			h.removeAcme()
			for range kills(t) {
				at := 1 + rand.IntN(messages)
				h.killCreate(set, at)
				h.wantNothingHalf(set, fmt.Sprintf("killed at message %d of %d", at, messages))
				h.removeAcme()
			}
		})
	}
}

// killCreate starts a process that creates tenant acme, kills it at its message
// of that number, and waits until the server has noticed. It returns how many
// messages there were.
func (h *house) killCreate(set string, at int) int {
	h.t.Helper()
	g, through := newGate(h.t, h.url)
	p := startProcess(h.t, "create", named(through, "victim"), set)
	g.arm(at, func() { _ = p.cmd.Process.Kill() })
	p.work()
	if said := p.end(); at == 0 && said != "done" {
		h.t.Fatalf("the process says %q", said)
	}
	h.await(`SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE application_name = 'victim' AND datname = current_database())`)
	return g.count()
}

func (h *house) wantNothingHalf(set, how string) {
	h.t.Helper()
	state := one[string](h, `SELECT coalesce(max(state), 'none') FROM rowhouse.tenants`)
	switch state {
	case "active": // the last message had been sent
		h.wantWhole(set)
		return
	case "provisioning":
		db := h.serve()
		defer db.Close()
		tenant, err := db.TenantByDomain(h.t.Context(), "acme.example.com")
		h.must(err)
		_, err = db.Exec(rowhouse.WithTenant(h.t.Context(), tenant), `SELECT 1`)
		wantIs(h.t, how, err, rowhouse.ErrTenantUnavailable)
	case "none":
		if one[bool](h, `SELECT to_regnamespace('acme') IS NOT NULL OR EXISTS (SELECT FROM rowhouse.domains)`) {
			h.t.Errorf("%s: there is a schema or a domain without a tenant", how)
		}
	default:
		h.t.Errorf("%s: the tenant is %s", how, state)
	}
	if _, err := h.admin.Create(h.t.Context(), params("acme")); err != nil {
		h.t.Errorf("%s: the second try fails: %v", how, err)
		return
	}
	h.wantWhole(set)
}

func (h *house) removeAcme() {
	h.t.Helper()
	_, err := h.admin.Delete(h.t.Context(), "acme")
	h.must(err)
	h.must(h.admin.Purge(h.t.Context(), "acme"))
}

// What a killed process left is in nobody's way: its domain is free for a tenant
// of another name, too.
func TestDomainOfALeftover(t *testing.T) {
	t.Parallel()
	h := newHouse(t, desk())
	h.create("acme")
	h.behind(`UPDATE rowhouse.tenants SET state = 'provisioning'`)
	p := params("other")
	p.Domains = []string{"acme.example.com", "second.example.com"}
	_, err := h.admin.Create(t.Context(), p)
	h.must(err)
	if got := one[string](h, `SELECT string_agg(schema_name || ' ' || state, ',') FROM rowhouse.tenants`); got != "other active" {
		t.Errorf("tenants are %s", got)
	}
}
