// Package bundesk is the desk with bun.
//
// bun writes arguments into the text of a statement, so every statement is a new
// one to PostgreSQL: it costs two round trips and a place in the statement cache.
package bundesk

import (
	"context"
	"database/sql"
	"time"

	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect/pgdialect"

	"github.com/rowhouse/rowhouse"
	"github.com/rowhouse/rowhouse/examples/orm"
	"github.com/rowhouse/rowhouse/sqldb"
)

// ticket is a row of table tickets.
type ticket struct {
	bun.BaseModel `bun:"table:tickets"`

	ID        int64 `bun:",pk,autoincrement"`
	Title     string
	CreatedAt time.Time `bun:",nullzero,default:current_timestamp"`
}

// Desk is an [orm.Sorter].
type Desk struct{ db *bun.DB }

// New makes a desk.
func New(db *rowhouse.DB) *Desk { return &Desk{bun.NewDB(sqldb.New(db), pgdialect.New())} }

// Create files a ticket.
func (d *Desk) Create(ctx context.Context, title string) error {
	return create(ctx, d.db, title)
}

func create(ctx context.Context, db bun.IDB, title string) error {
	_, err := db.NewInsert().Model(&ticket{Title: title}).Exec(ctx)
	return err
}

// CreateAll files all tickets or none.
func (d *Desk) CreateAll(ctx context.Context, titles ...string) error {
	return d.db.RunInTx(ctx, &sql.TxOptions{}, func(ctx context.Context, tx bun.Tx) error {
		for _, title := range titles {
			if err := create(ctx, tx, title); err != nil {
				return err
			}
		}
		return nil
	})
}

// CreateSome files the tickets that have a title.
func (d *Desk) CreateSome(ctx context.Context, titles ...string) error {
	return d.db.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
		for _, title := range titles {
			// What failed is rolled back to the savepoint, and left out.
			_ = tx.RunInTx(ctx, nil, func(ctx context.Context, inner bun.Tx) error {
				return create(ctx, inner, title)
			})
		}
		return nil
	})
}

// Titles lists all tickets.
func (d *Desk) Titles(ctx context.Context) ([]string, error) {
	var found []ticket
	if err := d.db.NewSelect().Model(&found).Order("id").Scan(ctx); err != nil {
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
