package sqldb_test

import (
	"context"
	"database/sql"
	"errors"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/rowhouse/rowhouse"
)

// Work with no tenant is refused, whatever it is.
func TestWithoutTenant(t *testing.T) {
	t.Parallel()
	f := newFleet(t, nil, "acme")
	other := newFleet(t, nil, "acme")
	for name, c := range map[string]struct {
		ctx  context.Context
		want error
	}{
		"none":            {t.Context(), rowhouse.ErrNoTenant},
		"nil":             {rowhouse.WithTenant(f.as("acme"), nil), rowhouse.ErrNoTenant},
		"made by hand":    {rowhouse.WithTenant(t.Context(), &rowhouse.Tenant{Schema: "acme"}), rowhouse.ErrNoTenant},
		"another catalog": {other.as("acme"), rowhouse.ErrTenantMismatch},
	} {
		_, queryErr := f.std.QueryContext(c.ctx, `SELECT 1`)
		_, execErr := f.std.ExecContext(c.ctx, `SELECT 1`)
		_, txErr := f.std.BeginTx(c.ctx, nil)
		stmt, err := f.std.PrepareContext(c.ctx, `SELECT 1`)
		f.must(err)
		_, stmtErr := stmt.ExecContext(c.ctx)
		f.must(stmt.Close())
		rowErr := f.std.QueryRowContext(c.ctx, `SELECT 1`).Scan(new(int))
		for _, err := range []error{queryErr, execErr, txErr, stmtErr, rowErr} {
			f.wantError(name, err, c.want)
		}
	}
	// The methods without a context.
	_, execErr := f.std.Exec(`SELECT 1`)
	_, beginErr := f.std.Begin()
	for _, err := range []error{execErr, beginErr, f.std.QueryRow(`SELECT 1`).Scan(new(int))} {
		f.wantError("without a context", err, rowhouse.ErrNoTenant)
	}
}

// What was done to a schema behind rowhouse's back is an error, and never somebody
// else's rows.
func TestSchemaChangedBehindTheBack(t *testing.T) {
	t.Parallel()
	everyWay(t, func(t *testing.T, via func(*fleet) string) {
		for name, statements := range map[string][]string{
			"dropped": {`DROP SCHEMA acme CASCADE`},
			"swapped": {`ALTER SCHEMA acme RENAME TO tmp`, `ALTER SCHEMA beta RENAME TO acme`, `ALTER SCHEMA tmp RENAME TO beta`},
		} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				f := newFleet(t, via, "acme", "beta")
				f.behind(`CREATE TABLE public.marks AS SELECT 'shared' AS mark`)
				f.behind(`GRANT ALL ON public.marks TO PUBLIC`)
				ctx := f.as("acme")
				stmt, err := f.std.PrepareContext(ctx, `SELECT mark FROM marks`)
				f.must(err)
				t.Cleanup(func() { _ = stmt.Close() })
				f.must(stmt.QueryRowContext(ctx).Scan(new(string)))
				for _, s := range statements {
					f.behind(s)
				}
				f.wantError("prepared", stmt.QueryRowContext(ctx).Scan(new(string)), rowhouse.ErrTenantChanged)
				_, err = mark(ctx, f.std)
				f.wantError("query", err, rowhouse.ErrTenantChanged)
				tx, err := f.std.BeginTx(ctx, nil)
				f.must(err)
				_, err = mark(ctx, tx)
				f.wantError("transaction", err, rowhouse.ErrTenantChanged)
				f.must(tx.Rollback())
			})
		}
	})
}

// PostgreSQL refuses what names another tenant's schema, and what would leave the
// tenant's role.
func TestWall(t *testing.T) {
	t.Parallel()
	everyWay(t, func(t *testing.T, via func(*fleet) string) {
		f := newFleet(t, via, "acme", "beta")
		ctx := f.as("acme")
		for _, statement := range []string{
			`SELECT * FROM beta.marks`,
			`INSERT INTO beta.marks VALUES ('acme')`,
			`SELECT mark FROM marks UNION ALL TABLE beta.marks`,
			`SELECT set_config('search_path', 'beta', true)`,
			`SELECT set_config('role', 'none', true)`,
			`DO $$ BEGIN EXECUTE 'SET ROLE none'; END $$`,
			`CREATE TABLE public.mine (i int)`,
			`SELECT * FROM rowhouse.tenants`,
		} {
			_, err := f.std.ExecContext(ctx, statement)
			f.wantCode(statement, err, "42501")
			rows, err := f.std.QueryContext(ctx, statement)
			f.wantCode("query: "+statement, err, "42501")
			if rows != nil {
				f.must(rows.Close())
			}
		}
		f.wantMark("acme")
		f.wantMark("beta")
	})
}

// Statements that leave the binding are refused before they are sent, inside and
// outside of transactions, as text and prepared.
func TestStatementsThatLeave(t *testing.T) {
	t.Parallel()
	f := newFleet(t, nil, "acme", "beta")
	ctx := f.as("acme")
	tx, err := f.std.BeginTx(ctx, nil)
	f.must(err)
	for _, statement := range []string{
		`SET ROLE none`, `set /* x */ role none`, `SET LOCAL ROLE none`, `RESET ROLE`, `RESET ALL`, `DISCARD ALL`,
		`SET search_path = beta`, `SET LOCAL search_path TO beta`, `SET SESSION AUTHORIZATION DEFAULT`,
		`BEGIN`, `COMMIT`, `ROLLBACK`, `START TRANSACTION`, `PREPARE x AS SELECT 1`, `DEALLOCATE ALL`, `LISTEN x`, `SELECT 1; RESET ROLE`,
		// Savepoints in other than their plain form.
		`SAVEPOINT "x"`, `SAVEPOINT x; RESET ROLE`, `SAVEPOINT x -- y`, `SAVEPOINT x y`, `SAVEPOINT`, `SAVEPOINT savepoint`,
		`ROLLBACK TO`, `ROLLBACK TO x; SET ROLE none`, `ROLLBACK WORK TO x`, `ROLLBACK TO SAVEPOINT unknown`, `RELEASE unknown`,
	} {
		_, err := f.std.ExecContext(ctx, statement)
		f.wantError(statement, err, rowhouse.ErrStatementRefused)
		_, err = tx.ExecContext(ctx, statement)
		f.wantError("in a transaction: "+statement, err, rowhouse.ErrStatementRefused)
		stmt, err := tx.PrepareContext(ctx, statement)
		f.must(err)
		_, err = stmt.QueryContext(ctx)
		f.wantError("prepared: "+statement, err, rowhouse.ErrStatementRefused)
	}
	_, err = f.std.ExecContext(ctx, `SAVEPOINT x`)
	f.wantError("a savepoint outside of a transaction", err, rowhouse.ErrStatementRefused)
	_, err = tx.ExecContext(ctx, `SAVEPOINT x`, 1)
	f.wantError("a savepoint with an argument", err, rowhouse.ErrStatementRefused)
	f.must(tx.Rollback())
	if _, err := f.std.ExecContext(ctx, `SELECT 1; SELECT 2`); err == nil {
		t.Error("two statements in one were run")
	}
}

func TestSharedSchema(t *testing.T) {
	t.Parallel()
	f := newFleet(t, nil, "acme")
	shared := rowhouse.WithShared(f.as("acme"))
	var plan string
	f.must(f.std.QueryRowContext(shared, `SELECT id FROM plans`).Scan(&plan))
	_, err := f.std.ExecContext(shared, `SELECT * FROM acme.marks`)
	f.wantCode("the shared role reads a tenant", err, "42501")
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
		stmt, err := f.std.PrepareContext(t.Context(), `SELECT mark FROM marks`)
		f.must(err)
		t.Cleanup(func() { _ = stmt.Close() })
		var wg sync.WaitGroup
		for range 50 {
			wg.Go(func() {
				for range 40 {
					s := schemas[rand.IntN(len(schemas))]
					if err := f.oneOf(contexts[s], s, stmt); err != nil {
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
func (f *fleet) oneOf(ctx context.Context, schema string, stmt *sql.Stmt) error {
	var m string
	wrong := func(err error) error {
		if err == nil && m != schema {
			err = errors.New("read the mark of " + m)
		}
		return err
	}
	switch rand.IntN(6) {
	case 0:
		_, err := f.std.ExecContext(ctx, `INSERT INTO tickets (title) SELECT mark FROM marks`)
		return err
	case 1:
		return f.inTx(ctx, func(tx *sql.Tx) (err error) {
			if _, err := tx.Exec(`INSERT INTO tickets (title) VALUES ($1)`, schema); err != nil {
				return err
			}
			m, err = mark(ctx, tx)
			return wrong(err)
		})
	case 2:
		cancelled, cancel := context.WithCancel(ctx)
		cancel()
		if _, err := f.std.ExecContext(cancelled, `SELECT pg_sleep(1)`); !errors.Is(err, context.Canceled) {
			return errors.Join(errors.New("not cancelled"), err)
		}
		return nil
	case 3:
		if _, err := f.std.ExecContext(ctx, `SELECT 1/0`); err == nil {
			return errors.New("no error")
		}
		return nil
	case 4:
		return wrong(stmt.QueryRowContext(ctx).Scan(&m))
	}
	m, err := mark(ctx, f.std)
	return wrong(err)
}

// inTx is what applications write around a transaction.
func (f *fleet) inTx(ctx context.Context, fn func(tx *sql.Tx) error) error {
	tx, err := f.std.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }()
	if err := fn(tx); err != nil {
		return err
	}
	return tx.Commit()
}

// Tables of the same name with different columns, as in a fleet half-way through a
// migration, and a migration between two executions.
func TestShapes(t *testing.T) {
	t.Parallel()
	everyWay(t, func(t *testing.T, via func(*fleet) string) {
		f := newFleet(t, via, "acme", "beta")
		f.behind(`ALTER TABLE beta.marks ADD COLUMN i int DEFAULT 7`)
		stmt, err := f.std.PrepareContext(t.Context(), `SELECT * FROM marks`)
		f.must(err)
		t.Cleanup(func() { _ = stmt.Close() })
		shape := func(schema string) string {
			rows, err := stmt.QueryContext(f.as(schema))
			f.must(err)
			columns, err := rows.Columns()
			f.must(err)
			f.must(rows.Close())
			return columns[len(columns)-1]
		}
		for range 3 {
			if a, b := shape("acme"), shape("beta"); a != "mark" || b != "i" {
				t.Errorf("the last columns are %s and %s", a, b)
			}
		}
		f.behind(`ALTER TABLE acme.marks ADD COLUMN j int`)
		if a := shape("acme"); a != "j" {
			t.Errorf("after the migration the last column is %s", a)
		}
	})
}
