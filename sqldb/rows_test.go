package sqldb_test

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// One view, one connection of PostgreSQL: whatever does not give it back stops the
// next statement.
func TestNothingIsHeld(t *testing.T) {
	t.Parallel()
	everyWay(t, func(t *testing.T, via func(*fleet) string) {
		f := newFleet(t, via, "acme", "beta")
		url := f.login
		if via != nil {
			url = via(f)
		}
		f.open(url, 1)
		ctx := f.as("acme")
		for name, work := range map[string]func() error{
			"closed early": func() error {
				rows, err := f.std.QueryContext(ctx, `SELECT generate_series(1, 1000)`)
				f.must(err)
				rows.Next()
				return rows.Close()
			},
			"read to the end": func() error {
				rows, err := f.std.QueryContext(ctx, `SELECT generate_series(1, 3)`)
				f.must(err)
				for n := 1; rows.Next(); n++ {
					var got int
					if f.must(rows.Scan(&got)); got != n {
						t.Errorf("got %d, want %d", got, n)
					}
				}
				f.wantMark("acme") // before they are closed
				return errors.Join(rows.Err(), rows.Close())
			},
			"no rows": func() error {
				rows, err := f.std.QueryContext(ctx, `SELECT 1 WHERE false`)
				f.must(err)
				f.wantMark("acme")
				return rows.Close()
			},
			"fails in the middle": func() error {
				rows, err := f.std.QueryContext(ctx, `SELECT 1/(2-i) FROM generate_series(1, 2) i`)
				f.must(err)
				for rows.Next() {
				}
				f.wantCode("in the middle", rows.Err(), "22012")
				return nil
			},
			"cannot be scanned": func() error {
				if err := f.std.QueryRowContext(ctx, `SELECT 'x' FROM generate_series(1, 10)`).Scan(new(int)); err == nil {
					t.Error("a letter is a number")
				}
				return nil
			},
			"prepared": func() error {
				stmt, err := f.std.PrepareContext(ctx, `SELECT 1`)
				f.must(err)
				f.wantMark("beta")
				return stmt.Close()
			},
			"fails to begin": func() error {
				_, err := f.std.BeginTx(ctx, &sql.TxOptions{Isolation: sql.LevelLinearizable})
				if err == nil {
					t.Error("began")
				}
				return nil
			},
		} {
			if err := work(); err != nil {
				t.Errorf("%s: %v", name, err)
			}
			f.wantMark("beta")
		}
	})
}

func TestCancelledWhileReading(t *testing.T) {
	t.Parallel()
	everyWay(t, func(t *testing.T, via func(*fleet) string) {
		f := newFleet(t, via, "acme", "beta")
		ctx, cancel := context.WithCancel(f.as("acme"))
		rows, err := f.std.QueryContext(ctx, `SELECT repeat('x', 10000) FROM generate_series(1, 1000000)`)
		f.must(err)
		if !rows.Next() {
			t.Fatalf("no row: %v", rows.Err())
		}
		cancel()
		for rows.Next() {
		}
		f.wantError("cancelled", rows.Err(), context.Canceled)
		f.wantMark("acme")
		f.wantMark("beta")
	})
}

// In a transaction, rows that are open take the connection: the next statement
// gets an error and does not wait for ever.
func TestOpenRowsInTx(t *testing.T) {
	t.Parallel()
	f := newFleet(t, nil, "acme")
	ctx := f.as("acme")
	tx, err := f.std.BeginTx(ctx, nil)
	f.must(err)
	rows, err := tx.QueryContext(ctx, `SELECT generate_series(1, 100000)`)
	f.must(err)
	if _, err := tx.ExecContext(ctx, fileTicket); err == nil {
		t.Error("two statements at once on one connection")
	}
	f.must(rows.Close())
	f.must(tx.Rollback())
	f.wantMark("acme")
}

func TestErrors(t *testing.T) {
	t.Parallel()
	f := newFleet(t, nil, "acme")
	ctx := f.as("acme")
	err := f.std.QueryRowContext(ctx, `SELECT 1 WHERE false`).Scan(new(int))
	f.wantError("no rows", err, sql.ErrNoRows)
	_, err = f.std.ExecContext(ctx, `SELECT 1/0`)
	f.wantCode("exec", err, "22012")
	_, err = f.std.QueryContext(ctx, `SELECT 1/0`) // with the statement, not with the rows
	f.wantCode("query", err, "22012")
	// A statement by itself is committed when its rows have ended.
	rows, err := f.std.QueryContext(ctx, `INSERT INTO tickets (title, parent) VALUES ('x', 4711) RETURNING id`)
	f.must(err)
	for rows.Next() {
	}
	f.wantCode("at the commit", rows.Err(), "23503")
	result, err := f.std.ExecContext(ctx, `INSERT INTO tickets (title) VALUES ('x'), ('y')`)
	f.must(err)
	if n, err := result.RowsAffected(); n != 2 || err != nil {
		t.Errorf("%d rows affected, %v", n, err)
	}
	if _, err := result.LastInsertId(); err == nil {
		t.Error("there is a last inserted ID")
	}
	var id int64
	f.must(f.std.QueryRowContext(ctx, `INSERT INTO tickets (title) VALUES ('z') RETURNING id`).Scan(&id))
	f.wantTickets("acme", 3)
}

// A statement on a connection that died is not sent again, as it may have been
// executed; the next one gets another connection.
func TestConnectionDies(t *testing.T) {
	t.Parallel()
	f := newFleet(t, nil, "acme")
	ctx := f.as("acme")
	f.behind(`CREATE SEQUENCE public.calls`)
	f.behind(`CREATE FUNCTION public.die() RETURNS void LANGUAGE plpgsql SECURITY DEFINER AS $$ BEGIN
		PERFORM nextval('public.calls'), pg_terminate_backend(pg_backend_pid());
	END $$`)
	var pgErr *pgconn.PgError
	if _, err := f.std.ExecContext(ctx, `SELECT public.die()`); !errors.As(err, &pgErr) || pgErr.Code != "57P01" {
		t.Errorf("got %v, want 57P01", err)
	}
	f.wantMark("acme")
	var calls int
	f.must(f.superior.QueryRow(t.Context(), `SELECT last_value FROM public.calls`).Scan(&calls))
	if calls != 1 {
		t.Errorf("it was run %d times", calls)
	}
}

// What a row gave stays when the next one is read.
func TestBytesAreCopied(t *testing.T) {
	t.Parallel()
	f := newFleet(t, nil, "acme")
	rows, err := f.std.QueryContext(f.as("acme"), `SELECT convert_to(repeat(c, 100), 'UTF8'), to_jsonb(c) FROM unnest('{a,b}'::text[]) c`)
	f.must(err)
	var all [2][2][]byte
	for i := 0; rows.Next(); i++ {
		f.must(rows.Scan(&all[i][0], &all[i][1]))
	}
	f.must(rows.Err())
	if !bytes.Equal(all[0][0], bytes.Repeat([]byte("a"), 100)) || string(all[0][1]) != `"a"` || string(all[1][1]) != `"b"` {
		t.Errorf("got %q", all)
	}
}

// The view is not another pool: closing it leaves the DB open.
func TestClose(t *testing.T) {
	t.Parallel()
	f := newFleet(t, nil, "acme")
	ctx := f.as("acme")
	f.must(f.std.Close())
	if _, err := f.std.ExecContext(ctx, `SELECT 1`); err == nil {
		t.Error("a closed view works")
	}
	f.must(f.db.InTx(ctx, func(tx pgx.Tx) error { _, err := tx.Exec(ctx, `SELECT 1`); return err }))
}
