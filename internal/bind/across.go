package bind

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/rowhouse/rowhouse/internal/sqltext"
)

const (
	// writeSize is about how many bytes are written at once. What the sockets hold
	// of it is not waited for: else pgconn would have to read answers, and keep
	// them, while it writes.
	writeSize = 64 << 10
	// abortGrace is how long answers that nobody wants may take before their
	// connection is closed. A cancel request ends one statement; the next ones are
	// in the server already.
	abortGrace = 100 * time.Millisecond
)

// Across is one statement that runs as many bindings on one connection. Each is a
// unit of work of its own, in which PostgreSQL refuses to write:
//
//	Parse/Bind/Execute  SELECT WHERE set_config(…, true) …, of the first binding
//	Parse/Bind/Execute  SELECT … (the user's)
//	Sync
//	Parse/Bind/Execute  SELECT WHERE set_config(…, true) …, of the second
//	…
//
// Many are written to the network at once and answered one after the other. When
// one fails the server goes on after its Sync, so that it is an error among the
// answers. Nothing stays prepared: what runs once as each of many would only drive
// out what is used.
//
// Behind a pooler each is written when the one before is answered. PgBouncer before
// 1.21 takes a backend for idle at each Sync's answer: of a client that goes away
// then, as a process that is killed does, it gives the backend to the next client,
// who reads the answers that are still to come as its own.
//
//	for a.Next() {
//		rows, err := a.Rows()
//		…
//		err = a.Done()
//	}
//	a.Close()
//
// Where the session was wrong about what the statement looks like under a binding,
// it is described there and sent again, later than the others.
type Across struct {
	session  *Session
	ctx      context.Context
	cancel   context.CancelFunc
	bindings []*Binding
	sql      string
	args     []any

	described map[int]*pgconn.StatementDescription
	fresh     map[int]bool // described for this binding, just now
	queue     []int        // not written yet
	sent      []int        // written and not answered
	again     []int        // to be described anew
	refused   []refusal    // failed before their statement was written
	given     []bool       // handed out by Next
	flight    *flight      // nil between writes
	ended     error        // why no more answers can come

	index   int // of the binding that Next went to
	rows    pgx.Rows
	err     error
	settled bool
}

type refusal struct {
	index int
	err   error
}

// Across runs a statement as each of some bindings. It is as for [Session.Query],
// except that it only reads. The session is the Across's until Close.
func (s *Session) Across(ctx context.Context, bindings []*Binding, sql string, args []any) (*Across, error) {
	sql, args, err := s.rewrite(ctx, sql, args)
	if err != nil {
		return nil, err
	}
	if err := checkText(sql); err != nil {
		return nil, err
	}
	a := &Across{
		session: s, bindings: bindings, sql: sql, args: args,
		described: make(map[int]*pgconn.StatementDescription), fresh: make(map[int]bool),
		given: make([]bool, len(bindings)), settled: true,
	}
	a.ctx, a.cancel = context.WithCancel(ctx)
	for i := range bindings {
		a.queue = append(a.queue, i)
	}
	a.send()
	return a, nil
}

// checkText refuses a statement that would change what it runs in.
func checkText(sql string) error {
	if word, changes := sqltext.ChangesSession(sql); changes {
		return fmt.Errorf("%w: %s would change the session or transaction that rowhouse binds", ErrRefused, word)
	}
	return nil
}

// Next goes to the next answer. It returns false after the last, and when no more
// can come: then Err tells why, and Left who has none.
func (a *Across) Next() bool {
	_ = a.Done() // was for the caller to look at
	for {
		switch {
		case len(a.refused) > 0:
			first := a.refused[0]
			a.refused = a.refused[1:]
			a.index, a.rows, a.err, a.settled = first.index, nil, first.err, true
			a.given[a.index] = true
			return true
		case a.ended != nil:
			return false
		case len(a.sent) > 0:
			if a.read() {
				a.given[a.index] = true
				return true
			}
		case len(a.queue)+len(a.again) == 0:
			a.finish()
			return false
		default:
			a.send()
		}
	}
}

// Index tells whose answer it is: the place among the bindings.
func (a *Across) Index() int { return a.index }

// Rows are the answer, or an error why there are none.
func (a *Across) Rows() (pgx.Rows, error) { return a.rows, a.err }

// Err is why no more answers came, nil if all did.
func (a *Across) Err() error { return a.ended }

// Left are those that got no answer.
func (a *Across) Left() []int {
	var left []int
	for i, given := range a.given {
		if !given {
			left = append(left, i)
		}
	}
	return left
}

// Done reads what is left of the answer, up to the server's word that the unit of
// work has ended, and returns the error that it ended with.
func (a *Across) Done() error {
	if a.settled {
		return a.err
	}
	a.settled = true
	if a.rows != nil {
		a.rows.Close()
		a.err = a.rows.Err()
	}
	if err := a.flight.toSync(); a.err == nil {
		a.err = err
	}
	a.check(a.err)
	return a.err
}

// check notes whether an error is one after which no more answers come.
func (a *Across) check(err error) {
	if err == nil || a.ended != nil {
		return
	}
	if a.ctx.Err() != nil || a.session.conn.PgConn().IsClosed() {
		a.ended = a.session.ended(a.ctx, err)
	}
}

// read waits for the answer to what was written first. It returns false if that
// has to be asked again: nothing of it was handed out.
func (a *Across) read() bool {
	i := a.sent[0]
	a.sent = a.sent[1:]
	b := a.bindings[i]
	answer, bound, err := a.flight.pair(b)
	a.index, a.rows, a.err, a.settled = i, nil, err, false
	outdated := bound && stale(err, a.fresh[i])
	if err == nil {
		result := answer.(*pgconn.ResultReader)
		a.rows = pgx.RowsFromResultReader(a.session.conn.TypeMap(), result)
		outdated = !sameTypes(result.FieldDescriptions(), a.described[i].Fields)
	}
	if !outdated || a.fresh[i] {
		return true
	}
	if err := a.Done(); a.ended != nil {
		a.refuse(i, err)
		return false
	}
	a.anew(i)
	return false
}

// sameTypes tells whether columns are what they were described as, so that their
// formats are the ones that can be read.
func sameTypes(are, were []pgconn.FieldDescription) bool {
	if len(are) != len(were) {
		return false
	}
	for i := range are {
		if are[i].DataTypeOID != were[i].DataTypeOID {
			return false
		}
	}
	return true
}

// anew has the statement described for a binding, which is not as was thought.
func (a *Across) anew(i int) {
	a.session.known.drop(a.bindings[i], a.sql)
	delete(a.described, i)
	a.again = append(a.again, i)
}

func (a *Across) refuse(i int, err error) {
	a.refused = append(a.refused, refusal{i, err})
}

// send writes the first of the queue, once their statement is described.
func (a *Across) send() {
	a.finish()
	if len(a.queue) == 0 {
		a.queue, a.again = a.again, nil
	}
	n := a.portion()
	a.describe(a.queue[:n])
	if a.ended == nil {
		a.write(n)
	}
}

// portion is how many of the queue may be written at once, by the length of their
// texts.
func (a *Across) portion() int {
	if a.session.mode == Described {
		return 1 // one Sync at a time: see Across
	}
	size := len(a.sql) + len(a.session.reading(a.bindings[a.queue[0]])) + pairOverhead
	return min(len(a.queue), max(1, writeSize/size))
}

// pairOverhead is about what the messages of two statements have besides their
// texts and arguments.
const pairOverhead = 100

// write writes the first n of the queue, fewer if their arguments are large.
func (a *Across) write(n int) {
	s := a.session
	a.flight = s.start(a.ctx, Prelude{})
	var encoded *pgconn.StatementDescription
	for size := 0; n > 0 && size < writeSize; n-- {
		i := a.queue[0]
		a.queue = a.queue[1:]
		sd := a.described[i]
		if sd == nil {
			continue // is refused
		}
		if sd != encoded {
			if encoded = nil; !a.encode(i) {
				continue
			}
			encoded = sd
		}
		if len(a.sent) > 0 {
			a.flight.SendPipelineSync()
		}
		size += a.flight.sendReading(a.bindings[i]) + len(a.sql) + s.argumentSize()
		a.flight.send(a.sql, sendable{sd: sd})
		a.sent = append(a.sent, i)
	}
	if err := a.flight.sync(); err != nil && len(a.sent) > 0 {
		a.lose(a.sent[0], err)
	}
}

// encode encodes the arguments for a binding. Those that do not fit may fit what
// the statement is now.
func (a *Across) encode(i int) bool {
	err := a.session.encode(a.described[i], a.args)
	switch {
	case err == nil:
		return true
	case a.fresh[i]:
		a.refuse(i, err)
	default:
		a.anew(i)
	}
	return false
}

// argumentSize is how many bytes the arguments have that were encoded last.
func (s *Session) argumentSize() int {
	n := 0
	for _, v := range s.eqb.ParamValues {
		n += len(v)
	}
	return n
}

// lose notes that a connection was lost. The first that waited for it bears the
// error, so that who tries again with what is left comes to an end.
func (a *Across) lose(first int, err error) {
	a.ended = a.session.ended(a.ctx, err)
	a.refuse(first, err)
}

// finish closes a flight that was answered.
func (a *Across) finish() {
	if a.flight != nil {
		a.check(a.flight.Close())
		a.flight = nil
	}
}

// Close ends the work. What was not answered is cancelled in the server; if that
// takes long the connection is closed.
func (a *Across) Close() {
	defer a.cancel()
	if a.flight == nil {
		return
	}
	s := a.session
	if len(a.sent) == 0 && a.settled {
		a.finish()
		return
	}
	a.cancel()
	timer := time.AfterFunc(abortGrace, func() { _ = s.conn.PgConn().Conn().SetDeadline(time.Now()) })
	_ = a.flight.Close() // the connection is looked at by who gets it back
	a.flight = nil
	if !timer.Stop() || s.mode == Described { // see Session.ended
		s.Spend()
	}
}

// describe finds out what the statement is for some bindings: what is known of
// their shapes, else from one of each shape, else from each.
func (a *Across) describe(indexes []int) {
	for _, oneOfEach := range []bool{true, false} {
		unknown := a.unknown(indexes, oneOfEach)
		if len(unknown) == 0 || a.ended != nil {
			return
		}
		a.describeAs(unknown)
	}
}

// unknown are those for which the statement has to be described.
func (a *Across) unknown(indexes []int, oneOfEach bool) []int {
	var unknown []int
	known, shapes := a.session.known, make(map[string]bool)
	for _, i := range indexes {
		b := a.bindings[i]
		if a.described[i] == nil && !a.fresh[i] {
			a.described[i] = known.get(b, a.sql)
		}
		if a.described[i] != nil || a.fresh[i] {
			continue
		}
		if oneOfEach && b.shared() && !known.private(b, a.sql) {
			if shapes[b.shape] {
				continue
			}
			shapes[b.shape] = true
		}
		unknown = append(unknown, i)
	}
	return unknown
}

// describeAs describes the statement as each of some bindings, in one flight.
func (a *Across) describeAs(indexes []int) {
	f := a.session.start(a.ctx, Prelude{})
	for n, i := range indexes {
		if n > 0 {
			f.SendPipelineSync()
		}
		f.sendReading(a.bindings[i])
		f.SendPrepare("", a.sql, nil)
	}
	if err := f.sync(); err != nil {
		a.lose(indexes[0], f.end(err))
		return
	}
	for n := 0; n < len(indexes) && a.ended == nil; n++ {
		a.readDescription(f, indexes[n])
	}
	a.check(f.Close())
	for _, i := range indexes {
		a.share(i)
	}
}

func (a *Across) readDescription(f *flight, i int) {
	a.fresh[i] = true
	answer, _, err := f.pair(a.bindings[i])
	if syncErr := f.toSync(); err == nil {
		err = syncErr
	}
	if err != nil {
		a.refuse(i, err)
		a.check(err)
		return
	}
	a.described[i] = answer.(*pgconn.StatementDescription)
}

// share lets others of its shape know what was found out for a binding. What is
// only its own is not kept: there may be one for each of thousands of tenants.
func (a *Across) share(i int) {
	s, b, sd := a.session, a.bindings[i], a.described[i]
	if a.ended != nil || sd == nil || !b.shared() || s.known.private(b, a.sql) {
		return
	}
	s.binding = b
	apart, err := s.apart(a.ctx, Prelude{Binding: b}, sd)
	if err != nil {
		delete(a.described, i)
		a.refuse(i, err)
		a.check(err)
		return
	}
	s.known.put(b, a.sql, sd, apart)
}

// private tells whether it is known that each binding of the shape has a
// description of its own.
func (d *Descriptions) private(b *Binding, sql string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	e, ok := d.byKey[own{b.shape, sql}]
	return ok && e.Value.(*description).sd == nil
}

// reading is the bind statement of a unit of work that only reads.
func (s *Session) reading(b *Binding) string {
	text, set := b.single.short, "set_config('transaction_read_only','on',true)||"
	if s.mode == Described {
		text, set = b.single.qualified, "pg_catalog.set_config('transaction_read_only','on',true) OPERATOR(pg_catalog.||) "
	}
	return strings.Replace(text, "SELECT WHERE ", "SELECT WHERE "+set, 1)
}

// sendReading adds the bind statement of a unit of work that only reads, and
// returns its length.
func (f *flight) sendReading(b *Binding) int {
	text := f.session.reading(b)
	f.SendQueryParams(text, nil, nil, nil, nil)
	return len(text)
}

// pair reads the answer to a bind statement, and waits for the one to what came
// after it.
func (f *flight) pair(b *Binding) (answer any, bound bool, err error) {
	if err := f.discard(); err != nil {
		return nil, false, b.failed(err)
	}
	answer, err = f.GetResults()
	return answer, true, err
}

// toSync reads up to the end of a unit of work and returns the first error.
func (f *flight) toSync() (first error) {
	for {
		answer, err := f.GetResults()
		if first == nil {
			first = err
		}
		_, synced := answer.(*pgconn.PipelineSync)
		if synced || err == nil && answer == nil || f.session.conn.PgConn().IsClosed() {
			return first
		}
	}
}
