package rowhouse

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/rowhouse/rowhouse/internal/bind"
)

// rollbackTimeout bounds a rollback, which must not depend on a context that may
// have ended already. When it passes, the connection is closed, and the server
// rolls back.
const rollbackTimeout = 5 * time.Second

// InTx runs fn in a transaction as the tenant of ctx, and commits when fn returns
// nil. When fn returns an error or panics, or ctx ends, the transaction is rolled
// back; the error is returned as it is, the panic goes on. For a transaction with
// options use [pgx.BeginTxFunc] with the DB.
//
// It returns the errors of [DB.Query], [ErrRetry], and [pgx.ErrTxCommitRollback]
// when fn returned nil although a statement had failed.
func (db *DB) InTx(ctx context.Context, fn func(tx pgx.Tx) error) error {
	return pgx.BeginTxFunc(ctx, db, pgx.TxOptions{}, fn)
}

// Begin begins a transaction as the tenant of ctx. Commit it or roll it back; it
// holds a connection. See [DB.BeginTx].
func (db *DB) Begin(ctx context.Context) (pgx.Tx, error) {
	return db.BeginTx(ctx, pgx.TxOptions{})
}

// BeginTx begins a transaction as the tenant of ctx, with pgx's options except
// BeginQuery and CommitQuery, which are refused.
//
// BEGIN and the binding travel with the first statement, so a transaction costs
// one round trip more than its statements: that of COMMIT. Errors of the binding
// come with that statement: those of [DB.Query]. The transaction's context is the
// one of each call; a context of another tenant is refused with
// [ErrTenantMismatch].
//
// The transaction is pgx's, savepoints (Begin), CopyFrom, SendBatch and large
// objects included. Prepare is refused, as a prepared statement would outlive the
// transaction. What is done with Conn is not looked at, and the connection is
// closed after the transaction.
func (db *DB) BeginTx(ctx context.Context, opts pgx.TxOptions) (pgx.Tx, error) {
	begin, err := beginSQL(opts)
	if err != nil {
		return nil, err
	}
	b, err := db.binding(ctx)
	if err != nil {
		return nil, err
	}
	session, release, err := db.acquire(ctx)
	if err != nil {
		return nil, fmt.Errorf("rowhouse: %w", err)
	}
	return &transaction{
		db: db, session: session, release: release, tenant: scopeOf(ctx).tenant,
		prelude: bind.Prelude{Binding: b, Begin: begin},
	}, nil
}

// beginSQL is the BEGIN of some options. They are strings, so only those that are
// known go into SQL.
func beginSQL(opts pgx.TxOptions) (string, error) {
	if opts.BeginQuery != "" || opts.CommitQuery != "" {
		return "", fmt.Errorf("rowhouse: %w: TxOptions.BeginQuery and CommitQuery", ErrStatementRefused)
	}
	sql := "begin"
	switch opts.IsoLevel {
	case "":
	case pgx.Serializable, pgx.RepeatableRead, pgx.ReadCommitted, pgx.ReadUncommitted:
		sql += " isolation level " + string(opts.IsoLevel)
	default:
		return "", fmt.Errorf("rowhouse: %w: unknown isolation level %q", ErrStatementRefused, opts.IsoLevel)
	}
	switch opts.AccessMode {
	case "":
	case pgx.ReadWrite, pgx.ReadOnly:
		sql += " " + string(opts.AccessMode)
	default:
		return "", fmt.Errorf("rowhouse: %w: unknown access mode %q", ErrStatementRefused, opts.AccessMode)
	}
	switch opts.DeferrableMode {
	case "":
	case pgx.Deferrable, pgx.NotDeferrable:
		sql += " " + string(opts.DeferrableMode)
	default:
		return "", fmt.Errorf("rowhouse: %w: unknown deferrable mode %q", ErrStatementRefused, opts.DeferrableMode)
	}
	return sql, nil
}

// transaction is a bound transaction, or a savepoint in one. It implements
// [pgx.Tx].
type transaction struct {
	db      *DB
	session *bind.Session
	release func()
	tenant  *Tenant // nil for the shared schema
	// prelude begins and binds the transaction, with its first flight.
	prelude bind.Prelude
	begun   bool
	done    bool

	// Of a savepoint. The binding was made before it and is not undone with it.
	outer *transaction
	name  string
}

// enter is called before each flight of the transaction. It returns what must
// travel before the flight.
func (tx *transaction) enter(ctx context.Context) (bind.Prelude, error) {
	for t := tx; t != nil; t = t.outer {
		if t.done {
			return bind.Prelude{}, fmt.Errorf("rowhouse: %w", pgx.ErrTxClosed)
		}
	}
	// A context without a tenant is fine: the transaction has one.
	if s := scopeOf(ctx); s != nil && s.tenant != tx.tenant && !sameTenant(s.tenant, tx.tenant) {
		return bind.Prelude{}, fmt.Errorf("%w than the transaction's", ErrTenantMismatch)
	}
	open := tx.session.Conn().PgConn().TxStatus() != 'I'
	if tx.begun && !open {
		return bind.Prelude{}, fmt.Errorf("rowhouse: the server ended the transaction: %w", pgx.ErrTxClosed)
	}
	if open {
		tx.begun = true
		return bind.Prelude{}, nil
	}
	return tx.prelude, nil
}

// sameTenant tells whether two looked-up tenants are one: it may have been looked
// up again in between.
func sameTenant(a, b *Tenant) bool {
	return a != nil && b != nil && a.ID == b.ID && a.home == b.home
}

// ensureBegun begins the transaction for what cannot travel with its prelude.
func (tx *transaction) ensureBegun(ctx context.Context) error {
	prelude, err := tx.enter(ctx)
	if err != nil || prelude.Begin == "" {
		return err
	}
	return tx.failed(ctx, tx.session.Begin(ctx, prelude))
}

// Query runs a statement in the transaction; see [DB.Query].
func (tx *transaction) Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error) {
	rows, err := tx.query(ctx, sql, args)
	if err != nil {
		return bind.FailedRows{Cause: err}, err
	}
	return rows, nil
}

// QueryRow runs a statement in the transaction; see [DB.QueryRow].
func (tx *transaction) QueryRow(ctx context.Context, sql string, args ...any) pgx.Row {
	rows, err := tx.Query(ctx, sql, args...)
	return bind.Row{Rows: rows, Err: err}
}

// Exec runs a statement in the transaction; see [DB.Exec].
func (tx *transaction) Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error) {
	rows, err := tx.query(ctx, sql, args)
	if err != nil {
		return pgconn.CommandTag{}, err
	}
	rows.Close()
	return rows.CommandTag(), rows.Err()
}

func (tx *transaction) query(ctx context.Context, sql string, args []any) (*bind.Rows, error) {
	prelude, err := tx.enter(ctx)
	if err != nil {
		return nil, err
	}
	rows, err := tx.session.Query(ctx, prelude, sql, args)
	if err != nil {
		return nil, tx.failed(ctx, err)
	}
	return rows, nil
}

// SendBatch runs a batch in the transaction; see [DB.SendBatch].
func (tx *transaction) SendBatch(ctx context.Context, b *pgx.Batch) pgx.BatchResults {
	prelude, err := tx.enter(ctx)
	if err != nil {
		return failedBatch{err}
	}
	return tx.session.SendBatch(ctx, prelude, b, func(err error) error { return tx.failed(ctx, err) })
}

// CopyFrom copies rows into a table; see [DB.CopyFrom].
func (tx *transaction) CopyFrom(ctx context.Context, table pgx.Identifier, columns []string, rows pgx.CopyFromSource) (int64, error) {
	if err := tx.ensureBegun(ctx); err != nil {
		return 0, err
	}
	n, err := tx.session.CopyFrom(ctx, table, columns, rows)
	return n, tx.failed(ctx, err)
}

// failed looks at an error as [DB.failed] does. The tenant is the transaction's;
// the context of a call may have none.
func (tx *transaction) failed(ctx context.Context, err error) error {
	if tx.tenant != nil {
		ctx = WithTenant(ctx, tx.tenant)
	}
	return tx.db.failed(ctx, err)
}

// LargeObjects gives access to large objects, which belong to the tenant's role.
// The transaction must have run a statement before.
func (tx *transaction) LargeObjects() pgx.LargeObjects { return tx.session.LargeObjects() }

// Prepare is refused: the statement would outlive the transaction.
func (tx *transaction) Prepare(context.Context, string, string) (*pgconn.StatementDescription, error) {
	return nil, fmt.Errorf("rowhouse: %w: Prepare; statements are prepared when they are first used, and kept", ErrStatementRefused)
}

// Conn returns the connection. It is closed after the transaction, since what is
// done with it is not looked at.
func (tx *transaction) Conn() *pgx.Conn {
	tx.session.Spend()
	return tx.session.Conn()
}

// Begin sets a savepoint: a transaction within the transaction.
func (tx *transaction) Begin(ctx context.Context) (pgx.Tx, error) {
	if err := tx.ensureBegun(ctx); err != nil {
		return nil, err
	}
	sp := &transaction{db: tx.db, session: tx.session, tenant: tx.tenant, begun: true, outer: tx, name: tx.name + "sp_"}
	if err := sp.control(ctx, "savepoint "+sp.name); err != nil {
		return nil, err
	}
	return sp, nil
}

// Commit commits the transaction, or releases the savepoint. It returns
// [pgx.ErrTxCommitRollback] if the server rolled back because a statement had
// failed.
func (tx *transaction) Commit(ctx context.Context) error {
	prelude, err := tx.enter(ctx)
	if errors.Is(err, pgx.ErrTxClosed) {
		return err
	}
	if tx.outer != nil {
		tx.done = true
		return errors.Join(err, tx.control(ctx, "release savepoint "+tx.name))
	}
	defer tx.end(ctx)
	switch {
	case err != nil:
	case prelude.Begin == "":
		err = tx.session.Commit(ctx)
	default: // nothing was sent that could have noticed
		err = ctx.Err()
	}
	return tx.failed(ctx, err)
}

// Rollback rolls the transaction back, or goes back to the savepoint. After
// Commit it does nothing and returns [pgx.ErrTxClosed]. A transaction that cannot
// be rolled back loses its connection, and the server rolls it back.
func (tx *transaction) Rollback(ctx context.Context) error {
	if tx.done || tx.outer != nil && tx.outer.done {
		return fmt.Errorf("rowhouse: %w", pgx.ErrTxClosed)
	}
	if tx.outer != nil {
		tx.done = true
		// Both in one message, which PostgreSQL runs in this order.
		return tx.control(ctx, "rollback to savepoint "+tx.name+"; release savepoint "+tx.name)
	}
	tx.end(ctx)
	return nil
}

// control sends what sets or ends a savepoint; its text is from here only.
func (tx *transaction) control(ctx context.Context, sql string) error {
	return tx.failed(ctx, tx.session.Control(ctx, sql))
}

// end rolls back what is still open and gives the connection back.
func (tx *transaction) end(ctx context.Context) {
	tx.done = true
	defer tx.release()
	pg := tx.session.Conn().PgConn()
	if pg.IsClosed() || pg.TxStatus() == 'I' {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), rollbackTimeout)
	defer cancel()
	if err := tx.session.Rollback(ctx); err != nil {
		_ = tx.session.Conn().Close(ctx)
	}
}
