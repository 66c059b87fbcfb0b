package rowhouse_test

import (
	"context"
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/rowhouse/rowhouse"
	"github.com/rowhouse/rowhouse/admin"
)

// limited opens a DB with limits of its own.
func (f *fleet) limited(conns int32, limits rowhouse.Limits) {
	f.t.Helper()
	db, err := rowhouse.Open(f.t.Context(), rowhouse.Config{DatabaseURL: f.login, MaxConns: conns, Limits: limits})
	f.must(err)
	f.t.Cleanup(db.Close)
	f.db = db
}

// override sets limits of a tenant and waits until the application knows.
func (f *fleet) override(schema string, limits admin.LimitsOverride) {
	f.t.Helper()
	_, err := f.admin.SetLimits(f.t.Context(), admin.LimitScope{Schema: schema}, limits)
	f.must(err)
	of, err := f.admin.TenantLimits(f.t.Context(), schema)
	f.must(err)
	f.awaitLimits(schema, of.Effective(rowhouse.Limits{}))
}

func (f *fleet) awaitLimits(schema string, want rowhouse.Limits) {
	f.t.Helper()
	deadline := time.Now().Add(5 * time.Second)
	for {
		tenant, err := f.db.TenantBySchema(f.t.Context(), schema)
		f.must(err)
		if tenant.Limits() == want {
			return
		}
		if time.Now().After(deadline) {
			f.t.Fatalf("tenant %s has %+v, want %+v", schema, tenant.Limits(), want)
		}
		time.Sleep(time.Millisecond)
	}
}

// timeouts are the settings that work of a tenant sees.
func (f *fleet) timeouts(schema string) string {
	f.t.Helper()
	var all string
	f.must(f.db.QueryRow(f.as(schema), `SELECT current_setting('statement_timeout') || ' ' ||
		current_setting('idle_in_transaction_session_timeout') || ' ' || current_setting('lock_timeout')`).Scan(&all))
	return all
}

// wantCode fails the test unless PostgreSQL refused the work with that code.
func wantCode(t testing.TB, what string, err error, code string) {
	t.Helper()
	var pgErr *pgconn.PgError
	if !errors.As(err, &pgErr) || pgErr.Code != code {
		t.Errorf("%s: got %v, want code %s", what, err, code)
	}
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%s: %v is the context's error, which has not ended", what, err)
	}
}

// Time-outs are the tenant's own: on the same connection others have none.
func TestTimeouts(t *testing.T) {
	t.Parallel()
	everyWay(t, func(t *testing.T, via func(*fleet) string) {
		f := newFleet(t, via, "hasty", "calm")
		f.override("hasty", admin.LimitsOverride{
			StatementTimeout: new(300*time.Millisecond + time.Microsecond), LockTimeout: new(50 * time.Millisecond),
			IdleInTransactionTimeout: new(2 * time.Minute),
		})
		for range 3 {
			if got := f.timeouts("hasty"); got != "301ms 2min 50ms" {
				t.Errorf("hasty works with %s", got)
			}
			if got := f.timeouts("calm"); got != "0 0 0" {
				t.Errorf("calm works with %s", got)
			}
		}
		hasty := f.as("hasty")
		_, err := f.db.Exec(hasty, `SELECT pg_sleep(20)`)
		wantCode(t, "a statement", err, "57014")
		err = f.db.InTx(hasty, func(tx pgx.Tx) error {
			_, err := tx.Exec(hasty, `SELECT pg_sleep(20)`)
			return err
		})
		wantCode(t, "a statement that begins a transaction", err, "57014")
		err = f.db.InTx(hasty, func(tx pgx.Tx) error {
			if _, err := tx.Exec(hasty, `INSERT INTO marks VALUES ('lost')`); err != nil {
				return err
			}
			_, err := tx.Exec(hasty, `SELECT pg_sleep(20)`)
			return err
		})
		wantCode(t, "a statement of a transaction", err, "57014")
		batch := &pgx.Batch{}
		batch.Queue(`INSERT INTO marks VALUES ('lost')`)
		batch.Queue(`SELECT pg_sleep(20)`)
		wantCode(t, "a batch", f.db.SendBatch(hasty, batch).Close(), "57014")
		f.wantMark("hasty")
		_, err = f.db.Exec(f.as("calm"), `SELECT pg_sleep(0.4)`)
		f.must(err)
		f.lockTimeout(hasty)
	})
}

// lockTimeout waits for a lock that nobody lets go.
func (f *fleet) lockTimeout(hasty context.Context) {
	f.t.Helper()
	f.behind(`BEGIN`)
	defer f.behind(`ROLLBACK`)
	f.behind(`LOCK TABLE hasty.marks, calm.marks`)
	_, err := f.db.Exec(hasty, `INSERT INTO marks VALUES ('late')`)
	wantCode(f.t, "a lock", err, "55P03")
	ctx, cancel := context.WithTimeout(f.as("calm"), 200*time.Millisecond)
	defer cancel()
	if _, err = f.db.Exec(ctx, `INSERT INTO marks VALUES ('late')`); !errors.Is(err, context.DeadlineExceeded) {
		f.t.Errorf("calm waits as long as its context: %v", err)
	}
}

// A transaction in which nothing happens loses its connection, and nobody else's
// work suffers from it.
func TestIdleInTransactionTimeout(t *testing.T) {
	t.Parallel()
	everyWay(t, func(t *testing.T, via func(*fleet) string) {
		f := newFleet(t, via, "hasty", "calm")
		f.override("hasty", admin.LimitsOverride{IdleInTransactionTimeout: new(100 * time.Millisecond)})
		begin := func(schema string) (pgx.Tx, int) {
			tx, err := f.db.Begin(f.as(schema))
			f.must(err)
			var pid int
			f.must(tx.QueryRow(f.as(schema), `SELECT pg_backend_pid()`).Scan(&pid))
			return tx, pid
		}
		calm, calmPID := begin("calm")
		hasty, hastyPID := begin("hasty")
		gone := func(pid int) (gone bool) {
			f.must(f.superior.QueryRow(t.Context(), `SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE pid = $1)`, pid).Scan(&gone))
			return gone
		}
		for deadline := time.Now().Add(20 * time.Second); !gone(hastyPID); {
			if time.Now().After(deadline) {
				t.Fatal("the idle transaction is still open")
			}
		}
		_, err := hasty.Exec(f.as("hasty"), `SELECT 1`)
		var pgErr *pgconn.PgError
		if err == nil || errors.As(err, &pgErr) && pgErr.Code != "25P03" && !strings.HasPrefix(pgErr.Code, "08") {
			t.Errorf("the next statement got %v", err)
		}
		_ = hasty.Rollback(t.Context())
		if gone(calmPID) {
			t.Error("calm's transaction was closed too")
		}
		f.must(calm.Commit(t.Context()))
		for range 4 { // the connections that are left, and a new one
			f.wantMark("hasty")
			f.wantMark("calm")
		}
	})
}

// Each limit by itself is the tenant's, its kind's or the configuration's, and a
// change reaches the application.
func TestEffectiveLimits(t *testing.T) {
	t.Parallel()
	f := newFleet(t, nil, "acme", "beta")
	config := rowhouse.Limits{Connections: 3, Waiting: 30, Wait: time.Second, StatementTimeout: time.Minute}
	f.limited(4, config)
	f.awaitLimits("acme", config)
	set := func(scope admin.LimitScope, o admin.LimitsOverride) {
		t.Helper()
		_, err := f.admin.SetLimits(t.Context(), scope, o)
		f.must(err)
	}
	set(admin.LimitScope{Kind: "default"}, admin.LimitsOverride{Connections: new(2), Waiting: new(0)})
	kind := config
	kind.Connections, kind.Waiting = 2, 0
	f.awaitLimits("acme", kind)
	f.awaitLimits("beta", kind)
	set(admin.LimitScope{Schema: "acme"}, admin.LimitsOverride{Waiting: new(7), StatementTimeout: new(time.Duration(0))})
	own := kind
	own.Waiting, own.StatementTimeout = 7, 0
	f.awaitLimits("acme", own)
	f.awaitLimits("beta", kind)
	if got := f.timeouts("acme") + " " + f.timeouts("beta"); got != "0 0 0 1min 0 0" {
		t.Errorf("the time-outs are %s", got)
	}
	_, err := f.admin.UnsetLimits(t.Context(), admin.LimitScope{Schema: "acme"})
	f.must(err)
	_, err = f.admin.UnsetLimits(t.Context(), admin.LimitScope{Kind: "default"}, rowhouse.LimitWaiting)
	f.must(err)
	kind.Waiting = 30
	f.awaitLimits("acme", kind)
	f.awaitLimits("beta", kind)
}

// wantBusy fails the test unless the work was refused because of that limit.
func wantBusy(t testing.TB, what string, err error, limit rowhouse.Limit) {
	t.Helper()
	var refused *rowhouse.LimitError
	if !errors.Is(err, rowhouse.ErrTenantBusy) || !errors.As(err, &refused) || refused.Limit != limit || refused.Schema != "noisy" {
		t.Errorf("%s: got %v, want a LimitError of noisy's %s", what, err, limit)
	}
}

// A tenant that has what it may have waits, or is told; others do not notice.
func TestBusyTenant(t *testing.T) {
	t.Parallel()
	f := newFleet(t, nil, "noisy", "quiet")
	f.limited(4, rowhouse.Limits{Connections: 2, Waiting: 1, Wait: 150 * time.Millisecond})
	noisy := f.as("noisy")
	var open []pgx.Tx
	for range 2 {
		tx, err := f.db.Begin(noisy)
		f.must(err)
		open = append(open, tx)
	}
	_, err := f.db.Exec(noisy, `SELECT 1`)
	wantBusy(t, "exec", err, rowhouse.LimitWait)
	_, err = f.db.Begin(noisy)
	wantBusy(t, "begin", err, rowhouse.LimitWait)
	_, err = f.db.Query(noisy, `SELECT 1`)
	wantBusy(t, "query", err, rowhouse.LimitWait)
	wantBusy(t, "query row", f.db.QueryRow(noisy, `SELECT 1`).Scan(new(int)), rowhouse.LimitWait)
	_, err = f.db.CopyFrom(noisy, pgx.Identifier{"marks"}, []string{"mark"}, pgx.CopyFromRows([][]any{{"x"}}))
	wantBusy(t, "copy", err, rowhouse.LimitWait)
	batch := &pgx.Batch{}
	batch.Queue(`SELECT 1`)
	wantBusy(t, "batch", f.db.SendBatch(noisy, batch).Close(), rowhouse.LimitWait)
	if want := `rowhouse: the tenant is busy: no connection for "noisy" came in 150ms`; err == nil || err.Error() != want {
		t.Errorf("the message is %v", err)
	}

	ended, cancel := context.WithTimeout(noisy, 20*time.Millisecond)
	defer cancel()
	if _, err = f.db.Exec(ended, `SELECT 1`); !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, rowhouse.ErrTenantBusy) {
		t.Errorf("a context that ended while waiting: %v", err)
	}
	if st := f.db.Stat(); st.RefusedWait != 6 || st.RefusedWaiting != 0 || st.InUse != 2 || st.Size != 4 || st.Waiting != 0 {
		t.Errorf("the statistics are %+v", st)
	}
	for _, tx := range open {
		f.must(tx.Rollback(noisy))
	}
	f.wantMark("noisy")
}

// Who finds the line of its tenant full is told at once. Who is in it gets what the
// tenant gives back.
func TestFullLine(t *testing.T) {
	t.Parallel()
	f := newFleet(t, nil, "noisy", "quiet")
	f.limited(4, rowhouse.Limits{Connections: 1, Waiting: 1})
	noisy := f.as("noisy")
	tx, err := f.db.Begin(noisy)
	f.must(err)
	waiting := make(chan error)
	go func() {
		_, err := f.db.Exec(noisy, `SELECT 1`)
		waiting <- err
	}()
	for deadline := time.Now().Add(20 * time.Second); f.db.Stat().AtLimit != 1; {
		if time.Now().After(deadline) {
			t.Fatalf("nobody waits: %+v", f.db.Stat())
		}
	}
	_, err = f.db.Exec(noisy, `SELECT 1`)
	wantBusy(t, "one more", err, rowhouse.LimitWaiting)
	if want := `rowhouse: the tenant is busy: "noisy" may have no more than 1 waiting`; err == nil || err.Error() != want {
		t.Errorf("the message is %v", err)
	}
	f.wantMark("quiet")
	f.must(tx.Rollback(noisy))
	f.must(<-waiting)
	if st := f.db.Stat(); st.RefusedWaiting != 1 || st.RefusedWait != 0 {
		t.Errorf("the statistics are %+v", st)
	}
}

// Work on the shared schema is nobody's, and has no limits.
func TestSharedWorkHasNoLimits(t *testing.T) {
	t.Parallel()
	f := newFleet(t, nil)
	f.limited(3, rowhouse.Limits{Connections: 1, Waiting: 1, Wait: time.Millisecond, StatementTimeout: time.Hour})
	shared := rowhouse.WithShared(t.Context())
	for range 3 {
		tx, err := f.db.Begin(shared)
		f.must(err)
		defer func() { _ = tx.Rollback(shared) }()
		var timeout string
		f.must(tx.QueryRow(shared, `SHOW statement_timeout`).Scan(&timeout))
		if timeout != "0" {
			t.Errorf("statement_timeout is %s", timeout)
		}
	}
}

func TestStat(t *testing.T) {
	t.Parallel()
	f := newFleet(t, nil, "acme", "beta", "gamma")
	f.limited(1, rowhouse.Limits{})
	if st := f.db.Stat(); st != (rowhouse.Stat{Size: 1}) {
		t.Errorf("before any work: %+v", st)
	}
	for _, schema := range []string{"acme", "beta", "acme", "gamma"} {
		f.wantMark(schema)
	}
	if st := f.db.Stat(); st != (rowhouse.Stat{Size: 1, Idle: 1, MostTenants: 3, MeanTenants: 3}) {
		t.Errorf("after work for three: %+v", st)
	}
	tx, err := f.db.Begin(f.as("acme"))
	f.must(err)
	if st := f.db.Stat(); st.InUse != 1 || st.Idle != 0 || st.MostTenants != 3 {
		t.Errorf("at work: %+v", st)
	}
	f.must(tx.Rollback(t.Context()))
}

func TestInvalidLimits(t *testing.T) {
	t.Parallel()
	for what, limits := range map[string]rowhouse.Limits{
		"connections": {Connections: -1}, "waiting": {Waiting: -1}, "wait": {Wait: -1},
		"statement_timeout": {StatementTimeout: -time.Second}, "lock_timeout": {LockTimeout: math.MaxInt64},
		"idle_in_transaction_timeout": {IdleInTransactionTimeout: 25 * 24 * time.Hour},
	} {
		_, err := rowhouse.Open(t.Context(), rowhouse.Config{Limits: limits})
		if !errors.Is(err, rowhouse.ErrInvalidLimit) || !strings.Contains(err.Error(), what) {
			t.Errorf("%s: got %v", what, err)
		}
	}
	if err := (rowhouse.Limits{Connections: 1, StatementTimeout: 24 * 24 * time.Hour}).Validate(); err != nil {
		t.Error(err)
	}
}
