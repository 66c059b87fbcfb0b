package rowhousecli

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/rowhouse/rowhouse"
	"github.com/rowhouse/rowhouse/admin"
	"github.com/rowhouse/rowhouse/migrate"
)

// access says how a command uses the operator's door.
type access struct {
	// reads is true for a command that changes nothing: it must not make or
	// upgrade a catalog in passing.
	reads bool
	// sets is true for a command that needs the migration sets. The others work
	// although a migration file is wrong.
	sets bool
}

// session is one run of a command: its settings, its streams and, where it has
// one, the operator's door.
type session struct {
	*settings
	cmd   *cobra.Command
	admin *admin.Admin
	sets  []migrate.Set
}

// ctx is the context of the run.
func (s *session) ctx() context.Context { return s.cmd.Context() }

// note writes a line that is not part of the result.
func (s *session) note(format string, args ...any) {
	// If this cannot be written there is nobody to tell.
	_, _ = fmt.Fprintf(s.cmd.ErrOrStderr(), "%s\n", printable(fmt.Sprintf(format, args...)))
}

// program is how this command tree is called, for hints.
func (c *cli) program() string { return c.top.CommandPath() }

// run makes the RunE of a command out of fn.
func (c *cli) run(fn func(s *session, args []string) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		set, err := resolve(cmd)
		if err != nil {
			return err
		}
		return c.hint(fn(&session{settings: set, cmd: cmd}, args))
	}
}

// operate makes the RunE of a command that uses the operator's door. If it has
// arguments the first is the schema name of a tenant.
func (c *cli) operate(how access, fn func(s *session, args []string) error) func(*cobra.Command, []string) error {
	return c.run(func(s *session, args []string) error {
		if err := c.open(s, how); err != nil {
			return err
		}
		defer s.admin.Close()
		err := fn(s, args)
		if len(args) > 0 {
			err = s.suggest(err, args[:1])
		}
		return err
	})
}

// open opens the operator's door. The caller closes s.admin.
func (c *cli) open(s *session, how access) (err error) {
	conn, err := s.connection("database_url")
	if err != nil {
		return err
	}
	cfg := admin.Config{DatabaseURL: impatient(conn), SharedSchema: s.value("shared_schema"), ReadOnly: how.reads}
	if isolation := s.get("isolation"); isolation.Source != "default" {
		cfg.Isolation = admin.Isolation(isolation.Value)
	}
	if !how.reads { // the application's login is admitted
		if _, err := s.connection("app_url"); err != nil {
			return err
		}
		cfg.AppLogins = s.get("app_logins").values
	}
	if how.sets {
		if s.sets, err = s.file.migrationSets(); err != nil {
			return &ExitError{Code: ExitUsage, Err: err}
		}
		s.sets = slices.Concat(c.app.Sets, s.sets)
		cfg.Sets = s.sets
	}
	if s.admin, err = admin.Open(s.ctx(), cfg); err != nil {
		return err
	}
	if want := s.get("shared_schema"); want.Source != "default" && want.Value != s.admin.SharedSchema() {
		s.admin.Close()
		return fmt.Errorf("the shared schema of this catalog is %q, not %q as %s says: it is chosen once, when the catalog is made", s.admin.SharedSchema(), want.Value, want.Origin)
	}
	return nil
}

// impatient lets a connection string give up after ten seconds, unless it says
// something else: pgx waits for two minutes, in which a command looks dead.
func impatient(conn string) string {
	if strings.Contains(conn, "connect_timeout") || os.Getenv("PGCONNECT_TIMEOUT") != "" {
		return conn
	}
	if !isURL(conn) {
		return conn + " connect_timeout=10"
	}
	u, err := url.Parse(conn)
	if err != nil {
		return conn
	}
	query := u.Query()
	query.Set("connect_timeout", "10")
	u.RawQuery = query.Encode()
	return u.String()
}

// suggest adds to the error about an unknown tenant the name that may have been
// meant by one of schemas.
func (s *session) suggest(err error, schemas []string) error {
	if !errors.Is(err, rowhouse.ErrUnknownTenant) {
		return err
	}
	tenants, listErr := s.admin.Tenants(s.ctx())
	if listErr != nil {
		return err // the first error is the one to tell
	}
	var known []string
	for _, t := range tenants {
		known = append(known, t.Schema)
	}
	for _, schema := range schemas {
		if near := closest(schema, known); near != "" && near != schema {
			return &ExitError{Code: ExitFailed, Err: err, Hint: fmt.Sprintf("did you mean %q?", near)}
		}
	}
	return err
}
