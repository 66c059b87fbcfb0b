package pool

import (
	"context"
	"fmt"
	"strconv"

	"github.com/rowhouse/rowhouse/internal/bind"
)

// Slots is how many slots there are.
func (p *Pool) Slots() int { return len(p.slots) }

// TenantsPerConn is how many tenants a connection works for before it is replaced.
func (p *Pool) TenantsPerConn() int { return p.opts.TenantsPerConn }

// Home is the slot that a tenant's work goes to first: from 0, below [Pool.Slots].
func (p *Pool) Home(tenant string) int { return p.candidates(tenant)[0] }

// AcquireMany takes a connection for work of several tenants, which should have the
// same home; not more than [Pool.TenantsPerConn]. It waits its turn like the work
// of one more tenant, whose home that is: no tenant's limits count. For the rest it
// is as [Pool.Acquire].
func (p *Pool) AcquireMany(ctx context.Context, tenants []string) (session *bind.Session, release func(), err error) {
	s, err := p.take(ctx, p.crowd(p.Home(tenants[0])), Limits{})
	if err != nil {
		return nil, nil, fmt.Errorf("acquire a database connection: %w", err)
	}
	return p.readyMany(ctx, s, tenants)
}

// TryAcquireMany is AcquireMany for who can do without: it takes the home of the
// tenants only, and only while nobody waits for a connection. The session is nil if
// that cannot be had.
func (p *Pool) TryAcquireMany(ctx context.Context, tenants []string) (session *bind.Session, release func(), err error) {
	home := p.Home(tenants[0])
	p.mu.Lock()
	s := p.slots[home]
	if p.closed || s.busy || p.waiting.first() != nil {
		p.mu.Unlock()
		return nil, nil, nil
	}
	p.hold(s, p.crowd(home))
	p.mu.Unlock()
	return p.readyMany(ctx, s, tenants)
}

// readyMany makes sure that a slot has a connection that can work for all of the
// tenants.
func (p *Pool) readyMany(ctx context.Context, s *slot, tenants []string) (*bind.Session, func(), error) {
	strangers := 0
	for _, t := range tenants {
		if _, known := s.tenants[t]; !known {
			strangers++
		}
	}
	if s.session != nil && len(s.tenants)+strangers > p.opts.TenantsPerConn {
		p.disconnect(ctx, s)
		p.replaced.Add(1)
	}
	if err := p.ready(ctx, s, tenants[0]); err != nil {
		p.give(s)
		return nil, nil, fmt.Errorf("acquire a database connection: %w", err)
	}
	p.learn(s, tenants...)
	return s.session, func() { p.release(ctx, s) }, nil
}

// crowd is the name under which work of many tenants waits for their home: one
// whose home is the same.
func (p *Pool) crowd(home int) string {
	for i := 0; ; i++ {
		if name := "crowd " + strconv.Itoa(i); p.Home(name) == home {
			return name
		}
	}
}
