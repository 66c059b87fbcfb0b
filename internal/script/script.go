// Package script runs migrations on one schema: as the role that owns it, with
// unqualified names leading into it, each with its row of the ledger in the same
// transaction.
//
// Begin reading at [Runner.Run].
package script

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/rowhouse/rowhouse/internal/catalog"
	"github.com/rowhouse/rowhouse/internal/ident"
	"github.com/rowhouse/rowhouse/internal/sqlfile"
	"github.com/rowhouse/rowhouse/internal/sqltext"
)

// ErrLeft: a migration changed role or search_path, so that what follows it would
// run elsewhere.
var ErrLeft = errors.New("the migration left its schema")

// Step is one migration of a set.
type Step struct {
	Set       string
	Migration sqlfile.Migration
}

// Error is a migration that failed in a schema. Nothing of it was committed,
// unless it runs without a transaction.
type Error struct {
	Schema  string // the tenant's, or the shared one
	Set     string
	Version int64
	File    string
	Line    int // 1-based; 0 when PostgreSQL did not say where
	Err     error
}

// Error says which migration failed where, and why.
func (e *Error) Error() string {
	at := e.File
	if e.Line > 0 {
		at = fmt.Sprintf("%s:%d", e.File, e.Line)
	}
	return fmt.Sprintf("schema %q: migration %s %d (%s): %v", e.Schema, e.Set, e.Version, at, e.Err)
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Runner runs migrations on one schema.
type Runner struct {
	Settings catalog.Settings
	// TenantID is empty for the shared schema.
	TenantID string
	Schema   string
}

// role is what the migrations run as.
func (r Runner) role() string {
	if r.TenantID == "" {
		return r.Settings.Owner()
	}
	return r.Settings.Builder()
}

// Enter makes what follows in the transaction run as the schema's owner and in
// the schema.
func (r Runner) Enter(ctx context.Context, tx pgx.Tx) error {
	_, err := tx.Exec(ctx, `SELECT pg_catalog.set_config('search_path', $1, true), pg_catalog.set_config('role', $2, true)`,
		r.Settings.SearchPath(r.Schema), r.role())
	if err != nil {
		return fmt.Errorf("enter schema %q: %w", r.Schema, err)
	}
	return nil
}

// Run runs a migration in the transaction and records it. The caller holds the
// schema's lock and has called Enter. It returns an [*Error]; the transaction can
// only be rolled back then.
func (r Runner) Run(ctx context.Context, tx pgx.Tx, step Step) error {
	start := time.Now()
	if err := r.exec(ctx, tx.Conn().PgConn(), step); err != nil {
		return err
	}
	if err := r.stayed(ctx, tx); err != nil {
		return r.failed(step, 0, err)
	}
	if err := r.settle(ctx, tx, step); err != nil {
		return r.failed(step, 0, err)
	}
	if err := r.reset(ctx, tx, step); err != nil {
		return r.failed(step, 0, err)
	}
	return r.record(ctx, tx, step, time.Since(start))
}

// reset takes back what a script set, so that neither the next script of the
// transaction nor whoever gets the connection next meets it.
func (r Runner) reset(ctx context.Context, tx pgx.Tx, step Step) error {
	if !strings.Contains(strings.ToUpper(step.Migration.Up.SQL), "SET") {
		return nil
	}
	if _, err := tx.Exec(ctx, "RESET ALL"); err != nil {
		return err
	}
	return r.Enter(ctx, tx)
}

// exec sends the script of a step in one message.
func (r Runner) exec(ctx context.Context, conn *pgconn.PgConn, step Step) error {
	up := step.Migration.Up
	if up.Empty() {
		return nil
	}
	answers := conn.Exec(ctx, up.SQL)
	done := 0
	for answers.NextResult() {
		if _, err := answers.ResultReader().Close(); err == nil {
			done++
		}
	}
	if err := answers.Close(); err != nil {
		return r.failed(step, line(up, err, done), err)
	}
	return nil
}

// line tells on which line of its file a script failed. PostgreSQL gives a
// position for what it could not parse or resolve; for all else it is the
// statement after those that were done.
func line(up *sqlfile.Script, err error, done int) int {
	var pgErr *pgconn.PgError
	if errors.As(err, &pgErr) && pgErr.Position > 0 {
		runes := []rune(up.SQL)
		before := runes[:min(int(pgErr.Position)-1, len(runes))]
		return 1 + strings.Count(string(before), "\n")
	}
	if done < len(up.Statements) {
		return up.Statements[done].Line
	}
	return 0
}

// stayed checks that the script left role and search_path as it found them. A
// script that sets them sends what follows, its own rows of the ledger included,
// to another place.
func (r Runner) stayed(ctx context.Context, q catalog.Querier) error {
	var role, path string
	err := q.QueryRow(ctx, `SELECT current_user::text, pg_catalog.current_setting('search_path')`).Scan(&role, &path)
	switch {
	case err != nil:
		return err
	case role != r.role():
		return fmt.Errorf("%w: it set the role to %q; take SET ROLE out of it", ErrLeft, role)
	case path != r.Settings.SearchPath(r.Schema):
		return fmt.Errorf("%w: it set search_path to %q; take that out of it, unqualified names are in the right schema already", ErrLeft, path)
	}
	return nil
}

const deferredSQL = `
SELECT c.conname FROM pg_catalog.pg_constraint c
JOIN pg_catalog.pg_namespace n ON n.oid = c.connamespace
WHERE n.nspname = $1 AND c.condeferred`

// settle checks the constraints that a script left to the end of its transaction.
// The transaction may hold more scripts, when a new tenant gets all of them at
// once, and the next one may alter a table that still has checks pending, which
// PostgreSQL refuses. Afterwards those constraints are deferred again.
func (r Runner) settle(ctx context.Context, tx pgx.Tx, step Step) error {
	if !strings.Contains(strings.ToUpper(step.Migration.Up.SQL), "INSERT") {
		return nil // no rows, no checks
	}
	rows, err := tx.Query(ctx, deferredSQL, r.Schema)
	if err != nil {
		return err
	}
	names, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil || len(names) == 0 {
		return err
	}
	for i, name := range names {
		names[i] = ident.Quote(r.Schema) + "." + ident.Quote(name)
	}
	list := strings.Join(names, ", ")
	for _, mode := range []string{" IMMEDIATE", " DEFERRED"} {
		if _, err := tx.Exec(ctx, "SET CONSTRAINTS "+list+mode); err != nil {
			return err
		}
	}
	return nil
}

func (r Runner) record(ctx context.Context, tx pgx.Tx, step Step, took time.Duration) error {
	err := catalog.InsertEntry(ctx, tx, catalog.Entry{
		TenantID: r.TenantID, Set: step.Set, Version: step.Migration.Version,
		Name: step.Migration.Name, Checksum: step.Migration.Checksum.String(), Duration: took,
	})
	if err != nil {
		return r.failed(step, 0, err)
	}
	return nil
}

func (r Runner) failed(step Step, line int, err error) error {
	return &Error{
		Schema: r.Schema, Set: step.Set, Version: step.Migration.Version,
		File: step.Migration.Up.File, Line: line, Err: err,
	}
}

// RunAlone runs a migration that cannot be in a transaction, statement by
// statement, on a connection of its own, and records it in tx. The caller's tx
// holds the schema's lock all the while and must not have read from the schema.
//
// Role and search_path are given when connecting, so that nothing is set on a
// connection that somebody else uses later.
func (r Runner) RunAlone(ctx context.Context, tx pgx.Tx, cfg *pgx.ConnConfig, step Step) error {
	start := time.Now()
	// The portal of tx's last query keeps its snapshot until another takes its
	// place, and CREATE INDEX CONCURRENTLY waits for all older snapshots.
	if _, err := tx.Conn().PgConn().Exec(ctx, `SELECT`).ReadAll(); err != nil {
		return r.failed(step, 0, err)
	}
	cfg = cfg.Copy()
	cfg.RuntimeParams["search_path"] = r.Settings.SearchPath(r.Schema)
	cfg.RuntimeParams["role"] = r.role()
	conn, err := pgx.ConnectConfig(ctx, cfg)
	if err != nil {
		return r.failed(step, 0, fmt.Errorf("connect: %w", err))
	}
	defer conn.Close(context.WithoutCancel(ctx))
	for _, st := range step.Migration.Up.Statements {
		_, err := conn.PgConn().Exec(ctx, st.SQL).ReadAll()
		if err == nil {
			err = r.stayed(ctx, conn)
		}
		if err != nil {
			return r.failed(step, st.Line, err)
		}
	}
	return r.record(ctx, tx, step, time.Since(start))
}

// ChangesSession tells whether a step leaves settings on the connection that it
// ran on, which must then not be used again.
func (s Step) ChangesSession() bool {
	for _, st := range s.Migration.Up.Statements {
		if _, changes := sqltext.ChangesSession(st.SQL); changes {
			return true
		}
	}
	return false
}
