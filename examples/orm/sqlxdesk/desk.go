// Package sqlxdesk is the desk with sqlx.
package sqlxdesk

import (
	"context"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/rowhouse/rowhouse"
	"github.com/rowhouse/rowhouse/examples/orm"
	"github.com/rowhouse/rowhouse/sqldb"
)

type ticket struct {
	ID        int64     `db:"id"`
	Title     string    `db:"title"`
	CreatedAt time.Time `db:"created_at"`
}

const insert = `INSERT INTO tickets (title) VALUES (:title)`

// Desk is an [orm.Desk].
type Desk struct{ db *sqlx.DB }

// New makes a desk. The name "pgx" tells sqlx how placeholders look.
func New(db *rowhouse.DB) *Desk { return &Desk{sqlx.NewDb(sqldb.New(db), "pgx")} }

// Create files a ticket.
func (d *Desk) Create(ctx context.Context, title string) error {
	_, err := d.db.NamedExecContext(ctx, insert, ticket{Title: title})
	return err
}

// CreateAll files all tickets or none.
func (d *Desk) CreateAll(ctx context.Context, titles ...string) error {
	tx, err := d.db.BeginTxx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }() // after Commit it does nothing
	stmt, err := tx.PrepareNamedContext(ctx, insert)
	if err != nil {
		return err
	}
	for _, title := range titles {
		if _, err := stmt.ExecContext(ctx, ticket{Title: title}); err != nil {
			return err
		}
	}
	return tx.Commit()
}

// Titles lists all tickets.
func (d *Desk) Titles(ctx context.Context) ([]string, error) {
	var found []ticket
	if err := d.db.SelectContext(ctx, &found, `SELECT * FROM tickets ORDER BY id`); err != nil {
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
