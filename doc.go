// Package rowhouse runs one application for thousands of tenants on PostgreSQL,
// each tenant in a schema of its own.
//
// The tenant travels in the [context.Context]. A [DB] runs every statement as the
// tenant of its context: in that tenant's schema and under that tenant's role, so
// that SQL which names another tenant's schema is refused by PostgreSQL itself.
// Without a tenant in the context nothing runs ([ErrNoTenant]); tables that all
// tenants share are reached through [WithShared].
//
//	db, err := rowhouse.Open(ctx, rowhouse.Config{DatabaseURL: url})
//	…
//	tenant, err := db.TenantByDomain(ctx, "acme.example.com")
//	…
//	ctx = rowhouse.WithTenant(ctx, tenant)
//	rows, err := db.Query(ctx, "SELECT id, title FROM tickets")
//
// Package tenanthttp puts the tenant of a request into its context. Package admin
// creates tenants and looks after them; package migrate brings their schemas up
// to date.
//
// The way of a query through the code: context.go, db.go, internal/pool,
// internal/bind, pgx.
package rowhouse
