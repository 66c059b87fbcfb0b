// Package sqldb is a database/sql view of a [rowhouse.DB], for GORM, ent, bun,
// sqlx, sqlc and everything else that takes a [database/sql.DB].
//
//	db, err := rowhouse.Open(ctx, rowhouse.Config{DatabaseURL: url})
//	…
//	std := sqldb.New(db)
//	defer std.Close()
//	…
//	ctx = rowhouse.WithTenant(ctx, tenant)
//	rows, err := std.QueryContext(ctx, "SELECT id, title FROM tickets")
//
// The guarantees are those of package rowhouse. Every statement runs as the tenant
// of its own context. What has no context, such as DB.Query and DB.Exec, has no
// tenant and gets [rowhouse.ErrNoTenant]; tables that all tenants share are reached
// through [rowhouse.WithShared]. In a transaction the tenant is that of BeginTx: a
// statement whose context carries another one gets [rowhouse.ErrTenantMismatch],
// and one whose context carries none is the transaction's.
//
// # Connections
//
// The connections of the sql.DB are light objects. One holds a connection of
// PostgreSQL only while a transaction is open, or rows are; a statement by itself
// costs one round trip, as with rowhouse.DB. So SetMaxOpenConns, SetMaxIdleConns
// and the like bound objects: the budget of connections is
// [rowhouse.Config.MaxConns], and all views of one rowhouse.DB share it. Nothing is
// kept in the session between statements, and [database/sql.DB.Conn] gives no
// session: it only promises that transactions begun on it follow each other. What
// its Raw passes on is a driver.Conn of this package, which knows nothing but the
// interfaces of database/sql/driver, and is bound like everything else; for COPY,
// batches and large objects use the rowhouse.DB.
//
// # Statements
//
// A prepared statement is its text. It is prepared in PostgreSQL when it is first
// run on a connection, under a binding, and kept there by rowhouse; so preparing
// needs no tenant and finds no error, and one sql.Stmt serves all tenants.
//
// Statements that would change the session or the transaction are refused with
// [rowhouse.ErrStatementRefused]. ORMs make nested transactions by sending
// SAVEPOINT, ROLLBACK TO SAVEPOINT and RELEASE SAVEPOINT as statements: within a
// transaction these three work, without arguments and with a plain name, and set
// rowhouse's own savepoints. Everywhere else they are refused.
//
// # Values
//
// Arguments are whatever pgx encodes: slices for arrays, types of pgtype,
// [database/sql/driver.Valuer], sql.Null types. [database/sql.Named] arguments
// stand for @name in the statement, if all arguments are named.
//
// Results are those of pgx's own database/sql driver: bool, int64, float64, []byte
// (bytea, json, jsonb, xml), time.Time (date, timestamp, timestamptz), and string
// for everything else, written as PostgreSQL would with its default settings.
// Within arrays, ranges and records timestamptz is in UTC. NULL is nil.
//
// # Errors
//
// They work with [errors.As] and [errors.Is] as those of rowhouse.DB do. An error of
// PostgreSQL is a *pgconn.PgError and not wrapped, as with pgx's own driver, because
// libraries look at its type; it is wrapped where rowhouse knows more of it.
// driver.ErrBadConn is never returned for a statement, so database/sql runs none of
// them twice.
package sqldb
