package migrate

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"github.com/rowhouse/rowhouse/internal/ident"
	"github.com/rowhouse/rowhouse/internal/sqlfile"
)

// Scope says in which schemas a set belongs.
type Scope string

// The scopes.
const (
	// Shared sets run on the shared schema.
	Shared Scope = "shared"
	// Tenant sets run on the schema of every tenant.
	Tenant Scope = "tenant"
	// Both is for what every schema has of its own.
	Both Scope = "both"
)

// Set is an ordered list of migrations with a name and a scope. Sets run in the
// order in which they are given.
type Set struct {
	// Name is what the ledger knows the set by; do not change it later. It must
	// match ^[a-z][a-z0-9_-]*$. Two sets may have the same name if one is for the
	// shared schema only and the other for tenants only.
	Name string
	// Scope says where the set belongs.
	Scope Scope
	// Kind restricts the set to tenants of one kind. Empty means all.
	Kind string
	// FS holds the files in its root, in goose's format (N_name.sql) or in
	// golang-migrate's (N_name.up.sql, N_name.down.sql). Use [fs.Sub] for a
	// directory of an embedded file system.
	FS fs.FS
	// Lookup resolves the variables of goose's ENVSUB, as [os.LookupEnv] does.
	// Files that use ENVSUB are an error without it.
	Lookup func(name string) (string, bool)
}

// ErrSet: a set's definition is wrong.
var ErrSet = errors.New("invalid migration set")

// FileError is a problem with a migration file. [New] joins all that it finds.
type FileError = sqlfile.FileError

// set is a Set that was read.
type set struct {
	Set
	migrations []sqlfile.Migration
}

func readSets(sets []Set) ([]set, error) {
	var read []set
	var errs []error
	var checked []Set
	for _, s := range sets {
		if err := s.check(); err != nil {
			errs = append(errs, err)
			continue
		}
		if slices.ContainsFunc(checked, s.collides) {
			errs = append(errs, fmt.Errorf("%w: there are two called %q that share a schema", ErrSet, s.Name))
			continue
		}
		checked = append(checked, s)
		var opts []sqlfile.Option
		if s.Lookup != nil {
			opts = append(opts, sqlfile.WithLookup(s.Lookup))
		}
		migrations, err := sqlfile.Read(s.FS, opts...)
		if err != nil {
			errs = append(errs, fmt.Errorf("migration set %q: %w", s.Name, err))
			continue
		}
		read = append(read, set{Set: s, migrations: migrations})
	}
	return read, errors.Join(errs...)
}

func (s Set) check() error {
	if err := ident.CheckLabel("name", s.Name); err != nil {
		return fmt.Errorf("%w: %w", ErrSet, err)
	}
	switch {
	case s.Scope != Shared && s.Scope != Tenant && s.Scope != Both:
		return fmt.Errorf("%w %q: scope %q is not shared, tenant or both", ErrSet, s.Name, s.Scope)
	case s.Scope == Shared && s.Kind != "":
		return fmt.Errorf("%w %q: a shared set has no kind", ErrSet, s.Name)
	case s.FS == nil:
		return fmt.Errorf("%w %q: it has no FS", ErrSet, s.Name)
	}
	return nil
}

// collides tells whether the ledger could not tell two sets apart: they have one
// name and, the shared schema's rows being apart from those of tenants, may meet
// in a schema. Two kinds may meet: a tenant's kind can change.
func (s Set) collides(other Set) bool {
	apart := s.Scope == Shared && other.Scope == Tenant || s.Scope == Tenant && other.Scope == Shared
	return s.Name == other.Name && !apart
}

// onShared tells whether the set belongs in the shared schema.
func (s Set) onShared() bool { return s.Scope == Shared || s.Scope == Both }

// onTenant tells whether the set belongs in the schema of a tenant of that kind.
func (s Set) onTenant(kind string) bool {
	return s.Scope != Shared && (s.Kind == "" || s.Kind == kind)
}
