package sqldb_test

import (
	"context"
	"database/sql"
	"errors"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/rowhouse/rowhouse"
)

// An error of PostgreSQL has the type that it has with pgx's own driver, wherever it
// comes: GORM's TranslateError looks at the type, and not into it.
func TestErrorsOfPostgreSQLAreBare(t *testing.T) {
	t.Parallel()
	everyWay(t, func(t *testing.T, via func(*fleet) string) {
		f := newFleet(t, via, "acme")
		ctx := f.as("acme")
		const broken, late = `INSERT INTO tickets (title) VALUES (NULL)`, `INSERT INTO tickets (title, parent) VALUES ('x', 4711)`
		stmt, err := f.std.PrepareContext(ctx, broken)
		f.must(err)
		t.Cleanup(func() { _ = stmt.Close() })
		inTx := func(query string) error {
			return f.inTx(ctx, func(tx *sql.Tx) error { _, err := tx.ExecContext(ctx, query); return err })
		}
		_, execErr := f.std.ExecContext(ctx, broken)
		_, queryErr := f.std.QueryContext(ctx, broken)
		_, stmtErr := stmt.ExecContext(ctx)
		_, syntaxErr := f.std.ExecContext(ctx, `SELEC 1`)
		_, lateErr := f.std.ExecContext(ctx, late)
		for what, err := range map[string]error{
			"exec": execErr, "query": queryErr, "prepared": stmtErr, "syntax": syntaxErr, "at the commit of a statement": lateErr,
			"query row": f.std.QueryRowContext(ctx, broken+` RETURNING id`).Scan(new(int)), "while reading": f.readAll(ctx, `SELECT 1/(2-i) FROM generate_series(1, 2) i`),
			"at the end of rows": f.readAll(ctx, late+` RETURNING id`), "in a transaction": inTx(broken), "at a commit": inTx(late),
		} {
			if _, ok := err.(*pgconn.PgError); !ok {
				t.Errorf("%s: got a %T: %v", what, err, err)
			}
		}
	})
}

// readAll reads all rows and returns their error.
func (f *fleet) readAll(ctx context.Context, query string) error {
	rows, err := f.std.QueryContext(ctx, query)
	f.must(err)
	defer rows.Close()
	for rows.Next() {
	}
	return rows.Err()
}

// What rowhouse has to say of an error besides is kept.
func TestErrorsKeepWhatTheySay(t *testing.T) {
	t.Parallel()
	f := newFleet(t, nil, "acme")
	ctx := f.as("acme")
	brief, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
	defer cancel()
	_, err := f.std.ExecContext(brief, `SELECT pg_sleep(600)`)
	f.wantError("time is up", err, context.DeadlineExceeded)
	f.behind(`DROP SCHEMA acme CASCADE`)
	_, err = f.std.ExecContext(ctx, `SELECT 1`)
	f.wantError("dropped", err, rowhouse.ErrTenantChanged)
	if pgErr := (*pgconn.PgError)(nil); !errors.As(err, &pgErr) {
		t.Errorf("dropped: PostgreSQL's error is not in %v", err)
	}
}
