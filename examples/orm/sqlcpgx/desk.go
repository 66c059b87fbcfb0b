// Package sqlcpgx is the desk with sqlc's pgx flavour: its generated code takes a
// rowhouse.DB and its transactions as they are.
package sqlcpgx

import (
	"context"

	"github.com/jackc/pgx/v5"

	"github.com/rowhouse/rowhouse"
	"github.com/rowhouse/rowhouse/examples/orm"
	"github.com/rowhouse/rowhouse/examples/orm/sqlcpgx/tickets"
)

// Desk is an [orm.Sorter].
type Desk struct {
	db      *rowhouse.DB
	queries *tickets.Queries
}

// New makes a desk.
func New(db *rowhouse.DB) *Desk { return &Desk{db, tickets.New(db)} }

// Create files a ticket.
func (d *Desk) Create(ctx context.Context, title string) error {
	_, err := d.queries.CreateTicket(ctx, title)
	return err
}

// CreateAll files all tickets or none.
func (d *Desk) CreateAll(ctx context.Context, titles ...string) error {
	return d.db.InTx(ctx, func(tx pgx.Tx) error {
		queries := d.queries.WithTx(tx)
		for _, title := range titles {
			if _, err := queries.CreateTicket(ctx, title); err != nil {
				return err
			}
		}
		return nil
	})
}

// CreateSome files the tickets that have a title.
func (d *Desk) CreateSome(ctx context.Context, titles ...string) error {
	return d.db.InTx(ctx, func(tx pgx.Tx) error {
		for _, title := range titles {
			// What failed is rolled back to the savepoint, and left out.
			_ = pgx.BeginFunc(ctx, tx, func(inner pgx.Tx) error {
				_, err := d.queries.WithTx(inner).CreateTicket(ctx, title)
				return err
			})
		}
		return nil
	})
}

// Titles lists all tickets.
func (d *Desk) Titles(ctx context.Context) ([]string, error) {
	found, err := d.queries.ListTickets(ctx)
	if err != nil {
		return nil, err
	}
	var titles []string
	for _, t := range found {
		titles = append(titles, t.Title)
	}
	return titles, nil
}

// Spy names another schema.
func (d *Desk) Spy(ctx context.Context, schema string) error {
	_, err := d.db.Exec(ctx, orm.SpySQL(schema))
	return err
}
