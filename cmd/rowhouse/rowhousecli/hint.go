package rowhousecli

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/rowhouse/rowhouse"
	"github.com/rowhouse/rowhouse/admin"
	"github.com/rowhouse/rowhouse/migrate"
)

// hint adds to an error what to do about it, if that is known and not said yet.
func (c *cli) hint(err error) error {
	exit := &ExitError{Code: ExitFailed, Err: err}
	if err == nil || errors.As(err, &exit) && exit.Hint != "" {
		return err
	}
	if exit.Hint = c.hintFor(err); exit.Hint == "" {
		return err
	}
	return exit
}

func (c *cli) hintFor(err error) string {
	var connect *pgconn.ConnectError
	var state *admin.StateError
	var migration *migrate.Error
	var isolation *admin.IsolationError
	switch {
	case errors.Is(err, context.Canceled):
		return ""
	case errors.As(err, &connect):
		return connectHint(connect)
	case errors.As(err, &state):
		return c.stateHint(state)
	case errors.As(err, &isolation):
		return "leave --isolation out, or make a new catalog in another database and move the tenants there"
	case errors.As(err, &migration):
		return fmt.Sprintf("correct %s and run it again; what was applied before it stays", migration.File)
	}
	for _, known := range c.hints() {
		if errors.Is(err, known.err) {
			return known.hint
		}
	}
	var pgErr *pgconn.PgError
	if errors.As(err, &pgErr) {
		return pgErr.Hint
	}
	return ""
}

type knownError struct {
	err  error
	hint string
}

// hints lists what to do about the errors of rowhouse. Those whose text says it
// are not there.
func (c *cli) hints() []knownError {
	p := c.program()
	return []knownError{
		{rowhouse.ErrNoCatalog, fmt.Sprintf("make it with %q", p+" migrate")},
		{rowhouse.ErrCatalogTooOld, fmt.Sprintf("upgrade it with %q", p+" migrate")},
		{rowhouse.ErrCatalogTooNew, "install the version that made it, or a newer one"},
		{rowhouse.ErrServerTooOld, "rowhouse needs PostgreSQL 15 or newer"},
		{rowhouse.ErrPrivilege, "the operator's login must be a superuser, or own the database and have CREATEROLE; the application's is named with --app-login"},
		{rowhouse.ErrInvalidURL, "expected postgres://USER:PASSWORD@HOST:PORT/DATABASE"},
		{rowhouse.ErrUnknownTenant, fmt.Sprintf("%q shows which there are", p+" tenant list")},
		{rowhouse.ErrTenantChanged, "somebody dropped, renamed or recreated the schema behind rowhouse's back; restore it from a backup, or rename it back"},
		{rowhouse.ErrTenantUnavailable, fmt.Sprintf("%q shows its state", p+" tenant list")},
		{rowhouse.ErrStatementRefused, "give one statement that reads or writes the tenant's tables"},
		{admin.ErrForeignSchema, "the database belongs to something else that uses the name rowhouse; use another database"},
		{admin.ErrSchemaTaken, fmt.Sprintf("choose another name; %q shows which are taken, also by deleted tenants", p+" tenant list")},
		{admin.ErrSchemaExists, "rowhouse never takes over a schema that it did not make"},
		{admin.ErrDomainTaken, fmt.Sprintf("%q shows whose it is", p+" domain list")},
		{admin.ErrUnknownDomain, fmt.Sprintf("%q shows the domains of each tenant", p+" domain list")},
		{admin.ErrPrimaryDomain, fmt.Sprintf("make another domain the primary one with %q", p+" domain primary")},
		{admin.ErrDependents, "a purge drops nothing that is not the tenant's"},
		{migrate.ErrChanged, "--allow-changed goes on and leaves what was applied as it is"},
		{rowhouse.ErrInvalidHost, "a domain is a host name such as acme.example.com, without scheme and path"},
	}
}

// connectHint says what to do about a server that did not let us in.
func connectHint(err *pgconn.ConnectError) string {
	cfg := err.Config
	var pgErr *pgconn.PgError
	if !errors.As(err, &pgErr) {
		return fmt.Sprintf("is the server running, and is %s:%d its address?", cfg.Host, cfg.Port)
	}
	switch pgErr.Code {
	case "28P01":
		return fmt.Sprintf("check user %q and its password; in a URL characters such as @ : / ? # %% must be percent-encoded", cfg.User)
	case "28000":
		return fmt.Sprintf("user %q may not log in: see its role, and pg_hba.conf of the server", cfg.User)
	case "3D000":
		return fmt.Sprintf("make the database first: CREATE DATABASE %q", cfg.Database)
	case "53300":
		return "all of the server's connections are in use; try again, or raise max_connections"
	}
	return pgErr.Hint
}

// stateHint names the command that comes before the one that was refused.
func (c *cli) stateHint(err *admin.StateError) string {
	command := ""
	switch {
	case err.Action == "purge":
		command = "delete"
	case err.Action == "rename" && err.State == rowhouse.StateTrashed: // its purge has begun
		command = "purge"
	case err.State == rowhouse.StateTrashed && err.Action != "undelete":
		command = "undelete"
	default:
		return ""
	}
	return fmt.Sprintf("%s tenant %s %s", c.program(), command, err.Schema)
}
