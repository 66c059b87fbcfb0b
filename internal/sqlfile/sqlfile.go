// Package sqlfile reads directories of SQL migrations in the formats of goose
// and of golang-migrate, as they are.
//
// [Read] looks at every .sql file of one directory, finds out the format from
// the files and returns the migrations in order. It is strict: whatever it
// cannot understand is an error with file and line, and all errors of a
// directory come at once. What it returns can be run without another look at
// the files.
//
// The two formats differ in how they cut a file into statements, and both
// differ from PostgreSQL. Here all cutting is done by
// [github.com/rowhouse/rowhouse/internal/sqltext], so that it agrees with the
// server; script.go and goose.go say where that makes a difference.
//
// Begin reading with Read, then buildScript, which holds the rules about
// transactions.
package sqlfile

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"

	"github.com/rowhouse/rowhouse/internal/sqltext"
)

// Format is the tool whose conventions a directory follows.
type Format uint8

// The formats that [Read] understands.
const (
	// Goose keeps both directions in one file, N_name.sql, divided by
	// annotations.
	Goose Format = iota + 1
	// GolangMigrate keeps N_name.up.sql and N_name.down.sql.
	GolangMigrate
)

// String returns the tool's name.
func (f Format) String() string {
	switch f {
	case Goose:
		return "goose"
	case GolangMigrate:
		return "golang-migrate"
	}
	return fmt.Sprintf("Format(%d)", uint8(f))
}

// Checksum is the SHA-256 sum of a migration's files as they are on disk: the
// up file and, when there is one, a zero byte and the down file.
type Checksum [sha256.Size]byte

// String returns the sum in hexadecimal.
func (c Checksum) String() string { return hex.EncodeToString(c[:]) }

// Migration is one version of a directory.
type Migration struct {
	// Version is the number at the front of the file name, greater than zero.
	Version int64
	// Name is what follows it, without the ending.
	Name string
	// Format is the format of the directory.
	Format Format
	// Up is never nil, but it may hold no statement: see Script.Empty.
	Up *Script
	// Down is nil when the migration cannot be undone: its down half is
	// missing, or is a file with nothing in it. A down half that consists of
	// comments is one that does nothing, on purpose.
	Down *Script
	// Checksum covers the files before any expansion of variables.
	Checksum Checksum
}

// Script is one direction of a migration.
type Script struct {
	// File is the name of the file in its directory.
	File string
	// SQL is the whole script, to be sent as one simple-protocol message
	// inside a transaction that the caller opens. It ends with a semicolon and
	// a newline, so more SQL can follow it in the same message, and its lines
	// are numbered as in the file. Transaction control is blanked out. It is
	// empty when the script holds no statement, and when NoTransaction is set.
	SQL string
	// Statements are the same statements one by one, with their lines in the
	// file.
	//
	// When NoTransaction is set each element is to be sent as a simple-protocol
	// message of its own. It then holds several statements where the file
	// keeps them together, in BEGIN … COMMIT or in goose's StatementBegin …
	// StatementEnd; PostgreSQL runs such a message as one transaction.
	Statements []sqltext.Statement
	// NoTransaction says that the script must not run in one transaction: the
	// file asks for that, or a statement in it cannot.
	NoTransaction bool
}

// Empty reports whether there is nothing to run.
func (s *Script) Empty() bool { return len(s.Statements) == 0 }

// An Option changes how [Read] reads.
type Option func(*config)

type config struct {
	lookup func(name string) (string, bool)
}

// WithLookup sets where goose's ENVSUB finds the variables of a file, for
// instance [os.LookupEnv]. Without it a file that has ENVSUB ON is an error:
// what a migration does should not hang on a process's environment unasked.
func WithLookup(lookup func(name string) (string, bool)) Option {
	return func(c *config) { c.lookup = lookup }
}
