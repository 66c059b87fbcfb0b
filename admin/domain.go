package admin

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/rowhouse/rowhouse/internal/catalog"
	"github.com/rowhouse/rowhouse/internal/hostname"
)

// Domain is a host name that leads to a tenant.
type Domain struct {
	// Domain is normalised: lower case, punycode, no port, no trailing dot.
	Domain string `json:"domain"`
	// Schema is the tenant's.
	Schema string `json:"schema"`
	// IsPrimary is true for one of a tenant's domains.
	IsPrimary bool `json:"is_primary"`
	// CreatedOn is when it was added.
	CreatedOn time.Time `json:"created_on"`
}

// Domains lists the domains of a tenant, its primary one first, or those of all
// tenants for an empty schema. It returns [rowhouse.ErrUnknownTenant].
func (a *Admin) Domains(ctx context.Context, schema string) ([]Domain, error) {
	if schema != "" {
		if _, err := a.Tenant(ctx, schema); err != nil {
			return nil, err
		}
	}
	rows, err := catalog.Domains(ctx, a.pool, schema)
	if err != nil {
		return nil, fmt.Errorf("admin: %w", err)
	}
	domains := make([]Domain, len(rows))
	for i, row := range rows {
		domains[i] = Domain(row)
	}
	return domains, nil
}

// AddDomain lets a host name lead to a tenant. A tenant's first domain is its
// primary one. It returns [rowhouse.ErrInvalidHost], [rowhouse.ErrUnknownTenant]
// and [ErrDomainTaken].
func (a *Admin) AddDomain(ctx context.Context, schema, domain string) error {
	return a.changeDomain(ctx, schema, domain, "add domain", func(tx pgx.Tx, t catalog.Tenant, domain string) error {
		return insertDomain(ctx, tx, t.ID, domain)
	})
}

// RemoveDomain takes a host name from a tenant. The primary domain can go only
// last. It returns [rowhouse.ErrInvalidHost], [rowhouse.ErrUnknownTenant],
// [ErrUnknownDomain] and [ErrPrimaryDomain].
func (a *Admin) RemoveDomain(ctx context.Context, schema, domain string) error {
	return a.changeDomain(ctx, schema, domain, "remove domain", func(tx pgx.Tx, t catalog.Tenant, domain string) error {
		if t.Domain == domain {
			others, err := catalog.Domains(ctx, tx, schema)
			if err != nil {
				return err
			}
			if len(others) > 1 {
				return fmt.Errorf("%w of tenant %q: %q; make another the primary one first", ErrPrimaryDomain, schema, domain)
			}
		}
		n, err := catalog.DeleteDomain(ctx, tx, t.ID, domain)
		if err == nil && n == 0 {
			err = fmt.Errorf("%w: %q has no domain %q", ErrUnknownDomain, schema, domain)
		}
		return err
	})
}

// SetPrimaryDomain makes one of a tenant's domains its primary one. It returns
// [rowhouse.ErrInvalidHost], [rowhouse.ErrUnknownTenant] and [ErrUnknownDomain].
func (a *Admin) SetPrimaryDomain(ctx context.Context, schema, domain string) error {
	return a.changeDomain(ctx, schema, domain, "set primary domain", func(tx pgx.Tx, t catalog.Tenant, domain string) error {
		ok, err := catalog.SetPrimary(ctx, tx, t.ID, domain)
		if err == nil && !ok {
			err = fmt.Errorf("%w: %q has no domain %q; add it first", ErrUnknownDomain, schema, domain)
		}
		return err
	})
}

func (a *Admin) changeDomain(ctx context.Context, schema, domain, action string, fn func(pgx.Tx, catalog.Tenant, string) error) error {
	normal, err := hostname.Normalize(domain)
	if err != nil {
		return fmt.Errorf("admin: %s: %w", action, err)
	}
	err = a.asOwner(ctx, func(tx pgx.Tx) error {
		t, err := catalog.Lock(ctx, tx, schema)
		if err != nil {
			return err
		}
		if err := fn(tx, t, normal); err != nil {
			return err
		}
		return catalog.Record(ctx, tx, a.actor, action, t, map[string]any{"domain": normal})
	})
	if err != nil {
		return fmt.Errorf("admin: %s: %w", action, err)
	}
	return nil
}

func insertDomain(ctx context.Context, tx pgx.Tx, tenantID, domain string) error {
	err := catalog.InsertDomain(ctx, tx, tenantID, domain)
	if catalog.Constraint(err) == "domains_pkey" {
		return fmt.Errorf("%w: %q", ErrDomainTaken, domain)
	}
	if err != nil {
		return fmt.Errorf("insert domain %q: %w", domain, err)
	}
	return nil
}
