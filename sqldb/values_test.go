package sqldb_test

import (
	"database/sql"
	"fmt"
	"reflect"
	"testing"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib" // what results are compared with

	"github.com/rowhouse/rowhouse/sqldb"
)

// Every value comes out as it does from pgx's own driver on a plain connection.
func TestValuesAreThoseOfPgx(t *testing.T) {
	t.Parallel()
	f := newFleet(t, nil, "acme")
	ours := sqldb.New(f.db)
	t.Cleanup(func() { _ = ours.Close() })
	plain, err := sql.Open("pgx", f.url)
	f.must(err)
	t.Cleanup(func() { _ = plain.Close() })
	for _, expr := range []string{
		`true`, `false`, `1::int2`, `(-2)::int4`, `3::int8`, `9223372036854775807`, `1.5::float4`, `0.1::float4`, `1e-7::float8`, `1e20::float8`,
		`'NaN'::float8`, `'-Infinity'::float8`, `0.1::float8`, `12345.678900::numeric`, `0::numeric`, `'NaN'::numeric`, `1e30::numeric`, `-0.00012::numeric(10,6)`,
		`'text'`, `''`, `'x'::char(5)`, `'y'::varchar(5)`, `'n'::name`, `'ü 字 "q" \\ '''`, `'\xdeadbeef'::bytea`, `''::bytea`,
		`'{"a": [1, null]}'::json`, `'{"b": 1.50}'::jsonb`, `'null'::jsonb`, `'2026-11-23'::date`, `'infinity'::date`, `'2026-11-23 01:02:03.456789'::timestamp`,
		`'2026-11-23 01:02:03+02'::timestamptz`, `'13:14:15.5'::time`, `'00:00'::time`, `'1 year 2 mons -3 days 04:05:06.7'::interval`, `'-1 day'::interval`, `'0'::interval`,
		`'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'::uuid`, `'10.0.0.1'::inet`, `'10.0.0.0/8'::cidr`, `'::1'::inet`, `'08:00:2b:01:02:03'::macaddr`,
		`B'1010'`, `5::oid`, `'{1,2,NULL}'::int[]`, `'{a,"b c","d\"e",NULL,""}'::text[]`, `'{}'::int[]`, `'{{1,2},{3,4}}'::int[]`, `'{1.5,2}'::float8[]`,
		`'[1,5)'::int4range`, `'empty'::int4range`, `'(,5]'::numrange`, `'{[1,3),[5,7)}'::int4multirange`, `'(1,2)'::point`, `NULL::text`, `NULL::int`, `NULL::int[]`,
		`ARRAY['2026-01-02'::date]`, `ARRAY[true, false]`, `ARRAY['a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'::uuid]`, `'pg_class'::regclass::text`,
	} {
		query := `SELECT ` + expr
		var got, want any
		if err := plain.QueryRowContext(t.Context(), query).Scan(&want); err != nil {
			t.Errorf("%s: pgx: %v", expr, err)
			continue
		}
		if err := ours.QueryRowContext(f.as("acme"), query).Scan(&got); err != nil {
			t.Errorf("%s: %v", expr, err)
			continue
		}
		if !same(got, want) {
			t.Errorf("%s: got %s, pgx gives %s", expr, show(got), show(want))
		}
	}
}

func same(got, want any) bool {
	if g, ok := got.(time.Time); ok {
		w, ok := want.(time.Time)
		return ok && g.Equal(w)
	}
	return reflect.DeepEqual(got, want) || fmt.Sprint(got) == "NaN" && fmt.Sprint(want) == "NaN"
}

func show(v any) string { return fmt.Sprintf("%T(%v)", v, v) }

// What pgx can encode goes in, and comes back.
func TestArguments(t *testing.T) {
	t.Parallel()
	f := newFleet(t, nil, "acme")
	ours := sqldb.New(f.db)
	t.Cleanup(func() { _ = ours.Close() })
	when := time.Date(2026, 11, 23, 1, 2, 3, 0, time.UTC)
	for _, c := range []struct {
		typ  string
		arg  any
		want string
	}{
		{"int", 7, "7"}, {"int", sql.NullInt64{}, "<nil>"}, {"text", "x", "x"}, {"text", nil, "<nil>"}, {"bool", true, "true"},
		{"int[]", []int{1, 2}, "{1,2}"}, {"text[]", []string{"a", "b c"}, `{a,b c}`}, {"bytea", []byte{1, 2}, "[1 2]"},
		{"timestamptz", when, when.Format(time.RFC3339)}, {"uuid", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"},
		{"float8", 1.5, "1.5"}, {"jsonb", map[string]int{"a": 1}, `[123 34 97 34 58 32 49 125]`}, {"text", sql.NullString{String: "s", Valid: true}, "s"},
	} {
		var got any
		if err := ours.QueryRowContext(f.as("acme"), `SELECT $1::`+c.typ, c.arg).Scan(&got); err != nil {
			t.Errorf("%s: %v", c.typ, err)
			continue
		}
		if at, ok := got.(time.Time); ok {
			got = at.UTC().Format(time.RFC3339)
		}
		if text := fmt.Sprint(got); text != c.want && text != `{a,"b c"}` {
			t.Errorf("%s: got %s, want %s", c.typ, text, c.want)
		}
	}
	var sum int
	err := ours.QueryRowContext(f.as("acme"), `SELECT @a::int + @b::int`, sql.Named("a", 1), sql.Named("b", 2)).Scan(&sum)
	if err != nil || sum != 3 {
		t.Errorf("named arguments: %d, %v", sum, err)
	}
	if err := ours.QueryRowContext(f.as("acme"), `SELECT @a::int + $1`, sql.Named("a", 1), 2).Scan(&sum); err == nil {
		t.Error("named and other arguments were mixed")
	}
}
