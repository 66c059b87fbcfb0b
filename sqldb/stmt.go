package sqldb

import (
	"context"
	"database/sql/driver"
	"fmt"

	"github.com/rowhouse/rowhouse"
)

// stmt is a prepared statement: its text. Each execution is bound to the tenant of
// its own context.
type stmt struct {
	conn  *conn
	query string
}

var (
	_ driver.StmtExecContext   = (*stmt)(nil)
	_ driver.StmtQueryContext  = (*stmt)(nil)
	_ driver.NamedValueChecker = (*stmt)(nil)
)

// ExecContext runs the statement as the tenant of ctx.
func (s *stmt) ExecContext(ctx context.Context, args []driver.NamedValue) (driver.Result, error) {
	return s.conn.ExecContext(ctx, s.query, args)
}

// QueryContext runs the statement as the tenant of ctx and returns its rows.
func (s *stmt) QueryContext(ctx context.Context, args []driver.NamedValue) (driver.Rows, error) {
	return s.conn.QueryContext(ctx, s.query, args)
}

// CheckNamedValue lets everything pass.
func (s *stmt) CheckNamedValue(v *driver.NamedValue) error { return s.conn.CheckNamedValue(v) }

// NumInput is unknown: nothing was sent to the server yet.
func (s *stmt) NumInput() int { return -1 }

// Close does nothing.
func (s *stmt) Close() error { return nil }

// Exec is refused: it has no context.
func (s *stmt) Exec([]driver.Value) (driver.Result, error) {
	return nil, fmt.Errorf("%w: %w", rowhouse.ErrNoTenant, errNoContext)
}

// Query is refused: it has no context.
func (s *stmt) Query([]driver.Value) (driver.Rows, error) {
	return nil, fmt.Errorf("%w: %w", rowhouse.ErrNoTenant, errNoContext)
}
