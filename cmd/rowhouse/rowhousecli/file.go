package rowhousecli

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/rowhouse/rowhouse/migrate"
)

// defaultFile is the configuration file that is read, if it exists, when none is
// named.
const defaultFile = "rowhouse.yaml"

// configFile is what a configuration file says.
type configFile struct {
	path   string // empty for none
	values map[string]fileValue
	sets   []fileSet
}

// fileValue is a setting in the file.
type fileValue struct {
	values []string
	line   int
}

// fileSet is a migration set in the file.
type fileSet struct {
	key  string // "migrations.tenant.app"
	set  migrate.Set
	dir  string // as it stands there
	line int
}

// at names a place in the file.
func (f *configFile) at(line int) string { return fmt.Sprintf("%s:%d", f.path, line) }

// findFile reads the file that the setting names or, if it names none, the
// default one.
func findFile(s *setting) (*configFile, error) {
	path := s.Value
	if path == "" {
		if _, err := os.Stat(defaultFile); errors.Is(err, fs.ErrNotExist) {
			return &configFile{}, nil
		}
		path, s.Value, s.Origin = defaultFile, defaultFile, "found in this directory"
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("configuration file: %w", err)
	}
	return parseFile(path, data)
}

// migrationSets are the sets of the file, their directories opened. A directory
// that does not exist is an error.
func (f *configFile) migrationSets() ([]migrate.Set, error) {
	var sets []migrate.Set
	var errs []error
	for _, s := range f.sets {
		dir := s.dir
		if !filepath.IsAbs(dir) {
			dir = filepath.Join(filepath.Dir(f.path), dir)
		}
		if info, err := os.Stat(dir); err != nil || !info.IsDir() {
			errs = append(errs, fmt.Errorf("%s: %s: %s is not a directory that can be read", f.at(s.line), s.key, dir))
			continue
		}
		s.set.FS, s.set.Lookup = os.DirFS(dir), os.LookupEnv
		sets = append(sets, s.set)
	}
	return sets, errors.Join(errs...)
}

// parseFile reads a configuration file. It reports all that is wrong with it.
func parseFile(path string, data []byte) (*configFile, error) {
	p := parser{file: &configFile{path: path, values: make(map[string]fileValue)}}
	var doc yaml.Node
	if err := yaml.Unmarshal(data, &doc); err != nil {
		return nil, fmt.Errorf("%s: %s", path, strings.TrimPrefix(err.Error(), "yaml: "))
	}
	if len(doc.Content) == 0 { // empty
		return p.file, nil
	}
	known := []string{"migrations", "app"}
	for _, o := range options() {
		if o.name != "config" {
			known = append(known, o.name)
		}
	}
	for _, e := range p.mapping(doc.Content[0], "", known) {
		switch e.key {
		case "app": // the application's own
		case "migrations":
			p.migrations(e.value)
		default:
			p.setting(e)
		}
	}
	return p.file, errors.Join(p.errs...)
}

type parser struct {
	file *configFile
	errs []error
}

// entry is one key of a mapping.
type entry struct {
	key   string // the last part of name
	name  string // "migrations.tenant"
	line  int    // of the key
	value *yaml.Node
}

func (p *parser) fail(n *yaml.Node, format string, args ...any) {
	p.errs = append(p.errs, fmt.Errorf("%s: %s", p.file.at(n.Line), fmt.Sprintf(format, args...)))
}

// mapping returns the entries of a mapping that have one of the known keys, or
// any key if known is nil. What else is there is an error. name is the mapping's
// own, empty for the whole file.
func (p *parser) mapping(n *yaml.Node, name string, known []string) []entry {
	if n = resolved(n); isNull(n) {
		return nil
	}
	if n.Kind != yaml.MappingNode {
		if name == "" {
			name = p.file.path
		}
		p.fail(n, "%q must have keys of its own", name)
		return nil
	}
	var entries []entry
	seen := make(map[string]bool)
	for i := 0; i < len(n.Content); i += 2 {
		key := n.Content[i]
		e := entry{key: key.Value, name: strings.TrimPrefix(name+"."+key.Value, "."), line: key.Line, value: resolved(n.Content[i+1])}
		switch {
		case seen[e.key]:
			p.fail(key, "%q is there twice", e.name)
		case known != nil && !slices.Contains(known, e.key):
			p.fail(key, "unknown key %q%s", e.name, didYouMean(e.key, known))
		default:
			entries = append(entries, e)
		}
		seen[e.key] = true
	}
	return entries
}

// setting takes a setting's value: a text or, for one with several, a list.
func (p *parser) setting(e entry) {
	v := fileValue{line: e.line}
	switch {
	case isNull(e.value):
		return
	case e.value.Kind == yaml.ScalarNode:
		v.values = []string{e.value.Value}
	case e.value.Kind == yaml.SequenceNode && isList(e.key):
		for _, item := range e.value.Content {
			if item = resolved(item); item.Kind != yaml.ScalarNode {
				p.fail(item, "%q must be a list of names", e.name)
				return
			}
			v.values = append(v.values, item.Value)
		}
	default:
		p.fail(e.value, "%q must be a text", e.name)
		return
	}
	p.file.values[e.key] = v
}

// migrations takes the sets, scope by scope.
func (p *parser) migrations(n *yaml.Node) {
	scopes := []string{string(migrate.Shared), string(migrate.Tenant), string(migrate.Both), "kinds"}
	for _, scope := range p.mapping(n, "migrations", scopes) {
		if scope.key != "kinds" {
			p.sets(scope, migrate.Set{Scope: migrate.Scope(scope.key)})
			continue
		}
		for _, kind := range p.mapping(scope.value, scope.name, nil) {
			p.sets(kind, migrate.Set{Scope: migrate.Tenant, Kind: kind.key})
		}
	}
}

// sets takes the sets of one scope: names and directories.
func (p *parser) sets(scope entry, like migrate.Set) {
	for _, e := range p.mapping(scope.value, scope.name, nil) {
		if e.value.Kind != yaml.ScalarNode || e.value.Value == "" || isNull(e.value) {
			p.fail(e.value, "%q must be a directory", e.name)
			continue
		}
		like.Name = e.key
		p.file.sets = append(p.file.sets, fileSet{key: e.name, set: like, dir: e.value.Value, line: e.line})
	}
}

// resolved follows an alias to what it stands for.
func resolved(n *yaml.Node) *yaml.Node {
	for n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	return n
}

func isNull(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.Tag == "!!null" }

func isList(name string) bool {
	for _, o := range options() {
		if o.name == name {
			return o.list
		}
	}
	return false
}

// didYouMean is the end of a message about an unknown word.
func didYouMean(word string, known []string) string {
	if near := closest(word, known); near != "" {
		return fmt.Sprintf("; did you mean %q?", near)
	}
	return "; known are " + strings.Join(known, ", ")
}
