package bind

import (
	"context"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
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
