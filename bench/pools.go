package main

import (
	"container/list"
	"context"
	"fmt"
	"sync"

	"github.com/jackc/pgx/v5/pgxpool"
)

// A pool for each tenant needs more connections than the others have: two for
// each of at most so many tenants. There must be more pools than workers, so that
// one of them is idle when another tenant comes.
const (
	mostPools    = 20
	connsPerPool = 2
)

// tenantPools keeps a pool for each of the tenants that were used last.
type tenantPools struct {
	make func(tenant int) (*pgxpool.Pool, error)

	mu    sync.Mutex
	pools map[int]*tenantPool
	used  list.List // of *tenantPool, the one used last in front
}

type tenantPool struct {
	*pgxpool.Pool
	tenant int
	users  int
	place  *list.Element
}

// poolPerTenant reads through a pool of the tenant's own, whose connections have
// the path from the start.
func poolPerTenant(_ context.Context, s stage) (contestant, error) {
	name := fmt.Sprintf("a pool per tenant (%d of %d)", mostPools, connsPerPool)
	url, err := named(s.reader, name)
	if err != nil {
		return contestant{}, err
	}
	cfg, err := pgxpool.ParseConfig(url)
	if err != nil {
		return contestant{}, err
	}
	cfg.MaxConns = connsPerPool
	pools := &tenantPools{pools: make(map[int]*tenantPool), make: func(tenant int) (*pgxpool.Pool, error) {
		own := cfg.Copy()
		own.ConnConfig.RuntimeParams["search_path"] = s.schemas[tenant]
		return pgxpool.NewWithConfig(context.Background(), own)
	}}
	sql := fmt.Sprintf(byID, "")
	return contestant{name, func(ctx context.Context, tenant, id int) error {
		pool, err := pools.take(tenant)
		if err != nil {
			return err
		}
		defer pools.give(pool)
		return check(s.schemas[tenant], id, pool.QueryRow(ctx, sql, id))
	}, pools.close}, nil
}

// take is the tenant's pool, in place of the idle one that was used the longest
// time ago if there are too many.
func (p *tenantPools) take(tenant int) (*tenantPool, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	pool := p.pools[tenant]
	if pool == nil {
		p.makeRoom()
		made, err := p.make(tenant)
		if err != nil {
			return nil, err
		}
		pool = &tenantPool{Pool: made, tenant: tenant}
		pool.place = p.used.PushFront(pool)
		p.pools[tenant] = pool
	}
	pool.users++
	p.used.MoveToFront(pool.place)
	return pool, nil
}

// makeRoom closes a pool that nobody uses if there are as many as there may be.
func (p *tenantPools) makeRoom() {
	if len(p.pools) < mostPools {
		return
	}
	for e := p.used.Back(); e != nil; e = e.Prev() {
		if pool := e.Value.(*tenantPool); pool.users == 0 {
			p.used.Remove(e)
			delete(p.pools, pool.tenant)
			pool.Close()
			return
		}
	}
}

func (p *tenantPools) give(pool *tenantPool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	pool.users--
}

func (p *tenantPools) close() {
	for _, pool := range p.pools {
		pool.Close()
	}
}
