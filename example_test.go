package rowhouse_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"testing/fstest"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/rowhouse/rowhouse"
	"github.com/rowhouse/rowhouse/admin"
	"github.com/rowhouse/rowhouse/embedded"
	"github.com/rowhouse/rowhouse/migrate"
)

// twoDesks starts a PostgreSQL with two tenants, acme and globex, each with a
// table tickets, and a shared table plans. An application has its migrations in
// directories and its server elsewhere.
func twoDesks(ctx context.Context) (db *rowhouse.DB, stop func()) {
	server, err := embedded.Start(ctx, embedded.Config{})
	if err != nil {
		log.Fatal(err)
	}
	url := server.URL("postgres")
	operator, err := admin.Open(ctx, admin.Config{DatabaseURL: url, Sets: []migrate.Set{
		{Name: "plans", Scope: migrate.Shared, FS: fstest.MapFS{
			"1_plans.up.sql": {Data: []byte(`CREATE TABLE plans (id text PRIMARY KEY); INSERT INTO plans VALUES ('free')`)}}},
		{Name: "desk", Scope: migrate.Tenant, FS: fstest.MapFS{
			"1_tickets.up.sql": {Data: []byte(`CREATE TABLE tickets (title text NOT NULL, plan text REFERENCES plans)`)}}},
	}})
	if err != nil {
		log.Fatal(err)
	}
	defer operator.Close()
	plan, err := operator.Migrator().Plan(ctx, migrate.Target{})
	if err != nil {
		log.Fatal(err)
	}
	if _, err := operator.Migrator().Run(ctx, plan, migrate.Options{}); err != nil {
		log.Fatal(err)
	}
	for _, s := range []string{"acme", "globex"} {
		if _, err := operator.Create(ctx, admin.CreateParams{Name: s, Schema: s, Domains: []string{s + ".example.com"}}); err != nil {
			log.Fatal(err)
		}
	}
	db, err = rowhouse.Open(ctx, rowhouse.Config{DatabaseURL: url})
	if err != nil {
		log.Fatal(err)
	}
	return db, func() { db.Close(); _ = server.Stop(ctx) }
}

func Example() {
	ctx := context.Background()
	db, stop := twoDesks(ctx)
	defer stop()

	// Which tenant it is comes with the context; package tenanthttp puts it
	// there for a request.
	acme, err := db.TenantByDomain(ctx, "acme.example.com")
	if err != nil {
		log.Fatal(err)
	}
	ctx = rowhouse.WithTenant(ctx, acme)

	if _, err := db.Exec(ctx, "INSERT INTO tickets (title) VALUES ($1)", "the printer is out of paper"); err != nil {
		log.Fatal(err)
	}
	rows, _ := db.Query(ctx, "SELECT title FROM tickets")
	titles, err := pgx.CollectRows(rows, pgx.RowTo[string])
	fmt.Println(titles, err)

	// Raw SQL does not get at another tenant's rows.
	_, err = db.Exec(ctx, "SELECT * FROM globex.tickets")
	var refused *pgconn.PgError
	fmt.Println(errors.As(err, &refused), refused.Code)

	// And without a tenant nothing runs.
	_, err = db.Exec(context.Background(), "SELECT * FROM tickets")
	fmt.Println(errors.Is(err, rowhouse.ErrNoTenant))

	// Output:
	// [the printer is out of paper] <nil>
	// true 42501
	// true
}

func ExampleWithShared() {
	ctx := context.Background()
	db, stop := twoDesks(ctx)
	defer stop()

	var plan string
	err := db.QueryRow(rowhouse.WithShared(ctx), "SELECT id FROM plans").Scan(&plan)
	fmt.Println(plan, err)
	// Output: free <nil>
}

func ExampleDB_InTx() {
	ctx := context.Background()
	db, stop := twoDesks(ctx)
	defer stop()
	acme, err := db.TenantBySchema(ctx, "acme")
	if err != nil {
		log.Fatal(err)
	}
	ctx = rowhouse.WithTenant(ctx, acme)

	tooMany := errors.New("too many tickets")
	err = db.InTx(ctx, func(tx pgx.Tx) error {
		for _, title := range []string{"paper jam", "toner low"} {
			if _, err := tx.Exec(ctx, "INSERT INTO tickets (title) VALUES ($1)", title); err != nil {
				return err
			}
		}
		return tooMany // rolls back
	})
	var n int
	if err := db.QueryRow(ctx, "SELECT count(*) FROM tickets").Scan(&n); err != nil {
		log.Fatal(err)
	}
	fmt.Println(err, n)
	// Output: too many tickets 0
}
