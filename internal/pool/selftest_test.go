package pool_test

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/rowhouse/rowhouse/internal/bind"
	"github.com/rowhouse/rowhouse/internal/pgtest"
	"github.com/rowhouse/rowhouse/internal/pool"
)

func selfTest(t testing.TB, url string) error {
	t.Helper()
	cfg, err := pgx.ParseConfig(url)
	if err != nil {
		t.Fatal(err)
	}
	return pool.SelfTest(t.Context(), cfg)
}

// leave makes a setting outlive its transaction.
func leave(setting string) func(string) string {
	local := regexp.MustCompile(`(set_config\('` + regexp.QuoteMeta(setting) + `',.*?),true\)`)
	return func(sql string) string { return local.ReplaceAllString(sql, "$1,false)") }
}

// edit replaces one text in statements.
func edit(from, to string) func(string) string {
	return func(sql string) string { return strings.ReplaceAll(sql, from, to) }
}

// Each kind of leak that the self-test claims to find is found, and named.
func TestSelfTestFindsLeaks(t *testing.T) {
	t.Parallel()
	server := pgtest.Database(t)
	for name, c := range map[string]struct {
		backends int
		faults   faults
		want     []string // in the message
	}{
		"statement pooling": {10, faults{early: true},
			[]string{"a transaction that began on backend", "went on on backend", "pool_mode = transaction"}},
		"transactions that do not begin": {1, faults{edits: edit("begin", "select")},
			[]string{"no longer open after a statement", "pool_mode = transaction"}},
		"transactions that end in silence": {1, faults{ends: true},
			[]string{"a later statement of a transaction had lost its rowhouse.tenant_id", "pool_mode = transaction"}},
		"one backend for two clients": {1, faults{early: true},
			[]string{"a later statement of a transaction read another client's rowhouse.tenant_id", "two clients at once"}},
		"a transaction that is nobody's": {2, faults{tells: 'T'},
			[]string{"within a transaction that somebody else had opened on backend", "two clients at once"}},
		"torn flights": {1, faults{cuts: "E"},
			[]string{"a bound statement had lost its rowhouse.tenant_id", "up to a Sync"}},
		"torn flights on two backends": {2, faults{cuts: "E"},
			[]string{"a bound statement had lost its rowhouse.tenant_id", "up to a Sync"}},
		"torn statements": {2, faults{cuts: "PE"},
			[]string{"26000", "up to a Sync"}},
		"statements after an error": {2, faults{goesOn: true},
			[]string{"the statement after a binding that failed was run", "up to a Sync"}},
		"tenant id left": {2, faults{edits: leave("rowhouse.tenant_id")},
			[]string{`rowhouse.tenant_id = "rowhouse_selftest_`, "was left after a unit of work on backend", "outlives"}},
		"search_path left": {2, faults{edits: leave("search_path")},
			[]string{`search_path = "rowhouse_selftest_`, "was left after a unit of work on backend", "outlives"}},
		"role left": {2, faults{edits: leave("role")},
			[]string{`role = "`, "was left after a unit of work on backend", "outlives"}},
		"left on one of two backends": {2, faults{spoilt: 1, lastIn: true},
			[]string{`rowhouse.tenant_id = "another" was left`, "outlives"}},
		"left on one of three backends that take turns": {3, faults{spoilt: 2},
			[]string{`rowhouse.tenant_id = "another" was left`, "outlives"}},
		"transactions of those who are gone": {1, faults{keeps: true},
			[]string{"within a transaction that somebody else had opened", "hung up within a transaction"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var through string
			var err error
			// Where clients are mixed up, it is up to the scheduler which of them
			// sees it first.
			for range 10 {
				through = startLeaky(t, server, c.backends, c.faults)
				if err = selfTest(t, through); !errors.Is(err, pool.ErrPooler) {
					t.Fatalf("got %v", err)
				}
				if tells(err, c.want) {
					break
				}
			}
			if !tells(err, c.want) || !strings.Contains(err.Error(), through[strings.Index(through, "127.0.0.1:"):strings.LastIndex(through, "/")]) {
				t.Errorf("got %v, which does not tell %q and the address", err, c.want)
			}
			p, err := pool.Open(t.Context(), pool.Options{URL: through})
			if err == nil {
				p.Close()
			}
			if !errors.Is(err, pool.ErrPooler) {
				t.Errorf("the pool opened: %v", err)
			}
		})
	}
}

// tells tells whether an error's message has all the parts.
func tells(err error, parts []string) bool {
	return !slices.ContainsFunc(parts, func(part string) bool { return !strings.Contains(err.Error(), part) })
}

// What is right is not refused, with few backends and with many. The leaky pooler
// without a fault is right: what is found above is the fault.
func TestSelfTestPasses(t *testing.T) {
	t.Parallel()
	server := pgtest.Database(t)
	login := pgtest.Login(t, server, "")
	for name, url := range map[string]string{
		"the server":                                 server,
		"the server, as a plain login":               login,
		"no fault, one backend":                      startLeaky(t, server, 1, faults{}),
		"no fault, two backends":                     startLeaky(t, server, 2, faults{}),
		"no fault, the same backend again and again": startLeaky(t, server, 2, faults{lastIn: true}),
		"no fault, five backends":                    startLeaky(t, login, 5, faults{}),
		"sessions, one backend":                      startLeaky(t, server, 1, faults{sessions: true}),
		"sessions, two backends":                     startLeaky(t, server, 2, faults{sessions: true}),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if err := selfTest(t, url); err != nil {
				t.Error(err)
			}
		})
	}
}

// bouncers are the versions of PgBouncer that tests run with.
var bouncers = map[string]func(t testing.TB, url, options string) string{
	"installed": pgtest.PgBouncer,
	"new":       pgtest.PgBouncerNew,
}

// PgBouncer is found safe in the modes that keep transactions whole, with one
// backend and with more, and fast.
func TestSelfTestOfPgBouncer(t *testing.T) {
	t.Parallel()
	server := pgtest.Database(t)
	for version, start := range bouncers {
		for _, options := range []string{
			"pool_mode = transaction\ndefault_pool_size = 1",
			"pool_mode = transaction\ndefault_pool_size = 2",
			"pool_mode = transaction\ndefault_pool_size = 3\nserver_round_robin = 1",
			"pool_mode = session\ndefault_pool_size = 1",
			"pool_mode = session\ndefault_pool_size = 2",
		} {
			t.Run(version+" "+options, func(t *testing.T) {
				t.Parallel()
				through := start(t, server, options)
				begun := time.Now()
				if err := selfTest(t, through); err != nil {
					t.Error(err)
				}
				if took := time.Since(begun); took > selfTestLimit {
					t.Errorf("it took %v", took)
				}
			})
		}
	}
}

// selfTestLimit is how long a self-test may take on a machine that is busy with
// tests. On one that is not it takes a tenth of a second at most.
const selfTestLimit = 5 * time.Second

// PgBouncer in statement mode is refused, with what to change.
func TestStatementPoolingIsRefused(t *testing.T) {
	t.Parallel()
	server := pgtest.Database(t)
	for version, start := range bouncers {
		for _, size := range []string{"1", "2"} {
			t.Run(version+" "+size, func(t *testing.T) {
				t.Parallel()
				through := start(t, server, "pool_mode = statement\ndefault_pool_size = "+size)
				p, err := pool.Open(t.Context(), pool.Options{URL: through})
				if err == nil {
					p.Close()
				}
				if !errors.Is(err, pool.ErrPooler) || !strings.Contains(err.Error(), "set pool_mode = transaction") {
					t.Errorf("got %v", err)
				}
			})
		}
	}
}

// The self-test ends with its context, and does not call a pooler unsafe that has
// no backend to give or is silent.
func TestSelfTestIsBounded(t *testing.T) {
	t.Parallel()
	server := pgtest.Database(t)
	busy := pgtest.PgBouncer(t, server, "default_pool_size = 1")
	holder := connect(t, busy)
	if _, err := holder.Exec(t.Context(), "BEGIN", pgx.QueryExecModeSimpleProtocol); err != nil {
		t.Fatal(err)
	}
	urls := map[string]string{"no free backend": busy}
	for _, mute := range []int{1, 4, 6, 7, 8, 10, 14} {
		urls[fmt.Sprintf("mute from flight %d on", mute)] = startLeaky(t, server, 2, faults{mute: mute})
	}
	for name, through := range urls {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cfg, err := pgx.ParseConfig(through)
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
			defer cancel()
			begun := time.Now()
			err = pool.SelfTest(ctx, cfg)
			if took := time.Since(begun); took > selfTestLimit {
				t.Errorf("it took %v", took)
			}
			if !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, pool.ErrPooler) {
				t.Errorf("got %v", err)
			}
		})
	}
}

// A pooler that ends the wait for a backend is not called unsafe either.
func TestSelfTestWithoutABackend(t *testing.T) {
	t.Parallel()
	through := pgtest.PgBouncer(t, pgtest.Database(t), "default_pool_size = 1\nquery_wait_timeout = 1")
	holder := connect(t, through)
	if _, err := holder.Exec(t.Context(), "BEGIN", pgx.QueryExecModeSimpleProtocol); err != nil {
		t.Fatal(err)
	}
	err := selfTest(t, through)
	if err == nil || errors.Is(err, pool.ErrPooler) || !strings.Contains(err.Error(), "query_wait_timeout") {
		t.Errorf("got %v", err)
	}
}

// It waits for a backend that others are using, and then does its work.
func TestSelfTestWaitsForABackend(t *testing.T) {
	t.Parallel()
	through := pgtest.PgBouncer(t, pgtest.Database(t), "default_pool_size = 1")
	holder := connect(t, through)
	if _, err := holder.Exec(t.Context(), "BEGIN", pgx.QueryExecModeSimpleProtocol); err != nil {
		t.Fatal(err)
	}
	tested := make(chan error, 1)
	go func() { tested <- selfTest(t, through) }()
	select {
	case err := <-tested:
		t.Fatalf("it ended without a backend: %v", err)
	case <-time.After(500 * time.Millisecond):
	}
	if _, err := holder.Exec(t.Context(), "COMMIT", pgx.QueryExecModeSimpleProtocol); err != nil {
		t.Fatal(err)
	}
	if err := <-tested; err != nil {
		t.Error(err)
	}
}

// A login that may not bind proves nothing. The pool opens all the same, so that
// who opens it can say what the login lacks.
func TestSelfTestOfALoginThatMayNotBind(t *testing.T) {
	t.Parallel()
	server := pgtest.Database(t)
	if _, err := connect(t, server).Exec(t.Context(), `REVOKE EXECUTE ON FUNCTION pg_catalog.set_config(text, text, boolean) FROM PUBLIC`); err != nil {
		t.Fatal(err)
	}
	through := startLeaky(t, pgtest.Login(t, server, ""), 2, faults{})
	if err := selfTest(t, through); !errors.Is(err, bind.ErrNotAdmitted) || errors.Is(err, pool.ErrPooler) {
		t.Errorf("got %v", err)
	}
	p := open(t, pool.Options{URL: through})
	if !p.Pooled() {
		t.Error("the pooler was not found")
	}
}

// A session that begins with a role or tenant of its own is not taken for a leak of
// a role; a tenant id that nobody bound to is one.
func TestSelfTestWithDefaults(t *testing.T) {
	t.Parallel()
	for setting, want := range map[string]error{
		`role = 'pg_monitor'`:                     nil,
		`search_path = 'pg_catalog'`:              nil,
		`rowhouse.tenant_id = 'of somebody else'`: pool.ErrPooler,
	} {
		server := pgtest.Database(t)
		login := pgtest.Login(t, server, "")
		cfg, err := pgx.ParseConfig(login)
		if err != nil {
			t.Fatal(err)
		}
		super := connect(t, server)
		for _, sql := range []string{
			`GRANT pg_monitor TO ` + pgx.Identifier{cfg.User}.Sanitize(),
			`ALTER ROLE ` + pgx.Identifier{cfg.User}.Sanitize() + ` SET ` + setting,
		} {
			if _, err := super.Exec(t.Context(), sql); err != nil {
				t.Fatal(err)
			}
		}
		if err := selfTest(t, startLeaky(t, login, 2, faults{})); !errors.Is(err, want) {
			t.Errorf("%s: got %v, want %v", setting, err, want)
		}
	}
}

func connect(t testing.TB, url string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn
}
