package pool

import (
	"fmt"
	"slices"
	"testing"
	"time"
)

// pull takes out who gets a free slot, nil if nobody does.
func (q *queue) pull(slot int) *waiter {
	p := bare(5)
	now := time.Now()
	wants := func(l *line) wish {
		return p.wish(p.slots[slot], l.tenant, l.candidates, now.Sub(l.waiters[0].since), now)
	}
	if l := q.choose(wants); l != nil {
		return q.pop(l)
	}
	return nil
}

// join puts a waiter in its line, which has a turn.
func (q *queue) join(tenant string, candidates [2]int) *waiter {
	l, w := q.add(tenant, candidates, Limits{})
	q.setTurn(l, true)
	return w
}

// order takes everybody out of a queue, always for the same slot, when nobody has
// patience any more.
func order(q *queue, slot int) []string {
	for _, l := range q.lines {
		for _, w := range l.waiters {
			w.since = w.since.Add(-2 * patience)
		}
	}
	var got []string
	for w := q.pull(slot); w != nil; w = q.pull(slot) {
		got = append(got, w.tenant)
	}
	return got
}

// A slot that suits nobody waits for those who do not want it yet.
func TestQueueIsPatient(t *testing.T) {
	t.Parallel()
	q := newQueue()
	stranger := q.join("stranger", [2]int{1, 2})
	if w := q.pull(0); w != nil {
		t.Error("a stranger got a slot before its patience was at an end")
	}
	friend := q.join("friend", [2]int{0, 3})
	if w := q.pull(0); w != friend {
		t.Error("who the slot suits did not get it")
	}
	stranger.since = stranger.since.Add(-2 * patience)
	if w := q.pull(0); w != stranger {
		t.Error("a stranger waits for ever")
	}
}

func TestQueueTakesTurns(t *testing.T) {
	t.Parallel()
	q := newQueue()
	for _, tenant := range []string{"noisy", "noisy", "noisy", "noisy", "quiet", "other", "other"} {
		q.join(tenant, [2]int{1, 2})
	}
	want := []string{"noisy", "quiet", "other", "noisy", "other", "noisy", "noisy"}
	if got := order(q, 0); !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if q.turns.Len() != 0 || len(q.lines) != 0 {
		t.Error("something is left in the queue")
	}
}

// Who knows the slot is preferred, but each once, and nobody is passed over for
// ever.
func TestQueuePrefersWhoKnowsTheSlot(t *testing.T) {
	t.Parallel()
	q := newQueue()
	q.join("stranger", [2]int{1, 2})
	for range 5 {
		q.join("friend", [2]int{0, 3})
		q.join("other friend", [2]int{0, 3})
	}
	got := order(q, 0)
	if !slices.Equal(got[:4], []string{"friend", "other friend", "stranger", "friend"}) {
		t.Errorf("got %v", got)
	}
	for i := range 2 * lookahead { // who knows the slot is too far back
		q.join(fmt.Sprint("stranger", i), [2]int{1, 2})
	}
	q.join("friend", [2]int{0, 3})
	if got := order(q, 0); got[0] != "stranger0" {
		t.Errorf("got %v", got)
	}
}

// New friends come all the time.
func TestQueuePassesNobodyForEver(t *testing.T) {
	t.Parallel()
	q := newQueue()
	stranger := q.join("stranger", [2]int{1, 2})
	stranger.since = stranger.since.Add(-2 * patience)
	for n := range 3 * lookahead {
		q.join(fmt.Sprint("friend", n), [2]int{0, 3})
		if w := q.pull(0); (w == stranger) != (n == lookahead) {
			t.Fatalf("turn %d is %s's", n, w.tenant)
		} else if w == stranger {
			return
		}
	}
}

// A line without a turn is passed over without a trace, and comes back at the end.
func TestQueueWithoutATurn(t *testing.T) {
	t.Parallel()
	q := newQueue()
	for _, tenant := range []string{"full", "full", "a", "b", "a"} {
		q.join(tenant, [2]int{1, 2})
	}
	full := q.lines["full"]
	q.setTurn(full, false)
	q.setTurn(full, false) // again
	if got := order(q, 0); !slices.Equal(got, []string{"a", "b", "a"}) {
		t.Errorf("without a turn of the full one: %v", got)
	}
	q.join("c", [2]int{1, 2})
	q.setTurn(full, true)
	if got := order(q, 0); !slices.Equal(got, []string{"c", "full", "full"}) {
		t.Errorf("with its turn again: %v", got)
	}
	gone := q.join("gone", [2]int{1, 2})
	q.setTurn(q.lines["gone"], false)
	if !q.remove(gone) || len(q.lines) != 0 || q.turns.Len() != 0 {
		t.Error("a line without a turn cannot be left")
	}
}

func TestQueueRemove(t *testing.T) {
	t.Parallel()
	q := newQueue()
	a, b := q.join("a", [2]int{}), q.join("a", [2]int{})
	if !q.remove(a) || q.remove(a) {
		t.Error("a waiter was not removed, or twice")
	}
	if w := q.pull(0); w != b || q.remove(b) {
		t.Error("the other waiter is not there, or still there after its turn")
	}
	c := q.join("c", [2]int{})
	q.close()
	if _, open := <-c.slot; open || q.turns.Len() != 0 || len(q.lines) != 0 {
		t.Error("closing did not let go of who waits")
	}
}
