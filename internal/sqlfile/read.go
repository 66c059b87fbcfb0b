package sqlfile

import (
	"cmp"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// source is a .sql file whose name has been understood.
type source struct {
	file    string
	version int64
	name    string
	format  Format
	down    bool // golang-migrate only
}

// Read reads the migrations in the root of fsys, sorted by version. Files in
// directories below it, hidden files and files that do not end in .sql are
// ignored; any other file must be a migration.
//
// The error joins a [*FileError] for each problem, in the order of the file
// names. With an error no migrations are returned.
func Read(fsys fs.FS, opts ...Option) ([]Migration, error) {
	var cfg config
	for _, opt := range opts {
		opt(&cfg)
	}
	var probs problems
	sources, err := list(fsys, &probs)
	if err != nil {
		return nil, err
	}
	format := formatOf(sources, &probs)
	if len(probs) > 0 {
		return nil, errors.Join(probs...)
	}
	r := reader{fsys: fsys, cfg: cfg, probs: &probs}
	migrations := make([]Migration, 0, len(sources))
	for len(sources) > 0 {
		n := 1
		for n < len(sources) && sources[n].version == sources[0].version {
			n++
		}
		group := sources[:n]
		sources = sources[n:]
		switch m := r.migration(format, group); {
		case m != nil:
			migrations = append(migrations, *m)
		case r.err != nil:
			return nil, r.err
		}
	}
	if len(probs) > 0 {
		slices.SortStableFunc(probs, compareFiles)
		return nil, errors.Join(probs...)
	}
	return migrations, nil
}

func compareFiles(a, b error) int {
	var x, y *FileError
	if !errors.As(a, &x) || !errors.As(b, &y) {
		return 0
	}
	return cmp.Or(strings.Compare(x.File, y.File), cmp.Compare(x.Line, y.Line))
}

// list returns the files that are migrations by name, sorted by version.
func list(fsys fs.FS, probs *problems) ([]source, error) {
	entries, err := fs.ReadDir(fsys, ".")
	if err != nil {
		return nil, fmt.Errorf("list migrations: %w", err)
	}
	var sources []source
	for _, e := range entries {
		name := e.Name()
		if e.IsDir() || strings.HasPrefix(name, ".") || !strings.EqualFold(path.Ext(name), ".sql") {
			continue
		}
		src, err := parseName(name)
		if err != nil {
			probs.add(name, 0, err)
			continue
		}
		sources = append(sources, src)
	}
	if len(sources) == 0 && len(*probs) == 0 {
		probs.addf(".", 0, ErrNoFiles, "there is no .sql file in the directory; for one below it use fs.Sub")
	}
	slices.SortStableFunc(sources, func(a, b source) int { return cmp.Compare(a.version, b.version) })
	return sources, nil
}

// fileName is what both formats have in common: digits, a name, an ending. A
// name with .up or .down before the ending is golang-migrate's.
var fileName = regexp.MustCompile(`^([0-9]+)_(.+?)(\.up|\.down)?\.sql$`)

func parseName(file string) (source, error) {
	m := fileName.FindStringSubmatch(file)
	if m == nil {
		return source{}, fmt.Errorf("%w: want N_name.sql (goose), or N_name.up.sql and N_name.down.sql (golang-migrate), N a number", ErrFileName)
	}
	version, err := strconv.ParseInt(m[1], 10, 64)
	if err != nil {
		return source{}, fmt.Errorf("%w: version %s is too large, the greatest is %d", ErrFileName, m[1], int64(math.MaxInt64))
	}
	if version == 0 {
		return source{}, fmt.Errorf("%w: version 0 stands for no migration at all; begin with 1", ErrFileName)
	}
	src := source{file: file, version: version, name: m[2], format: Goose}
	if m[3] != "" {
		src.format, src.down = GolangMigrate, m[3] == ".down"
	}
	return src, nil
}

// formatOf returns the format that all files share. The complaint about a
// mixture goes to the first file of the rarer format.
func formatOf(sources []source, probs *problems) Format {
	count := map[Format]int{}
	first := map[Format]string{}
	for _, s := range sources {
		if count[s.format]++; count[s.format] == 1 {
			first[s.format] = s.file
		}
	}
	if count[Goose] == 0 {
		return GolangMigrate
	}
	if count[GolangMigrate] == 0 {
		return Goose
	}
	rare, common := Goose, GolangMigrate
	if count[Goose] > count[GolangMigrate] {
		rare, common = common, rare
	}
	probs.addf(first[rare], 0, ErrMixedFormats, "named as %s names files, but %s is named as %s does: keep each format in a directory of its own",
		rare, first[common], common)
	return common
}

// reader turns files into migrations. It collects what is wrong with them;
// err is set when a file could not be read at all.
type reader struct {
	fsys  fs.FS
	cfg   config
	probs *problems
	err   error
}

// migration reads the files of one version. It returns nil when they do not
// make up a migration.
func (r *reader) migration(format Format, group []source) *Migration {
	up, down := r.halves(group)
	if up == nil {
		if down != nil {
			r.probs.addf(down.file, 0, ErrNoUp, "version %d has a down file only; add %d_%s.up.sql or remove this file",
				down.version, down.version, down.name)
		}
		return nil
	}
	m := &Migration{Version: up.version, Name: up.name, Format: format}
	before := len(*r.probs)
	sum := sha256.New()
	text, ok := r.read(up.file, sum)
	switch {
	case ok && format == Goose:
		m.Up, m.Down = r.goose(up.file, text)
	case ok:
		m.Up = r.golangMigrate(up.file, text)
	}
	if down != nil {
		sum.Write([]byte{0})
		if text, ok := r.read(down.file, sum); ok && strings.TrimSpace(text) != "" {
			m.Down = r.golangMigrate(down.file, text)
		}
	}
	m.Checksum = Checksum(sum.Sum(nil))
	if r.err != nil || len(*r.probs) > before {
		return nil
	}
	return m
}

// halves picks the up and the down file, and complains about any further one.
func (r *reader) halves(group []source) (up, down *source) {
	for i := range group {
		half := &up
		if group[i].down {
			half = &down
		}
		if *half != nil {
			r.probs.addf(group[i].file, 0, ErrDuplicateVersion, "%d is the version of %s too; give one of them another number",
				group[i].version, (*half).file)
			continue
		}
		*half = &group[i]
	}
	return up, down
}

// read returns the text of a file, and writes its contents to sum. It reports
// false when there is no text to go on with.
func (r *reader) read(file string, sum io.Writer) (text string, ok bool) {
	raw, err := fs.ReadFile(r.fsys, file)
	if err != nil {
		r.err = cmp.Or(r.err, fmt.Errorf("read migration %s: %w", file, err))
		return "", false
	}
	_, _ = sum.Write(raw) // a hash never fails
	return r.text(file, raw)
}
