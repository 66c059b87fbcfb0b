package pool

import (
	"fmt"
	"slices"
	"testing"
)

// order takes everybody out of a queue, always for the same slot.
func order(q *queue, slot int) []string {
	var got []string
	for w := q.next(slot); w != nil; w = q.next(slot) {
		got = append(got, w.tenant)
	}
	return got
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
	if w := q.next(0); w != b || q.remove(b) {
		t.Error("the other waiter is not there, or still there after its turn")
	}
	c := q.add("c", [2]int{})
	q.close()
	if _, open := <-c.slot; open || q.turns.Len() != 0 {
		t.Error("closing did not let go of who waits")
	}
}
