package rowhousecli

import (
	"errors"
	"fmt"
	"iter"
	"slices"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/rowhouse/rowhouse"
)

// acrossConns is how many connections a statement runs on as all tenants.
const acrossConns = 4

// allRows prints the rows of many tenants, each after its schema name.
type allRows struct {
	session *session
	fields  []pgconn.FieldDescription // of the tenant whose rows came first
	writer  rowWriter                 // nil before
	tenants int
	rows    int
	failed  int
}

// queryAll runs the statement as all tenants that are served and prints what comes.
func (s *session) queryAll(kind, statement string) error {
	db, err := s.application(acrossConns)
	if err != nil {
		return err
	}
	defer db.Close()
	a := &allRows{session: s}
	served := a.counted(db.Tenants(s.ctx(), rowhouse.TenantFilter{Kind: kind}))
	for row, err := range rowhouse.Across(s.ctx(), db, served, a.scan, statement) {
		var one *rowhouse.TenantError
		switch {
		case errors.As(err, &one):
			a.fail(one)
		case err != nil:
			return a.end(err)
		default:
			if err := a.print(row.Tenant.Schema, row.Value); err != nil {
				return err
			}
		}
	}
	return a.end(nil)
}

// counted counts the tenants of a sequence.
func (a *allRows) counted(tenants iter.Seq2[*rowhouse.Tenant, error]) iter.Seq2[*rowhouse.Tenant, error] {
	return func(yield func(*rowhouse.Tenant, error) bool) {
		for t, err := range tenants {
			if err == nil {
				a.tenants++
			}
			if !yield(t, err) {
				return
			}
		}
	}
}

// scan copies the values of a row, whose columns must be those of all others.
func (a *allRows) scan(row pgx.CollectableRow) ([][]byte, error) {
	fields := row.FieldDescriptions()
	if a.writer == nil {
		a.begin(slices.Clone(fields))
	}
	if !slices.EqualFunc(fields, a.fields, sameColumn) {
		return nil, errors.New("its columns are not those of the tenants that were printed before; name the columns that all have")
	}
	values := slices.Clone(row.RawValues())
	for i, v := range values {
		values[i] = slices.Clone(v)
	}
	return values, nil
}

// sameColumn tells whether columns of two tenants are alike. A type that is not
// PostgreSQL's own may be another in each tenant.
func sameColumn(x, y pgconn.FieldDescription) bool {
	own := x.DataTypeOID >= firstUserOID && y.DataTypeOID >= firstUserOID
	return x.Name == y.Name && (own || x.DataTypeOID == y.DataTypeOID)
}

// begin settles the columns.
func (a *allRows) begin(fields []pgconn.FieldDescription) {
	a.fields = fields
	types := pgtype.NewMap()
	textTypes(types)
	tenant := pgconn.FieldDescription{Name: "tenant", DataTypeOID: pgtype.TextOID}
	a.writer = a.session.rowWriter(slices.Concat([]pgconn.FieldDescription{tenant}, fields), types)
}

func (a *allRows) print(schema string, values [][]byte) error {
	a.rows++
	return a.writer.row(slices.Concat([][]byte{[]byte(schema)}, values))
}

// fail tells of a tenant that the statement failed for.
func (a *allRows) fail(one *rowhouse.TenantError) {
	a.failed++
	message := redact(plain(one.Err.Error()))
	say(a.session.cmd.ErrOrStderr(), "error", fmt.Sprintf("tenant %q: %s", one.Tenant.Schema, message))
}

// end prints what is left, and how it went. ended is what ended the rows, nil after
// the last.
func (a *allRows) end(ended error) error {
	if a.writer == nil {
		a.begin(nil)
	}
	if err := a.writer.end(ended); err != nil {
		return err
	}
	a.session.note("%s of %s", count(a.rows, "row", "rows"), count(a.tenants, "tenant", "tenants"))
	if a.failed > 0 {
		return &ExitError{Code: ExitSomeFailed, Err: fmt.Errorf("%d of %s failed", a.failed, count(a.tenants, "tenant", "tenants"))}
	}
	return nil
}
