package rowhouse_test

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/rowhouse/rowhouse"
	"github.com/rowhouse/rowhouse/internal/pgtest"
)

// sleepASecond is a statement during which other things happen.
const sleepASecond = `SELECT pg_sleep(1)`

// awaitSleep waits until somebody sleeps.
func (f *fleet) awaitSleep() {
	f.t.Helper()
	f.waitFor(`SELECT count(*) > 0 FROM pg_stat_activity WHERE query = '` + sleepASecond + `' AND state = 'active' AND datname = current_database()`)
}

// A tenant that is renamed while its work goes on never sees another schema's rows
// in its place: not in a transaction, nor in a batch.
func TestRenamedDuringWork(t *testing.T) {
	t.Parallel()
	everyWay(t, func(t *testing.T, via func(*fleet) string) {
		f := newFleet(t, via, "acme", "beta")
		f.behind(`CREATE TABLE public.marks AS SELECT 'shared' AS mark`)
		f.behind(`GRANT SELECT ON public.marks TO PUBLIC`)
		want := func(what, got, schema string, err error) {
			t.Helper()
			if err == nil && got != schema || err != nil && !errors.Is(err, rowhouse.ErrTenantChanged) {
				t.Errorf("%s: got mark %q, %v; want its own or ErrTenantChanged", what, got, err)
			}
		}
		ctx := f.as("acme")
		tx, err := f.db.Begin(ctx)
		f.must(err)
		_, err = tx.Exec(ctx, `SELECT 1`)
		f.must(err)
		renamed := f.rename("acme", "acme2")
		m, err := mark(ctx, tx)
		want("transaction", m, "acme", err)
		f.must(tx.Rollback(ctx))
		renamed()
		m = ""
		b := &pgx.Batch{}
		b.Queue(sleepASecond)
		b.Queue(`SELECT mark FROM marks`).QueryRow(func(row pgx.Row) error { return row.Scan(&m) })
		closed := make(chan error, 1)
		go func(ctx context.Context) { closed <- f.db.SendBatch(ctx, b).Close() }(f.as("beta"))
		f.awaitSleep()
		renamed = f.rename("beta", "beta2")
		err = <-closed
		want("batch", m, "beta", err)
		renamed()
	})
}

// rename begins to rename a tenant, which may have to wait for the tenant's work,
// and gives it a moment. The function that it returns waits for the end.
func (f *fleet) rename(from, to string) func() {
	done := make(chan error, 1)
	go func() {
		_, err := f.admin.Rename(f.t.Context(), from, to)
		done <- err
	}()
	select {
	case err := <-done:
		done <- err
	case <-time.After(300 * time.Millisecond):
	}
	return func() {
		select {
		case err := <-done:
			if err != nil {
				f.t.Errorf("rename %s: %v", from, err)
			}
		case <-time.After(10 * time.Second):
			f.t.Errorf("renaming %s takes too long", from)
		}
	}
}

// The results of a batch tell of a rename, too, and not only its Close.
func TestRenamedDuringBatch(t *testing.T) {
	t.Parallel()
	f := newFleet(t, nil, "acme")
	ctx := f.as("acme")
	failed := make(chan error, 1)
	go func() {
		b := &pgx.Batch{}
		b.Queue(sleepASecond)
		b.Queue(`SELECT * FROM tickets`)
		br := f.db.SendBatch(ctx, b)
		_, err := br.Exec()
		if err == nil {
			_, err = br.Exec()
		}
		_ = br.Close()
		failed <- err
	}()
	f.awaitSleep()
	renamed := f.rename("acme", "acme2")
	if err := <-failed; err != nil && !errors.Is(err, rowhouse.ErrTenantChanged) {
		t.Errorf("got %v, want ErrTenantChanged", err)
	}
	renamed()
}

// A tenant that was suspended has the schema that it had: what is refused then is
// refused for another reason.
func TestSuspendedHasNotChanged(t *testing.T) {
	t.Parallel()
	f := newFleet(t, nil, "acme", "beta")
	ctx := f.as("acme")
	_, err := f.admin.Suspend(t.Context(), "acme")
	f.must(err)
	if _, err := f.db.Exec(ctx, `SELECT * FROM beta.marks`); err == nil || errors.Is(err, rowhouse.ErrTenantChanged) {
		t.Errorf("got %v, want 42501 alone", err)
	}
}

// Of a COPY that its context ended the error says so, as with every statement.
func TestCancelCopyFrom(t *testing.T) {
	t.Parallel()
	everyWay(t, func(t *testing.T, via func(*fleet) string) {
		f := newFleet(t, via, "acme")
		tx, err := f.superior.Begin(t.Context())
		f.must(err)
		defer func() { _ = tx.Rollback(context.Background()) }()
		_, err = tx.Exec(t.Context(), `LOCK TABLE acme.tickets`)
		f.must(err)
		ctx, cancel := context.WithTimeout(f.as("acme"), 300*time.Millisecond)
		defer cancel()
		_, err = f.db.CopyFrom(ctx, pgx.Identifier{"tickets"}, []string{"title"}, pgx.CopyFromRows([][]any{{"x"}}))
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v, want context.DeadlineExceeded", err)
		}
	})
}

// A pooler that ends a connection is no migration, although its error has the code
// of a statement that a migration changed: nothing says that it can be tried again.
func TestPoolerEndsConnection(t *testing.T) {
	t.Parallel()
	f := newFleet(t, func(f *fleet) string {
		bouncer, err := url.Parse(pgtest.PgBouncer(f.t, f.url, "query_timeout = 1"))
		f.must(err)
		login, err := url.Parse(f.login)
		f.must(err)
		bouncer.User = login.User
		return bouncer.String()
	}, "acme")
	ctx := f.as("acme")
	const slow = `SELECT pg_sleep(5)`
	_, alone := f.db.Exec(ctx, slow)
	inTx := f.db.InTx(ctx, func(tx pgx.Tx) error {
		_, err := tx.Exec(ctx, slow)
		return err
	})
	b := &pgx.Batch{}
	b.Queue(slow)
	for what, err := range map[string]error{"alone": alone, "transaction": inTx, "batch": f.db.SendBatch(ctx, b).Close()} {
		var pgErr *pgconn.PgError
		if errors.Is(err, rowhouse.ErrRetry) || !errors.As(err, &pgErr) {
			t.Errorf("%s: got %v, want what the pooler said, and not that a migration overtook it", what, err)
		}
	}
}

// endsLater is a context that ends when it has been asked n times whether it has.
type endsLater struct {
	context.Context
	end   context.CancelFunc
	asked atomic.Int64
	n     int64
}

func newEndsLater(parent context.Context, n int) *endsLater {
	ctx, end := context.WithCancel(parent)
	return &endsLater{Context: ctx, end: end, n: int64(n)}
}

func (c *endsLater) ask() {
	if c.asked.Add(1) == c.n {
		c.end()
	}
}

func (c *endsLater) Err() error {
	defer c.ask()
	return c.Context.Err()
}

func (c *endsLater) Done() <-chan struct{} {
	defer c.ask()
	return c.Context.Done()
}

// What a migration changed and whose context ends before it is sent again says that;
// a single statement not that a transaction can be tried again.
func TestEndedIsNoRetry(t *testing.T) {
	t.Parallel()
	everyWay(t, func(t *testing.T, via func(*fleet) string) {
		f := newFleet(t, via, "acme")
		app := f.login
		if via != nil {
			app = via(f)
		}
		f.db = f.open(app, 1)
		const sql = `SELECT * FROM marks`
		units := map[string]func(context.Context) error{
			"alone": func(ctx context.Context) error {
				_, err := f.db.Exec(ctx, sql)
				return err
			},
			"transaction": func(ctx context.Context) error {
				return f.db.InTx(f.as("acme"), func(tx pgx.Tx) error {
					_, err := tx.Exec(ctx, sql)
					return err
				})
			},
			"batch": func(ctx context.Context) error {
				b := &pgx.Batch{}
				b.Queue(sql)
				return f.db.SendBatch(ctx, b).Close()
			},
		}
		for what, run := range units {
			for n := 1; ; n++ {
				_, err := f.db.Exec(f.as("acme"), sql)
				f.must(err)
				f.behind(fmt.Sprintf(`ALTER TABLE acme.marks ADD COLUMN %s%d int`, what, n))
				ctx := newEndsLater(f.as("acme"), n)
				err = run(ctx)
				ctx.end()
				retry := errors.Is(err, rowhouse.ErrRetry) && what != "alone"
				if err != nil && !errors.Is(err, context.Canceled) && !retry {
					t.Errorf("%s, ended when asked the %dth time: got %v, want context.Canceled", what, n, err)
				}
				if ctx.asked.Load() < ctx.n {
					break
				}
			}
		}
	})
}

// endedByCommit is a context that ends when something is so.
type endedByCommit struct {
	context.Context
	committed func() bool
}

func (c endedByCommit) Err() error {
	if c.committed() {
		return context.Canceled
	}
	return nil
}

// A commit that the server has confirmed is no error, although the context ended
// meanwhile: who tried again would do the work twice.
func TestCommittedAndCancelled(t *testing.T) {
	t.Parallel()
	f := newFleet(t, nil, "acme")
	ctx := endedByCommit{f.as("acme"), func() (committed bool) {
		f.must(f.superior.QueryRow(t.Context(), `SELECT EXISTS (SELECT FROM acme.tickets)`).Scan(&committed))
		return committed
	}}
	err := f.db.InTx(ctx, func(tx pgx.Tx) error {
		_, err := tx.Exec(ctx, fileTicket)
		return err
	})
	if err != nil {
		t.Errorf("it was committed, and the error is %v", err)
	}
}
