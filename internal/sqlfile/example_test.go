package sqlfile_test

import (
	"fmt"
	"testing/fstest"

	"github.com/rowhouse/rowhouse/internal/sqlfile"
)

func ExampleRead() {
	fsys := fstest.MapFS{
		"1_notes.up.sql":   {Data: []byte("BEGIN;\nCREATE TABLE notes (body text);\nCOMMIT;\n")},
		"1_notes.down.sql": {Data: []byte("DROP TABLE notes;\n")},
		"2_index.up.sql":   {Data: []byte("CREATE INDEX CONCURRENTLY i ON notes (body);\n")},
	}
	migrations, err := sqlfile.Read(fsys)
	if err != nil {
		fmt.Println(err)
	}
	for _, m := range migrations {
		fmt.Println(m.Version, m.Name, m.Down != nil, m.Up.NoTransaction)
		for _, s := range m.Up.Statements {
			fmt.Printf("  %s:%d %s\n", m.Up.File, s.Line, s.SQL)
		}
	}
	// Output:
	// 1 notes true false
	//   1_notes.up.sql:2 CREATE TABLE notes (body text)
	// 2 index false true
	//   2_index.up.sql:1 CREATE INDEX CONCURRENTLY i ON notes (body)
}

func ExampleRead_problems() {
	fsys := fstest.MapFS{
		"1_a.sql": {Data: []byte("-- +goose Up\nSELECT 'open;\n")},
		"2_b.sql": {Data: []byte("SELECT 1;\n")},
	}
	_, err := sqlfile.Read(fsys)
	fmt.Println(err)
	// Output:
	// 1_a.sql:2: string that does not end: close it with a single quote
	// 2_b.sql:1: wrong annotation: no "-- +goose Up" in the file
}
