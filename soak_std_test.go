package rowhouse_test

import "database/sql"

// stdRows checks the mark of each row, which is its first column, and closes them.
func (w *soakWork) stdRows(rows *sql.Rows, err error, want int) error {
	if err != nil {
		return err
	}
	defer rows.Close()
	n := 0
	for ; rows.Next(); n++ {
		var mark string
		var rest any
		if err := rows.Scan(&mark, &rest); err != nil {
			return err
		}
		if mark != w.tenant.id {
			return wrong("row %d is marked %s", n, mark)
		}
	}
	if err := rows.Err(); err != nil {
		return err
	}
	if n != want {
		return wrong("got %d rows, want %d", n, want)
	}
	return nil
}

func (w *soakWork) stdRead() error {
	if w.rng.IntN(2) == 0 {
		rows, err := w.stmt.QueryContext(w.ctx, "x") // one statement of all tenants
		return w.stdRows(rows, err, 1)
	}
	rows, err := w.std.QueryContext(w.ctx, `SELECT mark, amount FROM wide`)
	return w.stdRows(rows, err, wideRows)
}

func (w *soakWork) stdInsert() error {
	unit := w.unit()
	query, args := w.event(unit, 0)
	_, err := w.std.ExecContext(w.ctx, query, args...)
	return w.tenant.wrote(unit, 1, err)
}

// stdTransaction writes three rows, the second of which is taken back.
func (w *soakWork) stdTransaction() error {
	unit := w.unit()
	tx, err := w.std.BeginTx(w.ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	for i, before := range []string{"", "SAVEPOINT one", "ROLLBACK TO SAVEPOINT one"} {
		if before != "" {
			if _, err := tx.ExecContext(w.ctx, before); err != nil {
				return err
			}
		}
		query, args := w.event(unit, i)
		if _, err := tx.ExecContext(w.ctx, query, args...); err != nil {
			return err
		}
	}
	rows, err := tx.QueryContext(w.ctx, `SELECT mark, amount FROM wide`)
	if err := w.stdRows(rows, err, wideRows); err != nil {
		return err
	}
	if w.rng.IntN(3) == 0 {
		return tx.Rollback()
	}
	return w.tenant.wrote(unit, 2, tx.Commit())
}
