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
			fn   func(tx *rowhouse.Tx) error
			want func(err error) bool
		}{
			"error": {func(*rowhouse.Tx) error { return boom }, func(err error) bool { return errors.Is(err, boom) }},
			"failed statement, ignored": {func(tx *rowhouse.Tx) error {
				_, _ = tx.Exec(ctx, `SELECT 1/0`)
				return nil
			}, func(err error) bool { return errors.Is(err, pgx.ErrTxCommitRollback) }},
			"deferred constraint": {func(tx *rowhouse.Tx) error {
				_, err := tx.Exec(ctx, `INSERT INTO tickets (title, parent) VALUES ('x', 4711)`)
				return err
			}, func(err error) bool { var e *pgconn.PgError; return errors.As(err, &e) && e.Code == "23503" }},
			"open rows": {func(tx *rowhouse.Tx) error {
				_, err := tx.Query(ctx, `SELECT generate_series(1, 100000)`)
				return err
			}, func(err error) bool { return err != nil && strings.Contains(err.Error(), "commit") }},
			"another tenant": {func(tx *rowhouse.Tx) error {
				_, err := tx.Exec(f.as("beta"), fileTicket)
				return err
			}, func(err error) bool { return errors.Is(err, rowhouse.ErrTenantMismatch) }},
			"shared": {func(tx *rowhouse.Tx) error {
				_, err := tx.Exec(rowhouse.WithShared(ctx), fileTicket)
				return err
			}, func(err error) bool { return errors.Is(err, rowhouse.ErrTenantMismatch) }},
		} {
			err := f.db.InTx(ctx, func(tx *rowhouse.Tx) error {
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
		_ = f.db.InTx(ctx, func(tx *rowhouse.Tx) error {
			_, _ = tx.Exec(ctx, fileTicket)
			panic("boom")
		})
	}()
	done := make(chan struct{})
	go func() { // as t.FailNow does within a callback
		defer close(done)
		_ = f.db.InTx(ctx, func(tx *rowhouse.Tx) error {
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
	err := f.db.InTx(ctx, func(tx *rowhouse.Tx) error {
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
	var kept *rowhouse.Tx
	f.must(f.db.InTx(ctx, func(tx *rowhouse.Tx) error {
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
