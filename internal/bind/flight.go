package bind

import (
	"context"
	"fmt"

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
}

// alone tells whether the flight is a unit of work of its own, so that it can be
// sent again when it failed.
func (p Prelude) alone() bool { return p.Binding != nil && p.Begin == "" }

// flight is one network write and the answers to it: the names of statements that
// left the cache, a prelude, what the caller adds, and Sync.
type flight struct {
	*pgconn.Pipeline
	session *Session
	prelude Prelude
}

// start begins a flight with what comes first.
func (s *Session) start(ctx context.Context, prelude Prelude) *flight {
	f := &flight{s.conn.PgConn().StartPipeline(ctx), s, prelude}
	for _, name := range s.cache.closing {
		f.SendDeallocate(name)
	}
	if prelude.Begin != "" {
		f.SendQueryParams(prelude.Begin, nil, nil, nil, nil)
	}
	if prelude.Binding != nil {
		f.sendBinding(prelude.Binding)
	}
	return f
}

func (f *flight) sendBinding(b *Binding) {
	sd := f.session.bind[0]
	if b.readOnly {
		sd = f.session.bind[1]
	}
	if f.session.mode == Named {
		f.SendQueryStatement(sd, b.params, nil, nil)
	} else {
		f.SendQueryParams(sd.SQL, b.params, sd.ParamOIDs, nil, nil)
	}
}

// sync writes to the network and reads the answers up to the first of what the
// caller added. When it fails the caller closes the flight.
func (f *flight) sync() error {
	if err := f.Sync(); err != nil {
		return err
	}
	for range f.session.cache.closing {
		if _, err := f.GetResults(); err != nil {
			return err
		}
	}
	f.session.cache.closing = f.session.cache.closing[:0]
	if f.prelude.Begin != "" {
		if err := f.discard(); err != nil {
			return fmt.Errorf("begin a transaction: %w", err)
		}
	}
	if b := f.prelude.Binding; b != nil {
		if err := f.discard(); err != nil {
			return b.failed(err)
		}
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
