// Package migrate brings the schemas of a fleet up to date.
//
// An application has migration sets: directories in goose's or golang-migrate's
// format, each for the shared schema, for every tenant, or for both. What has
// been applied where is in the catalog's ledger, each row written in the same
// transaction as the migration. So a run that was killed is started again and
// does the rest.
//
// A [Migrator] plans from the ledger in one query ([Migrator.Plan]) and then works
// schema by schema ([Migrator.Run]). Within a migration of a tenant, unqualified
// names lead into the tenant's schema and then the shared one; it runs as a role
// that cannot create in the shared schema.
//
// The way of a deploy through the code: migrate.go, plan.go, internal/script,
// internal/catalog.
package migrate

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/rowhouse/rowhouse/internal/catalog"
	"github.com/rowhouse/rowhouse/internal/script"
)

// Error is a migration that failed in a schema.
type Error = script.Error

// ErrLeft: a migration changed role or search_path.
var ErrLeft = script.ErrLeft

// Migrator applies migration sets. It is safe for concurrent use, and several
// migrators, also in several processes, may run at once: they take turns at each
// schema.
type Migrator struct {
	pool     *pgxpool.Pool
	settings catalog.Settings
	sets     []set
}

// New reads the sets and returns a migrator. pool connects with the operator's
// login to a database with a catalog; admin.Open makes both.
//
// It returns [ErrSet] and [*FileError] values, all of them joined, for what is
// wrong with the sets.
func New(ctx context.Context, pool *pgxpool.Pool, sets ...Set) (*Migrator, error) {
	read, err := readSets(sets)
	if err != nil {
		return nil, err
	}
	settings, err := catalog.Load(ctx, pool)
	if err != nil {
		return nil, err
	}
	return &Migrator{pool: pool, settings: settings, sets: read}, nil
}

// Options of a run.
type Options struct {
	// AllowChanged goes on although applied files have changed.
	AllowChanged bool
	// OnSchema is called when a schema is done or has failed. May be nil.
	OnSchema func(SchemaResult)
}

// SchemaResult is the outcome in one schema.
type SchemaResult struct {
	Schema string `json:"schema"`
	// Shared is true for the shared schema.
	Shared bool `json:"shared"`
	// Applied is how many migrations were applied by this run.
	Applied int `json:"applied"`
	// Duration is how long they took.
	Duration time.Duration `json:"duration_ns"`
	// Error is what the last one failed with, as text; empty if none did.
	Error string `json:"error,omitempty"`
	// Err is the same as an error, usually an [*Error].
	Err error `json:"-"`
}

// Result is the outcome of a run.
type Result struct {
	Schemas []SchemaResult `json:"schemas"`
}

// Failed lists the schemas in which a migration failed.
func (r *Result) Failed() []SchemaResult {
	var failed []SchemaResult
	for _, s := range r.Schemas {
		if s.Err != nil {
			failed = append(failed, s)
		}
	}
	return failed
}

// Applied is the number of migrations that were applied, over all schemas.
func (r *Result) Applied() int {
	n := 0
	for _, s := range r.Schemas {
		n += s.Applied
	}
	return n
}

// Run applies a plan. A failure in the shared schema ends the run, as tenants may
// depend on it; a failure in one tenant does not keep the others from being done.
// Failures are in the result; the error is about the run itself: [ErrChanged],
// or the end of ctx.
//
// Each migration is a transaction with its row of the ledger. It looks again
// whether it is still pending, so a plan may be old.
func (m *Migrator) Run(ctx context.Context, plan *Plan, opts Options) (*Result, error) {
	if len(plan.Changed) > 0 && !opts.AllowChanged {
		c := plan.Changed[0]
		return nil, fmt.Errorf("%w: set %q version %d in schema %q (%d in all); restore the file and add a new migration instead", ErrChanged, c.Set, c.Version, c.Schema, len(plan.Changed))
	}
	result := &Result{Schemas: []SchemaResult{}}
	for _, sp := range plan.Schemas {
		if err := ctx.Err(); err != nil {
			return result, fmt.Errorf("migrate: stopped before schema %q: %w", sp.Schema, err)
		}
		sr := m.schema(ctx, sp)
		result.Schemas = append(result.Schemas, sr)
		if opts.OnSchema != nil {
			opts.OnSchema(sr)
		}
		if sr.Shared && sr.Err != nil {
			break
		}
	}
	return result, nil
}

// schema applies what is pending in one schema, up to the first failure.
func (m *Migrator) schema(ctx context.Context, sp SchemaPlan) SchemaResult {
	start := time.Now()
	sr := SchemaResult{Schema: sp.Schema, Shared: sp.Shared}
	for _, step := range sp.steps {
		did, err := m.step(ctx, sp, step)
		if err != nil {
			sr.Err, sr.Error = err, err.Error()
			break
		}
		if did {
			sr.Applied++
		}
	}
	sr.Duration = time.Since(start)
	return sr
}

// step applies one migration in a transaction of its own. It returns false if
// somebody else did it in the meantime.
func (m *Migrator) step(ctx context.Context, sp SchemaPlan, step script.Step) (did bool, err error) {
	conn, err := m.pool.Acquire(ctx)
	if err != nil {
		return false, fmt.Errorf("acquire a database connection: %w", err)
	}
	defer conn.Release()
	err = pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		runner, err := m.lock(ctx, tx, sp, step)
		if err != nil {
			return err
		}
		done, err := catalog.HasEntry(ctx, tx, sp.tenantID, step.Set, step.Migration.Version)
		if err != nil || done {
			return err
		}
		did = true
		if step.Migration.Up.NoTransaction {
			return runner.RunAlone(ctx, tx, m.pool.Config().ConnConfig, step)
		}
		if err := runner.Enter(ctx, tx); err != nil {
			return err
		}
		return runner.Run(ctx, tx, step)
	})
	if step.ChangesSession() {
		// What the script set would stay on the connection.
		_ = conn.Conn().Close(context.WithoutCancel(ctx))
	}
	return did && err == nil, err
}

// lock waits for the schema's lock and makes sure that it is still the schema
// that was planned for. A step outside of a transaction leaves the tenant's row
// alone, for the reason that [catalog.LockSchema] gives.
func (m *Migrator) lock(ctx context.Context, tx pgx.Tx, sp SchemaPlan, step script.Step) (script.Runner, error) {
	r := script.Runner{Settings: m.settings, TenantID: sp.tenantID, Schema: sp.Schema}
	if err := catalog.LockSchema(ctx, tx, sp.tenantID); err != nil {
		return r, err
	}
	if err := catalog.BecomeOwner(ctx, tx, m.settings); err != nil || sp.Shared {
		return r, err
	}
	find := catalog.LockForMigration
	if step.Migration.Up.NoTransaction {
		find = catalog.ByID
	}
	t, err := find(ctx, tx, sp.tenantID)
	if err != nil {
		return r, err
	}
	if !migrated(t.State) && !(sp.provisioning && t.State == catalog.Provisioning) {
		return r, fmt.Errorf("schema %q: its tenant is %s now and was left alone", t.Schema, t.State)
	}
	r.Schema = t.Schema // it may have been renamed
	return r, catalog.CheckSchemaOID(ctx, tx, t)
}

// migrated tells whether tenants in a state are migrated.
func migrated(state string) bool {
	return state != catalog.Provisioning && state != catalog.Archived && state != catalog.Trashed
}
