package rowhouse_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/rowhouse/rowhouse"
)

// Invariant 1: work with no tenant is refused, whatever it is.
func TestWithoutTenant(t *testing.T) {
	t.Parallel()
	f := newFleet(t, nil, "acme")
	other := newFleet(t, nil, "acme")
	acme, err := rowhouse.FromContext(f.as("acme"))
	f.must(err)
	copied := *acme
	copied.Schema = "beta"
	for name, c := range map[string]struct {
		ctx  context.Context
		want error
	}{
		"none":            {t.Context(), rowhouse.ErrNoTenant},
		"nil":             {rowhouse.WithTenant(f.as("acme"), nil), rowhouse.ErrNoTenant},
		"made by hand":    {rowhouse.WithTenant(t.Context(), &rowhouse.Tenant{Schema: "acme", State: rowhouse.StateActive}), rowhouse.ErrNoTenant},
		"another catalog": {other.as("acme"), rowhouse.ErrTenantMismatch},
	} {
		_, queryErr := f.db.Query(c.ctx, `SELECT 1`)
		_, execErr := f.db.Exec(c.ctx, `SELECT 1`)
		rowErr := f.db.QueryRow(c.ctx, `SELECT 1`).Scan(new(int))
		txErr := f.db.InTx(c.ctx, func(pgx.Tx) error { t.Errorf("%s: the callback ran", name); return nil })
		for _, err := range []error{queryErr, execErr, rowErr, txErr} {
			if !errors.Is(err, c.want) {
				t.Errorf("%s: got %v, want %v", name, err, c.want)
			}
		}
	}
	// A changed copy of a tenant still leads only where the original does.
	if m, err := mark(rowhouse.WithTenant(t.Context(), &copied), f.db); err != nil || m != "acme" {
		t.Errorf("a changed copy led to %q, %v", m, err)
	}
}

// Invariant 1: what was done to a schema behind rowhouse's back is an error, and
// never somebody else's rows.
func TestSchemaChangedBehindTheBack(t *testing.T) {
	t.Parallel()
	everyWay(t, func(t *testing.T, via func(*fleet) string) {
		for name, sql := range map[string][]string{
			"dropped":   {`DROP SCHEMA acme CASCADE`},
			"renamed":   {`ALTER SCHEMA acme RENAME TO gone`},
			"recreated": {`DROP SCHEMA acme CASCADE`, `CREATE SCHEMA acme`, `CREATE TABLE acme.marks AS SELECT 'wrong' AS mark`, `GRANT ALL ON SCHEMA acme TO PUBLIC`, `GRANT ALL ON acme.marks TO PUBLIC`},
			"swapped":   {`ALTER SCHEMA acme RENAME TO tmp`, `ALTER SCHEMA beta RENAME TO acme`, `ALTER SCHEMA tmp RENAME TO beta`},
		} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				f := newFleet(t, via, "acme", "beta")
				f.behind(`CREATE TABLE public.marks AS SELECT 'shared' AS mark`)
				f.behind(`GRANT ALL ON public.marks TO PUBLIC`)
				ctx := f.as("acme")
				f.wantMark("acme") // the statement is known to the connections
				for _, s := range sql {
					f.behind(s)
				}
				m, err := mark(ctx, f.db)
				if !errors.Is(err, rowhouse.ErrTenantChanged) {
					t.Errorf("query: got %q, %v; want ErrTenantChanged", m, err)
				}
				_, err = f.db.Exec(ctx, `CREATE TABLE created (i int)`)
				if !errors.Is(err, rowhouse.ErrTenantChanged) {
					t.Errorf("create: got %v, want ErrTenantChanged", err)
				}
				err = f.db.InTx(ctx, func(tx pgx.Tx) error { _, err := mark(ctx, tx); return err })
				if !errors.Is(err, rowhouse.ErrTenantChanged) {
					t.Errorf("transaction: got %v, want ErrTenantChanged", err)
				}
			})
		}
	})
}

func TestRoleDroppedBehindTheBack(t *testing.T) {
	t.Parallel()
	f := newFleet(t, nil, "acme")
	var role string
	f.must(f.superior.QueryRow(t.Context(), `SELECT role_name FROM rowhouse.tenants`).Scan(&role))
	f.behind(`DROP OWNED BY ` + role)
	f.behind(`DROP ROLE ` + role)
	if m, err := mark(f.as("acme"), f.db); !errors.Is(err, rowhouse.ErrTenantChanged) {
		t.Errorf("got %q, %v; want ErrTenantChanged", m, err)
	}
}

// Invariant 3: PostgreSQL refuses what names another tenant's schema, and what
// would leave the tenant's role.
func TestWall(t *testing.T) {
	t.Parallel()
	everyWay(t, func(t *testing.T, via func(*fleet) string) {
		f := newFleet(t, via, "acme", "beta")
		if gaps := f.db.WallGaps(); len(gaps) > 0 {
			t.Fatalf("the wall has gaps: %v", gaps)
		}
		f.behind(`CREATE FUNCTION public.definer() RETURNS text LANGUAGE sql SECURITY INVOKER AS 'SELECT mark FROM beta.marks'`)
		ctx := f.as("acme")
		for _, sql := range []string{
			`SELECT * FROM beta.marks`,
			`INSERT INTO beta.marks VALUES ('acme')`,
			`UPDATE beta.marks SET mark = 'acme'`,
			`DELETE FROM beta.marks`,
			`TRUNCATE beta.marks`,
			`DROP TABLE beta.marks`,
			`WITH x AS (SELECT * FROM beta.marks) SELECT count(*) FROM x`,
			`SELECT mark FROM marks UNION ALL TABLE beta.marks`,
			`COPY beta.marks TO STDOUT`,
			`SELECT public.definer()`,
			`SELECT 'beta.marks'::regclass::text, nextval('beta.tickets_id_seq')`,
			`SELECT query_to_xml('SELECT * FROM beta.marks', true, false, '')`,
			`SELECT set_config('search_path', 'beta', true)`,
			`SELECT set_config('role', 'none', true)`,
			`SELECT query_to_xml('SELECT set_config(''role'', ''none'', true)', true, false, '')`,
			`UPDATE pg_settings SET setting = 'beta' WHERE name = 'search_path'`,
			`DO $$ BEGIN EXECUTE 'SET ROLE none'; END $$`,
			`CREATE TABLE mine (i int)`,
			`CREATE TABLE public.mine (i int)`,
			`CREATE TEMP TABLE marks (mark text)`,
			`CREATE SCHEMA mine`,
			`CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'`,
			`INSERT INTO plans VALUES ('acme', 0)`,
			`UPDATE public.plans SET price = 0`,
			`SELECT * FROM rowhouse.tenants`,
			`DELETE FROM rowhouse.domains`,
			`ALTER TABLE marks ADD COLUMN i int`,
		} {
			_, err := f.db.Exec(ctx, sql)
			var pgErr *pgconn.PgError
			if !errors.As(err, &pgErr) || pgErr.Code != "42501" {
				t.Errorf("%s: got %v, want 42501", sql, err)
			}
		}
		// PostgreSQL answers a GRANT of what one has no right to grant with a
		// warning and does nothing.
		_, err := f.db.Exec(ctx, `GRANT ALL ON SCHEMA acme TO PUBLIC`)
		f.must(err)
		var granted bool
		f.must(f.superior.QueryRow(t.Context(), `SELECT has_schema_privilege('public', 'acme', 'USAGE')`).Scan(&granted))
		if granted {
			t.Error("a tenant gave others access to its schema")
		}
		f.wantMark("acme")
		f.wantMark("beta")
	})
}

// What the wall cannot stop, a statement that leaves the role as a whole, is
// refused before it is sent.
func TestStatementsThatLeave(t *testing.T) {
	t.Parallel()
	f := newFleet(t, nil, "acme", "beta")
	ctx := f.as("acme")
	for _, sql := range []string{
		`SET ROLE none`, `set /* x */ role none`, `-- x` + "\n" + `SET SESSION ROLE none`, `SET LOCAL ROLE none`,
		`RESET ROLE`, `RESET ALL`, `DISCARD ALL`, `SET search_path = beta`, `SET LOCAL search_path TO beta`,
		`SET LOCAL "search_path" TO beta`, `SET SCHEMA 'beta'`, `SET SESSION AUTHORIZATION DEFAULT`, `SET statement_timeout = 0`,
		`BEGIN`, `COMMIT`, `ROLLBACK`, `END`, `START TRANSACTION`, `SAVEPOINT x`, `PREPARE x AS SELECT 1`, `DEALLOCATE ALL`,
		`LISTEN x`, `SELECT 1; RESET ROLE`, `SET LOCAL rowhouse.tenant_id = 'x'`,
	} {
		if _, err := f.db.Exec(ctx, sql); !errors.Is(err, rowhouse.ErrStatementRefused) {
			t.Errorf("%s: got %v, want ErrStatementRefused", sql, err)
		}
		err := f.db.InTx(ctx, func(tx pgx.Tx) error { _, err := tx.Exec(ctx, sql); return err })
		if !errors.Is(err, rowhouse.ErrStatementRefused) {
			t.Errorf("in a transaction: %s: got %v, want ErrStatementRefused", sql, err)
		}
	}
	if _, err := f.db.Exec(ctx, `SELECT 1`, pgx.QueryExecModeSimpleProtocol); !errors.Is(err, rowhouse.ErrStatementRefused) {
		t.Errorf("simple protocol: got %v, want ErrStatementRefused", err)
	}
	if _, err := f.db.Exec(ctx, `SELECT 1; SELECT 2`); err == nil {
		t.Error("two statements in one were run")
	}
}

// The application's login can do nothing before it is bound, on any version and
// whatever its attributes.
func TestUnboundLogin(t *testing.T) {
	t.Parallel()
	f := newFleet(t, nil, "acme")
	conn, err := pgx.Connect(t.Context(), f.login)
	f.must(err)
	defer conn.Close(context.Background())
	for _, sql := range []string{
		`SELECT * FROM acme.marks`, `INSERT INTO acme.marks VALUES ('x')`, `SELECT * FROM plans`, `CREATE TABLE x (i int)`,
		`CREATE TABLE acme.x (i int)`, `UPDATE rowhouse.tenants SET state = 'active'`, `SELECT * FROM rowhouse.events`, `CREATE TEMP TABLE x (i int)`,
	} {
		var pgErr *pgconn.PgError
		if _, err := conn.Exec(t.Context(), sql); !errors.As(err, &pgErr) || pgErr.Code != "42501" {
			t.Errorf("%s: got %v, want 42501", sql, err)
		}
	}
}

// Invariant 2: what the application's own SQL does to path or role in one unit of
// work is never seen in the next. A function that the operator let in is the
// worst case: it runs as a role that may call set_config.
func TestNothingIsLeftBehind(t *testing.T) {
	t.Parallel()
	everyWay(t, func(t *testing.T, via func(*fleet) string) {
		f := newFleet(t, via, "acme", "beta")
		f.behind(`CREATE FUNCTION public.leave() RETURNS void LANGUAGE plpgsql SECURITY DEFINER AS $$ BEGIN
			PERFORM set_config('search_path', 'beta, public', false), set_config('statement_timeout', '12345', false), set_config('rowhouse.tenant_id', 'x', false);
		END $$`)
		app := f.login
		if via != nil {
			app = via(f)
		}
		f.db = f.open(app, 1) // one connection for all
		leave := func(ctx context.Context) error {
			_, err := f.db.Exec(ctx, `SELECT public.leave()`)
			return err
		}
		inTx := func(ctx context.Context) error {
			return f.db.InTx(ctx, func(tx pgx.Tx) error {
				if _, err := tx.Exec(ctx, `SELECT public.leave()`); err != nil {
					return err
				}
				// Out of its schema, the transaction is still behind the wall.
				var pgErr *pgconn.PgError
				if m, err := mark(ctx, tx); !errors.As(err, &pgErr) || pgErr.Code != "42501" && pgErr.Code != "42P01" {
					t.Errorf("after leaving: got %q, %v", m, err)
				}
				return errors.New("roll back")
			})
		}
		f.must(leave(f.as("acme")))
		f.wantMark("acme")
		f.wantMark("beta")
		if err := inTx(f.as("acme")); err == nil || !strings.Contains(err.Error(), "roll back") {
			t.Error(err)
		}
		f.wantMark("acme")
		var tenant string
		f.must(f.db.QueryRow(f.as("beta"), `SELECT current_setting('rowhouse.tenant_id')`).Scan(&tenant))
		if beta, _ := rowhouse.FromContext(f.as("beta")); tenant != beta.ID {
			t.Errorf("rowhouse.tenant_id is %q, want %q", tenant, beta.ID)
		}
		if via == nil {
			f.wantCleanConnection()
		}
	})
}

// wantCleanConnection looks at the one connection of the DB as the DB does not:
// from within, unbound.
func (f *fleet) wantCleanConnection() {
	f.t.Helper()
	var others int
	f.must(f.superior.QueryRow(f.t.Context(), `SELECT count(*) FROM pg_stat_activity
		WHERE usename = $1 AND state <> 'idle'`, userOf(f.t, f.login)).Scan(&others))
	if others != 0 {
		f.t.Errorf("%d connections are not idle", others)
	}
}

func TestSharedSchema(t *testing.T) {
	t.Parallel()
	everyWay(t, func(t *testing.T, via func(*fleet) string) {
		f := newFleet(t, via, "acme")
		shared := rowhouse.WithShared(f.as("acme")) // the tenant does not count any more
		if _, err := rowhouse.FromContext(shared); !errors.Is(err, rowhouse.ErrNoTenant) {
			t.Errorf("the shared context has a tenant: %v", err)
		}
		_, err := f.db.Exec(shared, `INSERT INTO plans VALUES ('silver', 50)`)
		f.must(err)
		var pgErr *pgconn.PgError
		if _, err := f.db.Exec(shared, `SELECT * FROM acme.marks`); !errors.As(err, &pgErr) || pgErr.Code != "42501" {
			t.Errorf("the shared role reads a tenant: %v", err)
		}
		if _, err := f.db.Exec(shared, `SELECT * FROM marks`); !errors.As(err, &pgErr) || pgErr.Code != "42P01" {
			t.Errorf("a tenant's table is in the shared path: %v", err)
		}
		// A tenant reads shared tables and references them.
		_, err = f.db.Exec(f.as("acme"), `INSERT INTO tickets (title, plan) SELECT 'x', id FROM plans WHERE price = 50`)
		f.must(err)
		if _, err := f.db.Exec(f.as("acme"), `INSERT INTO tickets (title, plan) VALUES ('x', 'none')`); !errors.As(err, &pgErr) || pgErr.Code != "23503" {
			t.Errorf("a foreign key to the shared schema does not hold: %v", err)
		}
	})
}

// 50 goroutines work for 20 tenants over few connections, and every row that they
// read carries its tenant's mark.
func TestManyTenantsAtOnce(t *testing.T) {
	t.Parallel()
	everyWay(t, func(t *testing.T, via func(*fleet) string) {
		schemas := names(20)
		f := newFleet(t, via, schemas...)
		contexts := make(map[string]context.Context)
		for _, s := range schemas {
			contexts[s] = f.as(s)
		}
		var wg sync.WaitGroup
		for range 50 {
			wg.Go(func() {
				for range 40 {
					s := schemas[rand.IntN(len(schemas))]
					if err := f.oneOf(contexts[s], s); err != nil {
						t.Errorf("as %s: %v", s, err)
						return
					}
				}
			})
		}
		wg.Wait()
		for _, s := range schemas {
			var wrong int
			f.must(f.superior.QueryRow(t.Context(), `SELECT count(*) FROM `+s+`.tickets WHERE title <> $1`, s).Scan(&wrong))
			if wrong != 0 {
				t.Errorf("%s has %d rows of others", s, wrong)
			}
		}
	})
}

// oneOf does one of several kinds of work as a tenant and checks what it sees.
func (f *fleet) oneOf(ctx context.Context, schema string) error {
	check := func(db interface {
		QueryRow(context.Context, string, ...any) pgx.Row
	}) error {
		m, err := mark(ctx, db)
		if err == nil && m != schema {
			err = errors.New("read the mark of " + m)
		}
		return err
	}
	switch rand.IntN(5) {
	case 0:
		_, err := f.db.Exec(ctx, `INSERT INTO tickets (title) SELECT mark FROM marks`)
		return err
	case 1:
		return f.db.InTx(ctx, func(tx pgx.Tx) error {
			if _, err := tx.Exec(ctx, `INSERT INTO tickets (title) VALUES ($1)`, schema); err != nil {
				return err
			}
			return check(tx)
		})
	case 2:
		cancelled, cancel := context.WithCancel(ctx)
		cancel()
		if _, err := f.db.Exec(cancelled, `SELECT pg_sleep(1)`); !errors.Is(err, context.Canceled) {
			return errors.Join(errors.New("not cancelled"), err)
		}
		return nil
	case 3:
		if _, err := f.db.Exec(ctx, `SELECT 1/0`); err == nil {
			return errors.New("no error")
		}
		return nil
	}
	return check(f.db)
}

// PostgreSQL refuses the writes of a tenant that is read_only.
func TestReadOnlyTenant(t *testing.T) {
	t.Parallel()
	everyWay(t, func(t *testing.T, via func(*fleet) string) {
		f := newFleet(t, via, "acme", "beta")
		f.behind(`UPDATE rowhouse.tenants SET state = 'read_only' WHERE schema_name = 'acme'`)
		acme, err := f.db.TenantByDomain(t.Context(), host("acme")) // not looked up by domain before
		f.must(err)
		ctx := rowhouse.WithTenant(t.Context(), acme)
		var pgErr *pgconn.PgError
		if _, err := f.db.Exec(ctx, fileTicket); !errors.As(err, &pgErr) || pgErr.Code != "25006" {
			t.Errorf("a write: got %v, want 25006", err)
		}
		err = f.db.InTx(ctx, func(tx pgx.Tx) error {
			if m, err := mark(ctx, tx); err != nil || m != "acme" {
				t.Errorf("a read: got %q, %v", m, err)
			}
			_, err := tx.Exec(ctx, `SET TRANSACTION READ WRITE`)
			return err
		})
		if !errors.As(err, &pgErr) || pgErr.Code != "25001" {
			t.Errorf("back to writing: got %v, want 25001", err)
		}
		_, err = f.db.Exec(f.as("beta"), fileTicket)
		f.must(err)
	})
}
