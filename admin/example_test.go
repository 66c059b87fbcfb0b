package admin_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net/url"
	"os"
	"testing/fstest"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/rowhouse/rowhouse"
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
	database := exampleDatabase("admin_example")
	operator, err := admin.Open(ctx, admin.Config{
		DatabaseURL: database,
		Sets: []migrate.Set{{Name: "desk", Scope: migrate.Tenant, FS: fstest.MapFS{
			"1_tickets.up.sql": {Data: []byte(`CREATE TABLE tickets (id bigint GENERATED ALWAYS AS IDENTITY, title text NOT NULL);`)},
		}}},
	})
	if err != nil {
		log.Fatal(err)
	}
	defer operator.Close()

	acme, err := operator.Create(ctx, admin.CreateParams{
		Name: "Acme Limited", Schema: "acme", Domains: []string{"Acme.Example.COM"},
		Metadata: map[string]any{"plan": "gold"},
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(acme.Name, acme.Schema, acme.Domain, acme.State)

	_, err = operator.Create(ctx, admin.CreateParams{Name: "Another", Schema: "acme"})
	fmt.Println("taken:", errors.Is(err, admin.ErrSchemaTaken))
	// Output:
	// Acme Limited acme acme.example.com active
	// taken: true
}

func ExampleAdmin_Purge() {
	ctx := context.Background()
	operator, err := admin.Open(ctx, admin.Config{DatabaseURL: exampleDatabase("purge_example")})
	if err != nil {
		log.Fatal(err)
	}
	defer operator.Close()
	if _, err := operator.Create(ctx, admin.CreateParams{Name: "Acme", Schema: "acme"}); err != nil {
		log.Fatal(err)
	}

	var refused *admin.StateError
	fmt.Println("refused:", errors.As(operator.Purge(ctx, "acme"), &refused)) // it is in use

	if _, err := operator.Delete(ctx, "acme"); err != nil { // hides it, and can be undone
		log.Fatal(err)
	}
	if err := operator.Purge(ctx, "acme"); err != nil { // for good
		log.Fatal(err)
	}
	_, err = operator.Tenant(ctx, "acme")
	fmt.Println("gone:", errors.Is(err, rowhouse.ErrUnknownTenant))
	// Output:
	// refused: true
	// gone: true
}

func ExampleAdmin_Rename() {
	ctx := context.Background()
	operator, err := admin.Open(ctx, admin.Config{DatabaseURL: exampleDatabase("rename_example")})
	if err != nil {
		log.Fatal(err)
	}
	defer operator.Close()
	if _, err := operator.Create(ctx, admin.CreateParams{Name: "Acme", Schema: "acme", Domains: []string{"acme.example.com"}}); err != nil {
		log.Fatal(err)
	}

	renamed, err := operator.Rename(ctx, "acme", "apex")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(renamed.Schema, renamed.Domain, renamed.State)
	_, err = operator.Tenant(ctx, "acme")
	fmt.Println("the old name is free:", errors.Is(err, rowhouse.ErrUnknownTenant))
	// Output:
	// apex acme.example.com active
	// the old name is free: true
}

func ExampleIsolationError() {
	ctx := context.Background()
	database := exampleDatabase("isolation_example")
	operator, err := admin.Open(ctx, admin.Config{DatabaseURL: database, Isolation: admin.IsolationSearchPath})
	if err != nil {
		log.Fatal(err)
	}
	operator.Close()

	_, err = admin.Open(ctx, admin.Config{DatabaseURL: database, Isolation: admin.IsolationRoles})
	var other *admin.IsolationError
	fmt.Println(errors.As(err, &other), other.Catalog, other.Asked)
	// Output:
	// true search_path roles
}

func ExampleAdmin_SetLimits() {
	ctx := context.Background()
	operator, err := admin.Open(ctx, admin.Config{DatabaseURL: exampleDatabase("limits_example")})
	if err != nil {
		log.Fatal(err)
	}
	defer operator.Close()
	if _, err := operator.Create(ctx, admin.CreateParams{Name: "Acme", Schema: "acme", Kind: "free"}); err != nil {
		log.Fatal(err)
	}

	// Tenants of kind "free" share the house with everybody; acme may work for longer.
	_, err = operator.SetLimits(ctx, admin.LimitScope{Kind: "free"}, admin.LimitsOverride{
		Connections: new(2), Waiting: new(20), StatementTimeout: new(5 * time.Second),
	})
	if err != nil {
		log.Fatal(err)
	}
	_, err = operator.SetLimits(ctx, admin.LimitScope{Schema: "acme"}, admin.LimitsOverride{StatementTimeout: new(time.Minute)})
	if err != nil {
		log.Fatal(err)
	}

	limits, err := operator.TenantLimits(ctx, "acme")
	if err != nil {
		log.Fatal(err)
	}
	effective := limits.Effective(rowhouse.Limits{Wait: time.Second}) // of rowhouse.Config
	fmt.Println(effective.Connections, effective.Waiting, effective.Wait, effective.StatementTimeout)
	// Output: 2 20 1s 1m0s
}
