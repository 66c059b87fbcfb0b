// Package orm is one small application written six times: with sqlc (both of its
// flavours), GORM, bun, ent and sqlx. None of them knows about tenants; the context
// carries the tenant, and the tests prove that each sees its own rows only.
//
// What differs from an application with one tenant is one line in each package:
// where a *sql.DB is asked for it gets sqldb.New(db), and sqlc's pgx flavour takes
// the rowhouse.DB as it is.
package orm

import (
	"context"
	"embed"
)

// Migrations hold the tenants' tables. sqlc reads them too.
//
//go:embed migrations/*.sql
var Migrations embed.FS

// Desk is the application.
type Desk interface {
	// Create files a ticket.
	Create(ctx context.Context, title string) error
	// CreateAll files tickets in one transaction: all of them, or none if one
	// has no title.
	CreateAll(ctx context.Context, titles ...string) error
	// Titles are those of all tickets, oldest first.
	Titles(ctx context.Context) ([]string, error)
	// Spy runs SQL that names a schema, which no application should do. It is
	// here to meet the wall.
	Spy(ctx context.Context, schema string) error
}

// Sorter is a Desk whose library has nested transactions.
type Sorter interface {
	Desk
	// CreateSome files tickets in one transaction, each in one of its own within
	// it: those without a title are left out.
	CreateSome(ctx context.Context, titles ...string) error
}

// SpySQL reads the tickets of a schema, whose name is not checked.
func SpySQL(schema string) string { return `SELECT title FROM ` + schema + `.tickets` }
