package rowhouse

import "context"

// contextKey is the one key under which a context says what its work runs as.
type contextKey struct{}

// scope is what a context's work runs as: a tenant or, with none, the shared
// schema.
type scope struct {
	tenant *Tenant
}

// WithTenant returns a context whose work runs as tenant t. It replaces a tenant,
// or the shared schema, that ctx carried. A nil tenant makes a context whose work
// is refused.
func WithTenant(ctx context.Context, t *Tenant) context.Context {
	if t == nil {
		return context.WithValue(ctx, contextKey{}, nil)
	}
	return context.WithValue(ctx, contextKey{}, &scope{tenant: t})
}

// WithShared returns a context whose work runs on the shared schema: on the
// tables that all tenants see, and on no tenant's. It replaces a tenant that ctx
// carried.
func WithShared(ctx context.Context) context.Context {
	return context.WithValue(ctx, contextKey{}, &scope{})
}

// FromContext returns the tenant of a context, or [ErrNoTenant]. A context of
// [WithShared] has none.
func FromContext(ctx context.Context) (*Tenant, error) {
	if s := scopeOf(ctx); s != nil && s.tenant != nil {
		return s.tenant, nil
	}
	return nil, ErrNoTenant
}

func scopeOf(ctx context.Context) *scope {
	s, _ := ctx.Value(contextKey{}).(*scope)
	return s
}

// key is what a context's work is kept near a connection by: its tenant's id, and
// nothing for the shared schema.
func key(ctx context.Context) string {
	if s := scopeOf(ctx); s != nil && s.tenant != nil {
		return s.tenant.ID
	}
	return ""
}
