package main

import (
	"context"
	"fmt"
	"io"
	"net/url"
	"testing/fstest"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/rowhouse/rowhouse/admin"
	"github.com/rowhouse/rowhouse/embedded"
	"github.com/rowhouse/rowhouse/migrate"
)

// connections is the budget of every contestant.
const connections = 16

// bench is a server with tenants.
type bench struct {
	options
	people   io.Writer // what is not a figure goes here
	server   *embedded.Server
	operator string // URL of the superuser
	app      string // URL of the application's login
	reader   string // URL of a login that may read every tenant
	schemas  []string
}

func newBench(ctx context.Context, o options, people io.Writer) (*bench, error) {
	server, err := embedded.Start(ctx, embedded.Config{Parameters: map[string]string{
		"fsync": "off", "full_page_writes": "off", "synchronous_commit": "off",
		"max_connections": "300", "shared_buffers": "512MB",
	}})
	if err != nil {
		return nil, err
	}
	b := &bench{options: o, people: people, server: server, operator: server.URL("postgres")}
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
	if _, err := conn.Exec(ctx, `CREATE ROLE app LOGIN PASSWORD 'app'; CREATE ROLE reader LOGIN PASSWORD 'reader'`); err != nil {
		return err
	}
	if b.app, err = b.as("app"); err != nil {
		return err
	}
	if b.reader, err = b.as("reader"); err != nil {
		return err
	}
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
	fmt.Fprintf(b.people, "%d tenants of ten tables made, %.0f a second\n", b.tenants, float64(b.tenants)/took.Seconds())
	// Plain pgx reads as an ordinary login, as an application would: a superuser's
	// privileges are not looked at.
	for _, schema := range b.schemas {
		if _, err := conn.Exec(ctx, `GRANT USAGE ON SCHEMA `+schema+` TO reader; GRANT SELECT ON `+schema+`.m0 TO reader`); err != nil {
			return err
		}
	}
	_, err = conn.Exec(ctx, `VACUUM ANALYZE`)
	return err
}

// as is the server's URL with a login whose password is its name.
func (b *bench) as(login string) (string, error) {
	u, err := url.Parse(b.operator)
	if err != nil {
		return "", err
	}
	u.User = url.UserPassword(login, login)
	return u.String(), nil
}

func tables() string {
	sql := ""
	for i := range 10 {
		sql += fmt.Sprintf(`CREATE TABLE m%d (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name text NOT NULL, amount int NOT NULL DEFAULT 0, at timestamptz NOT NULL DEFAULT now()); CREATE INDEX ON m%d (name);`, i, i)
		if i > 0 {
			sql += fmt.Sprintf(`ALTER TABLE m%d ADD COLUMN parent bigint REFERENCES m0;`, i)
		}
	}
	return sql + fmt.Sprintf(`INSERT INTO m0 (name) SELECT current_schema() || ' ' || i FROM generate_series(1, %d) i;`, rowsPerTenant)
}
