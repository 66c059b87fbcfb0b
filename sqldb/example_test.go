package sqldb_test

import (
	"context"
	"fmt"
	"log"
	"testing/fstest"

	"github.com/rowhouse/rowhouse"
	"github.com/rowhouse/rowhouse/admin"
	"github.com/rowhouse/rowhouse/embedded"
	"github.com/rowhouse/rowhouse/migrate"
	"github.com/rowhouse/rowhouse/sqldb"
)

func Example() {
	ctx := context.Background()
	server, err := embedded.Start(ctx, embedded.Config{})
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = server.Stop(ctx) }()
	url := server.URL("postgres")
	operator, err := admin.Open(ctx, admin.Config{DatabaseURL: url, Sets: []migrate.Set{
		{Name: "desk", Scope: migrate.Tenant, FS: fstest.MapFS{"1_tickets.up.sql": {Data: []byte(`CREATE TABLE tickets (title text)`)}}},
	}})
	if err != nil {
		log.Fatal(err)
	}
	defer operator.Close()
	if _, err := operator.Create(ctx, admin.CreateParams{Name: "Acme", Schema: "acme"}); err != nil {
		log.Fatal(err)
	}
	db, err := rowhouse.Open(ctx, rowhouse.Config{DatabaseURL: url})
	if err != nil {
		log.Fatal(err)
	}
	defer db.Close()

	std := sqldb.New(db) // for GORM, ent, bun, sqlx …
	defer func() { _ = std.Close() }()
	acme, err := db.TenantBySchema(ctx, "acme")
	if err != nil {
		log.Fatal(err)
	}
	ctx = rowhouse.WithTenant(ctx, acme)
	if _, err := std.ExecContext(ctx, "INSERT INTO tickets VALUES ($1)", "paper jam"); err != nil {
		log.Fatal(err)
	}
	var title string
	fmt.Println(std.QueryRowContext(ctx, "SELECT title FROM tickets").Scan(&title), title)
	// Output: <nil> paper jam
}
