package admin

import (
	"context"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/rowhouse/rowhouse"
	"github.com/rowhouse/rowhouse/internal/catalog"
)

// Suspend refuses the tenant's requests until [Admin.Activate]. Suspending a
// suspended tenant does nothing. It returns [rowhouse.ErrUnknownTenant] and
// [*StateError].
func (a *Admin) Suspend(ctx context.Context, schema string) (*rowhouse.Tenant, error) {
	return a.move(ctx, schema, "suspend", catalog.Suspended, catalog.Active, catalog.Maintenance, catalog.ReadOnly)
}

// Activate serves the tenant's requests again. Activating an active tenant does
// nothing. It returns [rowhouse.ErrUnknownTenant] and [*StateError].
func (a *Admin) Activate(ctx context.Context, schema string) (*rowhouse.Tenant, error) {
	return a.move(ctx, schema, "activate", catalog.Active, catalog.Suspended, catalog.Maintenance, catalog.ReadOnly)
}

// Delete hides the tenant and keeps everything: its domains lead nowhere, and no
// work runs as it, until [Admin.Undelete] or [Admin.Purge]. Deleting a deleted
// tenant does nothing. It returns [rowhouse.ErrUnknownTenant] and [*StateError].
func (a *Admin) Delete(ctx context.Context, schema string) (*rowhouse.Tenant, error) {
	return a.move(ctx, schema, "delete", catalog.Trashed,
		catalog.Active, catalog.Maintenance, catalog.ReadOnly, catalog.Suspended, catalog.Archived)
}

// move takes a tenant to a state if it is in one of those that lead there.
func (a *Admin) move(ctx context.Context, schema, action, to string, from ...string) (*rowhouse.Tenant, error) {
	return a.change(ctx, schema, action, func(tx pgx.Tx, t catalog.Tenant) (bool, error) {
		if t.State == to {
			return false, nil
		}
		if !slices.Contains(from, t.State) {
			return false, stateError(t, action)
		}
		return true, catalog.SetState(ctx, tx, t.ID, to)
	})
}

// Undelete brings a deleted tenant back, in the state that it had. It returns
// [rowhouse.ErrUnknownTenant] and [*StateError], also for a tenant whose purge
// has begun.
func (a *Admin) Undelete(ctx context.Context, schema string) (*rowhouse.Tenant, error) {
	return a.change(ctx, schema, "undelete", func(tx pgx.Tx, t catalog.Tenant) (bool, error) {
		switch {
		case t.State != catalog.Trashed:
			return false, stateError(t, "undelete")
		case t.Purging:
			e := stateError(t, "undelete")
			e.Hint = "its purge has begun and some of it is gone; purge it again to finish"
			return false, e
		}
		return true, catalog.RestoreState(ctx, tx, t.ID)
	})
}

func stateError(t catalog.Tenant, action string) *StateError {
	e := &StateError{Schema: t.Schema, State: rowhouse.State(t.State), Action: action}
	switch {
	case action == "purge":
		e.Hint = "delete it first"
	case action == "undelete":
		e.Hint = "only a deleted tenant can be undeleted"
	case t.State == catalog.Trashed:
		e.Hint = "undelete it first"
	}
	return e
}
