package bind_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/rowhouse/rowhouse/internal/bind"
	"github.com/rowhouse/rowhouse/internal/pgtest"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

// bench is a session on a database with the schemas one and two, whose tables
// have the same name, and the superuser beside it.
type bench struct {
	t       testing.TB
	url     string
	super   *pgx.Conn
	known   *bind.Descriptions
	session *bind.Session
}

func newBench(t testing.TB, mode bind.Mode, capacity int) *bench {
	t.Helper()
	b := &bench{t: t, url: pgtest.Database(t)}
	b.super = b.connect(b.url)
	for _, schema := range []string{"one", "two"} {
		b.behind(`CREATE SCHEMA ` + schema)
		b.behind(`CREATE TABLE ` + schema + `.marks AS SELECT '` + schema + `'::text AS mark`)
	}
	var err error
	b.known = bind.NewDescriptions(1000)
	b.session, err = bind.NewSession(t.Context(), b.connect(b.url), bind.Config{Mode: mode, Capacity: capacity, Descriptions: b.known})
	b.must(err)
	return b
}

func (b *bench) connect(url string) *pgx.Conn {
	b.t.Helper()
	conn, err := pgx.Connect(b.t.Context(), url)
	b.must(err)
	b.t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn
}

func (b *bench) must(err error) {
	b.t.Helper()
	if err != nil {
		b.t.Fatal(err)
	}
}

func (b *bench) behind(sql string) {
	b.t.Helper()
	if _, err := b.super.Exec(b.t.Context(), sql); err != nil {
		b.t.Fatalf("%s: %v", sql, err)
	}
}

// to is a binding to a schema of the bench, as a role.
func (b *bench) to(schema, role string) bind.Prelude {
	b.t.Helper()
	return bind.Prelude{Binding: bind.New(b.target(schema, role))}
}

func (b *bench) target(schema, role string) bind.Target {
	b.t.Helper()
	var oid uint32
	b.must(b.super.QueryRow(b.t.Context(), `SELECT $1::regnamespace::oid`, schema).Scan(&oid))
	return bind.Target{Schema: schema, SchemaOID: oid, Role: role, SearchPath: schema, TenantID: "id of " + schema, Shape: "v1"}
}

// as binds to a schema as the superuser.
func (b *bench) as(schema string) bind.Prelude { return b.to(schema, "postgres") }

// texts runs a statement and returns its rows, of one text each.
func (b *bench) texts(prelude bind.Prelude, sql string, args ...any) ([]string, error) {
	rows, err := b.session.Query(b.t.Context(), prelude, sql, args)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[string])
}

func (b *bench) want(prelude bind.Prelude, sql, want string) {
	b.t.Helper()
	got, err := b.texts(prelude, sql)
	if err != nil || strings.Join(got, " ") != want {
		b.t.Errorf("%s: got %q, %v; want %s", sql, got, err, want)
	}
}

// prepared lists what is prepared on the server, without what binds.
const prepared = `SELECT statement FROM pg_prepared_statements WHERE statement NOT LIKE 'SELECT WHERE%' ORDER BY prepare_time`

// prepared is what is prepared on the server.
func (b *bench) prepared() []string {
	b.t.Helper()
	conn := b.session.Conn()
	rows, err := conn.Query(b.t.Context(), prepared, pgx.QueryExecModeSimpleProtocol)
	b.must(err)
	got, err := pgx.CollectRows(rows, pgx.RowTo[string])
	b.must(err)
	return got
}

// A statement is prepared when its binding runs it for the second time, for that
// binding alone.
func TestPreparedForItsBinding(t *testing.T) {
	t.Parallel()
	b := newBench(t, bind.Named, 10)
	const sql = `SELECT mark FROM marks`
	b.want(b.as("one"), sql, "one")
	b.want(b.as("two"), sql, "two")
	if got := b.prepared(); len(got) != 0 {
		t.Errorf("after running it once: %q", got)
	}
	for range 3 {
		b.want(b.as("one"), sql, "one")
	}
	if got := b.prepared(); !slices.Equal(got, []string{sql}) {
		t.Errorf("after running it again: %q", got)
	}
	b.want(b.as("two"), sql, "two")
	b.want(b.as("one"), sql, "one")
	if got := b.prepared(); len(got) != 2 {
		t.Errorf("for both: %q", got)
	}
}

// A statement that leaves the cache is closed on the server, with the next
// flight, so that the server keeps no more than the cache.
func TestEvictionClosesOnTheServer(t *testing.T) {
	t.Parallel()
	b := newBench(t, bind.Named, 2)
	one := b.as("one")
	much := func(text string) {
		b.t.Helper()
		for range 6 {
			b.want(one, fmt.Sprintf(`SELECT '%s'`, text), text)
		}
	}
	for i := range 20 {
		much(fmt.Sprint(i))
	}
	b.want(one, `SELECT 'x'`, "x") // closes what left before it
	if got := b.prepared(); !slices.Equal(got, []string{`SELECT '18'`, `SELECT '19'`}) {
		t.Errorf("the server keeps %q", got)
	}
	much("10") // is prepared anew
}

// Only for the bindings that a connection works for most it keeps anything, and
// what it keeps for others is closed on the server.
func TestOnlyHotBindingsArePrepared(t *testing.T) {
	t.Parallel()
	const hot, own, bindings = 112, 16, 130
	b := newBench(t, bind.Named, 1000)
	preludes := make([]bind.Prelude, bindings)
	for i := range preludes {
		target := b.target("one", "postgres")
		target.Shape = fmt.Sprint("shape ", i)
		preludes[i] = bind.Prelude{Binding: bind.New(target)}
	}
	const sql = `SELECT mark FROM marks`
	count := func(what string) {
		t.Helper()
		var binds, statements int
		err := b.session.Conn().QueryRow(t.Context(), `SELECT count(*) FILTER (WHERE statement LIKE 'SELECT WHERE%'), count(*) FILTER (WHERE statement = '`+sql+`')
			FROM pg_prepared_statements`, pgx.QueryExecModeSimpleProtocol).Scan(&binds, &statements)
		if err != nil || binds != own+1 || statements != hot {
			t.Errorf("%s: %d that bind and %d others are prepared, %v; want %d, with one that all others share, and %d", what, binds, statements, err, own+1, hot)
		}
	}
	for range 4 {
		for _, p := range preludes {
			b.want(p, sql, "one")
		}
	}
	count("all alike")
	for range 40 { // the last one becomes hot, and another is not any longer
		b.want(preludes[bindings-1], sql, "one")
	}
	count("one more than others")
	got, err := b.texts(preludes[bindings-1], `SELECT count(*)::text FROM pg_prepared_statements WHERE statement = $1 AND generic_plans + custom_plans > 20`, sql)
	b.must(err)
	if got[0] != "1" {
		t.Errorf("%s statements are used much, want the one of the binding that is", got)
	}
	for _, p := range preludes {
		b.want(p, sql, "one")
	}
}

// The bind statement of those who are not hot checks the schema each time, whether
// PostgreSQL plans it for the values or once for all of them.
func TestSharedBindChecksTheSchema(t *testing.T) {
	t.Parallel()
	b := newBench(t, bind.Named, 10)
	for i := range 20 {
		for _, schema := range []string{"one", "two"} {
			right := b.target(schema, "postgres")
			right.Shape = fmt.Sprint("shape ", i) // a binding that has not run yet
			b.want(bind.Prelude{Binding: bind.New(right)}, `SELECT mark FROM marks`, schema)
			for what, spoil := range map[string]func(*bind.Target){
				"another's oid":  func(t *bind.Target) { t.SchemaOID++ },
				"another's name": func(t *bind.Target) { t.Schema = map[string]string{"one": "two", "two": "one"}[schema] },
				"nobody's name":  func(t *bind.Target) { t.Schema = "gone" },
				"nobody's role":  func(t *bind.Target) { t.Role = "gone" },
			} {
				wrong := right
				wrong.Shape += what
				spoil(&wrong)
				if _, err := b.texts(bind.Prelude{Binding: bind.New(wrong)}, `SELECT mark FROM marks`); !errors.Is(err, bind.ErrChanged) {
					t.Errorf("%s: got %v, want ErrChanged", what, err)
				}
			}
		}
	}
	var generic int
	b.must(b.session.Conn().QueryRow(t.Context(), `SELECT sum(generic_plans) FROM pg_prepared_statements WHERE statement LIKE 'SELECT WHERE%$1%'`, pgx.QueryExecModeSimpleProtocol).Scan(&generic))
	if generic == 0 {
		t.Error("the shared bind statement was planned each time")
	}
}

// What is used much is not given up for what is used little.
func TestEvictionKeepsWhatIsUsed(t *testing.T) {
	t.Parallel()
	b := newBench(t, bind.Named, 1)
	one := b.as("one")
	for i := range 30 {
		b.want(one, `SELECT 'kept'`, "kept")
		b.want(one, fmt.Sprintf(`SELECT '%d'`, i/2), fmt.Sprint(i/2))
	}
	if got := b.prepared(); !slices.Equal(got, []string{`SELECT 'kept'`}) {
		t.Errorf("the server keeps %q", got)
	}
	for range 10 { // and is, when it is used no more
		b.want(one, `SELECT 'new'`, "new")
	}
	if got := b.prepared(); !slices.Equal(got, []string{`SELECT 'new'`}) {
		t.Errorf("the server keeps %q", got)
	}
}

// In front of a pooler no name is ever kept on the server.
func TestDescribedKeepsNothing(t *testing.T) {
	t.Parallel()
	b := newBench(t, bind.Described, 3)
	for i := range 10 {
		b.want(b.as("one"), fmt.Sprintf(`SELECT '%d'`, i), fmt.Sprint(i))
	}
	if got := b.prepared(); len(got) != 0 {
		t.Errorf("the server keeps %q", got)
	}
}

// A statement whose answer has another shape since a migration is described anew
// and answered, in both modes.
func TestChangedShape(t *testing.T) {
	t.Parallel()
	for name, mode := range map[string]bind.Mode{"named": bind.Named, "described": bind.Described} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, mode, 10)
			const sql = `SELECT * FROM marks`
			count := func(prelude bind.Prelude) int {
				rows, err := b.session.Query(t.Context(), prelude, sql, nil)
				b.must(err)
				defer rows.Close()
				return len(rows.FieldDescriptions())
			}
			one := b.as("one")
			if n := count(one); n != 1 {
				t.Fatalf("got %d columns", n)
			}
			b.behind(`ALTER TABLE one.marks ADD COLUMN more int`)
			if n := count(one); n != 2 {
				t.Errorf("got %d columns after the migration, want 2", n)
			}
			// A tenant that is behind: the same text has another shape again.
			if n := count(b.as("two")); n != 1 {
				t.Errorf("got %d columns of the other tenant, want 1", n)
			}
			b.behind(`ALTER TABLE one.marks ALTER COLUMN mark TYPE varchar(9), DROP COLUMN more`)
			b.want(one, `SELECT mark FROM marks`, "one")
		})
	}
}

// In a transaction the statement cannot be sent again; the error says that the
// transaction can.
func TestChangedShapeInATransaction(t *testing.T) {
	t.Parallel()
	b := newBench(t, bind.Named, 10)
	const sql = `SELECT * FROM marks`
	one := b.as("one")
	for range 2 {
		b.want(one, sql, "one")
	}
	b.behind(`ALTER TABLE one.marks ADD COLUMN more int`)
	one.Begin = "begin"
	b.must(b.session.Begin(t.Context(), one))
	_, err := b.texts(bind.Prelude{}, sql)
	if !errors.Is(err, bind.ErrRetry) {
		t.Errorf("got %v, want ErrRetry", err)
	}
	b.must(b.session.Rollback(t.Context()))
	b.must(b.session.Begin(t.Context(), one))
	rows, err := b.session.Query(t.Context(), bind.Prelude{}, sql, nil)
	b.must(err)
	if n := len(rows.FieldDescriptions()); n != 2 {
		t.Errorf("the second try got %d columns", n)
	}
	rows.Close()
	b.must(b.session.Commit(t.Context()))
}

// So does that of a batch whose first statement was answered, also when its context
// ended while it was read.
func TestChangedShapeInABatch(t *testing.T) {
	t.Parallel()
	for name, mode := range map[string]bind.Mode{"named": bind.Named, "described": bind.Described} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, mode, 10)
			one := b.as("one")
			const sql = `SELECT 1 AS n, * FROM marks`
			for range 3 {
				rows, err := b.session.Query(t.Context(), one, sql, nil)
				b.must(err)
				rows.Close()
				b.must(rows.Err())
			}
			b.behind(`ALTER TABLE one.marks ADD COLUMN more int`)
			batch := &pgx.Batch{}
			batch.Queue(`SELECT 'first'`)
			batch.Queue(sql)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			results := b.session.SendBatch(ctx, one, batch, nil)
			_, err := results.Exec()
			b.must(err)
			cancel()
			if _, err := results.Exec(); !errors.Is(err, bind.ErrRetry) {
				t.Errorf("got %v, want ErrRetry", err)
			}
			_ = results.Close()
		})
	}
}

// A transaction that begins with such a statement begins anew.
func TestChangedShapeAsATransactionBegins(t *testing.T) {
	t.Parallel()
	b := newBench(t, bind.Named, 10)
	one := b.as("one")
	const sql, other = `SELECT * FROM marks`, `SELECT mark FROM marks WHERE mark <> $1`
	for range 3 {
		b.want(one, sql, "one")
		_, err := b.texts(one, other, "x")
		b.must(err)
	}
	b.behind(`ALTER TABLE one.marks ALTER COLUMN mark TYPE int USING 7`)
	one.Begin = "begin"
	rows, err := b.session.Query(t.Context(), one, sql, nil)
	b.must(err)
	if got, err := pgx.CollectRows(rows, pgx.RowTo[int]); err != nil || !slices.Equal(got, []int{7}) {
		t.Errorf("got %d, %v", got, err)
	}
	b.must(b.session.Commit(t.Context()))
	// And a parameter whose type no longer fits.
	one.Begin = ""
	rows, err = b.session.Query(t.Context(), one, other, []any{3})
	b.must(err)
	if got, err := pgx.CollectRows(rows, pgx.RowTo[int]); err != nil || !slices.Equal(got, []int{7}) {
		t.Errorf("got %d, %v", got, err)
	}
}

// Tenants of the same shape share descriptions, but not where a type is each one's
// own, nor when one turns out to look otherwise.
func TestDescriptionsOfAShape(t *testing.T) {
	t.Parallel()
	for name, mode := range map[string]bind.Mode{"named": bind.Named, "described": bind.Described} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, mode, 20)
			for _, schema := range []string{"one", "two"} {
				b.behind(`CREATE TYPE ` + schema + `.state AS ENUM ('new', '` + schema + `')`)
				b.behind(`CREATE TABLE ` + schema + `.things (state ` + schema + `.state, n int)`)
				b.behind(`INSERT INTO ` + schema + `.things VALUES ('` + schema + `', 1)`)
			}
			b.behind(`ALTER TABLE two.marks ADD COLUMN more text DEFAULT 'more'`) // behind everybody's back
			one, two := b.as("one"), b.as("two")
			for i := range 4 {
				for schema, prelude := range map[string]bind.Prelude{"one": one, "two": two} {
					got, err := b.texts(prelude, `SELECT state::text FROM things WHERE state = $1`, schema)
					if err != nil || !slices.Equal(got, []string{schema}) {
						t.Errorf("%s, %d: got %q, %v", schema, i, got, err)
					}
					rows, err := b.session.Query(t.Context(), prelude, `SELECT * FROM marks`, nil)
					b.must(err)
					if n, want := len(rows.FieldDescriptions()), map[string]int{"one": 1, "two": 2}[schema]; n != want {
						t.Errorf("%s, %d: got %d columns, want %d", schema, i, n, want)
					}
					rows.Close()
					b.must(rows.Err())
				}
			}
			// In a transaction, and not as its first statement.
			for schema, prelude := range map[string]bind.Prelude{"one": one, "two": two} {
				prelude.Begin = "begin"
				b.must(b.session.Begin(t.Context(), prelude))
				got, err := b.texts(bind.Prelude{}, `UPDATE things SET n = n + 1 WHERE state = $1 RETURNING state::text`, schema)
				if err != nil || !slices.Equal(got, []string{schema}) {
					t.Errorf("%s: got %q, %v", schema, got, err)
				}
				b.must(b.session.Commit(t.Context()))
			}
		})
	}
}

// A prepared statement that somebody closed behind the session's back is made
// again.
func TestLostStatement(t *testing.T) {
	t.Parallel()
	b := newBench(t, bind.Named, 10)
	for range 3 {
		b.want(b.as("one"), `SELECT mark FROM marks`, "one")
	}
	if len(b.prepared()) != 1 {
		t.Fatal("it is not prepared")
	}
	_, err := b.session.Conn().Exec(t.Context(), `DEALLOCATE ALL`)
	b.must(err)
	for range 3 {
		b.want(b.as("one"), `SELECT mark FROM marks`, "one")
	}
}

// What a binding cannot be made for, and how it is told.
func TestBindingErrors(t *testing.T) {
	t.Parallel()
	b := newBench(t, bind.Named, 10)
	login := pgtest.Login(t, b.url, "")
	strange, err := bind.NewSession(t.Context(), b.connect(login), bind.Config{Mode: bind.Named, Capacity: 10, Descriptions: b.known})
	b.must(err)
	wrong := bind.Prelude{Binding: bind.New(bind.Target{Schema: "one", SchemaOID: 1, Role: "postgres", SearchPath: "one"})}
	gone := bind.Prelude{Binding: bind.New(bind.Target{Schema: "gone", SchemaOID: 1, Role: "postgres", SearchPath: "gone"})}
	for what, c := range map[string]struct {
		session *bind.Session
		prelude bind.Prelude
		want    error
	}{
		"another oid":        {b.session, wrong, bind.ErrChanged},
		"no schema":          {b.session, gone, bind.ErrChanged},
		"no role":            {b.session, b.to("one", "nobody_at_all"), bind.ErrChanged},
		"login not admitted": {strange, b.as("one"), bind.ErrNotAdmitted},
	} {
		_, err := c.session.Query(t.Context(), c.prelude, `SELECT 'ran'`, nil)
		var pgErr *pgconn.PgError
		if !errors.Is(err, c.want) || !errors.As(err, &pgErr) {
			t.Errorf("%s: got %v, want %v and PostgreSQL's error", what, err, c.want)
		}
		c.prelude.Begin = "begin"
		if err := c.session.Begin(t.Context(), c.prelude); !errors.Is(err, c.want) {
			t.Errorf("%s: begin: got %v, want %v", what, err, c.want)
		}
		if c.session.Conn().PgConn().TxStatus() != 'I' {
			b.must(c.session.Rollback(t.Context()))
		}
	}
	b.want(b.as("two"), `SELECT mark FROM marks`, "two") // the session is fine
}

// Nothing of a binding stays on the connection.
func TestBindingEndsWithItsStatement(t *testing.T) {
	t.Parallel()
	for name, mode := range map[string]bind.Mode{"named": bind.Named, "described": bind.Described} {
		b := newBench(t, mode, 10)
		const state = `SELECT current_setting('search_path') || ' ' || current_user || ' ' || coalesce(current_setting('rowhouse.tenant_id', true), '')`
		var before, after string
		b.must(b.session.Conn().QueryRow(t.Context(), state).Scan(&before))
		b.want(b.to("one", "pg_monitor"), state, "one pg_monitor id of one")
		b.want(b.to("two", "pg_monitor"), state, "two pg_monitor id of two")
		if _, err := b.texts(b.to("one", "pg_monitor"), `SELECT (1/0)::text`); err == nil {
			t.Error("no error")
		}
		b.must(b.session.Conn().QueryRow(t.Context(), state).Scan(&after))
		if before != after {
			t.Errorf("%s: the connection was %q and is %q", name, before, after)
		}
	}
}
