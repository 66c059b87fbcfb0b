package sqlfile

import (
	"errors"
	"strings"
	"testing"
)

// lookupIn returns a lookup over a map.
func lookupIn(vars map[string]string) func(string) (string, bool) {
	return func(name string) (string, bool) {
		v, ok := vars[name]
		return v, ok
	}
}

func TestExpand(t *testing.T) {
	t.Parallel()
	vars := lookupIn(map[string]string{
		"A":     "alpha",
		"B_1":   "beta",
		"EMPTY": "",
		"Ü":     "umlaut",
	})
	tests := []struct{ line, want string }{
		{"", ""},
		{"no variable", "no variable"},
		{"$A", "alpha"},
		{"${A}", "alpha"},
		{"x$A-y${B_1}z", "xalpha-ybetaz"},
		{"$B_1.c", "beta.c"},
		{"$Ü", "umlaut"},
		{"$NONE.", "."},
		{"${NONE}", ""},
		{"${NONE-x}", "x"},
		{"${EMPTY-x}", ""},
		{"${NONE:-x y}", "x y"},
		{"${EMPTY:-x}", "x"},
		{"${A:-x}", "alpha"},
		{"${A-x}", "alpha"},
		{"${NONE:-}", ""},
		{"${NONE:-${EMPTY:-$A}}", "alpha"},
		{"${A:-${NONE}}", "alpha"},
		{"${A:1}", "lpha"},
		{"${A:1:2}", "lp"},
		{"${A: 1 : 2 }", "lp"},
		{"${A:0:99}", "alpha"},
		{"${A:99}", ""},
		{"${A:-2}", "alpha"},
		{"${A: -2}", "ha"},
		{"${A: -99:2}", "al"},
		{"${A:1:-1}", "lph"},
		{"${A:3:-4}", ""},
		{"${A?missing}", "alpha"},
		{"${EMPTY?missing}", ""},
		{"$$", "$"},
		{"$$A", "$A"},
		{"$$$$ body $$$$", "$$ body $$"},
		{`\$A`, "$A"},
		{`\\$A`, `\\alpha`},
		{"$(date)", "$(date)"},
		{"end$", "end$"},
		{"}$A}", "}alpha}"},
	}
	for _, tt := range tests {
		got, err := expand(tt.line, vars)
		if err != nil || got != tt.want {
			t.Errorf("expand(%q) = %q, %v, want %q", tt.line, got, err, tt.want)
		}
	}
}

func TestExpandErrors(t *testing.T) {
	t.Parallel()
	tests := []struct{ line, want string }{
		{"$1", "a variable begins with a letter"},
		{"$_A", "a variable begins with a letter"},
		{"$ A", "a variable begins with a letter"},
		{"${}", "a variable begins with a letter"},
		{"${", "a variable begins with a letter"},
		{"${A", "no closing brace"},
		{"${A:-x", "no closing brace"},
		{"${A:1", "no closing brace"},
		{"${A+x}", "is followed by '+'"},
		{"${A:x}", "the offset is no number"},
		{"${A:}", "the offset is no number"},
		{"${A:1:x}", "the length is no number"},
		{"${A?}", "$A: not set"},
		{"${A?give it a value}", "$A: give it a value"},
		{"${A:-$1}", "a variable begins with a letter"},
		{strings.Repeat("${A:-", 200), "more than 100 deep"},
	}
	for _, tt := range tests {
		_, err := expand(tt.line, lookupIn(nil))
		if !errors.Is(err, ErrEnvsub) || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("expand(%q): error %v, want ErrEnvsub with %q", tt.line, err, tt.want)
		}
	}
}

func TestEnvsubRegions(t *testing.T) {
	t.Parallel()
	vars := WithLookup(lookupIn(map[string]string{"A": "alpha"}))
	tests := []struct {
		name string
		file string
		up   string
	}{
		{
			name: "off unless switched on",
			file: "-- +goose Up\nSELECT '$A';\n-- +goose ENVSUB ON\nSELECT '$A';\n-- +goose envsub off\nSELECT '$A';\n",
			up:   "\nSELECT '$A';\n\nSELECT 'alpha';\n\nSELECT '$A';\n",
		},
		{
			name: "comments between statements stay as they are",
			file: "-- +goose Up\n-- +goose ENVSUB ON\n-- costs $5\nSELECT '$A';\n-- $6\n\nSELECT 2;\n",
			up:   "\n\n-- costs $5\nSELECT 'alpha';\n-- $6\n\nSELECT 2;\n",
		},
		{
			name: "lines inside a statement are expanded, comments too",
			file: "-- +goose Up\n-- +goose ENVSUB ON\nSELECT\n-- $A\n'$A';\n",
			up:   "\n\nSELECT\n-- alpha\n'alpha';\n",
		},
		{
			name: "in a block",
			file: "-- +goose Up\n-- +goose ENVSUB ON\n-- +goose StatementBegin\nDO $$$$ BEGIN\nPERFORM '$A';\n-- $A\nEND $$$$;\n-- +goose StatementEnd\n",
			up:   "\n\n\nDO $$ BEGIN\nPERFORM 'alpha';\n-- alpha\nEND $$;\n",
		},
		{
			name: "dollar quotes outside the region",
			file: "-- +goose Up\n-- +goose ENVSUB ON\nSELECT '$A';\n-- +goose ENVSUB OFF\nDO $$ BEGIN END $$;\n",
			up:   "\n\nSELECT 'alpha';\n\nDO $$ BEGIN END $$;\n",
		},
		{
			name: "a dollar in a string is one",
			file: "-- +goose Up\n-- +goose ENVSUB ON\nSELECT 'costs $$5';\n",
			up:   "\n\nSELECT 'costs $5';\n",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			m := mustRead(t, dir("1_a.sql", tt.file), vars)[0]
			if m.Up.SQL != tt.up {
				t.Errorf("up\n got %q\nwant %q", m.Up.SQL, tt.up)
			}
		})
	}
}

func TestEnvsubLastsIntoDown(t *testing.T) {
	t.Parallel()
	fsys := dir("1_a.sql", "-- +goose Up\n-- +goose ENVSUB ON\nSELECT 1;\n-- +goose Down\nSELECT '$A';\n")
	m := mustRead(t, fsys, WithLookup(lookupIn(map[string]string{"A": "alpha"})))[0]
	if got := m.Down.Statements[0].SQL; got != "SELECT 'alpha'" {
		t.Errorf("down %q", got)
	}
}

func TestEnvsubProblems(t *testing.T) {
	t.Parallel()
	const file = "1_a.sql"
	tests := []struct {
		name string
		text string
		want []problem
	}{
		{
			name: "dollar quote in the region",
			text: "-- +goose Up\n-- +goose ENVSUB ON\nDO $$ BEGIN NULL; END $$;\n",
			want: []problem{{file, 3, ErrEnvsub}},
		},
		{
			name: "tagged dollar quote in the region",
			text: "-- +goose Up\n-- +goose ENVSUB ON\nSELECT 1;\nDO $body$\nBEGIN NULL; END\n$body$;\n",
			want: []problem{{file, 6, ErrEnvsub}},
		},
		{
			name: "parameter",
			text: "-- +goose Up\n-- +goose ENVSUB ON\nSELECT $1;\n",
			want: []problem{{file, 3, ErrEnvsub}},
		},
		{
			name: "not set",
			text: "-- +goose Up\n-- +goose ENVSUB ON\nSELECT\n'${X?}',\n'${Y?why}';\n",
			want: []problem{{file, 4, ErrEnvsub}, {file, 5, ErrEnvsub}},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, err := Read(dir(file, tt.text), WithLookup(lookupIn(nil)))
			checkProblems(t, err, tt.want)
		})
	}
}

// FuzzExpand holds that expansion ends, and changes nothing without a dollar.
func FuzzExpand(f *testing.F) {
	for _, seed := range []string{"$A", "${A:-${B-c}}", "${A:1:-1}", `\\\$$(`, "${A?x", "$$"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, line string) {
		out, err := expand(line, func(name string) (string, bool) { return name, len(name)%2 == 0 })
		if err != nil {
			if !errors.Is(err, ErrEnvsub) {
				t.Fatalf("error %v is not ErrEnvsub", err)
			}
			return
		}
		if !strings.Contains(line, "$") && out != line {
			t.Fatalf("%q became %q", line, out)
		}
	})
}
