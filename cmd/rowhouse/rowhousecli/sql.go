package rowhousecli

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgtype"
	"github.com/spf13/cobra"

	"github.com/rowhouse/rowhouse"
)

func (c *cli) sqlCommand() *cobra.Command {
	var all bool
	var kind string
	cmd := &cobra.Command{
		Use:   "sql SCHEMA STATEMENT | sql --all [--kind KIND] STATEMENT",
		Short: "Run one SQL statement as a tenant, behind the same wall as the application",
		Long: `Run one SQL statement as the tenant: in its schema and with its role's privileges, as
the application would. It is one transaction. The statement - reads it from the
standard input.

Rows are printed as they come, values as PostgreSQL writes them. As JSON they are an
array with one object for each row; if the statement fails half-way the array is not
closed.

With --all it is run as every tenant that is served, and may only read. Each row begins
with its tenant's schema name; tenants come in any order, and each is a transaction of
its own. What fails for a tenant is printed on the standard error and the others go on;
the exit code is then 4.`,
		Example: `  ` + c.app.Name + ` sql acme "SELECT id, title FROM tickets"
  ` + c.app.Name + ` sql acme - < report.sql
  ` + c.app.Name + ` sql --all "SELECT count(*) FROM tickets"`,
		Args: func(cmd *cobra.Command, args []string) error {
			switch {
			case all:
				return arguments("STATEMENT")(cmd, args)
			case cmd.Flags().Changed("kind"):
				return usage(cmd, "--kind goes with --all")
			}
			return arguments("SCHEMA", "STATEMENT")(cmd, args)
		},
		RunE: c.run(func(s *session, args []string) error {
			statement, err := s.statement(args[len(args)-1])
			if err != nil {
				return err
			}
			if all {
				return s.queryAll(kind, statement)
			}
			return c.query(s, args[0], statement)
		}),
	}
	cmd.Flags().BoolVar(&all, "all", false, "read from all tenants that are served")
	cmd.Flags().StringVar(&kind, "kind", "", "with --all: only tenants of this kind")
	return cmd
}

// statement is the argument or, for "-", the standard input.
func (s *session) statement(arg string) (string, error) {
	if arg == "-" {
		text, err := io.ReadAll(s.cmd.InOrStdin())
		if err != nil {
			return "", fmt.Errorf("read the statement: %w", err)
		}
		arg = string(text)
	}
	if strings.TrimSpace(arg) == "" {
		return "", usage(s.cmd, "the statement is empty")
	}
	return arg, nil
}

// query runs the statement and prints what comes.
func (c *cli) query(s *session, schema, statement string) error {
	db, err := s.application(1)
	if err != nil {
		return err
	}
	defer db.Close()
	tenant, err := db.TenantBySchema(s.ctx(), schema)
	if err != nil {
		return c.suggestFor(s, err, schema)
	}
	rows, err := db.Query(rowhouse.WithTenant(s.ctx(), tenant), statement)
	if err != nil {
		return explain(err)
	}
	defer rows.Close()
	return explain(s.printRows(rows))
}

// application opens the application's door, for values as PostgreSQL writes them.
func (s *session) application(conns int32) (*rowhouse.DB, error) {
	conn, err := s.connection("app_url")
	if err != nil {
		return nil, err
	}
	return rowhouse.Open(s.ctx(), rowhouse.Config{
		DatabaseURL: impatient(conn), MaxConns: conns, AcrossConns: conns, AfterConnect: textOnly,
	})
}

// suggestFor looks for a tenant with a name like schema, by the operator's door
// where that is open.
func (c *cli) suggestFor(s *session, err error, schema string) error {
	if !errors.Is(err, rowhouse.ErrUnknownTenant) || s.value("database_url") == "" || c.open(s, access{reads: true}) != nil {
		return err
	}
	defer s.admin.Close()
	return s.suggest(err, []string{schema})
}

// explain says what PostgreSQL's refusals mean here.
func explain(err error) error {
	var pgErr *pgconn.PgError
	if !errors.As(err, &pgErr) {
		return err
	}
	switch pgErr.Code {
	case "42501":
		return &ExitError{Code: ExitFailed, Err: err, Hint: "a tenant reaches its own schema, and the shared one for reading"}
	case "42601":
		if pgErr.Message == "cannot insert multiple commands into a prepared statement" {
			return &ExitError{Code: ExitFailed, Err: errors.New("there is more than one statement"), Hint: "run them one by one"}
		}
	}
	return err
}

// printRows prints the rows, or the command tag of a statement without any.
func (s *session) printRows(rows pgx.Rows) error {
	if len(rows.FieldDescriptions()) == 0 {
		rows.Close()
		if err := rows.Err(); err != nil {
			return err
		}
		tag := rows.CommandTag()
		return s.print(commandView{tag.String(), tag.RowsAffected()})
	}
	w := s.rowWriter(rows.FieldDescriptions(), rows.TypeMap())
	n := 0
	for rows.Next() {
		if err := w.row(rows.RawValues()); err != nil {
			return err
		}
		n++
	}
	if err := w.end(rows.Err()); err != nil {
		return err
	}
	s.note("%s", count(n, "row", "rows"))
	return nil
}

// commandView is the result of a statement that returns no rows.
type commandView struct {
	Command      string `json:"command"`
	RowsAffected int64  `json:"rows_affected"`
}

func (v commandView) table() table { return table{rows: [][]string{{v.Command}}} }

// rowWriter prints rows while they come.
type rowWriter interface {
	row(values [][]byte) error
	// end prints what is left. failed is what ended the rows, nil after the
	// last; it is returned too.
	end(failed error) error
}

func (s *session) rowWriter(fields []pgconn.FieldDescription, known *pgtype.Map) rowWriter {
	if s.value("output") == outputJSON {
		return newJSONRows(s.cmd.OutOrStdout(), fields, known)
	}
	return newTableRows(s.cmd.OutOrStdout(), fields)
}
