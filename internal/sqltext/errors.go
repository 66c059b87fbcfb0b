package sqltext

import (
	"errors"
	"fmt"
)

// What can be wrong with a script. [Split] returns them in an [*Error], which
// has the line.
var (
	ErrUnterminatedString      = errors.New("string that does not end: close it with a single quote")
	ErrUnterminatedIdentifier  = errors.New("quoted identifier that does not end: close it with a double quote")
	ErrUnterminatedComment     = errors.New("comment that does not end: close it with */, once for each /* in it")
	ErrUnterminatedDollarQuote = errors.New("dollar-quoted string that does not end: repeat its opening tag")
	ErrUnclosedParen           = errors.New("parenthesis that is not closed")
	ErrUnclosedBody            = errors.New("BEGIN ATOMIC without END: a semicolon and END close the body")
	ErrPsqlMeta                = errors.New("psql command (backslash): only psql knows those, remove it or write SQL")
	ErrCopyData                = errors.New("COPY FROM stdin: data inside a script is psql's, use INSERT")
)

// Error tells where in a script something is wrong.
type Error struct {
	Line int   // 1-based line on which the faulty element begins
	Err  error // one of the package's Err values
}

// Error returns the line and what is wrong there.
func (e *Error) Error() string { return fmt.Sprintf("line %d: %v", e.Line, e.Err) }

// Unwrap returns the package's Err value.
func (e *Error) Unwrap() error { return e.Err }
