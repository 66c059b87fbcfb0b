package rowhouse_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"log"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/rowhouse/rowhouse"
)

// openAcross opens a DB that reads on so many connections at once.
func (f *fleet) openAcross(via func(*fleet) string, conns, across int32) *rowhouse.DB {
	f.t.Helper()
	url := f.login
	if via != nil {
		url = via(f)
	}
	db, err := rowhouse.Open(f.t.Context(), rowhouse.Config{DatabaseURL: url, MaxConns: conns, AcrossConns: across})
	f.must(err)
	f.t.Cleanup(db.Close)
	return db
}

// only is the sequence of some tenants.
func (f *fleet) only(schemas ...string) iter.Seq2[*rowhouse.Tenant, error] {
	f.t.Helper()
	var tenants []*rowhouse.Tenant
	for _, s := range schemas {
		t, err := f.db.TenantBySchema(f.t.Context(), s)
		f.must(err)
		tenants = append(tenants, t)
	}
	return func(yield func(*rowhouse.Tenant, error) bool) {
		for _, t := range tenants {
			if !yield(t, nil) {
				return
			}
		}
	}
}

// served is the sequence of all tenants that are served.
func (f *fleet) served() iter.Seq2[*rowhouse.Tenant, error] {
	return f.db.Tenants(f.t.Context(), rowhouse.TenantFilter{})
}

// collected is what a reading across tenants gave, by schema name.
type collected[T any] struct {
	rows   map[string][]T
	failed map[string]error
}

func collect[T any](f *fleet, rows iter.Seq2[rowhouse.TenantRow[T], error]) collected[T] {
	f.t.Helper()
	got := collected[T]{make(map[string][]T), make(map[string]error)}
	for row, err := range rows {
		var failed *rowhouse.TenantError
		switch {
		case errors.As(err, &failed):
			if failed.Tenant != row.Tenant {
				f.t.Errorf("the error of %s comes with %s", failed.Tenant.Schema, row.Tenant.Schema)
			}
			got.failed[failed.Tenant.Schema] = err
		case err != nil:
			f.t.Error(err)
		default:
			got.rows[row.Tenant.Schema] = append(got.rows[row.Tenant.Schema], row.Value)
		}
	}
	return got
}

// wantOwn fails the test unless each of the tenants has its own mark and no other.
func (f *fleet) wantOwn(got collected[string], schemas []string) {
	f.t.Helper()
	for schema, err := range got.failed {
		f.t.Errorf("%s: %v", schema, err)
	}
	if len(got.rows) != len(schemas) {
		f.t.Errorf("rows of %d tenants, want %d", len(got.rows), len(schemas))
	}
	for _, s := range schemas {
		if !slices.Equal(got.rows[s], []string{s}) {
			f.t.Errorf("%s has the marks %q", s, got.rows[s])
		}
	}
}

// wantIdle waits until all connections are back.
func (f *fleet) wantIdle(db *rowhouse.DB) {
	f.t.Helper()
	if n := db.Stat().InUse; n != 0 {
		f.t.Errorf("%d connections are in use after the iteration", n)
	}
	f.until(`SELECT count(*) = 0 FROM pg_stat_activity WHERE usename = $1 AND state <> 'idle'`, userOf(f.t, f.login))
}

// lookedUp waits until a look-up finds the tenant in a state.
func (f *fleet) lookedUp(schema string, state rowhouse.State) {
	f.t.Helper()
	for deadline := time.Now().Add(20 * time.Second); ; {
		tenant, err := f.db.TenantBySchema(f.t.Context(), schema)
		f.must(err)
		if tenant.State == state {
			return
		}
		if time.Now().After(deadline) {
			f.t.Fatalf("%s is still %s", schema, tenant.State)
		}
	}
}

// until waits until a query says yes.
func (f *fleet) until(sql string, args ...any) {
	f.t.Helper()
	for deadline := time.Now().Add(20 * time.Second); ; {
		var yes bool
		f.must(f.superior.QueryRow(f.t.Context(), sql, args...).Scan(&yes))
		if yes {
			return
		}
		if time.Now().After(deadline) {
			f.t.Fatalf("still not so: %s", sql)
		}
	}
}

const marksSQL = `SELECT mark FROM marks`

// Rows come with their tenant, of every tenant, whatever the number of connections.
func TestAcross(t *testing.T) {
	t.Parallel()
	everyWay(t, func(t *testing.T, via func(*fleet) string) {
		schemas := names(120)
		f := newFleet(t, via, schemas...)
		for _, conns := range [][2]int32{{1, 1}, {4, 0}, {8, 4}, {3, 3}} {
			db := f.openAcross(via, conns[0], conns[1])
			for range 2 { // the statement is known the second time
				f.wantOwn(collect(f, rowhouse.Across(t.Context(), db, f.served(), pgx.RowTo[string], marksSQL)), schemas)
			}
			got := collect(f, rowhouse.Across(t.Context(), db, f.served(), pgx.RowTo[string],
				`SELECT mark FROM marks WHERE mark = ANY (@some) AND length(mark) > @n`, pgx.NamedArgs{"some": schemas[5:50], "n": 2}))
			f.wantOwn(got, schemas[5:50])
			f.wantIdle(db)
			if st := db.Stat(); st.Size != int(conns[0]) || st.RefusedWait+st.RefusedWaiting != 0 {
				t.Errorf("%+v", st)
			}
		}
	})
}

// Each failure is its tenant's, and the others have their rows.
func TestAcrossPartialFailures(t *testing.T) {
	t.Parallel()
	everyWay(t, func(t *testing.T, via func(*fleet) string) {
		f := newFleet(t, via, "acme", "beta", "missing", "dropped", "recreated", "trashed", "wider", "retyped", "suspended")
		_, err := f.admin.Suspend(t.Context(), "suspended")
		f.must(err)
		_, err = f.admin.Delete(t.Context(), "trashed")
		f.must(err)
		schemas := []string{"acme", "missing", "dropped", "recreated", "trashed", "wider", "retyped", "suspended", "beta"}
		f.lookedUp("trashed", rowhouse.StateTrashed)
		f.lookedUp("suspended", rowhouse.StateSuspended)
		all := f.only(schemas...)
		for _, name := range []string{"acme", "beta"} {
			f.wantMark(name)
		}
		db := f.openAcross(via, 4, 2)
		before := collect(f, rowhouse.Across(t.Context(), db, all, pgx.RowTo[string], marksSQL))
		if len(before.failed) != 1 || !errors.Is(before.failed["trashed"], rowhouse.ErrTenantUnavailable) || len(before.rows) != 8 {
			t.Errorf("before: %v", before)
		}
		f.behind(`DROP TABLE missing.marks`)
		f.behind(`DROP SCHEMA dropped CASCADE`)
		f.behind(`DROP SCHEMA recreated CASCADE`)
		f.behind(`CREATE SCHEMA recreated`)
		f.behind(`CREATE TABLE recreated.marks AS SELECT 'wrong' AS mark`)
		f.behind(`GRANT ALL ON SCHEMA recreated TO PUBLIC`)
		f.behind(`GRANT ALL ON recreated.marks TO PUBLIC`)
		f.behind(`ALTER TABLE wider.marks ADD COLUMN more int DEFAULT 7`)
		f.behind(`ALTER TABLE retyped.marks ALTER COLUMN mark TYPE varchar(20)`)
		for range 2 {
			got := collect(f, rowhouse.Across(t.Context(), db, all, pgx.RowToMap, `SELECT * FROM marks`))
			for schema, want := range map[string]map[string]any{
				"acme": {"mark": "acme"}, "beta": {"mark": "beta"}, "suspended": {"mark": "suspended"},
				"wider": {"mark": "wider", "more": int32(7)}, "retyped": {"mark": "retyped"},
			} {
				if rows := got.rows[schema]; len(rows) != 1 || fmt.Sprint(rows[0]) != fmt.Sprint(want) {
					t.Errorf("%s: got %v, %v", schema, rows, got.failed[schema])
				}
			}
			if len(got.rows) != 5 || len(got.failed) != 4 {
				t.Errorf("got rows of %d and errors of %d: %v", len(got.rows), len(got.failed), got)
			}
			wantCode(t, "missing", got.failed["missing"], "42P01")
			for schema, want := range map[string]error{
				"dropped": rowhouse.ErrTenantChanged, "recreated": rowhouse.ErrTenantChanged, "trashed": rowhouse.ErrTenantUnavailable,
			} {
				if !errors.Is(got.failed[schema], want) {
					t.Errorf("%s: got %v, want %v", schema, got.failed[schema], want)
				}
			}
		}
		f.wantIdle(db)
	})
}

// A query that fails in the middle of its rows, one that scan refuses, and what the
// wall and the read-only transaction refuse.
func TestAcrossRefusals(t *testing.T) {
	t.Parallel()
	everyWay(t, func(t *testing.T, via func(*fleet) string) {
		f := newFleet(t, via, "acme", "beta", "gamma")
		schemas := []string{"acme", "beta", "gamma"}
		across := func(sql string, args ...any) collected[string] {
			t.Helper()
			return collect(f, rowhouse.Across(t.Context(), f.db, f.served(), pgx.RowTo[string], sql, args...))
		}
		got := across(`SELECT (1 / (length(mark) - 4 * (3 - n) - 4 * (length(mark) % 2)))::text FROM marks, generate_series(1, 4) n`)
		wantCode(t, "division", got.failed["acme"], "22012")
		if len(got.rows["acme"]) == 0 || len(got.failed) != 2 || len(got.rows["gamma"]) != 4 {
			t.Errorf("division: got %v", got)
		}
		got = collect(f, rowhouse.Across(t.Context(), f.db, f.served(), func(row pgx.CollectableRow) (string, error) {
			var m string
			err := row.Scan(&m)
			if m == "beta" {
				err = errors.New("not this one")
			}
			return m, err
		}, marksSQL))
		if len(got.rows) != 2 || got.failed["beta"] == nil || !strings.Contains(got.failed["beta"].Error(), `tenant "beta": rowhouse: not this one`) {
			t.Errorf("scan: got %v", got)
		}
		for sql, code := range map[string]string{
			`SELECT mark FROM gamma.marks`:                               "42501",
			`SELECT set_config('role', 'none', true)`:                    "42501",
			`SELECT set_config('transaction_read_only', 'off', true)`:    "42501",
			`SELECT mark, nextval('tickets_id_seq') FROM marks`:          "25006",
			`INSERT INTO marks VALUES ('x') RETURNING mark`:              "25006",
			`WITH d AS (DELETE FROM marks RETURNING mark) SELECT FROM d`: "25006",
			`SELECT mark FROM nowhere`:                                   "42P01",
			`SELEC`:                                                      "42601",
		} {
			got := across(sql)
			if sql == `SELECT mark FROM gamma.marks` && len(got.rows["gamma"]) == 1 {
				got.failed["gamma"] = got.failed["acme"]
			}
			for _, s := range schemas {
				wantCode(t, s+": "+sql, got.failed[s], code)
			}
		}
		if got := across(marksSQL, "too many"); len(got.failed) != 3 {
			t.Errorf("arguments: got %v", got)
		}
		for _, s := range schemas {
			f.wantMark(s)
		}
		f.wantIdle(f.db)
	})
}

// What is wrong for all ends the iteration, and is no TenantError.
func TestAcrossEnds(t *testing.T) {
	t.Parallel()
	f := newFleet(t, nil, "acme")
	other := newFleet(t, nil, "acme")
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	broken := errors.New("broken")
	closed := f.openAcross(nil, 1, 1)
	closed.Close()
	acme := f.only("acme")
	none := func(func(*rowhouse.Tenant, error) bool) {}
	for name, c := range map[string]struct {
		ctx     context.Context
		db      *rowhouse.DB
		tenants iter.Seq2[*rowhouse.Tenant, error]
		sql     string
		want    error
	}{
		"refused":       {t.Context(), f.db, acme, `SET ROLE none`, rowhouse.ErrStatementRefused},
		"cancelled":     {cancelled, f.db, acme, marksSQL, context.Canceled},
		"cancelled too": {cancelled, f.db, none, marksSQL, context.Canceled},
		"sequence":      {t.Context(), f.db, func(yield func(*rowhouse.Tenant, error) bool) { yield(nil, broken) }, marksSQL, broken},
		"catalog":       {t.Context(), f.db, f.db.Tenants(cancelled, rowhouse.TenantFilter{}), marksSQL, context.Canceled},
		"closed":        {t.Context(), closed, acme, marksSQL, nil},
	} {
		n := 0
		for row, err := range rowhouse.Across(c.ctx, c.db, c.tenants, pgx.RowTo[string], c.sql) {
			n++
			if err == nil || c.want != nil && !errors.Is(err, c.want) || errors.As(err, new(*rowhouse.TenantError)) {
				t.Errorf("%s: got %v, %v", name, row, err)
			}
		}
		if n != 1 {
			t.Errorf("%s: yielded %d times", name, n)
		}
	}
	for range rowhouse.Across(t.Context(), f.db, none, pgx.RowTo[string], marksSQL) {
		t.Error("rows of no tenant")
	}
	for _, err := range rowhouse.Across(t.Context(), f.db, func(yield func(*rowhouse.Tenant, error) bool) {
		for tenant, err := range other.only("acme") {
			_ = yield(tenant, err) && yield(nil, nil)
		}
	}, pgx.RowTo[string], marksSQL) {
		if !errors.As(err, new(*rowhouse.TenantError)) || !errors.Is(err, rowhouse.ErrTenantMismatch) && !errors.Is(err, rowhouse.ErrNoTenant) {
			t.Errorf("a tenant of another catalog, or none: got %v", err)
		}
	}
	f.wantIdle(f.db)
}

// Who leaves the loop, panics in it or ends its context stops the servers too.
func TestAcrossStops(t *testing.T) {
	t.Parallel()
	everyWay(t, func(t *testing.T, via func(*fleet) string) {
		schemas := names(60)
		f := newFleet(t, via, schemas...)
		db := f.openAcross(via, 8, 4)
		for name, sql := range map[string]string{
			"cheap": marksSQL,
			"slow":  `SELECT mark FROM marks, pg_sleep(0.2)`,
			"large": `SELECT repeat('x', 1000) FROM generate_series(1, 100000)`,
		} {
			ctx, cancel := context.WithCancel(t.Context())
			stop := map[string]func(){
				"break": func() {}, "panic": func() { panic("enough") }, "cancel": cancel,
			}
			for how, do := range stop {
				start := time.Now()
				n, err := stopAfter(rowhouse.Across(ctx, db, f.served(), pgx.RowTo[string], sql), 3, do, how != "cancel")
				if how == "cancel" && !errors.Is(err, context.Canceled) || how != "cancel" && err != nil || n < 3 {
					t.Errorf("%s, %s: %d rows, %v", name, how, n, err)
				}
				if took := time.Since(start); took > 6*time.Second {
					t.Errorf("%s, %s: took %v", name, how, took)
				}
				f.wantIdle(db)
				if how == "cancel" {
					ctx = t.Context()
				}
			}
			cancel()
		}
		f.wantOwn(collect(f, rowhouse.Across(t.Context(), db, f.served(), pgx.RowTo[string], marksSQL)), schemas)
	})
}

// stopAfter reads some rows, calls do, and leaves the loop or goes on.
func stopAfter(rows iter.Seq2[rowhouse.TenantRow[string], error], after int, do func(), leave bool) (n int, err error) {
	defer func() { _ = recover() }() // do's
	for _, rowErr := range rows {
		if rowErr != nil {
			err = rowErr
			continue
		}
		if n++; n == after {
			if do(); leave {
				return n, err
			}
		}
	}
	return n, err
}

// Rows are not read ahead: a server with more rows than the loop takes waits.
func TestAcrossStreams(t *testing.T) {
	t.Parallel()
	f := newFleet(t, nil, "acme", "beta", "gamma")
	asked := 0
	many := func(yield func(*rowhouse.Tenant, error) bool) {
		for range 2000 {
			for tenant, err := range f.served() {
				if asked++; !yield(tenant, err) {
					return
				}
			}
		}
	}
	n := 0
	db := f.openAcross(nil, 8, 2)
	for row, err := range rowhouse.Across(t.Context(), db, many, pgx.RowTo[string], `SELECT repeat(mark, 250) FROM marks, generate_series(1, 20000)`) {
		f.must(err)
		if row.Value != strings.Repeat(row.Tenant.Schema, 250) {
			t.Fatalf("%s has a row of another: %.20s", row.Tenant.Schema, row.Value)
		}
		if n++; n == 1 {
			f.until(`SELECT count(*) = 2 FROM pg_stat_activity WHERE usename = $1 AND wait_event = 'ClientWrite'`, userOf(t, f.login))
		}
		if n == 60_000 { // of more than one chunk's tenant
			break
		}
	}
	if asked >= 6000 {
		t.Error("all tenants were kept in memory")
	}
	f.wantIdle(db)
}

// While a loop dawdles, and uses the DB itself, others have the other connections.
func TestAcrossLeavesConnections(t *testing.T) {
	t.Parallel()
	everyWay(t, func(t *testing.T, via func(*fleet) string) {
		schemas := names(20)
		f := newFleet(t, via, schemas...)
		n := 0
		for row, err := range rowhouse.Across(t.Context(), f.db, f.served(), pgx.RowTo[string], marksSQL) {
			f.must(err)
			n++
			if used := f.db.Stat().InUse; used > 1 {
				t.Fatalf("%d connections are used", used)
			}
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			for _, s := range []string{row.Value, schemas[0], schemas[19]} {
				tenant, err := f.db.TenantBySchema(ctx, s)
				f.must(err)
				if m, err := mark(rowhouse.WithTenant(ctx, tenant), f.db); err != nil || m != s {
					t.Fatalf("as %s: got %q, %v", s, m, err)
				}
			}
			cancel()
		}
		if n != 20 {
			t.Errorf("got %d rows", n)
		}
	})
}

// A server that dies costs the tenant that it was answering, and no other.
func TestAcrossConnectionLost(t *testing.T) {
	t.Parallel()
	f := newFleet(t, nil, names(60)...)
	db := f.openAcross(nil, 8, 2)
	n, killed := 0, false
	failed := map[string]error{}
	seen := map[string]int{}
	for row, err := range rowhouse.Across(t.Context(), db, f.served(), pgx.RowTo[string], `SELECT mark || repeat(' ', 10000) FROM marks, generate_series(1, 200)`) {
		seen[row.Tenant.Schema]++
		if err != nil {
			if !errors.As(err, new(*rowhouse.TenantError)) {
				t.Fatal(err)
			}
			failed[row.Tenant.Schema] = err
			continue
		}
		if row.Value[:3] != row.Tenant.Schema {
			t.Fatalf("%s has a row of %s", row.Tenant.Schema, row.Value[:3])
		}
		if n++; n > 1000 && !killed {
			killed = true
			f.behind(`SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = $1`, userOf(t, f.login))
		}
	}
	if len(failed) == 0 || len(failed) > 4 || len(seen) != 60 {
		t.Errorf("%d of %d tenants failed: %v", len(failed), len(seen), failed)
	}
	for schema, n := range seen {
		if failed[schema] == nil && n != 200 {
			t.Errorf("%s has %d rows", schema, n)
		}
	}
	f.wantIdle(db)
}

// Tenants half-way through a migration, and types that are each tenant's own.
func TestAcrossShapes(t *testing.T) {
	t.Parallel()
	everyWay(t, func(t *testing.T, via func(*fleet) string) {
		schemas := names(12)
		f := newFleet(t, via, schemas...)
		for _, s := range schemas {
			f.behind(`CREATE TYPE ` + s + `.mood AS ENUM ('good', '` + s + `')`)
			f.behind(`ALTER TABLE ` + s + `.marks ADD COLUMN mood ` + s + `.mood`)
			f.behind(`UPDATE ` + s + `.marks SET mood = '` + s + `'`)
		}
		db := f.openAcross(via, 4, 4)
		moods := func() {
			t.Helper()
			f.wantOwn(collect(f, rowhouse.Across(t.Context(), db, f.served(), pgx.RowTo[string], `SELECT mood FROM marks WHERE mood >= $1`, "good")), schemas)
		}
		moods()
		for i, s := range schemas {
			switch i % 3 {
			case 0:
				f.behind(`ALTER TABLE ` + s + `.marks DROP COLUMN mood`)
				f.behind(`ALTER TABLE ` + s + `.marks ADD COLUMN mood text`)
				f.behind(`UPDATE ` + s + `.marks SET mood = mark`)
			case 1:
				f.behind(`ALTER TABLE ` + s + `.marks ADD COLUMN number int DEFAULT 1`)
			}
		}
		for range 2 {
			moods()
			got := collect(f, rowhouse.Across(t.Context(), db, f.served(), pgx.RowToMap, `SELECT * FROM marks`))
			for i, s := range schemas {
				if rows := got.rows[s]; len(rows) != 1 || rows[0]["mark"] != s || rows[0]["mood"] != s || (rows[0]["number"] != nil) != (i%3 == 1) {
					t.Errorf("%s: %v, %v", s, rows, got.failed[s])
				}
			}
		}
	})
}

// Several at once, beside the tenants' own work, on few connections.
func TestAcrossBesideWork(t *testing.T) {
	t.Parallel()
	everyWay(t, func(t *testing.T, via func(*fleet) string) {
		schemas := names(30)
		f := newFleet(t, via, schemas...)
		db := f.openAcross(via, 3, 3)
		f.db = db
		stop := make(chan struct{})
		errs := make(chan error, 4)
		for range 4 {
			go func() {
				for i := 0; ; i++ {
					select {
					case <-stop:
						errs <- nil
						return
					default:
					}
					tenant, err := db.TenantBySchema(t.Context(), schemas[i%30])
					if err == nil {
						err = f.oneOf(rowhouse.WithTenant(t.Context(), tenant), tenant.Schema)
					}
					if err != nil {
						errs <- err
						return
					}
				}
			}()
		}
		done := make(chan collected[string])
		for range 4 {
			go func() {
				for range 5 {
					done <- collect(f, rowhouse.Across(t.Context(), db, f.served(), pgx.RowTo[string], marksSQL))
				}
			}()
		}
		for range 20 {
			f.wantOwn(<-done, schemas)
		}
		close(stop)
		for range 4 {
			f.must(<-errs)
		}
	})
}

// Tenants are listed page by page, each once, by kind and state.
func TestTenants(t *testing.T) {
	t.Parallel()
	f := newFleet(t, nil, "acme")
	f.behind(`INSERT INTO rowhouse.tenants (name, schema_name, kind, state, role_name, schema_oid)
		SELECT 'x', 'x' || n, CASE WHEN n % 2 = 0 THEN 'even' ELSE 'odd' END,
			(ARRAY['active', 'read_only', 'suspended', 'maintenance', 'archived'])[n % 5 + 1], 'role_' || n, 900000 + n
		FROM generate_series(1, 1000) n`)
	list := func(filter rowhouse.TenantFilter) map[string]*rowhouse.Tenant {
		t.Helper()
		listed := make(map[string]*rowhouse.Tenant)
		for tenant, err := range f.db.Tenants(t.Context(), filter) {
			f.must(err)
			if listed[tenant.Schema] != nil {
				t.Errorf("%s is listed twice", tenant.Schema)
			}
			listed[tenant.Schema] = tenant
			if len(listed) == 100 {
				f.behind(`UPDATE rowhouse.tenants SET schema_name = schema_name || '_' WHERE kind = 'odd'`)
			}
		}
		return listed
	}
	if got := list(rowhouse.TenantFilter{}); len(got) != 401 || got["acme"] == nil || got["acme"].Domain != host("acme") {
		t.Errorf("%d are served", len(got))
	}
	if got := list(rowhouse.TenantFilter{Kind: "even"}); len(got) != 200 {
		t.Errorf("%d of them are even", len(got))
	}
	if got := list(rowhouse.TenantFilter{States: []rowhouse.State{rowhouse.StateSuspended, rowhouse.StateArchived}}); len(got) != 400 {
		t.Errorf("%d are suspended or archived", len(got))
	}
	if got := list(rowhouse.TenantFilter{Kind: "none"}); len(got) != 0 {
		t.Errorf("%d are of no kind", len(got))
	}
	for range f.db.Tenants(t.Context(), rowhouse.TenantFilter{}) {
		break
	}
}

func ExampleAcross() {
	ctx := context.Background()
	db, stop := twoDesks(ctx)
	defer stop()
	acme, err := db.TenantBySchema(ctx, "acme")
	if err != nil {
		log.Fatal(err)
	}
	for _, title := range []string{"paper jam", "toner low"} {
		if _, err := db.Exec(rowhouse.WithTenant(ctx, acme), "INSERT INTO tickets (title) VALUES ($1)", title); err != nil {
			log.Fatal(err)
		}
	}

	all := db.Tenants(ctx, rowhouse.TenantFilter{})
	open := make(map[string]int)
	for row, err := range rowhouse.Across(ctx, db, all, pgx.RowTo[int], "SELECT count(*) FROM tickets") {
		var one *rowhouse.TenantError
		if errors.As(err, &one) { // the others go on
			log.Printf("%s: %v", one.Tenant.Name, one.Err)
			continue
		}
		if err != nil {
			log.Fatal(err)
		}
		open[row.Tenant.Schema] = row.Value
	}
	fmt.Println(open)
	// Output: map[acme:2 globex:0]
}

// BenchmarkAcross compares with a loop of queries over the same tenants. For
// people; figures are made by package bench.
func BenchmarkAcross(b *testing.B) {
	schemas := names(100)
	f := newFleet(b, nil, schemas...)
	var tenants []*rowhouse.Tenant
	for tenant, err := range f.served() {
		f.must(err)
		tenants = append(tenants, tenant)
	}
	seq := func(yield func(*rowhouse.Tenant, error) bool) {
		for _, t := range tenants {
			if !yield(t, nil) {
				return
			}
		}
	}
	b.Run("loop", func(b *testing.B) {
		for b.Loop() {
			for _, t := range tenants {
				if _, err := mark(rowhouse.WithTenant(b.Context(), t), f.db); err != nil {
					b.Fatal(err)
				}
			}
		}
	})
	for _, conns := range []int32{1, 4} {
		db := f.openAcross(nil, 4, conns)
		b.Run(fmt.Sprintf("across-%d", conns), func(b *testing.B) {
			for b.Loop() {
				n := 0
				for _, err := range rowhouse.Across(b.Context(), db, seq, pgx.RowTo[string], `SELECT string_agg(mark, ',') FROM marks`) {
					if n++; err != nil {
						b.Fatal(err)
					}
				}
				if n != len(tenants) {
					b.Fatalf("%d rows", n)
				}
			}
		})
	}
}
