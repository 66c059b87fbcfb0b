package bind

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/rowhouse/rowhouse/internal/sqltext"
)

var (
	// ErrRefused: the statement would change the session or the transaction
	// that it runs in.
	ErrRefused = errors.New("statement refused")
	// ErrRetry: a migration changed what a statement reads while its transaction
	// was open. The transaction can be tried again.
	ErrRetry = errors.New("a migration overtook the transaction; it can be tried again")
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
	bind  [2]*pgconn.StatementDescription // for bindings that may write and that may not
	cache *statements
	eqb   pgx.ExtendedQueryBuilder
	large pgx.LargeObjects
	spent bool
}

// NewSession prepares a connection for binding. capacity is how many statements
// it keeps.
func NewSession(ctx context.Context, conn *pgx.Conn, mode Mode, capacity int) (*Session, error) {
	s := &Session{conn: conn, mode: mode, cache: newStatements(capacity)}
	var err error
	for i, sql := range []string{statementSQL, readOnlySQL} {
		name := ""
		if mode == Named {
			name = "rowhouse_bind_" + strconv.Itoa(i)
		}
		if s.bind[i], err = conn.PgConn().Prepare(ctx, name, sql, nil); err != nil {
			return nil, fmt.Errorf("prepare the bind statement: %w", err)
		}
		s.bind[i].SQL = sql
	}
	if s.large, err = largeObjects(ctx, conn); err != nil {
		return nil, err
	}
	return s, nil
}

// Conn is the connection of the session.
func (s *Session) Conn() *pgx.Conn { return s.conn }

// Spend marks the connection as one that must not be used again.
func (s *Session) Spend() { s.spent = true }

// Spent tells whether the connection must not be used again.
func (s *Session) Spent() bool { return s.spent }

// Query sends a statement after its prelude. The rows must be closed before the
// session is used again; when Query returns an error there is nothing to close.
//
// A statement whose shape has changed since it was described (a migration came
// between) fails before it has done anything. As a unit of work of its own it is
// described anew and sent once more; in a transaction the error is [ErrRetry].
func (s *Session) Query(ctx context.Context, prelude Prelude, sql string, args []any) (*Rows, error) {
	sql, args, err := s.rewrite(ctx, sql, args)
	if err != nil {
		return nil, err
	}
	s.cache.trim()
	rows, err := s.once(ctx, prelude, sql, args)
	if err != nil && stale(err) {
		s.cache.drop(sql)
		if prelude.alone() && ctx.Err() == nil {
			rows, err = s.once(ctx, prelude, sql, args)
		} else {
			err = fmt.Errorf("%w: %w", ErrRetry, err)
		}
	}
	return rows, s.ended(ctx, err)
}

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

// once describes a statement, if it must, and sends it.
func (s *Session) once(ctx context.Context, prelude Prelude, sql string, args []any) (*Rows, error) {
	sd := s.cache.get(sql)
	if sd == nil {
		described, err := s.describe(ctx, prelude, []string{sql})
		if err != nil {
			return nil, err
		}
		sd = described[0]
		if !prelude.alone() {
			prelude = Prelude{} // the flight that described it began the transaction
		}
	}
	if err := s.encode(sd, args); err != nil {
		return nil, err
	}
	f := s.start(ctx, prelude)
	s.send(f, sql, sd)
	err := f.sync()
	var answer any
	if err == nil {
		answer, err = f.GetResults()
	}
	if err != nil {
		return nil, f.end(err)
	}
	return s.rows(ctx, answer, f.Pipeline), nil
}

// encode encodes the arguments of a statement into s.eqb.
func (s *Session) encode(sd *pgconn.StatementDescription, args []any) error {
	if len(sd.ParamOIDs) != len(args) {
		return fmt.Errorf("the statement has %d parameters, got %d arguments", len(sd.ParamOIDs), len(args))
	}
	return s.eqb.Build(s.conn.TypeMap(), sd, args)
}

// send adds the statement whose arguments are in s.eqb to a flight.
func (s *Session) send(f *flight, sql string, sd *pgconn.StatementDescription) {
	// What is in s.eqb goes into the write buffer at once, but for the formats,
	// which are needed again when the answer is read.
	formats := slices.Clone(s.eqb.ResultFormats)
	if s.mode == Named {
		f.SendQueryStatement(sd, s.eqb.ParamValues, s.eqb.ParamFormats, formats)
	} else {
		f.SendQueryParams(sql, s.eqb.ParamValues, sd.ParamOIDs, s.eqb.ParamFormats, formats)
	}
}

// describe is the flight before the first one of some statements: they are parsed
// under the binding, never outside. Only here is their text looked at: what is in
// the cache was looked at before.
func (s *Session) describe(ctx context.Context, prelude Prelude, sqls []string) ([]*pgconn.StatementDescription, error) {
	for _, sql := range sqls {
		if word, changes := sqltext.ChangesSession(sql); changes {
			return nil, fmt.Errorf("%w: %s would change the session or transaction that rowhouse binds", ErrRefused, word)
		}
	}
	f := s.start(ctx, prelude)
	names := make([]string, len(sqls))
	for i, sql := range sqls {
		if s.mode == Named {
			names[i] = s.cache.nextName()
		}
		f.SendPrepare(names[i], sql, nil)
	}
	described := make([]*pgconn.StatementDescription, len(sqls))
	err := f.sync()
	for i := 0; err == nil && i < len(sqls); i++ {
		var answer any
		if answer, err = f.GetResults(); err == nil {
			described[i] = answer.(*pgconn.StatementDescription)
			described[i].Name, described[i].SQL = names[i], sqls[i]
		}
	}
	if err = f.end(err); err != nil {
		// What was prepared before the error stays on the server.
		for _, sd := range described {
			if sd != nil && sd.Name != "" {
				s.cache.closing = append(s.cache.closing, sd.Name)
			}
		}
		return nil, err
	}
	for i, sd := range described {
		s.cache.put(sqls[i], sd)
	}
	return described, nil
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
	s.spent = s.spent || s.mode == Described
	var pgErr *pgconn.PgError
	if errors.As(err, &pgErr) && pgErr.Code == "57014" {
		return fmt.Errorf("%w: %w", ctx.Err(), err)
	}
	return err
}
