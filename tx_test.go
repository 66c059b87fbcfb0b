package rowhouse_test

import (
	"context"
	"errors"
	"runtime"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/rowhouse/rowhouse"
)

const fileTicket = `INSERT INTO tickets (title) VALUES ('x')`

func (f *fleet) tickets(schema string) (n int) {
	f.t.Helper()
	f.must(f.db.QueryRow(f.as(schema), `SELECT count(*) FROM tickets`).Scan(&n))
	return n
}

// Invariant 5: what does not end well leaves nothing.
func TestInTxRollsBack(t *testing.T) {
	t.Parallel()
	everyWay(t, func(t *testing.T, via func(*fleet) string) {
		f := newFleet(t, via, "acme", "beta")
		ctx := f.as("acme")
		boom := errors.New("boom")
		for name, c := range map[string]struct {
			fn   func(tx pgx.Tx) error
			want func(err error) bool
		}{
			"error": {func(pgx.Tx) error { return boom }, func(err error) bool { return errors.Is(err, boom) }},
			"failed statement, ignored": {func(tx pgx.Tx) error {
				_, _ = tx.Exec(ctx, `SELECT 1/0`)
				return nil
			}, func(err error) bool { return errors.Is(err, pgx.ErrTxCommitRollback) }},
			"deferred constraint": {func(tx pgx.Tx) error {
				_, err := tx.Exec(ctx, `INSERT INTO tickets (title, parent) VALUES ('x', 4711)`)
				return err
			}, func(err error) bool { var e *pgconn.PgError; return errors.As(err, &e) && e.Code == "23503" }},
			"open rows": {func(tx pgx.Tx) error {
				_, err := tx.Query(ctx, `SELECT generate_series(1, 100000)`)
				return err
			}, func(err error) bool { return err != nil && strings.Contains(err.Error(), "commit") }},
			"another tenant": {func(tx pgx.Tx) error {
				_, err := tx.Exec(f.as("beta"), fileTicket)
				return err
			}, func(err error) bool { return errors.Is(err, rowhouse.ErrTenantMismatch) }},
			"shared": {func(tx pgx.Tx) error {
				_, err := tx.Exec(rowhouse.WithShared(ctx), fileTicket)
				return err
			}, func(err error) bool { return errors.Is(err, rowhouse.ErrTenantMismatch) }},
		} {
			err := f.db.InTx(ctx, func(tx pgx.Tx) error {
				if _, err := tx.Exec(ctx, fileTicket); err != nil {
					return err
				}
				return c.fn(tx)
			})
			if !c.want(err) {
				t.Errorf("%s: got %v", name, err)
			}
			if n := f.tickets("acme"); n != 0 {
				t.Fatalf("%s: %d tickets were committed", name, n)
			}
		}
		f.wantMark("beta")
	})
}

func TestInTxPanics(t *testing.T) {
	t.Parallel()
	f := newFleet(t, nil, "acme")
	ctx := f.as("acme")
	f.db = f.open(f.login, 1)
	func() {
		defer func() {
			if r := recover(); r != "boom" {
				t.Errorf("recovered %v", r)
			}
		}()
		_ = f.db.InTx(ctx, func(tx pgx.Tx) error {
			_, _ = tx.Exec(ctx, fileTicket)
			panic("boom")
		})
	}()
	done := make(chan struct{})
	go func() { // as t.FailNow does within a callback
		defer close(done)
		_ = f.db.InTx(ctx, func(tx pgx.Tx) error {
			_, _ = tx.Exec(ctx, fileTicket)
			runtime.Goexit()
			return nil
		})
	}()
	<-done
	if n := f.tickets("acme"); n != 0 {
		t.Errorf("%d tickets were committed", n)
	}
}

func TestInTxCancelled(t *testing.T) {
	t.Parallel()
	f := newFleet(t, nil, "acme")
	f.db = f.open(f.login, 1)
	ctx, cancel := context.WithCancel(f.as("acme"))
	err := f.db.InTx(ctx, func(tx pgx.Tx) error {
		_, err := tx.Exec(ctx, fileTicket)
		cancel()
		return err
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want context.Canceled", err)
	}
	if n := f.tickets("acme"); n != 0 {
		t.Errorf("%d tickets were committed", n)
	}
}

func TestInTxCommits(t *testing.T) {
	t.Parallel()
	f := newFleet(t, nil, "acme")
	ctx := f.as("acme")
	var kept pgx.Tx
	f.must(f.db.InTx(ctx, func(tx pgx.Tx) error {
		kept = tx
		// The tenant may have been looked up again, or not be in the context.
		again := rowhouse.WithTenant(t.Context(), mustTenant(t, ctx))
		for _, c := range []context.Context{ctx, again, t.Context()} {
			if _, err := tx.Exec(c, fileTicket); err != nil {
				return err
			}
		}
		return nil
	}))
	if n := f.tickets("acme"); n != 3 {
		t.Errorf("got %d tickets, want 3", n)
	}
	if _, err := kept.Exec(ctx, fileTicket); !errors.Is(err, pgx.ErrTxClosed) {
		t.Errorf("a transaction was used after its end: %v", err)
	}
}

func mustTenant(t *testing.T, ctx context.Context) *rowhouse.Tenant {
	t.Helper()
	tenant, err := rowhouse.FromContext(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return tenant
}

func TestBeginTx(t *testing.T) {
	t.Parallel()
	everyWay(t, func(t *testing.T, via func(*fleet) string) {
		f := newFleet(t, via, "acme")
		ctx := f.as("acme")
		tx, err := f.db.BeginTx(ctx, pgx.TxOptions{IsoLevel: pgx.Serializable, AccessMode: pgx.ReadOnly, DeferrableMode: pgx.Deferrable})
		f.must(err)
		var level, readOnly, deferrable string
		f.must(tx.QueryRow(ctx, `SELECT current_setting('transaction_isolation'), current_setting('transaction_read_only'), current_setting('transaction_deferrable')`).Scan(&level, &readOnly, &deferrable))
		if level != "serializable" || readOnly != "on" || deferrable != "on" {
			t.Errorf("got %s, %s, %s", level, readOnly, deferrable)
		}
		var pgErr *pgconn.PgError
		if _, err := tx.Exec(ctx, fileTicket); !errors.As(err, &pgErr) || pgErr.Code != "25006" {
			t.Errorf("a read-only transaction wrote: %v", err)
		}
		f.must(tx.Rollback(ctx))
		if err := tx.Rollback(ctx); !errors.Is(err, pgx.ErrTxClosed) {
			t.Errorf("rolled back twice: %v", err)
		}
		if err := tx.Commit(ctx); !errors.Is(err, pgx.ErrTxClosed) {
			t.Errorf("committed after the rollback: %v", err)
		}
		for _, opts := range []pgx.TxOptions{{BeginQuery: "select 1"}, {CommitQuery: "select 1"}, {IsoLevel: "x; drop"}, {AccessMode: "x"}, {DeferrableMode: "x"}} {
			if _, err := f.db.BeginTx(ctx, opts); !errors.Is(err, rowhouse.ErrStatementRefused) {
				t.Errorf("%+v: got %v", opts, err)
			}
		}
		empty, err := f.db.Begin(ctx)
		f.must(err)
		f.must(empty.Commit(ctx)) // without a statement
	})
}

func TestSavepoints(t *testing.T) {
	t.Parallel()
	everyWay(t, func(t *testing.T, via func(*fleet) string) {
		f := newFleet(t, via, "acme", "beta")
		ctx := f.as("acme")
		f.must(f.db.InTx(ctx, func(tx pgx.Tx) error {
			first, err := tx.Begin(ctx) // before any statement
			f.must(err)
			_, err = first.Exec(ctx, fileTicket)
			f.must(err)
			inner, err := first.Begin(ctx)
			f.must(err)
			_, err = inner.Exec(ctx, `SELECT * FROM beta.tickets`)
			if err == nil {
				t.Error("the wall is not there within a savepoint")
			}
			f.must(inner.Rollback(ctx))
			if _, err := inner.Exec(ctx, fileTicket); !errors.Is(err, pgx.ErrTxClosed) {
				t.Errorf("a savepoint was used after its end: %v", err)
			}
			// The binding outlives the savepoint's rollback.
			if m, err := mark(ctx, first); err != nil || m != "acme" {
				t.Errorf("after the rollback: %q, %v", m, err)
			}
			f.must(first.Commit(ctx))
			second, err := tx.Begin(ctx)
			f.must(err)
			n, err := second.CopyFrom(ctx, pgx.Identifier{"tickets"}, []string{"title"}, pgx.CopyFromRows([][]any{{"x"}, {"y"}}))
			if err != nil || n != 2 {
				t.Errorf("copied %d, %v", n, err)
			}
			return second.Rollback(ctx)
		}))
		if n := f.tickets("acme"); n != 1 {
			t.Errorf("got %d tickets, want 1", n)
		}
	})
}

func TestTxRest(t *testing.T) {
	t.Parallel()
	f := newFleet(t, nil, "acme")
	f.db = f.open(f.login, 1)
	ctx := f.as("acme")
	f.must(f.db.InTx(ctx, func(tx pgx.Tx) error {
		batch := &pgx.Batch{}
		batch.Queue(fileTicket)
		batch.Queue(fileTicket)
		f.must(tx.SendBatch(ctx, batch).Close()) // with BEGIN in the same flight
		if _, err := tx.Prepare(ctx, "x", "SELECT 1"); !errors.Is(err, rowhouse.ErrStatementRefused) {
			t.Errorf("Prepare: %v", err)
		}
		large := tx.LargeObjects()
		oid, err := large.Create(ctx, 0)
		f.must(err)
		object, err := large.Open(ctx, oid, pgx.LargeObjectModeRead|pgx.LargeObjectModeWrite)
		f.must(err)
		_, err = object.Write([]byte("hello"))
		return err
	}))
	if n := f.tickets("acme"); n != 2 {
		t.Errorf("got %d tickets, want 2", n)
	}
	// What is done with the bare connection does not reach the next unit of work.
	f.must(f.db.InTx(ctx, func(tx pgx.Tx) error {
		_, err := tx.Conn().Exec(ctx, `SET SESSION statement_timeout = 1`)
		return err
	}))
	var timeout string
	f.must(f.db.QueryRow(ctx, `SELECT current_setting('statement_timeout')`).Scan(&timeout))
	if timeout != "0" {
		t.Errorf("statement_timeout is %s", timeout)
	}
}

// The server ends a transaction that idles too long; what follows is refused, and
// not begun anew.
func TestTxEndedByServer(t *testing.T) {
	t.Parallel()
	f := newFleet(t, nil, "acme")
	ctx := f.as("acme")
	err := f.db.InTx(ctx, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, fileTicket); err != nil {
			return err
		}
		f.behind(`SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE state = 'idle in transaction' AND datname = current_database()`)
		f.wantNothingRunning()
		_, err := tx.Exec(ctx, fileTicket)
		return err
	})
	if err == nil {
		t.Error("no error")
	}
	if n := f.tickets("acme"); n != 0 {
		t.Errorf("%d tickets were committed", n)
	}
}
