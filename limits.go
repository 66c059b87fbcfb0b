package rowhouse

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/rowhouse/rowhouse/internal/bind"
	"github.com/rowhouse/rowhouse/internal/catalog"
	"github.com/rowhouse/rowhouse/internal/pool"
)

// Limits keep a tenant from taking what others need. Each is for one tenant in one
// DB: ten processes that serve give a tenant ten times its connections. Zero means
// no limit. Work on the shared schema has none.
//
// [Config.Limits] are those of every tenant. The operator may say something else in
// the catalog, for a kind of tenants and for a single one (admin.SetLimits, "rowhouse
// limits"): each limit by itself is the tenant's, else its kind's, else the Config's.
type Limits struct {
	// Connections is how many connections the tenant holds at once: statements that
	// run, rows that are not closed, transactions that are open. More of its work
	// waits, and others do not wait for it. A request that works in a transaction
	// and beside it at the same time needs two.
	Connections int

	// Waiting is how many units of work of the tenant wait for a connection. One
	// more fails at once with [ErrTenantBusy].
	Waiting int

	// Wait is how long each of them waits, whether for the tenant's own work or
	// for that of others. Then it fails with [ErrTenantBusy]. Zero is as long as
	// its context.
	Wait time.Duration

	// StatementTimeout is how long a statement may run. PostgreSQL ends it with
	// code 57014. Zero leaves what the server, its database or its login says, as
	// with the two below; parts of a millisecond are rounded up.
	StatementTimeout time.Duration

	// IdleInTransactionTimeout is how long a transaction may be open without a
	// statement running. PostgreSQL then closes the connection, with code 25P03.
	IdleInTransactionTimeout time.Duration

	// LockTimeout is how long a statement may wait for a lock. PostgreSQL ends it
	// with code 55P03.
	LockTimeout time.Duration
}

// Limit names one of the [Limits], as the catalog and the command line do.
type Limit string

// The limits.
const (
	LimitConnections              Limit = "connections"
	LimitWaiting                  Limit = "waiting"
	LimitWait                     Limit = "wait"
	LimitStatementTimeout         Limit = "statement_timeout"
	LimitIdleInTransactionTimeout Limit = "idle_in_transaction_timeout"
	LimitLockTimeout              Limit = "lock_timeout"
)

// LimitError: a unit of work was not begun because of one of its tenant's limits:
// [LimitWaiting] or [LimitWait]. Nothing was sent to the database. It is an
// [ErrTenantBusy].
type LimitError struct {
	// Schema is the tenant's.
	Schema string
	// Limit is the one that was met.
	Limit Limit
	// Limits are all of the tenant's.
	Limits Limits
}

// Error names the tenant and the limit.
func (e *LimitError) Error() string {
	if e.Limit == LimitWait {
		return fmt.Sprintf("%v: no connection for %q came in %v", ErrTenantBusy, e.Schema, e.Limits.Wait)
	}
	return fmt.Sprintf("%v: %q may have no more than %d waiting", ErrTenantBusy, e.Schema, e.Limits.Waiting)
}

// Unwrap returns [ErrTenantBusy].
func (e *LimitError) Unwrap() error { return ErrTenantBusy }

// Limits are those that hold for the tenant's work. Of a tenant that did not come
// from a DB they are the catalog's alone.
func (t *Tenant) Limits() Limits { return t.limits }

// maxTimeout is the greatest time that PostgreSQL's settings take.
const maxTimeout = math.MaxInt32 * time.Millisecond

// Validate returns [ErrInvalidLimit] for a limit that cannot be: below zero, or
// longer than PostgreSQL's settings take, which is 24 days.
func (l Limits) Validate() error {
	for _, n := range []struct {
		name  Limit
		value int
	}{{LimitConnections, l.Connections}, {LimitWaiting, l.Waiting}} {
		if n.value < 0 || n.value > math.MaxInt32 {
			return fmt.Errorf("%w: %s is %d", ErrInvalidLimit, n.name, n.value)
		}
	}
	for _, d := range []struct {
		name  Limit
		value time.Duration
	}{
		{LimitWait, l.Wait}, {LimitStatementTimeout, l.StatementTimeout},
		{LimitIdleInTransactionTimeout, l.IdleInTransactionTimeout}, {LimitLockTimeout, l.LockTimeout},
	} {
		if d.value < 0 || d.value > maxTimeout {
			return fmt.Errorf("%w: %s is %v, and must be from 0 to %v", ErrInvalidLimit, d.name, d.value, maxTimeout)
		}
	}
	return nil
}

// with is the limits where the catalog says nothing else.
func (l Limits) with(c catalog.Limits) Limits {
	override(&l.Connections, c.Connections, 1)
	override(&l.Waiting, c.Waiting, 1)
	override(&l.Wait, c.WaitMS, time.Millisecond)
	override(&l.StatementTimeout, c.StatementTimeoutMS, time.Millisecond)
	override(&l.IdleInTransactionTimeout, c.IdleInTransactionTimeoutMS, time.Millisecond)
	override(&l.LockTimeout, c.LockTimeoutMS, time.Millisecond)
	return l
}

func override[T int | time.Duration](limit *T, value *int32, unit T) {
	if value != nil {
		*limit = T(*value) * unit
	}
}

// acquire takes a connection for the work of ctx, within its tenant's limits.
func (db *DB) acquire(ctx context.Context) (*bind.Session, func(), error) {
	var limits pool.Limits
	s := scopeOf(ctx)
	if s != nil && s.tenant != nil {
		l := &s.tenant.limits
		limits = pool.Limits{Connections: l.Connections, Waiting: l.Waiting, Wait: l.Wait}
	}
	session, release, err := db.pool.Acquire(ctx, key(ctx), limits)
	switch {
	case err == nil:
		return session, release, nil
	case errors.Is(err, pool.ErrWaiting):
		return nil, nil, &LimitError{Schema: s.tenant.Schema, Limit: LimitWaiting, Limits: s.tenant.limits}
	case errors.Is(err, pool.ErrWait):
		return nil, nil, &LimitError{Schema: s.tenant.Schema, Limit: LimitWait, Limits: s.tenant.limits}
	}
	return nil, nil, err
}

// Stat is what a DB is doing at the moment, and what it did.
type Stat struct {
	// Size is how many connections the DB may have for work.
	Size int `json:"size"`
	// InUse are those that work or are being made.
	InUse int `json:"in_use"`
	// Idle are those that are open and could work.
	Idle int `json:"idle"`

	// Waiting is how many units of work wait for a connection.
	Waiting int `json:"waiting"`
	// AtLimit is how many of these wait because their tenant has as many
	// connections as it may (Limits.Connections).
	AtLimit int `json:"at_limit"`

	// RefusedWaiting counts the units of work that Limits.Waiting refused.
	RefusedWaiting int64 `json:"refused_waiting"`
	// RefusedWait counts those that Limits.Wait refused.
	RefusedWait int64 `json:"refused_wait"`

	// Replaced counts the connections that were replaced between units of work:
	// too old, closed by the server, or with Config.TenantsPerConn tenants behind
	// them.
	Replaced int64 `json:"replaced"`
	// MostTenants is for how many tenants the connection has worked that has
	// worked for most. The server's memory follows from it; see
	// Config.TenantsPerConn.
	MostTenants int `json:"most_tenants"`
	// MeanTenants is the average of the connections that have worked.
	MeanTenants float64 `json:"mean_tenants"`
}

// Stat tells what the DB is doing. It is cheap; call it as often as you like.
func (db *DB) Stat() Stat { return Stat(db.pool.Stat()) }
