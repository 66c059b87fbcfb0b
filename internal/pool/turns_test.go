package pool

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// street is a pool of slots without connections, in which slots are taken and
// given back as work would. It lives in a bubble of synctest, whose clock moves only
// when everybody waits.
type street struct {
	*Pool
	t *testing.T

	under sync.WaitGroup // work that is under way

	mu     sync.Mutex
	served []string // in order
	failed map[string][]error
}

func inStreet(t *testing.T, slots int, test func(s *street)) {
	synctest.Test(t, func(t *testing.T) {
		s := &street{Pool: bare(slots), t: t, failed: make(map[string][]error)}
		test(s)
		s.under.Wait()
		s.wantEmpty()
	})
}

func bare(slots int) *Pool {
	p := &Pool{}
	p.build(slots)
	return p
}

// work takes a slot in a goroutine, and gives it back when the time is over.
func (s *street) work(ctx context.Context, tenant string, limits Limits, takes time.Duration) {
	s.t.Helper()
	s.under.Go(func() {
		slot, err := s.take(ctx, tenant, limits)
		s.mu.Lock()
		if err != nil {
			s.failed[tenant] = append(s.failed[tenant], err)
		} else {
			s.served = append(s.served, tenant)
		}
		s.mu.Unlock()
		if err == nil {
			time.Sleep(takes)
			s.give(slot)
		}
	})
	synctest.Wait()
}

// pass lets time pass, and what happens then happen.
func (s *street) pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// refused are the errors that a tenant got.
func (s *street) refused(tenant string) []error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.failed[tenant]
}

// count is how often a tenant was served.
func (s *street) count(tenant string) (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, name := range s.served {
		if name == tenant {
			n++
		}
	}
	return n
}

func (s *street) wantEmpty() {
	s.t.Helper()
	if st := s.Stat(); st.InUse != 0 || st.Waiting != 0 || s.free != st.Size || s.waiting.turns.Len() != 0 {
		s.t.Errorf("afterwards: %+v, %d free, %d with a turn", st, s.free, s.waiting.turns.Len())
	}
}

// A tenant at its limit has many waiting; others have what is left at once.
func TestTenantAtItsLimitStopsNobody(t *testing.T) {
	t.Parallel()
	inStreet(t, 4, func(s *street) {
		for range 50 {
			s.work(s.t.Context(), "noisy", Limits{Connections: 2}, time.Second)
		}
		s.pass(patience)
		if st := s.Stat(); st.InUse != 2 || st.Waiting != 48 || st.AtLimit != 48 {
			t.Fatalf("noisy has %+v", st)
		}
		start := time.Now()
		for i := range 20 {
			slot, err := s.take(s.t.Context(), fmt.Sprint("quiet", i), Limits{Connections: 1})
			if err != nil {
				t.Fatal(err)
			}
			s.give(slot)
		}
		if waited := time.Since(start); waited > 20*patience { // for a slot that suits, no more
			t.Errorf("quiet waited for %v", waited)
		}
		s.pass(25 * time.Second)
		if n := s.count("noisy"); n != 50 {
			t.Errorf("noisy was served %d times in 25 s", n)
		}
	})
}

// All slots are full of tenants at their limits; whoever comes has the next one.
func TestTenantsAtTheirLimitsHaveNoTurn(t *testing.T) {
	t.Parallel()
	for range 10 { // candidates are random
		inStreet(t, 8, wantNoTurnAtLimits)
	}
}

func wantNoTurnAtLimits(s *street) {
	for n := range 20 {
		for i := range 8 {
			s.work(s.t.Context(), fmt.Sprint("busy", i), Limits{Connections: 1}, time.Second+time.Duration(n+i)*time.Millisecond)
		}
	}
	s.work(s.t.Context(), "quiet", Limits{}, 0)
	s.pass(time.Second)
	if s.count("quiet") != 1 {
		s.t.Errorf("quiet waits behind tenants at their limits: %v", s.served)
	}
	s.pass(time.Minute)
}

// When a tenant's own work ends, the next of its own begins, in the order in which
// it came.
func TestOrderWithinATenant(t *testing.T) {
	t.Parallel()
	inStreet(t, 3, func(s *street) {
		began := make([]time.Time, 30)
		for i := range began {
			s.under.Go(func() {
				slot, err := s.take(s.t.Context(), "acme", Limits{Connections: 1 + i%2})
				if err != nil {
					t.Error(err)
					return
				}
				began[i] = time.Now() // who begins at the same time as another may come before it
				time.Sleep(time.Duration(1+i%3) * time.Millisecond)
				s.give(slot)
			})
			synctest.Wait()
		}
		s.pass(time.Second)
		if began[0].IsZero() || !slices.IsSortedFunc(began, time.Time.Compare) {
			t.Errorf("served at %v", began)
		}
	})
}

func TestWaitingIsLimited(t *testing.T) {
	t.Parallel()
	inStreet(t, 2, func(s *street) {
		limits := Limits{Connections: 1, Waiting: 2}
		for range 5 {
			s.work(s.t.Context(), "acme", limits, time.Second)
		}
		if failed := s.refused("acme"); len(failed) != 2 || !errors.Is(failed[0], ErrWaiting) {
			t.Fatalf("two of five are refused at once: %v", failed)
		}
		s.work(s.t.Context(), "beta", limits, time.Second)
		s.pass(patience) // acme may be in its home
		if s.count("beta") != 1 {
			t.Error("the limit of one is another's")
		}
		s.pass(time.Second + time.Millisecond)
		s.work(s.t.Context(), "acme", limits, 0)
		s.pass(3 * time.Second)
		if st := s.Stat(); s.count("acme") != 4 || st.RefusedWaiting != 2 || st.RefusedWait != 0 {
			t.Errorf("acme was served %d times: %+v", s.count("acme"), st)
		}
	})
}

// Nobody is refused while there is a slot for it, though it may be waiting for one
// that suits it better.
func TestNobodyIsRefusedWithoutNeed(t *testing.T) {
	t.Parallel()
	inStreet(t, 10, func(s *street) {
		for range 10 {
			s.work(s.t.Context(), "acme", Limits{Connections: 10, Waiting: 1}, time.Second)
		}
		s.pass(patience)
		for range 5 {
			s.work(s.t.Context(), "beta", Limits{Wait: time.Nanosecond}, 0)
		}
		if st := s.Stat(); s.count("acme") != 10 || st.InUse != 10 || len(s.refused("acme")) != 0 {
			t.Errorf("acme has %d of 10 free slots: %+v", s.count("acme"), st)
		}
		s.pass(time.Second)
		if n := len(s.refused("beta")); n != 5 {
			t.Errorf("%d of 5 were refused when there was nothing", n)
		}
		for range 10 {
			s.work(s.t.Context(), "gamma", Limits{Wait: time.Nanosecond}, time.Second)
		}
		s.pass(time.Second)
		if s.count("gamma") != 10 {
			t.Errorf("gamma had %d of 10 free slots: %v", s.count("gamma"), s.refused("gamma"))
		}
	})
}

func TestWaitIsLimited(t *testing.T) {
	t.Parallel()
	inStreet(t, 1, func(s *street) {
		s.work(s.t.Context(), "other", Limits{}, time.Second)
		start := time.Now()
		_, err := s.take(s.t.Context(), "acme", Limits{Wait: 300 * time.Millisecond})
		if waited := time.Since(start); !errors.Is(err, ErrWait) || waited != 300*time.Millisecond {
			t.Errorf("after %v: %v", waited, err)
		}
		ctx, cancel := context.WithTimeout(s.t.Context(), 100*time.Millisecond)
		defer cancel()
		if _, err = s.take(ctx, "acme", Limits{Wait: 300 * time.Millisecond}); !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, ErrWait) {
			t.Errorf("a context that ended: %v", err)
		}
		s.work(s.t.Context(), "acme", Limits{Wait: 600*time.Millisecond + time.Nanosecond}, 0)
		s.pass(time.Second)
		if st := s.Stat(); s.count("acme") != 1 || st.RefusedWait != 1 || st.RefusedWaiting != 0 {
			t.Errorf("acme was served %d times: %+v", s.count("acme"), st)
		}
	})
}

// The limits of who comes last count for the whole line.
func TestLimitsChangeWhileWaiting(t *testing.T) {
	t.Parallel()
	inStreet(t, 6, func(s *street) {
		for range 10 {
			s.work(s.t.Context(), "acme", Limits{Connections: 1}, 10*time.Second)
		}
		s.work(s.t.Context(), "acme", Limits{Connections: 4}, 10*time.Second)
		s.pass(2 * patience)
		if st := s.Stat(); st.InUse != 4 {
			t.Errorf("after raising the limit to 4: %+v", st)
		}
		s.work(s.t.Context(), "acme", Limits{Connections: 2}, 10*time.Second)
		s.pass(15 * time.Second) // four have ended
		if st := s.Stat(); st.InUse != 2 || st.AtLimit != st.Waiting {
			t.Errorf("after lowering the limit to 2: %+v", st)
		}
		s.work(s.t.Context(), "acme", Limits{}, 10*time.Second)
		s.pass(2 * patience)
		if st := s.Stat(); st.InUse != 6 || st.AtLimit != 0 {
			t.Errorf("after taking the limit away: %+v", st)
		}
		s.pass(time.Minute)
		if n := s.count("acme"); n != 13 {
			t.Errorf("served %d of 13", n)
		}
	})
}

// Who waits at its limit is let go when the pool is closed.
func TestCloseWithLimits(t *testing.T) {
	t.Parallel()
	inStreet(t, 3, func(s *street) {
		for range 5 {
			s.work(s.t.Context(), "acme", Limits{Connections: 1, Wait: time.Minute}, time.Second)
		}
		s.Pool.mu.Lock()
		s.closed = true
		s.waiting.close()
		s.Pool.mu.Unlock()
		synctest.Wait()
		if failed := s.refused("acme"); len(failed) != 4 || !errors.Is(failed[3], ErrClosed) {
			t.Errorf("who waited got %v", failed)
		}
		if _, err := s.take(s.t.Context(), "acme", Limits{Connections: 1}); !errors.Is(err, ErrClosed) {
			t.Errorf("after closing: %v", err)
		}
		s.pass(time.Second)
	})
}

// Work without limits allocates nothing for them, and neither does work within
// them.
func TestTakingAllocatesNothing(t *testing.T) {
	p := bare(16)
	for _, limits := range []Limits{{}, {Connections: 4, Waiting: 100, Wait: time.Second}} {
		allocs := testing.AllocsPerRun(100, func() {
			s, err := p.take(context.Background(), "acme", limits)
			if err != nil {
				t.Fatal(err)
			}
			p.give(s)
		})
		if allocs != 0 {
			t.Errorf("%+v: %v allocations", limits, allocs)
		}
	}
}

func BenchmarkTake(b *testing.B) {
	for _, limits := range []Limits{{}, {Connections: 4}} {
		for _, slots := range []int{10, 100} {
			b.Run(fmt.Sprintf("slots=%d/connections=%d", slots, limits.Connections), func(b *testing.B) {
				p := bare(slots)
				for b.Loop() {
					s, err := p.take(context.Background(), "acme", limits)
					if err != nil {
						b.Fatal(err)
					}
					p.give(s)
				}
			})
		}
	}
}

// town is a random load: tenants, their limits, and requests that come, wait, give
// up and end at any time.
type town struct {
	*street
	rnd     *rand.Rand
	tenants map[string]Limits
	holding map[string]int
}

func newTown(s *street, seed uint64) *town {
	c := &town{street: s, rnd: rand.New(rand.NewPCG(seed, 1)), tenants: make(map[string]Limits), holding: make(map[string]int)}
	for i := range 1 + c.rnd.IntN(12) {
		var l Limits
		if c.rnd.IntN(3) > 0 {
			l.Connections = 1 + c.rnd.IntN(4)
		}
		if c.rnd.IntN(3) == 0 {
			l.Waiting = 1 + c.rnd.IntN(4)
		}
		if c.rnd.IntN(3) == 0 {
			l.Wait = time.Duration(1+c.rnd.IntN(20_000)) * time.Microsecond
		}
		c.tenants[fmt.Sprint(i)] = l
	}
	return c
}

// request is one unit of work of some tenant.
func (c *town) request(ctx context.Context, tenant string, patience, takes time.Duration) {
	limits := c.tenants[tenant]
	if patience > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, patience)
		defer cancel()
	}
	slot, err := c.take(ctx, tenant, limits)
	switch {
	case errors.Is(err, ErrWaiting) && limits.Waiting > 0, errors.Is(err, ErrWait) && limits.Wait > 0,
		errors.Is(err, context.DeadlineExceeded) && patience > 0:
		return
	case err != nil:
		c.t.Errorf("tenant %s with %+v: %v", tenant, limits, err)
		return
	}
	c.mu.Lock()
	c.holding[tenant]++
	if held := c.holding[tenant]; limits.Connections > 0 && held > limits.Connections {
		c.t.Errorf("tenant %s holds %d of %d", tenant, held, limits.Connections)
	}
	c.mu.Unlock()
	time.Sleep(takes)
	c.mu.Lock()
	c.holding[tenant]--
	c.mu.Unlock()
	c.give(slot)
}

// inspect is called when everybody waits: what is not at rest now is forgotten.
func (c *town) inspect() {
	p := c.Pool
	p.mu.Lock()
	defer p.mu.Unlock()
	free := 0
	for _, s := range p.slots {
		if !s.busy {
			free++
		}
	}
	if free != p.free {
		c.t.Errorf("%d slots are free, %d are counted", free, p.free)
	}
	for _, l := range p.waiting.lines {
		switch {
		case len(l.waiters) == 0:
			c.t.Errorf("tenant %s has an empty line", l.tenant)
		case (l.turn != nil) != p.admits(l.tenant, l.limits):
			c.t.Errorf("tenant %s with %+v has a turn: %t", l.tenant, l.limits, l.turn != nil)
		case l.turn != nil && free > 0 && time.Since(p.waiting.first().waiters[0].since) > patience:
			c.t.Errorf("tenant %s waits although %d slots are free", l.tenant, free)
		}
		if limit := l.limits.Waiting; limit > 0 && len(l.waiters) > limit {
			c.t.Errorf("%d wait for tenant %s, which may have %d", len(l.waiters), l.tenant, limit)
		}
	}
}

// run sends requests for a while, then waits for the last ones.
func (c *town) run(ctx context.Context, requests int) {
	for range requests {
		tenant := fmt.Sprint(c.rnd.IntN(len(c.tenants)))
		patience := time.Duration(max(0, c.rnd.IntN(60)-30)) * time.Millisecond
		takes := time.Duration(c.rnd.IntN(10_000)) * time.Microsecond
		c.under.Go(func() { c.request(ctx, tenant, patience, takes) })
		if c.rnd.IntN(4) == 0 {
			time.Sleep(time.Duration(c.rnd.IntN(8_000)) * time.Microsecond)
		}
		synctest.Wait()
		c.inspect()
	}
	for c.Stat().InUse > 0 || c.Stat().Waiting > 0 {
		time.Sleep(time.Millisecond)
		synctest.Wait()
		c.inspect()
	}
}

// Whatever comes: nobody holds more than it may, no slot is lost, nobody who waits
// is forgotten, and no slot stays free that somebody could have.
func TestRandomLimits(t *testing.T) {
	t.Parallel()
	for seed := range uint64(40) {
		inStreet(t, 1+int(seed%7), func(s *street) { newTown(s, seed).run(s.t.Context(), 200) })
	}
}

func FuzzLimits(f *testing.F) {
	f.Add(uint64(1), uint8(1), uint8(50))
	f.Add(uint64(77), uint8(9), uint8(200))
	f.Fuzz(func(t *testing.T, seed uint64, slots, requests uint8) {
		inStreet(t, 1+int(slots%16), func(s *street) { newTown(s, seed).run(s.t.Context(), int(requests)) })
	})
}

// The same without the bubble, where everything happens at once.
func TestGivingUpAtLimitsLosesNothing(t *testing.T) {
	t.Parallel()
	p := bare(4)
	var wg sync.WaitGroup
	for i := range 24 {
		tenant, limits := fmt.Sprint(i%6), Limits{Connections: i % 3, Waiting: i % 4, Wait: time.Duration(i%5) * 20 * time.Microsecond}
		wg.Go(func() {
			for n := range 500 {
				ctx, cancel := context.WithTimeout(t.Context(), time.Duration(n%11)*20*time.Microsecond)
				if s, err := p.take(ctx, tenant, limits); err == nil {
					p.give(s)
				}
				cancel()
			}
		})
	}
	wg.Wait()
	if st := p.Stat(); st.InUse != 0 || st.Waiting != 0 || p.free != 4 {
		t.Errorf("afterwards: %+v, %d free", st, p.free)
	}
	for range 4 {
		if _, err := p.take(t.Context(), "last", Limits{}); err != nil {
			t.Error(err)
		}
	}
}
