package sqldb_test

import (
	"context"
	"database/sql"
	"fmt"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgtype"
	_ "github.com/jackc/pgx/v5/stdlib" // what the view is compared with
)

// literals are values of each type. None holds a comma, as lists of them are made.
var literals = map[string][]string{
	"bool":                  {"true", "false"},
	"int2":                  {"'-32768'", "7"},
	"int4":                  {"'-2147483648'", "7"},
	"int8":                  {"'-9223372036854775808'", "7"},
	"float4":                {"'0'", "'-0'", "1.5", "1e-5", "1e6", "123456", "'NaN'", "'-Infinity'", "3.4028235e38"},
	"float8":                {"'0'", "0.1", "0.0001", "0.00001", "1e14", "1e15", "123456789012345", "1e300", "'NaN'", "'Infinity'", "'-Infinity'"},
	"numeric":               {"0", "1.50", "-0.000100", "1e30", "12345678901234567890.123", "'NaN'", "'Infinity'", "'-Infinity'"},
	"numeric(10, 2)":        {"1.5"},
	"money":                 {"12.34"},
	"text":                  {"''", "'a b'", `'quo"te'`, `'back\slash'`, "'null'", "'{x}'", "'ü€'", `'tab	line'`, "'(x)'", "'[x]'", "'a;b'"},
	"varchar(20)":           {"'abc'"},
	"varchar":               {"'abc'"},
	"bpchar(5)":             {"'abc'"},
	"name":                  {"'abc'"},
	`"char"`:                {"'x'", "''", `'\377'`},
	"bytea":                 {`'\x0001ff'`, "''"},
	"uuid":                  {"'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'"},
	"date":                  {"'2024-02-29'", "'0044-03-15 BC'", "'infinity'"},
	"time":                  {"'00:00'", "'12:34:56.789'", "'24:00'"},
	"timetz":                {"'12:34:56+02'"},
	"timestamp":             {"'2024-02-29 12:34:56.789'", "'2024-02-29'", "'infinity'", "'-infinity'"},
	"timestamptz":           {"'2024-02-29 12:34:56.789+02'", "'2024-02-29+00'", "'infinity'"},
	"interval":              {"'0'", "'1 year'", "'2 years 1 mon -3 days'", "'-1 year 2 days'", "'1 day -01:02:03.5'", "'-1 day 04:00'", "'100:00:00.000001'", "'-00:00:01'", "'1 mon 1 day'"},
	"json":                  {`'{"a": [1]}'`, "'null'"},
	"jsonb":                 {`'{"a": [1]}'`, "'null'"},
	"xml":                   {"'<a>b</a>'"},
	"inet":                  {"'10.0.0.1'", "'10.0.0.1/8'", "'::1'", "'2001:db8::/32'"},
	"cidr":                  {"'10.0.0.0/8'", "'10.0.0.1/32'", "'2001:db8::/32'"},
	"macaddr":               {"'08:00:2b:01:02:03'"},
	"macaddr8":              {"'08:00:2b:01:02:03:04:05'"},
	"bit(5)":                {"'10101'"},
	"varbit":                {"'101'", "''"},
	"oid":                   {"4294967295"},
	"xid":                   {"'7'"},
	"xid8":                  {"'7'"},
	"cid":                   {"'7'"},
	"tid":                   {"'(1,2)'"},
	"point":                 {"'(1.5,-2)'"},
	"line":                  {"'{1,2,3}'"},
	"lseg":                  {"'[(1,2),(3,4)]'"},
	"box":                   {"'(3,4),(1,2)'"},
	"path":                  {"'[(1,2),(3,4)]'", "'((1,2),(3,4))'"},
	"polygon":               {"'((1,2),(3,4),(5,6))'"},
	"circle":                {"'<(1,2),3>'"},
	"tsvector":              {"'fat:2A cat:1'"},
	"tsquery":               {"'fat & cat'"},
	"int4range":             {"'[1,5)'", "'empty'", "'(,5)'", "'[1,)'", "'(,)'"},
	"numrange":              {"'[1.50,5]'", "'(1,2)'"},
	"daterange":             {"'[2024-01-01,2024-02-01)'"},
	"tsrange":               {"'[2024-01-01 10:00,2024-02-01)'"},
	"tstzrange":             {"'[2024-01-01 10:00+02,)'"},
	"int4multirange":        {"'{}'", "'{[1,5),[7,9)}'"},
	"tstzmultirange":        {"'{[2024-01-01 10:00+02,)}'"},
	"mood":                  {"'happy'"},
	"posint":                {"7"},
	"pair":                  {`ROW(1, 'a "b", c')`},
	"pg_catalog.regclass":   {"'pg_class'"},
	"pg_catalog.jsonpath":   {"'$.a'"},
	"pg_catalog.int2vector": {"'1 2'"},
}

// wholes are values of types made of others, and NULLs.
var wholes = []string{
	"'{}'::int[]", "'[2:3]={1,2}'::int[]", "'{{1,2},{3,NULL}}'::int[]", "'[0:0][2:3]={{1,2}}'::int[]", "'{{{1},{2}}}'::text[]",
	"ROW(1, NULL, 'a b', '', 'x,y', true, '{1,2}'::int[])", `ROW('q"b\s')`, "ROW()", "ARRAY[ROW(1, 'a'), ROW(2, 'b')]",
	"'{NULL,\"null\",a}'::text[]", "NULL", "'unknown'",
}

// Each type gives the driver.Value that pgx's own driver gives on a plain
// connection: alone, in an array, and as NULL.
func TestTypesAreThoseOfPgx(t *testing.T) {
	t.Parallel()
	everyWay(t, func(t *testing.T, via func(*fleet) string) {
		f := newFleet(t, via, "acme")
		for _, s := range []string{`CREATE TYPE public.mood AS ENUM ('sad', 'happy')`, `CREATE DOMAIN public.posint AS int`, `CREATE TYPE public.pair AS (a int, b text)`} {
			f.behind(s)
		}
		plain := f.plain()
		expressions := slices.Clone(wholes)
		for typ, values := range literals {
			expressions = append(expressions, "NULL::"+typ)
			list := ""
			for _, v := range values {
				expressions = append(expressions, v+"::"+typ)
				list += v + "::" + typ + ", "
			}
			expressions = append(expressions, "ARRAY["+list+"NULL]")
		}
		for _, e := range expressions {
			f.compare(plain, "SELECT "+e)
		}
	})
}

// plain is pgx's own driver without rowhouse, in UTC.
func (f *fleet) plain() *sql.DB {
	f.t.Helper()
	u := parse(f.t, f.url)
	q := u.Query()
	q.Set("timezone", "UTC")
	u.RawQuery = q.Encode()
	plain, err := sql.Open("pgx", u.String())
	f.must(err)
	f.t.Cleanup(func() { _ = plain.Close() })
	return plain
}

// compare runs a statement with both drivers.
func (f *fleet) compare(plain *sql.DB, query string) {
	f.t.Helper()
	want, err := firstValue(f.t.Context(), plain, query)
	if err != nil {
		f.t.Errorf("%s: pgx itself fails: %v", query, err)
		return
	}
	got, err := firstValue(f.as("acme"), f.std, query)
	if err != nil {
		f.t.Errorf("%s: %v", query, err)
		return
	}
	if w, ok := want.(time.Time); ok {
		g, ok := got.(time.Time)
		if !ok || !g.Equal(w) {
			f.t.Errorf("%s: got %v, want %v", query, got, want)
		}
		return
	}
	// A printed value, as NaN equals nothing.
	if g, w := fmt.Sprintf("%T %#v", got, got), fmt.Sprintf("%T %#v", want, want); g != w {
		f.t.Errorf("%s: got %s, want %s", query, g, w)
	}
}

func firstValue(ctx context.Context, db rowQuerier, query string) (v any, err error) {
	err = db.QueryRowContext(ctx, query).Scan(&v)
	return v, err
}

// What pgx encodes can be an argument, and comes back.
func TestArgumentsOfEachKind(t *testing.T) {
	t.Parallel()
	everyWay(t, func(t *testing.T, via func(*fleet) string) {
		f := newFleet(t, via, "acme")
		word := "word"
		type named string
		for _, c := range []struct {
			typ  string
			arg  any
			want any
		}{
			{"int", 7, int64(7)}, {"int", uint8(7), int64(7)}, {"numeric", uint64(1) << 63, "9223372036854775808"},
			{"text", word, word}, {"text", &word, word}, {"text", (*string)(nil), nil}, {"text", nil, nil}, {"text", named("x"), "x"},
			{"bytea", []byte{0, 1}, []byte{0, 1}}, {"bytea", []byte(nil), nil}, {"bool", true, true}, {"float8", 1.5, 1.5},
			{"int[]", []int{1, 2}, "{1,2}"}, {"text[]", []string{"a", "b c"}, `{a,"b c"}`}, {"int[]", pgtype.FlatArray[int]{3}, "{3}"},
			{"uuid", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"},
			{"uuid", [16]byte{15: 1}, "00000000-0000-0000-0000-000000000001"},
			{"jsonb", map[string]int{"a": 1}, []byte(`{"a": 1}`)}, {"jsonb", []byte(`[1]`), []byte(`[1]`)},
			{"text", sql.NullString{String: "x", Valid: true}, "x"}, {"text", sql.NullString{}, nil}, {"int", sql.Null[int64]{V: 1, Valid: true}, int64(1)},
			{"interval", time.Minute, "00:01:00"}, {"numeric", pgtype.Numeric{Int: nil, NaN: true, Valid: true}, "NaN"},
			{"date", time.Date(2024, 2, 29, 0, 0, 0, 0, time.UTC), time.Date(2024, 2, 29, 0, 0, 0, 0, time.UTC)},
			{"int4range", pgtype.Range[pgtype.Int4]{Lower: pgtype.Int4{Int32: 1, Valid: true}, Upper: pgtype.Int4{Int32: 2, Valid: true}, LowerType: pgtype.Inclusive, UpperType: pgtype.Exclusive, Valid: true}, "[1,2)"},
		} {
			var got any
			err := f.std.QueryRowContext(f.as("acme"), "SELECT $1::"+c.typ, c.arg).Scan(&got)
			if err != nil || !reflect.DeepEqual(got, c.want) {
				t.Errorf("%s, %#v: got %#v, %v; want %#v", c.typ, c.arg, got, err, c.want)
			}
		}
	})
}

func TestNamedArguments(t *testing.T) {
	t.Parallel()
	f := newFleet(t, nil, "acme")
	ctx := f.as("acme")
	var n int
	f.must(f.std.QueryRowContext(ctx, `SELECT @a::int * 10 + @b::int`, sql.Named("b", 2), sql.Named("a", 1)).Scan(&n))
	if n != 12 {
		t.Errorf("got %d, want 12", n)
	}
	for name, args := range map[string][]any{
		"mixed":    {sql.Named("a", 1), 2},
		"twice":    {sql.Named("a", 1), sql.Named("a", 2)},
		"out":      {sql.Out{Dest: &n}},
		"a chan":   {make(chan int)},
		"too many": {1, 2, 3},
	} {
		if _, err := f.std.ExecContext(ctx, `SELECT $1::int, $2::int`, args...); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// column is what a driver tells of a column.
type column struct {
	Name, Type       string
	Length           int64
	HasLength        bool
	Precision, Scale int64
	IsDecimal        bool
	Scan             reflect.Type
}

func describe(f *fleet, ctx context.Context, db *sql.DB, query string) []column {
	rows, err := db.QueryContext(ctx, query)
	f.must(err)
	defer rows.Close()
	types, err := rows.ColumnTypes()
	f.must(err)
	columns := make([]column, len(types))
	for i, c := range types {
		columns[i] = column{Name: c.Name(), Type: c.DatabaseTypeName(), Scan: c.ScanType()}
		columns[i].Length, columns[i].HasLength = c.Length()
		columns[i].Precision, columns[i].Scale, columns[i].IsDecimal = c.DecimalSize()
		if _, known := c.Nullable(); known {
			f.t.Errorf("%s: whether it can be NULL is known", query)
		}
	}
	f.must(rows.Err())
	return columns
}

func TestColumnTypes(t *testing.T) {
	t.Parallel()
	f := newFleet(t, nil, "acme")
	f.behind(`CREATE TYPE public.mood AS ENUM ('sad')`)
	plain := f.plain()
	for _, typ := range []string{
		"bool", "int2", "int4", "int8", "float4", "float8", "numeric(10,2)", "text", "varchar(20)", "bpchar(3)", "varbit(9)", "bytea",
		"date", "timestamp", "timestamptz", "time", "uuid", "jsonb", "int[]", "public.mood",
	} {
		for _, query := range []string{"SELECT NULL::" + typ + " AS c", "SELECT NULL::" + typ + " AS c WHERE false"} {
			got, want := describe(f, f.as("acme"), f.std, query), describe(f, t.Context(), plain, query)
			if !reflect.DeepEqual(got, want) {
				t.Errorf("%s: got %+v, want %+v", query, got, want)
			}
		}
	}
	// Where nothing was declared pgx computes with the lack of it.
	got := describe(f, f.as("acme"), f.std, "SELECT NULL::numeric, NULL::varchar, NULL::numeric(3,-2)")
	if got[0].IsDecimal || got[1].Length < 1<<30 || got[2].Precision != 3 || got[2].Scale != -2 {
		t.Errorf("got %+v", got)
	}
}
