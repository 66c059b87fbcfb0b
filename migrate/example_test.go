package migrate_test

import (
	"context"
	"fmt"
	"log"
	"net/url"
	"os"
	"testing/fstest"

	"github.com/jackc/pgx/v5"

	"github.com/rowhouse/rowhouse/admin"
	"github.com/rowhouse/rowhouse/migrate"
)

// exampleDatabase makes a database on the tests' server. An application has its
// own.
func exampleDatabase(name string) string {
	server := os.Getenv("ROWHOUSE_TEST_SERVER")
	conn, err := pgx.Connect(context.Background(), server)
	if err != nil {
		log.Fatal(err)
	}
	defer conn.Close(context.Background())
	if _, err := conn.Exec(context.Background(), "CREATE DATABASE "+name); err != nil {
		log.Fatal(err)
	}
	u, err := url.Parse(server)
	if err != nil {
		log.Fatal(err)
	}
	u.Path = "/" + name
	return u.String()
}

func Example() {
	ctx := context.Background()
	// Usually embedded: //go:embed migrations/tenant/*.sql
	tickets := fstest.MapFS{
		"1_tickets.up.sql": {Data: []byte(`CREATE TABLE tickets (id bigint PRIMARY KEY, title text);`)},
		"2_status.up.sql":  {Data: []byte(`ALTER TABLE tickets ADD COLUMN status text NOT NULL DEFAULT 'open';`)},
	}
	database := exampleDatabase("migrate_example")
	operator, err := admin.Open(ctx, admin.Config{DatabaseURL: database})
	if err != nil {
		log.Fatal(err)
	}
	defer operator.Close()
	for _, schema := range []string{"acme", "beta"} { // before there were tickets
		if _, err := operator.Create(ctx, admin.CreateParams{Name: schema, Schema: schema}); err != nil {
			log.Fatal(err)
		}
	}

	deploy, err := admin.Open(ctx, admin.Config{
		DatabaseURL: database,
		Sets:        []migrate.Set{{Name: "tickets", Scope: migrate.Tenant, FS: tickets}},
	})
	if err != nil {
		log.Fatal(err)
	}
	defer deploy.Close()
	plan, err := deploy.Migrator().Plan(ctx, migrate.Target{})
	if err != nil {
		log.Fatal(err)
	}
	for _, s := range plan.Schemas {
		for _, p := range s.Pending {
			fmt.Println(s.Schema, "lacks", p.Set, p.Version, p.Name)
		}
	}
	result, err := deploy.Migrator().Run(ctx, plan, migrate.Options{})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("applied", result.Applied(), "failed", len(result.Failed()))
	// Output:
	// acme lacks tickets 1 tickets
	// acme lacks tickets 2 status
	// beta lacks tickets 1 tickets
	// beta lacks tickets 2 status
	// applied 4 failed 0
}
