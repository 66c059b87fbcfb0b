// Package sqlcstd is the desk with sqlc's database/sql flavour.
package sqlcstd

import (
	"context"
	"database/sql"

	"github.com/rowhouse/rowhouse"
	"github.com/rowhouse/rowhouse/examples/orm"
	"github.com/rowhouse/rowhouse/examples/orm/sqlcstd/tickets"
	"github.com/rowhouse/rowhouse/sqldb"
)

// Desk is an [orm.Desk].
type Desk struct {
	db      *sql.DB
	queries *tickets.Queries
}

// New makes a desk.
func New(db *rowhouse.DB) *Desk {
	std := sqldb.New(db)
	return &Desk{std, tickets.New(std)}
}

// Create files a ticket.
func (d *Desk) Create(ctx context.Context, title string) error {
	_, err := d.queries.CreateTicket(ctx, title)
	return err
}

// CreateAll files all tickets or none.
func (d *Desk) CreateAll(ctx context.Context, titles ...string) error {
	tx, err := d.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }() // after Commit it does nothing
	queries := d.queries.WithTx(tx)
	for _, title := range titles {
		if _, err := queries.CreateTicket(ctx, title); err != nil {
			return err
		}
	}
	return tx.Commit()
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
	_, err := d.db.ExecContext(ctx, orm.SpySQL(schema))
	return err
}
