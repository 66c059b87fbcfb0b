package sqldb_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/rowhouse/rowhouse"
)

// What does not end well leaves nothing.
func TestTxRollsBack(t *testing.T) {
	t.Parallel()
	everyWay(t, func(t *testing.T, via func(*fleet) string) {
		f := newFleet(t, via, "acme", "beta")
		ctx := f.as("acme")
		boom := errors.New("boom")
		for name, c := range map[string]struct {
			fn   func(tx *sql.Tx) error
			want error
			code string
		}{
			"error":   {fn: func(*sql.Tx) error { return boom }, want: boom},
			"ignored": {fn: func(tx *sql.Tx) error { _, _ = tx.Exec(`SELECT 1/0`); return nil }, want: pgx.ErrTxCommitRollback},
			"deferred constraint": {fn: func(tx *sql.Tx) error {
				_, err := tx.ExecContext(ctx, `INSERT INTO tickets (title, parent) VALUES ('x', 4711)`)
				return err
			}, code: "23503"},
			"another tenant": {fn: func(tx *sql.Tx) error { _, err := tx.ExecContext(f.as("beta"), fileTicket); return err }, want: rowhouse.ErrTenantMismatch},
			"shared":         {fn: func(tx *sql.Tx) error { _, err := tx.ExecContext(rowhouse.WithShared(ctx), fileTicket); return err }, want: rowhouse.ErrTenantMismatch},
		} {
			err := f.inTx(ctx, func(tx *sql.Tx) error {
				if _, err := tx.ExecContext(ctx, fileTicket); err != nil {
					return err
				}
				return c.fn(tx)
			})
			if c.code != "" {
				f.wantCode(name, err, c.code)
			} else {
				f.wantError(name, err, c.want)
			}
			f.wantTickets("acme", 0)
		}
		f.wantMark("beta")
	})
}

func TestTxPanics(t *testing.T) {
	t.Parallel()
	f := newFleet(t, nil, "acme")
	f.open(f.login, 1)
	func() {
		defer func() {
			if r := recover(); r != "boom" {
				t.Errorf("recovered %v", r)
			}
		}()
		_ = f.inTx(f.as("acme"), func(tx *sql.Tx) error {
			_, _ = tx.Exec(fileTicket)
			panic("boom")
		})
	}()
	f.wantTickets("acme", 0)
}

// A context that ends rolls back and gives the connection back.
func TestTxCancelled(t *testing.T) {
	t.Parallel()
	everyWay(t, func(t *testing.T, via func(*fleet) string) {
		f := newFleet(t, via, "acme")
		if via == nil {
			f.open(f.login, 1)
		}
		ctx, cancel := context.WithCancel(f.as("acme"))
		err := f.inTx(ctx, func(tx *sql.Tx) error {
			_, err := tx.ExecContext(ctx, fileTicket)
			cancel()
			return err
		})
		// database/sql may have rolled back already, and says so.
		if !errors.Is(err, context.Canceled) && !errors.Is(err, sql.ErrTxDone) {
			t.Errorf("got %v, want context.Canceled", err)
		}
		f.wantTickets("acme", 0)
	})
}

func TestTxCommits(t *testing.T) {
	t.Parallel()
	everyWay(t, func(t *testing.T, via func(*fleet) string) {
		f := newFleet(t, via, "acme")
		ctx := f.as("acme")
		stmt, err := f.std.PrepareContext(t.Context(), fileTicket)
		f.must(err)
		t.Cleanup(func() { _ = stmt.Close() })
		f.must(f.inTx(ctx, func(tx *sql.Tx) error {
			// The tenant's context, and one without any.
			for _, c := range []context.Context{ctx, t.Context()} {
				if _, err := tx.ExecContext(c, fileTicket); err != nil {
					return err
				}
			}
			_, err := tx.Stmt(stmt).Exec()
			return err
		}))
		f.wantTickets("acme", 3)
		empty, err := f.std.BeginTx(ctx, nil)
		f.must(err)
		f.must(empty.Commit())
	})
}

func TestTxOptions(t *testing.T) {
	t.Parallel()
	f := newFleet(t, nil, "acme")
	ctx := f.as("acme")
	for level, want := range map[sql.IsolationLevel]string{
		sql.LevelDefault: "read committed", sql.LevelReadUncommitted: "read uncommitted", sql.LevelReadCommitted: "read committed",
		sql.LevelRepeatableRead: "repeatable read", sql.LevelSnapshot: "repeatable read", sql.LevelSerializable: "serializable",
	} {
		tx, err := f.std.BeginTx(ctx, &sql.TxOptions{Isolation: level, ReadOnly: true})
		f.must(err)
		var isolation, readOnly string
		f.must(tx.QueryRow(`SELECT current_setting('transaction_isolation'), current_setting('transaction_read_only')`).Scan(&isolation, &readOnly))
		if isolation != want || readOnly != "on" {
			t.Errorf("%v: got %s, read only %s", level, isolation, readOnly)
		}
		_, err = tx.Exec(fileTicket)
		f.wantCode("a write in a read-only transaction", err, "25006")
		f.must(tx.Rollback())
	}
	for _, level := range []sql.IsolationLevel{sql.LevelWriteCommitted, sql.LevelLinearizable, 99} {
		if _, err := f.std.BeginTx(ctx, &sql.TxOptions{Isolation: level}); err == nil {
			t.Errorf("%v is known", level)
		}
	}
}

// Savepoints as ORMs set them: by statements.
func TestSavepoints(t *testing.T) {
	t.Parallel()
	everyWay(t, func(t *testing.T, via func(*fleet) string) {
		f := newFleet(t, via, "acme", "beta")
		ctx := f.as("acme")
		for name, c := range map[string]struct {
			statements []string // "+" files a ticket, "!" fails
			want       int
		}{
			"released":              {[]string{"SAVEPOINT a", "+", "RELEASE SAVEPOINT a", "+"}, 2},
			"rolled back":           {[]string{"+", "SAVEPOINT a", "+", "ROLLBACK TO SAVEPOINT a"}, 1},
			"rolled back, used on":  {[]string{"SAVEPOINT a", "+", "ROLLBACK TO a", "+", "ROLLBACK TO a", "+", "RELEASE a"}, 1},
			"after an error":        {[]string{"+", "SAVEPOINT a", "+", "!", "ROLLBACK TO SAVEPOINT a", "+"}, 2},
			"nested":                {[]string{"SAVEPOINT a", "+", "SAVEPOINT b", "+", "ROLLBACK TO b", "RELEASE a"}, 1},
			"outer rolled back":     {[]string{"+", "SAVEPOINT a", "+", "SAVEPOINT b", "+", "!", "ROLLBACK TO a"}, 1},
			"outer released":        {[]string{"SAVEPOINT a", "+", "SAVEPOINT b", "+", "RELEASE a"}, 2},
			"same name twice":       {[]string{"SAVEPOINT a", "+", "SAVEPOINT A", "+", "ROLLBACK TO a", "RELEASE a", "+", "ROLLBACK TO a"}, 0},
			"never released":        {[]string{"SAVEPOINT a", "+", "SAVEPOINT b", "+", "SAVEPOINT c", "+"}, 3},
			"other case and spaces": {[]string{" savepoint \n sp_1 ;", "+", "rollback\tto Savepoint SP_1"}, 0},
		} {
			f.must(f.inTx(ctx, func(tx *sql.Tx) error {
				for _, s := range c.statements {
					switch s {
					case "+":
						s = fileTicket
					case "!":
						_, err := tx.Exec(`SELECT * FROM beta.tickets`)
						f.wantCode("behind a savepoint", err, "42501")
						continue
					}
					if _, err := tx.ExecContext(ctx, s); err != nil {
						t.Fatalf("%s: %s: %v", name, s, err)
					}
				}
				if m, err := mark(ctx, tx); err != nil || m != "acme" {
					t.Errorf("%s: at the end: %q, %v", name, m, err)
				}
				return nil
			}))
			f.wantTickets("acme", c.want)
			_, err := f.std.ExecContext(ctx, `DELETE FROM tickets`)
			f.must(err)
		}
	})
}

// As an ORM may do in a loop: more savepoints than PostgreSQL has letters for.
func TestManySavepoints(t *testing.T) {
	t.Parallel()
	f := newFleet(t, nil, "acme")
	ctx := f.as("acme")
	f.must(f.inTx(ctx, func(tx *sql.Tx) error {
		for i := range 40 {
			for _, s := range []string{"SAVEPOINT " + names(40)[i], fileTicket} {
				if _, err := tx.ExecContext(ctx, s); err != nil {
					return err
				}
			}
		}
		_, err := tx.ExecContext(ctx, "ROLLBACK TO SAVEPOINT t10")
		return err
	}))
	f.wantTickets("acme", 10)
}

func TestConn(t *testing.T) {
	t.Parallel()
	f := newFleet(t, nil, "acme", "beta")
	f.open(f.login, 1)
	conn, err := f.std.Conn(t.Context()) // no tenant needed
	f.must(err)
	// It holds no connection of PostgreSQL: the only one is free.
	f.wantMark("beta")
	for _, s := range []string{"acme", "beta"} {
		if m, err := mark(f.as(s), conn); err != nil || m != s {
			t.Errorf("as %s: %q, %v", s, m, err)
		}
	}
	f.must(conn.Raw(func(raw any) error {
		_, err := raw.(driver.ExecerContext).ExecContext(t.Context(), `SELECT 1`, nil)
		f.wantError("through Raw", err, rowhouse.ErrNoTenant)
		begin := raw.(driver.ConnBeginTx)
		if _, err := begin.BeginTx(f.as("acme"), driver.TxOptions{}); err != nil {
			return err
		}
		if _, err := begin.BeginTx(f.as("acme"), driver.TxOptions{}); err == nil {
			t.Error("a transaction began in another")
		}
		return nil // with the transaction left open
	}))
	f.must(conn.Close())
	f.wantMark("beta")
}

// Ping needs no tenant, in a transaction neither.
func TestPing(t *testing.T) {
	t.Parallel()
	f := newFleet(t, nil, "acme")
	f.open(f.login, 1)
	f.must(f.std.Ping())
	f.must(f.std.PingContext(f.as("acme")))
	conn, err := f.std.Conn(t.Context())
	f.must(err)
	tx, err := conn.BeginTx(f.as("acme"), nil)
	f.must(err)
	f.must(conn.PingContext(t.Context()))
	f.must(tx.Rollback())
	f.must(conn.Close())
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	f.wantError("cancelled", f.std.PingContext(cancelled), context.Canceled)
	if _, err := f.std.Driver().Open(f.login); err == nil {
		t.Error("the driver opened a connection")
	}
}
