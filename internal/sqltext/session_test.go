package sqltext

import (
	"strings"
	"testing"
)

func TestChangesSessionRefuses(t *testing.T) {
	t.Parallel()
	tests := []struct{ sql, keyword string }{
		// Every keyword.
		{"BEGIN", "BEGIN"},
		{"begin isolation level serializable", "BEGIN"},
		{"START TRANSACTION", "START"},
		{"COMMIT", "COMMIT"},
		{"commit prepared 'x'", "COMMIT"},
		{"END", "END"},
		{"END TRANSACTION", "END"},
		{"ROLLBACK", "ROLLBACK"},
		{"ROLLBACK TO SAVEPOINT a", "ROLLBACK"},
		{"ABORT", "ABORT"},
		{"SAVEPOINT a", "SAVEPOINT"},
		{"RELEASE a", "RELEASE"},
		{"PREPARE p AS SELECT 1", "PREPARE"},
		{"PREPARE TRANSACTION 'x'", "PREPARE"},
		{"DEALLOCATE ALL", "DEALLOCATE"},
		{"DISCARD ALL", "DISCARD"},
		{"RESET ROLE", "RESET"},
		{"RESET ALL", "RESET"},
		{"LISTEN a", "LISTEN"},
		{"UNLISTEN *", "UNLISTEN"},
		{"LOAD 'auto_explain'", "LOAD"},
		{"DECLARE c CURSOR WITH HOLD FOR SELECT 1", "DECLARE"},
		{"declare c no scroll cursor with /* x */ hold for select 1", "DECLARE"},

		// SET and its forms.
		{"SET", "SET"},
		{"SET ROLE x", "SET"},
		{"SET search_path = x", "SET"},
		{"SET SESSION AUTHORIZATION x", "SET"},
		{"SET SESSION ROLE x", "SET"},
		{"SET SESSION search_path TO x", "SET"},
		{"SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY", "SET"},
		{"SET TIME ZONE 'UTC'", "SET"},
		{"SET statement_timeout = 0", "SET"},
		{"SET \"role\" TO x", "SET"},
		{"SET U&\"role\" TO x", "SET"},
		{"SET NAMES 'UTF8'", "SET"},
		{"SET XML OPTION DOCUMENT", "SET"},

		// Variables of the session that look like the forms which pass.
		{"SET local.x = 1", "SET"},
		{"SET local = 1", "SET"},
		{"SET local TO 1", "SET"},
		{"SET LOCAL", "SET"},
		{"SET LOCAL 'role' TO x", "SET"},
		{"SET constraints.x = 1", "SET"},
		{"SET constraints TO 1", "SET"},
		{"SET constraints", "SET"},
		{"SET transaction.x = 1", "SET"},
		{"SET transaction_isolation = 'serializable'", "SET"},
		{"SET transaction", "SET"},

		// SET LOCAL of what the binding rests on.
		{"SET LOCAL ROLE x", "SET LOCAL"},
		{"SET LOCAL role = x", "SET LOCAL"},
		{"SET LOCAL ROLE NONE", "SET LOCAL"},
		{"SET LOCAL \"role\" TO x", "SET LOCAL"},
		{"SET LOCAL \"ROLE\" TO x", "SET LOCAL"},
		{"SET LOCAL U&\"rol\\0065\" TO x", "SET LOCAL"},
		{"SET LOCAL U&\"statement_timeout\" TO 5", "SET LOCAL"},
		{"SET LOCAL u&\"!0072ole\" UESCAPE '!' TO x", "SET LOCAL"},
		{"SET LOCAL SESSION AUTHORIZATION x", "SET LOCAL"},
		{"SET LOCAL SESSION CHARACTERISTICS AS TRANSACTION READ WRITE", "SET LOCAL"},
		{"SET LOCAL session_authorization = x", "SET LOCAL"},
		{"SET LOCAL \"session_authorization\" = x", "SET LOCAL"},
		{"SET LOCAL search_path = x", "SET LOCAL"},
		{"SET LOCAL \"Search_Path\" TO x", "SET LOCAL"},
		{"SET LOCAL SCHEMA 'x'", "SET LOCAL"},
		{"SET LOCAL rowhouse.tenant = 'x'", "SET LOCAL"},
		{"SET LOCAL RowHouse . tenant = 'x'", "SET LOCAL"},
		{"SET LOCAL \"rowhouse\".tenant = 'x'", "SET LOCAL"},
		{"SET LOCAL \"rowhouse.tenant\" = 'x'", "SET LOCAL"},
		{"SET LOCAL rowhouse_x = 1", "SET LOCAL"},
		{"SET LOCAL \"a\"\"b\" = 1", "SET LOCAL"},
		{"SET LOCAL client_encoding = 'SJIS'", "SET LOCAL"},
		{"SET LOCAL NAMES 'SJIS'", "SET LOCAL"},
		{"SET LOCAL standard_conforming_strings = off", "SET LOCAL"},

		// Evasions.
		{"set role x", "SET"},
		{"sEt RoLe x", "SET"},
		{"  \t\r\n\f\vSET ROLE x", "SET"},
		{";;; ; SET ROLE x", "SET"},
		{"(SET ROLE x)", "SET"},
		{"; ( ( BEGIN", "BEGIN"},
		{"/* a */SET/* b */ROLE/* c */x", "SET"},
		{"/* /* */ SELECT 1 */ SET ROLE x", "SET"},
		{"-- SELECT 1\nSET ROLE x", "SET"},
		{"-- SELECT 1\rSET ROLE x", "SET"},
		{"--\n--\n/**/--\nSET ROLE x", "SET"},
		{"SET--\nLOCAL/**/ROLE x", "SET LOCAL"},
		{"SET LOCAL--search_path\n\"role\" TO x", "SET LOCAL"},
		{"SET LOCAL /* statement_timeout = */ role = x", "SET LOCAL"},

		// Several statements.
		{"SELECT 1; SET ROLE x", "SET"},
		{"SELECT 1;SET LOCAL ROLE x", "SET LOCAL"},
		{"SELECT 1; -- a\n ; /* b */ (ROLLBACK", "ROLLBACK"},
		{"SELECT ';'; COMMIT; SELECT 1", "COMMIT"},
		{"SELECT 'a\\'; COMMIT; --'", "COMMIT"},
		{"SELECT '\\' ' ; SET ROLE x; --'", "SET"},
		{"SELECT N'\\' ' ; SET ROLE x; --'", "SET"},
		{"SELECT E'\\''; SET ROLE x", "SET"},
		{"SELECT E'a'\n'\\''; SET ROLE x", "SET"},
		{"SELECT \"a;\"; SET ROLE x", "SET"},
		{"SELECT $$;$$; SET ROLE x", "SET"},
		{"SELECT a$b$; SET ROLE x; SELECT c$b$", "SET"},
		{"SELECT 1$$a$$; SET ROLE x; --$$", "SET"},
		{"SELECT (1; SET ROLE x", "SET"},
		{"SELECT 1; DECLARE c CURSOR WITH HOLD FOR SELECT 1; SELECT 2", "DECLARE"},
		{"SET LOCAL a.b = 1; SET LOCAL role = x", "SET LOCAL"},
		{"SET CONSTRAINTS ALL DEFERRED; SET ROLE x", "SET"},
		{"CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT 2 case; END; SET ROLE x", "SET"},
		{"CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT 2 case; END; END", "END"},
		{"CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SET ROLE x; END", ""},
		{"CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT 1; SET ROLE x; END", "SET"},
	}
	for _, tt := range tests {
		keyword, changes := ChangesSession(tt.sql)
		if changes != (tt.keyword != "") || keyword != tt.keyword {
			t.Errorf("ChangesSession(%q) = %q, %v, want %q", tt.sql, keyword, changes, tt.keyword)
		}
	}
}

func TestChangesSessionPasses(t *testing.T) {
	t.Parallel()
	tests := []string{
		"",
		" ",
		";",
		"-- nothing",
		"/* not closed",
		"'",
		"SELECT 1",
		"SELECT 1;",
		"SELECT 1; \n",
		"select 'SET ROLE x; COMMIT'",
		"SELECT 1 -- ; SET ROLE x",
		"SELECT 1 /* ; SET ROLE x */; SELECT 2",
		"SELECT 1; SELECT ';SET ROLE x'; SELECT $$;SET ROLE x$$",
		"SELECT \";SET ROLE x\" FROM t; SELECT 2",
		"SELECT E'\\'; COMMIT; --'; SELECT 1",
		"SELECT 'C:\\dir'; SELECT 2",
		"(SELECT 1) UNION (SELECT 2)",
		"WITH set AS (SELECT 1) SELECT * FROM set",
		"VALUES (1), (2)",
		"TABLE t",
		"INSERT INTO t VALUES (1) RETURNING id",
		"UPDATE t SET role = 'x'",
		"DELETE FROM t",
		"MERGE INTO t USING s ON true WHEN MATCHED THEN DO NOTHING",
		"LOCK TABLE t",
		"DO $$ BEGIN COMMIT; END $$",
		"EXECUTE p",
		"COPY t FROM stdin",
		"NOTIFY a, 'b'",
		"SHOW search_path",
		"EXPLAIN SELECT 1",
		"CREATE TABLE t (a int)",
		"ALTER TABLE t SET (fillfactor = 70)",
		"FETCH ALL FROM c",
		"CLOSE c",
		"CALL p()",
		"SETTER",
		"\"SET\" ROLE x",
		"SELECT1",
		"BEGINNING",
		"SET CONSTRAINTS ALL DEFERRED",
		"SET CONSTRAINTS a, b IMMEDIATE",
		"SET CONSTRAINTS \"to\" DEFERRED",
		"SET TRANSACTION ISOLATION LEVEL SERIALIZABLE",
		"SET TRANSACTION READ ONLY",
		"SET TRANSACTION NOT DEFERRABLE",
		"SET TRANSACTION SNAPSHOT '00000003-0000001B-1'",
		"SET LOCAL statement_timeout = '5s'",
		"SET LOCAL \"lock_timeout\" = '5s'",
		"SET LOCAL TIME ZONE 'UTC'",
		"SET LOCAL app.user = 'x'",
		"SET LOCAL work_mem TO '64MB'; SELECT 1",
		"DECLARE c CURSOR FOR SELECT 1",
		"DECLARE c CURSOR WITHOUT HOLD FOR SELECT 1",
		"DECLARE c CURSOR FOR WITH hold AS (SELECT 1) SELECT * FROM hold",
		"DECLARE c CURSOR",
		"CREATE RULE r AS ON INSERT TO t DO ALSO (INSERT INTO a VALUES (1); DELETE FROM b); SELECT 1",
		"CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT CASE WHEN true THEN 1 END; END; SELECT 1",
		"CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT 1; ; END;",
	}
	for _, sql := range tests {
		if keyword, changes := ChangesSession(sql); changes {
			t.Errorf("ChangesSession(%q) refuses %s, want it to pass", sql, keyword)
		}
	}
}

// FuzzChangesSession holds that nothing which stands before or behind a
// statement makes a refused one pass: what Split finds is what is judged.
func FuzzChangesSession(f *testing.F) {
	for _, seed := range scripts {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, sql string) {
		keyword, changes := ChangesSession(sql)
		if changes != (keyword != "") {
			t.Fatalf("%q: keyword %q with %v", sql, keyword, changes)
		}
		stmts, err := Split(sql)
		if err != nil {
			return
		}
		for _, s := range stmts {
			if _, c := ChangesSession(s.SQL); c && !changes {
				t.Fatalf("%q is refused alone but passes in %q", s.SQL, sql)
			}
		}
		for _, refused := range []string{"SET ROLE x", "set/**/local \"role\" = x", "commit"} {
			for _, all := range []string{sql + "\n;" + refused, " /* a */;" + refused + ";" + sql} {
				if again, err := Split(all); err != nil || len(again) != len(stmts)+1 {
					continue
				}
				if _, c := ChangesSession(all); !c {
					t.Fatalf("%q passes", all)
				}
			}
		}
		upper, _ := ChangesSession(strings.Map(asciiUpper, sql))
		if changes && upper == "" && !strings.Contains(sql, "$") {
			t.Fatalf("%q is refused but passes in upper case", sql)
		}
	})
}

func asciiUpper(r rune) rune {
	if r >= 'a' && r <= 'z' {
		return r - 'a' + 'A'
	}
	return r
}
