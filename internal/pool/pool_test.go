package pool_test

import (
	"context"
	"errors"
	"net/url"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/rowhouse/rowhouse/internal/bind"
	"github.com/rowhouse/rowhouse/internal/pgtest"
	"github.com/rowhouse/rowhouse/internal/pool"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

func open(t testing.TB, opts pool.Options) *pool.Pool {
	t.Helper()
	opts.Statements = 10
	p, err := pool.Open(t.Context(), opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	return p
}

// with adds a parameter to a connection string.
func with(t testing.TB, raw, name, value string) string {
	t.Helper()
	u, err := url.Parse(raw)
	if err != nil {
		t.Fatal(err)
	}
	q := u.Query()
	q.Set(name, value)
	u.RawQuery = q.Encode()
	return u.String()
}

func text(t testing.TB, p *pool.Pool, sql string) (s string) {
	t.Helper()
	if err := p.QueryRow(t.Context(), sql).Scan(&s); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return s
}

// The pool finds out what is at the other end and works with it.
func TestProbe(t *testing.T) {
	t.Parallel()
	server := pgtest.Database(t)
	for what, c := range map[string]struct {
		url    string
		pooled bool
	}{
		"the server":                          {server, false},
		"pooler":                              {pgtest.PgBouncer(t, server, "default_pool_size = 1"), true},
		"pooler that lets parameters through": {pgtest.PgBouncer(t, server, "ignore_startup_parameters = extra_float_digits,search_path"), true},
		"newer pooler":                        {pgtest.PgBouncerNew(t, server, ""), true},
		"pooler that tracks search_path":      {pgtest.PgBouncerNew(t, server, "track_extra_parameters = search_path"), true},
		"pooler of sessions":                  {pgtest.PgBouncer(t, server, "pool_mode = session"), true},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			p := open(t, pool.Options{URL: c.url, MaxConns: 3})
			if p.Pooled() != c.pooled {
				t.Errorf("pooled is %t", p.Pooled())
			}
			if path := text(t, p, `SELECT current_setting('search_path')`); !c.pooled && path != "" {
				t.Errorf("the unbound search_path is %q", path)
			}
			for range 6 {
				bound(t, p)
			}
		})
	}
}

// bound runs a bound statement on a connection of the pool.
func bound(t testing.TB, p *pool.Pool) {
	t.Helper()
	s, release, err := p.Acquire(t.Context(), "t", pool.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	defer release()
	prelude := bind.Prelude{Binding: bind.New(bind.Target{Schema: "pg_catalog", SchemaOID: 11, Role: "pg_monitor", SearchPath: "pg_catalog"})}
	rows, err := s.Query(t.Context(), prelude, `SELECT current_user || ' ' || current_setting('search_path')`, nil)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := pgx.CollectExactlyOneRow(rows, pgx.RowTo[string]); err != nil || got != "pg_monitor pg_catalog" {
		t.Errorf("got %q, %v", got, err)
	}
}

// A parameter of the user's that a pooler refuses is an error and is not dropped
// in silence.
func TestRefusedParameter(t *testing.T) {
	t.Parallel()
	server := pgtest.Database(t)
	through := with(t, pgtest.PgBouncer(t, server, ""), "statement_timeout", "5000")
	_, err := pool.Open(t.Context(), pool.Options{URL: through})
	var pgErr *pgconn.PgError
	if !errors.As(err, &pgErr) || pgErr.Code != "08P01" {
		t.Errorf("got %v, want 08P01", err)
	}
	p := open(t, pool.Options{URL: with(t, server, "statement_timeout", "5000")})
	if got := text(t, p, `SELECT current_setting('statement_timeout')`); got != "5s" {
		t.Errorf("statement_timeout is %s", got)
	}
}

func TestOpenFails(t *testing.T) {
	t.Parallel()
	server := pgtest.Database(t)
	u, err := url.Parse(server)
	if err != nil {
		t.Fatal(err)
	}
	u.User = url.UserPassword(u.User.Username(), "wrong-secret")
	for what, c := range map[string]struct {
		url  string
		want error
	}{
		"no URL":             {"postgres://u:wrong-secret@h:port/x", pool.ErrConfig},
		"unknown setting":    {with(t, server, "pool_max_conns", "many"), pool.ErrConfig},
		"wrong password":     {u.String(), nil},
		"no such database":   {strings.Replace(server, u.Path, "/nowhere", 1), nil},
		"unknown parameters": {with(t, server, "no_such_setting", "1"), nil},
	} {
		p, err := pool.Open(t.Context(), pool.Options{URL: c.url})
		if err == nil {
			p.Close()
			t.Errorf("%s: opened", what)
			continue
		}
		var pgErr *pgconn.PgError
		if c.want != nil && !errors.Is(err, c.want) || c.want == nil && !errors.As(err, &pgErr) {
			t.Errorf("%s: got %v", what, err)
		}
		if strings.Contains(err.Error(), "wrong-secret") {
			t.Errorf("%s: the error tells the password", what)
		}
	}
}

func TestOptions(t *testing.T) {
	t.Parallel()
	server := pgtest.Database(t)
	if n := open(t, pool.Options{URL: server, MaxConns: 3}).Stat().Size; n != 3 {
		t.Errorf("MaxConns is %d", n)
	}
	if n := open(t, pool.Options{URL: with(t, server, "pool_max_conns", "7")}).Stat().Size; n != 7 {
		t.Errorf("MaxConns of the URL is %d", n)
	}
	called := 0
	p := open(t, pool.Options{URL: server, MaxConns: 1, AfterConnect: func(context.Context, *pgx.Conn) error { called++; return nil }})
	bound(t, p)
	bound(t, p)
	if called != 1 {
		t.Errorf("AfterConnect was called %d times for one connection", called)
	}
	refusal := errors.New("not this one")
	p = open(t, pool.Options{URL: server, AfterConnect: func(context.Context, *pgx.Conn) error { return refusal }})
	if _, _, err := p.Acquire(t.Context(), "t", pool.Limits{}); !errors.Is(err, refusal) {
		t.Errorf("got %v, want AfterConnect's error", err)
	}
}

// A connection that is left in a transaction is not given to the next.
func TestUncleanConnectionIsClosed(t *testing.T) {
	t.Parallel()
	p := open(t, pool.Options{URL: pgtest.Database(t), MaxConns: 1})
	s, release, err := p.Acquire(t.Context(), "t", pool.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	pid := s.Conn().PgConn().PID()
	if _, err := s.Conn().Exec(t.Context(), `BEGIN`); err != nil {
		t.Fatal(err)
	}
	release()
	s, release, err = p.Acquire(t.Context(), "t", pool.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	defer release()
	if s.Conn().PgConn().PID() == pid {
		t.Error("it is the same connection")
	}
}
