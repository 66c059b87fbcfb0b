package sqlfile

import (
	"errors"
	"fmt"
)

// What can be wrong with a directory. [Read] returns each problem as a
// [*FileError] and joins them; errors about the SQL itself are those of
// package sqltext.
var (
	// ErrNoFiles is a directory without a .sql file in it.
	ErrNoFiles = errors.New("no migration files")
	// ErrMixedFormats is a directory with files of both formats.
	ErrMixedFormats = errors.New("two formats in one directory")
	// ErrFileName is a .sql file whose name follows neither format.
	ErrFileName = errors.New("file name not understood")
	// ErrDuplicateVersion is a version that two files claim.
	ErrDuplicateVersion = errors.New("duplicate version")
	// ErrNoUp is a migration which has only a down half.
	ErrNoUp = errors.New("no up migration")
	// ErrEmpty is an up migration without a word in it.
	ErrEmpty = errors.New("empty migration")
	// ErrEncoding is a file that is not UTF-8 text.
	ErrEncoding = errors.New("not UTF-8 text")
	// ErrAnnotation is an annotation that is unknown or out of place.
	ErrAnnotation = errors.New("wrong annotation")
	// ErrEnvsub is a variable that cannot be substituted.
	ErrEnvsub = errors.New("variable substitution failed")
	// ErrTransactionControl is a statement which would break the transaction
	// that the migration runs in.
	ErrTransactionControl = errors.New("transaction control")
	// ErrNeedsNoTransaction is a statement that PostgreSQL does not run in a
	// transaction, where there is one.
	ErrNeedsNoTransaction = errors.New("statement cannot run in a transaction")
)

// FileError is one problem with one file.
type FileError struct {
	File string // name in the directory; "." for the directory itself
	Line int    // 1-based; 0 when the problem is not on a line
	Err  error
}

// Error returns file, line and problem in the form that editors understand.
func (e *FileError) Error() string {
	if e.Line == 0 {
		return fmt.Sprintf("%s: %v", e.File, e.Err)
	}
	return fmt.Sprintf("%s:%d: %v", e.File, e.Line, e.Err)
}

// Unwrap returns the problem.
func (e *FileError) Unwrap() error { return e.Err }

// problems collects the errors of a directory or a file.
type problems []error

func (p *problems) add(file string, line int, err error) {
	*p = append(*p, &FileError{File: file, Line: line, Err: err})
}

// addf adds a problem of the given kind with a message behind it.
func (p *problems) addf(file string, line int, kind error, format string, args ...any) {
	p.add(file, line, fmt.Errorf("%w: %s", kind, fmt.Sprintf(format, args...)))
}
