package pool

import (
	"container/list"
	"slices"
)

// lookahead is how many tenants that wait are looked at to find one that the free
// slot knows, and how often a tenant may be passed over for that.
const lookahead = 8

// queue holds who waits for a slot. Tenants take turns, however many wait for one
// of them; within a tenant the first comes first. It is guarded by the pool's lock.
type queue struct {
	turns    *list.List // of *line, whose turn is next in front
	byTenant map[string]*list.Element
}

// line is who waits for one tenant.
type line struct {
	tenant     string
	candidates [2]int
	passed     int // how often another tenant was preferred
	waiters    []*waiter
}

// waiter waits for one slot. It gets one at most.
type waiter struct {
	tenant string
	slot   chan *slot // of capacity 1; closed when the pool is
}

func newQueue() *queue {
	return &queue{turns: list.New(), byTenant: make(map[string]*list.Element)}
}

func (q *queue) add(tenant string, candidates [2]int) *waiter {
	w := &waiter{tenant: tenant, slot: make(chan *slot, 1)}
	e, ok := q.byTenant[tenant]
	if !ok {
		e = q.turns.PushBack(&line{tenant: tenant, candidates: candidates})
		q.byTenant[tenant] = e
	}
	l := e.Value.(*line)
	l.waiters = append(l.waiters, w)
	return w
}

// next takes out who gets a slot that is free: the tenant whose turn it is, or one
// soon after that the slot knows. Nil if nobody waits.
func (q *queue) next(slot int) *waiter {
	e := q.turns.Front()
	if e == nil {
		return nil
	}
	if e.Value.(*line).passed < lookahead {
		for other, n := e, 0; other != nil && n < lookahead; other, n = other.Next(), n+1 {
			if slices.Contains(other.Value.(*line).candidates[:], slot) {
				if other != e {
					e.Value.(*line).passed++
				}
				e = other
				break
			}
		}
	}
	l := e.Value.(*line)
	w := l.waiters[0]
	l.waiters = l.waiters[1:]
	l.passed = 0
	q.turns.MoveToBack(e)
	if len(l.waiters) == 0 {
		q.drop(e)
	}
	return w
}

// remove takes a waiter out that does not want to wait any longer. It returns
// false if the waiter was given a slot already.
func (q *queue) remove(w *waiter) bool {
	e, ok := q.byTenant[w.tenant]
	if !ok {
		return false
	}
	l := e.Value.(*line)
	i := slices.Index(l.waiters, w)
	if i < 0 {
		return false
	}
	l.waiters = slices.Delete(l.waiters, i, i+1)
	if len(l.waiters) == 0 {
		q.drop(e)
	}
	return true
}

func (q *queue) drop(e *list.Element) {
	q.turns.Remove(e)
	delete(q.byTenant, e.Value.(*line).tenant)
}

// close lets go of all who wait.
func (q *queue) close() {
	for e := q.turns.Front(); e != nil; e = e.Next() {
		for _, w := range e.Value.(*line).waiters {
			close(w.slot)
		}
	}
	*q = *newQueue()
}
