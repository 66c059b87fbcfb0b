package rowhouse_test

import (
	"context"
	"errors"
	"slices"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/rowhouse/rowhouse"
)

// soakOp is a kind of operation.
type soakOp struct {
	name string
	do   func(w *soakWork) error
	// several is set if it is more than one statement, so that a migration or
	// another transaction may come between.
	several bool
}

// soakOps are the kinds of operations, each as often as its share.
func soakOps() (ops []soakOp) {
	for _, kind := range []struct {
		share int
		op    soakOp
	}{
		{8, soakOp{name: "read", do: func(w *soakWork) error { return w.read(w.ctx, w.db) }}},
		{4, soakOp{name: "insert", do: (*soakWork).insert}},
		{1, soakOp{name: "insert twice", do: (*soakWork).insertTwice}},
		{3, soakOp{name: "batch", do: (*soakWork).batch, several: true}},
		{1, soakOp{name: "batch fails", do: (*soakWork).batchFails, several: true}},
		{2, soakOp{name: "copy", do: (*soakWork).copy, several: true}},
		{1, soakOp{name: "copy fails", do: (*soakWork).copyFails, several: true}},
		{8, soakOp{name: "transaction", do: (*soakWork).transaction, several: true}},
		{1, soakOp{name: "deferred", do: (*soakWork).deferred, several: true}},
		{1, soakOp{name: "sleep", do: (*soakWork).sleep}},
		{2, soakOp{name: "refused", do: (*soakWork).refused}},
		{2, soakOp{name: "foreign", do: (*soakWork).foreign}},
		{2, soakOp{name: "mismatch", do: (*soakWork).mismatch, several: true}},
		{3, soakOp{name: "std read", do: (*soakWork).stdRead}},
		{2, soakOp{name: "std insert", do: (*soakWork).stdInsert}},
		{2, soakOp{name: "std transaction", do: (*soakWork).stdTransaction, several: true}},
		{2, soakOp{name: "shared", do: (*soakWork).visit, several: true}},
		{1, soakOp{name: "look-up", do: (*soakWork).lookUpByName}},
	} {
		ops = append(ops, slices.Repeat([]soakOp{kind.op}, kind.share)...)
	}
	return ops
}

// soakQuerier is the DB or a transaction.
type soakQuerier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
	Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error)
	SendBatch(ctx context.Context, b *pgx.Batch) pgx.BatchResults
	CopyFrom(ctx context.Context, table pgx.Identifier, columns []string, rows pgx.CopyFromSource) (int64, error)
}

// wantRows reads rows, or the first few of them, and checks the mark of each. want
// is how many there must be; -1 means any number.
func (w *soakWork) wantRows(rows pgx.Rows, want, few int) error {
	defer rows.Close()
	n, column := 0, -1
	for (few == 0 || n < few) && rows.Next() {
		if column < 0 {
			column = slices.IndexFunc(rows.FieldDescriptions(), func(f pgconn.FieldDescription) bool { return f.Name == "mark" })
		}
		values, err := rows.Values()
		if err != nil {
			return err
		}
		if values[column] != w.tenant.id {
			return wrong("row %d is marked %v", n, values[column])
		}
		n++
	}
	rows.Close()
	if err := rows.Err(); err != nil {
		return err
	}
	if want >= 0 && n != want && !(w.frozen && n == 0) {
		return wrong("got %d rows, want %d", n, want)
	}
	return nil
}

// read is one of many ways to read.
func (w *soakWork) read(ctx context.Context, q soakQuerier) error {
	var mark string
	all := func(want, few int, sql string, args ...any) error {
		rows, err := q.Query(ctx, sql, args...)
		if err != nil {
			return err
		}
		return w.wantRows(rows, want, few)
	}
	switch w.rng.IntN(11) {
	case 0:
		return all(1, 0, `SELECT mark FROM owners WHERE mark = $1`, w.tenant.id)
	case 1:
		return all(1, 0, `SELECT mark, @given::bigint AS given FROM owners WHERE mark = @mark`, pgx.NamedArgs{"mark": w.tenant.id, "given": w.rng.Int64()})
	case 2, 3:
		return all(wideRows, 0, `SELECT * FROM wide`)
	case 4:
		return all(10, 0, `SELECT mark, amount, note FROM wide WHERE n <= $1 ORDER BY n`, 10)
	case 5:
		return all(3000, 0, `SELECT mark, g FROM owners, generate_series(1, $1) g`, 3000)
	case 6:
		return all(500, 500, `SELECT mark, g, repeat('x', 50) FROM owners, generate_series(1, $1) g`, 5000)
	case 7:
		return all(-1, 0, `SELECT * FROM events ORDER BY id DESC LIMIT 20`)
	case 8:
		return all(wideRows, 0, `SELECT w.mark, p.id FROM wide w, plans p WHERE p.id = 'gold'`)
	case 9:
		return all(-1, 0, `TABLE counters`)
	}
	err := q.QueryRow(ctx, `SELECT mark FROM owners`).Scan(&mark)
	if err == nil && mark != w.tenant.id {
		err = wrong("read the mark %s", mark)
	}
	return err
}

const (
	insertEvent     = `INSERT INTO events (unit, n, mark) VALUES ($1, $2, $3)`
	insertEventHere = `INSERT INTO events (unit, n, mark) SELECT $1, $2, mark FROM owners`
	// insertCounted writes to two tables in one statement.
	insertCounted = `WITH counted AS (UPDATE counters SET total = total + $4 WHERE name = 'all')
		INSERT INTO events (unit, n, mark, amount) VALUES ($1, $2, $3, $4)`
)

// event is a statement that writes one row of a unit of work, and its arguments.
func (w *soakWork) event(unit int64, n int) (string, []any) {
	switch w.rng.IntN(3) {
	case 0:
		return insertEvent, []any{unit, n, w.tenant.id}
	case 1:
		return insertEventHere, []any{unit, n}
	}
	return insertCounted, []any{unit, n, w.tenant.id, 1 + w.rng.IntN(9)}
}

func (w *soakWork) insert() error {
	unit := w.unit()
	sql, args := w.event(unit, 0)
	_, err := w.db.Exec(w.ctx, sql, args...)
	return w.tenant.wrote(unit, 1, err)
}

func (w *soakWork) insertTwice() error {
	_, err := w.db.Exec(w.ctx, `INSERT INTO events (unit, n, mark) SELECT $1, 0, mark FROM owners, generate_series(1, 2)`, w.unit())
	return judgeCode(err, "23505")
}

// queue queues statements that write n rows of a unit, with reads between.
func (w *soakWork) queue(unit int64, n int) *pgx.Batch {
	b := &pgx.Batch{}
	for i := range n {
		sql, args := w.event(unit, i)
		b.Queue(sql, args...)
		b.Queue(`SELECT * FROM wide`)
	}
	return b
}

// batch reads all answers, some or none.
func (w *soakWork) batch() error {
	unit, n := w.unit(), 1+w.rng.IntN(3)
	br := w.db.SendBatch(w.ctx, w.queue(unit, n))
	err := w.readBatch(br, w.rng.IntN(n+1))
	if closeErr := br.Close(); err == nil {
		err = closeErr
	}
	return w.tenant.wrote(unit, n, err)
}

// readBatch reads the answers to the first pairs of statements of a batch.
func (w *soakWork) readBatch(br pgx.BatchResults, pairs int) error {
	for range pairs {
		if _, err := br.Exec(); err != nil {
			return err
		}
		rows, err := br.Query()
		if err != nil {
			return err
		}
		if err := w.wantRows(rows, wideRows, 0); err != nil {
			return err
		}
	}
	return nil
}

func (w *soakWork) batchFails() error {
	b := w.queue(w.unit(), 1)
	b.Queue(`SELECT 1 / $1::int`, 0)
	b.Queue(`SELECT 1`)
	return judgeCode(w.db.SendBatch(w.ctx, b).Close(), "22012")
}

func (w *soakWork) eventRows(unit int64, n int) pgx.CopyFromSource {
	return pgx.CopyFromSlice(n, func(i int) ([]any, error) { return []any{unit, i, w.tenant.id}, nil })
}

var eventColumns = []string{"unit", "n", "mark"}

func (w *soakWork) copy() error {
	unit, n := w.unit(), 1+w.rng.IntN(30)
	copied, err := w.db.CopyFrom(w.ctx, pgx.Identifier{"events"}, eventColumns, w.eventRows(unit, n))
	if err == nil && copied != int64(n) {
		err = wrong("copied %d rows of %d", copied, n)
	}
	return w.tenant.wrote(unit, n, err)
}

func (w *soakWork) copyFails() error {
	unit, n := w.unit(), 1+w.rng.IntN(30)
	rows := pgx.CopyFromSlice(n+1, func(i int) ([]any, error) { return []any{unit, i % n, w.tenant.id}, nil })
	_, err := w.db.CopyFrom(w.ctx, pgx.Identifier{"events"}, eventColumns, rows)
	return judgeCode(err, "23505")
}

// deferred is found to be wrong by the commit.
func (w *soakWork) deferred() error {
	const orphan = `INSERT INTO events (unit, n, mark, parent) VALUES ($1, 0, $2, -1)`
	unit := w.unit()
	if w.rng.IntN(2) == 0 {
		_, err := w.db.Exec(w.ctx, orphan, unit, w.tenant.id)
		return judgeCode(err, "23503")
	}
	return judgeCode(w.db.InTx(w.ctx, func(tx pgx.Tx) error {
		_, err := tx.Exec(w.ctx, orphan, unit, w.tenant.id)
		return err
	}), "23503")
}

func (w *soakWork) sleep() error {
	_, err := w.db.Exec(w.ctx, `SELECT pg_sleep($1)`, float64(w.rng.IntN(30))/1000)
	return err
}

func (w *soakWork) refused() error {
	for _, sql := range []string{`SET ROLE none`, `SET search_path = public`, `BEGIN`} {
		_, err := w.db.Exec(w.ctx, sql)
		if err := wantIs(err, rowhouse.ErrStatementRefused); err != nil {
			return err
		}
	}
	_, err := w.db.Exec(w.ctx, `SELECT set_config('role', 'none', true)`)
	return judgeCode(err, "42501")
}

// foreign names another tenant's table.
func (w *soakWork) foreign() error {
	w.other = w.tenants[w.rng.IntN(len(w.tenants))]
	if w.other == w.tenant {
		return nil
	}
	table := pgx.Identifier{w.other.name(), "owners"}.Sanitize()
	for _, sql := range []string{`SELECT mark FROM ` + table, `DELETE FROM ` + table} {
		_, err := w.db.Exec(w.ctx, sql)
		if err == nil && w.moving(w.other) {
			return nil // the name may be the tenant's own now
		}
		if err := judgeCode(err, "42501"); err != nil {
			return err
		}
	}
	return nil
}

// mismatch works without a tenant, and with two.
func (w *soakWork) mismatch() error {
	_, err := w.db.Exec(rowhouse.WithTenant(w.ctx, nil), `SELECT 1`)
	if err := wantIs(err, rowhouse.ErrNoTenant); err != nil {
		return err
	}
	err = w.db.InTx(w.ctx, func(tx pgx.Tx) error {
		if err := w.read(w.ctx, tx); err != nil {
			return err
		}
		_, err := tx.Exec(rowhouse.WithShared(w.ctx), `SELECT 1`)
		return err
	})
	return wantIs(err, rowhouse.ErrTenantMismatch)
}

// visit works on the shared schema.
func (w *soakWork) visit() error {
	ctx := rowhouse.WithShared(w.ctx)
	if w.rng.IntN(3) == 0 {
		_, err := w.db.Exec(ctx, `SELECT * FROM wide`)
		return judgeCode(err, "42P01")
	}
	unit := w.unit()
	err := w.shared.wrote(unit, 2, w.db.InTx(ctx, func(tx pgx.Tx) error {
		_, err := tx.Exec(ctx, `INSERT INTO visits (unit, n, mark) VALUES ($1, 1, $2), ($1, 2, $2)`, unit, w.tenant.id)
		return err
	}))
	if err != nil {
		return err
	}
	rows, err := w.db.Query(w.ctx, `SELECT mark FROM visits WHERE unit = $1`, unit)
	if err != nil {
		return err
	}
	return w.wantRows(rows, 2, 0)
}

// lookUpByName finds the tenant by the name that it has, or another has had.
func (w *soakWork) lookUpByName() error {
	tenant, err := w.db.TenantBySchema(w.ctx, w.tenant.name())
	switch {
	case w.moving(w.tenant) && (err == nil || errors.Is(err, rowhouse.ErrUnknownTenant)):
		return nil // the name may be another's now, or nobody's
	case err == nil && tenant.ID != w.tenant.id:
		return wrong("found tenant %s", tenant.ID)
	}
	return err
}
