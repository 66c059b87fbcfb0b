package sqldb

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"net/netip"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/jackc/pgx/v5/pgtype"
)

// pgx asks for values in PostgreSQL's binary form wherever it knows one, and the
// root package leaves nobody else the choice. For the types that database/sql has
// none for, this file and nested.go write them as PostgreSQL would have.

var errBinary = errors.New("malformed binary value")

// appendText appends the text of a value in binary form. What only pgx knows, such
// as types that the application registered, is written as pgx writes arguments.
func appendText(buf []byte, m *pgtype.Map, oid uint32, src []byte) ([]byte, error) {
	t, ok := m.TypeForOID(oid)
	if !ok {
		return nil, fmt.Errorf("type with OID %d is not known to pgx: cast it to text", oid)
	}
	switch oid {
	case pgtype.BoolOID:
		return appendAs(buf, m, oid, src, func(b []byte, v bool) []byte { return strconv.AppendBool(b, v)[:len(b)+1] })
	case pgtype.Float4OID:
		return appendAs(buf, m, oid, src, func(b []byte, v float32) []byte { return appendFloat(b, float64(v), 32) })
	case pgtype.Float8OID:
		return appendAs(buf, m, oid, src, func(b []byte, v float64) []byte { return appendFloat(b, v, 64) })
	case pgtype.ByteaOID:
		return hex.AppendEncode(append(buf, `\x`...), src), nil
	case pgtype.InetOID, pgtype.CIDROID:
		return appendAs(buf, m, oid, src, func(b []byte, v netip.Prefix) []byte { return appendInet(b, v, oid) })
	case pgtype.TimeOID:
		return appendAs(buf, m, oid, src, func(b []byte, v pgtype.Time) []byte { return appendClock(b, uint64(v.Microseconds)) })
	case pgtype.IntervalOID:
		return appendAs(buf, m, oid, src, appendInterval)
	case pgtype.TimestamptzOID:
		return appendTimestamptz(buf, m, src)
	case pgtype.QCharOID:
		return appendChar(buf, src)
	case pgtype.NumericOID, pgtype.UUIDOID:
		return appendAs(buf, m, oid, src, func(b []byte, v string) []byte { return append(b, v...) })
	case pgtype.JSONBOID: // behind its version
		return append(buf, src[min(1, len(src)):]...), nil
	}
	switch codec := t.Codec.(type) {
	case pgtype.TextCodec, *pgtype.EnumCodec, *pgtype.JSONCodec, *pgtype.XMLCodec:
		return append(buf, src...), nil
	case *pgtype.ArrayCodec:
		return appendArray(buf, m, src, codec.Delimiter)
	case *pgtype.RangeCodec:
		return appendRange(buf, m, codec.ElementType.OID, src)
	case *pgtype.MultirangeCodec:
		return appendMultirange(buf, m, codec.ElementType.OID, src)
	case pgtype.RecordCodec, *pgtype.CompositeCodec:
		return appendRecord(buf, m, src)
	}
	return appendByPgx(buf, m, t, src)
}

// appendAs scans a value into a T and appends it.
func appendAs[T any](buf []byte, m *pgtype.Map, oid uint32, src []byte, add func([]byte, T) []byte) ([]byte, error) {
	var v T
	if err := m.Scan(oid, pgtype.BinaryFormatCode, src, &v); err != nil {
		return nil, err
	}
	return add(buf, v), nil
}

// appendByPgx appends a value as pgx would send it as an argument in text form.
func appendByPgx(buf []byte, m *pgtype.Map, t *pgtype.Type, src []byte) ([]byte, error) {
	v, err := t.Codec.DecodeValue(m, t.OID, pgtype.BinaryFormatCode, src)
	if err != nil {
		return nil, err
	}
	return m.Encode(t.OID, pgtype.TextFormatCode, v, buf)
}

// appendChar writes a "char": one byte, of which zero is no text, and what is not
// ASCII is octal.
func appendChar(buf, src []byte) ([]byte, error) {
	switch {
	case len(src) != 1:
		return nil, errBinary
	case src[0] == 0:
		return buf, nil
	case src[0] >= utf8.RuneSelf:
		return fmt.Appendf(buf, `\%03o`, src[0]), nil
	}
	return append(buf, src[0]), nil
}

// appendFloat writes the shortest number that reads back the same.
func appendFloat(buf []byte, v float64, bits int) []byte {
	switch {
	case math.IsInf(v, 1):
		return append(buf, "Infinity"...)
	case math.IsInf(v, -1):
		return append(buf, "-Infinity"...)
	case math.IsNaN(v):
		return append(buf, "NaN"...)
	}
	// PostgreSQL writes an exponent below 1e-4 and from the type's digits on.
	above := 1e15
	if bits == 32 {
		above = 1e6
	}
	if abs := math.Abs(v); abs != 0 && (abs < 1e-4 || abs >= above) {
		return strconv.AppendFloat(buf, v, 'e', -1, bits)
	}
	return strconv.AppendFloat(buf, v, 'f', -1, bits)
}

// appendInet writes an address. That of a host has no length if it is an inet.
func appendInet(buf []byte, v netip.Prefix, oid uint32) []byte {
	if oid == pgtype.InetOID && v.Bits() == v.Addr().BitLen() {
		return v.Addr().AppendTo(buf)
	}
	return v.AppendTo(buf)
}

const (
	second = 1_000_000 // in microseconds
	minute = 60 * second
	hour   = 60 * minute
)

// appendClock writes microseconds as hours, minutes and seconds.
func appendClock(buf []byte, micros uint64) []byte {
	buf = fmt.Appendf(buf, "%02d:%02d:%02d", micros/hour, micros%hour/minute, micros%minute/second)
	if micros%second == 0 {
		return buf
	}
	return append(buf, strings.TrimRight(fmt.Sprintf(".%06d", micros%second), "0")...)
}

// appendInterval writes an interval in the style "postgres".
func appendInterval(buf []byte, v pgtype.Interval) []byte {
	switch {
	case v.Months == math.MaxInt32 && v.Days == math.MaxInt32 && v.Microseconds == math.MaxInt64:
		return append(buf, "infinity"...)
	case v.Months == math.MinInt32 && v.Days == math.MinInt32 && v.Microseconds == math.MinInt64:
		return append(buf, "-infinity"...)
	}
	start, plus := len(buf), ""
	for _, part := range []struct {
		n    int32
		unit string
	}{{v.Months / 12, "year"}, {v.Months % 12, "mon"}, {v.Days, "day"}} {
		if part.n == 0 {
			continue
		}
		if len(buf) > start {
			buf = append(buf, ' ')
		}
		if part.n > 0 {
			buf = append(buf, plus...)
		}
		buf = fmt.Appendf(buf, "%d %s", part.n, part.unit)
		if part.n != 1 {
			buf = append(buf, 's')
		}
		// A sign is written where it differs from that of what is before.
		plus = ""
		if part.n < 0 {
			plus = "+"
		}
	}
	if v.Microseconds == 0 && len(buf) > start {
		return buf
	}
	if len(buf) > start {
		buf = append(buf, ' ')
	}
	if v.Microseconds < 0 {
		return appendClock(append(buf, '-'), -uint64(v.Microseconds))
	}
	return appendClock(append(buf, plus...), uint64(v.Microseconds))
}

// appendTimestamptz writes a time, in UTC.
func appendTimestamptz(buf []byte, m *pgtype.Map, src []byte) ([]byte, error) {
	var v pgtype.Timestamptz
	if err := m.Scan(pgtype.TimestamptzOID, pgtype.BinaryFormatCode, src, &v); err != nil {
		return nil, err
	}
	text, err := m.Encode(pgtype.TimestamptzOID, pgtype.TextFormatCode, v, nil)
	if err != nil {
		return nil, err
	}
	return append(buf, bytes.Replace(text, []byte("Z"), []byte("+00"), 1)...), nil
}
