package sqltext

import (
	"errors"
	"slices"
	"strings"
	"testing"
)

func TestSplit(t *testing.T) {
	t.Parallel()
	type stmt struct {
		sql  string
		line int
	}
	tests := []struct {
		name   string
		script string
		want   []stmt
	}{
		{
			name:   "empty",
			script: "",
		},
		{
			name:   "comments and semicolons only",
			script: "-- a\n;;\n/* b; */ ; \n",
		},
		{
			name:   "two on a line",
			script: "SELECT 1; SELECT 2;",
			want:   []stmt{{"SELECT 1", 1}, {"SELECT 2", 1}},
		},
		{
			name:   "last one without semicolon",
			script: "SELECT 1;\nSELECT 2\n",
			want:   []stmt{{"SELECT 1", 1}, {"SELECT 2", 2}},
		},
		{
			name:   "comments before and behind are dropped, those inside are kept",
			script: "-- head\n\nSELECT -- inside\n 1 -- tail\n; -- next\nSELECT /* in */ 2 /* tail */;",
			want:   []stmt{{"SELECT -- inside\n 1", 3}, {"SELECT /* in */ 2", 6}},
		},
		{
			name:   "semicolons in quotes of all kinds",
			script: `SELECT ';', E'\';', ";", $$;$$, $x$;$x$, U&';', U&";", B';', N';'; SELECT 2`,
			want: []stmt{
				{`SELECT ';', E'\';', ";", $$;$$, $x$;$x$, U&';', U&";", B';', N';'`, 1},
				{"SELECT 2", 1},
			},
		},
		{
			name:   "lines inside strings count",
			script: "SELECT 'a\nb\n';\nSELECT $$\n\n$$;SELECT 3",
			want:   []stmt{{"SELECT 'a\nb\n'", 1}, {"SELECT $$\n\n$$", 4}, {"SELECT 3", 6}},
		},
		{
			name:   "windows line ends",
			script: "SELECT 1;\r\n-- c\r\nSELECT 2;\r\n",
			want:   []stmt{{"SELECT 1", 1}, {"SELECT 2", 3}},
		},
		{
			name:   "identifier with dollars is no dollar quote",
			script: "SELECT 1 AS a$b$; SELECT 2 AS c$b$",
			want:   []stmt{{"SELECT 1 AS a$b$", 1}, {"SELECT 2 AS c$b$", 1}},
		},
		{
			name:   "function with a dollar-quoted body",
			script: "CREATE FUNCTION f() RETURNS void AS $$\nBEGIN\n  PERFORM 1;\nEND;\n$$ LANGUAGE plpgsql;\nSELECT f();",
			want: []stmt{
				{"CREATE FUNCTION f() RETURNS void AS $$\nBEGIN\n  PERFORM 1;\nEND;\n$$ LANGUAGE plpgsql", 1},
				{"SELECT f()", 6},
			},
		},
		{
			name:   "rule with several actions",
			script: "CREATE RULE r AS ON INSERT TO t DO ALSO (INSERT INTO a VALUES (1); DELETE FROM b); SELECT 1",
			want: []stmt{
				{"CREATE RULE r AS ON INSERT TO t DO ALSO (INSERT INTO a VALUES (1); DELETE FROM b)", 1},
				{"SELECT 1", 1},
			},
		},
		{
			name:   "too many closing parentheses",
			script: "SELECT 1); SELECT (2)",
			want:   []stmt{{"SELECT 1)", 1}, {"SELECT (2)", 1}},
		},
		{
			name:   "body of standard SQL",
			script: "CREATE FUNCTION f(a int) RETURNS int\nBEGIN ATOMIC\n SELECT 1;\n SELECT a;\nEND;\nSELECT 2",
			want: []stmt{
				{"CREATE FUNCTION f(a int) RETURNS int\nBEGIN ATOMIC\n SELECT 1;\n SELECT a;\nEND", 1},
				{"SELECT 2", 6},
			},
		},
		{
			name:   "body with CASE",
			script: "create or replace procedure p() begin atomic select case when a then case b when 1 then 2 end end; end; select 2",
			want: []stmt{
				{"create or replace procedure p() begin atomic select case when a then case b when 1 then 2 end end; end", 1},
				{"select 2", 1},
			},
		},
		{
			name:   "body that is empty",
			script: "CREATE FUNCTION f() RETURNS void BEGIN ATOMIC END; SELECT 1",
			want:   []stmt{{"CREATE FUNCTION f() RETURNS void BEGIN ATOMIC END", 1}, {"SELECT 1", 1}},
		},
		{
			name:   "body with a column called case, where psql loses count",
			script: "CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT 2 case; END; SELECT 1",
			want:   []stmt{{"CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT 2 case; END", 1}, {"SELECT 1", 1}},
		},
		{
			name:   "body with a column called end",
			script: "CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT 1 AS end; SELECT t.end; END; SELECT 1",
			want: []stmt{
				{"CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT 1 AS end; SELECT t.end; END", 1},
				{"SELECT 1", 1},
			},
		},
		{
			name:   "function called begin, where psql never ends",
			script: "CREATE FUNCTION begin() RETURNS int LANGUAGE sql AS 'select 1'; SELECT 1",
			want:   []stmt{{"CREATE FUNCTION begin() RETURNS int LANGUAGE sql AS 'select 1'", 1}, {"SELECT 1", 1}},
		},
		{
			name:   "begin atomic elsewhere is no body",
			script: "CREATE TABLE t AS SELECT begin atomic FROM x; SELECT 1; CREATE OR SELECT begin atomic; SELECT 2",
			want: []stmt{
				{"CREATE TABLE t AS SELECT begin atomic FROM x", 1},
				{"SELECT 1", 1},
				{"CREATE OR SELECT begin atomic", 1},
				{"SELECT 2", 1},
			},
		},
		{
			name:   "transaction control is a statement as any other",
			script: "BEGIN;\nSELECT 1;\nEND;\n",
			want:   []stmt{{"BEGIN", 1}, {"SELECT 1", 2}, {"END", 3}},
		},
		{
			name:   "COPY that takes no data from the script",
			script: "COPY t TO stdout; COPY t FROM '/stdin'; COPY (SELECT a FROM stdin) TO '/x'; SELECT a FROM stdin",
			want: []stmt{
				{"COPY t TO stdout", 1},
				{"COPY t FROM '/stdin'", 1},
				{"COPY (SELECT a FROM stdin) TO '/x'", 1},
				{"SELECT a FROM stdin", 1},
			},
		},
		{
			name:   "backslash in quotes is no psql command",
			script: `SELECT '\d', "\d", $$\d$$ -- \d` + "\n/* \\d */;",
			want:   []stmt{{`SELECT '\d', "\d", $$\d$$`, 1}},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			out, err := Split(tt.script)
			if err != nil {
				t.Fatalf("unexpected error: %v", err)
			}
			var got []stmt
			for _, s := range out {
				got = append(got, stmt{s.SQL, s.Line})
				if at := tt.script[s.Offset:]; !strings.HasPrefix(at, s.SQL) {
					t.Errorf("at offset %d is %q, want %q", s.Offset, at, s.SQL)
				}
			}
			if !slices.Equal(got, tt.want) {
				t.Errorf("got\n%+v\nwant\n%+v", got, tt.want)
			}
		})
	}
}

func TestSplitErrors(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		script string
		line   int
		want   error
	}{
		{
			name:   "string",
			script: "SELECT 1;\nSELECT 'a\n\n;",
			line:   2,
			want:   ErrUnterminatedString,
		},
		{
			name:   "string behind a statement over lines",
			script: "SELECT\n1,\nE'a\\'",
			line:   3,
			want:   ErrUnterminatedString,
		},
		{
			name:   "identifier",
			script: "\n\nSELECT \"a",
			line:   3,
			want:   ErrUnterminatedIdentifier,
		},
		{
			name:   "comment",
			script: "SELECT 1; /* a\n/* b */\nSELECT 2",
			line:   1,
			want:   ErrUnterminatedComment,
		},
		{
			name:   "dollar quote",
			script: "SELECT 1;\nDO $body$\nBEGIN\nEND $bdy$;",
			line:   2,
			want:   ErrUnterminatedDollarQuote,
		},
		{
			name:   "parenthesis",
			script: "SELECT 1;\nSELECT\n(2 + (3);\nSELECT 4;",
			line:   3,
			want:   ErrUnclosedParen,
		},
		{
			name:   "function body",
			script: "CREATE FUNCTION f() RETURNS int\nBEGIN ATOMIC\nSELECT 1;\n",
			line:   2,
			want:   ErrUnclosedBody,
		},
		{
			name:   "psql command",
			script: "SELECT 1;\n\\connect other\nSELECT 2;",
			line:   2,
			want:   ErrPsqlMeta,
		},
		{
			name:   "psql command behind a statement",
			script: "SELECT 1 \\gset",
			line:   1,
			want:   ErrPsqlMeta,
		},
		{
			name:   "copy data",
			script: "SELECT 1;\nCOPY t (a, b)\nFROM stdin WITH (FORMAT csv);\n1,'x\n\\.\n",
			line:   3,
			want:   ErrCopyData,
		},
		{
			name:   "copy data in old notation",
			script: "copy t from STDIN",
			line:   1,
			want:   ErrCopyData,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			out, err := Split(tt.script)
			var at *Error
			if !errors.As(err, &at) || !errors.Is(err, tt.want) {
				t.Fatalf("error %v, want *Error with %v", err, tt.want)
			}
			if at.Line != tt.line {
				t.Errorf("line %d, want %d", at.Line, tt.line)
			}
			if out != nil {
				t.Errorf("statements %+v with an error, want none", out)
			}
		})
	}
}

func TestErrorMessage(t *testing.T) {
	t.Parallel()
	_, err := Split("\n'")
	want := "line 2: string that does not end: close it with a single quote"
	if err == nil || err.Error() != want {
		t.Errorf("message %q, want %q", err, want)
	}
}

func TestLeading(t *testing.T) {
	t.Parallel()
	tests := []struct {
		sql  string
		n    int
		want []string
	}{
		{"", 3, nil},
		{"create unique index i on t (a)", 3, []string{"CREATE", "UNIQUE", "INDEX"}},
		{"/* a */ Drop -- b\nTable t", 2, []string{"DROP", "TABLE"}},
		{"commit", 5, []string{"COMMIT"}},
		{"select \"x\" y", 5, []string{"SELECT"}},
		{"(select 1)", 1, nil},
		{"'", 1, nil},
		{"select", 0, nil},
		{"select", -1, nil},
	}
	for _, tt := range tests {
		if got := Leading(tt.sql, tt.n); !slices.Equal(got, tt.want) {
			t.Errorf("Leading(%q, %d) = %q, want %q", tt.sql, tt.n, got, tt.want)
		}
	}
}
