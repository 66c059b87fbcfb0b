package sqldb

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/rowhouse/rowhouse"
)

var (
	errNoContext = errors.New("sqldb: a call without a context has no tenant; use the Context form")
	errNested    = errors.New("sqldb: the connection is in a transaction already; nest with SAVEPOINT")
	errMixed     = errors.New("sqldb: some arguments are named and some are not")
)

// querier is what statements are sent through: the DB, or a transaction.
type querier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
	Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error)
}

// conn is a connection in database/sql's eyes. It holds a connection of PostgreSQL
// only through tx, or through rows that it gave out.
type conn struct {
	db *rowhouse.DB
	tx *tx // nil outside of transactions
}

var (
	_ driver.ConnBeginTx        = (*conn)(nil)
	_ driver.ConnPrepareContext = (*conn)(nil)
	_ driver.ExecerContext      = (*conn)(nil)
	_ driver.QueryerContext     = (*conn)(nil)
	_ driver.NamedValueChecker  = (*conn)(nil)
	_ driver.Pinger             = (*conn)(nil)
	_ driver.SessionResetter    = (*conn)(nil)
	_ driver.Validator          = (*conn)(nil)
)

func (c *conn) querier() querier {
	if c.tx != nil {
		return c.tx.innermost()
	}
	return c.db
}

// QueryContext runs a statement as the tenant of ctx and returns its rows.
func (c *conn) QueryContext(ctx context.Context, query string, named []driver.NamedValue) (driver.Rows, error) {
	if c.tx != nil && len(named) == 0 {
		if done, err := c.tx.savepoint(ctx, query); done {
			return noRows{}, err
		}
	}
	args, err := arguments(named)
	if err != nil {
		return nil, err
	}
	found, err := c.querier().Query(ctx, query, args...)
	if err != nil {
		return nil, plainError(err)
	}
	return newRows(found)
}

// ExecContext runs a statement as the tenant of ctx.
func (c *conn) ExecContext(ctx context.Context, query string, named []driver.NamedValue) (driver.Result, error) {
	if c.tx != nil && len(named) == 0 {
		if done, err := c.tx.savepoint(ctx, query); done {
			return driver.RowsAffected(0), err
		}
	}
	args, err := arguments(named)
	if err != nil {
		return nil, err
	}
	tag, err := c.querier().Exec(ctx, query, args...)
	if err != nil {
		return nil, plainError(err)
	}
	return driver.RowsAffected(tag.RowsAffected()), nil
}

// arguments are database/sql's as pgx takes them. Named ones become one
// [pgx.NamedArgs].
func arguments(named []driver.NamedValue) ([]any, error) {
	args := make([]any, len(named))
	byName := pgx.NamedArgs{}
	for i, v := range named {
		args[i] = v.Value
		if v.Name != "" {
			byName[v.Name] = v.Value
		}
	}
	switch {
	case len(byName) == 0:
		return args, nil
	case len(byName) < len(args):
		return nil, fmt.Errorf("%w, or two have one name", errMixed)
	}
	return []any{byName}, nil
}

// CheckNamedValue lets everything pass: pgx encodes it, or says why it cannot.
func (c *conn) CheckNamedValue(*driver.NamedValue) error { return nil }

// PrepareContext keeps the text of a statement.
func (c *conn) PrepareContext(_ context.Context, query string) (driver.Stmt, error) {
	return &stmt{conn: c, query: query}, nil
}

// Prepare keeps the text of a statement.
func (c *conn) Prepare(query string) (driver.Stmt, error) {
	return &stmt{conn: c, query: query}, nil
}

// Begin is refused: it has no context.
func (c *conn) Begin() (driver.Tx, error) {
	return nil, fmt.Errorf("%w: %w", rowhouse.ErrNoTenant, errNoContext)
}

// BeginTx begins a transaction as the tenant of ctx.
func (c *conn) BeginTx(ctx context.Context, opts driver.TxOptions) (driver.Tx, error) {
	if c.tx != nil {
		return nil, errNested
	}
	options, err := txOptions(opts)
	if err != nil {
		return nil, err
	}
	begun, err := c.db.BeginTx(ctx, options)
	if err != nil {
		return nil, err
	}
	c.tx = &tx{ctx: ctx, conn: c, root: begun}
	return c.tx, nil
}

// Ping asks the server for an answer. No tenant is needed: outside of a transaction
// it runs as the shared schema's role, in one it leaves the tenant to the
// transaction.
func (c *conn) Ping(ctx context.Context) error {
	if c.tx != nil {
		ctx = rowhouse.WithTenant(ctx, nil)
	} else {
		ctx = rowhouse.WithShared(ctx)
	}
	_, err := c.querier().Exec(ctx, "SELECT 1")
	return err
}

// ResetSession is called before the connection is used again. There is no session;
// a transaction that was left open through Raw makes it a bad one.
func (c *conn) ResetSession(context.Context) error {
	if !c.IsValid() {
		return driver.ErrBadConn
	}
	return nil
}

// IsValid tells whether the connection may be used again.
func (c *conn) IsValid() bool { return c.tx == nil }

// Close rolls back what is open.
func (c *conn) Close() error {
	if c.tx == nil {
		return nil
	}
	return c.tx.Rollback()
}
