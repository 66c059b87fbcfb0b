package bind

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/rowhouse/rowhouse/internal/sqltext"
)

var (
	// ErrRefused: the statement would change the session or the transaction
	// that it runs in.
	ErrRefused = errors.New("statement refused")
	// ErrCommitRolledBack: COMMIT was answered by ROLLBACK, since a statement of
	// the transaction had failed.
	ErrCommitRolledBack = pgx.ErrTxCommitRollback
)

// Mode says how statements are kept between flights.
type Mode int

const (
	// Named keeps prepared statements on the server. Needs a connection that is
	// always the same backend.
	Named Mode = iota
	// Described keeps descriptions here and sends the text each time, for
	// poolers that hand out another backend for each transaction.
	Described
)

// Session runs bound statements on one connection. Like the connection, it is
// for one goroutine at a time.
type Session struct {
	conn  *pgx.Conn
	mode  Mode
	bind  *pgconn.StatementDescription
	cache *statements
	eqb   pgx.ExtendedQueryBuilder
	spent bool
}

// NewSession prepares a connection for binding. capacity is how many statements
// it keeps.
func NewSession(ctx context.Context, conn *pgx.Conn, mode Mode, capacity int) (*Session, error) {
	s := &Session{conn: conn, mode: mode, cache: newStatements(capacity)}
	name := ""
	if mode == Named {
		name = "rowhouse_bind"
	}
	var err error
	if s.bind, err = conn.PgConn().Prepare(ctx, name, statementSQL, nil); err != nil {
		return nil, fmt.Errorf("prepare the bind statement: %w", err)
	}
	return s, nil
}

// Conn is the connection of the session.
func (s *Session) Conn() *pgx.Conn { return s.conn }

// Query sends a statement. With a binding it is a unit of work of its own,
// committed when its rows are closed; with none it belongs to the transaction
// that [Session.Begin] began. The rows must be closed before the session is used
// again; when Query returns an error there is nothing to close.
//
// A statement whose shape has changed since it was prepared (a migration came
// between) fails before it has done anything, so in a unit of its own it is
// described anew and sent once more.
func (s *Session) Query(ctx context.Context, b *Binding, sql string, args []any) (*Rows, error) {
	sql, args, err := s.rewrite(ctx, sql, args)
	if err != nil {
		return nil, err
	}
	rows, err := s.once(ctx, b, sql, args)
	if err != nil && stale(err) {
		s.cache.drop(sql)
		if b != nil && ctx.Err() == nil {
			rows, err = s.once(ctx, b, sql, args)
		}
	}
	return rows, s.ended(ctx, err)
}

// ended looks at how a flight ended. To the error of a statement that the server
// cancelled because ctx ended it adds why ctx did.
//
// A pooler passes a cancel request on when it gets to it, perhaps after the
// statement that it was meant for; so behind one the connection is spent.
func (s *Session) ended(ctx context.Context, err error) error {
	if err == nil || ctx.Err() == nil {
		return err
	}
	s.spent = s.mode == Described
	var pgErr *pgconn.PgError
	if errors.As(err, &pgErr) && pgErr.Code == "57014" {
		return fmt.Errorf("%w: %w", ctx.Err(), err)
	}
	return err
}

// Spent tells whether the connection must not be used again.
func (s *Session) Spent() bool { return s.spent }

// stale tells whether a statement failed because what the session knew of it is
// no longer so. All are found before a statement does anything.
func stale(err error) bool {
	var pgErr *pgconn.PgError
	return errors.As(err, &pgErr) && slices.Contains([]string{
		"0A000", // cached plan must not change result type
		"26000", // prepared statement does not exist
		"08P01", // bind message has n result formats but query has m columns
	}, pgErr.Code)
}

// rewrite takes pgx's options off the arguments. Named arguments work; what
// would choose another protocol does not, as that is how work is bound.
func (s *Session) rewrite(ctx context.Context, sql string, args []any) (string, []any, error) {
	if len(args) == 0 {
		return sql, args, nil
	}
	switch first := args[0].(type) {
	case pgx.QueryRewriter:
		sql, args, err := first.RewriteQuery(ctx, s.conn, sql, args[1:])
		if err != nil {
			return "", nil, fmt.Errorf("rewrite query: %w", err)
		}
		return sql, args, nil
	case pgx.QueryExecMode, pgx.QueryResultFormats, pgx.QueryResultFormatsByOID:
		return "", nil, fmt.Errorf("%w: argument %T: how statements are sent is not for the caller to choose, as it is how they are bound", ErrRefused, first)
	}
	return sql, args, nil
}

func (s *Session) once(ctx context.Context, b *Binding, sql string, args []any) (*Rows, error) {
	sd := s.cache.get(sql)
	if sd == nil {
		var err error
		if sd, err = s.describe(ctx, b, sql); err != nil {
			return nil, err
		}
	}
	if len(sd.ParamOIDs) != len(args) {
		return nil, fmt.Errorf("the statement has %d parameters, got %d arguments", len(sd.ParamOIDs), len(args))
	}
	if err := s.eqb.Build(s.conn.TypeMap(), sd, args); err != nil {
		return nil, err
	}
	return s.fly(ctx, b, sql, sd)
}

// describe is the flight before a statement's first one: it is parsed under the
// binding, never outside. Only here is its text looked at: what is in the cache
// was looked at before.
func (s *Session) describe(ctx context.Context, b *Binding, sql string) (*pgconn.StatementDescription, error) {
	if word, bad := sqltext.ChangesSession(sql); bad {
		return nil, fmt.Errorf("%w: %s would change the session or transaction that rowhouse binds; use InTx for transactions", ErrRefused, word)
	}
	name := ""
	if s.mode == Named {
		name = s.cache.nextName()
	}
	p := s.start(ctx, b)
	p.SendPrepare(name, sql, nil)
	err := s.sync(p, b)
	var sd *pgconn.StatementDescription
	if err == nil {
		var answer any
		if answer, err = p.GetResults(); err == nil {
			sd = answer.(*pgconn.StatementDescription)
		}
	}
	if closeErr := p.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return nil, err
	}
	sd.Name, sd.SQL = name, sql
	s.cache.put(sql, sd)
	return sd, nil
}

// fly sends the statement whose arguments are in s.eqb and waits until the
// server has begun to answer it.
func (s *Session) fly(ctx context.Context, b *Binding, sql string, sd *pgconn.StatementDescription) (*Rows, error) {
	p := s.start(ctx, b)
	if s.mode == Named {
		p.SendQueryStatement(sd, s.eqb.ParamValues, s.eqb.ParamFormats, s.eqb.ResultFormats)
	} else {
		p.SendQueryParams(sql, s.eqb.ParamValues, sd.ParamOIDs, s.eqb.ParamFormats, s.eqb.ResultFormats)
	}
	err := s.sync(p, b)
	var answer any
	if err == nil {
		answer, err = p.GetResults()
	}
	if err != nil {
		_ = p.Close() // says the same again
		return nil, err
	}
	return &Rows{Rows: pgx.RowsFromResultReader(s.conn.TypeMap(), answer.(*pgconn.ResultReader)), session: s, ctx: ctx, pipeline: p}, nil
}

// start begins a flight: statements that left the cache are closed, and the
// binding is sent, if there is one.
func (s *Session) start(ctx context.Context, b *Binding) *pgconn.Pipeline {
	p := s.conn.PgConn().StartPipeline(ctx)
	for _, name := range s.cache.closing {
		p.SendDeallocate(name)
	}
	switch {
	case b == nil:
	case s.mode == Named:
		p.SendQueryStatement(s.bind, b.params, nil, nil)
	default:
		p.SendQueryParams(statementSQL, b.params, s.bind.ParamOIDs, nil, nil)
	}
	return p
}

// sync ends what start began: it writes to the network and reads the answers up
// to the caller's own statement. When it fails the caller closes the pipeline.
func (s *Session) sync(p *pgconn.Pipeline, b *Binding) error {
	if err := p.Sync(); err != nil {
		return err
	}
	for range s.cache.closing {
		if _, err := p.GetResults(); err != nil {
			return err
		}
	}
	s.cache.closing = s.cache.closing[:0]
	if b == nil {
		return nil
	}
	answer, err := p.GetResults()
	if err == nil {
		_, err = answer.(*pgconn.ResultReader).Close()
	}
	if err != nil {
		return b.failed(err)
	}
	return nil
}

// Begin begins a transaction with the statement begin and binds it, in one
// flight.
func (s *Session) Begin(ctx context.Context, b *Binding, begin string) error {
	p := s.conn.PgConn().StartPipeline(ctx)
	p.SendQueryParams(begin, nil, nil, nil, nil)
	if s.mode == Named {
		p.SendQueryStatement(s.bind, b.params, nil, nil)
	} else {
		p.SendQueryParams(statementSQL, b.params, s.bind.ParamOIDs, nil, nil)
	}
	err := p.Sync()
	if err == nil {
		_, err = p.GetResults()
	}
	if err == nil {
		var answer any
		if answer, err = p.GetResults(); err == nil {
			_, err = answer.(*pgconn.ResultReader).Close()
		}
		if err != nil {
			err = b.failed(err)
		}
	}
	if closeErr := p.Close(); err == nil {
		err = closeErr
	}
	return s.ended(ctx, err)
}

// Commit commits the transaction. It returns [ErrCommitRolledBack] when the
// server rolled it back instead.
func (s *Session) Commit(ctx context.Context) error {
	results, err := s.conn.PgConn().Exec(ctx, "commit").ReadAll()
	if err != nil {
		return fmt.Errorf("commit: %w", s.ended(ctx, err))
	}
	if results[0].CommandTag.String() != "COMMIT" {
		return ErrCommitRolledBack
	}
	return nil
}

// Rollback rolls the transaction back.
func (s *Session) Rollback(ctx context.Context) error {
	_, err := s.conn.PgConn().Exec(ctx, "rollback").ReadAll()
	if err != nil {
		return fmt.Errorf("roll back: %w", err)
	}
	return nil
}
