package pool

import (
	"fmt"
	"slices"
	"testing"
)

// order takes everybody out of a queue, always for the same slot, when nobody has
// patience any more.
func order(q *queue, slot int) []string {
	for e := q.turns.Front(); e != nil; e = e.Next() {
		for _, w := range e.Value.(*line).waiters {
			w.since = w.since.Add(-2 * patience)
		}
	}
	var got []string
	for w := q.next(suits(slot)); w != nil; w = q.next(suits(slot)) {
		got = append(got, w.tenant)
	}
	return got
}

func suits(index int) func(string, [2]int) bool { return (&slot{index: index}).suits }

// A slot that suits nobody waits for those who do not want it yet.
func TestQueueIsPatient(t *testing.T) {
	t.Parallel()
	q := newQueue()
	stranger := q.add("stranger", [2]int{1, 2})
	if w := q.next(suits(0)); w != nil {
		t.Error("a stranger got a slot before its patience was at an end")
	}
	friend := q.add("friend", [2]int{0, 3})
	if w := q.next(suits(0)); w != friend {
		t.Error("who the slot suits did not get it")
	}
	stranger.since = stranger.since.Add(-2 * patience)
	if w := q.next(suits(0)); w != stranger {
		t.Error("a stranger waits for ever")
	}
}

func TestQueueTakesTurns(t *testing.T) {
	t.Parallel()
	q := newQueue()
	for _, tenant := range []string{"noisy", "noisy", "noisy", "noisy", "quiet", "other", "other"} {
		q.add(tenant, [2]int{1, 2})
	}
	want := []string{"noisy", "quiet", "other", "noisy", "other", "noisy", "noisy"}
	if got := order(q, 0); !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if q.turns.Len() != 0 || len(q.byTenant) != 0 {
		t.Error("something is left in the queue")
	}
}

// Who knows the slot is preferred, but nobody is passed over for ever.
func TestQueuePrefersWhoKnowsTheSlot(t *testing.T) {
	t.Parallel()
	q := newQueue()
	q.add("stranger", [2]int{1, 2})
	for range 3 * lookahead {
		q.add("friend", [2]int{0, 3})
	}
	got := order(q, 0)
	if got[0] != "friend" || slices.Index(got, "stranger") != lookahead {
		t.Errorf("got %v", got)
	}
	for i := range 2 * lookahead { // who knows the slot is too far back
		q.add(fmt.Sprint("stranger", i), [2]int{1, 2})
	}
	q.add("friend", [2]int{0, 3})
	if got := order(q, 0); got[0] != "stranger0" {
		t.Errorf("got %v", got)
	}
}

func TestQueueRemove(t *testing.T) {
	t.Parallel()
	q := newQueue()
	a, b := q.add("a", [2]int{}), q.add("a", [2]int{})
	if !q.remove(a) || q.remove(a) {
		t.Error("a waiter was not removed, or twice")
	}
	if w := q.next(suits(0)); w != b || q.remove(b) {
		t.Error("the other waiter is not there, or still there after its turn")
	}
	c := q.add("c", [2]int{})
	q.close()
	if _, open := <-c.slot; open || q.turns.Len() != 0 {
		t.Error("closing did not let go of who waits")
	}
}
