package bind

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// SendBatch sends the statements of a batch after their prelude, all in one
// flight; those that are not known are described in one flight before. Without a
// transaction the batch is a unit of work of its own: all of it or nothing. The
// results must be closed before the session is used again.
//
// failed, if not nil, is asked once for the error to report instead of the batch's.
func (s *Session) SendBatch(ctx context.Context, prelude Prelude, b *pgx.Batch, failed func(error) error) *BatchResults {
	br := &BatchResults{ctx: ctx, session: s, queued: b.QueuedQueries, failed: failed}
	s.prepared.trim()
	s.enter(prelude)
	prelude.batch = true
	err := br.send(prelude, b)
	for n := 1; err != nil && br.stale(err, 0); n++ {
		if err = s.again(ctx, prelude, n, err); err != nil {
			break
		}
		err = br.send(prelude, b)
	}
	br.fail(err)
	return br
}

// send sends the batch and waits for the answer to the first statement.
func (br *BatchResults) send(prelude Prelude, b *pgx.Batch) (err error) {
	if br.flight, br.described, err = br.session.sendBatch(br.ctx, prelude, b); err != nil || len(b.QueuedQueries) == 0 {
		return err
	}
	if br.first, err = br.flight.GetResults(); err != nil {
		err = br.flight.end(err)
		br.flight = nil
	}
	return err
}

type queuedStatement struct {
	sql  string
	args []any
}

// sendBatch returns the flight and which statements were described for it.
func (s *Session) sendBatch(ctx context.Context, prelude Prelude, b *pgx.Batch) (*flight, map[string]bool, error) {
	queued := make([]queuedStatement, len(b.QueuedQueries))
	for i, q := range b.QueuedQueries {
		sql, args, err := s.rewrite(ctx, q.SQL, q.Arguments)
		if err != nil {
			return nil, nil, fmt.Errorf("statement %d of the batch: %w", i+1, err)
		}
		queued[i] = queuedStatement{sql, args}
	}
	known, described, err := s.lookupBatch(ctx, &prelude, queued)
	if err != nil {
		return nil, described, err
	}
	for i, q := range queued { // before anything is sent
		if err := s.encode(known[q.sql].sd, q.args); err != nil {
			return nil, nil, fmt.Errorf("statement %d of the batch: %w", i+1, err)
		}
	}
	f := s.start(ctx, prelude)
	for sql, st := range known {
		if !st.prepared && s.admits(sql) {
			known[sql] = f.prepare(own{s.binding.own, sql}, st.sd)
		}
	}
	for _, q := range queued {
		_ = s.encode(known[q.sql].sd, q.args) // as it went above
		f.send(q.sql, known[q.sql])
	}
	if err := f.sync(); err != nil {
		return nil, described, f.end(err)
	}
	return f, described, nil
}

// lookupBatch finds what is known of a batch's statements, and describes in one
// flight those that are not.
func (s *Session) lookupBatch(ctx context.Context, prelude *Prelude, queued []queuedStatement) (known map[string]sendable, described map[string]bool, err error) {
	known, described = make(map[string]sendable, len(queued)), make(map[string]bool)
	var cold []string
	for _, q := range queued {
		if _, seen := known[q.sql]; seen {
			continue
		}
		st, ok := s.lookup(q.sql)
		if ok {
			// Arguments that do not fit may fit what the statement is now.
			if err := s.encode(st.sd, q.args); err != nil {
				s.prepared.drop(own{s.binding.own, q.sql})
				ok = false
			}
		}
		if known[q.sql] = st; !ok {
			cold = append(cold, q.sql)
			described[q.sql] = true
		}
	}
	if len(cold) == 0 {
		return known, described, nil
	}
	sds, err := s.describe(ctx, prelude, cold)
	if err != nil {
		return nil, described, err
	}
	for i, sql := range cold {
		known[sql] = sendable{sds[i], false}
	}
	return known, described, nil
}

// BatchResults are the answers to a batch, read in the order of its statements.
// It implements [pgx.BatchResults].
type BatchResults struct {
	ctx       context.Context // of the batch, to tell why it was cancelled
	session   *Session
	flight    *flight
	queued    []*pgx.QueuedQuery
	described map[string]bool // statements that were described for the batch
	first     any             // the answer to the first statement, until it is read
	next      int             // index of the statement whose answer is next
	open      pgx.Rows
	closed    bool
	err       error
	failed    func(error) error
	// OnClose is called once, when the session can be used again. May be nil.
	OnClose func()
}

// fail ends the batch with its first error.
func (br *BatchResults) fail(err error) {
	if err == nil || br.err != nil {
		return
	}
	br.err = br.session.ended(br.ctx, err)
	if br.failed != nil {
		br.err = br.failed(br.err)
	}
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
	if br.err != nil {
		return FailedRows{br.err}, br.err
	}
	answer, err := br.answer()
	if err != nil {
		br.fail(err)
		return FailedRows{br.err}, br.err
	}
	br.next++
	br.open = pgx.RowsFromResultReader(br.session.conn.TypeMap(), answer.(*pgconn.ResultReader))
	return &batchRows{Rows: br.open, br: br}, nil
}

var errNoMoreResults = errors.New("the batch has no more results")

// answer waits for the answer to the next statement. A statement that is no longer
// as it was described is not sent again: some of the results may have been read.
func (br *BatchResults) answer() (any, error) {
	if first := br.first; first != nil {
		br.first = nil
		return first, nil
	}
	answer, err := br.flight.GetResults()
	if err != nil && br.stale(err, br.next) { // whether or not the context has ended by now
		err = fmt.Errorf("%w: %w", ErrRetry, err)
	}
	return answer, err
}

// stale looks at an error that came in place of the answer to statement n, and
// forgets the statements if they are no longer as they were described.
func (br *BatchResults) stale(err error, n int) bool {
	if !stale(err, n < len(br.queued) && br.described[br.queued[n].SQL]) {
		return false
	}
	for _, q := range br.queued {
		br.session.forget(q.SQL, err)
	}
	return true
}

// finishOpen reads what is left of the rows that were handed out last.
func (br *BatchResults) finishOpen() {
	if br.open == nil {
		return
	}
	br.open.Close()
	br.fail(br.open.Err())
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
				br.err = err // the caller's own, or br.err already
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
		br.fail(br.flight.Close())
	}
	if br.OnClose != nil {
		br.OnClose()
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
	r.br.fail(r.Rows.Err())
}

// Err is the batch's error if it ended the rows.
func (r *batchRows) Err() error {
	if err := r.Rows.Err(); err != nil {
		r.br.fail(err)
		return r.br.err
	}
	return nil
}

// Next goes to the next row, and closes the rows after the last.
func (r *batchRows) Next() bool {
	if r.Rows.Next() {
		return true
	}
	r.Close()
	return false
}
