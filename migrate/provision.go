package migrate

import (
	"context"
	"errors"

	"github.com/jackc/pgx/v5"

	"github.com/rowhouse/rowhouse/internal/script"
)

// ErrNotInTransaction: the next migration cannot run in a transaction.
var ErrNotInTransaction = errors.New("the next migration cannot run in a transaction")

// Provision applies the tenant sets to a schema that was just made, in the
// transaction tx that made it. It stops before the first migration that cannot be
// in a transaction and returns [ErrNotInTransaction]: commit then, and call
// [Migrator.Finish].
//
// tx is left running as the role that owns tenants' schemas.
func (m *Migrator) Provision(ctx context.Context, tx pgx.Tx, tenantID, schema, kind string) error {
	r := script.Runner{Settings: m.settings, TenantID: tenantID, Schema: schema}
	if err := r.Enter(ctx, tx); err != nil {
		return err
	}
	for _, step := range m.tenantSteps(kind) {
		if step.Migration.Up.NoTransaction {
			return ErrNotInTransaction
		}
		if err := r.Run(ctx, tx, step); err != nil {
			return err
		}
	}
	return nil
}

// Finish applies to a tenant that is being provisioned what [Migrator.Provision]
// left, each migration on its own.
func (m *Migrator) Finish(ctx context.Context, tenantID, schema, kind string) error {
	sp := SchemaPlan{Schema: schema, tenantID: tenantID, provisioning: true}
	for _, step := range m.tenantSteps(kind) {
		if _, err := m.step(ctx, sp, step); err != nil {
			return err
		}
	}
	return nil
}

func (m *Migrator) tenantSteps(kind string) []script.Step {
	var steps []script.Step
	for _, s := range m.sets {
		if !s.onTenant(kind) {
			continue
		}
		for _, mig := range s.migrations {
			steps = append(steps, script.Step{Set: s.Name, Migration: mig})
		}
	}
	return steps
}
