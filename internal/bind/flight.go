package bind

import (
	"context"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5/pgconn"
)

// Prelude is what travels before a statement in the same flight. The zero value
// is nothing: the statement belongs to the transaction that is open.
type Prelude struct {
	// Binding, if not nil, is what the statement runs as.
	Binding *Binding
	// Begin, if not empty, is the statement that begins a transaction, which
	// stays open and bound. Without it the flight is a unit of work of its own.
	Begin string

	batch bool // what comes is a batch
}

// flight is one network write and the answers to it: the names of statements that
// left the cache, a prelude, statements to prepare, what the caller adds, and Sync.
type flight struct {
	*pgconn.Pipeline
	session *Session
	prelude Prelude
	// binds is the bind statement that the flight prepares, if any, and keep notes
	// that it is there.
	binds   *pgconn.StatementDescription
	keep    func(*pgconn.StatementDescription)
	closing int // how many names it closes
	// preparing are the statements that the flight prepares, in their order.
	preparing []prepared
}

type prepared struct {
	key own
	sd  *pgconn.StatementDescription
}

// start begins a flight with what comes first.
func (s *Session) start(ctx context.Context, prelude Prelude) *flight {
	f := &flight{session: s, prelude: prelude}
	var bound *bound
	if prelude.Binding != nil && s.mode == Named {
		bound = s.prepared.use(prelude.Binding.own)
	}
	f.Pipeline = s.conn.PgConn().StartPipeline(ctx)
	f.closing = len(s.prepared.closing)
	for _, name := range s.prepared.closing {
		f.SendDeallocate(name)
	}
	if prelude.Begin != "" {
		f.SendQueryParams(prelude.Begin, nil, nil, nil, nil)
	}
	if prelude.Binding != nil {
		f.sendBinding(bound)
	}
	return f
}

// noColumns is what the answer of a bind statement looks like. That it is not
// empty keeps pgconn from asking the server each time; there are no rows to read
// by it.
var noColumns = make([]pgconn.FieldDescription, 1)

// sendBinding adds the bind statement: where names cannot be used it is sent as it
// is; else those used most have their own prepared, and all others one between them.
func (f *flight) sendBinding(bound *bound) {
	text, place := &f.prelude.Binding.single, 0
	if f.prelude.Begin != "" || f.prelude.batch {
		text, place = &f.prelude.Binding.holding, 1
	}
	prepared := f.session.prepared
	if f.session.mode == Described {
		f.SendQueryParams(text.qualified, nil, nil, nil, nil)
		return
	}
	if !bound.own {
		sd := prepared.shared[text.shared]
		if sd == nil {
			sd = f.prepareBind(text.shared)
			f.keep = func(sd *pgconn.StatementDescription) { prepared.shared[sd.SQL] = sd }
		}
		f.SendQueryStatement(sd, text.values, nil, nil)
		return
	}
	sd := bound.binds[place]
	if sd == nil || sd.SQL != text.short { // the tenant was renamed, or its state changed
		if sd != nil {
			prepared.closing = append(prepared.closing, sd.Name)
		}
		sd = f.prepareBind(text.short)
		f.keep = func(sd *pgconn.StatementDescription) { bound.binds[place] = sd }
	}
	f.SendQueryStatement(sd, nil, nil, nil)
}

func (f *flight) prepareBind(sql string) *pgconn.StatementDescription {
	f.binds = &pgconn.StatementDescription{Name: f.session.prepared.nextName(), SQL: sql, Fields: noColumns}
	f.SendPrepare(f.binds.Name, sql, nil)
	return f.binds
}

// prepare adds that a statement, which is described, is prepared.
func (f *flight) prepare(key own, described *pgconn.StatementDescription) sendable {
	sd := *described
	sd.Name, sd.SQL = f.session.prepared.nextName(), key.sql
	f.SendPrepare(sd.Name, sd.SQL, sd.ParamOIDs)
	f.preparing = append(f.preparing, prepared{key, &sd})
	return sendable{&sd, true}
}

// send adds the statement whose arguments are in the session's eqb.
func (f *flight) send(sql string, st sendable) {
	// What is in eqb goes into the write buffer at once, but for the formats,
	// which are needed again when the answer is read.
	eqb := &f.session.eqb
	formats := slices.Clone(eqb.ResultFormats)
	if st.prepared {
		f.SendQueryStatement(st.sd, eqb.ParamValues, eqb.ParamFormats, formats)
	} else {
		f.SendQueryParams(sql, eqb.ParamValues, st.sd.ParamOIDs, eqb.ParamFormats, formats)
	}
}

// sync writes to the network and reads the answers up to the first of what the
// caller added. When it fails the caller closes the flight.
func (f *flight) sync() error {
	if err := f.Sync(); err != nil {
		return err
	}
	s := f.session
	for range f.closing {
		if _, err := f.GetResults(); err != nil {
			return err
		}
	}
	s.prepared.closing = append(s.prepared.closing[:0], s.prepared.closing[f.closing:]...)
	if f.prelude.Begin != "" {
		if err := f.discard(); err != nil {
			return fmt.Errorf("begin a transaction: %w", err)
		}
	}
	if b := f.prelude.Binding; b != nil {
		if err := f.readBinding(); err != nil {
			return b.failed(err)
		}
	}
	return f.readPrepared()
}

func (f *flight) readBinding() error {
	if f.binds != nil {
		if _, err := f.GetResults(); err != nil {
			return err
		}
		f.keep(f.binds)
	}
	return f.discard()
}

// readPrepared reads the answers to the statements that the flight prepares.
func (f *flight) readPrepared() error {
	for _, p := range f.preparing {
		answer, err := f.GetResults()
		if err != nil {
			return err
		}
		// The columns are those of this moment, whatever was known of them. The
		// answer to the statement, which comes next, is read by them.
		p.sd.Fields = answer.(*pgconn.StatementDescription).Fields
		f.session.prepared.put(p.key, p.sd)
	}
	return nil
}

// discard reads one answer and keeps only its error.
func (f *flight) discard() error {
	answer, err := f.GetResults()
	if err != nil {
		return err
	}
	_, err = answer.(*pgconn.ResultReader).Close()
	return err
}

// end closes a flight whose answers were read, and returns err or, without one,
// what closing it said.
func (f *flight) end(err error) error {
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	return err
}
