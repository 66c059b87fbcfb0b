// Package entdesk is the desk with ent's driver and query builder. The client that
// ent generates from a schema takes the same driver:
//
//	client := ent.NewClient(ent.Driver(entsql.OpenDB(dialect.Postgres, sqldb.New(db))))
package entdesk

import (
	"context"
	"database/sql"
	"errors"

	"entgo.io/ent/dialect"
	entsql "entgo.io/ent/dialect/sql"

	"github.com/rowhouse/rowhouse"
	"github.com/rowhouse/rowhouse/examples/orm"
	"github.com/rowhouse/rowhouse/sqldb"
)

// Desk is an [orm.Desk].
type Desk struct{ driver *entsql.Driver }

// New makes a desk.
func New(db *rowhouse.DB) *Desk {
	return &Desk{entsql.OpenDB(dialect.Postgres, sqldb.New(db))}
}

// Create files a ticket.
func (d *Desk) Create(ctx context.Context, title string) error {
	return create(ctx, d.driver, title)
}

func create(ctx context.Context, db dialect.ExecQuerier, title string) error {
	query, args := entsql.Dialect(dialect.Postgres).Insert("tickets").Columns("title").Values(title).Query()
	var result sql.Result
	return db.Exec(ctx, query, args, &result)
}

// CreateAll files all tickets or none.
func (d *Desk) CreateAll(ctx context.Context, titles ...string) error {
	tx, err := d.driver.Tx(ctx)
	if err != nil {
		return err
	}
	for _, title := range titles {
		if err := create(ctx, tx, title); err != nil {
			return errors.Join(err, tx.Rollback())
		}
	}
	return tx.Commit()
}

// Titles lists all tickets.
func (d *Desk) Titles(ctx context.Context) ([]string, error) {
	builder := entsql.Dialect(dialect.Postgres)
	query, args := builder.Select("title").From(builder.Table("tickets")).OrderBy("id").Query()
	var rows entsql.Rows
	if err := d.driver.Query(ctx, query, args, &rows); err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }()
	var titles []string
	err := entsql.ScanSlice(&rows, &titles)
	return titles, errors.Join(err, rows.Err())
}

// Spy names another schema.
func (d *Desk) Spy(ctx context.Context, schema string) error {
	return d.driver.Exec(ctx, orm.SpySQL(schema), []any{}, nil)
}
