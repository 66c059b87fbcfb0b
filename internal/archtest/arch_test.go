package archtest

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const (
	module = "github.com/rowhouse/rowhouse"
	root   = "../.."
)

// arrows says which packages of the module a package may import. It is complete:
// a new internal package is put in here, where its place is thought about. What is
// not in here and not internal is a satellite.
var arrows = map[string][]string{
	".":                  {"internal/bind", "internal/catalog", "internal/directory", "internal/hostname", "internal/pool"},
	"admin":              {".", "migrate", "internal/catalog", "internal/hostname", "internal/ident", "internal/pool"},
	"migrate":            {"internal/catalog", "internal/ident", "internal/script", "internal/sqlfile"},
	"internal/script":    {"internal/catalog", "internal/ident", "internal/sqlfile", "internal/sqltext"},
	"internal/directory": {"internal/catalog"},
	"internal/pool":      {"internal/bind"},
	"internal/bind":      {"internal/catalog", "internal/ident", "internal/sqltext"},
	"internal/catalog":   {"internal/ident"},
	"internal/sqlfile":   {"internal/sqltext"},
	"internal/ident":     {},
	"internal/hostname":  {},
	"internal/sqltext":   {},
	"embedded":           {},
	"internal/pgtest":    {"embedded"},
	"internal/archtest":  {},
}

// satellites import the developer's door and nothing else of the module.
var satellites = []string{"."}

// direct are the modules that the core requires itself.
var direct = []string{"github.com/jackc/pgx/v5", "golang.org/x/net", "golang.org/x/sync"}

// graphLimit is how many modules may be in the graph of who requires the core.
const graphLimit = 22

// pkg is a package of the repository.
type pkg struct {
	dir  string // from the root
	core bool   // in the core module
	fset *token.FileSet
	// files are those that are no tests, with their imports of tests beside.
	files       []*ast.File
	imports     []string
	testImports []string
}

// packages parses the whole repository.
func packages(t *testing.T) []*pkg {
	t.Helper()
	found := map[string]*pkg{}
	var others []string // directories of other modules
	err := filepath.WalkDir(root, func(file string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := d.Name()
		switch {
		case d.IsDir() && file != root && (strings.HasPrefix(name, ".") || strings.HasPrefix(name, "_") || name == "testdata" || name == "bin"):
			return fs.SkipDir
		case name == "go.mod" && filepath.Dir(file) != root:
			others = append(others, relative(t, filepath.Dir(file)))
		case strings.HasSuffix(name, ".go"):
			return addFile(t, found, file)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	var all []*pkg
	for _, p := range found {
		p.core = !slices.ContainsFunc(others, func(o string) bool { return p.dir == o || strings.HasPrefix(p.dir, o+"/") })
		all = append(all, p)
	}
	if len(all) < len(arrows) {
		t.Fatalf("found only %d packages", len(all))
	}
	return all
}

func relative(t *testing.T, dir string) string {
	t.Helper()
	rel, err := filepath.Rel(root, dir)
	if err != nil {
		t.Fatal(err)
	}
	return filepath.ToSlash(rel)
}

func addFile(t *testing.T, found map[string]*pkg, file string) error {
	t.Helper()
	dir := relative(t, filepath.Dir(file))
	p := found[dir]
	if p == nil {
		p = &pkg{dir: dir, fset: token.NewFileSet()}
		found[dir] = p
	}
	f, err := parser.ParseFile(p.fset, file, nil, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return err
	}
	list := &p.imports
	if strings.HasSuffix(file, "_test.go") {
		list = &p.testImports
	} else {
		p.files = append(p.files, f)
	}
	for _, spec := range f.Imports {
		imported, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			return err
		}
		*list = append(*list, imported)
	}
	return nil
}

// inside is the directory of an imported package of the module.
func inside(imported string) (dir string, ok bool) {
	if imported == module {
		return ".", true
	}
	return strings.CutPrefix(imported, module+"/")
}

func TestArrows(t *testing.T) {
	t.Parallel()
	for _, p := range packages(t) {
		allowed, known := arrows[p.dir]
		internal := strings.HasPrefix(p.dir, "internal/") || strings.Contains(p.dir, "/internal/")
		switch {
		case !p.core:
			continue // TestOthersUseThePublicDoors
		case !known && internal:
			t.Errorf("%s: give it its place in the table of arrows", p.dir)
		case !known:
			allowed = satellites
		}
		for _, imported := range p.imports {
			if dir, ok := inside(imported); ok && !slices.Contains(allowed, dir) {
				t.Errorf("%s imports %s: the arrow is not in the table", p.dir, dir)
			}
		}
	}
}

// The tool, the demo and the benchmarks use nothing that a user could not use.
// Their tests may use the test kit.
func TestOthersUseThePublicDoors(t *testing.T) {
	t.Parallel()
	for _, p := range packages(t) {
		if p.core {
			continue
		}
		for _, imported := range p.imports {
			if dir, ok := inside(imported); ok && strings.HasPrefix(dir, "internal/") {
				t.Errorf("%s imports %s, which users cannot", p.dir, dir)
			}
		}
		for _, imported := range p.testImports {
			if dir, ok := inside(imported); ok && strings.HasPrefix(dir, "internal/") && dir != "internal/pgtest" {
				t.Errorf("tests of %s import %s", p.dir, dir)
			}
		}
	}
}

// The core requires pgx and two packages of the Go project, tests included.
func TestDirectDependencies(t *testing.T) {
	t.Parallel()
	used := map[string]bool{}
	for _, p := range packages(t) {
		if !p.core {
			continue
		}
		for _, imported := range append(p.imports, p.testImports...) {
			if _, ok := inside(imported); ok || !strings.Contains(strings.Split(imported, "/")[0], ".") {
				continue
			}
			i := slices.IndexFunc(direct, func(m string) bool { return imported == m || strings.HasPrefix(imported, m+"/") })
			if i < 0 {
				t.Errorf("%s imports %s", p.dir, imported)
				continue
			}
			used[direct[i]] = true
		}
	}
	text, err := os.ReadFile(filepath.Join(root, "go.mod"))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		name, rest, _ := strings.Cut(strings.TrimSpace(strings.TrimPrefix(line, "require ")), " ")
		if strings.HasPrefix(rest, "v") && !strings.Contains(rest, "// indirect") && !slices.Contains(direct, name) {
			t.Errorf("go.mod requires %s", name)
		}
		if strings.HasPrefix(line, "replace") {
			t.Errorf("go.mod has %q, which counts for nobody else", strings.TrimSpace(line))
		}
	}
	for _, m := range direct {
		if !used[m] {
			t.Errorf("nothing uses %s any more", m)
		}
	}
}

func TestModuleGraphIsSmall(t *testing.T) {
	t.Parallel()
	cmd := exec.CommandContext(t.Context(), "go", "list", "-m", "-f", "{{.Path}}", "all")
	cmd.Dir = root
	cmd.Env = append(os.Environ(), "GOWORK=off", "GOFLAGS=-mod=readonly")
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	modules := len(strings.Fields(string(out)))
	if modules < len(direct)+1 || modules > graphLimit {
		t.Errorf("who requires the core has %d modules in the graph, at most %d are wanted:\n%s", modules, graphLimit, out)
	}
}
