package pool

import (
	"context"
	"errors"
	"time"
)

// Limits are what a tenant may have of the pool. Zero means no limit.
type Limits struct {
	// Connections is how many slots it may hold at once.
	Connections int
	// Waiting is how many may wait for it.
	Waiting int
	// Wait is how long each of them may.
	Wait time.Duration
}

var (
	// ErrWaiting: as many wait for the tenant as [Limits.Waiting] allows.
	ErrWaiting = errors.New("too many requests of the tenant wait for a connection")
	// ErrWait: the wait took longer than [Limits.Wait].
	ErrWait = errors.New("no connection for the tenant came in time")
)

// take gets hold of a slot, waiting if there is none for the tenant.
func (p *Pool) take(ctx context.Context, tenant string, limits Limits) (*slot, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	s, w, err := p.enter(tenant, limits)
	if w == nil {
		return s, err
	}
	return p.wait(ctx, w, limits.Wait)
}

// enter gets a slot, or a place in the tenant's line. Who comes later than the line
// stands at its end, whatever is free.
func (p *Pool) enter(tenant string, limits Limits) (*slot, *waiter, error) {
	candidates := p.candidates(tenant)
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil, nil, ErrClosed
	}
	l := p.waiting.lines[tenant]
	if l == nil && p.admits(tenant, limits) {
		if s := p.pick(tenant, candidates); s != nil {
			p.hold(s, tenant)
			return s, nil, nil
		}
	}
	if l != nil && limits.Waiting > 0 && len(l.waiters) >= limits.Waiting && !p.relieve(l, limits) {
		p.refusedWaiting++
		return nil, nil, ErrWaiting
	}
	l, w := p.waiting.add(tenant, candidates, limits)
	p.review(l)
	p.settle()
	return nil, w, nil
}

// relieve shortens a line that is too long if that is for patience only: the tenant
// may have a slot, and one is free.
func (p *Pool) relieve(l *line, limits Limits) bool {
	l.limits = limits
	p.review(l)
	if s := p.anyFree(); s != nil && l.turn != nil {
		p.hand(s, l)
	}
	return len(l.waiters) < limits.Waiting
}

// wait waits for a slot. most is how long, 0 as long as the context.
func (p *Pool) wait(ctx context.Context, w *waiter, most time.Duration) (*slot, error) {
	var late <-chan time.Time
	if most > 0 {
		timer := time.NewTimer(most)
		defer timer.Stop()
		late = timer.C
	}
	select {
	case s, ok := <-w.slot:
		if !ok {
			return nil, ErrClosed
		}
		return s, nil
	case <-late:
		return p.expire(w)
	case <-ctx.Done():
		p.abandon(w)
		return nil, ctx.Err()
	}
}

// expire ends a wait that took too long. A slot that is there after all is taken.
func (p *Pool) expire(w *waiter) (*slot, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	l := p.waiting.lines[w.tenant]
	if !p.waiting.remove(w) {
		s, ok := <-w.slot // sent or closed under the lock
		if !ok {
			return nil, ErrClosed
		}
		return s, nil
	}
	defer p.settle()
	if s := p.anyFree(); s != nil && p.admits(l.tenant, l.limits) {
		p.hold(s, w.tenant)
		p.review(l)
		return s, nil
	}
	p.refusedWait++
	return nil, ErrWait
}

// abandon ends a wait whose context has ended. A slot that came at the same time is
// passed on.
func (p *Pool) abandon(w *waiter) {
	p.mu.Lock()
	removed := p.waiting.remove(w)
	if removed {
		p.settle()
	}
	p.mu.Unlock()
	if removed {
		return
	}
	if s, ok := <-w.slot; ok {
		p.give(s)
	}
}

// admits tells whether a tenant may have another slot. The slots are counted each
// time: there are few, and what is not kept cannot go wrong.
func (p *Pool) admits(tenant string, limits Limits) bool {
	if limits.Connections <= 0 {
		return true
	}
	held := 0
	for _, s := range p.slots {
		if s.busy && s.tenant == tenant {
			held++
		}
	}
	return held < limits.Connections
}

// review gives a line a turn if its tenant may have another slot, else takes it
// away.
func (p *Pool) review(l *line) {
	if len(l.waiters) > 0 {
		p.waiting.setTurn(l, p.admits(l.tenant, l.limits))
	}
}

// hold makes a slot busy for a tenant.
func (p *Pool) hold(s *slot, tenant string) {
	s.busy, s.tenant, s.since = true, tenant, time.Now()
	p.free--
}

// hand gives a free slot to the first of a line.
func (p *Pool) hand(s *slot, l *line) {
	w := p.waiting.pop(l)
	p.hold(s, l.tenant)
	p.review(l)
	w.slot <- s
}

// give makes a slot free and passes it to who waits. A tenant whose limit kept it
// from its turn comes after those that had one, though the slot suits it best.
func (p *Pool) give(s *slot) {
	p.mu.Lock()
	defer p.mu.Unlock()
	before := s.tenant
	s.busy, s.tenant = false, ""
	p.free++
	p.offer(s)
	if l := p.waiting.lines[before]; l != nil {
		p.review(l) // it may have another now
	}
	if !s.busy {
		p.offer(s)
	}
	p.settle()
	if p.closed {
		p.drained.Broadcast()
	}
}

// offer gives a free slot to who takes it.
func (p *Pool) offer(s *slot) {
	now := time.Now()
	wants := func(l *line) wish { return p.wish(s, l.tenant, l.candidates, now.Sub(l.waiters[0].since), now) }
	if l := p.waiting.choose(wants); l != nil {
		p.hand(s, l)
	}
}

// anyFree is a free slot, if possible one with a connection.
func (p *Pool) anyFree() *slot {
	var found *slot
	if p.free == 0 {
		return nil
	}
	for _, s := range p.slots {
		if !s.busy && (found == nil || found.session == nil) {
			found = s
		}
	}
	return found
}

// settle is called after each change. While a slot is free and somebody has a turn,
// it gives slots to those whom they suit or who have lost patience; to the others
// it comes back when the next one would take another.
func (p *Pool) settle() {
	for p.free > 0 && p.waiting.first() != nil {
		if p.serveFree() {
			continue
		}
		now := time.Now()
		for l := range p.waiting.next() {
			due := p.due(l, now)
			if due.After(now) && (p.alarm.IsZero() || due.Before(p.alarm)) {
				p.alarm = due
				p.impatient.Reset(due.Sub(now))
			}
		}
		return
	}
}

// lostPatience is called when somebody who has a turn has waited long enough to
// take any slot.
func (p *Pool) lostPatience() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.alarm = time.Time{}
	p.settle()
}

// serveFree gives free slots to those who take them, and tells whether anybody did.
func (p *Pool) serveFree() (served bool) {
	for _, connected := range []bool{true, false} { // a connection is there sooner than a new one
		for _, s := range p.slots {
			if s.busy || (s.session != nil) != connected {
				continue
			}
			p.offer(s)
			served = served || s.busy
		}
	}
	return served
}
