package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/rowhouse/rowhouse"
)

// The noisy tenant's clients ask again as soon as they have their answer. The quiet
// one asks at fixed times, whether or not it was answered: who waits for an answer
// before the next question does not see how bad it is.
const (
	noisyTenant  = 0
	quietTenant  = 1
	noisyClients = 200
	quietEvery   = 10 * time.Millisecond
)

// slow is what the noisy tenant asks: 30 ms of waiting, and some work for the
// server's CPU.
const slow = `SELECT n FROM (SELECT count(*) AS n FROM %[1]sm0 a, %[1]sm0 b WHERE a.id <> b.id) work, pg_sleep(0.03)`

// neighbours are two tenants that share what a contestant has: one reads, the other
// asks slow questions.
type neighbours struct {
	contestant
	slow func(ctx context.Context) error
}

// sharing makes neighbours.
type sharing func(ctx context.Context, s stage) (neighbours, error)

// sharings are the rows of the table about noise.
func sharings() []sharing { return []sharing{sharePool, shareHouse, shareLimited} }

// sharePool is one pgxpool for both.
func sharePool(ctx context.Context, s stage) (neighbours, error) {
	const name = "pgx, one pool"
	pool, err := plainPool(ctx, s.reader, name, pgx.QueryExecModeCacheStatement)
	if err != nil {
		return neighbours{}, err
	}
	schema := s.schemas[quietTenant]
	read, ask := fmt.Sprintf(byID, schema+"."), fmt.Sprintf(slow, s.schemas[noisyTenant]+".")
	return neighbours{
		contestant{name, func(ctx context.Context, _, id int) error {
			return check(schema, id, pool.QueryRow(ctx, read, id))
		}, pool.Close},
		func(ctx context.Context) error { return answered(pool.QueryRow(ctx, ask)) },
	}, nil
}

// shareHouse is rowhouse as it is without settings.
func shareHouse(ctx context.Context, s stage) (neighbours, error) {
	return share(ctx, s, "rowhouse", rowhouse.Config{})
}

// shareLimited is rowhouse with a limit that leaves connections free. It lets the
// noisy tenant wait as long as it likes.
func shareLimited(ctx context.Context, s stage) (neighbours, error) {
	return share(ctx, s, "rowhouse, 4 connections a tenant", rowhouse.Config{Limits: rowhouse.Limits{Connections: 4}})
}

func share(ctx context.Context, s stage, name string, cfg rowhouse.Config) (neighbours, error) {
	h, err := openHouse(ctx, s, name, cfg)
	if err != nil {
		return neighbours{}, err
	}
	read, ask := fmt.Sprintf(byID, ""), fmt.Sprintf(slow, "")
	return neighbours{
		contestant{name, func(_ context.Context, _, id int) error {
			return check(s.schemas[quietTenant], id, h.db.QueryRow(h.contexts[quietTenant], read, id))
		}, h.db.Close},
		func(context.Context) error { return answered(h.db.QueryRow(h.contexts[noisyTenant], ask)) },
	}, nil
}

// answered takes the answer to a slow question.
func answered(row pgx.Row) error {
	var n int
	if err := row.Scan(&n); err != nil {
		return err
	}
	if n != rowsPerTenant*(rowsPerTenant-1) {
		return fmt.Errorf("a slow question was answered with %d", n)
	}
	return nil
}

// peace is what the quiet tenant sees, and what the noisy one gets done.
type peace struct {
	p50, p99 time.Duration
	noise    float64 // slow questions answered a second
}

// noisy measures the quiet tenant with and without the noise, and prints Markdown.
func (b *bench) noisy(ctx context.Context) error {
	all := make([]neighbours, 0, len(sharings()))
	for _, enter := range sharings() {
		n, err := enter(ctx, stage{schemas: b.schemas[:2], reader: b.reader, app: b.app})
		if err != nil {
			return err
		}
		defer n.close()
		all = append(all, n)
	}
	alone, beside := make([][]peace, len(all)), make([][]peace, len(all))
	for round := range b.rounds + 1 { // the first warms up
		for i, n := range all {
			without, with, err := b.disturb(ctx, n)
			if err != nil {
				return fmt.Errorf("%s: %w", n.name, err)
			}
			if round > 0 {
				alone[i], beside[i] = append(alone[i], without), append(beside[i], with)
			}
		}
	}
	fmt.Fprintf(b.people, "\nA quiet tenant that reads a row every %d ms, beside %d clients of another tenant with queries of 30 ms; "+
		"%d connections; p50 / p99 in µs, medians of %d rounds of %g s.\n\n", quietEvery.Milliseconds(), noisyClients, connections, b.rounds, b.seconds)
	row(b.people, "", "quiet, alone", "quiet, beside the noise", "the noisy tenant's queries a second")
	row(b.people, "---", "---:", "---:", "---:")
	for i, n := range all {
		without, with := medianPeace(alone[i]), medianPeace(beside[i])
		row(b.people, n.name, latency(without.p50, without.p99), latency(with.p50, with.p99), thousands(int64(with.noise)))
	}
	return nil
}

// disturb measures the quiet tenant alone, then beside the noise.
func (b *bench) disturb(ctx context.Context, n neighbours) (without, with peace, err error) {
	if without, err = b.listen(ctx, n); err != nil {
		return without, with, err
	}
	noise := makeNoise(ctx, n.slow)
	err = noise.settle(ctx)
	if err == nil {
		before, start := noise.answers.Load(), time.Now()
		with, err = b.listen(ctx, n)
		with.noise = float64(noise.answers.Load()-before) / time.Since(start).Seconds()
	}
	if failed := noise.stop(); failed != nil {
		err = failed
	}
	return without, with, err
}

// listen is the quiet tenant's client.
func (b *bench) listen(ctx context.Context, n neighbours) (peace, error) {
	var mu sync.Mutex
	var latencies []time.Duration
	var failed error
	var wg sync.WaitGroup
	ticker := time.NewTicker(quietEvery)
	defer ticker.Stop()
	for end := time.Now().Add(b.slice()); time.Now().Before(end) && ctx.Err() == nil; {
		began := <-ticker.C
		wg.Go(func() {
			err := n.read(ctx, quietTenant, 1+rand.IntN(rowsPerTenant))
			took := time.Since(began)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				failed = err
			}
			latencies = append(latencies, took)
		})
	}
	wg.Wait()
	if failed == nil {
		failed = ctx.Err()
	}
	slices.Sort(latencies)
	return peace{p50: percentile(latencies, 50), p99: percentile(latencies, 99)}, failed
}

// noise is the noisy tenant's clients at work.
type noise struct {
	answers atomic.Int64
	stopped atomic.Bool
	failed  atomic.Pointer[error]
	wg      sync.WaitGroup
}

func makeNoise(ctx context.Context, ask func(context.Context) error) *noise {
	n := &noise{}
	for range noisyClients {
		n.wg.Go(func() {
			for !n.stopped.Load() && ctx.Err() == nil {
				if err := ask(ctx); err != nil {
					n.failed.Store(&err)
					return
				}
				n.answers.Add(1)
			}
		})
	}
	return n
}

// settle waits until the queue is as long as it gets.
func (n *noise) settle(ctx context.Context) error {
	for n.answers.Load() < noisyClients && n.failed.Load() == nil {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(quietEvery):
		}
	}
	return nil
}

// stop lets the last questions be answered.
func (n *noise) stop() error {
	n.stopped.Store(true)
	n.wg.Wait()
	if err := n.failed.Load(); err != nil {
		return *err
	}
	return nil
}

func medianPeace(all []peace) peace {
	var p50, p99 []time.Duration
	var answers []float64
	for _, p := range all {
		p50, p99, answers = append(p50, p.p50), append(p99, p.p99), append(answers, p.noise)
	}
	return peace{median(p50), median(p99), median(answers)}
}
