package sqltext

import (
	"errors"
	"slices"
	"strings"
	"testing"
)

// scripts are the seeds of the fuzz tests.
var scripts = []string{
	"SELECT 1; SELECT 2",
	"SELECT 'a;b'; -- c;\nSELECT $$;$$",
	"/* a /* ; */ b */ SELECT E'\\';' ;",
	"CREATE FUNCTION f() RETURNS int LANGUAGE sql BEGIN ATOMIC SELECT CASE WHEN true THEN 1 END; SELECT 2; END; SELECT 3",
	"CREATE RULE r AS ON INSERT TO t DO ALSO (INSERT INTO a VALUES (1); INSERT INTO b VALUES (2));",
	"COPY t FROM stdin;\n1\t2\n\\.\n",
	"\\connect x",
	"U&\"a;b\" U&';' x'' b'' n'' 1e5 $1 $a$;$a$",
	"E'a'\n-- ;\n'\\';' ; b",
	"SET LOCAL \"role\" TO x; set local role = y",
	"BEGIN; COMMIT; (SELECT 1); ) ; (",
	"DECLARE c CURSOR WITH HOLD FOR SELECT 1",
	"\xff\x00;\r--\r;",
}

// FuzzSplit holds that splitting loses no token but semicolons, that each
// statement is one, and that lines are right.
func FuzzSplit(f *testing.F) {
	for _, seed := range scripts {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, script string) {
		stmts, err := Split(script)
		if err != nil {
			var at *Error
			if !errors.As(err, &at) || at.Line < 1 || at.Line > 1+strings.Count(script, "\n") {
				t.Fatalf("error %v has no line of %q", err, script)
			}
			return
		}
		var joined strings.Builder
		for _, s := range stmts {
			joined.WriteString(s.SQL)
			joined.WriteString("\n;")
			if want := 1 + strings.Count(script[:s.Offset], "\n"); s.Line != want {
				t.Fatalf("line %d, want %d: %q", s.Line, want, script)
			}
			again, err := Split(s.SQL)
			if err != nil || len(again) != 1 || again[0].SQL != s.SQL {
				t.Fatalf("%q splits again into %+v, %v", s.SQL, again, err)
			}
		}
		if got, want := meaningful(t, joined.String()), meaningful(t, script); !slices.Equal(got, want) {
			t.Fatalf("tokens of %q\n got %q\nwant %q", script, got, want)
		}
	})
}

// meaningful returns the tokens but for semicolons.
func meaningful(t *testing.T, src string) []string {
	t.Helper()
	all, err := tokens(src)
	if err != nil {
		t.Fatalf("scan %q: %v", src, err)
	}
	return slices.DeleteFunc(all, func(s string) bool { return s == ";" })
}
