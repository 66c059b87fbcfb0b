package rowhouse_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

func TestQueryLikePgx(t *testing.T) {
	t.Parallel()
	everyWay(t, func(t *testing.T, via func(*fleet) string) {
		f := newFleet(t, via, "acme")
		ctx := f.as("acme")
		for range 3 { // cold, warm, warm
			rows, _ := f.db.Query(ctx, `INSERT INTO tickets (title) VALUES ($1), ($2) RETURNING title`, "a", "b")
			titles, err := pgx.CollectRows(rows, pgx.RowTo[string])
			if err != nil || len(titles) != 2 || titles[0] != "a" || rows.CommandTag().RowsAffected() != 2 {
				t.Errorf("got %v, %v, %v", titles, rows.CommandTag(), err)
			}
		}
		var n int
		var when time.Time
		err := f.db.QueryRow(ctx, `SELECT count(*), now() FROM tickets WHERE title = @title`, pgx.NamedArgs{"title": "a"}).Scan(&n, &when)
		if err != nil || n != 3 || time.Since(when) > time.Hour {
			t.Errorf("named arguments: got %d, %v, %v", n, when, err)
		}
		if err := f.db.QueryRow(ctx, `SELECT title FROM tickets WHERE id = $1`, -1).Scan(new(string)); !errors.Is(err, pgx.ErrNoRows) {
			t.Errorf("no rows: got %v", err)
		}
		if _, err := f.db.Exec(ctx, `SELECT $1::int`, 1, 2); err == nil {
			t.Error("a wrong number of arguments was taken")
		}
		if _, err := f.db.Exec(ctx, `SELECT $1::int`, "x"); err == nil {
			t.Error("a wrong argument was taken")
		}
		var pgErr *pgconn.PgError
		rows, _ := f.db.Query(ctx, `SELECT nonsense`)
		if _, err := pgx.CollectRows(rows, pgx.RowTo[string]); !errors.As(err, &pgErr) || pgErr.Code != "42703" {
			t.Errorf("an error of Query is not in its rows: %v", err)
		}
		if err := f.db.QueryRow(ctx, `SELECT 'x'`).Scan(new(int)); err == nil {
			t.Error("a string was scanned into an int")
		}
		f.wantMark("acme") // after all that, with connections that are in order
	})
}

// The commit of a unit of work of one statement may fail, and is not taken for a
// success.
func TestCommitOfOneStatementFails(t *testing.T) {
	t.Parallel()
	f := newFleet(t, nil, "acme")
	var pgErr *pgconn.PgError
	_, err := f.db.Exec(f.as("acme"), `INSERT INTO tickets (title, parent) VALUES ('orphan', 4711)`)
	if !errors.As(err, &pgErr) || pgErr.Code != "23503" {
		t.Errorf("got %v, want the deferred constraint's 23503", err)
	}
	var n int
	f.must(f.db.QueryRow(f.as("acme"), `SELECT count(*) FROM tickets`).Scan(&n))
	if n != 0 {
		t.Errorf("%d rows were committed", n)
	}
}

// A fleet half-way through a migration: tables of one name with other columns.
func TestTablesOfOtherShapes(t *testing.T) {
	t.Parallel()
	everyWay(t, func(t *testing.T, via func(*fleet) string) {
		f := newFleet(t, via, "acme", "beta", "gamma")
		f.behind(`ALTER TABLE beta.tickets ADD COLUMN extra int DEFAULT 7`)
		f.behind(`ALTER TABLE gamma.tickets ALTER COLUMN title TYPE varchar(50), DROP COLUMN plan`)
		for _, s := range []string{"acme", "beta", "gamma"} {
			_, err := f.db.Exec(f.as(s), `INSERT INTO tickets (title) VALUES ($1)`, s)
			f.must(err)
		}
		want := map[string]int{"acme": 4, "beta": 5, "gamma": 3}
		for i := range 30 {
			s := []string{"acme", "beta", "gamma"}[i%3]
			rows, err := f.db.Query(f.as(s), `SELECT * FROM tickets`)
			f.must(err)
			got, err := pgx.CollectExactlyOneRow(rows, pgx.RowToMap)
			if err != nil || len(got) != want[s] || got["title"] != s {
				t.Fatalf("as %s: got %v, %v", s, got, err)
			}
		}
	})
}

// Rows stream: the first is there long before the last is made.
func TestRowsStream(t *testing.T) {
	t.Parallel()
	f := newFleet(t, nil, "acme")
	ctx, cancel := context.WithCancel(f.as("acme"))
	defer cancel()
	rows, err := f.db.Query(ctx, `SELECT i, repeat('x', 10000) || coalesce(pg_sleep(CASE WHEN i = 100 THEN 3600 ELSE 0 END)::text, '') FROM generate_series(1, 100) i`)
	f.must(err)
	var i int
	var text string
	for range 10 {
		if !rows.Next() {
			t.Fatal(rows.Err())
		}
		f.must(rows.Scan(&i, &text))
	}
	if i != 10 || len(text) != 10000 {
		t.Errorf("got row %d of %d bytes", i, len(text))
	}
	cancel()
	for rows.Next() {
	}
	if !errors.Is(rows.Err(), context.Canceled) {
		t.Errorf("after cancelling: %v", rows.Err())
	}
	f.wantNothingRunning()
	f.wantMark("acme")
}

// A cancelled context ends the statement in the server, and the connection can be
// used again.
func TestCancel(t *testing.T) {
	t.Parallel()
	everyWay(t, func(t *testing.T, via func(*fleet) string) {
		f := newFleet(t, via, "acme")
		app := f.login
		if via != nil {
			app = via(f)
		}
		f.db = f.open(app, 1)
		for _, work := range []func(ctx context.Context) error{
			func(ctx context.Context) error { _, err := f.db.Exec(ctx, `SELECT pg_sleep(3600)`); return err },
			func(ctx context.Context) error { return f.db.QueryRow(ctx, `SELECT pg_sleep(3600)`).Scan(nil) },
			func(ctx context.Context) error {
				return f.db.InTx(ctx, func(tx pgx.Tx) error {
					if _, err := tx.Exec(ctx, `INSERT INTO tickets (title) VALUES ('half')`); err != nil {
						return err
					}
					_, err := tx.Exec(ctx, `SELECT pg_sleep(3600)`)
					return err
				})
			},
		} {
			ctx, cancel := context.WithCancel(f.as("acme"))
			done := make(chan error)
			go func() { done <- work(ctx) }()
			f.waitFor(`SELECT count(*) > 0 FROM pg_stat_activity WHERE query LIKE '%pg_sleep(3600)%' AND state = 'active' AND pid <> pg_backend_pid() AND datname = current_database()`)
			cancel()
			if err := <-done; !errors.Is(err, context.Canceled) {
				t.Errorf("got %v, want context.Canceled", err)
			}
			f.wantNothingRunning()
			f.wantMark("acme")
		}
		var n int
		f.must(f.db.QueryRow(f.as("acme"), `SELECT count(*) FROM tickets`).Scan(&n))
		if n != 0 {
			t.Error("a cancelled transaction was committed")
		}
	})
}

// A cancel request that comes late must not hit the next statement.
func TestCancelHitsNothingElse(t *testing.T) {
	t.Parallel()
	everyWay(t, func(t *testing.T, via func(*fleet) string) {
		f := newFleet(t, via, "acme")
		acme := f.as("acme")
		for i := range 300 {
			ctx, cancel := context.WithTimeout(acme, time.Duration(i)*10*time.Microsecond)
			_, err := f.db.Exec(ctx, `SELECT pg_sleep(0.001)`)
			cancel()
			if err != nil && !errors.Is(err, context.DeadlineExceeded) {
				t.Fatalf("got %v, want the context's error or none", err)
			}
			f.wantMark("acme")
		}
	})
}

// waitFor waits until a query of the superuser says true.
func (f *fleet) waitFor(sql string) {
	f.t.Helper()
	ctx, cancel := context.WithTimeout(f.t.Context(), 20*time.Second)
	defer cancel()
	for ok := false; !ok; {
		if err := f.superior.QueryRow(ctx, sql).Scan(&ok); err != nil {
			f.t.Fatalf("waiting for %s: %v", sql, err)
		}
	}
}

func (f *fleet) wantNothingRunning() {
	f.t.Helper()
	f.waitFor(`SELECT count(*) = 0 FROM pg_stat_activity WHERE state <> 'idle' AND pid <> pg_backend_pid() AND datname = current_database() AND backend_type = 'client backend'`)
}

// Invariant 4: binding costs no round trip. A proxy counts how often the two
// sides take turns.
func TestFlights(t *testing.T) {
	t.Parallel()
	var proxy *turnCounter
	f := newFleet(t, func(f *fleet) string {
		proxy = startTurnCounter(t, f.login)
		return proxy.url
	}, "acme", "beta")
	f.db = f.open(proxy.url, 1)
	acme, beta := f.as("acme"), f.as("beta")
	// The connections that listen for changes go through the proxy too.
	f.waitFor(`SELECT count(*) = 2 FROM pg_stat_activity WHERE query LIKE 'LISTEN%' AND state = 'idle' AND datname = current_database()`)
	_, err := f.db.Exec(acme, `SELECT 1`) // connects
	f.must(err)
	count := func(what string, want int64, work func() error) {
		t.Helper()
		before := proxy.turns.Load()
		f.must(work())
		if got := proxy.turns.Load() - before; got != want {
			t.Errorf("%s: %d round trips, want %d", what, got, want)
		}
	}
	read := func(ctx context.Context) func() error {
		return func() error { _, err := mark(ctx, f.db); return err }
	}
	count("a cold statement", 2, read(acme))
	count("a warm statement", 1, read(acme))
	count("another tenant", 1, read(beta))
	insert := func(ctx context.Context) func() error {
		return func() error { _, err := f.db.Exec(ctx, `INSERT INTO tickets (title) VALUES ($1)`, "x"); return err }
	}
	count("a cold write", 2, insert(acme))
	count("a warm write", 1, insert(beta))
	count("a transaction of one statement", 2, func() error {
		return f.db.InTx(acme, func(tx pgx.Tx) error { _, err := mark(acme, tx); return err })
	})
}

// turnCounter is a proxy that counts round trips: how often the client speaks
// after the server has spoken.
type turnCounter struct {
	url   string
	turns atomic.Int64
}

func startTurnCounter(t *testing.T, server string) *turnCounter {
	t.Helper()
	u, err := url.Parse(server)
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	target := u.Host
	u.Host = listener.Addr().String()
	c := &turnCounter{url: u.String()}
	var wg sync.WaitGroup
	t.Cleanup(func() { listener.Close(); wg.Wait() })
	wg.Go(func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			wg.Go(func() { c.serve(client, target) })
		}
	})
	return c
}

func (c *turnCounter) serve(client net.Conn, target string) {
	defer client.Close()
	server, err := net.Dial("tcp", target)
	if err != nil {
		return
	}
	defer server.Close()
	var serverSpoke atomic.Bool
	serverSpoke.Store(true)
	go func() {
		defer client.Close()
		buf := make([]byte, 64<<10)
		for {
			n, err := server.Read(buf)
			serverSpoke.Store(true)
			if _, werr := client.Write(buf[:n]); err != nil || werr != nil {
				return
			}
		}
	}()
	buf := make([]byte, 64<<10)
	for {
		n, err := client.Read(buf)
		if n > 0 && serverSpoke.Swap(false) {
			c.turns.Add(1)
		}
		if _, werr := server.Write(buf[:n]); err != nil || werr != nil {
			if !errors.Is(err, io.EOF) {
				_ = server.Close()
			}
			return
		}
	}
}
