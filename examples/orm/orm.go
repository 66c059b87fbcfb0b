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
	"errors"
	"time"

	"github.com/google/uuid"
	"github.com/shopspring/decimal"
)

// sqlc's version is in the files that it generates.
//go:generate go run github.com/sqlc-dev/sqlc/cmd/sqlc@v1.31.1 generate

// Migrations hold the tenants' tables. sqlc reads them too.
//
//go:embed migrations/*.sql
var Migrations embed.FS

// ErrNotNested is the error of [Desk.InTx] in a transaction, for libraries that have
// no nested ones.
var ErrNotNested = errors.New("orm: a transaction in a transaction")

// ErrNotFound is the error of [Desk.Rename] for a ticket that the tenant has not.
var ErrNotFound = errors.New("orm: no such ticket")

// Desk is the application.
type Desk interface {
	// Create files a ticket and returns its ID, which the database gives. A title
	// must not be empty.
	Create(ctx context.Context, title string) (int64, error)
	// Rename changes the title of a ticket, or returns ErrNotFound.
	Rename(ctx context.Context, ticket int64, title string) error
	// Comment adds comments to a ticket, in one statement.
	Comment(ctx context.Context, ticket int64, bodies ...string) error
	// Tickets are all tickets with their comments, oldest first, loaded as the
	// library loads relations.
	Tickets(ctx context.Context) ([]Ticket, error)
	// Register enters a device, or changes the one of that serial, and returns its
	// ID.
	Register(ctx context.Context, d Device) (int64, error)
	// Devices are those of some serials, by ID.
	Devices(ctx context.Context, serials ...uuid.UUID) ([]Device, error)
	// InTx runs work in one transaction: all of it is done, or nothing. Work on the
	// desk that it gets is work in the transaction. In a transaction it is a
	// savepoint, or ErrNotNested.
	InTx(ctx context.Context, work func(ctx context.Context, desk Desk) error) error
	// Text runs SQL as it is and returns the text in the first row.
	Text(ctx context.Context, sql string) (string, error)
}

// Ticket is what Tickets returns.
type Ticket struct {
	ID        int64
	Title     string
	CreatedAt time.Time
	Comments  []string
}

// Device has a column of each kind that libraries treat in their own way.
type Device struct {
	ID     int64
	Serial uuid.UUID
	Labels []string        // text[]
	Specs  Specs           // jsonb
	Price  decimal.Decimal // numeric(12,2)
	Bought time.Time       // date
	SeenAt *time.Time      // timestamptz, or NULL
}

// Specs are a JSON document.
type Specs struct {
	CPU   string         `json:"cpu"`
	Ports []int          `json:"ports"`
	More  map[string]any `json:"more,omitempty"`
}
