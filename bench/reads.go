package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// contestant reads one row of a tenant and checks that it is the tenant's.
type contestant struct {
	name  string
	read  func(ctx context.Context, tenant int, id int) error
	close func()
}

// limits are the contestants that rowhouse is measured against: their better one
// is the limit.
const limits = 2

// reads measures one-row reads over n tenants, with rtt added to each round trip.
func reads(n int, rtt time.Duration) func(context.Context, *bench) (float64, error) {
	return func(ctx context.Context, b *bench) (float64, error) {
		n := min(n, b.tenants)
		contestants, stop, err := b.contestants(ctx, rtt)
		if err != nil {
			return 0, err
		}
		defer stop()
		rates := make([][]float64, len(contestants))
		last := len(contestants) - 1
		var ratios []float64
		for round := range b.rounds + 1 { // the first warms up
			for i, c := range contestants {
				rate, err := b.rate(ctx, c, n)
				if err != nil {
					return 0, fmt.Errorf("%s: %w", c.name, err)
				}
				if round > 0 {
					rates[i] = append(rates[i], rate)
				}
			}
			if round > 0 {
				limit := 0.0
				for i := range limits {
					limit = max(limit, rates[i][round-1])
				}
				ratios = append(ratios, rates[last][round-1]/limit)
			}
		}
		for i, c := range contestants {
			fmt.Fprintf(os.Stderr, "%5d tenants, rtt %v: %-28s %9.0f/s\n", n, rtt, c.name, median(rates[i]))
		}
		return median(ratios), nil
	}
}

const byID = `SELECT name, amount FROM %sm0 WHERE id = $1`

func (b *bench) contestants(ctx context.Context, rtt time.Duration) (all []contestant, stop func(), err error) {
	operator, app := b.operator, b.app
	var closers []func()
	stop = func() {
		for _, c := range slices.Backward(closers) {
			c()
		}
	}
	if rtt > 0 {
		var stopDelay func()
		if operator, app, stopDelay, err = delay(operator, app, rtt); err != nil {
			return nil, nil, err
		}
		closers = append(closers, stopDelay)
	}
	for _, mode := range []pgx.QueryExecMode{pgx.QueryExecModeCacheStatement, pgx.QueryExecModeExec} {
		c, err := plainPgx(ctx, operator, mode, b.schemas)
		if err != nil {
			stop()
			return nil, nil, err
		}
		all, closers = append(all, c), append(closers, c.close)
	}
	set, err := setSearchPath(ctx, operator, b.schemas)
	if err != nil {
		stop()
		return nil, nil, err
	}
	all, closers = append(all, set), append(closers, set.close)
	db, err := b.db(ctx, app)
	if err != nil {
		stop()
		return nil, nil, err
	}
	closers = append(closers, db.Close)
	return append(all, contestant{name: "rowhouse", read: func(ctx context.Context, tenant, id int) error {
		return check(b.schemas[tenant], id, db.QueryRow(b.contexts[tenant], fmt.Sprintf(byID, ""), id))
	}}), stop, nil
}

func check(schema string, id int, row pgx.Row) error {
	var name string
	var amount int
	if err := row.Scan(&name, &amount); err != nil {
		return err
	}
	if want := fmt.Sprintf("%s %d", schema, id); name != want {
		return fmt.Errorf("read %q, want %q", name, want)
	}
	return nil
}

// plainPgx reads with schema-qualified SQL.
func plainPgx(ctx context.Context, url string, mode pgx.QueryExecMode, schemas []string) (contestant, error) {
	cfg, err := pgxpool.ParseConfig(url)
	if err != nil {
		return contestant{}, err
	}
	cfg.MaxConns = connections
	cfg.ConnConfig.DefaultQueryExecMode = mode
	pool, err := pgxpool.NewWithConfig(ctx, cfg)
	if err != nil {
		return contestant{}, err
	}
	sql := make([]string, len(schemas))
	for i, s := range schemas {
		sql[i] = fmt.Sprintf(byID, s+".")
	}
	return contestant{"pgx, qualified, " + mode.String(), func(ctx context.Context, tenant, id int) error {
		return check(schemas[tenant], id, pool.QueryRow(ctx, sql[tenant], id))
	}, pool.Close}, nil
}

// setSearchPath does what many do by hand: a round trip that sets the path.
func setSearchPath(ctx context.Context, url string, schemas []string) (contestant, error) {
	cfg, err := pgxpool.ParseConfig(url)
	if err != nil {
		return contestant{}, err
	}
	cfg.MaxConns = connections
	pool, err := pgxpool.NewWithConfig(ctx, cfg)
	if err != nil {
		return contestant{}, err
	}
	return contestant{"pgx, SET search_path first", func(ctx context.Context, tenant, id int) error {
		conn, err := pool.Acquire(ctx)
		if err != nil {
			return err
		}
		defer conn.Release()
		if _, err := conn.Exec(ctx, "SET search_path = "+schemas[tenant]); err != nil {
			return err
		}
		return check(schemas[tenant], id, conn.QueryRow(ctx, fmt.Sprintf(byID, ""), id))
	}, pool.Close}, nil
}

// rate is how many reads a second the workers do together.
func (b *bench) rate(ctx context.Context, c contestant, tenants int) (float64, error) {
	deadline := time.Now().Add(time.Duration(b.seconds * float64(time.Second)))
	var done atomic.Int64
	var failed atomic.Pointer[error]
	var wg sync.WaitGroup
	start := time.Now()
	for range workers {
		wg.Go(func() {
			for n := int64(0); ; n++ {
				if n%16 == 0 && (time.Now().After(deadline) || ctx.Err() != nil || failed.Load() != nil) {
					done.Add(n)
					return
				}
				if err := c.read(ctx, rand.IntN(tenants), 1+rand.IntN(100)); err != nil {
					failed.Store(&err)
				}
			}
		})
	}
	wg.Wait()
	if err := failed.Load(); err != nil {
		return 0, *err
	}
	return float64(done.Load()) / time.Since(start).Seconds(), ctx.Err()
}

func median(values []float64) float64 {
	if len(values) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(values))
	return sorted[len(sorted)/2]
}
