package rowhouse

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/rowhouse/rowhouse/internal/bind"
	"github.com/rowhouse/rowhouse/internal/catalog"
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
		return bind.FailedRows{Cause: err}, err
	}
	return rows, nil
}

// QueryRow runs a statement as the tenant of ctx and returns its first row. Errors
// come with Scan: those of [DB.Query], and [pgx.ErrNoRows].
func (db *DB) QueryRow(ctx context.Context, sql string, args ...any) pgx.Row {
	rows, err := db.Query(ctx, sql, args...)
	return bind.Row{Rows: rows, Err: err}
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
	s, release, err := db.acquire(ctx)
	if err != nil {
		return nil, fmt.Errorf("rowhouse: %w", err)
	}
	rows, err := s.Query(ctx, bind.Prelude{Binding: b}, sql, args)
	if err != nil {
		release()
		return nil, db.failed(ctx, err)
	}
	rows.OnClose = release
	return rows, nil
}

// SendBatch runs the statements of a batch as the tenant of ctx, in one network
// write: all of them or none. Close the results; they hold a connection.
//
// Its arguments and results are pgx's, except that it does not begin a
// transaction ([pgx.Batch.BeginTx] is ignored: the batch is one already); use
// Begin and the SendBatch of the transaction. It returns the errors of [DB.Query]
// through the results, and [ErrRetry].
func (db *DB) SendBatch(ctx context.Context, b *pgx.Batch) pgx.BatchResults {
	binding, err := db.binding(ctx)
	if err != nil {
		return failedBatch{err}
	}
	s, release, err := db.acquire(ctx)
	if err != nil {
		return failedBatch{fmt.Errorf("rowhouse: %w", err)}
	}
	br := s.SendBatch(ctx, bind.Prelude{Binding: binding}, b, func(err error) error { return db.failed(ctx, err) })
	br.OnClose = release
	return br
}

// CopyFrom copies rows into a table with PostgreSQL's COPY, as the tenant of ctx:
// all of them or none. A table name without a schema is the tenant's. It returns
// the number of rows, and the errors of [DB.Query].
func (db *DB) CopyFrom(ctx context.Context, table pgx.Identifier, columns []string, rows pgx.CopyFromSource) (n int64, err error) {
	err = db.InTx(ctx, func(tx pgx.Tx) error {
		n, err = tx.CopyFrom(ctx, table, columns, rows)
		return err
	})
	if err != nil {
		return 0, err
	}
	return n, nil
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

// failed looks at an error of the database before the caller sees it. A tenant
// that changed is forgotten, so that the next look-up asks the catalog.
func (db *DB) failed(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	if t, _ := FromContext(ctx); t != nil {
		err = db.overtaken(ctx, t, err)
		if errors.Is(err, ErrTenantChanged) {
			db.directory.Forget(t.ID)
		}
	}
	return fmt.Errorf("rowhouse: %w", err)
}

// overtaken looks at an error about a name. A rename that is committed after the
// work was bound, and before its names were resolved, takes the schema out of its
// search_path; a rename in between is found by the row, though the name may be the
// old one again.
func (db *DB) overtaken(ctx context.Context, t *Tenant, err error) error {
	code := catalog.Code(err)
	switch code {
	case "42P01", "42703", "42883", "42704", "42501": // table, column, function, object, privilege
	default:
		return err
	}
	// Not for long: a transaction holds its connection meanwhile, and behind a
	// pooler there may be no other.
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	row, lookErr := catalog.ByID(ctx, db.pool, t.ID)
	changed := errors.Is(lookErr, ErrUnknownTenant)
	if lookErr == nil {
		// A privilege may be missing for the same reason as before.
		changed = row.Schema != t.Schema || code != "42501" && !row.UpdatedOn.Equal(t.UpdatedOn)
	}
	if changed {
		return fmt.Errorf("%w since it was looked up: %w", ErrTenantChanged, err)
	}
	return err
}

// failedBatch are the results of a batch that was not sent.
type failedBatch struct{ err error }

func (b failedBatch) Exec() (pgconn.CommandTag, error) { return pgconn.CommandTag{}, b.err }
func (b failedBatch) Query() (pgx.Rows, error)         { return bind.FailedRows{Cause: b.err}, b.err }
func (b failedBatch) QueryRow() pgx.Row                { return bind.Row{Err: b.err} }
func (b failedBatch) Close() error                     { return b.err }
func (b failedBatch) Tx() pgx.Tx                       { return nil }
