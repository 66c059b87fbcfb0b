package migrate

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/rowhouse/rowhouse/internal/catalog"
	"github.com/rowhouse/rowhouse/internal/script"
	"github.com/rowhouse/rowhouse/internal/sqlfile"
)

var (
	// ErrUnknownTenant: a schema was named that no tenant has, or one whose
	// tenant is not migrated: it is being made, archived or trashed.
	ErrUnknownTenant = catalog.ErrNoTenant

	// ErrChanged: a file was changed after it had been applied.
	ErrChanged = errors.New("an applied migration was changed")
)

// Target says where to migrate. The zero value means everywhere.
type Target struct {
	// Only restricts the run to the shared schema or to tenants. Empty, or Both,
	// means both, the shared schema first.
	Only Scope
	// Schemas restricts it to these tenants. It leaves out the shared schema
	// unless Only is Both.
	Schemas []string
}

func (t Target) shared() bool {
	return t.Only == Shared || t.Only == Both || t.Only == "" && len(t.Schemas) == 0
}

func (t Target) tenants() bool { return t.Only != Shared }

// Plan is what is to be done, schema by schema.
type Plan struct {
	Schemas []SchemaPlan `json:"schemas"`
	// Changed lists applied migrations whose files have changed since. A run
	// refuses them unless told otherwise.
	Changed []Change `json:"changed"`
}

// Change is an applied migration whose file is another now.
type Change struct {
	Schema  string `json:"schema"`
	Set     string `json:"set"`
	Version int64  `json:"version"`
}

// SchemaPlan is what is to be done in one schema.
type SchemaPlan struct {
	Schema string `json:"schema"`
	// Shared is true for the shared schema.
	Shared bool `json:"shared"`
	// Pending are the migrations, in order.
	Pending []Pending `json:"pending"`

	tenantID     string
	provisioning bool // the tenant is being made, by the caller
	steps        []script.Step
}

// Pending is a migration that is to be applied.
type Pending struct {
	Set     string `json:"set"`
	Version int64  `json:"version"`
	Name    string `json:"name"`
	File    string `json:"file"`
}

// Count is the number of migrations to apply, over all schemas.
func (p *Plan) Count() int {
	n := 0
	for _, s := range p.Schemas {
		n += len(s.Pending)
	}
	return n
}

// Plan compares the sets with the ledger, in one query whatever the number of
// tenants. It writes nothing. It returns [ErrUnknownTenant] for a schema of the
// target that cannot be migrated.
func (m *Migrator) Plan(ctx context.Context, target Target) (*Plan, error) {
	ledger, err := catalog.Ledger(ctx, m.pool)
	if err != nil {
		return nil, err
	}
	b := planner{m: m, plan: &Plan{Schemas: []SchemaPlan{}, Changed: []Change{}}}
	if target.shared() {
		b.shared(ledger)
	}
	if target.tenants() {
		if err := b.tenants(ledger, target.Schemas); err != nil {
			return nil, err
		}
	}
	return b.plan, nil
}

type planner struct {
	m    *Migrator
	plan *Plan
}

func (b planner) shared(ledger []catalog.Applied) {
	var mine []catalog.Applied
	for _, a := range ledger {
		if a.TenantID == "" {
			mine = append(mine, a)
		}
	}
	b.schema(SchemaPlan{Schema: b.m.settings.SharedSchema, Shared: true}, mine, Set.onShared)
}

func (b planner) tenants(ledger []catalog.Applied, only []string) error {
	found := make(map[string]bool)
	for i := 0; i < len(ledger); {
		end := i + 1
		for end < len(ledger) && ledger[end].TenantID == ledger[i].TenantID {
			end++
		}
		mine := ledger[i:end]
		i = end
		t := mine[0]
		if t.TenantID == "" || len(only) > 0 && !slices.Contains(only, t.Schema) {
			continue
		}
		found[t.Schema] = true
		b.schema(SchemaPlan{Schema: t.Schema, tenantID: t.TenantID}, mine, func(s Set) bool { return s.onTenant(t.Kind) })
	}
	for _, schema := range only {
		if !found[schema] {
			return fmt.Errorf("%w: schema %q, or its tenant is not in a state to be migrated", ErrUnknownTenant, schema)
		}
	}
	return nil
}

// schema plans for one schema and adds it if there is anything to do.
func (b planner) schema(sp SchemaPlan, applied []catalog.Applied, belongs func(Set) bool) {
	for _, s := range b.m.sets {
		if !belongs(s.Set) {
			continue
		}
		done := make(map[int64]string)
		for _, a := range applied {
			if a.Set == s.Name {
				for i, v := range a.Versions {
					done[v] = a.Checksums[i]
				}
			}
		}
		for _, mig := range s.migrations {
			switch sum, ok := done[mig.Version]; {
			case !ok:
				sp.add(s.Name, mig)
			case sum != mig.Checksum.String():
				b.plan.Changed = append(b.plan.Changed, Change{sp.Schema, s.Name, mig.Version})
			}
		}
	}
	if len(sp.Pending) > 0 {
		b.plan.Schemas = append(b.plan.Schemas, sp)
	}
}

func (sp *SchemaPlan) add(set string, mig sqlfile.Migration) {
	sp.Pending = append(sp.Pending, Pending{Set: set, Version: mig.Version, Name: mig.Name, File: mig.Up.File})
	sp.steps = append(sp.steps, script.Step{Set: set, Migration: mig})
}
