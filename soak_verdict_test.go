package rowhouse_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/rowhouse/rowhouse"
)

// errSoakWrong: what must never be.
var errSoakWrong = errors.New("WRONG")

// soakWork is one operation for one tenant.
type soakWork struct {
	*soak
	rng    *rand.Rand
	tenant *soakTenant
	began  time.Time
	ctx    context.Context // the tenant's
	mortal bool            // ctx may end at any moment
	// other is another tenant whose schema was named.
	other *soakTenant
	// frozen is set while what is seen is of one moment. PostgreSQL shows such a
	// transaction an empty table when ALTER TABLE has written it anew since.
	frozen bool
}

// fate is what became of the context.
func (w *soakWork) fate() string {
	switch {
	case w.ctx == nil:
		return "not made"
	case w.ctx.Err() != nil:
		return "ended: " + w.ctx.Err().Error()
	}
	return "alive"
}

func wrong(format string, args ...any) error {
	return fmt.Errorf("%w: %w", errSoakWrong, fmt.Errorf(format, args...))
}

// judge names what an error is and tells whether it has a cause. The list is
// closed: what is not on it is a failure.
func (w *soakWork) judge(op soakOp, err error) (verdict string, allowed bool) {
	code := codeOf(err)
	switch {
	case err == nil:
		return "ok", true
	case errors.Is(err, errSoakWrong):
		return "wrong", false
	case w.mortal && cancelled(w.ctx, err):
		return "cancelled", true
	case connectionLost(err):
		return "lost", true
	case errors.Is(err, rowhouse.ErrTenantChanged):
		return "tenant changed", w.moving(w.tenant)
	case errors.Is(err, rowhouse.ErrRetry):
		return "retry", op.several
	case code == "40001" || code == "40P01":
		return code, op.several
	case code == "42P01": // another tenant's table has another name now
		return code, w.other != nil && w.moving(w.other)
	}
	return "unknown", false
}

// cancelled tells whether an error comes from the end of its context. A connection
// that is being made may notice its deadline before the context does.
func cancelled(ctx context.Context, err error) bool {
	if ctx.Err() != nil && (errors.Is(err, ctx.Err()) || errors.Is(err, sql.ErrTxDone)) {
		return true
	}
	var netErr net.Error
	return errors.As(err, &netErr) && netErr.Timeout()
}

func codeOf(err error) string {
	var pgErr *pgconn.PgError
	if errors.As(err, &pgErr) {
		return pgErr.Code
	}
	return ""
}

// connectionLost tells whether an error is what becomes of work whose backend was
// killed. A pooler says it in an error of its own, which ends the connection.
func connectionLost(err error) bool {
	var pgErr *pgconn.PgError
	if errors.As(err, &pgErr) {
		return pgErr.Code == "57P01" || pgErr.Severity == "FATAL" && pgErr.Code == "08P01"
	}
	var netErr net.Error
	if errors.As(err, &netErr) {
		return !netErr.Timeout()
	}
	for _, end := range []error{pgconn.ErrConnClosed, io.EOF, io.ErrUnexpectedEOF, net.ErrClosed, syscall.ECONNRESET, syscall.EPIPE} {
		if errors.Is(err, end) {
			return true
		}
	}
	return false
}

// unit begins a unit of work that writes rows.
func (s *soak) unit() int64 { return s.units.Add(1) }

// wrote notes what became of a unit of work of some rows for a tenant, and returns
// err.
func (t *soakTenant) wrote(unit int64, rows int, err error) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case rows == 0:
	case err == nil:
		t.written[unit] = rows
	case !undone(err):
		t.maybe[unit] = rows
	}
	return err
}

// undone tells whether an error says that nothing was committed.
func undone(err error) bool {
	for _, said := range []error{rowhouse.ErrRetry, rowhouse.ErrTenantChanged, pgx.ErrTxCommitRollback, errSoakAbort} {
		if errors.Is(err, said) {
			return true
		}
	}
	var pgErr *pgconn.PgError
	return errors.As(err, &pgErr) && pgErr.Severity == "ERROR"
}

// judgeCode returns nil for the error of PostgreSQL that was wanted. Others are
// judged.
func judgeCode(err error, codes ...string) error {
	switch {
	case err == nil:
		return wrong("no error, want %v", codes)
	case slices.Contains(codes, codeOf(err)):
		return nil
	}
	return err
}

// wantIs returns nil for the error that was wanted. Others are judged.
func wantIs(err, want error) error {
	switch {
	case err == nil:
		return wrong("no error, want %v", want)
	case errors.Is(err, want):
		return nil
	}
	return err
}

// soakTally counts what was done.
type soakTally struct {
	mu     sync.Mutex
	counts map[string]int64
	ops    map[string]int64
	all    int64
}

func (c *soakTally) add(what string, n int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.counts == nil {
		c.counts, c.ops = make(map[string]int64), make(map[string]int64)
	}
	c.counts[what] += n
}

// max keeps the greatest of what it is given.
func (c *soakTally) max(what string, n int64) { c.add(what, max(0, n-c.count(what))) }

func (c *soakTally) op(name, verdict string) {
	c.add(verdict, 1)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ops[name]++
	c.all++
}

func (c *soakTally) count(what string) int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.counts[what]
}

func (c *soakTally) summary(lasted time.Duration) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	line := func(counts map[string]int64) string {
		var words []string
		for _, name := range slices.Sorted(maps.Keys(counts)) {
			words = append(words, fmt.Sprintf("%s %d", name, counts[name]))
		}
		return strings.Join(words, ", ")
	}
	return fmt.Sprintf("%.0f operations a second\n%s\n%s", float64(c.all)/lasted.Seconds(), line(c.ops), line(c.counts))
}
