package rowhouse_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/rowhouse/rowhouse"
)

func TestSendBatch(t *testing.T) {
	t.Parallel()
	everyWay(t, func(t *testing.T, via func(*fleet) string) {
		f := newFleet(t, via, "acme", "beta")
		for range 3 { // cold, then warm, and another tenant on the same connections
			for _, s := range []string{"acme", "beta"} {
				batch := &pgx.Batch{}
				batch.Queue(`INSERT INTO tickets (title) VALUES ($1)`, s)
				batch.Queue(`INSERT INTO tickets (title) VALUES ($1)`, s)
				batch.Queue(`SELECT DISTINCT title FROM tickets`)
				batch.Queue(`SELECT mark FROM marks WHERE mark = @m`, pgx.NamedArgs{"m": s})
				br := f.db.SendBatch(f.as(s), batch)
				for range 2 {
					if tag, err := br.Exec(); err != nil || tag.RowsAffected() != 1 {
						t.Fatalf("insert: %v, %v", tag, err)
					}
				}
				rows, _ := br.Query()
				titles, err := pgx.CollectRows(rows, pgx.RowTo[string])
				if err != nil || len(titles) != 1 || titles[0] != s {
					t.Fatalf("as %s: got %v, %v", s, titles, err)
				}
				var m string
				if err := br.QueryRow().Scan(&m); err != nil || m != s {
					t.Fatalf("as %s: got mark %q, %v", s, m, err)
				}
				if _, err := br.Exec(); err == nil {
					t.Error("there was a result too many")
				}
				f.must(br.Close())
				f.must(br.Close())
			}
		}
		if n := f.tickets("acme"); n != 6 {
			t.Errorf("got %d tickets, want 6", n)
		}
	})
}

// A batch is one unit of work: all of it or nothing.
func TestSendBatchFails(t *testing.T) {
	t.Parallel()
	everyWay(t, func(t *testing.T, via func(*fleet) string) {
		f := newFleet(t, via, "acme", "beta")
		ctx := f.as("acme")
		for sql, code := range map[string]string{
			`SELECT 1/0`:                 "22012",
			`SELECT * FROM beta.tickets`: "42501",
			`SELECT nonsense`:            "42703",
			`INSERT INTO tickets (title, parent) VALUES ('x', 4711)`: "23503", // at the commit
		} {
			batch := &pgx.Batch{}
			batch.Queue(fileTicket)
			batch.Queue(sql)
			var pgErr *pgconn.PgError
			if err := f.db.SendBatch(ctx, batch).Close(); !errors.As(err, &pgErr) || pgErr.Code != code {
				t.Errorf("%s: got %v, want %s", sql, err, code)
			}
		}
		batch := &pgx.Batch{}
		batch.Queue(fileTicket)
		batch.Queue(`RESET ROLE`)
		if err := f.db.SendBatch(ctx, batch).Close(); !errors.Is(err, rowhouse.ErrStatementRefused) {
			t.Errorf("RESET ROLE: got %v", err)
		}
		if err := f.db.SendBatch(t.Context(), batch).Close(); !errors.Is(err, rowhouse.ErrNoTenant) {
			t.Errorf("no tenant: got %v", err)
		}
		if _, err := f.db.SendBatch(t.Context(), batch).Query(); !errors.Is(err, rowhouse.ErrNoTenant) {
			t.Errorf("no tenant: got %v", err)
		}
		if n := f.tickets("acme"); n != 0 {
			t.Errorf("%d tickets were committed", n)
		}
		f.wantMark("beta")
	})
}

func TestSendBatchCallbacks(t *testing.T) {
	t.Parallel()
	f := newFleet(t, nil, "acme")
	batch := &pgx.Batch{}
	var m string
	var affected int64
	batch.Queue(`SELECT mark FROM marks`).QueryRow(func(row pgx.Row) error { return row.Scan(&m) })
	batch.Queue(fileTicket).Exec(func(tag pgconn.CommandTag) error { affected = tag.RowsAffected(); return nil })
	f.must(f.db.SendBatch(f.as("acme"), batch).Close())
	if m != "acme" || affected != 1 {
		t.Errorf("got %q, %d", m, affected)
	}
	boom := errors.New("boom")
	batch = &pgx.Batch{}
	batch.Queue(`SELECT 1`).Exec(func(pgconn.CommandTag) error { return boom })
	if err := f.db.SendBatch(f.as("acme"), batch).Close(); !errors.Is(err, boom) {
		t.Errorf("got %v, want the callback's error", err)
	}
}

// More statements than a connection keeps, in one batch and one after the other.
func TestStatementCacheOverflows(t *testing.T) {
	t.Parallel()
	everyWay(t, func(t *testing.T, via func(*fleet) string) {
		f := newFleet(t, via, "acme")
		app := f.login
		if via != nil {
			app = via(f)
		}
		db, err := rowhouse.Open(t.Context(), rowhouse.Config{DatabaseURL: app, MaxConns: 1, StatementCacheCapacity: 4})
		f.must(err)
		t.Cleanup(db.Close)
		ctx := f.as("acme")
		for range 3 {
			batch := &pgx.Batch{}
			for i := range 20 {
				batch.Queue(fmt.Sprintf(`SELECT %d FROM marks`, i)).QueryRow(func(row pgx.Row) error {
					var got int
					if err := row.Scan(&got); err != nil || got != i {
						return fmt.Errorf("got %d, want %d: %w", got, i, err)
					}
					return nil
				})
			}
			f.must(db.SendBatch(ctx, batch).Close())
			for i := range 6 {
				var got int
				if err := db.QueryRow(ctx, fmt.Sprintf(`SELECT %d FROM marks`, i)).Scan(&got); err != nil || got != i {
					t.Fatalf("got %d, %v, want %d", got, err, i)
				}
			}
		}
		if via == nil {
			var kept int
			f.must(db.QueryRow(ctx, `SELECT count(*) FROM pg_prepared_statements WHERE statement NOT LIKE '%set_config(%'`).Scan(&kept))
			if kept > 4 {
				t.Errorf("the server keeps %d statements", kept)
			}
		}
	})
}

func TestCopyFrom(t *testing.T) {
	t.Parallel()
	everyWay(t, func(t *testing.T, via func(*fleet) string) {
		f := newFleet(t, via, "acme", "beta")
		rows := [][]any{{"a"}, {"b"}, {"c"}}
		n, err := f.db.CopyFrom(f.as("acme"), pgx.Identifier{"tickets"}, []string{"title"}, pgx.CopyFromRows(rows))
		if err != nil || n != 3 || f.tickets("acme") != 3 || f.tickets("beta") != 0 {
			t.Errorf("copied %d, %v; acme has %d, beta %d", n, err, f.tickets("acme"), f.tickets("beta"))
		}
		var pgErr *pgconn.PgError
		_, err = f.db.CopyFrom(f.as("acme"), pgx.Identifier{"beta", "tickets"}, []string{"title"}, pgx.CopyFromRows(rows))
		if !errors.As(err, &pgErr) || pgErr.Code != "42501" {
			t.Errorf("into another tenant: got %v", err)
		}
		n, err = f.db.CopyFrom(f.as("acme"), pgx.Identifier{"tickets"}, []string{"title"}, pgx.CopyFromRows([][]any{{"d"}, {nil}}))
		if err == nil || n != 0 || f.tickets("acme") != 3 {
			t.Errorf("half of a copy: %d, %v; acme has %d", n, err, f.tickets("acme"))
		}
		if _, err := f.db.CopyFrom(t.Context(), pgx.Identifier{"tickets"}, []string{"title"}, pgx.CopyFromRows(rows)); !errors.Is(err, rowhouse.ErrNoTenant) {
			t.Errorf("no tenant: got %v", err)
		}
	})
}

// A statement that a migration overtakes within a transaction or a batch.
func TestRetry(t *testing.T) {
	t.Parallel()
	f := newFleet(t, nil, "acme")
	f.db = f.open(f.login, 1)
	ctx := f.as("acme")
	read := func(db interface {
		Query(context.Context, string, ...any) (pgx.Rows, error)
	}) error {
		rows, _ := db.Query(ctx, `SELECT * FROM marks`)
		_, err := pgx.CollectRows(rows, pgx.RowToMap)
		return err
	}
	prepared := func() { // by the second time it is
		t.Helper()
		for range 3 {
			f.must(read(f.db))
		}
	}
	prepared()
	f.behind(`ALTER TABLE acme.marks ADD COLUMN a int`)
	later := func(tx pgx.Tx) error {
		_, err := tx.Exec(ctx, `SELECT 1`)
		return errors.Join(err, read(tx))
	}
	if err := f.db.InTx(ctx, later); !errors.Is(err, rowhouse.ErrRetry) {
		t.Errorf("in a transaction: got %v, want ErrRetry", err)
	}
	f.must(f.db.InTx(ctx, later))
	prepared()
	f.behind(`ALTER TABLE acme.marks ADD COLUMN b int`)
	batch := &pgx.Batch{}
	batch.Queue(`SELECT 1`)
	batch.Queue(`SELECT * FROM marks`)
	if err := f.db.SendBatch(ctx, batch).Close(); !errors.Is(err, rowhouse.ErrRetry) {
		t.Errorf("in a batch: got %v, want ErrRetry", err)
	}
	f.must(f.db.SendBatch(ctx, batch).Close())
	prepared()
	f.behind(`ALTER TABLE acme.marks ADD COLUMN d int`)
	f.must(f.db.InTx(ctx, func(tx pgx.Tx) error { return read(tx) })) // nothing was done before
	prepared()
	f.behind(`ALTER TABLE acme.marks ADD COLUMN e int`)
	first := &pgx.Batch{}
	first.Queue(`SELECT * FROM marks`)
	f.must(f.db.SendBatch(ctx, first).Close())
	f.behind(`ALTER TABLE acme.marks ADD COLUMN c int`)
	f.must(read(f.db)) // outside of transactions nobody notices
}
