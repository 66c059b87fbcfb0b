package sqldb

import (
	"database/sql/driver"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgtype"
)

// valueFunc makes a driver.Value of what PostgreSQL sent, which is not NULL.
type valueFunc func(src []byte) (driver.Value, error)

// newValueFunc chooses the driver.Value for a column, as pgx's own database/sql
// driver does: what database/sql has no type for is text.
func newValueFunc(m *pgtype.Map, f pgconn.FieldDescription) valueFunc {
	switch f.DataTypeOID {
	case pgtype.BoolOID:
		return scanning(m, f, asIs[bool])
	case pgtype.ByteaOID, pgtype.JSONOID, pgtype.JSONBOID, pgtype.XMLOID:
		return scanning(m, f, asIs[[]byte])
	case pgtype.Int2OID, pgtype.Int4OID, pgtype.Int8OID:
		return scanning(m, f, asIs[int64])
	case pgtype.Float4OID:
		return scanning(m, f, func(v float32) (driver.Value, error) { return float64(v), nil })
	case pgtype.Float8OID:
		return scanning(m, f, asIs[float64])
	case pgtype.CIDOID, pgtype.OIDOID, pgtype.XIDOID:
		return scanning(m, f, pgtype.Uint32.Value)
	case pgtype.DateOID:
		return scanning(m, f, pgtype.Date.Value)
	case pgtype.TimestampOID:
		return scanning(m, f, pgtype.Timestamp.Value)
	case pgtype.TimestamptzOID:
		return scanning(m, f, pgtype.Timestamptz.Value)
	}
	if f.Format == pgtype.TextFormatCode {
		return func(src []byte) (driver.Value, error) { return string(src), nil }
	}
	return func(src []byte) (driver.Value, error) {
		text, err := appendText(nil, m, f.DataTypeOID, src)
		if err != nil {
			return nil, err
		}
		return string(text), nil
	}
}

// scanning scans into a T, which is new each time, and goes on from there.
func scanning[T any](m *pgtype.Map, f pgconn.FieldDescription, value func(T) (driver.Value, error)) valueFunc {
	plan := m.PlanScan(f.DataTypeOID, f.Format, new(T))
	return func(src []byte) (driver.Value, error) {
		var v T
		if err := plan.Scan(src, &v); err != nil {
			return nil, err
		}
		return value(v)
	}
}

func asIs[T any](v T) (driver.Value, error) { return v, nil }
