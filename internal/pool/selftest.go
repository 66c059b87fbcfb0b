package pool

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgconn/ctxwatch"
	"golang.org/x/sync/errgroup"
)

// ErrPooler: what stands between this program and the server is not safe for
// tenants. The message says what leaked, where, and what to do.
var ErrPooler = errors.New("the connection pooler is not safe for tenants")

const (
	// selfTestTime bounds a self-test. On a quiet pooler it takes some fifty round
	// trips, and a tenth of a second more where there is one backend only.
	selfTestTime = 10 * time.Second
	// joinPatience is how long the second client may wait for a backend while the
	// first does nothing.
	joinPatience = 250 * time.Millisecond
	// busyPatience is how long a transaction waits for the other client's work to
	// end beside it. Where there is one backend it cannot.
	busyPatience = 25 * time.Millisecond
	// rounds is how often a client's work runs beside the other's transaction. The
	// clients take turns, so that both come to work on several backends.
	rounds = 4
	// races is how often both clients work as fast as they can.
	races = 6
)

// What to do about an unsafe pooler.
const (
	cureMode   = "rowhouse needs transactions to stay whole: set pool_mode = transaction (or session) in the pooler"
	cureMixes  = "it gives one backend to two clients at once: use another pooler, such as PgBouncer with pool_mode = transaction, or connect to the server itself"
	cureLeaves = "what is set for one transaction outlives it: if the pooler rewrites or repeats settings, turn that off; use PgBouncer with pool_mode = transaction, or connect to the server itself"
	cureTears  = "it does not pass on everything up to a Sync as one transaction: use another pooler, such as PgBouncer with pool_mode = transaction, or connect to the server itself"
)

// SelfTest proves with two clients that nothing of a binding leaks through what
// answers at cfg: that each reads its own markers (tenant id, search_path and
// role) in every statement of a unit of work, also while the other works between;
// that afterwards none is left, on whatever backend comes next, also when a client
// is gone in the middle of a transaction; that a flight runs as one transaction on
// one backend, of which an error skips the rest; and that transactions stay on
// theirs. Pooling by session is as right as pooling by transaction.
//
// It opens up to two connections, changes nothing in the database, and takes ten
// seconds at most. Two clients that wait for each other cannot hang it: neither
// waits, in a transaction, for the other.
//
// It returns [ErrPooler], or [bind.ErrNotAdmitted] if the login may not bind, so
// that nothing could be proved and no tenant's work can run, or why it could not be
// done.
func SelfTest(ctx context.Context, cfg *pgx.ConnConfig) error {
	ctx, cancel := context.WithTimeoutCause(ctx, selfTestTime,
		fmt.Errorf("it did not end in %v: is there a backend free for this login?", selfTestTime))
	defer cancel()
	t := newSelfTest(cfg)
	err := t.run(ctx)
	if err != nil && ctx.Err() != nil && !errors.Is(err, ErrPooler) {
		err = fmt.Errorf("%w: %w", context.Cause(ctx), err)
	}
	if err != nil {
		return fmt.Errorf("test the pooler at %s: %w", t.where, err)
	}
	return nil
}

type selfTest struct {
	cfg   *pgx.ConnConfig
	where string
}

func newSelfTest(cfg *pgx.ConnConfig) *selfTest {
	t := &selfTest{cfg: cfg.Copy(), where: net.JoinHostPort(cfg.Host, strconv.Itoa(int(cfg.Port)))}
	// What the pool starts its connections with is of no use here, and a pooler
	// may refuse it. These connections are for the test only: when it is called off
	// they hang up at once.
	delete(t.cfg.RuntimeParams, "search_path")
	t.cfg.DefaultQueryExecMode = pgx.QueryExecModeExec
	t.cfg.BuildContextWatcherHandler = func(conn *pgconn.PgConn) ctxwatch.Handler {
		return &pgconn.DeadlineContextWatcherHandler{Conn: conn.Conn()}
	}
	return t
}

func (t *selfTest) run(ctx context.Context) error {
	a, err := t.join(ctx, "a")
	if err != nil {
		return err
	}
	defer a.close(ctx)
	b, err := t.second(ctx, a)
	if err != nil {
		return err
	}
	defer b.close(ctx)
	if a.session.Conn().IsClosed() {
		return t.alone(ctx, b)
	}
	return t.together(ctx, a, b)
}

// second connects the second client. Where it gets no backend although the first
// does nothing, all are at work for others, or it is a pooler of sessions that has
// one. Then the first is tested alone, and unless the second came between its
// transactions it goes, so that the second can come.
func (t *selfTest) second(ctx context.Context, first *client) (*client, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	type joined struct {
		*client
		err error
	}
	joining := make(chan joined, 1)
	go func() {
		b, err := t.join(ctx, "b")
		joining <- joined{b, err}
	}()
	select {
	case b := <-joining:
		return b.client, b.err
	case <-time.After(joinPatience):
	}
	if err := t.alone(ctx, first); err != nil {
		cancel()
		(<-joining).close(ctx)
		return nil, err
	}
	select {
	case b := <-joining:
		return b.client, b.err
	default:
		first.close(ctx)
	}
	b := <-joining
	return b.client, b.err
}

// alone is the test of one client at a time.
func (t *selfTest) alone(ctx context.Context, c *client) error {
	if err := t.warm(ctx, c); err != nil {
		return err
	}
	if err := t.flight(ctx, c); err != nil {
		return err
	}
	return t.beside(ctx, c, func(context.Context) error { return nil }, "commit")
}

// warm looks what was there before and does a first unit of work. From now on a
// statement is one flight.
func (t *selfTest) warm(ctx context.Context, c *client) error {
	if err := c.unbound(ctx); err != nil {
		return err
	}
	return c.unit(ctx)
}

// together is the test of two clients.
func (t *selfTest) together(ctx context.Context, a, b *client) error {
	for _, c := range []*client{a, b} {
		if err := t.warm(ctx, c); err != nil {
			return err
		}
	}
	for round := range rounds {
		holder, other, end := a, b, "commit"
		if round%2 == 1 {
			holder, other = b, a
		}
		if round/2 == 1 {
			end = "rollback"
		}
		if err := t.beside(ctx, holder, other.work, end); err != nil {
			return err
		}
		if err := other.unbound(ctx); err != nil {
			return err
		}
	}
	if err := t.flight(ctx, a); err != nil {
		return err
	}
	if err := t.race(ctx, a, b); err != nil {
		return err
	}
	return t.gone(ctx, a, b)
}

// beside opens a transaction of the holder, lets the other work, goes on in the
// transaction, and ends it.
func (t *selfTest) beside(ctx context.Context, holder *client, work func(context.Context) error, end string) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	tx, err := holder.begin(ctx)
	if err != nil {
		return err
	}
	done := make(chan struct{})
	var workErr error
	go func() {
		defer close(done)
		workErr = work(ctx)
	}()
	select {
	case <-done:
	case <-time.After(busyPatience):
	}
	if err := holder.finish(ctx, tx, end); err != nil {
		cancel() // the other may be waiting for this backend
		<-done
		return worse(err, workErr)
	}
	<-done
	if workErr != nil {
		return workErr
	}
	return holder.unbound(ctx)
}

// worse is the error that says more: the other may follow from it.
func worse(err, other error) error {
	if errors.Is(other, ErrPooler) && !errors.Is(err, ErrPooler) {
		return other
	}
	return err
}

// race lets both clients work at once. In what order is up to the pooler.
func (t *selfTest) race(ctx context.Context, clients ...*client) error {
	g, ctx := errgroup.WithContext(ctx)
	for _, c := range clients {
		g.Go(func() error {
			for range races {
				if err := c.work(ctx); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return g.Wait()
}

// gone lets one client hang up within a transaction and looks what the other gets.
func (t *selfTest) gone(ctx context.Context, a, b *client) error {
	if _, err := b.begin(ctx); err != nil {
		return err
	}
	b.close(ctx)
	for range 2 {
		if err := a.unbound(ctx); err != nil {
			return fmt.Errorf("%w; a client had just hung up within a transaction, which must be rolled back then", err)
		}
	}
	return nil
}

// failingSQL fails as a binding does to a schema that is not the catalog's.
const failingSQL = `SELECT pg_catalog.set_config('role', 'rowhouse: self-test', true)`

// flight sends a binding that fails and a statement, which must not run.
func (t *selfTest) flight(ctx context.Context, c *client) error {
	p := c.session.Conn().PgConn().StartPipeline(ctx)
	p.SendQueryParams(failingSQL, nil, nil, nil, nil)
	p.SendQueryParams(`SELECT 1`, nil, nil, nil, nil)
	err := p.Sync()
	if err == nil {
		err = refused(p)
	}
	if err != nil {
		_ = p.Close()
		return c.failed("send a binding that fails", err)
	}
	answer, err := p.GetResults()
	if _, skipped := answer.(*pgconn.PipelineSync); !skipped && !cutOff(err) {
		_ = p.Close()
		return c.unsafe(0, "the statement after a binding that failed was run", cureTears)
	}
	return c.failed("send a binding that fails", errors.Join(err, p.Close()))
}

// refused reads the answer to failingSQL, which is an error.
func refused(p *pgconn.Pipeline) error {
	answer, err := p.GetResults()
	if reader, ok := answer.(*pgconn.ResultReader); ok {
		_, err = reader.Close()
	}
	var pgErr *pgconn.PgError
	if errors.As(err, &pgErr) && pgErr.Code == "22023" {
		return nil
	}
	if err == nil {
		return errors.New("it did not fail")
	}
	return err
}

// cutOff tells whether an error comes of a connection that ended, and says nothing
// of how a pooler works.
func cutOff(err error) bool {
	var netErr net.Error
	var pgErr *pgconn.PgError
	return errors.As(err, &netErr) || errors.As(err, &pgErr) ||
		errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) ||
		errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
}

// torn finds the error of a server that does not know what the same flight had sent
// before, and of a pooler that does not let a transaction be.
func torn(err error) (pgErr *pgconn.PgError, cure string) {
	if !errors.As(err, &pgErr) {
		return nil, ""
	}
	switch {
	case pgErr.Code == protocolViolation && strings.Contains(pgErr.Message, "statement pooling"):
		return pgErr, cureMode
	case pgErr.Code == protocolViolation && pgErr.SeverityUnlocalized == "ERROR", // FATAL is PgBouncer's, for much
		pgErr.Code == "26000", pgErr.Code == "34000":
		return pgErr, cureTears
	}
	return nil, ""
}
