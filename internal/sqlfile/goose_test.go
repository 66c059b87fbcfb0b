package sqlfile

import (
	"slices"
	"testing"

	"github.com/rowhouse/rowhouse/internal/sqltext"
)

func TestGooseFiles(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		file   string
		up     []string
		down   []string
		noDown bool
	}{
		{
			name: "both halves",
			file: "-- +goose Up\nCREATE TABLE t (a int);\nSELECT 1;\n\n-- +goose Down\nDROP TABLE t;\n",
			up:   []string{"CREATE TABLE t (a int)", "SELECT 1"},
			down: []string{"DROP TABLE t"},
		},
		{
			name: "annotations in other spellings",
			file: "--+goose up\nSELECT 1;\n--   +goose   DOWN  \r\n-- +goose statementBEGIN\nSELECT 2;\n-- StatementEnd +goose\n",
			up:   []string{"SELECT 1"},
			down: []string{"SELECT 2"},
		},
		{
			name:   "comments before Up",
			file:   "-- a licence\n\n/* more\n of it */\n-- +goose Up\nSELECT 1;",
			up:     []string{"SELECT 1"},
			noDown: true,
		},
		{
			name:   "empty Up, which goose allows",
			file:   "-- +goose Up\n-- nothing\n",
			noDown: true,
		},
		{
			name: "empty Down",
			file: "-- +goose Up\nSELECT 1;\n-- +goose Down\n",
			up:   []string{"SELECT 1"},
		},
		{
			name:   "last statement without semicolon",
			file:   "-- +goose Up\nSELECT 1",
			up:     []string{"SELECT 1"},
			noDown: true,
		},
		{
			name: "StatementEnd ends a statement without semicolon",
			file: "-- +goose Up\n-- +goose StatementBegin\nCREATE FUNCTION f() RETURNS void AS $$\nBEGIN\nEND;\n$$ LANGUAGE plpgsql\n" +
				"-- +goose StatementEnd\nSELECT f();\n",
			up:     []string{"CREATE FUNCTION f() RETURNS void AS $$\nBEGIN\nEND;\n$$ LANGUAGE plpgsql", "SELECT f()"},
			noDown: true,
		},
		{
			name:   "a body without StatementBegin, where goose cuts wrongly",
			file:   "-- +goose Up\nDO $$ BEGIN\nNULL;\nEND $$;\n",
			up:     []string{"DO $$ BEGIN\nNULL;\nEND $$"},
			noDown: true,
		},
		{
			name:   "semicolon at a line's end inside a string",
			file:   "-- +goose Up\nSELECT 'a;\nb';\n",
			up:     []string{"SELECT 'a;\nb'"},
			noDown: true,
		},
		{
			name:   "several statements on a line",
			file:   "-- +goose Up\nSELECT 1; SELECT 2; -- c\n",
			up:     []string{"SELECT 1", "SELECT 2"},
			noDown: true,
		},
		{
			name: "transaction control is dropped",
			file: "-- +goose Up\nBEGIN;\nSELECT 1;\nCOMMIT;\n-- +goose Down\nBEGIN;\nSELECT 2;\nEND;\n",
			up:   []string{"SELECT 1"},
			down: []string{"SELECT 2"},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			m := mustRead(t, dir("1_a.sql", tt.file))[0]
			if got := texts(m.Up.Statements); !slices.Equal(got, tt.up) {
				t.Errorf("up\n got %q\nwant %q", got, tt.up)
			}
			if (m.Down == nil) != tt.noDown {
				t.Fatalf("down is %+v, want none: %v", m.Down, tt.noDown)
			}
			if m.Down == nil {
				return
			}
			if got := texts(m.Down.Statements); !slices.Equal(got, tt.down) {
				t.Errorf("down\n got %q\nwant %q", got, tt.down)
			}
		})
	}
}

func TestGooseKeepsLines(t *testing.T) {
	t.Parallel()
	m := mustRead(t, dir("1_a.sql", "-- +goose Up\n-- x\nSELECT 1;\n-- +goose Down\n\nSELECT\n 2;\nSELECT 3;\n"))[0]
	if got, want := m.Up.SQL, "\n-- x\nSELECT 1;\n"; got != want {
		t.Errorf("up %q, want %q", got, want)
	}
	if got, want := m.Down.SQL, "\n\n\n\n\nSELECT\n 2;\nSELECT 3;\n"; got != want {
		t.Errorf("down %q, want %q", got, want)
	}
	for i, line := range []int{6, 8} {
		if got := m.Down.Statements[i].Line; got != line {
			t.Errorf("statement %d is on line %d, want %d", i, got, line)
		}
	}
}

func TestGooseNoTransaction(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		file string
		up   []string
	}{
		{
			name: "before Up",
			file: "-- +goose NO TRANSACTION\n-- +goose Up\nCREATE INDEX CONCURRENTLY i ON t (a);\nSELECT 1;\n",
			up:   []string{"CREATE INDEX CONCURRENTLY i ON t (a)", "SELECT 1"},
		},
		{
			name: "in Down, for the whole file",
			file: "-- +goose Up\nSELECT 1;\n-- +goose Down\n-- +goose no transaction\nVACUUM;\n",
			up:   []string{"SELECT 1"},
		},
		{
			name: "our own annotation",
			file: "-- rowhouse: no transaction\n-- +goose Up\nVACUUM;\n",
			up:   []string{"VACUUM"},
		},
		{
			name: "a block of several statements is one message, as in goose",
			file: "-- +goose NO TRANSACTION\n-- +goose Up\nSELECT 0;\n-- +goose StatementBegin\nSELECT 1;\nSELECT 2;\n" +
				"-- +goose StatementEnd\nSELECT 3;\nSELECT 4;\n",
			up: []string{"SELECT 0", "SELECT 1;\nSELECT 2", "SELECT 3", "SELECT 4"},
		},
		{
			name: "a block is taken apart when it could not run otherwise",
			file: "-- +goose NO TRANSACTION\n-- +goose Up\n-- +goose StatementBegin\nSELECT 1;\nVACUUM;\n-- +goose StatementEnd\n",
			up:   []string{"SELECT 1", "VACUUM"},
		},
		{
			name: "a pair inside a block",
			file: "-- +goose NO TRANSACTION\n-- +goose Up\n-- +goose StatementBegin\nSELECT 0;\nBEGIN; SELECT 1; SELECT 2; COMMIT;\n-- +goose StatementEnd\n",
			up:   []string{"SELECT 0", "SELECT 1; SELECT 2"},
		},
		{
			name: "an empty block",
			file: "-- +goose NO TRANSACTION\n-- +goose Up\n-- +goose StatementBegin\n-- +goose StatementEnd\nSELECT 1;\n",
			up:   []string{"SELECT 1"},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			m := mustRead(t, dir("1_a.sql", tt.file))[0]
			if !m.Up.NoTransaction || m.Down != nil && !m.Down.NoTransaction {
				t.Error("a half has a transaction, want none")
			}
			if got := texts(m.Up.Statements); !slices.Equal(got, tt.up) {
				t.Errorf("up\n got %q\nwant %q", got, tt.up)
			}
		})
	}
}

func TestGooseProblems(t *testing.T) {
	t.Parallel()
	const file = "1_a.sql"
	tests := []struct {
		name string
		text string
		want []problem
	}{
		{
			name: "no Up",
			text: "SELECT 1;\n",
			want: []problem{{file, 1, ErrAnnotation}},
		},
		{
			name: "comments only",
			text: "-- soon\n",
			want: []problem{{file, 1, ErrAnnotation}},
		},
		{
			name: "SQL before Up",
			text: "-- x\nSELECT 1;\n-- +goose Up\nSELECT 2;\n",
			want: []problem{{file, 2, ErrAnnotation}},
		},
		{
			name: "Down before Up",
			text: "-- +goose Down\nSELECT 1;\n-- +goose Up\nSELECT 2;\n",
			want: []problem{{file, 1, ErrAnnotation}, {file, 3, ErrAnnotation}},
		},
		{
			name: "Up twice",
			text: "-- +goose Up\nSELECT 1;\n-- +goose Up\nSELECT 2;\n",
			want: []problem{{file, 3, ErrAnnotation}},
		},
		{
			name: "Down twice",
			text: "-- +goose Up\nSELECT 1;\n-- +goose Down\n-- +goose Down\n",
			want: []problem{{file, 4, ErrAnnotation}},
		},
		{
			name: "StatementBegin alone",
			text: "-- +goose Up\n-- +goose StatementBegin\nSELECT 1;\n",
			want: []problem{{file, 2, ErrAnnotation}},
		},
		{
			name: "StatementBegin alone before Down",
			text: "-- +goose Up\n-- +goose StatementBegin\nSELECT 1;\n-- +goose Down\nSELECT 2;",
			want: []problem{{file, 2, ErrAnnotation}},
		},
		{
			name: "StatementBegin twice",
			text: "-- +goose Up\n-- +goose StatementBegin\n-- +goose StatementBegin\n-- +goose StatementEnd\n",
			want: []problem{{file, 3, ErrAnnotation}},
		},
		{
			name: "StatementBegin before Up",
			text: "-- +goose StatementBegin\n-- +goose StatementEnd\n-- +goose Up\n",
			want: []problem{{file, 1, ErrAnnotation}, {file, 2, ErrAnnotation}},
		},
		{
			name: "StatementEnd alone",
			text: "-- +goose Up\nSELECT 1;\n-- +goose StatementEnd\n",
			want: []problem{{file, 3, ErrAnnotation}},
		},
		{
			name: "unknown",
			text: "-- +goose Up\n-- +goose Upp\n-- +goose\n-- see +goose docs\n-- +goose Up +goose Up\n",
			want: []problem{
				{file, 2, ErrAnnotation},
				{file, 3, ErrAnnotation},
				{file, 4, ErrAnnotation},
				{file, 5, ErrAnnotation},
			},
		},
		{
			name: "whitespace before an annotation",
			text: "-- +goose Up\nSELECT 1;\n  -- +goose Down\n",
			want: []problem{{file, 3, ErrAnnotation}},
		},
		{
			name: "string open across sections",
			text: "-- +goose Up\nSELECT 1;\nSELECT 'x;\n-- +goose Down\nSELECT 2';\n",
			want: []problem{{file, 3, sqltext.ErrUnterminatedString}, {file, 5, sqltext.ErrUnterminatedString}},
		},
		{
			name: "body cut by a block",
			text: "-- +goose Up\n-- +goose StatementBegin\nDO $$\n-- +goose StatementEnd\n",
			want: []problem{{file, 3, sqltext.ErrUnterminatedDollarQuote}},
		},
		{
			name: "no annotation for a statement that needs it",
			text: "-- +goose Up\nCREATE INDEX CONCURRENTLY i ON t (a);\n-- +goose Down\nDROP INDEX CONCURRENTLY i;\n",
			want: []problem{{file, 2, ErrNeedsNoTransaction}, {file, 4, ErrNeedsNoTransaction}},
		},
		{
			name: "variables without a lookup",
			text: "-- +goose Up\n-- +goose ENVSUB ON\nSELECT '$A';\n",
			want: []problem{{file, 2, ErrEnvsub}},
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

// FuzzGoose holds what checkAny holds for files in that format.
func FuzzGoose(f *testing.F) {
	for _, seed := range []string{
		"-- +goose Up\nSELECT 1;\n-- +goose Down\nSELECT 2;\n",
		"-- +goose Up\n-- +goose StatementBegin\nDO $$ ; $$\n-- +goose StatementEnd\nSELECT 1",
		"-- +goose NO TRANSACTION\n-- +goose Up\n-- +goose StatementBegin\nSELECT 1;SELECT 2\n-- +goose StatementEnd\n",
		"-- +goose Up\n-- +goose ENVSUB ON\nSELECT '${A:-b}', $$;\n-- +goose ENVSUB OFF\nSELECT $$x$$;",
		"--+goose up\r\nBEGIN;\r\nCOMMIT;\r\n",
		"-- +goose Up\nSELECT (\n-- +goose Down",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		checkAny(t, "1_a.sql", text)
	})
}
