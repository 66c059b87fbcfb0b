package admin

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/rowhouse/rowhouse"
	"github.com/rowhouse/rowhouse/internal/catalog"
	"github.com/rowhouse/rowhouse/internal/ident"
)

// LimitScope says whose limits are meant. One of its fields is set.
type LimitScope struct {
	// Kind is a class of tenants. There need not be any of it.
	Kind string
	// Schema is that of a single tenant.
	Schema string
}

// LimitsOverride is what the catalog says about limits. A field that is nil says
// nothing: the limit is then the one of the tenant's kind, else that of
// rowhouse.Config. Zero says that there is no limit. What each limit means is told
// at [rowhouse.Limits]; times are kept in milliseconds, rounded up.
type LimitsOverride struct {
	// Connections overrides [rowhouse.Limits] Connections.
	Connections *int
	// Waiting overrides Waiting.
	Waiting *int
	// Wait overrides Wait.
	Wait *time.Duration
	// StatementTimeout overrides StatementTimeout.
	StatementTimeout *time.Duration
	// IdleInTransactionTimeout overrides IdleInTransactionTimeout.
	IdleInTransactionTimeout *time.Duration
	// LockTimeout overrides LockTimeout.
	LockTimeout *time.Duration
}

// ScopedLimits is what the catalog says about the limits of a kind or a tenant.
type ScopedLimits struct {
	LimitScope
	LimitsOverride
	// UpdatedOn is when that was said.
	UpdatedOn time.Time
}

// TenantLimits is where the limits of a tenant come from.
type TenantLimits struct {
	// Kind is the tenant's.
	Kind string
	// Own is what the catalog says about the tenant, OfKind about its kind.
	Own, OfKind LimitsOverride
}

// Effective are the limits of the tenant in an application that has those of config
// in its rowhouse.Config.
func (l TenantLimits) Effective(config rowhouse.Limits) rowhouse.Limits {
	return l.Own.over(l.OfKind.over(config))
}

// over is the limits that result from an override.
func (o LimitsOverride) over(l rowhouse.Limits) rowhouse.Limits {
	return rowhouse.Limits{
		Connections: valueOr(o.Connections, l.Connections), Waiting: valueOr(o.Waiting, l.Waiting),
		Wait: valueOr(o.Wait, l.Wait), StatementTimeout: valueOr(o.StatementTimeout, l.StatementTimeout),
		IdleInTransactionTimeout: valueOr(o.IdleInTransactionTimeout, l.IdleInTransactionTimeout),
		LockTimeout:              valueOr(o.LockTimeout, l.LockTimeout),
	}
}

func valueOr[T any](override *T, value T) T {
	if override != nil {
		return *override
	}
	return value
}

// Limits lists what the catalog says about limits: those of kinds, then those of
// tenants.
func (a *Admin) Limits(ctx context.Context) ([]ScopedLimits, error) {
	rows, err := catalog.AllLimits(ctx, a.pool)
	if err != nil {
		return nil, fmt.Errorf("admin: %w", err)
	}
	all := make([]ScopedLimits, len(rows))
	for i, row := range rows {
		all[i] = ScopedLimits{LimitScope{row.Kind, row.Schema}, read(row.Limits), row.UpdatedOn}
	}
	return all, nil
}

// TenantLimits tells where the limits of a tenant come from. It returns
// [rowhouse.ErrUnknownTenant].
func (a *Admin) TenantLimits(ctx context.Context, schema string) (TenantLimits, error) {
	t, err := catalog.BySchema(ctx, a.pool, schema)
	if err != nil {
		return TenantLimits{}, fmt.Errorf("admin: %w", err)
	}
	own, err := catalog.LimitsOf(ctx, a.pool, "", t.ID)
	if err != nil {
		return TenantLimits{}, fmt.Errorf("admin: %w", err)
	}
	ofKind, err := catalog.LimitsOf(ctx, a.pool, t.Kind, "")
	if err != nil {
		return TenantLimits{}, fmt.Errorf("admin: %w", err)
	}
	return TenantLimits{Kind: t.Kind, Own: read(own), OfKind: read(ofKind)}, nil
}

// SetLimits says something about the limits of a kind or a tenant: those that are
// not nil. Those that are nil stay as they are. It counts for the work that begins
// with a tenant that is looked up afterwards, within a second in every process.
//
// It returns what the catalog says then, and [rowhouse.ErrInvalidLimit], also for a
// scope with both fields or none, [ErrLabel] for a kind that cannot be, and
// [rowhouse.ErrUnknownTenant].
func (a *Admin) SetLimits(ctx context.Context, scope LimitScope, limits LimitsOverride) (LimitsOverride, error) {
	if err := limits.over(rowhouse.Limits{}).Validate(); err != nil {
		return LimitsOverride{}, fmt.Errorf("admin: set limits: %w", err)
	}
	set := limits.write()
	return a.changeLimits(ctx, scope, "set limits", func(l *catalog.Limits) {
		for _, name := range limitNames {
			if value := *limitField(&set, name); value != nil {
				*limitField(l, name) = value
			}
		}
	})
}

// UnsetLimits makes the catalog say nothing about some limits of a kind or a tenant,
// or about all of them without names. It returns what [Admin.SetLimits] does; an
// unknown name is [rowhouse.ErrInvalidLimit].
func (a *Admin) UnsetLimits(ctx context.Context, scope LimitScope, names ...rowhouse.Limit) (LimitsOverride, error) {
	if len(names) == 0 {
		names = limitNames[:]
	}
	for _, name := range names {
		if limitField(&catalog.Limits{}, name) == nil {
			return LimitsOverride{}, fmt.Errorf("admin: unset limits: %w: there is no limit %q", rowhouse.ErrInvalidLimit, name)
		}
	}
	return a.changeLimits(ctx, scope, "unset limits", func(l *catalog.Limits) {
		for _, name := range names {
			*limitField(l, name) = nil
		}
	})
}

// changeLimits changes what the catalog says of a scope, and records it if anything
// changed.
func (a *Admin) changeLimits(ctx context.Context, scope LimitScope, action string, change func(*catalog.Limits)) (LimitsOverride, error) {
	var after catalog.Limits
	err := a.asOwner(ctx, func(tx pgx.Tx) error {
		t, err := scope.lock(ctx, tx)
		if err != nil {
			return err
		}
		before, err := catalog.LimitsOf(ctx, tx, scope.Kind, t.ID)
		if err != nil {
			return err
		}
		after = before
		change(&after)
		detail := map[string]any{}
		for _, name := range limitNames {
			was, is := *limitField(&before, name), *limitField(&after, name)
			if valueOr(was, -1) != valueOr(is, -1) {
				detail[string(name)] = is
			}
		}
		if len(detail) == 0 {
			return nil
		}
		if scope.Kind != "" {
			detail["kind"] = scope.Kind
		}
		if err := catalog.SetLimits(ctx, tx, scope.Kind, t.ID, after); err != nil {
			return err
		}
		return catalog.Record(ctx, tx, a.actor, action, t, detail)
	})
	if err != nil {
		return LimitsOverride{}, fmt.Errorf("admin: %s: %w", action, err)
	}
	return read(after), nil
}

// lock keeps what the catalog says of a scope as it is. The tenant has no ID for
// the scope of a kind.
func (s LimitScope) lock(ctx context.Context, tx pgx.Tx) (t catalog.Tenant, err error) {
	switch {
	case (s.Kind == "") == (s.Schema == ""):
		return t, fmt.Errorf("%w: it is of a kind or of a tenant; name one", rowhouse.ErrInvalidLimit)
	case s.Kind != "":
		err = ident.CheckLabel("kind", s.Kind)
	default:
		t, err = catalog.Lock(ctx, tx, s.Schema)
	}
	if err != nil {
		return t, err
	}
	return t, catalog.LockLimits(ctx, tx)
}

var limitNames = [...]rowhouse.Limit{
	rowhouse.LimitConnections, rowhouse.LimitWaiting, rowhouse.LimitWait, rowhouse.LimitStatementTimeout,
	rowhouse.LimitIdleInTransactionTimeout, rowhouse.LimitLockTimeout,
}

// limitField is where a row of the catalog keeps a limit; nil for an unknown name.
func limitField(l *catalog.Limits, name rowhouse.Limit) **int32 {
	switch name {
	case rowhouse.LimitConnections:
		return &l.Connections
	case rowhouse.LimitWaiting:
		return &l.Waiting
	case rowhouse.LimitWait:
		return &l.WaitMS
	case rowhouse.LimitStatementTimeout:
		return &l.StatementTimeoutMS
	case rowhouse.LimitIdleInTransactionTimeout:
		return &l.IdleInTransactionTimeoutMS
	case rowhouse.LimitLockTimeout:
		return &l.LockTimeoutMS
	}
	return nil
}

// read is what a row of the catalog says.
func read(l catalog.Limits) LimitsOverride {
	return LimitsOverride{
		Connections: scaled[int](l.Connections, 1), Waiting: scaled[int](l.Waiting, 1),
		Wait: scaled(l.WaitMS, time.Millisecond), StatementTimeout: scaled(l.StatementTimeoutMS, time.Millisecond),
		IdleInTransactionTimeout: scaled(l.IdleInTransactionTimeoutMS, time.Millisecond),
		LockTimeout:              scaled(l.LockTimeoutMS, time.Millisecond),
	}
}

// write is the row of the catalog that says it. The limits are valid.
func (o LimitsOverride) write() catalog.Limits {
	return catalog.Limits{
		Connections: whole(o.Connections, 1), Waiting: whole(o.Waiting, 1),
		WaitMS: whole(o.Wait, time.Millisecond), StatementTimeoutMS: whole(o.StatementTimeout, time.Millisecond),
		IdleInTransactionTimeoutMS: whole(o.IdleInTransactionTimeout, time.Millisecond),
		LockTimeoutMS:              whole(o.LockTimeout, time.Millisecond),
	}
}

func scaled[T int | time.Duration](units *int32, unit T) *T {
	if units == nil {
		return nil
	}
	return new(T(*units) * unit)
}

// whole is a value in whole units, rounded up.
func whole[T int | time.Duration](value *T, unit T) *int32 {
	if value == nil {
		return nil
	}
	return new(int32((*value + unit - 1) / unit))
}
