package rowhouse

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/rowhouse/rowhouse/internal/bind"
)

// Query runs a statement as the tenant of ctx and returns its rows, which stream
// from the server. Close them, or read them to the end: they hold a connection,
// and the work is committed then. As with pgx, the error is in rows.Err too.
//
// The statement is a unit of work of its own. Binding it costs no round trip. Its
// arguments are pgx's, [pgx.NamedArgs] included.
//
// It returns [ErrNoTenant], [ErrTenantUnavailable], [ErrTenantChanged] and
// [ErrStatementRefused], and a [*pgconn.PgError] for what PostgreSQL refuses:
// code 42501 for a statement that names another tenant's schema. When ctx is
// cancelled the statement is cancelled in the server.
func (db *DB) Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error) {
	rows, err := db.query(ctx, sql, args)
	if err != nil {
		return failedRows{err}, err
	}
	return rows, nil
}

// QueryRow runs a statement as the tenant of ctx and returns its first row. Errors
// come with Scan: those of [DB.Query], and [pgx.ErrNoRows].
func (db *DB) QueryRow(ctx context.Context, sql string, args ...any) pgx.Row {
	rows, err := db.Query(ctx, sql, args...)
	return row{rows, err}
}

// Exec runs a statement as the tenant of ctx and returns its command tag. It
// returns the errors of [DB.Query].
func (db *DB) Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error) {
	rows, err := db.query(ctx, sql, args)
	if err != nil {
		return pgconn.CommandTag{}, err
	}
	rows.Close()
	return rows.CommandTag(), rows.Err()
}

func (db *DB) query(ctx context.Context, sql string, args []any) (*bind.Rows, error) {
	b, err := db.binding(ctx)
	if err != nil {
		return nil, err
	}
	s, release, err := db.pool.Acquire(ctx)
	if err != nil {
		return nil, fmt.Errorf("rowhouse: %w", err)
	}
	rows, err := s.Query(ctx, b, sql, args)
	if err != nil {
		release()
		return nil, db.failed(ctx, err)
	}
	rows.OnClose = release
	return rows, nil
}

// binding is what the work of ctx runs as. Here work without a tenant ends.
func (db *DB) binding(ctx context.Context) (*bind.Binding, error) {
	s := scopeOf(ctx)
	switch {
	case s == nil:
		return nil, ErrNoTenant
	case s.tenant == nil:
		return db.shared, nil
	case s.tenant.home == "":
		return nil, fmt.Errorf("%w: tenant %q did not come from a DB; look it up", ErrNoTenant, s.tenant.Schema)
	case s.tenant.home != db.settings.Home:
		return nil, fmt.Errorf("%w: tenant %q is of another catalog", ErrTenantMismatch, s.tenant.Schema)
	case s.tenant.binding == nil:
		return nil, fmt.Errorf("%w: %q is %s", ErrTenantUnavailable, s.tenant.Schema, s.tenant.State)
	}
	return s.tenant.binding, nil
}

// row is the first row of an answer.
type row struct {
	rows pgx.Rows
	err  error
}

// Scan reads the row and closes the rows.
func (r row) Scan(dest ...any) error {
	if r.err != nil {
		return r.err
	}
	defer r.rows.Close()
	if !r.rows.Next() {
		if err := r.rows.Err(); err != nil {
			return err
		}
		return pgx.ErrNoRows
	}
	if err := r.rows.Scan(dest...); err != nil {
		return err
	}
	r.rows.Close()
	return r.rows.Err()
}

// failedRows are the rows of a statement that was not answered. They let callers
// leave the error of Query to be found in the rows, as pgx does.
type failedRows struct{ err error }

func (r failedRows) Close()                                       {}
func (r failedRows) Err() error                                   { return r.err }
func (r failedRows) CommandTag() pgconn.CommandTag                { return pgconn.CommandTag{} }
func (r failedRows) FieldDescriptions() []pgconn.FieldDescription { return nil }
func (r failedRows) Next() bool                                   { return false }
func (r failedRows) Scan(...any) error                            { return r.err }
func (r failedRows) Values() ([]any, error)                       { return nil, r.err }
func (r failedRows) RawValues() [][]byte                          { return nil }
func (r failedRows) Conn() *pgx.Conn                              { return nil }
func (r failedRows) TypeMap() *pgtype.Map                         { return nil }

// failed looks at an error of the database before the caller sees it. A tenant
// that changed is forgotten, so that the next look-up asks the catalog.
func (db *DB) failed(ctx context.Context, err error) error {
	if errors.Is(err, ErrTenantChanged) {
		if t, _ := FromContext(ctx); t != nil {
			db.directory.Forget(t.ID)
		}
	}
	return fmt.Errorf("rowhouse: %w", err)
}
