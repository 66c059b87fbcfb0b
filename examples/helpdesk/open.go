package helpdesk

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/url"

	"github.com/rowhouse/rowhouse"
	"github.com/rowhouse/rowhouse/admin"
	"github.com/rowhouse/rowhouse/migrate"
)

//go:embed migrations
var migrationFiles embed.FS

// app is the help desk. Its handlers work through db; operator is for signing up
// companies, which a larger application would leave to another process.
type app struct {
	db       *rowhouse.DB
	operator *admin.Admin
	views    views
	log      *slog.Logger
}

// openApp brings the database up to date and opens both doors to it.
func openApp(ctx context.Context, d *database, log *slog.Logger) (_ *app, err error) {
	a := &app{log: log}
	if a.views, err = parseViews(); err != nil {
		return nil, err
	}
	if a.operator, err = openOperator(ctx, d); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			a.close()
		}
	}()
	if err := a.migrate(ctx); err != nil {
		return nil, err
	}
	if a.db, err = rowhouse.Open(ctx, rowhouse.Config{DatabaseURL: d.applicationURL}); err != nil {
		return nil, err
	}
	for _, gap := range a.db.WallGaps() {
		log.Warn("the wall between companies has a gap", "part", gap.Part, "means", gap.Means, "cure", gap.Cure)
	}
	return a, a.moveIn(ctx)
}

func (a *app) close() {
	if a.db != nil {
		a.db.Close()
	}
	a.operator.Close()
}

func openOperator(ctx context.Context, d *database) (*admin.Admin, error) {
	sets, err := migrationSets()
	if err != nil {
		return nil, err
	}
	cfg := admin.Config{DatabaseURL: d.operatorURL, Sets: sets, Actor: "helpdesk"}
	if d.applicationURL != d.operatorURL {
		u, err := url.Parse(d.applicationURL)
		if err != nil {
			return nil, fmt.Errorf("read the application's database URL: %w", err)
		}
		cfg.AppLogins = []string{u.User.Username()}
	}
	return admin.Open(ctx, cfg)
}

// migrationSets are the tables that all companies see, and those that each has.
func migrationSets() ([]migrate.Set, error) {
	shared, err := fs.Sub(migrationFiles, "migrations/shared")
	if err != nil {
		return nil, fmt.Errorf("read migrations: %w", err)
	}
	tenant, err := fs.Sub(migrationFiles, "migrations/tenant")
	if err != nil {
		return nil, fmt.Errorf("read migrations: %w", err)
	}
	return []migrate.Set{
		{Name: "plans", Scope: migrate.Shared, FS: shared},
		{Name: "desk", Scope: migrate.Tenant, FS: tenant},
	}, nil
}

// migrate applies what an older help desk in the same database did not know. One
// company whose migration fails does not keep the others closed.
func (a *app) migrate(ctx context.Context) error {
	plan, err := a.operator.Migrator().Plan(ctx, migrate.Target{})
	if err != nil {
		return fmt.Errorf("plan migrations: %w", err)
	}
	result, err := a.operator.Migrator().Run(ctx, plan, migrate.Options{})
	if err != nil {
		return err
	}
	for _, failed := range result.Failed() {
		if failed.Shared {
			return fmt.Errorf("migrate the shared schema: %w", failed.Err)
		}
		a.log.Error("migration failed", "schema", failed.Schema, "error", failed.Err)
	}
	return nil
}

// moveIn makes sure that the first companies are there, with something to see.
func (a *app) moveIn(ctx context.Context) error {
	for _, c := range firstCompanies() {
		_, err := a.operator.Create(ctx, admin.CreateParams{
			Name: c.name, Schema: c.schema, Domains: []string{c.address + "." + publicHost}, Metadata: profile{Accent: c.accent},
		})
		if err != nil && !errors.Is(err, admin.ErrSchemaTaken) && !errors.Is(err, admin.ErrDomainTaken) {
			return fmt.Errorf("create the company %s: %w", c.name, err)
		}
		tenant, err := a.db.TenantBySchema(ctx, c.schema)
		if errors.Is(err, rowhouse.ErrUnknownTenant) || err == nil && tenant.State != rowhouse.StateActive {
			continue // somebody did something else with it, which is their right
		}
		if err != nil {
			return err
		}
		if err := a.seed(rowhouse.WithTenant(ctx, tenant), c); err != nil {
			return fmt.Errorf("write the first tickets of %s: %w", c.name, err)
		}
	}
	return nil
}
