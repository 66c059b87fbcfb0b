package bind

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

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
	conn     *pgx.Conn
	mode     Mode
	known    *Descriptions
	prepared *statements
	// binding is that of the flight, or of the transaction that is open.
	binding *Binding
	eqb     pgx.ExtendedQueryBuilder
	large   pgx.LargeObjects
	spent   bool
}

// Config says how sessions work.
type Config struct {
	Mode Mode
	// Capacity is how many statements a connection keeps prepared, besides those
	// that bind. It is of no use where Mode is Described.
	Capacity int
	// Descriptions are shared by all sessions on a database.
	Descriptions *Descriptions
}

// NewSession makes a session on a connection.
func NewSession(ctx context.Context, conn *pgx.Conn, cfg Config) (*Session, error) {
	s := &Session{
		conn: conn, mode: cfg.Mode, known: cfg.Descriptions,
		prepared: newStatements(cfg.Capacity), binding: unbound,
	}
	var err error
	if s.large, err = largeObjects(ctx, conn); err != nil {
		return nil, err
	}
	return s, nil
}

// unbound stands for no binding: nothing is shared with it.
var unbound = &Binding{name: "none"}

// Conn is the connection of the session.
func (s *Session) Conn() *pgx.Conn { return s.conn }

// Spend marks the connection as one that must not be used again.
func (s *Session) Spend() { s.spent = true }

// Spent tells whether the connection must not be used again.
func (s *Session) Spent() bool { return s.spent }

// Query sends a statement after its prelude. The rows must be closed before the
// session is used again; when Query returns an error there is nothing to close.
//
// A statement that is no longer as it was described (a migration came between)
// fails before it has done anything. If nothing was done in its unit of work
// before, it is described anew and sent once more; else the error is [ErrRetry].
func (s *Session) Query(ctx context.Context, prelude Prelude, sql string, args []any) (*Rows, error) {
	sql, args, err := s.rewrite(ctx, sql, args)
	if err != nil {
		return nil, err
	}
	s.prepared.trim()
	s.enter(prelude)
	for n := 1; ; n++ {
		rows, described, err := s.once(ctx, prelude, sql, args)
		if err == nil || !stale(err, described) {
			return rows, s.ended(ctx, err)
		}
		s.forget(sql, err)
		if err := s.again(ctx, prelude, n, err); err != nil {
			return nil, s.ended(ctx, err)
		}
	}
}

// attempts is how often a unit of work is sent at most whose statements are not as
// they were described. More than two it takes only if migrations keep coming
// between a description and its use.
const attempts = 4

// again makes ready for sending once more what failed the nth time because a
// statement was stale, or returns the error that it ends with.
func (s *Session) again(ctx context.Context, prelude Prelude, n int, err error) error {
	if prelude.Binding == nil || n == attempts {
		return fmt.Errorf("%w: %w", ErrRetry, err)
	}
	if s.conn.PgConn().TxStatus() == 'I' {
		return nil
	}
	if rollback := s.Rollback(ctx); rollback != nil {
		return fmt.Errorf("%w, after %w", rollback, err)
	}
	return nil
}

// enter notes what the flight is bound to.
func (s *Session) enter(prelude Prelude) {
	if prelude.Binding != nil {
		s.binding = prelude.Binding
	}
}

// forget forgets what is known of a statement for the binding, since it failed.
func (s *Session) forget(sql string, err error) {
	if lost(err) {
		s.prepared.lost()
		return
	}
	s.known.drop(s.binding, sql)
	s.prepared.drop(own{s.binding.own, sql})
}

// stale tells whether a statement failed because what the session knew of it is
// no longer so; described says that it has just been described. All that it finds
// happens before a statement does anything; what happens in a function, or in a
// statement that a function runs, has a context.
//
// A pooler may use the code 08P01 for much else, and ends the connection with it.
func stale(err error, described bool) bool {
	var pgErr *pgconn.PgError
	if !errors.As(err, &pgErr) || pgErr.SeverityUnlocalized != "ERROR" || pgErr.Where != "" {
		return false
	}
	switch pgErr.Code {
	case "0A000": // cached plan must not change result type
		return pgErr.Routine == "RevalidateCachedQuery"
	case "08P01": // bind message has n result formats but query has m columns
		return true
	case "42501": // insufficient privilege
		return false
	}
	if lost(err) {
		return true
	}
	// A parameter whose type no longer fits, a column or a table that is gone:
	// when the statement was described, some time ago, it was right.
	return !described && strings.HasPrefix(pgErr.Code, "42")
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
func (s *Session) once(ctx context.Context, prelude Prelude, sql string, args []any) (rows *Rows, described bool, err error) {
	st, known := s.lookup(sql)
	if known {
		// Arguments that do not fit may fit what the statement is now.
		if err := s.encode(st.sd, args); err != nil {
			s.prepared.drop(own{s.binding.own, sql})
			known = false
		}
	}
	if !known {
		described = true
		sds, err := s.describe(ctx, &prelude, []string{sql})
		if err != nil {
			return nil, described, err
		}
		st = sendable{sds[0], false}
		if err := s.encode(st.sd, args); err != nil {
			return nil, described, err
		}
	}
	f := s.start(ctx, prelude)
	if !st.prepared && s.admits(sql) {
		st = f.prepare(own{s.binding.own, sql}, st.sd)
	}
	f.send(sql, st)
	err = f.sync()
	var answer any
	if err == nil {
		answer, err = f.GetResults()
	}
	if err != nil {
		return nil, described, f.end(err)
	}
	return s.rows(ctx, answer, f.Pipeline), described, nil
}

// sendable is a statement that is described and perhaps prepared.
type sendable struct {
	sd       *pgconn.StatementDescription
	prepared bool
}

// lookup finds what is known of a statement for the binding.
func (s *Session) lookup(sql string) (st sendable, ok bool) {
	if s.mode == Named {
		if sd := s.prepared.get(own{s.binding.own, sql}); sd != nil {
			return sendable{sd, true}, true
		}
	}
	sd := s.known.get(s.binding, sql)
	return sendable{sd, false}, sd != nil
}

// admits tells whether a statement is worth preparing.
func (s *Session) admits(sql string) bool {
	return s.mode == Named && s.prepared.admits(own{s.binding.own, sql})
}

// encode encodes the arguments of a statement into s.eqb.
func (s *Session) encode(sd *pgconn.StatementDescription, args []any) error {
	if len(sd.ParamOIDs) != len(args) {
		return fmt.Errorf("the statement has %d parameters, got %d arguments", len(sd.ParamOIDs), len(args))
	}
	return s.eqb.Build(s.conn.TypeMap(), sd, args)
}

// describe is the flight before the first one of some statements: they are parsed
// under the binding, never outside. Only here is their text looked at: what is
// known was looked at before. What it begins is taken off the prelude. The
// descriptions are to be used as they are: another session may have overwritten what
// is known by now, for a tenant that a migration has not reached.
func (s *Session) describe(ctx context.Context, prelude *Prelude, sqls []string) ([]*pgconn.StatementDescription, error) {
	for _, sql := range sqls {
		if word, changes := sqltext.ChangesSession(sql); changes {
			return nil, fmt.Errorf("%w: %s would change the session or transaction that rowhouse binds", ErrRefused, word)
		}
	}
	f := s.start(ctx, *prelude)
	for _, sql := range sqls {
		f.SendPrepare("", sql, nil)
	}
	described := make([]*pgconn.StatementDescription, len(sqls))
	err := f.sync()
	for i := 0; err == nil && i < len(sqls); i++ {
		var answer any
		if answer, err = f.GetResults(); err == nil {
			described[i] = answer.(*pgconn.StatementDescription)
		}
	}
	if err = f.end(err); err != nil {
		return nil, err
	}
	if prelude.Begin != "" {
		*prelude = Prelude{}
	}
	for i, sd := range described {
		apart, err := s.apart(ctx, *prelude, sd)
		if err != nil {
			return nil, err
		}
		s.known.put(s.binding, sqls[i], sd, apart)
	}
	return described, nil
}

// typesSQL tells of types whether they are of the schema that comes first in the
// search_path: the tenant's.
const typesSQL = `SELECT t.oid::pg_catalog.text, n.nspname = pg_catalog.current_schema()
FROM pg_catalog.pg_type t JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace WHERE t.oid = ANY ($1::pg_catalog.text::pg_catalog.oid[])`

// apart tells whether a description has types of the tenant's own. PostgreSQL is
// asked about each type once.
func (s *Session) apart(ctx context.Context, prelude Prelude, sd *pgconn.StatementDescription) (bool, error) {
	if !s.binding.shared() {
		return false, nil
	}
	tenants, unknown := s.known.types(sd)
	if tenants || len(unknown) == 0 {
		return tenants, nil
	}
	f := s.start(ctx, prelude)
	list := strings.Trim(strings.Join(strings.Fields(fmt.Sprint(unknown)), ","), "[]")
	f.SendQueryParams(typesSQL, [][]byte{[]byte("{" + list + "}")}, nil, nil, nil)
	foreign := make(map[uint32]bool, len(unknown))
	err := f.sync()
	var answer any
	if err == nil {
		answer, err = f.GetResults()
	}
	if err == nil {
		result := answer.(*pgconn.ResultReader)
		for result.NextRow() {
			row := result.Values()
			oid, _ := strconv.ParseUint(string(row[0]), 10, 32)
			foreign[uint32(oid)] = string(row[1]) == "t"
			tenants = tenants || foreign[uint32(oid)]
		}
		_, err = result.Close()
	}
	if err = f.end(err); err != nil {
		return false, fmt.Errorf("look at the types of a statement: %w", err)
	}
	s.known.learn(foreign)
	return tenants, nil
}

// lost tells whether a prepared statement was not there: somebody deallocated it,
// and perhaps all others.
func lost(err error) bool {
	var pgErr *pgconn.PgError
	return errors.As(err, &pgErr) && pgErr.Code == "26000"
}

// CopyFrom copies rows into a table in the transaction that is open.
func (s *Session) CopyFrom(ctx context.Context, table pgx.Identifier, columns []string, rows pgx.CopyFromSource) (int64, error) {
	n, err := s.conn.CopyFrom(ctx, table, columns, rows)
	return n, s.ended(ctx, err)
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
