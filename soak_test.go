package rowhouse_test

import (
	"context"
	"database/sql"
	"fmt"
	"math/rand/v2"
	"net/url"
	"os"
	"runtime/debug"
	"runtime/pprof"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/rowhouse/rowhouse"
	"github.com/rowhouse/rowhouse/internal/pgtest"
	"github.com/rowhouse/rowhouse/sqldb"
)

const (
	// soakVariable is how long the soak lasts, as "10m", and makes it a large one.
	soakVariable = "ROWHOUSE_SOAK"
	// soakSeedVariable is a seed that an earlier soak logged.
	soakSeedVariable = "ROWHOUSE_SOAK_SEED"
	// soakStuck is how long one operation may take before it counts as lost.
	soakStuck = time.Minute
	// soakFailures is how many failures end the soak.
	soakFailures = 15
)

// soakSize is how much a soak does.
type soakSize struct {
	workers, tenants, conns int
	lasts                   time.Duration
}

func sizeOfSoak(t *testing.T) soakSize {
	t.Helper()
	text := os.Getenv(soakVariable)
	if text == "" {
		return soakSize{workers: 16, tenants: 40, conns: 6, lasts: 8 * time.Second}
	}
	lasts, err := time.ParseDuration(text)
	if err != nil {
		t.Fatalf("%s is no duration: %v", soakVariable, err)
	}
	return soakSize{workers: 64, tenants: 500, conns: 16, lasts: lasts}
}

func seedOfSoak(t *testing.T) uint64 {
	t.Helper()
	text := os.Getenv(soakSeedVariable)
	if text == "" {
		return rand.Uint64()
	}
	seed, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		t.Fatalf("%s is no number: %v", soakSeedVariable, err)
	}
	return seed
}

// soak is a fleet under all kinds of work at once, while backends are killed,
// tenants renamed and tables migrated. What is wrong in it for a moment is found:
// every row carries its tenant's mark, every unit of work that was written is
// remembered and looked for at the end, and every error that has no cause fails
// the test.
type soak struct {
	*fleet
	soakSize
	seed    uint64
	pooled  bool
	std     *sql.DB
	stmt    *sql.Stmt
	tenants []*soakTenant
	shared  *soakTenant // stands for the shared schema
	tally   soakTally
	units   atomic.Int64
	failed  atomic.Int64
	stop    context.CancelFunc
	done    <-chan struct{}
}

func TestSoak(t *testing.T) {
	t.Parallel()
	size, seed := sizeOfSoak(t), seedOfSoak(t)
	everyWay(t, func(t *testing.T, via func(*fleet) string) {
		s := newSoak(t, size, seed)
		app := s.login
		if s.pooled = via != nil; s.pooled {
			app = s.throughSmallerPgBouncer()
		}
		// Goroutines pass their labels on to those that they start.
		label := "soak-" + t.Name()
		pprof.Do(t.Context(), pprof.Labels("rowhouse", label), func(ctx context.Context) {
			s.start(app)
			s.run(ctx)
			s.wantAllConnections(ctx)
			s.wantNothingOpen()
			s.close()
			s.wantNoGoroutines(label)
		})
		s.wantWritten()
		s.wantMigrated()
		t.Logf("%s: %s", t.Name(), s.tally.summary(s.lasts))
	})
}

// throughSmallerPgBouncer is PgBouncer with fewer connections to the server than
// the application has to it. It does not wait long after a failure to connect:
// here all of them are made on purpose.
func (s *soak) throughSmallerPgBouncer() string {
	bouncer, err := url.Parse(pgtest.PgBouncer(s.t, s.url, fmt.Sprintf("default_pool_size = %d\nserver_login_retry = 1", s.conns*2/3)))
	s.must(err)
	login, err := url.Parse(s.login)
	s.must(err)
	bouncer.User = login.User
	return bouncer.String()
}

func (s *soak) start(app string) {
	s.t.Helper()
	s.db = s.open(app, int32(s.conns))
	s.std = sqldb.New(s.db)
	var err error
	s.stmt, err = s.std.Prepare(`SELECT mark, $1::text AS given FROM owners`)
	s.must(err)
}

// run works until the time is over, or too much went wrong.
func (s *soak) run(ctx context.Context) {
	s.t.Logf("%s=%d replays what the workers choose", soakSeedVariable, s.seed)
	over, stop := context.WithTimeout(ctx, s.lasts)
	defer stop()
	s.stop, s.done = stop, over.Done()
	var wg sync.WaitGroup
	for i := range s.workers {
		wg.Go(func() { s.work(ctx, uint64(i)) })
	}
	for _, trouble := range []func(context.Context){s.kill, s.moveTenants, s.migrateFleet} {
		wg.Go(func() { trouble(ctx) })
	}
	wg.Wait()
	if lost, kills := s.tally.count("lost"), s.tally.count("kill"); lost > kills {
		s.t.Errorf("%d operations lost their connection, but only %d backends were killed", lost, kills)
	}
}

// over tells whether the soak has ended.
func (s *soak) over() bool {
	select {
	case <-s.done:
		return true
	default:
		return false
	}
}

// fail fails the test, and ends the soak if it is not the first.
func (s *soak) fail(format string, args ...any) {
	s.t.Helper()
	if s.failed.Add(1) > soakFailures {
		s.stop()
		return
	}
	s.t.Errorf(format, args...)
}

// work is one worker: one operation after the other.
func (s *soak) work(ctx context.Context, index uint64) {
	rng := rand.New(rand.NewPCG(s.seed, index))
	ops := soakOps()
	for n := 0; !s.over(); n++ {
		op := ops[rng.IntN(len(ops))]
		w := &soakWork{soak: s, rng: rng, tenant: s.tenants[rng.IntN(len(s.tenants))], began: time.Now()}
		err := w.attempt(ctx, op)
		verdict, allowed := w.judge(op, err)
		s.tally.op(op.name, verdict)
		if !allowed {
			s.fail("worker %d, operation %d, %s as %s (%s), after %v, its context %v: %v",
				index, n, op.name, w.tenant.id, w.tenant.history(), time.Since(w.began), w.fate(), err)
		}
	}
}

// attempt does one operation for a tenant, whose context may end in the middle.
func (w *soakWork) attempt(ctx context.Context, op soakOp) (err error) {
	ctx, cancel := context.WithTimeout(ctx, soakStuck)
	defer cancel()
	tenant, err := w.lookup(ctx)
	if err != nil {
		return err
	}
	w.ctx = rowhouse.WithTenant(ctx, tenant)
	if after := time.Duration(w.rng.IntN(20_000)) * time.Microsecond; w.rng.IntN(8) == 0 {
		var cancel context.CancelFunc
		w.mortal = true
		if w.rng.IntN(2) == 0 {
			w.ctx, cancel = context.WithTimeout(w.ctx, after)
		} else {
			w.ctx, cancel = context.WithCancel(w.ctx)
			timer := time.AfterFunc(after, cancel)
			defer timer.Stop()
		}
		defer cancel()
	}
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("%w: panic: %v\n%s", errSoakWrong, r, debug.Stack())
		}
	}()
	return op.do(w)
}

// lookup finds the worker's tenant by what never changes, its id or its domain.
func (w *soakWork) lookup(ctx context.Context) (tenant *rowhouse.Tenant, err error) {
	if w.rng.IntN(2) == 0 {
		tenant, err = w.db.TenantByID(ctx, w.tenant.id)
	} else {
		tenant, err = w.db.TenantByDomain(ctx, w.tenant.domain)
	}
	if err == nil && tenant.ID != w.tenant.id {
		err = fmt.Errorf("%w: looked up %s, got %s", errSoakWrong, w.tenant.id, tenant.ID)
	}
	return tenant, err
}

// close closes the DB, which must not take long when all work has ended.
func (s *soak) close() {
	s.t.Helper()
	s.must(s.stmt.Close())
	s.must(s.std.Close())
	closed := make(chan struct{})
	go func() {
		defer close(closed)
		s.db.Close()
	}()
	select {
	case <-closed:
	case <-time.After(20 * time.Second):
		s.t.Fatal("closing the DB took more than 20 seconds")
	}
}

// wantAllConnections fails the test unless as many transactions can be open as
// there are connections, so that none was lost, and none has anything left of a
// binding.
func (s *soak) wantAllConnections(ctx context.Context) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(rowhouse.WithShared(ctx), 20*time.Second)
	defer cancel()
	backends := make(map[int]bool)
	for i := range s.conns {
		tx, err := s.db.Begin(ctx)
		if err != nil {
			s.t.Errorf("%d connections are left of %d: %v", i, s.conns, err)
			return
		}
		defer func(tx pgx.Tx) { _ = tx.Rollback(context.WithoutCancel(ctx)) }(tx)
		var pid int
		var left string
		s.must(tx.Conn().QueryRow(ctx, leftOnConnection, pgx.QueryExecModeExec).Scan(&pid, &left))
		if backends[pid] && !s.pooled {
			s.t.Errorf("two transactions are on backend %d", pid)
		}
		backends[pid] = true
		if left != "" {
			s.t.Errorf("a connection has %s", left)
		}
	}
}

// leftOnConnection is what a binding has left on a connection, asked before the
// transaction that holds the connection has begun.
const leftOnConnection = `SELECT pg_backend_pid(), concat_ws(', ',
	(SELECT 'search_path ' || setting FROM pg_settings WHERE name = 'search_path' AND source = 'session'),
	'tenant ' || nullif(current_setting('rowhouse.tenant_id', true), ''),
	'role ' || nullif(current_user, session_user))`

// wantNothingOpen fails the test unless no backend is in a transaction or holds a
// lock of its session.
func (s *soak) wantNothingOpen() {
	s.t.Helper()
	s.eventually("backends in a transaction", `SELECT count(*) FROM pg_stat_activity
		WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend' AND state <> 'idle'`)
	s.eventually("advisory locks", `SELECT count(*) FROM pg_locks
		WHERE locktype = 'advisory' AND database = (SELECT oid FROM pg_database WHERE datname = current_database())`)
}

// eventually waits until a query counts nothing any more.
func (s *soak) eventually(what, sql string) {
	s.t.Helper()
	var n int
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		s.must(s.superior.QueryRow(s.t.Context(), sql).Scan(&n))
		if n == 0 {
			return
		}
		if time.Now().After(deadline) {
			s.t.Errorf("there are still %d %s", n, what)
			return
		}
	}
}

// wantNoGoroutines fails the test if a goroutine with the label is left, but for
// the test's own.
func (s *soak) wantNoGoroutines(label string) {
	s.t.Helper()
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		left := labelled(label)
		if len(left) == 1 {
			return
		}
		if time.Now().After(deadline) {
			s.t.Errorf("goroutines are left besides the test's own:\n%s", strings.Join(left, "\n"))
			return
		}
	}
}

// labelled are the groups of goroutines with a label, as the profile prints them.
func labelled(label string) (groups []string) {
	var text strings.Builder
	_ = pprof.Lookup("goroutine").WriteTo(&text, 1)
	for group := range strings.SplitSeq(text.String(), "\n\n") {
		if strings.Contains(group, strconv.Quote(label)) {
			groups = append(groups, group)
		}
	}
	return groups
}
