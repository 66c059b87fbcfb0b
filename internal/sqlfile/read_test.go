package sqlfile

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io/fs"
	"slices"
	"testing"
	"testing/fstest"

	"github.com/rowhouse/rowhouse/internal/sqltext"
)

// dir makes a directory of files, name and contents in turn.
func dir(pairs ...string) fstest.MapFS {
	fsys := fstest.MapFS{}
	for i := 0; i < len(pairs); i += 2 {
		fsys[pairs[i]] = &fstest.MapFile{Data: []byte(pairs[i+1])}
	}
	return fsys
}

// mustRead reads a directory that has nothing wrong in it.
func mustRead(t *testing.T, fsys fs.FS, opts ...Option) []Migration {
	t.Helper()
	ms, err := Read(fsys, opts...)
	if err != nil {
		t.Fatalf("read: %v", err)
	}
	return ms
}

// texts returns the SQL of statements.
func texts(stmts []sqltext.Statement) []string {
	var out []string
	for _, s := range stmts {
		out = append(out, s.SQL)
	}
	return out
}

func TestReadGolangMigrate(t *testing.T) {
	t.Parallel()
	ms := mustRead(t, dir(
		"10_ten.up.sql", "SELECT 10;",
		"2_two.up.sql", "SELECT 2;\nSELECT 22;",
		"2_two.down.sql", "SELECT -2;",
		"20240102150405_a.b-c d.up.sql", "SELECT 3",
		"README.md", "not SQL",
		"migrations.go", "package migrations",
		".hidden.sql", "broken '",
		"below/1_other.up.sql", "SELECT 'below';",
		"x.sql/1_dir.up.sql", "SELECT 'directory with the ending';",
	))
	if len(ms) != 3 {
		t.Fatalf("%d migrations, want 3", len(ms))
	}
	for i, want := range []struct {
		version int64
		name    string
		file    string
		down    bool
	}{
		{2, "two", "2_two.up.sql", true},
		{10, "ten", "10_ten.up.sql", false},
		{20240102150405, "a.b-c d", "20240102150405_a.b-c d.up.sql", false},
	} {
		m := ms[i]
		if m.Version != want.version || m.Name != want.name || m.Up.File != want.file || m.Format != GolangMigrate {
			t.Errorf("migration %d is %+v, want %+v", i, m, want)
		}
		if (m.Down != nil) != want.down {
			t.Errorf("%s: down %v, want %v", m.Name, m.Down, want.down)
		}
	}
	if got := ms[0].Down; got.File != "2_two.down.sql" || got.SQL != "SELECT -2;\n" {
		t.Errorf("down is %+v", got)
	}
	if got, want := texts(ms[0].Up.Statements), []string{"SELECT 2", "SELECT 22"}; !slices.Equal(got, want) {
		t.Errorf("statements %q, want %q", got, want)
	}
}

func TestReadGoose(t *testing.T) {
	t.Parallel()
	ms := mustRead(t, dir(
		"00002_b.sql", "-- +goose Up\nSELECT 2;\n-- +goose Down\nSELECT -2;\n",
		"00001_a.sql", "-- +goose Up\nSELECT 1;\n",
	))
	if len(ms) != 2 || ms[0].Version != 1 || ms[1].Version != 2 {
		t.Fatalf("got %+v, want versions 1 and 2", ms)
	}
	if ms[0].Format != Goose || ms[0].Name != "a" || ms[0].Down != nil {
		t.Errorf("first is %+v", ms[0])
	}
	if ms[1].Down == nil || ms[1].Down.File != "00002_b.sql" || ms[1].Down.Statements[0].Line != 4 {
		t.Errorf("down of the second is %+v", ms[1].Down)
	}
}

func TestReadChecksum(t *testing.T) {
	t.Parallel()
	sum := func(pairs ...string) string { return mustRead(t, dir(pairs...))[0].Checksum.String() }
	up := []string{"1_a.up.sql", "SELECT 1;"}
	raw := sha256.Sum256([]byte("SELECT 1;"))
	if got, want := sum(up...), hex.EncodeToString(raw[:]); got != want {
		t.Errorf("checksum of one file %s, want that of its contents %s", got, want)
	}
	different := map[string]string{}
	for name, files := range map[string][]string{
		"up alone":             up,
		"with down":            append(slices.Clone(up), "1_a.down.sql", "SELECT 2;"),
		"other down":           append(slices.Clone(up), "1_a.down.sql", "SELECT 3;"),
		"empty down":           append(slices.Clone(up), "1_a.down.sql", ""),
		"other line ends":      {"1_a.up.sql", "SELECT 1;\r\n"},
		"byte order mark":      {"1_a.up.sql", "\uFEFFSELECT 1;"},
		"text moved into down": {"1_a.up.sql", "SELECT", "1_a.down.sql", " 1;"},
	} {
		s := sum(files...)
		if other, ok := different[s]; ok {
			t.Errorf("%s and %s have one checksum", name, other)
		}
		different[s] = name
	}
}

func TestReadChecksumIgnoresVariables(t *testing.T) {
	t.Parallel()
	fsys := dir("1_a.sql", "-- +goose Up\n-- +goose ENVSUB ON\nSELECT '$X';\n")
	var sums []Checksum
	for _, value := range []string{"a", "b"} {
		ms := mustRead(t, fsys, WithLookup(func(string) (string, bool) { return value, true }))
		if want := "SELECT '" + value + "'"; ms[0].Up.Statements[0].SQL != want {
			t.Errorf("statement %q, want %q", ms[0].Up.Statements[0].SQL, want)
		}
		sums = append(sums, ms[0].Checksum)
	}
	if sums[0] != sums[1] {
		t.Error("the checksum depends on a variable, want that of the file")
	}
}

func TestReadByteOrderMark(t *testing.T) {
	t.Parallel()
	ms := mustRead(t, dir("1_a.sql", "\uFEFF-- +goose Up\nSELECT 1;"))
	if got := ms[0].Up.SQL; got != "\nSELECT 1;\n" {
		t.Errorf("SQL %q", got)
	}
}

// problem is an error that a directory must give.
type problem struct {
	file string
	line int
	err  error
}

// checkProblems compares the errors of a directory, in order.
func checkProblems(t *testing.T, err error, want []problem) {
	t.Helper()
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		t.Fatalf("error %v, want %d joined problems", err, len(want))
	}
	var got []problem
	for i, e := range joined.Unwrap() {
		var fe *FileError
		if !errors.As(e, &fe) {
			t.Fatalf("error %v is no *FileError", e)
		}
		kind := fe.Err
		if i < len(want) && errors.Is(e, want[i].err) {
			kind = want[i].err
		}
		got = append(got, problem{fe.File, fe.Line, kind})
	}
	if !slices.Equal(got, want) {
		t.Errorf("problems\n got %v\nwant %v\nfrom %v", got, want, err)
	}
}

func TestReadProblems(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name  string
		files fstest.MapFS
		want  []problem
	}{
		{
			name:  "nothing",
			files: dir("README.md", "x", "below/1_a.up.sql", "SELECT 1"),
			want:  []problem{{".", 0, ErrNoFiles}},
		},
		{
			name: "names",
			files: dir("foo.sql", "", "1.sql", "", "_a.sql", "", "1_.sql", "", "-1_a.sql", "", "x1_a.up.sql", "",
				"1_a.SQL", "", "+2_a.sql", ""),
			want: []problem{
				{"+2_a.sql", 0, ErrFileName},
				{"-1_a.sql", 0, ErrFileName},
				{"1.sql", 0, ErrFileName},
				{"1_.sql", 0, ErrFileName},
				{"1_a.SQL", 0, ErrFileName},
				{"_a.sql", 0, ErrFileName},
				{"foo.sql", 0, ErrFileName},
				{"x1_a.up.sql", 0, ErrFileName},
			},
		},
		{
			name:  "version zero and too large",
			files: dir("000_a.up.sql", "SELECT 1", "9223372036854775808_b.up.sql", "SELECT 1"),
			want:  []problem{{"000_a.up.sql", 0, ErrFileName}, {"9223372036854775808_b.up.sql", 0, ErrFileName}},
		},
		{
			name:  "both formats",
			files: dir("1_a.up.sql", "SELECT 1", "2_b.up.sql", "SELECT 1", "3_c.sql", "-- +goose Up\nSELECT 1;"),
			want:  []problem{{"3_c.sql", 0, ErrMixedFormats}},
		},
		{
			name:  "both formats, mostly goose",
			files: dir("1_a.sql", "x", "2_b.sql", "x", "3_c.up.sql", "x", "3_c.down.sql", "x", "4_d.sql", "x"),
			want:  []problem{{"3_c.down.sql", 0, ErrMixedFormats}},
		},
		{
			name: "duplicate versions",
			files: dir("1_a.up.sql", "SELECT 1", "01_b.up.sql", "SELECT 1", "1_c.down.sql", "SELECT 1", "001_d.down.sql", "SELECT 1",
				"2_e.up.sql", "SELECT 1"),
			want: []problem{{"1_a.up.sql", 0, ErrDuplicateVersion}, {"1_c.down.sql", 0, ErrDuplicateVersion}},
		},
		{
			name:  "duplicate version in goose's format",
			files: dir("1_a.sql", "-- +goose Up\nSELECT 1;", "1_b.sql", "-- +goose Up\nSELECT 1;"),
			want:  []problem{{"1_b.sql", 0, ErrDuplicateVersion}},
		},
		{
			name:  "down without up",
			files: dir("1_a.up.sql", "SELECT 1", "2_b.down.sql", "SELECT 1"),
			want:  []problem{{"2_b.down.sql", 0, ErrNoUp}},
		},
		{
			name:  "empty up",
			files: dir("1_a.up.sql", " \n\t", "2_b.up.sql", ""),
			want:  []problem{{"1_a.up.sql", 0, ErrEmpty}, {"2_b.up.sql", 0, ErrEmpty}},
		},
		{
			name:  "empty goose file",
			files: dir("1_a.sql", "\n"),
			want:  []problem{{"1_a.sql", 0, ErrEmpty}},
		},
		{
			name:  "goose annotations under the other format's name",
			files: dir("1_a.up.sql", "SELECT 1;\n-- +goose Up\nSELECT 1;\n-- +goose Down\nSELECT 2;\n"),
			want:  []problem{{"1_a.up.sql", 2, ErrAnnotation}},
		},
		{
			name:  "encoding",
			files: dir("1_a.up.sql", "SELECT 1;\nSELECT '\xe4';", "2_b.up.sql", "\n\nS\x00E\x00", "3_c.up.sql", "SELECT '\uFFFD';\n\n\xff"),
			want: []problem{
				{"1_a.up.sql", 2, ErrEncoding},
				{"2_b.up.sql", 3, ErrEncoding},
				{"3_c.up.sql", 3, ErrEncoding},
			},
		},
		{
			name: "what the lexer finds",
			files: dir("1_a.up.sql", "SELECT 1;\nSELECT 'x", "2_b.up.sql", "DO $$\n", "3_c.up.sql", "\n\\i x.sql",
				"4_d.up.sql", "COPY t FROM stdin;\n1\n\\.\n", "5_e.up.sql", "SELECT (1;\nSELECT 2"),
			want: []problem{
				{"1_a.up.sql", 2, sqltext.ErrUnterminatedString},
				{"2_b.up.sql", 1, sqltext.ErrUnterminatedDollarQuote},
				{"3_c.up.sql", 2, sqltext.ErrPsqlMeta},
				{"4_d.up.sql", 1, sqltext.ErrCopyData},
				{"5_e.up.sql", 1, sqltext.ErrUnclosedParen},
			},
		},
		{
			name: "own annotation",
			files: dir("1_a.up.sql", "SELECT 1;\n-- rowhouse: no transaction\n", "2_b.up.sql", "-- rowhouse: no transactions\nSELECT 1;",
				"3_c.up.sql", "-- rowhouse:\nSELECT 1;"),
			want: []problem{
				{"1_a.up.sql", 2, ErrAnnotation},
				{"2_b.up.sql", 1, ErrAnnotation},
				{"3_c.up.sql", 1, ErrAnnotation},
			},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			ms, err := Read(tt.files)
			if ms != nil {
				t.Errorf("migrations %+v with an error, want none", ms)
			}
			checkProblems(t, err, tt.want)
		})
	}
}

// brokenFS fails to list, or to open files.
type brokenFS struct {
	fs.FS
	list bool
}

var errBroken = errors.New("broken")

func (b brokenFS) Open(name string) (fs.File, error) {
	if b.list == (name == ".") {
		return nil, errBroken
	}
	return b.FS.Open(name)
}

func TestReadPassesFileSystemErrors(t *testing.T) {
	t.Parallel()
	for _, list := range []bool{true, false} {
		_, err := Read(brokenFS{FS: dir("1_a.up.sql", "SELECT 1"), list: list})
		if !errors.Is(err, errBroken) {
			t.Errorf("list %v: error %v, want that of the file system", list, err)
		}
	}
}
