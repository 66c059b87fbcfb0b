package admin_test

import (
	"context"
	"errors"
	"testing"

	"github.com/rowhouse/rowhouse"
	"github.com/rowhouse/rowhouse/admin"
)

// moves lists what each action makes of each state. An action that is not listed
// is refused.
var moves = map[string]map[rowhouse.State]rowhouse.State{
	"suspend": {
		rowhouse.StateActive: rowhouse.StateSuspended, rowhouse.StateMaintenance: rowhouse.StateSuspended,
		rowhouse.StateReadOnly: rowhouse.StateSuspended, rowhouse.StateSuspended: rowhouse.StateSuspended,
	},
	"activate": {
		rowhouse.StateActive: rowhouse.StateActive, rowhouse.StateMaintenance: rowhouse.StateActive,
		rowhouse.StateReadOnly: rowhouse.StateActive, rowhouse.StateSuspended: rowhouse.StateActive,
	},
	"delete": {
		rowhouse.StateActive: rowhouse.StateTrashed, rowhouse.StateMaintenance: rowhouse.StateTrashed, rowhouse.StateReadOnly: rowhouse.StateTrashed,
		rowhouse.StateSuspended: rowhouse.StateTrashed, rowhouse.StateArchived: rowhouse.StateTrashed, rowhouse.StateTrashed: rowhouse.StateTrashed,
	},
	"undelete": {rowhouse.StateTrashed: rowhouse.StateReadOnly}, // what it was before
}

func actions(a *admin.Admin) map[string]func(context.Context, string) (*rowhouse.Tenant, error) {
	return map[string]func(context.Context, string) (*rowhouse.Tenant, error){
		"suspend": a.Suspend, "activate": a.Activate, "delete": a.Delete, "undelete": a.Undelete,
	}
}

func TestStates(t *testing.T) {
	t.Parallel()
	h := newHouse(t, desk())
	h.create("acme")
	states := []rowhouse.State{
		rowhouse.StateProvisioning, rowhouse.StateActive, rowhouse.StateMaintenance, rowhouse.StateReadOnly,
		rowhouse.StateSuspended, rowhouse.StateArchived, rowhouse.StateTrashed,
	}
	for name, act := range actions(h.admin) {
		for _, from := range states {
			h.behind(`UPDATE rowhouse.tenants SET state = $1, previous_state = CASE WHEN $1 = 'trashed' THEN 'read_only' END`, from)
			before := h.snapshot()
			got, err := act(t.Context(), "acme")
			to, allowed := moves[name][from]
			if !allowed {
				var refused *admin.StateError
				if !errors.As(err, &refused) || refused.State != from || refused.Action != name || refused.Schema != "acme" {
					t.Errorf("%s from %s: got %v, want a StateError", name, from, err)
				}
				h.wantUnchanged(before, name+" from "+string(from))
				continue
			}
			if err != nil || got.State != to {
				t.Errorf("%s from %s: got %v, %v; want %s", name, from, got, err, to)
				continue
			}
			if from == to {
				h.wantUnchanged(before, name+" from "+string(from))
			} else if last := one[string](h, `SELECT action || ' by ' || actor FROM rowhouse.events ORDER BY id DESC LIMIT 1`); last != name+" by the operator" {
				t.Errorf("%s from %s: the last event is %s", name, from, last)
			}
		}
	}
	for _, from := range states[:len(states)-1] {
		h.behind(`UPDATE rowhouse.tenants SET state = $1, previous_state = NULL`, from)
		before := h.snapshot()
		var refused *admin.StateError
		if err := h.admin.Purge(t.Context(), "acme"); !errors.As(err, &refused) || refused.State != from || refused.Hint == "" {
			t.Errorf("purge from %s: got %v, want a StateError with a hint", from, err)
		}
		h.wantUnchanged(before, "purge from "+string(from))
	}
}

func TestUnknownTenant(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	before := h.snapshot()
	for _, schema := range []string{"nobody", "", "public", "rowhouse", "pg_catalog", `x"; DROP SCHEMA public; --`} {
		for name, act := range actions(h.admin) {
			_, err := act(t.Context(), schema)
			wantIs(t, name+" "+schema, err, rowhouse.ErrUnknownTenant)
		}
		_, err := h.admin.Tenant(t.Context(), schema)
		wantIs(t, "tenant "+schema, err, rowhouse.ErrUnknownTenant)
		wantIs(t, "purge "+schema, h.admin.Purge(t.Context(), schema), rowhouse.ErrUnknownTenant)
		wantIs(t, "add domain "+schema, h.admin.AddDomain(t.Context(), schema, "x.example.com"), rowhouse.ErrUnknownTenant)
		wantIs(t, "remove domain "+schema, h.admin.RemoveDomain(t.Context(), schema, "x.example.com"), rowhouse.ErrUnknownTenant)
		wantIs(t, "primary domain "+schema, h.admin.SetPrimaryDomain(t.Context(), schema, "x.example.com"), rowhouse.ErrUnknownTenant)
	}
	_, err := h.admin.Domains(t.Context(), "nobody")
	wantIs(t, "domains", err, rowhouse.ErrUnknownTenant)
	h.wantUnchanged(before, "unknown tenants")
}

// Deleting hides a tenant and keeps everything.
func TestDeleteKeepsEverything(t *testing.T) {
	t.Parallel()
	h := newHouse(t, desk())
	h.create("acme")
	db, ctx := h.as("acme")
	_, err := db.Exec(ctx, `INSERT INTO tickets (title) VALUES ('kept')`)
	h.must(err)
	_, err = h.admin.Suspend(t.Context(), "acme")
	h.must(err)
	_, err = h.admin.Delete(t.Context(), "acme")
	h.must(err)
	_, err = h.admin.Create(t.Context(), params("acme"))
	wantIs(t, "its name for another", err, admin.ErrSchemaTaken)
	tenant, err := h.admin.Undelete(t.Context(), "acme")
	h.must(err)
	if tenant.State != rowhouse.StateSuspended || tenant.Domain != "acme.example.com" {
		t.Errorf("it came back as %+v", tenant)
	}
	db, ctx = h.as("acme")
	var title string
	h.must(db.QueryRow(ctx, `SELECT title FROM tickets`).Scan(&title))
	if title != "kept" {
		t.Errorf("the ticket is %q", title)
	}
}

func TestTenants(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	tenants, err := h.admin.Tenants(t.Context())
	h.must(err)
	if tenants == nil || len(tenants) != 0 {
		t.Errorf("an empty catalog lists %v", tenants)
	}
	h.create("beta")
	h.create("acme")
	_, err = h.admin.Delete(t.Context(), "acme")
	h.must(err)
	tenants, err = h.admin.Tenants(t.Context())
	h.must(err)
	if len(tenants) != 2 || tenants[0].Schema != "acme" || tenants[0].State != rowhouse.StateTrashed || tenants[1].Domain != "beta.example.com" {
		t.Errorf("got %+v", tenants)
	}
}
