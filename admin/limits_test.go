package admin_test

import (
	"fmt"
	"math"
	"sync"
	"testing"
	"time"

	"github.com/rowhouse/rowhouse"
	"github.com/rowhouse/rowhouse/admin"
)

// wantOverride fails the test unless the catalog says just that.
func wantOverride(t testing.TB, what string, got, want admin.LimitsOverride) {
	t.Helper()
	text := func(o admin.LimitsOverride) string {
		show := func(name string, set bool, value any) string {
			if !set {
				return ""
			}
			return fmt.Sprint(name, " ", value, " ")
		}
		l := admin.TenantLimits{Own: o}.Effective(rowhouse.Limits{})
		return show("connections", o.Connections != nil, l.Connections) + show("waiting", o.Waiting != nil, l.Waiting) +
			show("wait", o.Wait != nil, l.Wait) + show("statement", o.StatementTimeout != nil, l.StatementTimeout) +
			show("idle", o.IdleInTransactionTimeout != nil, l.IdleInTransactionTimeout) + show("lock", o.LockTimeout != nil, l.LockTimeout)
	}
	if text(got) != text(want) {
		t.Errorf("%s: got %s, want %s", what, text(got), text(want))
	}
}

// Limits are set and unset one by one, of a tenant and of a kind; what is not named
// stays.
func TestSetLimits(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.create("acme")
	for _, scope := range []admin.LimitScope{{Kind: "free"}, {Schema: "acme"}} {
		got, err := h.admin.SetLimits(t.Context(), scope, admin.LimitsOverride{Connections: new(2), Wait: new(1500 * time.Microsecond)})
		h.must(err)
		want := admin.LimitsOverride{Connections: new(2), Wait: new(2 * time.Millisecond)} // rounded up
		wantOverride(t, "set", got, want)
		got, err = h.admin.SetLimits(t.Context(), scope, admin.LimitsOverride{
			Connections: new(0), StatementTimeout: new(time.Duration(0)),
			IdleInTransactionTimeout: new(time.Minute), LockTimeout: new(math.MaxInt32 * time.Millisecond), Waiting: new(math.MaxInt32),
		})
		h.must(err)
		want.Connections, want.StatementTimeout, want.IdleInTransactionTimeout = new(0), new(time.Duration(0)), new(time.Minute)
		want.LockTimeout, want.Waiting = new(math.MaxInt32*time.Millisecond), new(math.MaxInt32)
		wantOverride(t, "set more", got, want)
		got, err = h.admin.UnsetLimits(t.Context(), scope, rowhouse.LimitWait, rowhouse.LimitLockTimeout)
		h.must(err)
		want.Wait, want.LockTimeout = nil, nil
		wantOverride(t, "unset", got, want)
		all, err := h.admin.Limits(t.Context())
		h.must(err)
		if len(all) != 1 || all[0].LimitScope != scope || time.Since(all[0].UpdatedOn) > time.Minute {
			t.Fatalf("listed %+v", all)
		}
		wantOverride(t, "list", all[0].LimitsOverride, want)
		got, err = h.admin.UnsetLimits(t.Context(), scope)
		h.must(err)
		wantOverride(t, "unset all", got, admin.LimitsOverride{})
		if all, err = h.admin.Limits(t.Context()); err != nil || all == nil || len(all) != 0 {
			t.Errorf("listed %v, %v", all, err)
		}
	}
}

// Events tell what changed, and nothing where nothing did.
func TestLimitEvents(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	acme := h.create("acme")
	last := func() string {
		t.Helper()
		return one[string](h, `SELECT concat_ws(' ', actor, action, tenant_id, schema_name, detail) FROM rowhouse.events ORDER BY id DESC LIMIT 1`)
	}
	_, err := h.admin.SetLimits(t.Context(), admin.LimitScope{Kind: "free"}, admin.LimitsOverride{Connections: new(2)})
	h.must(err)
	if got := last(); got != `the operator set limits {"kind": "free", "connections": 2}` {
		t.Errorf("the last event is %s", got)
	}
	_, err = h.admin.SetLimits(t.Context(), admin.LimitScope{Schema: "acme"}, admin.LimitsOverride{Wait: new(time.Second), Waiting: new(0)})
	h.must(err)
	if got := last(); got != `the operator set limits `+acme.ID+` acme {"wait": 1000, "waiting": 0}` {
		t.Errorf("the last event is %s", got)
	}
	_, err = h.admin.UnsetLimits(t.Context(), admin.LimitScope{Schema: "acme"}, rowhouse.LimitWait, rowhouse.LimitLockTimeout)
	h.must(err)
	if got := last(); got != `the operator unset limits `+acme.ID+` acme {"wait": null}` {
		t.Errorf("the last event is %s", got)
	}
	before := h.snapshot()
	_, err = h.admin.SetLimits(t.Context(), admin.LimitScope{Schema: "acme"}, admin.LimitsOverride{Waiting: new(0)})
	h.must(err)
	_, err = h.admin.SetLimits(t.Context(), admin.LimitScope{Schema: "acme"}, admin.LimitsOverride{})
	h.must(err)
	_, err = h.admin.UnsetLimits(t.Context(), admin.LimitScope{Kind: "gold"})
	h.must(err)
	h.wantUnchanged(before, "changing nothing")
}

// A tenant's limits are told with where they come from. They go where it goes.
func TestTenantLimits(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.create("acme")
	_, err := h.admin.SetLimits(t.Context(), admin.LimitScope{Kind: "default"}, admin.LimitsOverride{Connections: new(2), Waiting: new(20)})
	h.must(err)
	_, err = h.admin.SetLimits(t.Context(), admin.LimitScope{Schema: "acme"}, admin.LimitsOverride{Connections: new(0)})
	h.must(err)
	_, err = h.admin.Rename(t.Context(), "acme", "apex")
	h.must(err)
	got, err := h.admin.TenantLimits(t.Context(), "apex")
	h.must(err)
	wantOverride(t, "own", got.Own, admin.LimitsOverride{Connections: new(0)})
	wantOverride(t, "of the kind", got.OfKind, admin.LimitsOverride{Connections: new(2), Waiting: new(20)})
	if l := got.Effective(rowhouse.Limits{Connections: 9, Wait: time.Second}); got.Kind != "default" || l != (rowhouse.Limits{Waiting: 20, Wait: time.Second}) {
		t.Errorf("kind %s has %+v", got.Kind, l)
	}
	tenant, err := h.admin.Tenant(t.Context(), "apex")
	h.must(err)
	if l := tenant.Limits(); l != (rowhouse.Limits{Waiting: 20}) {
		t.Errorf("the tenant has %+v", l)
	}
	_, err = h.admin.Delete(t.Context(), "apex")
	h.must(err)
	h.must(h.admin.Purge(t.Context(), "apex"))
	all, err := h.admin.Limits(t.Context())
	h.must(err)
	if len(all) != 1 || all[0].Kind != "default" {
		t.Errorf("after the purge: %+v", all)
	}
}

func TestLimitsRefused(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.create("acme")
	before := h.snapshot()
	acme, two := admin.LimitScope{Schema: "acme"}, admin.LimitsOverride{Connections: new(2)}
	for _, c := range []struct {
		what  string
		scope admin.LimitScope
		set   admin.LimitsOverride
		want  error
	}{
		{"nobody", admin.LimitScope{Schema: "nobody"}, two, rowhouse.ErrUnknownTenant},
		{"no scope", admin.LimitScope{}, two, rowhouse.ErrInvalidLimit},
		{"two scopes", admin.LimitScope{Kind: "free", Schema: "acme"}, two, rowhouse.ErrInvalidLimit},
		{"bad kind", admin.LimitScope{Kind: "Free!"}, two, admin.ErrLabel},
		{"negative connections", acme, admin.LimitsOverride{Connections: new(-1)}, rowhouse.ErrInvalidLimit},
		{"too many waiting", acme, admin.LimitsOverride{Waiting: new(math.MaxInt32 + 1)}, rowhouse.ErrInvalidLimit},
		{"negative wait", acme, admin.LimitsOverride{Wait: new(time.Duration(-1))}, rowhouse.ErrInvalidLimit},
		{"a month", acme, admin.LimitsOverride{LockTimeout: new(31 * 24 * time.Hour)}, rowhouse.ErrInvalidLimit},
	} {
		_, err := h.admin.SetLimits(t.Context(), c.scope, c.set)
		wantIs(t, c.what, err, c.want)
		_, err = h.admin.UnsetLimits(t.Context(), c.scope)
		if c.scope != acme {
			wantIs(t, "unset: "+c.what, err, c.want)
		} else {
			h.must(err)
		}
	}
	_, err := h.admin.UnsetLimits(t.Context(), acme, "conections")
	wantIs(t, "unknown limit", err, rowhouse.ErrInvalidLimit)
	_, err = h.admin.TenantLimits(t.Context(), "nobody")
	wantIs(t, "limits of nobody", err, rowhouse.ErrUnknownTenant)
	h.wantUnchanged(before, "refused limits")
}

// Several set different limits at once; none is lost.
func TestLimitRaces(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.create("acme")
	var wg sync.WaitGroup
	for _, scope := range []admin.LimitScope{{Kind: "free"}, {Schema: "acme"}} {
		for _, o := range []admin.LimitsOverride{{Connections: new(1)}, {Waiting: new(2)}, {Wait: new(3 * time.Millisecond)}, {LockTimeout: new(time.Second)}} {
			wg.Go(func() {
				if _, err := h.admin.SetLimits(t.Context(), scope, o); err != nil {
					t.Error(err)
				}
			})
		}
	}
	wg.Wait()
	all, err := h.admin.Limits(t.Context())
	h.must(err)
	if len(all) != 2 {
		t.Fatalf("%d scopes have limits", len(all))
	}
	for _, l := range all {
		wantOverride(t, l.Kind+l.Schema, l.LimitsOverride, admin.LimitsOverride{
			Connections: new(1), Waiting: new(2), Wait: new(3 * time.Millisecond), LockTimeout: new(time.Second),
		})
	}
}
