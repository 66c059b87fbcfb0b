package bind_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/rowhouse/rowhouse/internal/bind"
	"github.com/rowhouse/rowhouse/internal/pgtest"
)

// across runs a statement as some schemas, and returns what each answered: its
// texts, or its error.
func (b *bench) across(ctx context.Context, schemas []string, sql string, args ...any) (texts [][]string, errs []error, left int) {
	b.t.Helper()
	var bindings []*bind.Binding
	for _, s := range schemas {
		bindings = append(bindings, b.as(s).Binding)
	}
	a, err := b.session.Across(ctx, bindings, sql, args)
	b.must(err)
	defer a.Close()
	texts, errs = make([][]string, len(schemas)), make([]error, len(schemas))
	for a.Next() {
		i := a.Index()
		rows, err := a.Rows()
		if err == nil {
			texts[i], err = pgx.CollectRows(rows, pgx.RowTo[string])
			if doneErr := a.Done(); err == nil {
				err = doneErr
			}
		}
		errs[i] = err
	}
	if (a.Err() == nil) != (len(a.Left()) == 0) {
		b.t.Errorf("%d are left, and the error is %v", len(a.Left()), a.Err())
	}
	return texts, errs, len(a.Left())
}

// eachMode runs a test for both modes.
func eachMode(t *testing.T, test func(t *testing.T, b *bench)) {
	for name, mode := range map[string]bind.Mode{"named": bind.Named, "described": bind.Described} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, newBench(t, mode, 20))
		})
	}
}

// alternating are the two schemas in turns.
func alternating(n int) []string {
	schemas := make([]string, n)
	for i := range schemas {
		schemas[i] = []string{"one", "two"}[i%2]
	}
	return schemas
}

// Everyone has its own answer, in more writes than one when the arguments are
// large, and nothing stays on the connection.
func TestAcrossEachItsOwn(t *testing.T) {
	t.Parallel()
	eachMode(t, func(t *testing.T, b *bench) {
		schemas := alternating(100)
		for _, size := range []int{1, 1 << 10, 1 << 20} {
			if size > 1<<10 {
				schemas = schemas[:8]
			}
			for range 3 {
				arg := strings.Repeat("x", size)
				texts, errs, _ := b.across(t.Context(), schemas, `SELECT mark || length($1) FROM marks`, arg)
				for i, s := range schemas {
					if want := fmt.Sprint(s, size); errs[i] != nil || !slices.Equal(texts[i], []string{want}) {
						t.Fatalf("%d: got %q, %v; want %s", i, texts[i], errs[i], want)
					}
				}
			}
		}
		if got := b.prepared(); len(got) != 0 {
			t.Errorf("the server keeps %q", got)
		}
		b.want(b.as("one"), `SELECT mark FROM marks`, "one")
		b.want(b.as("two"), `SELECT mark || current_setting('transaction_read_only') FROM marks`, "twooff")
	})
}

// A description that does not hold for one of the shape is made anew for it,
// whether PostgreSQL finds out or only the columns say so.
func TestAcrossDescribesAnew(t *testing.T) {
	t.Parallel()
	eachMode(t, func(t *testing.T, b *bench) {
		both := []string{"one", "two"}
		ask := func(sql, one, two string, args ...any) {
			t.Helper()
			for range 2 {
				texts, errs, _ := b.across(t.Context(), both, sql, args...)
				if got := fmt.Sprint(texts, errs); got != fmt.Sprintf("[[%s] [%s]] [<nil> <nil>]", one, two) {
					t.Errorf("%s: got %s", sql, got)
				}
			}
		}
		const all, equal = `SELECT * FROM marks`, `SELECT mark::text FROM marks WHERE mark = $1`
		ask(all, "one", "two")
		ask(equal, "", "", "none")
		b.behind(`CREATE TYPE two.state AS ENUM ('7', '8')`)
		b.behind(`ALTER TABLE two.marks ALTER COLUMN mark TYPE two.state USING '7'`)
		ask(all, "one", "7")
		ask(equal, "", "7", "7")
		b.behind(`ALTER TABLE two.marks ALTER COLUMN mark TYPE int USING 8`)
		texts, errs, _ := b.across(t.Context(), both, `SELECT (mark::text) FROM marks WHERE mark = $1`, 8)
		if errs[0] == nil || errs[1] != nil || !slices.Equal(texts[1], []string{"8"}) {
			t.Errorf("an argument that fits one: got %q, %v", texts, errs)
		}
		b.behind(`DROP TABLE one.marks`)
		texts, errs, _ = b.across(t.Context(), both, `SELECT mark::text || 'x' FROM marks`)
		if errs[0] == nil || errs[1] != nil || !slices.Equal(texts[1], []string{"8x"}) {
			t.Errorf("a table that one has: got %q, %v", texts, errs)
		}
	})
}

// What fails is its own error, and what would change the session is not sent.
func TestAcrossFailures(t *testing.T) {
	t.Parallel()
	eachMode(t, func(t *testing.T, b *bench) {
		one, two := b.as("one").Binding, b.as("two").Binding
		b.behind(`DROP SCHEMA two CASCADE`)
		a, err := b.session.Across(t.Context(), []*bind.Binding{two, one, two}, `SELECT mark FROM marks`, nil)
		b.must(err)
		var got []string
		for a.Next() {
			rows, err := a.Rows()
			if err != nil {
				got = append(got, fmt.Sprint(a.Index(), errors.Is(err, bind.ErrChanged)))
				continue
			}
			_ = rows // left to Next
			got = append(got, fmt.Sprint(a.Index(), " rows"))
		}
		a.Close()
		slices.Sort(got)
		if !slices.Equal(got, []string{"0 true", "1 rows", "2 true"}) || a.Err() != nil {
			t.Errorf("got %q, %v", got, a.Err())
		}
		for _, sql := range []string{`RESET ROLE`, `BEGIN`} {
			if _, err := b.session.Across(t.Context(), []*bind.Binding{one}, sql, nil); !errors.Is(err, bind.ErrRefused) {
				t.Errorf("%s: got %v, want ErrRefused", sql, err)
			}
		}
		if _, err := b.session.Across(t.Context(), []*bind.Binding{one}, `SELECT 1`, []any{pgx.QueryExecModeSimpleProtocol}); !errors.Is(err, bind.ErrRefused) {
			t.Errorf("another protocol: got %v, want ErrRefused", err)
		}
		if _, errs, _ := b.across(t.Context(), []string{"one"}, `UPDATE marks SET mark = 'x' RETURNING mark`); errs[0] == nil || !strings.Contains(errs[0].Error(), "25006") {
			t.Errorf("a write: got %v", errs[0])
		}
		b.want(bind.Prelude{Binding: one}, `SELECT mark FROM marks`, "one")
	})
}

// A server that goes away leaves those without an answer, at least one of whom has
// the error.
func TestAcrossLost(t *testing.T) {
	t.Parallel()
	b := newBench(t, bind.Named, 20)
	_, errs, left := b.across(t.Context(), alternating(20),
		`SELECT CASE WHEN mark = 'two' THEN pg_terminate_backend(pg_backend_pid())::text ELSE mark END FROM marks`)
	if errs[0] != nil || errs[1] == nil || left != 18 || !b.session.Conn().IsClosed() {
		t.Errorf("%d are left: %v", left, errs)
	}
}

// Of a client that dies half-way a pooler's next client reads nothing.
func TestAcrossDiesBehindAPooler(t *testing.T) {
	t.Parallel()
	for name, pooler := range map[string]func(testing.TB, string, string) string{"old": pgtest.PgBouncer, "new": pgtest.PgBouncerNew} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, bind.Named, 20)
			url := pooler(t, b.url, "default_pool_size = 1")
			for _, waiting := range []bool{false, true} {
				s, err := bind.NewSession(t.Context(), b.connect(url), bind.Config{Mode: bind.Described, Descriptions: b.known})
				b.must(err)
				bindings := []*bind.Binding{b.as("one").Binding, b.as("two").Binding, b.as("one").Binding, b.as("two").Binding}
				a, err := s.Across(t.Context(), bindings, `SELECT mark FROM marks, pg_sleep(0.2)`, nil)
				b.must(err)
				if !a.Next() || a.Done() != nil {
					t.Fatal(a.Err())
				}
				hangUp := func() { _ = s.Conn().PgConn().Conn().Close() }
				if waiting {
					time.AfterFunc(50*time.Millisecond, hangUp)
					for a.Next() && a.Done() == nil {
					}
				} else {
					hangUp()
				}
				next := b.connect(url)
				for range 5 {
					var got string
					b.must(next.QueryRow(t.Context(), `SELECT 'mine'`, pgx.QueryExecModeExec).Scan(&got))
					if got != "mine" {
						t.Errorf("the next client read %q", got)
					}
				}
				b.must(next.Close(t.Context()))
				a.Close()
			}
		})
	}
}

// Who has enough does not wait for what is still to come, and the connection is
// clean or not used again.
func TestAcrossClosedEarly(t *testing.T) {
	t.Parallel()
	for name, sql := range map[string]string{
		"cheap": `SELECT mark FROM marks`,
		"slow":  `SELECT mark FROM marks, pg_sleep(0.5)`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, bind.Named, 20)
			bindings := make([]*bind.Binding, 40)
			for i := range bindings {
				bindings[i] = b.as("one").Binding
			}
			a, err := b.session.Across(t.Context(), bindings, sql, nil)
			b.must(err)
			if !a.Next() {
				t.Fatal(a.Err())
			}
			start := time.Now()
			a.Close()
			a.Close() // does nothing
			if took := time.Since(start); took > 5*time.Second {
				t.Errorf("took %v", took)
			}
			if usable := !b.session.Conn().IsClosed() && !b.session.Spent(); usable {
				b.want(b.as("two"), `SELECT mark FROM marks`, "two")
			}
		})
	}
}
