package pool_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/rowhouse/rowhouse/internal/pgtest"
	"github.com/rowhouse/rowhouse/internal/pool"
)

// sharing are n tenants of one home.
func sharing(p *pool.Pool, home, n int) []string {
	var tenants []string
	for i := 0; len(tenants) < n; i++ {
		if name := fmt.Sprint("tenant ", i); p.Home(name) == home {
			tenants = append(tenants, name)
		}
	}
	return tenants
}

// Work of many tenants goes to their home and is counted there; a connection with no
// room for all of them is replaced before.
func TestAcquireMany(t *testing.T) {
	t.Parallel()
	p := open(t, pool.Options{URL: pgtest.Database(t), MaxConns: 4, TenantsPerConn: 50})
	tenants := sharing(p, 2, 90)
	use := func(tenants []string) {
		t.Helper()
		_, release, err := p.AcquireMany(t.Context(), tenants)
		if err != nil {
			t.Fatal(err)
		}
		release()
	}
	use(tenants[:30])
	use(tenants[10:50])
	if st := p.Stat(); st.Idle != 1 || st.MostTenants != 50 || st.Replaced != 0 {
		t.Errorf("for 50 tenants: %+v", st)
	}
	use(tenants[40:60])
	if st := p.Stat(); st.Idle != 1 || st.MostTenants != 20 || st.Replaced != 1 {
		t.Errorf("for 10 more: %+v", st)
	}
}

// Who can do without takes no connection that others might want.
func TestTryAcquireMany(t *testing.T) {
	t.Parallel()
	p := open(t, pool.Options{URL: pgtest.Database(t), MaxConns: 2})
	try := func(home int, want bool) func() {
		t.Helper()
		s, release, err := p.TryAcquireMany(t.Context(), sharing(p, home, 3))
		if err != nil || (s != nil) != want {
			t.Fatalf("home %d: got %v, %v", home, s, err)
		}
		return release
	}
	first := try(0, true)
	try(0, false)
	second := try(1, true)
	waiting := make(chan func())
	go func() {
		_, release, err := p.AcquireMany(t.Context(), sharing(p, 0, 2))
		if err != nil {
			t.Error(err)
			release = func() {}
		}
		waiting <- release
	}()
	for p.Stat().Waiting == 0 {
		time.Sleep(time.Millisecond)
	}
	second()
	first()
	(<-waiting)()
	try(0, true)()

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := p.AcquireMany(ctx, sharing(p, 0, 1)); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want Canceled", err)
	}
	p.Close()
	try(0, false)
	if _, _, err := p.AcquireMany(t.Context(), sharing(p, 0, 1)); !errors.Is(err, pool.ErrClosed) {
		t.Errorf("got %v, want ErrClosed", err)
	}
}
