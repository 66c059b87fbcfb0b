package rowhouse_test

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"
)

// errSoakAbort ends a transaction that was to be given up.
var errSoakAbort = errors.New("given up")

// soakProgram is a transaction that is made up as it goes.
type soakProgram struct {
	*soakWork
	unit int64
	next int // row of the unit
	// readOnly leaves out what writes.
	readOnly bool
}

// transaction runs a program and ends it in one of many ways.
func (w *soakWork) transaction() error {
	p := &soakProgram{soakWork: w, unit: w.soak.unit()}
	if w.rng.IntN(2) == 0 {
		return p.inTx()
	}
	return p.begin()
}

// inTx runs the program in a callback that returns, fails, panics or looks past
// the failure of a statement.
func (p *soakProgram) inTx() error {
	kept, reached, ending := 0, false, p.rng.IntN(10)
	err := p.recovered(func() error {
		return p.db.InTx(p.ctx, func(tx pgx.Tx) (err error) {
			if kept, err = p.steps(p.ctx, tx, 0); err != nil {
				return err
			}
			switch ending {
			case 0:
				return errSoakAbort
			case 1:
				panic(errSoakAbort)
			case 2:
				if _, err := tx.Exec(p.ctx, `SELECT 1 / $1::int`, 0); err == nil {
					return wrong("divided by zero")
				}
			}
			reached = true
			return nil
		})
	})
	switch {
	case ending < 2:
		return wantIs(err, errSoakAbort)
	case ending == 2:
		return wantIs(err, pgx.ErrTxCommitRollback)
	case !reached:
		return err
	}
	return p.tenant.wrote(p.unit, kept, err)
}

// recovered turns a panic of the program's own into its error.
func (p *soakProgram) recovered(fn func() error) (err error) {
	defer func() {
		if r := recover(); r == errSoakAbort {
			err = errSoakAbort
		} else if r != nil {
			panic(r)
		}
	}()
	return fn()
}

// begin runs the program in a transaction with options.
func (p *soakProgram) begin() error {
	levels := []pgx.TxIsoLevel{"", pgx.ReadCommitted, pgx.RepeatableRead, pgx.Serializable}
	opts := pgx.TxOptions{IsoLevel: levels[p.rng.IntN(len(levels))]}
	if p.readOnly = p.rng.IntN(4) == 0; p.readOnly {
		opts.AccessMode = pgx.ReadOnly
	}
	p.frozen = opts.IsoLevel == pgx.RepeatableRead || opts.IsoLevel == pgx.Serializable
	tx, err := p.db.BeginTx(p.ctx, opts)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback(p.ctx) }()
	kept, err := p.steps(p.ctx, tx, 0)
	if err != nil {
		return err
	}
	if p.rng.IntN(4) == 0 {
		return tx.Rollback(p.ctx)
	}
	return p.tenant.wrote(p.unit, kept, tx.Commit(p.ctx))
}

// steps does a few things and returns how many rows are written by them.
func (p *soakProgram) steps(ctx context.Context, tx pgx.Tx, depth int) (kept int, err error) {
	for range 1 + p.rng.IntN(4) {
		n, err := p.step(ctx, tx, depth)
		if err != nil {
			return 0, err
		}
		kept += n
	}
	return kept, nil
}

func (p *soakProgram) step(ctx context.Context, tx pgx.Tx, depth int) (kept int, err error) {
	choice := p.rng.IntN(9)
	switch {
	case choice == 0 && depth < 3:
		return p.savepoint(ctx, tx, depth)
	case choice == 1:
		time.Sleep(time.Duration(p.rng.IntN(5)) * time.Millisecond) // the application thinks
		return 0, nil
	case p.readOnly || choice < 6:
		return 0, p.read(ctx, tx)
	case choice == 6:
		n := 1 + p.rng.IntN(5)
		first := p.rows(n)
		_, err := tx.CopyFrom(ctx, pgx.Identifier{"events"}, eventColumns, pgx.CopyFromSlice(n, func(i int) ([]any, error) {
			return []any{p.unit, first + i, p.tenant.id}, nil
		}))
		return n, err
	case choice == 7:
		b := &pgx.Batch{}
		for range 2 {
			sql, args := p.event(p.unit, p.rows(1))
			b.Queue(sql, args...)
		}
		return 2, tx.SendBatch(ctx, b).Close()
	}
	sql, args := p.event(p.unit, p.rows(1))
	_, err = tx.Exec(ctx, sql, args...)
	return 1, err
}

// rows takes numbers for n rows and returns the first.
func (p *soakProgram) rows(n int) int {
	p.next += n
	return p.next - n
}

// savepoint does things in a savepoint, which is kept, taken back, or taken back
// after a failure.
func (p *soakProgram) savepoint(ctx context.Context, tx pgx.Tx, depth int) (kept int, err error) {
	sp, err := tx.Begin(ctx)
	if err != nil {
		return 0, err
	}
	if kept, err = p.steps(ctx, sp, depth+1); err != nil {
		return 0, err
	}
	switch p.rng.IntN(3) {
	case 0:
		return kept, sp.Commit(ctx)
	case 1:
		other := p.tenants[p.rng.IntN(len(p.tenants))]
		if other == p.tenant {
			break
		}
		p.other = other
		_, err := sp.Exec(ctx, `SELECT mark FROM `+pgx.Identifier{other.name(), "owners"}.Sanitize())
		if err == nil && p.moving(other) {
			break // the name may be the tenant's own now
		}
		if err := judgeCode(err, "42501"); err != nil {
			return 0, err
		}
	}
	return 0, sp.Rollback(ctx)
}
