// Package bind is what is sent so that work runs as one tenant, and how the
// answer is checked.
//
// PostgreSQL runs everything up to one Sync of the extended protocol as one
// implicit transaction. So the bind statement and the user's statement, written
// to the network together, are a binding that lasts for that statement and
// leaves nothing behind, without BEGIN, COMMIT or a round trip of its own:
//
//	Bind/Execute  set_config(…, true) for search_path, tenant id, role and time-outs
//	Bind/Execute  SELECT … (the user's)
//	Sync
//
// The server skips the user's statement when the bind statement fails, and it
// fails unless the tenant's schema exists and is the one that the catalog
// means: PostgreSQL would ignore a missing schema in search_path and go on to
// the shared one.
//
// What statements look like is learned under a binding too, in a flight before the
// first: names resolve when a statement is parsed. Tenants whose schemas were
// migrated alike share it ([Descriptions]). A statement that a tenant runs again on
// a connection is prepared there for that tenant alone: PostgreSQL plans a prepared
// statement anew whenever search_path is another than the last time.
//
// A [Session] does this on one connection. Begin reading at [Session.Query].
package bind

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/rowhouse/rowhouse/internal/catalog"
	"github.com/rowhouse/rowhouse/internal/ident"
)

var (
	// ErrChanged: the tenant's schema or role is not the one that the catalog
	// means: it was dropped, renamed, recreated or moved.
	ErrChanged = catalog.ErrSchemaChanged
	// ErrNotAdmitted: the login may not become the role of the binding.
	ErrNotAdmitted = errors.New("the database login may not bind")
)

// Target says what a [Binding] binds to.
type Target struct {
	// Schema must exist under this name with this OID, or the work is refused.
	Schema    string
	SchemaOID uint32
	// Role is what the work runs as.
	Role string
	// SearchPath is its search_path, identifiers quoted.
	SearchPath string
	// ReadOnly makes PostgreSQL refuse writes.
	ReadOnly bool
	// TenantID is the value of the setting rowhouse.tenant_id. May be empty.
	TenantID string
	// Shape names what the tables of the schema look like: schemas of the same
	// shape share the descriptions of statements. Empty if that is not known.
	Shape string
	// Hold is the advisory lock that transactions and batches share, so that the
	// schema is not renamed while they run. 0 for none.
	Hold int64
	// The time-outs of PostgreSQL's settings of these names. 0 leaves the
	// server's; parts of milliseconds are rounded up.
	StatementTimeout, IdleInTransactionTimeout, LockTimeout time.Duration
}

// Binding is what a unit of work runs as. It is made once for each tenant and
// used by many connections at once.
type Binding struct {
	name string
	// own names the binding's own statements and descriptions, shape those that
	// it shares.
	own, shape string
	single     statementText // for one statement
	holding    statementText // for transactions and batches
	// apart: its tables are not what others of its shape look like.
	apart atomic.Bool
}

// statementText is a bind statement. The short text is for connections whose
// search_path is empty: it is copied by the server with each use, and its length
// can be measured. The shared text is that with parameters, the same for all
// tenants with the same settings; values are the tenant's. It takes the server some
// microseconds more to run, and need not be prepared for each tenant.
type statementText struct {
	short, qualified, shared string
	values                   [][]byte
}

// New makes a binding.
func New(t Target) *Binding {
	return &Binding{
		name: t.Schema,
		own:  strconv.FormatUint(uint64(t.SchemaOID), 10) + "/" + t.Shape, shape: t.Shape,
		single:  t.text(false),
		holding: t.text(true),
	}
}

func (t Target) text(hold bool) statementText {
	text := statementText{short: t.sql("", hold, ident.Literal), qualified: t.sql("pg_catalog.", hold, ident.Literal)}
	text.shared = t.sql("", hold, func(value string) string {
		text.values = append(text.values, []byte(value))
		return "$" + strconv.Itoa(len(text.values))
	})
	return text
}

// sql is the bind statement, whose functions and operators are those of the schema
// that qualifies them, and in which literal stands for the tenant's values. It has no rows and no columns, so that its answer is short,
// and one condition, in which set_config is called for everything: PostgreSQL
// leaves no argument of || out.
//
// The role is set in the expression that also holds the check: where the schema
// that bears the tenant's schema name is not the one of the catalog, the role asked
// for is "", which cannot exist, and the statement fails. The name is looked up when
// the statement is parsed, and it is parsed again after every change in
// pg_namespace (PlanCacheSysCallback in PostgreSQL's plancache.c): checking costs
// nothing as long as nothing changes. A parameter's is looked up with each use.
func (t Target) sql(qualifier string, hold bool, literal func(string) string) string {
	settings := [][2]string{{"search_path", t.SearchPath}, {"rowhouse.tenant_id", t.TenantID}}
	for _, timeout := range []struct {
		name  string
		value time.Duration
	}{
		{"statement_timeout", t.StatementTimeout},
		{"idle_in_transaction_session_timeout", t.IdleInTransactionTimeout},
		{"lock_timeout", t.LockTimeout},
	} {
		if timeout.value > 0 {
			ms := (timeout.value + time.Millisecond - 1) / time.Millisecond
			settings = append(settings, [2]string{timeout.name, strconv.FormatInt(int64(ms), 10)})
		}
	}
	if t.ReadOnly {
		// Nobody can take that back once a query has run in the transaction, as
		// this one has.
		settings = append(settings, [2]string{"transaction_read_only", "on"})
	}
	operator := func(op string) string {
		if qualifier == "" {
			return op
		}
		return " OPERATOR(" + qualifier + op + ") "
	}
	set := func(name, value string) string {
		return qualifier + "set_config(" + ident.Literal(name) + "," + value + ",true)"
	}
	var b strings.Builder
	b.WriteString("SELECT WHERE ")
	for _, s := range settings {
		b.WriteString(set(s[0], literal(s[1])) + operator("||"))
	}
	// A type may be shadowed by a temporary one, so its name is always qualified.
	check := literal(ident.Quote(t.Schema)) + "::pg_catalog.regnamespace" + operator("=") + literal(strconv.FormatUint(uint64(t.SchemaOID), 10)) + "::pg_catalog.oid"
	if hold && t.Hold != 0 {
		check += " AND " + qualifier + "pg_try_advisory_xact_lock_shared(" + literal(strconv.FormatInt(t.Hold, 10)) + ")"
	}
	b.WriteString(set("role", "CASE WHEN "+check+" THEN "+literal(t.Role)+" ELSE '' END") + " IS NULL")
	return b.String()
}

// failed explains an error that the bind statement got.
func (b *Binding) failed(err error) error {
	var pgErr *pgconn.PgError
	if !errors.As(err, &pgErr) {
		return fmt.Errorf("bind to schema %q: %w", b.name, err)
	}
	switch pgErr.Code {
	case "22023", "3F000": // the role (of the CASE's ELSE, or the tenant's own) or the schema does not exist
		return fmt.Errorf("bind to schema %q: %w: it, or its role, was dropped, renamed, recreated or moved: %w", b.name, ErrChanged, err)
	case "42501":
		return fmt.Errorf("bind to schema %q: %w: the operator must name it as an application login: %w", b.name, ErrNotAdmitted, err)
	}
	return fmt.Errorf("bind to schema %q: %w", b.name, err)
}
