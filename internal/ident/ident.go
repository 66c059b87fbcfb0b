// Package ident holds the rules for names and the only road from a string to an
// identifier, or a constant, in SQL.
//
// A tenant's schema name is safe by construction: it passed [CheckSchema], so it
// needs no quoting to be read back. It is quoted all the same, like every other
// identifier, by [Quote]. No other function in rowhouse writes an identifier
// into SQL.
package ident

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Limits of names.
const (
	// MaxSchema is the longest schema name in bytes: PostgreSQL cuts longer
	// identifiers off without an error (NAMEDATALEN is 64).
	MaxSchema = 63
	// MaxName is the longest tenant name in characters.
	MaxName = 100
	// MaxSet is the longest name of a migration set or a tenant kind in bytes.
	MaxSet = 63
)

// CatalogSchema is the schema of rowhouse's own tables.
const CatalogSchema = "rowhouse"

var (
	// ErrSchemaName is the cause of every refused schema name.
	ErrSchemaName = errors.New("invalid schema name")
	// ErrName is the cause of every refused tenant name.
	ErrName = errors.New("invalid tenant name")
	// ErrLabel is the cause of every refused kind or migration set name.
	ErrLabel = errors.New("invalid label")
)

var (
	schemaPattern = regexp.MustCompile(`^[a-z][a-z0-9_]*$`)
	labelPattern  = regexp.MustCompile(`^[a-z][a-z0-9_-]*$`)
)

// Reserved tells whether a schema name belongs to PostgreSQL or to rowhouse
// itself, so that no tenant may have it. The shared schema is reserved too, but
// only a catalog knows its name.
func Reserved(schema string) bool {
	return strings.HasPrefix(schema, "pg_") ||
		slices.Contains([]string{"public", "information_schema", CatalogSchema}, schema)
}

// CheckSchema checks a tenant's schema name against the rules of the catalog:
// ^[a-z][a-z0-9_]*$, at most [MaxSchema] bytes, not [Reserved] and not one of
// also. Its error wraps [ErrSchemaName] and says which rule was broken.
func CheckSchema(schema string, also ...string) error {
	switch {
	case len(schema) > MaxSchema:
		return fmt.Errorf("%w %.80q: it has %d bytes, at most %d are allowed", ErrSchemaName, schema, len(schema), MaxSchema)
	case !schemaPattern.MatchString(schema):
		return fmt.Errorf("%w %q: must start with a letter and only contain lowercase letters, numbers or underscores", ErrSchemaName, schema)
	case Reserved(schema) || slices.Contains(also, schema):
		return fmt.Errorf("%w %q: it is reserved; choose another name", ErrSchemaName, schema)
	}
	return nil
}

// CheckName checks a tenant's name: valid UTF-8, 1 to [MaxName] characters,
// with something to see in it and no control characters. Its error wraps
// [ErrName].
func CheckName(name string) error {
	switch {
	case !utf8.ValidString(name):
		return fmt.Errorf("%w %q: it is not valid UTF-8", ErrName, name)
	case strings.TrimSpace(name) == "":
		return fmt.Errorf("%w: it is empty", ErrName)
	case utf8.RuneCountInString(name) > MaxName:
		return fmt.Errorf("%w %.60q…: it has %d characters, at most %d are allowed", ErrName, name, utf8.RuneCountInString(name), MaxName)
	case strings.ContainsFunc(name, unicode.IsControl):
		return fmt.Errorf("%w %q: it has a control character", ErrName, name)
	}
	return nil
}

// CheckLabel checks the name of a kind or of a migration set:
// ^[a-z][a-z0-9_-]*$ and at most [MaxSet] bytes. what is the word for it in the
// error, which wraps [ErrLabel].
func CheckLabel(what, label string) error {
	if len(label) > MaxSet || !labelPattern.MatchString(label) {
		return fmt.Errorf("%w: %s %.80q must start with a letter, contain only lowercase letters, numbers, underscores or hyphens and have at most %d bytes", ErrLabel, what, label, MaxSet)
	}
	return nil
}

// Quote makes a name an identifier in SQL. A name with a zero byte, which no
// identifier can have, becomes one that PostgreSQL refuses.
func Quote(name string) string {
	return `"` + strings.ReplaceAll(name, `"`, `""`) + `"`
}

// Literal writes a string as a constant of SQL. It means the same whatever the
// server's standard_conforming_strings says.
func Literal(value string) string {
	quoted := "'" + strings.ReplaceAll(value, "'", "''") + "'"
	if strings.Contains(value, `\`) {
		return "E" + strings.ReplaceAll(quoted, `\`, `\\`)
	}
	return quoted
}
