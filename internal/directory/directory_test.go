package directory

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rowhouse/rowhouse/internal/catalog"
)

// source is a catalog that counts what it is asked.
type source struct {
	mu      sync.Mutex
	tenants map[Key]string // by key, their values; the id is that of the value
	asked   map[Key]int
	fail    error
	gate    chan struct{} // if not nil, a load waits here
	entered chan struct{} // if not nil, told when a load waits
}

func newSource(tenants map[Key]string) *source {
	return &source{tenants: tenants, asked: make(map[Key]int)}
}

func (s *source) load(ctx context.Context, key Key) (string, string, error) {
	s.mu.Lock()
	s.asked[key]++
	value, ok := s.tenants[key]
	fail, gate, entered := s.fail, s.gate, s.entered
	s.mu.Unlock()
	if entered != nil {
		entered <- struct{}{}
	}
	if gate != nil {
		<-gate
	}
	switch {
	case fail != nil:
		return "", "", fail
	case !ok:
		return "", "", fmt.Errorf("%w: %s", catalog.ErrNoTenant, key.Value)
	}
	return value, "id of " + value, ctx.Err()
}

func (s *source) set(key Key, value string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tenants[key] = value
}

func (s *source) count(key Key) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.asked[key]
}

var (
	byDomain = Key{ByDomain, "acme.example"}
	bySchema = Key{BySchema, "acme"}
	unknown  = Key{BySchema, "nobody"}
	noDomain = Key{ByDomain, "nobody.example"}
)

func acme() *source { return newSource(map[Key]string{byDomain: "acme", bySchema: "acme"}) }

// listening makes a directory that believes that it hears of all changes.
func listening(s *source) *Directory[string] {
	d := New(s.load)
	d.setListening(true)
	return d
}

func want(t testing.TB, d *Directory[string], key Key, value string, err error) {
	t.Helper()
	got, gotErr := d.Lookup(t.Context(), key)
	if got != value || !errors.Is(gotErr, err) {
		t.Errorf("%v: got %q, %v; want %q, %v", key, got, gotErr, value, err)
	}
}

// An answer is kept, also that there is no such tenant.
func TestAnswersAreKept(t *testing.T) {
	t.Parallel()
	s := acme()
	d := listening(s)
	for range 3 {
		want(t, d, byDomain, "acme", nil)
		want(t, d, bySchema, "acme", nil)
		want(t, d, unknown, "", catalog.ErrNoTenant)
	}
	for _, key := range []Key{byDomain, bySchema, unknown} {
		if n := s.count(key); n != 1 {
			t.Errorf("%v was loaded %d times", key, n)
		}
	}
}

// A failure is no answer.
func TestFailuresAreNotKept(t *testing.T) {
	t.Parallel()
	s := acme()
	d := listening(s)
	s.fail = errors.New("no connection")
	want(t, d, bySchema, "", s.fail)
	want(t, d, bySchema, "", s.fail)
	s.fail = nil
	want(t, d, bySchema, "acme", nil)
	if n := s.count(bySchema); n != 3 {
		t.Errorf("it was loaded %d times", n)
	}
}

// What is notified goes, and nothing else does.
func TestNotifications(t *testing.T) {
	t.Parallel()
	const other = "other.example"
	for payload, loaded := range map[string][]Key{
		"tenant id of acme":     {byDomain, bySchema, unknown},
		"tenant id of somebody": {unknown},
		"domain acme.example":   {byDomain},
		"domain nobody.example": {noDomain},
		"domain somebody":       {},
		"flush":                 {byDomain, bySchema, unknown, noDomain, {ByDomain, other}},
	} {
		s := acme()
		s.tenants[Key{ByDomain, other}] = "other"
		d := listening(s)
		keys := []Key{byDomain, bySchema, unknown, noDomain, {ByDomain, other}}
		for _, key := range keys {
			_, _ = d.Lookup(t.Context(), key)
		}
		d.notified(payload)
		again := make(map[Key]bool)
		for _, key := range loaded {
			again[key] = true
		}
		for _, key := range keys {
			_, _ = d.Lookup(t.Context(), key)
			if got := s.count(key) == 2; got != again[key] {
				t.Errorf("%q: %v was loaded again: %t", payload, key, got)
			}
		}
	}
}

func TestFlushAndForget(t *testing.T) {
	t.Parallel()
	for what, drop := range map[string]func(*Directory[string]){
		"flush":           (*Directory[string]).Flush,
		"forget":          func(d *Directory[string]) { d.Forget("id of acme") },
		"connection lost": func(d *Directory[string]) { d.setListening(false) },
		"connection made": func(d *Directory[string]) { d.setListening(true) },
	} {
		s := acme()
		d := listening(s)
		want(t, d, bySchema, "acme", nil)
		drop(d)
		want(t, d, bySchema, "acme", nil)
		if n := s.count(bySchema); n != 2 {
			t.Errorf("%s: it was loaded %d times", what, n)
		}
	}
}

// Of many that ask for the same at once one asks the catalog.
func TestOneLoadInFlight(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := acme()
		s.gate = make(chan struct{})
		d := listening(s)
		var wg sync.WaitGroup
		for range 50 {
			wg.Go(func() { want(t, d, bySchema, "acme", nil) })
		}
		synctest.Wait() // all of them are waiting
		close(s.gate)
		wg.Wait()
		if n := s.count(bySchema); n != 1 {
			t.Errorf("it was loaded %d times", n)
		}
	})
}

// One who gives up neither waits for the load nor ends it for the others.
func TestGivingUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := acme()
		s.gate = make(chan struct{})
		d := listening(s)
		reason := errors.New("went away")
		ctx, cancel := context.WithCancelCause(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() {
			if _, err := d.Lookup(ctx, bySchema); !errors.Is(err, reason) {
				t.Errorf("got %v, want %v", err, reason)
			}
		})
		synctest.Wait()
		wg.Go(func() { want(t, d, bySchema, "acme", nil) })
		cancel(reason)
		synctest.Wait()
		close(s.gate)
		wg.Wait()
		if n := s.count(bySchema); n != 1 {
			t.Errorf("it was loaded %d times", n)
		}
	})
}

// A load that a change overtook is not kept, and who asks after the change does
// not get its answer.
func TestOvertakenLoad(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := acme()
		s.gate, s.entered = make(chan struct{}), make(chan struct{}, 2)
		d := listening(s)
		var wg sync.WaitGroup
		wg.Go(func() { want(t, d, bySchema, "acme", nil) }) // asked before
		<-s.entered
		s.set(bySchema, "renamed")
		d.notified("tenant id of acme")
		wg.Go(func() { want(t, d, bySchema, "renamed", nil) })
		synctest.Wait()
		close(s.gate)
		wg.Wait()
		want(t, d, bySchema, "renamed", nil)
		if n := s.count(bySchema); n != 2 {
			t.Errorf("it was loaded %d times", n)
		}
	})
}

// Entries live long while changes are heard, and shortly while not. Time is the
// bubble's, which nobody waits for.
func TestLifetimes(t *testing.T) {
	t.Parallel()
	for heard, life := range map[bool]time.Duration{true: Lifetime, false: Blind} {
		synctest.Test(t, func(t *testing.T) {
			s := acme()
			d := New(s.load)
			d.setListening(heard)
			want(t, d, bySchema, "acme", nil)
			time.Sleep(life - time.Millisecond)
			want(t, d, bySchema, "acme", nil)
			if n := s.count(bySchema); n != 1 {
				t.Errorf("heard %t: it was loaded %d times before its time", heard, n)
			}
			time.Sleep(2 * time.Millisecond)
			want(t, d, bySchema, "acme", nil)
			if n := s.count(bySchema); n != 2 {
				t.Errorf("heard %t: it was loaded %d times after its time", heard, n)
			}
		})
	}
	if Blind > time.Second/2 {
		t.Errorf("blind entries live %s: a change would not be seen within a second", Blind)
	}
}

func TestBounded(t *testing.T) {
	t.Parallel()
	d := listening(acme())
	for i := range Capacity + 500 {
		_, _ = d.Lookup(t.Context(), Key{ByDomain, fmt.Sprint("nobody", i)})
	}
	want(t, d, bySchema, "acme", nil)
	if n := len(d.entries); n > Capacity {
		t.Errorf("%d entries are kept", n)
	}
	kept := 0
	for _, keys := range d.byID {
		kept += len(keys)
	}
	if kept != len(d.entries) {
		t.Errorf("%d entries, %d of them by id", len(d.entries), kept)
	}
}
