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

// Tx is a transaction that runs as one tenant. It lives as long as the function
// that [DB.InTx] called, and is for one goroutine at a time.
type Tx struct {
	session *bind.Session
	tenant  *Tenant
	done    bool
}

// InTx runs fn in a transaction as the tenant of ctx, and commits when fn returns
// nil. When fn returns an error or panics, or ctx ends, the transaction is rolled
// back; the error is returned as it is, the panic goes on.
//
// BEGIN and the binding take one round trip together. InTx returns the errors of
// [DB.Query], and [pgx.ErrTxCommitRollback] when fn returned nil although a
// statement had failed.
func (db *DB) InTx(ctx context.Context, fn func(tx *Tx) error) (err error) {
	b, err := db.binding(ctx)
	if err != nil {
		return err
	}
	session, release, err := db.pool.Acquire(ctx)
	if err != nil {
		return fmt.Errorf("rowhouse: %w", err)
	}
	defer release()
	if err := session.Begin(ctx, b, "begin"); err != nil {
		return errors.Join(db.failed(ctx, err), rollback(ctx, session))
	}
	tx := &Tx{session: session, tenant: scopeOf(ctx).tenant}
	committed := false
	defer func() {
		tx.done = true
		if !committed { // an error, a panic or runtime.Goexit
			err = errors.Join(err, rollback(ctx, session))
		}
	}()
	if err := fn(tx); err != nil {
		return err
	}
	if err := session.Commit(ctx); err != nil {
		return fmt.Errorf("rowhouse: %w", err)
	}
	committed = true
	return nil
}

// rollback rolls back what is open. The error of a connection that broke says
// nothing that the caller does not know: the server rolled back then.
func rollback(ctx context.Context, s *bind.Session) error {
	pg := s.Conn().PgConn()
	if pg.IsClosed() || pg.TxStatus() == 'I' {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), rollbackTimeout)
	defer cancel()
	if err := s.Rollback(ctx); err != nil {
		// Closed, the connection cannot be used again, and the server rolls
		// back what it was doing.
		_ = s.Conn().Close(ctx)
	}
	return nil
}

// Query runs a statement in the transaction; see [DB.Query]. The rows must be
// closed before the next statement.
func (tx *Tx) Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error) {
	rows, err := tx.query(ctx, sql, args)
	if err != nil {
		return failedRows{err}, err
	}
	return rows, nil
}

// QueryRow runs a statement in the transaction and returns its first row; see
// [DB.QueryRow].
func (tx *Tx) QueryRow(ctx context.Context, sql string, args ...any) pgx.Row {
	rows, err := tx.Query(ctx, sql, args...)
	return row{rows, err}
}

// Exec runs a statement in the transaction; see [DB.Exec].
func (tx *Tx) Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error) {
	rows, err := tx.query(ctx, sql, args)
	if err != nil {
		return pgconn.CommandTag{}, err
	}
	rows.Close()
	return rows.CommandTag(), rows.Err()
}

func (tx *Tx) query(ctx context.Context, sql string, args []any) (*bind.Rows, error) {
	if tx.done {
		return nil, fmt.Errorf("rowhouse: %w", pgx.ErrTxClosed)
	}
	// A context without a tenant is fine: the transaction has one.
	if s := scopeOf(ctx); s != nil && s.tenant != tx.tenant && !sameTenant(s.tenant, tx.tenant) {
		return nil, fmt.Errorf("%w than the transaction's", ErrTenantMismatch)
	}
	rows, err := tx.session.Query(ctx, nil, sql, args)
	if err != nil {
		return nil, err
	}
	return rows, nil
}

// sameTenant tells whether two looked-up tenants are one: it may have been looked
// up again in between.
func sameTenant(a, b *Tenant) bool {
	return a != nil && b != nil && a.ID == b.ID && a.home == b.home
}
