package pool

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/rowhouse/rowhouse/internal/bind"
)

// slot is a place for one connection. Who holds it (busy) may use and replace the
// connection without the pool's lock.
type slot struct {
	index   int
	busy    bool
	tenant  string        // for whom it is busy
	since   time.Time     // when it became busy
	session *bind.Session // nil while not connected

	expires time.Time
	used    time.Time
	tenants map[string]struct{} // that the connection has worked for; changed under the lock
}

// pingAfter is how long a connection may idle before it is asked whether it is still
// there: a round trip that work after a pause has more.
const pingAfter = time.Second

// few is up to how many tenants all connections take as they come: soon every
// connection knows them all, and nobody has to wait for one.
const few = 32

// knows tells whether the slot has a connection that has worked for a tenant already,
// or that works for whoever comes.
func (p *Pool) knows(s *slot, tenant string) bool {
	_, known := s.tenants[tenant]
	return s.session != nil && (known || len(p.tenants) <= few)
}

// learn notes tenants that the connection of a slot works for from now on.
func (p *Pool) learn(s *slot, tenants ...string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, t := range tenants {
		if _, known := s.tenants[t]; !known {
			s.tenants[t] = struct{}{}
			p.tenants[t]++
		}
	}
}

// forget is called when the connection of a slot is closed.
func (p *Pool) forget(s *slot) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for t := range s.tenants {
		if p.tenants[t]--; p.tenants[t] == 0 {
			delete(p.tenants, t)
		}
	}
	clear(s.tenants)
}

// slow tells whether the slot is busy with work that already takes long, so that it
// is not worth waiting for its end.
func (s *slot) slow(now time.Time) bool { return s.busy && now.Sub(s.since) >= patience }

// ready makes sure that the slot has a connection that can work for a tenant. Here
// connections are replaced, between units of work and never within one.
func (p *Pool) ready(ctx context.Context, s *slot, tenant string) error {
	if s.session != nil && p.worn(ctx, s, tenant) {
		p.disconnect(ctx, s)
		p.replaced.Add(1)
	}
	if s.session == nil {
		if err := p.connect(ctx, s); err != nil {
			return err
		}
	}
	if _, known := s.tenants[tenant]; !known {
		p.learn(s, tenant)
	}
	return nil
}

// worn tells whether the connection of a slot should be replaced: it is closed, too
// old, or has worked for as many tenants as it may, of which this is another.
func (p *Pool) worn(ctx context.Context, s *slot, tenant string) bool {
	now := time.Now()
	if _, known := s.tenants[tenant]; !known && len(s.tenants) >= p.opts.TenantsPerConn {
		return true
	}
	if now.After(s.expires) {
		return true
	}
	conn := s.session.Conn().PgConn()
	return conn.IsClosed() || now.Sub(s.used) > pingAfter && conn.Ping(ctx) != nil
}

func (p *Pool) connect(ctx context.Context, s *slot) error {
	conn, err := pgx.ConnectConfig(ctx, p.conn.Copy())
	if err != nil {
		return err
	}
	session, err := p.session(ctx, conn)
	if err != nil {
		_ = conn.Close(context.WithoutCancel(ctx))
		return err
	}
	// Not all at the same time.
	life := p.lifetime + rand.N(p.lifetime/10+1)
	s.session, s.expires = session, time.Now().Add(life)
	return nil
}

func (p *Pool) session(ctx context.Context, conn *pgx.Conn) (*bind.Session, error) {
	if p.opts.AfterConnect != nil {
		if err := p.opts.AfterConnect(ctx, conn); err != nil {
			return nil, fmt.Errorf("AfterConnect: %w", err)
		}
	}
	return bind.NewSession(ctx, conn, bind.Config{Mode: p.mode, Capacity: p.opts.Statements, Descriptions: p.known})
}

func (p *Pool) disconnect(ctx context.Context, s *slot) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cancelGrace)
	defer cancel()
	_ = s.session.Conn().Close(ctx) // closed it is, whatever the server says
	s.session = nil
	p.forget(s)
}

// clean tells whether a connection can be used for somebody else.
func clean(s *bind.Session) bool {
	conn := s.Conn().PgConn()
	return !s.Spent() && !conn.IsClosed() && !conn.IsBusy() && conn.TxStatus() == 'I'
}
