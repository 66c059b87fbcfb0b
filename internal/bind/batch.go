package bind

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// SendBatch sends the statements of a batch after their prelude, all in one
// flight; those that the connection has not seen are described in one flight
// before. Without a transaction the batch is a unit of work of its own: all of it
// or nothing. The results must be closed before the session is used again.
func (s *Session) SendBatch(ctx context.Context, prelude Prelude, b *pgx.Batch) *BatchResults {
	br := &BatchResults{ctx: ctx, session: s, queued: b.QueuedQueries}
	s.cache.trim()
	flight, err := s.sendBatch(ctx, prelude, b)
	if err != nil {
		br.err = s.ended(ctx, err)
		return br
	}
	br.flight = flight
	return br
}

type queuedStatement struct {
	sql  string
	args []any
}

func (s *Session) sendBatch(ctx context.Context, prelude Prelude, b *pgx.Batch) (*flight, error) {
	queued := make([]queuedStatement, len(b.QueuedQueries))
	for i, q := range b.QueuedQueries {
		sql, args, err := s.rewrite(ctx, q.SQL, q.Arguments)
		if err != nil {
			return nil, fmt.Errorf("statement %d of the batch: %w", i+1, err)
		}
		queued[i] = queuedStatement{sql, args}
	}
	known, err := s.describeBatch(ctx, &prelude, queued)
	if err != nil {
		return nil, err
	}
	for i, q := range queued { // before anything is sent
		if err := s.encode(known[q.sql], q.args); err != nil {
			return nil, fmt.Errorf("statement %d of the batch: %w", i+1, err)
		}
	}
	f := s.start(ctx, prelude)
	for _, q := range queued {
		_ = s.encode(known[q.sql], q.args) // as it went above
		s.send(f, q.sql, known[q.sql])
	}
	if err := f.sync(); err != nil {
		return nil, f.end(err)
	}
	return f, nil
}

// describeBatch finds the descriptions of a batch's statements, and describes
// those that are not known in one flight.
func (s *Session) describeBatch(ctx context.Context, prelude *Prelude, queued []queuedStatement) (map[string]*pgconn.StatementDescription, error) {
	known := make(map[string]*pgconn.StatementDescription, len(queued))
	var cold []string
	for _, q := range queued {
		if _, seen := known[q.sql]; seen {
			continue
		}
		sd := s.cache.get(q.sql)
		if known[q.sql] = sd; sd == nil {
			cold = append(cold, q.sql)
		}
	}
	if len(cold) == 0 {
		return known, nil
	}
	described, err := s.describe(ctx, *prelude, cold)
	if err != nil {
		return nil, err
	}
	for i, sd := range described {
		known[cold[i]] = sd
	}
	if !prelude.alone() {
		*prelude = Prelude{}
	}
	return known, nil
}

// BatchResults are the answers to a batch, read in the order of its statements.
// It implements [pgx.BatchResults].
type BatchResults struct {
	ctx     context.Context // of the batch, to tell why it was cancelled
	session *Session
	flight  *flight
	queued  []*pgx.QueuedQuery
	next    int // index of the statement whose answer is next
	open    pgx.Rows
	closed  bool
	err     error
	// OnClose is called once, when the session can be used again. It gets the
	// batch's error and returns the one to report. May be nil.
	OnClose func(error) error
}

// Exec reads the answer to the next statement and drops its rows.
func (br *BatchResults) Exec() (pgconn.CommandTag, error) {
	rows, err := br.Query()
	if err != nil {
		return pgconn.CommandTag{}, err
	}
	rows.Close()
	return rows.CommandTag(), rows.Err()
}

// QueryRow reads the answer to the next statement as one row.
func (br *BatchResults) QueryRow() pgx.Row {
	rows, err := br.Query()
	return Row{rows, err}
}

// Query reads the answer to the next statement. Its rows end when the next one is
// read.
func (br *BatchResults) Query() (pgx.Rows, error) {
	if br.err == nil && br.closed {
		br.err = errors.New("the batch is closed")
	}
	if br.err == nil && br.next >= len(br.queued) {
		return FailedRows{errNoMoreResults}, errNoMoreResults
	}
	br.finishOpen()
	if br.err == nil {
		answer, err := br.flight.GetResults()
		br.err = br.session.ended(br.ctx, br.staleness(err))
		if br.err == nil {
			br.next++
			br.open = pgx.RowsFromResultReader(br.session.conn.TypeMap(), answer.(*pgconn.ResultReader))
			return &batchRows{Rows: br.open, br: br}, nil
		}
	}
	return FailedRows{br.err}, br.err
}

var errNoMoreResults = errors.New("the batch has no more results")

// staleness forgets a statement that is no longer as it was described. The batch
// is not sent again: some of its results may have been read.
func (br *BatchResults) staleness(err error) error {
	if err == nil || !stale(err) {
		return err
	}
	br.session.cache.drop(br.queued[br.next].SQL)
	return fmt.Errorf("%w: %w", ErrRetry, err)
}

// finishOpen reads what is left of the rows that were handed out last.
func (br *BatchResults) finishOpen() {
	if br.open == nil {
		return
	}
	br.open.Close()
	if br.err == nil {
		br.err = br.session.ended(br.ctx, br.open.Err())
	}
	br.open = nil
}

// Tx returns nil: a batch does not begin a transaction; see [Prelude].
func (br *BatchResults) Tx() pgx.Tx { return nil }

// Close reads what is left, calls the functions that were queued with statements,
// and returns the first error.
func (br *BatchResults) Close() error {
	for !br.closed && br.err == nil && br.next < len(br.queued) {
		if fn := br.queued[br.next].Fn; fn != nil {
			if err := fn(br); err != nil && br.err == nil {
				br.err = err
			}
		} else if _, err := br.Exec(); err != nil {
			break
		}
	}
	if br.closed {
		return br.err
	}
	br.finishOpen()
	br.closed = true
	if br.flight != nil {
		closeErr := br.flight.Close()
		if br.err == nil {
			br.err = br.session.ended(br.ctx, closeErr)
		}
	}
	if br.OnClose != nil {
		br.err = br.OnClose(br.err)
	}
	return br.err
}

// batchRows are the rows of one statement of a batch. Their error is the batch's.
type batchRows struct {
	pgx.Rows
	br *BatchResults
}

// Close reads what is left of the rows.
func (r *batchRows) Close() {
	r.Rows.Close()
	if err := r.Rows.Err(); err != nil && r.br.err == nil {
		r.br.err = r.br.session.ended(r.br.ctx, err)
	}
}

// Next goes to the next row, and closes the rows after the last.
func (r *batchRows) Next() bool {
	if r.Rows.Next() {
		return true
	}
	r.Close()
	return false
}
