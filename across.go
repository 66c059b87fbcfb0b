package rowhouse

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/rowhouse/rowhouse/internal/bind"
	"github.com/rowhouse/rowhouse/internal/catalog"
)

// TenantRow is a row and whose it is.
type TenantRow[T any] struct {
	// Tenant is whose row it is.
	Tenant *Tenant
	// Value is the row.
	Value T
}

// TenantError: what was done for many tenants failed for one of them. It wraps why,
// one of the errors of [DB.Query].
type TenantError struct {
	// Tenant is the one that it failed for.
	Tenant *Tenant
	// Err is why.
	Err error
}

// Error names the tenant and says why.
func (e *TenantError) Error() string {
	if e.Tenant == nil {
		return e.Err.Error()
	}
	return fmt.Sprintf("tenant %q: %v", e.Tenant.Schema, e.Err)
}

// Unwrap returns Err.
func (e *TenantError) Unwrap() error { return e.Err }

// Across runs a query as each of many tenants and yields their rows, each with its
// tenant. scan is one of pgx's RowTo functions, or the caller's own.
//
//	tickets := rowhouse.Across(ctx, db, db.Tenants(ctx, rowhouse.TenantFilter{}),
//		pgx.RowTo[int], `SELECT count(*) FROM tickets`)
//	for row, err := range tickets { … }
//
// What fails for one tenant is yielded as a [*TenantError] ([errors.As]), and the
// others go on: ErrTenantUnavailable for a tenant that is not served, ErrTenantChanged,
// what PostgreSQL or scan says. A query may fail after some of its rows were yielded.
// Any other error is the last: that of ctx, of the sequence of tenants, of
// connecting, ErrStatementRefused. Every tenant of the sequence has rows, or an
// error, or there are no rows, unless the iteration ends early.
//
// Each tenant's query is a unit of work of its own, in which PostgreSQL refuses to
// write (code 25006): tenants are not read at the same moment, and come in any order.
// The rows of one come together, and in their order.
//
// Tenants are asked in chunks of some dozens, each in one network write, on
// Config.AcrossConns connections at most, and only on one while others wait for
// connections. Behind a pooler it is one connection, and a round trip for each
// tenant. Limits.Connections, Waiting and Wait do not count; the time-outs do.
//
// Rows are read from the server as the loop takes them. A loop that is slow so
// keeps these connections, each for as long as it takes with the rows of a chunk:
// with Config.MaxConns of 1 nobody else has one meanwhile, and a loop that uses db
// itself would wait for itself. When the loop is left, or ctx ends, what is still
// to come is cancelled in the server.
func Across[T any](ctx context.Context, db *DB, tenants iter.Seq2[*Tenant, error], scan pgx.RowToFunc[T], sql string, args ...any) iter.Seq2[TenantRow[T], error] {
	return func(yield func(TenantRow[T], error) bool) {
		s := newSurvey(ctx, db, sql, args)
		defer s.close()
		s.rows = func(t *Tenant, rows pgx.Rows) error {
			for rows.Next() {
				v, err := scan(rows)
				if err != nil {
					return err
				}
				if !yield(TenantRow[T]{t, v}, nil) {
					return errEnough
				}
			}
			return nil
		}
		s.failed = func(t *Tenant, err error) error {
			if !yield(TenantRow[T]{Tenant: t}, &TenantError{t, err}) {
				return errEnough
			}
			return nil
		}
		if err := s.run(tenants); err != nil && !errors.Is(err, errEnough) {
			yield(TenantRow[T]{}, err)
		}
	}
}

// errEnough: who iterates has had enough.
var errEnough = errors.New("enough")

const (
	// chunkTenants is how many tenants are asked at once on a connection.
	chunkTenants = 48
	// maxPending is how many tenants are kept, some kilobytes each, so that those of
	// the same connection come together.
	maxPending = 1024
)

// survey is one iteration of [Across]. All of it runs in the goroutine of who
// iterates; what is parallel is the work of the servers.
type survey struct {
	ctx    context.Context
	cancel context.CancelFunc
	db     *DB
	sql    string
	args   []any
	chunk  int // how many tenants at most
	// pending are who was not asked yet, by their home: a server's memory grows
	// with each tenant that it works for.
	pending [][]*Tenant
	count   int // of them
	open    []*chunk
	// rows hands out a tenant's rows, failed its error. They return errEnough, and
	// rows what scan returns.
	rows   func(*Tenant, pgx.Rows) error
	failed func(*Tenant, error) error
}

// chunk is some tenants that are asked on one connection.
type chunk struct {
	tenants []*Tenant
	answers *bind.Across
	release func()
}

func newSurvey(ctx context.Context, db *DB, sql string, args []any) *survey {
	s := &survey{
		db: db, sql: sql, args: args,
		chunk: min(chunkTenants, db.pool.TenantsPerConn()), pending: make([][]*Tenant, db.pool.Slots()),
	}
	s.ctx, s.cancel = context.WithCancel(ctx)
	return s
}

// run asks all tenants.
func (s *survey) run(tenants iter.Seq2[*Tenant, error]) error {
	for t, err := range tenants {
		if err != nil {
			return err
		}
		if err := s.add(t); err != nil {
			return err
		}
	}
	for s.count > 0 || len(s.open) > 0 {
		if err := s.launch(1); err != nil {
			return err
		}
		if err := s.step(); err != nil {
			return err
		}
	}
	return s.overdue()
}

// overdue is the error of the context.
func (s *survey) overdue() error {
	if err := s.ctx.Err(); err != nil {
		return fmt.Errorf("rowhouse: read across tenants: %w", err)
	}
	return nil
}

// add takes one tenant more.
func (s *survey) add(t *Tenant) error {
	if err := s.overdue(); err != nil {
		return err
	}
	if _, err := s.db.binding(WithTenant(s.ctx, t)); err != nil {
		return s.failed(t, err)
	}
	s.put(t)
	if err := s.launch(s.chunk); err != nil {
		return err
	}
	if s.count >= maxPending || len(s.open) > 0 && s.db.pool.Pooled() {
		return s.step() // the sequence of tenants may need the pooler's only backend
	}
	return nil
}

func (s *survey) put(t *Tenant) {
	home := s.db.pool.Home(t.ID)
	s.pending[home] = append(s.pending[home], t)
	s.count++
}

// launch sends the chunks whose connections can be had without waiting: where at
// least so many tenants are pending.
func (s *survey) launch(least int) error {
	for home := 0; home < len(s.pending) && len(s.open) < s.db.across; home++ {
		if len(s.pending[home]) < least {
			continue
		}
		tenants := s.first(home)
		session, release, err := s.db.pool.TryAcquireMany(s.ctx, ids(tenants))
		if err == nil && session != nil {
			err = s.send(home, tenants, session, release)
		}
		if err != nil {
			return fmt.Errorf("rowhouse: %w", err)
		}
	}
	return nil
}

// step goes on where it has to be waited: for the answers to what was sent first,
// or for a connection when there are none to come. So who waits holds none.
func (s *survey) step() error {
	if len(s.open) > 0 {
		return s.read(s.open[0])
	}
	fullest := 0
	for home := range s.pending {
		if len(s.pending[home]) > len(s.pending[fullest]) {
			fullest = home
		}
	}
	tenants := s.first(fullest)
	session, release, err := s.db.pool.AcquireMany(s.ctx, ids(tenants))
	if err == nil {
		err = s.send(fullest, tenants, session, release)
	}
	if err != nil {
		return fmt.Errorf("rowhouse: %w", err)
	}
	return nil
}

// first are the tenants of a home that are next.
func (s *survey) first(home int) []*Tenant {
	return slices.Clone(s.pending[home][:min(len(s.pending[home]), s.chunk)])
}

func ids(tenants []*Tenant) []string {
	ids := make([]string, len(tenants))
	for i, t := range tenants {
		ids[i] = t.ID
	}
	return ids
}

// send asks the first tenants of a home.
func (s *survey) send(home int, tenants []*Tenant, session *bind.Session, release func()) error {
	bindings := make([]*bind.Binding, len(tenants))
	for i, t := range tenants {
		bindings[i] = t.binding
	}
	answers, err := session.Across(s.ctx, bindings, s.sql, s.args)
	if err != nil {
		release()
		return err
	}
	s.open = append(s.open, &chunk{tenants, answers, release})
	s.pending[home] = slices.Clone(s.pending[home][len(tenants):])
	s.count -= len(tenants)
	return nil
}

// read hands out the answers to a chunk, the first of those that are open. Tenants
// that were not answered since the connection was lost are asked again.
func (s *survey) read(c *chunk) error {
	for c.answers.Next() {
		if err := s.readTenant(c.tenants[c.answers.Index()], c.answers); err != nil {
			return err
		}
	}
	if err := s.overdue(); err != nil {
		return err
	}
	left := c.answers.Left()
	if len(left) == len(c.tenants) {
		return fmt.Errorf("rowhouse: read across tenants: %w", c.answers.Err())
	}
	for _, i := range left {
		s.put(c.tenants[i])
	}
	s.open = s.open[1:]
	c.end()
	return nil
}

// readTenant hands out the answer to one tenant.
func (s *survey) readTenant(t *Tenant, answers *bind.Across) error {
	rows, err := answers.Rows()
	if err == nil {
		if err = s.rows(t, rows); errors.Is(err, errEnough) {
			return err
		}
		if doneErr := answers.Done(); err == nil {
			err = doneErr
		}
	}
	if err == nil {
		return nil
	}
	if err := s.overdue(); err != nil {
		return err
	}
	return s.failed(t, s.db.failed(WithTenant(s.ctx, t), err))
}

// end gives the connection back.
func (c *chunk) end() {
	c.answers.Close()
	c.release()
}

// close cancels what is open.
func (s *survey) close() {
	s.cancel()
	for _, c := range s.open {
		c.end()
	}
}

// acrossConns is how many connections a survey uses: what the Config says, within
// what there is. Behind a pooler it is one: a survey holds the connections whose
// rows it has not read yet, and the pooler may have no other for the next.
func acrossConns(configured, slots int, pooled bool) int {
	if pooled {
		return 1
	}
	if configured <= 0 {
		configured = min(slots/4, 4)
	}
	return max(1, min(configured, slots))
}

// TenantFilter says which tenants [DB.Tenants] lists. The zero value is all that
// are served.
type TenantFilter struct {
	// Kind, if not empty, is the kind of the tenants.
	Kind string
	// States are the states that they may be in. Defaults to those that are served:
	// active and read_only.
	States []State
}

// pageTenants is how many tenants are read from the catalog at once.
const pageTenants = 256

// Tenants lists tenants from the catalog, in the order of their IDs, some hundreds at
// a time. A tenant that is there from beginning to end is listed once, whatever is
// renamed meanwhile; one that is created meanwhile may be missed. An error is
// the last that is yielded.
func (db *DB) Tenants(ctx context.Context, filter TenantFilter) iter.Seq2[*Tenant, error] {
	states := []string{catalog.Active, catalog.ReadOnly}
	if len(filter.States) > 0 {
		states = nil
		for _, s := range filter.States {
			states = append(states, string(s))
		}
	}
	return func(yield func(*Tenant, error) bool) {
		for after := catalog.FirstID; ; {
			page, err := catalog.Page(ctx, db.pool, after, filter.Kind, states, pageTenants)
			if err != nil {
				yield(nil, fmt.Errorf("rowhouse: %w", err))
				return
			}
			for _, row := range page {
				if !yield(NewTenant(row, db.settings, db.limits), nil) {
					return
				}
				after = row.ID
			}
			if len(page) < pageTenants {
				return
			}
		}
	}
}
