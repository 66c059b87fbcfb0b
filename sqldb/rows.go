package sqldb

import (
	"database/sql/driver"
	"fmt"
	"io"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgtype"
)

// rows are pgx's as database/sql takes them. The first row is read ahead, so that
// the error of a statement comes with the statement. What is known of the columns
// is kept here: once the rows have ended the connection is another's.
type rows struct {
	found     pgx.Rows
	fields    []pgconn.FieldDescription
	typeNames []string
	values    []valueFunc
	ahead     bool // the next row is already read
}

var (
	_ driver.RowsColumnTypeDatabaseTypeName = (*rows)(nil)
	_ driver.RowsColumnTypeLength           = (*rows)(nil)
	_ driver.RowsColumnTypePrecisionScale   = (*rows)(nil)
	_ driver.RowsColumnTypeScanType         = (*rows)(nil)
)

func newRows(found pgx.Rows) (driver.Rows, error) {
	types := found.TypeMap()
	r := &rows{found: found, fields: slices.Clone(found.FieldDescriptions())}
	r.typeNames = make([]string, len(r.fields))
	for i, f := range r.fields {
		if t, ok := types.TypeForOID(f.DataTypeOID); ok {
			r.typeNames[i] = t.Name
		}
	}
	if r.ahead = found.Next(); !r.ahead {
		return r, plainError(found.Err())
	}
	r.values = make([]valueFunc, len(r.fields))
	for i, f := range r.fields {
		r.values[i] = newValueFunc(types, f)
	}
	return r, nil
}

// Columns are the names of the columns.
func (r *rows) Columns() []string {
	names := make([]string, len(r.fields))
	for i, f := range r.fields {
		names[i] = f.Name
	}
	return names
}

// Close reads what is left; outside of a transaction the statement is committed
// then.
func (r *rows) Close() error {
	r.found.Close()
	return plainError(r.found.Err())
}

// Next reads a row into dest. After the last it returns [io.EOF].
func (r *rows) Next(dest []driver.Value) error {
	if !r.ahead && !r.found.Next() {
		if err := r.found.Err(); err != nil {
			return plainError(err)
		}
		return io.EOF
	}
	r.ahead = false
	for i, src := range r.found.RawValues() {
		dest[i] = nil
		if src == nil {
			continue
		}
		var err error
		if dest[i], err = r.values[i](src); err != nil {
			return fmt.Errorf("sqldb: column %q: %w", r.fields[i].Name, err)
		}
	}
	return nil
}

// ColumnTypeDatabaseTypeName is the type's name in upper case or, if pgx does not
// know the type, its OID.
func (r *rows) ColumnTypeDatabaseTypeName(i int) string {
	if r.typeNames[i] == "" {
		return strconv.FormatUint(uint64(r.fields[i].DataTypeOID), 10)
	}
	return strings.ToUpper(r.typeNames[i])
}

// headerSize is what PostgreSQL adds to the length in a type's modifier.
const headerSize = 4

// ColumnTypeLength is the greatest length of a value of variable length.
func (r *rows) ColumnTypeLength(i int) (int64, bool) {
	modifier := int64(r.fields[i].TypeModifier)
	switch r.fields[i].DataTypeOID {
	case pgtype.TextOID, pgtype.ByteaOID:
		return math.MaxInt64, true
	case pgtype.VarcharOID, pgtype.BPCharOID:
		modifier -= headerSize
	case pgtype.VarbitOID:
	default:
		return 0, false
	}
	if modifier < 0 {
		return math.MaxInt64, true // declared without a length
	}
	return modifier, true
}

// ColumnTypePrecisionScale are those of a numeric that was declared with them.
func (r *rows) ColumnTypePrecisionScale(i int) (precision, scale int64, ok bool) {
	modifier := r.fields[i].TypeModifier - headerSize
	if r.fields[i].DataTypeOID != pgtype.NumericOID || modifier < 0 {
		return 0, 0, false
	}
	// The scale has 11 bits and a sign.
	const scaleBits, signBit = 0x7ff, 0x400
	return int64(modifier >> 16), int64(modifier&scaleBits^signBit) - signBit, true
}

// ColumnTypeScanType is a type that values of the column can be scanned into.
func (r *rows) ColumnTypeScanType(i int) reflect.Type {
	switch r.fields[i].DataTypeOID {
	case pgtype.Float8OID, pgtype.NumericOID:
		return reflect.TypeFor[float64]()
	case pgtype.Float4OID:
		return reflect.TypeFor[float32]()
	case pgtype.Int8OID:
		return reflect.TypeFor[int64]()
	case pgtype.Int4OID:
		return reflect.TypeFor[int32]()
	case pgtype.Int2OID:
		return reflect.TypeFor[int16]()
	case pgtype.BoolOID:
		return reflect.TypeFor[bool]()
	case pgtype.DateOID, pgtype.TimestampOID, pgtype.TimestamptzOID:
		return reflect.TypeFor[time.Time]()
	case pgtype.ByteaOID:
		return reflect.TypeFor[[]byte]()
	}
	return reflect.TypeFor[string]()
}

// noRows are the rows of a statement that gives none.
type noRows struct{}

// Columns returns nil.
func (noRows) Columns() []string { return nil }

// Close does nothing.
func (noRows) Close() error { return nil }

// Next returns [io.EOF].
func (noRows) Next([]driver.Value) error { return io.EOF }
