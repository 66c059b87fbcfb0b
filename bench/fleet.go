package main

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"testing/fstest"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/rowhouse/rowhouse"
	"github.com/rowhouse/rowhouse/admin"
	"github.com/rowhouse/rowhouse/embedded"
	"github.com/rowhouse/rowhouse/migrate"
)

// connections is the budget of every contestant.
const connections = 16

// workers is how many goroutines ask at once.
const workers = 16

// bench is a server with tenants.
type bench struct {
	options
	server   *embedded.Server
	operator string // URL of the superuser
	app      string // URL of the application's login
	schemas  []string
	contexts []context.Context // of the tenants, in the same order; filled by db
}

func newBench(ctx context.Context, o options) (*bench, error) {
	server, err := embedded.Start(ctx, embedded.Config{Parameters: map[string]string{
		"fsync": "off", "full_page_writes": "off", "synchronous_commit": "off",
		"max_connections": "200", "shared_buffers": "512MB",
	}})
	if err != nil {
		return nil, err
	}
	b := &bench{options: o, server: server, operator: server.URL("postgres")}
	if err := b.build(ctx); err != nil {
		b.close()
		return nil, err
	}
	return b, nil
}

func (b *bench) close() { _ = b.server.Stop(context.Background()) }

// build makes the tenants: ten tables each, with a row in the one that is read.
func (b *bench) build(ctx context.Context) error {
	conn, err := pgx.Connect(ctx, b.operator)
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	if _, err := conn.Exec(ctx, `CREATE ROLE app LOGIN PASSWORD 'app'`); err != nil {
		return err
	}
	u, err := url.Parse(b.operator)
	if err != nil {
		return err
	}
	u.User = url.UserPassword("app", "app")
	b.app = u.String()
	a, err := admin.Open(ctx, admin.Config{DatabaseURL: b.operator, AppLogins: []string{"app"}, Sets: []migrate.Set{
		{Name: "app", Scope: migrate.Tenant, FS: fstest.MapFS{"1_tables.up.sql": {Data: []byte(tables())}}},
	}})
	if err != nil {
		return err
	}
	defer a.Close()
	start := time.Now()
	for i := range b.tenants {
		schema := fmt.Sprintf("t%05d", i)
		if _, err := a.Create(ctx, admin.CreateParams{Name: schema, Schema: schema}); err != nil {
			return err
		}
		b.schemas = append(b.schemas, schema)
	}
	took := time.Since(start)
	fmt.Fprintf(os.Stderr, "%d tenants of ten tables made, %.0f a second\n", b.tenants, float64(b.tenants)/took.Seconds())
	_, err = conn.Exec(ctx, `VACUUM ANALYZE`)
	if err != nil {
		return err
	}
	// Plain pgx reads as somebody who may read everything.
	_, err = conn.Exec(ctx, `GRANT pg_read_all_data TO CURRENT_USER`)
	return err
}

func tables() string {
	sql := ""
	for i := range 10 {
		sql += fmt.Sprintf(`CREATE TABLE m%d (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name text NOT NULL, amount int NOT NULL DEFAULT 0, at timestamptz NOT NULL DEFAULT now()); CREATE INDEX ON m%d (name);`, i, i)
		if i > 0 {
			sql += fmt.Sprintf(`ALTER TABLE m%d ADD COLUMN parent bigint REFERENCES m0;`, i)
		}
	}
	return sql + `INSERT INTO m0 (name) SELECT current_schema() || ' ' || i FROM generate_series(1, 100) i;`
}

// db opens rowhouse and looks all tenants up.
func (b *bench) db(ctx context.Context, url string) (*rowhouse.DB, error) {
	db, err := rowhouse.Open(ctx, rowhouse.Config{DatabaseURL: url, MaxConns: connections})
	if err != nil {
		return nil, err
	}
	b.contexts = b.contexts[:0]
	for _, schema := range b.schemas {
		t, err := db.TenantBySchema(ctx, schema)
		if err != nil {
			db.Close()
			return nil, err
		}
		b.contexts = append(b.contexts, rowhouse.WithTenant(ctx, t))
	}
	return db, nil
}
