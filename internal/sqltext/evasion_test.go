package sqltext

import (
	"strings"
	"testing"
	"time"
)

// TestEvasions joins everything that may stand before a statement, between its
// words and in front of the whole text with every kind of refused statement.
func TestEvasions(t *testing.T) {
	t.Parallel()
	before := []string{
		"",
		" \t\n",
		";",
		" ; ;\n",
		"(",
		"-- x\n",
		"-- x\r",
		"--\r\n",
		"/* x */",
		"/* /* ' */ $$ */",
		"/*;*/;--;\n",
		"SELECT 1;",
		"SELECT ';';",
		"SELECT '\\';",
		"SELECT E'\\'';",
		"SELECT \"'\";",
		"SELECT $$ ' $$;",
		"SELECT $a$ $$ $a$;",
		"SELECT U&'\\0027';",
		"SELECT a$$b;",
		"SELECT 1 -- '\n;",
		"SELECT 1 /* ' */;",
		"CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT CASE WHEN true THEN 1 END; END;",
		"CREATE RULE r AS ON INSERT TO t DO ALSO (SELECT 1; SELECT 2);",
	}
	between := []string{" ", "\n", "\t\f\v\r", "/**/", "/* a /* b */ */", "--\n", " -- SELECT\r"}
	refused := [][]string{
		{"BEGIN"},
		{"Commit", "WORK"},
		{"rollback", "TO", "a"},
		{"SAVEPOINT", "a"},
		{"DISCARD", "ALL"},
		{"RESET", "search_path"},
		{"SET", "search_path", "=", "x"},
		{"SET", "SESSION", "AUTHORIZATION", "DEFAULT"},
		{"SET", "LOCAL", "ROLE", "x"},
		{"set", "local", "\"Search_Path\"", "to", "x"},
		{"SET", "LOCAL", "SESSION", "AUTHORIZATION", "x"},
		{"SET", "LOCAL", "rowhouse", ".", "tenant", "=", "'x'"},
		{"DECLARE", "c", "CURSOR", "WITH", "HOLD", "FOR", "SELECT", "1"},
	}
	behind := []string{"", ";", " -- x", "; SELECT 1", "; SELECT '"}
	for _, b := range before {
		for _, sep := range between {
			for _, words := range refused {
				for _, tail := range behind {
					sql := b + strings.Join(words, sep) + tail
					if _, changes := ChangesSession(sql); !changes {
						t.Errorf("%q passes", sql)
					}
				}
			}
		}
	}
}

// TestLinearTime holds that no long text takes out of proportion: foreign scripts
// and queries of users are scanned.
func TestLinearTime(t *testing.T) {
	t.Parallel()
	const size = 1 << 17
	tests := map[string]string{
		"open comments":         "/*",
		"closed comments":       "/**/",
		"open dollar quotes":    "$a$",
		"lone dollars":          "$ ",
		"tags that never close": "$a b",
		"escape strings":        "E'' ",
		"continued strings":     "E'a'\n",
		"strings over comments": "E'a' --\n",
		"parentheses":           "(",
		"semicolons":            ";",
		"statements":            "SELECT 1;\n",
		"backslashes":           "E'\\\\",
		"quotes":                "'",
		"double quotes":         "\"",
		"create":                "CREATE ",
		"bodies":                "CREATE FUNCTION f() BEGIN ATOMIC ",
		"declare":               "DECLARE c;",
		"set":                   "SET LOCAL a = 1;",
	}
	for name, part := range tests {
		t.Run(name, func(t *testing.T) { // one after the other: it is timed
			sql := strings.Repeat(part, size/len(part))
			begin := time.Now()
			_, _ = Split(sql)
			ChangesSession(sql)
			ChangesSession("SELECT 1;" + sql)
			ClassifyControl(sql)
			RefusesTransaction("ALTER TABLE " + sql)
			if took := time.Since(begin); took > 10*time.Second {
				t.Errorf("%d bytes took %v", len(sql), took)
			}
		})
	}
}
