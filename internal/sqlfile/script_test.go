package sqlfile

import (
	"slices"
	"strings"
	"testing"

	"github.com/rowhouse/rowhouse/internal/sqltext"
)

func TestTransactionScripts(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name  string
		file  string
		sql   string
		stmts []string
	}{
		{
			name:  "plain",
			file:  "-- head\nCREATE TABLE t (a int);\nSELECT 1",
			sql:   "-- head\nCREATE TABLE t (a int);\nSELECT 1;\n",
			stmts: []string{"CREATE TABLE t (a int)", "SELECT 1"},
		},
		{
			name:  "one pair around everything",
			file:  "BEGIN;\nSELECT 1;\nCOMMIT;\n",
			sql:   "     ;\nSELECT 1;\n",
			stmts: []string{"SELECT 1"},
		},
		{
			name:  "other spellings",
			file:  "START\nTRANSACTION;\nSELECT 1;\nEND WORK;\n",
			sql:   "     \n           ;\nSELECT 1;\n",
			stmts: []string{"SELECT 1"},
		},
		{
			name:  "several pairs become one transaction",
			file:  "BEGIN; SELECT 1; COMMIT;\nSELECT 2;\nBEGIN; SELECT 3; END;",
			sql:   "     ; SELECT 1;       ;\nSELECT 2;\n     ; SELECT 3;\n",
			stmts: []string{"SELECT 1", "SELECT 2", "SELECT 3"},
		},
		{
			name:  "comment between last statement and its semicolon",
			file:  "BEGIN;\nSELECT 1 -- x\n; -- y\nCOMMIT; -- z",
			sql:   "     ;\nSELECT 1;\n",
			stmts: []string{"SELECT 1"},
		},
		{
			name:  "words in bodies and names are left alone",
			file:  "DO $$ BEGIN COMMIT; END $$; SELECT 'BEGIN;', \"COMMIT\" FROM t;",
			sql:   "DO $$ BEGIN COMMIT; END $$; SELECT 'BEGIN;', \"COMMIT\" FROM t;\n",
			stmts: []string{"DO $$ BEGIN COMMIT; END $$", "SELECT 'BEGIN;', \"COMMIT\" FROM t"},
		},
		{
			name: "comments only",
			file: "-- nothing to do\n",
		},
		{
			name: "a pair around nothing",
			file: "BEGIN; COMMIT;",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			m := mustRead(t, dir("1_a.up.sql", tt.file))[0]
			if m.Up.NoTransaction {
				t.Error("no transaction, want one")
			}
			if m.Up.SQL != tt.sql {
				t.Errorf("SQL\n got %q\nwant %q", m.Up.SQL, tt.sql)
			}
			if got := texts(m.Up.Statements); !slices.Equal(got, tt.stmts) {
				t.Errorf("statements\n got %q\nwant %q", got, tt.stmts)
			}
			if m.Up.Empty() != (len(tt.stmts) == 0) {
				t.Errorf("empty is %v", m.Up.Empty())
			}
		})
	}
}

func TestNoTransactionScripts(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name  string
		file  string
		stmts []sqltext.Statement
	}{
		{
			name:  "a single statement that refuses one",
			file:  "-- fast\nCREATE INDEX CONCURRENTLY i ON t (a);\n",
			stmts: []sqltext.Statement{{SQL: "CREATE INDEX CONCURRENTLY i ON t (a)", Line: 2, Offset: 8}},
		},
		{
			name: "one among several",
			file: "SELECT 1;\nDROP INDEX CONCURRENTLY i;",
			stmts: []sqltext.Statement{
				{SQL: "SELECT 1", Line: 1},
				{SQL: "DROP INDEX CONCURRENTLY i", Line: 2, Offset: 10},
			},
		},
		{
			name: "a pair is kept together",
			file: "BEGIN;\nSELECT 1;\nSELECT 2;\nCOMMIT;\nVACUUM t;\nBEGIN;\nCOMMIT;",
			stmts: []sqltext.Statement{
				{SQL: "SELECT 1;\nSELECT 2", Line: 2, Offset: 7},
				{SQL: "VACUUM t", Line: 5, Offset: 35},
			},
		},
		{
			name:  "the annotation",
			file:  "-- rowhouse: no transaction\nSELECT 1;",
			stmts: []sqltext.Statement{{SQL: "SELECT 1", Line: 2, Offset: 28}},
		},
		{
			name:  "the annotation in other letters",
			file:  "--RowHouse:  No  Transaction \r\nSELECT 1;",
			stmts: []sqltext.Statement{{SQL: "SELECT 1", Line: 2, Offset: 31}},
		},
		{
			name: "the annotation and pairs",
			file: "-- rowhouse: no transaction\nBEGIN; ALTER TYPE e ADD VALUE 'x'; COMMIT;\nBEGIN; SELECT 'x'::e; COMMIT;",
			stmts: []sqltext.Statement{
				{SQL: "ALTER TYPE e ADD VALUE 'x'", Line: 2, Offset: 35},
				{SQL: "SELECT 'x'::e", Line: 3, Offset: 78},
			},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			up := mustRead(t, dir("1_a.up.sql", tt.file))[0].Up
			if !up.NoTransaction || up.SQL != "" {
				t.Errorf("no transaction %v with SQL %q, want true and none", up.NoTransaction, up.SQL)
			}
			if !slices.Equal(up.Statements, tt.stmts) {
				t.Errorf("statements\n got %+v\nwant %+v", up.Statements, tt.stmts)
			}
		})
	}
}

func TestHalvesChooseTheirTransactionAlone(t *testing.T) {
	t.Parallel()
	m := mustRead(t, dir(
		"1_a.up.sql", "CREATE INDEX CONCURRENTLY i ON t (a)",
		"1_a.down.sql", "DROP INDEX i",
	))[0]
	if !m.Up.NoTransaction || m.Down.NoTransaction {
		t.Errorf("no transaction: up %v, down %v, want true and false", m.Up.NoTransaction, m.Down.NoTransaction)
	}
}

func TestDownHalves(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name  string
		down  string
		none  bool
		empty bool
	}{
		{
			name: "a file with nothing in it undoes nothing",
			down: "",
			none: true,
		},
		{
			name: "nor does whitespace",
			down: "\n \n",
			none: true,
		},
		{
			name:  "a comment says that there is nothing to undo",
			down:  "-- values of an enum stay\n",
			empty: true,
		},
		{
			name: "statements",
			down: "SELECT 1",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			m := mustRead(t, dir("1_a.up.sql", "SELECT 1", "1_a.down.sql", tt.down))[0]
			if (m.Down == nil) != tt.none {
				t.Fatalf("down is %+v, want none: %v", m.Down, tt.none)
			}
			if m.Down != nil && m.Down.Empty() != tt.empty {
				t.Errorf("empty is %v, want %v", m.Down.Empty(), tt.empty)
			}
		})
	}
}

func TestTransactionProblems(t *testing.T) {
	t.Parallel()
	const file = "1_a.up.sql"
	tests := []struct {
		name string
		text string
		want []problem
	}{
		{
			name: "never committed",
			text: "SELECT 1;\nBEGIN;\nSELECT 2;",
			want: []problem{{file, 2, ErrTransactionControl}},
		},
		{
			name: "never begun",
			text: "SELECT 1;\nCOMMIT;",
			want: []problem{{file, 2, ErrTransactionControl}},
		},
		{
			name: "begun twice",
			text: "BEGIN;\nBEGIN;\nCOMMIT;",
			want: []problem{{file, 2, ErrTransactionControl}},
		},
		{
			name: "everything else",
			text: strings.Join([]string{
				"ROLLBACK;", "SAVEPOINT a;", "RELEASE a;", "ABORT;", "COMMIT AND CHAIN;",
				"BEGIN ISOLATION LEVEL SERIALIZABLE;", "PREPARE TRANSACTION 'x';",
			}, "\n"),
			want: []problem{
				{file, 1, ErrTransactionControl},
				{file, 2, ErrTransactionControl},
				{file, 3, ErrTransactionControl},
				{file, 4, ErrTransactionControl},
				{file, 5, ErrTransactionControl},
				{file, 6, ErrTransactionControl},
				{file, 7, ErrTransactionControl},
			},
		},
		{
			name: "concurrently inside a pair",
			text: "BEGIN;\nCREATE INDEX CONCURRENTLY i ON t (a);\nCOMMIT;",
			want: []problem{{file, 2, ErrNeedsNoTransaction}},
		},
		{
			name: "the annotation allows no other control",
			text: "-- rowhouse: no transaction\nBEGIN;\nSELECT 1;\nROLLBACK;",
			want: []problem{{file, 2, ErrTransactionControl}, {file, 4, ErrTransactionControl}},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, err := Read(dir(file, tt.text))
			checkProblems(t, err, tt.want)
		})
	}
}

// FuzzGolangMigrate holds what checkAny holds for files in that format.
func FuzzGolangMigrate(f *testing.F) {
	for _, seed := range []string{
		"SELECT 1;",
		"BEGIN; SELECT 1; COMMIT;",
		"BEGIN; SELECT 1 -- x\n; END",
		"CREATE INDEX CONCURRENTLY i ON t (a); SELECT 2",
		"-- rowhouse: no transaction\nBEGIN;SELECT 1;SELECT 2;COMMIT;",
		"SELECT '",
		"\uFEFF-- x\r\n;",
		"\xff",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		checkAny(t, "1_a.up.sql", text)
	})
}

// checkAny holds that a file is read or refused with file and line, and that
// what was read can be run: statements are where they say, lines agree, and
// more SQL can follow.
func checkAny(t *testing.T, file, text string) {
	t.Helper()
	ms, err := Read(dir(file, text), WithLookup(func(string) (string, bool) { return "v", true }))
	if err != nil {
		joined, ok := err.(interface{ Unwrap() []error })
		if !ok {
			t.Fatalf("error %v is not joined", err)
		}
		for _, e := range joined.Unwrap() {
			fe, ok := e.(*FileError)
			if !ok || fe.File != file || fe.Line < 0 || fe.Line > 1+strings.Count(text, "\n") {
				t.Fatalf("error %#v of %q has no place", e, text)
			}
		}
		return
	}
	for _, s := range []*Script{ms[0].Up, ms[0].Down} {
		if s == nil || s.NoTransaction {
			continue
		}
		again, err := sqltext.Split(s.SQL + "SELECT 'ledger'")
		if err != nil || len(again) != len(s.Statements)+1 {
			t.Fatalf("SQL %q splits into %+v, %v, want %+v and one more", s.SQL, again, err, s.Statements)
		}
		for i, want := range s.Statements {
			if again[i] != want || sqltext.ClassifyControl(want.SQL) != sqltext.NoControl {
				t.Fatalf("statement %d is %+v, want %+v", i, again[i], want)
			}
		}
	}
}
