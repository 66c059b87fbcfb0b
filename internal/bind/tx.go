package bind

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// Begin begins a transaction and binds it, in one flight. A statement may carry
// the same prelude with it instead.
func (s *Session) Begin(ctx context.Context, prelude Prelude) error {
	s.enter(prelude)
	f := s.start(ctx, prelude)
	return s.ended(ctx, f.end(f.sync()))
}

// Commit commits the transaction. It returns [pgx.ErrTxCommitRollback] when the
// server rolled it back instead.
func (s *Session) Commit(ctx context.Context) error {
	results, err := s.conn.PgConn().Exec(ctx, "commit").ReadAll()
	if err != nil {
		return fmt.Errorf("commit: %w", s.ended(ctx, err))
	}
	if results[0].CommandTag.String() != "COMMIT" {
		return pgx.ErrTxCommitRollback
	}
	return nil
}

// Rollback rolls the transaction back.
func (s *Session) Rollback(ctx context.Context) error {
	if _, err := s.conn.PgConn().Exec(ctx, "rollback").ReadAll(); err != nil {
		return fmt.Errorf("roll back: %w", err)
	}
	return nil
}

// Control sends what sets or ends a savepoint. Its text must be rowhouse's own.
func (s *Session) Control(ctx context.Context, sql string) error {
	_, err := s.conn.PgConn().Exec(ctx, sql).ReadAll()
	return s.ended(ctx, err)
}

// LargeObjects works on the large objects of whatever transaction is open.
func (s *Session) LargeObjects() pgx.LargeObjects { return s.large }

// largeObjects gets hold of pgx's access to large objects, which only its own
// transactions give out. This one is never ended: it is a query that begins
// nothing, and the handle runs its statements in whatever is open later.
func largeObjects(ctx context.Context, conn *pgx.Conn) (pgx.LargeObjects, error) {
	tx, err := conn.BeginTx(ctx, pgx.TxOptions{BeginQuery: "select"})
	if err != nil {
		return pgx.LargeObjects{}, fmt.Errorf("prepare for large objects: %w", err)
	}
	return tx.LargeObjects(), nil
}
