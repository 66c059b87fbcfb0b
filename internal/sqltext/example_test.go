package sqltext_test

import (
	"errors"
	"fmt"

	"github.com/rowhouse/rowhouse/internal/sqltext"
)

func ExampleSplit() {
	stmts, err := sqltext.Split(`-- tables
CREATE TABLE notes (body text DEFAULT ';');

CREATE FUNCTION n() RETURNS bigint
BEGIN ATOMIC
  SELECT count(*) FROM notes;
END;
SELECT n()`)
	if err != nil {
		fmt.Println(err)
	}
	for _, s := range stmts {
		fmt.Println(s.Line, sqltext.Leading(s.SQL, 2))
	}
	// Output:
	// 2 [CREATE TABLE]
	// 4 [CREATE FUNCTION]
	// 8 [SELECT N]
}

func ExampleSplit_error() {
	_, err := sqltext.Split("SELECT 1;\nDO $body$ BEGIN NULL; END $bdoy$;")
	fmt.Println(err)
	fmt.Println(errors.Is(err, sqltext.ErrUnterminatedDollarQuote))
	// Output:
	// line 2: dollar-quoted string that does not end: repeat its opening tag
	// true
}

func ExampleChangesSession() {
	for _, sql := range []string{
		"SELECT 'SET ROLE x'",
		"SET LOCAL lock_timeout = '1s'",
		`SET LOCAL "role" TO other`,
		"SELECT 1; /* done */ COMMIT",
	} {
		keyword, changes := sqltext.ChangesSession(sql)
		fmt.Printf("%-30s %v %q\n", sql, changes, keyword)
	}
	// Output:
	// SELECT 'SET ROLE x'            false ""
	// SET LOCAL lock_timeout = '1s'  false ""
	// SET LOCAL "role" TO other      true "SET LOCAL"
	// SELECT 1; /* done */ COMMIT    true "COMMIT"
}
