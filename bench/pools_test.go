package main

import (
	"context"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"
)

// lazyPools never connect: a pgxpool does so when it is first used.
func lazyPools() *tenantPools {
	return &tenantPools{pools: make(map[int]*tenantPool), make: func(int) (*pgxpool.Pool, error) {
		return pgxpool.New(context.Background(), "postgres://127.0.0.1:1/nowhere")
	}}
}

func take(t *testing.T, p *tenantPools, tenant int) *tenantPool {
	t.Helper()
	pool, err := p.take(tenant)
	if err != nil {
		t.Fatal(err)
	}
	return pool
}

// The pool that goes is the one that was used the longest time ago and is idle.
func TestPoolsMakeRoom(t *testing.T) {
	t.Parallel()
	p := lazyPools()
	defer p.close()
	busy := take(t, p, 0)
	for tenant := 1; tenant < mostPools; tenant++ {
		p.give(take(t, p, tenant))
	}
	p.give(take(t, p, 1)) // now 2 was used the longest time ago
	p.give(take(t, p, mostPools))
	if len(p.pools) != mostPools || p.pools[2] != nil {
		t.Errorf("%d pools, tenant 2's is %v", len(p.pools), p.pools[2])
	}
	if p.pools[0] != busy || p.pools[1] == nil {
		t.Error("a pool in use or the one used last was closed")
	}
	p.give(busy)
}

func TestPoolsStayWithinTheirBudget(t *testing.T) {
	t.Parallel()
	p := lazyPools()
	defer p.close()
	var wg sync.WaitGroup
	for worker := range workers {
		wg.Go(func() {
			for n := range 100 {
				pool, err := p.take((worker*37 + n*11) % 60)
				if err != nil {
					t.Error(err)
					return
				}
				p.give(pool)
			}
		})
	}
	wg.Wait()
	if len(p.pools) > mostPools || p.used.Len() != len(p.pools) {
		t.Errorf("%d pools, %d in the list", len(p.pools), p.used.Len())
	}
}
