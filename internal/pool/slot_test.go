package pool

import (
	"context"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/rowhouse/rowhouse/internal/pgtest"
)

// A connection that has idled is looked at before it is used: one that lives is
// kept, one that the server has closed is replaced without anybody noticing.
func TestIdleConnectionIsLookedAt(t *testing.T) {
	t.Parallel()
	server := pgtest.Database(t)
	p, err := Open(t.Context(), Options{URL: server, MaxConns: 1, Statements: 10})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	use := func() uint32 {
		t.Helper()
		s, release, err := p.Acquire(t.Context(), "t", Limits{})
		if err != nil {
			t.Fatal(err)
		}
		defer release()
		if _, err := s.Conn().Exec(t.Context(), `SELECT`); err != nil {
			t.Fatal(err)
		}
		return s.Conn().PgConn().PID()
	}
	idle := func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.slots[0].used = time.Now().Add(-2 * pingAfter)
	}
	first := use()
	idle()
	start := time.Now()
	if use() != first {
		t.Error("a connection that lives was replaced")
	}
	if took := time.Since(start); took >= cancelGrace {
		t.Errorf("looking at an idle connection took %v", took)
	}
	conn, err := pgx.Connect(t.Context(), server)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	if _, err := conn.Exec(t.Context(), `SELECT pg_terminate_backend($1, 10000)`, first); err != nil {
		t.Fatal(err)
	}
	idle()
	if use() == first {
		t.Error("a closed connection was used")
	}
}
