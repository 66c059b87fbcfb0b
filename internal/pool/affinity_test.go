package pool_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/rowhouse/rowhouse/internal/bind"
	"github.com/rowhouse/rowhouse/internal/pgtest"
	"github.com/rowhouse/rowhouse/internal/pool"
)

// acquire takes a connection for a tenant and fails the test if it cannot.
func acquire(t testing.TB, p *pool.Pool, tenant string) (*bind.Session, func()) {
	t.Helper()
	s, release, err := p.Acquire(t.Context(), tenant, pool.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	return s, release
}

// pid is the backend that works for a tenant when nothing else is going on.
func pid(t testing.TB, p *pool.Pool, tenant string) uint32 {
	t.Helper()
	s, release := acquire(t, p, tenant)
	defer release()
	return s.Conn().PgConn().PID()
}

func TestTenantsStayWithTheirConnections(t *testing.T) {
	t.Parallel()
	p := open(t, pool.Options{URL: pgtest.Database(t), MaxConns: 6})
	pids := make(map[uint32]bool)
	for i := range 40 {
		tenant := fmt.Sprint("tenant", i)
		first := pid(t, p, tenant)
		pids[first] = true
		for range 3 {
			if again := pid(t, p, tenant); again != first {
				t.Fatalf("%s went from backend %d to %d although both were free", tenant, first, again)
			}
		}
		s, release := acquire(t, p, tenant) // the first is busy now
		second := pid(t, p, tenant)
		if s.Conn().PgConn().PID() != first || second == first || pid(t, p, tenant) != second {
			t.Fatalf("%s has no second connection to go to", tenant)
		}
		release()
	}
	if len(pids) != 6 {
		t.Errorf("40 tenants use %d of 6 connections", len(pids))
	}
}

// Nobody waits while a connection is free, whoever it knows.
func TestNobodyWaitsWithoutNeed(t *testing.T) {
	t.Parallel()
	p := open(t, pool.Options{URL: pgtest.Database(t), MaxConns: 5})
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	var releases []func()
	for range 5 {
		_, release, err := p.Acquire(ctx, "acme", pool.Limits{})
		if err != nil {
			t.Fatal(err)
		}
		releases = append(releases, release)
	}
	short, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, _, err := p.Acquire(short, "acme", pool.Limits{}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a sixth connection of five: %v", err)
	}
	for _, release := range releases {
		release()
	}
	bound(t, p)
}

// One tenant's many requests do not keep another's waiting.
func TestTenantsTakeTurns(t *testing.T) {
	t.Parallel()
	p := open(t, pool.Options{URL: pgtest.Database(t), MaxConns: 1})
	_, hold := acquire(t, p, "noisy")
	var mu sync.Mutex
	var served []string
	var wg sync.WaitGroup
	wait := func(tenant string, waiting int) {
		wg.Go(func() {
			_, release := acquire(t, p, tenant)
			mu.Lock()
			served = append(served, tenant)
			mu.Unlock()
			release()
		})
		awaitWaiting(t, p, waiting)
	}
	for i := range 20 {
		wait("noisy", i+1)
	}
	wait("quiet", 21)
	hold()
	wg.Wait()
	if len(served) != 21 || served[0] != "quiet" && served[1] != "quiet" {
		t.Errorf("served %v", served)
	}
}

func awaitWaiting(t testing.TB, p *pool.Pool, n int) {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for p.Stat().Waiting != n {
		if time.Now().After(deadline) {
			t.Fatalf("%d wait, want %d", p.Stat().Waiting, n)
		}
	}
}

// Waits that are given up, at the moment at which a connection comes as well, lose
// nothing.
func TestGivingUpLosesNothing(t *testing.T) {
	t.Parallel()
	p := open(t, pool.Options{URL: pgtest.Database(t), MaxConns: 2})
	var wg sync.WaitGroup
	for i := range 16 {
		wg.Go(func() {
			for n := range 200 {
				ctx, cancel := context.WithTimeout(t.Context(), time.Duration(n%7)*50*time.Microsecond)
				_, release, err := p.Acquire(ctx, fmt.Sprint(i%5), pool.Limits{})
				if err == nil {
					release()
				}
				cancel()
			}
		})
	}
	wg.Wait()
	if st := p.Stat(); st.Waiting != 0 || st.InUse != 0 {
		t.Errorf("afterwards: %+v", st)
	}
	_, first := acquire(t, p, "a")
	_, second := acquire(t, p, "b")
	first()
	second()
}

// A connection is replaced when it has worked for enough tenants, before the next.
func TestConnectionsAreReplaced(t *testing.T) {
	t.Parallel()
	server := pgtest.Database(t)
	p := open(t, pool.Options{URL: server, MaxConns: 1, TenantsPerConn: 3})
	first := pid(t, p, "a")
	for _, tenant := range []string{"b", "c", "a", "b", "c"} {
		if got := pid(t, p, tenant); got != first {
			t.Fatalf("replaced at the third tenant")
		}
	}
	if got := pid(t, p, "d"); got == first {
		t.Error("not replaced at the fourth tenant")
	}
	if n := p.Stat().Replaced; n != 1 {
		t.Errorf("counted %d replacements", n)
	}
	young := open(t, pool.Options{URL: with(t, server, "pool_max_conn_lifetime", "1ns"), MaxConns: 1})
	if first := pid(t, young, "a"); pid(t, young, "a") == first {
		t.Error("an old connection was not replaced")
	}
}

func TestIdleConnectionsAreClosed(t *testing.T) {
	t.Parallel()
	p := open(t, pool.Options{URL: with(t, pgtest.Database(t), "pool_max_conn_idle_time", "10ms"), MaxConns: 2})
	bound(t, p)
	deadline := time.Now().Add(20 * time.Second)
	for p.Stat().Idle != 0 {
		if time.Now().After(deadline) {
			t.Fatalf("still open: %+v", p.Stat())
		}
	}
	bound(t, p)
}

// A connection that the server closed meanwhile is noticed by the next unit of
// work after a pause, and by its own at the latest.
func TestServerClosesConnections(t *testing.T) {
	t.Parallel()
	server := pgtest.Database(t)
	p := open(t, pool.Options{URL: server, MaxConns: 1})
	victim := pid(t, p, "t")
	conn, err := pgx.Connect(t.Context(), server)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	if _, err := conn.Exec(t.Context(), `SELECT pg_terminate_backend($1, 10000)`, victim); err != nil {
		t.Fatal(err)
	}
	s, release := acquire(t, p, "t")
	_, err = s.Query(t.Context(), bind.Prelude{}, `SELECT 1`, nil)
	release()
	if err == nil && s.Conn().PgConn().PID() == victim {
		t.Error("a closed connection answered")
	}
	bound(t, p)
}

func TestClose(t *testing.T) {
	t.Parallel()
	p := open(t, pool.Options{URL: pgtest.Database(t), MaxConns: 1})
	_, release := acquire(t, p, "a")
	waited := make(chan error)
	go func() {
		_, _, err := p.Acquire(t.Context(), "b", pool.Limits{})
		waited <- err
	}()
	awaitWaiting(t, p, 1)
	closed := make(chan struct{})
	go func() { p.Close(); close(closed) }()
	if err := <-waited; !errors.Is(err, pool.ErrClosed) {
		t.Errorf("who waited got %v", err)
	}
	select {
	case <-closed:
		t.Error("closed while work was under way")
	default:
	}
	release()
	<-closed
	if _, _, err := p.Acquire(t.Context(), "a", pool.Limits{}); !errors.Is(err, pool.ErrClosed) {
		t.Errorf("after closing: %v", err)
	}
	p.Close() // again
}
