package rowhousecli

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/rowhouse/rowhouse"
	"github.com/rowhouse/rowhouse/admin"
)

// purged is the result of "tenant purge".
type purged struct {
	Schema string `json:"schema"`
	ID     string `json:"id"`
	Purged bool   `json:"purged"`
}

func (p purged) table() table {
	return table{rows: [][]string{{"purged", p.Schema}, {"id", p.ID}}}
}

func (c *cli) tenantPurge() *cobra.Command {
	var yes bool
	cmd := &cobra.Command{
		Use:   "purge SCHEMA",
		Short: "Drop a deleted tenant's schema and role; there is no way back",
		Long: `Drop a deleted tenant's schema and role and its row of the catalog. There is no
way back. It asks for the schema's name first, unless --yes is given; where there
is no terminal to ask, it refuses.`,
		Args: arguments("SCHEMA"),
		RunE: c.operate(access{}, func(s *session, args []string) error { return s.purge(args[0], yes) }),
	}
	cmd.Flags().BoolVar(&yes, "yes", false, "do not ask")
	return cmd
}

func (s *session) purge(schema string, yes bool) error {
	t, err := s.admin.Tenant(s.ctx(), schema)
	if err != nil {
		return err
	}
	if t.State != rowhouse.StateTrashed { // before anybody is asked
		return &admin.StateError{Schema: schema, State: t.State, Action: "purge", Hint: "delete it first"}
	}
	if !yes {
		if err := s.confirm(t); err != nil {
			return err
		}
	}
	if err := s.admin.Purge(s.ctx(), schema); err != nil {
		return err
	}
	return s.print(purged{Schema: schema, ID: t.ID, Purged: true})
}

// confirm asks for the schema's name.
func (s *session) confirm(t *rowhouse.Tenant) error {
	in := s.cmd.InOrStdin()
	if !isTerminal(in) {
		return &ExitError{
			Code: ExitUsage,
			Err:  fmt.Errorf("purging %q was not confirmed, and there is no terminal to ask", t.Schema),
			Hint: "give --yes if you mean it",
		}
	}
	s.note("This drops schema %q of tenant %q with all of its data. There is no way back.", t.Schema, t.Name)
	if _, err := fmt.Fprint(s.cmd.ErrOrStderr(), "Type the schema's name to go on: "); err != nil {
		return fmt.Errorf("ask for the schema's name: %w", err)
	}
	answer, err := readLine(s.ctx(), in)
	if err != nil {
		s.note("") // the answer's line is still open
		return fmt.Errorf("nothing was purged: %w", err)
	}
	if answer != t.Schema {
		return fmt.Errorf("nothing was purged: %q is not %q", answer, t.Schema)
	}
	return nil
}

// readLine reads a line, or stops when ctx ends. The read itself cannot be
// stopped; it ends with the process.
func readLine(ctx context.Context, in io.Reader) (string, error) {
	type answer struct {
		line string
		err  error
	}
	read := make(chan answer, 1)
	go func() {
		line, err := bufio.NewReader(in).ReadString('\n')
		if err == io.EOF { // what was typed counts
			err = nil
		}
		read <- answer{strings.TrimSpace(line), err}
	}()
	select {
	case a := <-read:
		return a.line, a.err
	case <-ctx.Done():
		return "", ctx.Err()
	}
}
