package pool

import (
	"context"
	"crypto/rand"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/rowhouse/rowhouse/internal/bind"
)

// client is one of the clients of a self-test. It is for one goroutine at a time.
type client struct {
	test    *selfTest
	name    string
	role    string // of its markers
	resting string // the role between units of work
	session *bind.Session
	last    int // number of the last marker
}

// state is what a statement reads of the session that it runs in. A unit of work
// is bound to one as its marker.
type state struct {
	Backend            uint32
	Tenant, Path, Role string
}

// stateSQL reads a state. current_setting('role') is what SET ROLE set, "none" if
// nothing.
const stateSQL = `
SELECT pg_catalog.pg_backend_pid()::pg_catalog.int8,
       COALESCE(pg_catalog.current_setting('rowhouse.tenant_id', true), ''),
       pg_catalog.current_setting('search_path'),
       pg_catalog.current_setting('role')`

// loginSQL asks whether the login may bind at all, for the role between units of
// work, and for roles to be markers: the login itself, which everybody may become,
// and one other of which it is a member, if there is one. A superuser is a member of
// all.
const loginSQL = `
SELECT pg_catalog.has_function_privilege('pg_catalog.set_config(text, text, boolean)', 'EXECUTE'),
       pg_catalog.current_setting('role'), session_user::pg_catalog.text, COALESCE((
    SELECT r.rolname::pg_catalog.text FROM pg_catalog.pg_roles l
    LEFT JOIN pg_catalog.pg_auth_members m ON m.member = l.oid
    JOIN pg_catalog.pg_roles r ON r.oid = m.roleid OR l.rolsuper AND r.rolname = 'pg_monitor'
    WHERE l.rolname = session_user AND pg_catalog.pg_has_role(l.oid, r.oid,
        CASE WHEN pg_catalog.current_setting('server_version_num')::pg_catalog.int4 >= 160000 THEN 'SET' ELSE 'MEMBER' END)
    LIMIT 1), session_user::pg_catalog.text)`

// errCannotBind: no work of any tenant could run as this login, leaks or not.
var errCannotBind = fmt.Errorf("%w: it may not call set_config", bind.ErrNotAdmitted)

// markerPrefix begins the marker's values. No schema or tenant of anybody is called
// so.
const markerPrefix = "rowhouse_selftest_"

// join connects a client and gets it a backend for the first time.
func (t *selfTest) join(ctx context.Context, name string) (*client, error) {
	conn, err := pgx.ConnectConfig(ctx, t.cfg.Copy())
	if err != nil {
		return nil, fmt.Errorf("connect client %s: %w", name, err)
	}
	c := &client{test: t, name: markerPrefix + strings.ToLower(rand.Text()[:8]) + "_" + name}
	if c.session, err = bind.NewSession(ctx, conn, bind.Config{Mode: bind.Described, Descriptions: bind.NewDescriptions(10)}); err == nil {
		err = c.chooseRole(ctx, name == "a")
	}
	if err != nil {
		_ = conn.Close(context.WithoutCancel(ctx))
		return nil, c.failed("run a statement", err)
	}
	return c, nil
}

// chooseRole chooses the role of the client's markers: the login, or another if
// there is one.
func (c *client) chooseRole(ctx context.Context, another bool) error {
	var binds bool
	var login, other string
	if err := c.session.Conn().QueryRow(ctx, loginSQL).Scan(&binds, &c.resting, &login, &other); err != nil {
		return err
	}
	if c.role = login; another {
		c.role = other
	}
	if !binds {
		return errCannotBind
	}
	return nil
}

// close closes the client's connection, whatever is open on it. c may be nil.
func (c *client) close(ctx context.Context) {
	if c == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), busyPatience)
	defer cancel()
	_ = c.session.Conn().Close(ctx) // closed it is, whatever the pooler says
}

// mark is the marker of the next unit of work, unlike all others.
func (c *client) mark() (state, *bind.Binding) {
	c.last++
	name := fmt.Sprintf("%s%d", c.name, c.last)
	m := state{Tenant: name, Path: name, Role: c.role}
	return m, bind.New(bind.Target{
		Schema: "pg_catalog", SchemaOID: 11, // of every database
		Role: m.Role, SearchPath: m.Path, TenantID: m.Tenant,
	})
}

// read runs stateSQL after a prelude.
func (c *client) read(ctx context.Context, prelude bind.Prelude) (s state, err error) {
	rows, err := c.session.Query(ctx, prelude, stateSQL, nil)
	if err != nil {
		return s, err
	}
	return pgx.CollectExactlyOneRow(rows, pgx.RowToStructByPos[state])
}

// unit is a unit of work of one statement.
func (c *client) unit(ctx context.Context) error {
	marker, binding := c.mark()
	got, err := c.read(ctx, bind.Prelude{Binding: binding})
	if err != nil {
		return c.failed("run a bound statement", err)
	}
	if err := c.inside("a bound statement", marker, got, cureTears); err != nil {
		return err
	}
	return c.idle(got.Backend)
}

// work is a unit of work, and a look at what comes after it.
func (c *client) work(ctx context.Context) error {
	if err := c.unit(ctx); err != nil {
		return err
	}
	return c.unbound(ctx)
}

// begin begins a transaction and reads its first statement.
func (c *client) begin(ctx context.Context) (state, error) {
	marker, binding := c.mark()
	got, err := c.read(ctx, bind.Prelude{Binding: binding, Begin: "begin"})
	if err != nil {
		return marker, c.failed("begin a transaction", err)
	}
	marker.Backend = got.Backend
	if err := c.inside("the first statement of a transaction", marker, got, cureMode); err != nil {
		return marker, err
	}
	return marker, c.open(marker)
}

// finish runs more statements in a transaction and ends it.
func (c *client) finish(ctx context.Context, marker state, end string) error {
	for range 2 {
		got, err := c.read(ctx, bind.Prelude{})
		if err != nil {
			return c.failed("run the next statement of a transaction", err)
		}
		if got.Backend != marker.Backend {
			return c.unsafe(got.Backend, fmt.Sprintf("a transaction that began on backend %d went on", marker.Backend), cureMode)
		}
		if err := c.inside("a later statement of a transaction", marker, got, cureMode); err != nil {
			return err
		}
		if err := c.open(marker); err != nil {
			return err
		}
	}
	finish := c.session.Commit
	if end == "rollback" {
		finish = c.session.Rollback
	}
	if err := finish(ctx); err != nil {
		return c.failed("end a transaction", err)
	}
	return c.idle(marker.Backend)
}

// unbound reads what there is between units of work: nothing of anybody.
func (c *client) unbound(ctx context.Context) error {
	got, err := c.read(ctx, bind.Prelude{})
	if err != nil {
		return c.failed("run a statement between units of work", err)
	}
	if err := c.idle(got.Backend); err != nil {
		return err
	}
	left := ""
	switch {
	case got.Tenant != "":
		left = fmt.Sprintf("rowhouse.tenant_id = %q", got.Tenant)
	case strings.Contains(got.Path, markerPrefix):
		left = fmt.Sprintf("search_path = %q", got.Path)
	case got.Role != c.resting:
		left = fmt.Sprintf("role = %q", got.Role)
	default:
		return nil
	}
	return c.unsafe(got.Backend, left+" was left after a unit of work", cureLeaves)
}

// inside compares what a statement read with the marker of its unit of work.
func (c *client) inside(what string, want, got state, cure string) error {
	for _, s := range []struct{ name, want, got string }{
		{"rowhouse.tenant_id", want.Tenant, got.Tenant},
		{"search_path", want.Path, got.Path},
		{"role", want.Role, got.Role},
	} {
		switch {
		case s.got == s.want:
		case strings.Contains(s.got, markerPrefix):
			return c.unsafe(got.Backend, fmt.Sprintf("%s read another client's %s, %q", what, s.name, s.got), cureMixes)
		default:
			return c.unsafe(got.Backend, fmt.Sprintf("%s had lost its %s and read %q", what, s.name, s.got), cure)
		}
	}
	return nil
}

// open checks that the transaction is still open after a statement.
func (c *client) open(marker state) error {
	if c.session.Conn().PgConn().TxStatus() == 'T' {
		return nil
	}
	return c.unsafe(marker.Backend, "a transaction was no longer open after a statement", cureMode)
}

// idle checks that nothing is open between units of work.
func (c *client) idle(backend uint32) error {
	if c.session.Conn().PgConn().TxStatus() == 'I' {
		return nil
	}
	return c.unsafe(backend, "a unit of work ran within a transaction that somebody else had opened", cureMixes)
}

// failed looks at an error of a statement that has no reason to fail. err may be
// nil.
func (c *client) failed(doing string, err error) error {
	if err == nil {
		return nil
	}
	if pgErr, cure := torn(err); pgErr != nil {
		return c.unsafe(0, fmt.Sprintf("it did not let a client %s (%v)", doing, pgErr), cure)
	}
	return fmt.Errorf("%s: %w", doing, err)
}

// unsafe makes an [ErrPooler]. backend may be 0.
func (c *client) unsafe(backend uint32, what, cure string) error {
	where := ""
	if backend != 0 {
		where = fmt.Sprintf(" on backend %d", backend)
	}
	return fmt.Errorf("%w: %s%s; %s", ErrPooler, what, where, cure)
}
