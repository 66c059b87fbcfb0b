package bind

import (
	"context"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgtype"
)

// Rows stream the answer to one statement. What they hold is given back when
// they are closed, which Next does after the last row.
type Rows struct {
	pgx.Rows
	session  *Session
	ctx      context.Context // of the query, to tell why it was cancelled
	pipeline *pgconn.Pipeline
	err      error
	closed   bool
	// OnClose is called once, when the flight has ended and the session can be
	// used again. May be nil.
	OnClose func()
}

func (s *Session) rows(ctx context.Context, answer any, p *pgconn.Pipeline) *Rows {
	return &Rows{
		Rows:    pgx.RowsFromResultReader(s.conn.TypeMap(), answer.(*pgconn.ResultReader)),
		session: s, ctx: ctx, pipeline: p,
	}
}

// Next goes to the next row. After the last it closes the rows.
func (r *Rows) Next() bool {
	if r.closed {
		return false
	}
	if r.Rows.Next() {
		return true
	}
	r.Close()
	return false
}

// Scan reads the row. An error closes the rows.
func (r *Rows) Scan(dest ...any) error {
	err := r.Rows.Scan(dest...)
	if err != nil {
		r.Close()
	}
	return err
}

// Close reads what is left of the answer up to the server's word that the unit
// of work is committed. Closing again does nothing.
func (r *Rows) Close() {
	if r.closed {
		return
	}
	r.closed = true
	r.Rows.Close()
	r.err = r.Rows.Err()
	// The commit of an implicit transaction may fail too, as a deferred
	// constraint does.
	if err := r.pipeline.Close(); r.err == nil {
		r.err = err
	}
	r.err = r.session.ended(r.ctx, r.err)
	if r.OnClose != nil {
		r.OnClose()
	}
}

// Err is the error that ended the rows. It is final once they are closed.
func (r *Rows) Err() error {
	if r.closed {
		return r.err
	}
	return r.Rows.Err()
}

// Row is the first row of an answer.
type Row struct {
	Rows pgx.Rows
	Err  error // why there are no rows
}

// Scan reads the row and closes the rows. It returns [pgx.ErrNoRows] if there is
// none.
func (r Row) Scan(dest ...any) error {
	if r.Err != nil {
		return r.Err
	}
	defer r.Rows.Close()
	if !r.Rows.Next() {
		if err := r.Rows.Err(); err != nil {
			return err
		}
		return pgx.ErrNoRows
	}
	if err := r.Rows.Scan(dest...); err != nil {
		return err
	}
	r.Rows.Close()
	return r.Rows.Err()
}

// FailedRows are the rows of a statement that was not answered. They let callers
// leave the error of Query to be found in the rows, as pgx does.
type FailedRows struct{ Cause error }

// Err is why there are no rows.
func (r FailedRows) Err() error { return r.Cause }

// Scan returns why there are no rows.
func (r FailedRows) Scan(...any) error { return r.Cause }

// Values returns why there are no rows.
func (r FailedRows) Values() ([]any, error) { return nil, r.Cause }

// Close does nothing.
func (r FailedRows) Close() {}

// Next returns false.
func (r FailedRows) Next() bool { return false }

// CommandTag is empty.
func (r FailedRows) CommandTag() pgconn.CommandTag { return pgconn.CommandTag{} }

// FieldDescriptions returns nil.
func (r FailedRows) FieldDescriptions() []pgconn.FieldDescription { return nil }

// RawValues returns nil.
func (r FailedRows) RawValues() [][]byte { return nil }

// Conn returns nil.
func (r FailedRows) Conn() *pgx.Conn { return nil }

// TypeMap returns nil.
func (r FailedRows) TypeMap() *pgtype.Map { return nil }
