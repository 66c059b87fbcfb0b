package pool

import (
	"container/list"
	"iter"
	"slices"
	"time"
)

const (
	// lookahead is how many tenants that wait are looked at to find one that the
	// free slot suits, and how many may pass another one for that. Each may once.
	lookahead = 8
	// patience is how long a tenant waits for a slot that suits it while another
	// is free. To work for a stranger costs a backend some milliseconds, and memory
	// that it never gives back. For the end of work that has taken as long already
	// it does not wait at all.
	patience = 2 * hope
	// hope is how long it waits for its home alone, while its second one is free.
	hope = 4 * time.Millisecond
)

// wish is what a tenant thinks of a free slot.
type wish int

const (
	no    wish = iota
	takes      // as it can wait no longer
	suits
)

// wish tells what a tenant that has waited so long thinks of a slot. Its home suits
// it, and a connection that knows it, and its second home once its home is too long
// in coming. It takes any slot when both are.
func (p *Pool) wish(s *slot, tenant string, candidates [2]int, waited time.Duration, now time.Time) wish {
	if candidates[0] == s.index || p.knows(s, tenant) {
		return suits
	}
	slow := p.slots[candidates[0]].slow(now)
	switch {
	case candidates[1] == s.index && (waited >= hope || slow):
		return suits
	case waited >= patience || slow && p.slots[candidates[1]].slow(now):
		return takes
	}
	return no
}

// due is when a tenant will next take a slot that it does not take now.
func (p *Pool) due(l *line, now time.Time) time.Time {
	since := l.waiters[0].since
	next := since.Add(patience)
	for _, t := range []time.Time{since.Add(hope), p.slots[l.candidates[0]].since.Add(patience), p.slots[l.candidates[1]].since.Add(patience)} {
		if t.After(now) && t.Before(next) {
			next = t
		}
	}
	return next
}

// queue holds who waits for a slot. Tenants take turns, however many wait for one
// of them; within a tenant the first comes first. A tenant that has all the slots
// that it may have has no turn, so that nobody looks at it, let alone waits for it.
// The queue is guarded by the pool's lock.
type queue struct {
	turns *list.List // of *line, whose turn is next in front
	lines map[string]*line
}

// line is who waits for one tenant. There is always somebody in it.
type line struct {
	tenant     string
	candidates [2]int
	limits     Limits        // as the last who joined knew them
	turn       *list.Element // nil while the tenant has none
	passed     int           // how often another tenant was preferred
	over       *waiter       // the last who could wait no longer and was passed for it
	waiters    []*waiter
}

// waiter waits for one slot. It gets one at most.
type waiter struct {
	tenant string
	since  time.Time
	slot   chan *slot // of capacity 1; closed when the pool is
}

func newQueue() *queue {
	return &queue{turns: list.New(), lines: make(map[string]*line)}
}

// add puts a waiter at the end of its tenant's line. A line that begins has no turn
// yet.
func (q *queue) add(tenant string, candidates [2]int, limits Limits) (*line, *waiter) {
	l, ok := q.lines[tenant]
	if !ok {
		l = &line{tenant: tenant, candidates: candidates}
		q.lines[tenant] = l
	}
	l.limits = limits
	w := &waiter{tenant: tenant, since: time.Now(), slot: make(chan *slot, 1)}
	l.waiters = append(l.waiters, w)
	return l, w
}

// setTurn gives a line a turn, after all others, or takes it away.
func (q *queue) setTurn(l *line, has bool) {
	switch {
	case has && l.turn == nil:
		l.turn = q.turns.PushBack(l)
	case !has && l.turn != nil:
		q.turns.Remove(l.turn)
		l.turn, l.passed = nil, 0
	}
}

// first is the line whose turn is next, nil if there is none.
func (q *queue) first() *line {
	if e := q.turns.Front(); e != nil {
		return e.Value.(*line)
	}
	return nil
}

// next are the lines whose turns come next.
func (q *queue) next() iter.Seq[*line] {
	return func(yield func(*line) bool) {
		for e, n := q.turns.Front(), 0; e != nil && n < lookahead && yield(e.Value.(*line)); e, n = e.Next(), n+1 {
		}
	}
}

// choose tells who gets a slot that is free: the tenant whose turn it is, or one
// soon after that the slot suits. Nil if nobody has a turn, or nobody whom it suits
// and who has lost patience.
func (q *queue) choose(wants func(*line) wish) *line {
	first := q.first()
	if first == nil {
		return nil
	}
	head, patient := first.waiters[0], wants(first) == no
	if first.passed >= lookahead && !patient {
		return first
	}
	for l := range q.next() {
		switch {
		case l.over == head, wants(l) != suits:
			continue
		case l != first && !patient:
			l.over = head
		}
		if l != first {
			first.passed++
		}
		return l
	}
	if patient {
		return nil
	}
	return first
}

// pop takes out the first of a line, whose turn that was.
func (q *queue) pop(l *line) *waiter {
	w := l.waiters[0]
	l.waiters = l.waiters[1:]
	l.passed = 0
	q.turns.MoveToBack(l.turn)
	q.tidy(l)
	return w
}

// remove takes a waiter out that does not wait any longer. It returns false if the
// waiter was given a slot already, or let go.
func (q *queue) remove(w *waiter) bool {
	l, ok := q.lines[w.tenant]
	if !ok {
		return false
	}
	i := slices.Index(l.waiters, w)
	if i < 0 {
		return false
	}
	l.waiters = slices.Delete(l.waiters, i, i+1)
	q.tidy(l)
	return true
}

// tidy drops a line in which nobody is left.
func (q *queue) tidy(l *line) {
	if len(l.waiters) == 0 {
		q.setTurn(l, false)
		delete(q.lines, l.tenant)
	}
}

// close lets go of all who wait.
func (q *queue) close() {
	for _, l := range q.lines {
		for _, w := range l.waiters {
			close(w.slot)
		}
	}
	*q = *newQueue()
}
