package pool

import (
	"container/list"
	"slices"
	"time"
)

const (
	// lookahead is how many tenants that wait are looked at to find one that the
	// free slot suits, and how often a tenant may be passed over for that.
	lookahead = 8
	// patience is how long a tenant waits for a slot that suits it while another
	// is free. To work for a stranger costs a backend about as long, and memory
	// that it never gives back.
	patience = 2 * time.Millisecond
)

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
	since  time.Time
	slot   chan *slot // of capacity 1; closed when the pool is
}

func newQueue() *queue {
	return &queue{turns: list.New(), byTenant: make(map[string]*list.Element)}
}

func (q *queue) add(tenant string, candidates [2]int) *waiter {
	w := &waiter{tenant: tenant, since: time.Now(), slot: make(chan *slot, 1)}
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
// soon after that the slot suits. Nil if nobody waits, or nobody whom it suits and
// who has lost patience.
func (q *queue) next(suits func(tenant string, candidates [2]int) bool) *waiter {
	e := q.choose(suits)
	if e == nil {
		return nil
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

func (q *queue) choose(suits func(tenant string, candidates [2]int) bool) *list.Element {
	first := q.turns.Front()
	if first == nil {
		return nil
	}
	head := first.Value.(*line)
	patient := time.Since(head.waiters[0].since) < patience
	if head.passed >= lookahead && !patient {
		return first
	}
	for e, n := first, 0; e != nil && n < lookahead; e, n = e.Next(), n+1 {
		if l := e.Value.(*line); suits(l.tenant, l.candidates) {
			if e != first {
				head.passed++
			}
			return e
		}
	}
	if patient {
		return nil
	}
	return first
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
