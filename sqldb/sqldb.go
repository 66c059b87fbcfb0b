package sqldb

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"

	"github.com/rowhouse/rowhouse"
)

// errNoOpen: a connection of this driver belongs to a rowhouse.DB.
var errNoOpen = errors.New("sqldb: this driver opens nothing by name; use sqldb.New")

// New returns a database/sql view of db. It connects to nothing. Close it when
// done; that leaves db open. Close it before db.
//
// Ping asks the server for an answer, through db's pool, without a tenant and
// without touching any table.
func New(db *rowhouse.DB) *sql.DB {
	return sql.OpenDB(connector{db})
}

// connector makes the light connections of a view.
type connector struct{ db *rowhouse.DB }

// Connect makes a connection, which holds none of PostgreSQL.
func (c connector) Connect(context.Context) (driver.Conn, error) {
	return &conn{db: c.db}, nil
}

// Driver is what [sql.DB.Driver] returns.
func (c connector) Driver() driver.Driver { return sqlDriver{} }

// sqlDriver is a driver in name only.
type sqlDriver struct{}

// Open fails.
func (sqlDriver) Open(string) (driver.Conn, error) { return nil, errNoOpen }
