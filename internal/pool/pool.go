// Package pool is where bound work is sent: one budget of connections, shared by
// all tenants.
//
// A backend that has worked for a tenant keeps some 330 kB for it (ten tables) and
// never gives them back, and a statement is planned again whenever it runs in
// another schema than the last time. So tenants stay near connections that know
// them: each has a slot of the budget as its home, by the hash of its id. When that is
// busy it takes one that has worked for it before, or for few tenants yet; when its
// home is busy with work that takes long, or it has waited for some milliseconds, also
// its second home, and after that any that is free. So a tenant has the connections
// that it needs, and most need one. When all are busy tenants take turns, whoever has
// more requests waiting. A connection that has worked for too many tenants is
// replaced before the next one's work.
//
// Neither pgxpool nor puddle, on which it is built, can do this: they give out the
// connection that was used last, cannot be asked for a certain one, and serve who
// waits in the order of arrival, so that one tenant with many requests keeps all
// others waiting. What pgxpool is good for it is used for: look-ups in the catalog,
// on two connections of their own, which no tenant's load delays.
//
// Three more things are settled here. Between units of work a connection's
// search_path is empty, so that what was not bound fails instead of guessing. Every
// connection carries a [bind.Session]. And a cancelled context cancels the
// statement in the server and keeps the connection.
//
// A pooler such as PgBouncer in transaction mode is found out when the pool is
// opened: the process id in the protocol's start-up answer is then not the one of
// the backend that runs the statements. Named prepared statements and start-up
// parameters are not used then; everything else is the same.
//
// Begin reading at [Pool.Acquire]; turns.go says who gets a slot, slot.go what one is.
package pool

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/rowhouse/rowhouse/internal/bind"
)

var (
	// ErrConfig: the connection string cannot be used.
	ErrConfig = errors.New("invalid database URL")
	// ErrClosed: the pool is closed.
	ErrClosed = errors.New("the connection pool is closed")
)

// catalogConns is how many connections look-ups in the catalog have.
const catalogConns = 2

// descriptions is how many descriptions of statements a process keeps: about a
// kilobyte each.
const descriptions = 8192

// DefaultTenantsPerConn is how many tenants a connection works for before it is
// replaced: with ten tables each that is some 160 MB of the server's memory, if all are
// used.
const DefaultTenantsPerConn = 500

// Options of a pool.
type Options struct {
	// URL is a connection string as pgxpool takes it, pool_ settings included.
	URL string
	// MaxConns is the budget. 0 leaves it to the URL and pgxpool's default.
	MaxConns int32
	// TenantsPerConn is how many tenants a connection works for before it is
	// replaced. 0 means [DefaultTenantsPerConn].
	TenantsPerConn int
	// Statements is how many statements a connection keeps.
	Statements int
	// AfterConnect is called for each new connection, unbound. May be nil.
	AfterConnect func(context.Context, *pgx.Conn) error
}

// Pool is a pool of bound sessions. The pgxpool in it is for the catalog.
type Pool struct {
	*pgxpool.Pool
	conn     *pgx.ConnConfig
	mode     bind.Mode
	known    *bind.Descriptions
	opts     Options
	lifetime time.Duration
	idle     time.Duration
	seed     maphash.Seed
	stop     chan struct{}
	reaper   sync.WaitGroup
	replaced atomic.Int64

	mu      sync.Mutex
	slots   []*slot
	free    int            // how many slots are not busy
	tenants map[string]int // how many connections have worked for each
	waiting *queue
	closed  bool
	drained *sync.Cond // signalled when a slot becomes free after Close
	// impatient runs lostPatience at alarm, which is zero while nobody has to wait
	// for a slot that suits.
	impatient *time.Timer
	alarm     time.Time

	refusedWaiting, refusedWait int64
}

// Open connects once, to find out what is at the other end, and makes the pool.
func Open(ctx context.Context, opts Options) (*Pool, error) {
	cfg, err := pgxpool.ParseConfig(opts.URL)
	if err != nil {
		// pgx redacts passwords in this error.
		return nil, fmt.Errorf("%w: %w", ErrConfig, err)
	}
	if opts.MaxConns <= 0 {
		opts.MaxConns = cfg.MaxConns
	}
	if opts.TenantsPerConn <= 0 {
		opts.TenantsPerConn = DefaultTenantsPerConn
	}
	Prepare(cfg.ConnConfig)
	mode, err := probe(ctx, cfg.ConnConfig)
	if err != nil {
		return nil, err
	}
	cfg.MaxConns, cfg.MinConns, cfg.MinIdleConns = catalogConns, 0, 0
	catalog, err := pgxpool.NewWithConfig(ctx, cfg)
	if err != nil {
		return nil, fmt.Errorf("open connection pool: %w", err)
	}
	p := &Pool{
		Pool: catalog, conn: cfg.ConnConfig, mode: mode, known: bind.NewDescriptions(descriptions), opts: opts,
		lifetime: cfg.MaxConnLifetime, idle: cfg.MaxConnIdleTime,
		stop: make(chan struct{}),
	}
	p.build(int(opts.MaxConns))
	p.reaper.Go(p.reap)
	return p, nil
}

// build makes the slots and the queue before them.
func (p *Pool) build(size int) {
	p.seed, p.waiting, p.drained = maphash.MakeSeed(), newQueue(), sync.NewCond(&p.mu)
	p.tenants = make(map[string]int)
	p.impatient = time.AfterFunc(time.Hour, p.lostPatience)
	p.impatient.Stop() // until it is needed
	for i := range size {
		p.slots = append(p.slots, &slot{index: i, tenants: make(map[string]struct{})})
	}
	p.free = size
}

// Pooled tells whether a pooler that shares backends between clients was found.
func (p *Pool) Pooled() bool { return p.mode == bind.Described }

// Acquire takes a connection for work of a tenant, within its limits, and returns
// its session. It waits its turn until ctx ends. It returns [ErrWaiting] and
// [ErrWait] when a limit does not let it wait. release gives the connection back, or
// closes it if it is not clean; call it once.
func (p *Pool) Acquire(ctx context.Context, tenant string, limits Limits) (session *bind.Session, release func(), err error) {
	s, err := p.take(ctx, tenant, limits)
	if err != nil {
		return nil, nil, fmt.Errorf("acquire a database connection: %w", err)
	}
	if err := p.ready(ctx, s, tenant); err != nil {
		p.give(s)
		return nil, nil, fmt.Errorf("acquire a database connection: %w", err)
	}
	return s.session, func() { p.release(ctx, s) }, nil
}

// candidates are the two slots of a tenant, one if there is only one.
func (p *Pool) candidates(tenant string) [2]int {
	hash := maphash.String(p.seed, tenant)
	n := uint64(len(p.slots))
	first := hash % n
	second := first
	if n > 1 {
		second = (first + 1 + (hash>>32)%(n-1)) % n
	}
	return [2]int{int(first), int(second)}
}

// pick chooses a free slot for a tenant that has just come: its home, else one that
// suits it, else one that it takes.
func (p *Pool) pick(tenant string, candidates [2]int) *slot {
	if s := p.slots[candidates[0]]; !s.busy {
		return s
	}
	if p.free == 0 {
		return nil
	}
	var found *slot
	now := time.Now()
	for _, s := range p.slots {
		if s.busy {
			continue
		}
		switch p.wish(s, tenant, candidates, 0, now) {
		case suits:
			return s
		case takes:
			if found == nil || found.session == nil {
				found = s // one that is connected, if possible
			}
		}
	}
	return found
}

// release looks at a connection that was used and gives its slot back.
func (p *Pool) release(ctx context.Context, s *slot) {
	s.used = time.Now()
	if !clean(s.session) {
		p.disconnect(ctx, s)
	}
	p.give(s)
}

// Close refuses new work, waits for that which is under way, and closes all
// connections.
func (p *Pool) Close() {
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		return
	}
	p.closed = true
	p.waiting.close()
	p.impatient.Stop()
	for _, s := range p.slots {
		for s.busy {
			p.drained.Wait()
		}
		p.hold(s, "")
	}
	p.mu.Unlock()
	close(p.stop)
	p.reaper.Wait()
	for _, s := range p.slots {
		if s.session != nil {
			p.disconnect(context.Background(), s)
		}
	}
	p.Pool.Close()
}

// reap closes connections that idle too long, one after the other.
func (p *Pool) reap() {
	tick := time.NewTicker(max(min(p.idle/2, 30*time.Second), time.Millisecond))
	defer tick.Stop()
	for {
		select {
		case <-p.stop:
			return
		case <-tick.C:
		}
		for _, s := range p.slots {
			if p.takeIdle(s) {
				p.disconnect(context.Background(), s)
				p.give(s)
			}
		}
	}
}

// takeIdle gets hold of a slot whose connection has idled too long.
func (p *Pool) takeIdle(s *slot) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed || s.busy || s.session == nil || time.Since(s.used) < p.idle {
		return false
	}
	p.hold(s, "")
	return true
}
