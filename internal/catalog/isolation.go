package catalog

import (
	"errors"
	"fmt"
	"slices"
)

// Isolation says what keeps the tenants of a catalog apart. It is chosen when the
// catalog is made.
type Isolation string

const (
	// IsolationRoles: each tenant works as a role of its own, and PostgreSQL
	// refuses it what is another's.
	IsolationRoles Isolation = "roles"
	// IsolationSearchPath: all tenants work as one role; each has its own
	// search_path.
	IsolationSearchPath Isolation = "search_path"
)

// ErrIsolation: what was asked for is no isolation.
var ErrIsolation = errors.New("unknown isolation")

// IsolationError: the catalog has another isolation than was asked for.
type IsolationError struct {
	// Catalog is what the catalog was made with.
	Catalog Isolation
	// Asked is what the configuration asks for.
	Asked Isolation
}

// Error names both, and says that it stays so.
func (e *IsolationError) Error() string {
	return fmt.Sprintf("the isolation of this catalog is %q, not %q: it is chosen once, when the catalog is made, and cannot be changed in place", e.Catalog, e.Asked)
}

// CheckIsolation returns an [*IsolationError] unless the catalog has the isolation
// that was asked for. An empty one asks for nothing.
func (s Settings) CheckIsolation(asked Isolation) error {
	if asked == "" || asked == s.Isolation {
		return nil
	}
	if err := knownIsolation(asked); err != nil {
		return err
	}
	return &IsolationError{Catalog: s.Isolation, Asked: asked}
}

func knownIsolation(isolation Isolation) error {
	if !slices.Contains([]Isolation{IsolationRoles, IsolationSearchPath}, isolation) {
		return fmt.Errorf("%w %.80q: it is %q or %q", ErrIsolation, isolation, IsolationRoles, IsolationSearchPath)
	}
	return nil
}
