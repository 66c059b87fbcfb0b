package sqldb

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/rowhouse/rowhouse"
)

// errIsolation: PostgreSQL has no such isolation level.
var errIsolation = errors.New("sqldb: unsupported isolation level")

// txOptions are database/sql's options as pgx has them.
func txOptions(opts driver.TxOptions) (pgx.TxOptions, error) {
	var o pgx.TxOptions
	switch level := sql.IsolationLevel(opts.Isolation); level {
	case sql.LevelDefault:
	case sql.LevelReadUncommitted:
		o.IsoLevel = pgx.ReadUncommitted
	case sql.LevelReadCommitted:
		o.IsoLevel = pgx.ReadCommitted
	case sql.LevelRepeatableRead, sql.LevelSnapshot:
		o.IsoLevel = pgx.RepeatableRead
	case sql.LevelSerializable:
		o.IsoLevel = pgx.Serializable
	default:
		return o, fmt.Errorf("%w: %v", errIsolation, level)
	}
	if opts.ReadOnly {
		o.AccessMode = pgx.ReadOnly
	}
	return o, nil
}

// tx is a transaction and the savepoints that statements set in it.
type tx struct {
	// ctx is that of BeginTx: Commit and Rollback have none of their own.
	ctx        context.Context
	conn       *conn
	root       pgx.Tx
	savepoints []savepoint // outermost first
}

// savepoint is a savepoint by the name that the application gave it.
type savepoint struct {
	name string
	tx   pgx.Tx
}

// innermost is the savepoint, or transaction, that statements run in.
func (t *tx) innermost() pgx.Tx {
	if n := len(t.savepoints); n > 0 {
		return t.savepoints[n-1].tx
	}
	return t.root
}

// Commit commits the transaction and gives its connection back, also on an error.
func (t *tx) Commit() error {
	t.conn.tx = nil
	return plainError(t.root.Commit(t.ctx))
}

// Rollback rolls the transaction back and gives its connection back.
func (t *tx) Rollback() error {
	t.conn.tx = nil
	return t.root.Rollback(t.ctx)
}

// savepoint does what a statement about savepoints asks for. Of all other
// statements it returns false; a form that is not known here is one of them, and
// rowhouse refuses it.
func (t *tx) savepoint(ctx context.Context, query string) (done bool, err error) {
	verb, name := parseSavepoint(query)
	switch verb {
	case "SAVEPOINT":
		return true, t.set(ctx, name)
	case "ROLLBACK":
		if err := t.unwind(ctx, name, pgx.Tx.Rollback); err != nil {
			return true, err
		}
		return true, t.set(ctx, name) // as in PostgreSQL, it is still there
	case "RELEASE":
		return true, t.unwind(ctx, name, pgx.Tx.Commit)
	}
	return false, nil
}

// set sets a savepoint.
func (t *tx) set(ctx context.Context, name string) error {
	inner, err := t.innermost().Begin(ctx)
	if err != nil {
		return err
	}
	t.savepoints = append(t.savepoints, savepoint{name, inner})
	return nil
}

// unwind ends savepoints from the innermost to the last one of a name.
func (t *tx) unwind(ctx context.Context, name string, end func(pgx.Tx, context.Context) error) error {
	target := len(t.savepoints) - 1
	for target >= 0 && t.savepoints[target].name != name {
		target--
	}
	if target < 0 {
		return fmt.Errorf("sqldb: %w: the transaction has no savepoint %q", rowhouse.ErrStatementRefused, name)
	}
	for n := len(t.savepoints) - 1; n >= target; n-- {
		if err := end(t.savepoints[n].tx, ctx); err != nil {
			return err
		}
		t.savepoints = t.savepoints[:n]
	}
	return nil
}

// parseSavepoint returns what a statement does to savepoints (SAVEPOINT, ROLLBACK
// or RELEASE) and the savepoint's name, in lower case as PostgreSQL folds it. It
// knows plain names without comments only; of everything else it returns "".
func parseSavepoint(query string) (verb, name string) {
	const longest = 128 // a name has at most 63 bytes
	if len(query) > longest {
		return "", ""
	}
	words := strings.Fields(strings.TrimSuffix(strings.TrimSpace(query), ";"))
	if len(words) < 2 {
		return "", ""
	}
	name = strings.ToLower(words[len(words)-1])
	for i := range words {
		words[i] = strings.ToUpper(words[i])
	}
	forms := []string{"SAVEPOINT", "ROLLBACK TO SAVEPOINT", "ROLLBACK TO", "RELEASE SAVEPOINT", "RELEASE"}
	if !slices.Contains(forms, strings.Join(words[:len(words)-1], " ")) || !plainName(name) {
		return "", ""
	}
	return words[0], name
}

// plainName tells whether s needs no quotes as a savepoint's name.
func plainName(s string) bool {
	for i, c := range []byte(s) {
		letter := 'a' <= c && c <= 'z' || c == '_'
		if !letter && (i == 0 || c < '0' || c > '9') {
			return false
		}
	}
	return s != "savepoint" && len(s) <= 63
}
