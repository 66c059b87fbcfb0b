package rowhousecli

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/rowhouse/rowhouse/admin"
)

// domainList is the result of the domain commands.
type domainList []admin.Domain

func (l domainList) table() table {
	t := table{head: []string{"DOMAIN", "SCHEMA", "PRIMARY", "CREATED"}}
	for _, d := range l {
		t.rows = append(t.rows, []string{d.Domain, d.Schema, yesNo(d.IsPrimary), clock(d.CreatedOn)})
	}
	return t
}

func (c *cli) domainCommand() *cobra.Command {
	return group("domain", "Say which host names lead to a tenant",
		c.domainChange("add", "Let a host name lead to a tenant; its first is its primary one", (*admin.Admin).AddDomain),
		c.domainChange("remove", "Take a host name from a tenant", (*admin.Admin).RemoveDomain),
		c.domainChange("primary", "Make one of a tenant's domains its primary one", (*admin.Admin).SetPrimaryDomain),
		c.domainList(),
	)
}

// domainChange makes a command that changes the domains of a tenant and prints
// them as they are then.
func (c *cli) domainChange(name, short string, change func(a *admin.Admin, ctx context.Context, schema, domain string) error) *cobra.Command {
	return &cobra.Command{
		Use: name + " SCHEMA DOMAIN", Short: short, Args: arguments("SCHEMA", "DOMAIN"),
		RunE: c.operate(access{}, func(s *session, args []string) error {
			if err := change(s.admin, s.ctx(), args[0], args[1]); err != nil {
				return err
			}
			return s.printDomains(args[0])
		}),
	}
}

func (c *cli) domainList() *cobra.Command {
	return &cobra.Command{
		Use: "list [SCHEMA]", Short: "List the domains of a tenant, or of all", Args: arguments("[SCHEMA]"),
		RunE: c.operate(access{reads: true}, func(s *session, args []string) error {
			schema := ""
			if len(args) > 0 {
				schema = args[0]
			}
			return s.printDomains(schema)
		}),
	}
}

func (s *session) printDomains(schema string) error {
	domains, err := s.admin.Domains(s.ctx(), schema)
	if err != nil {
		return err
	}
	return s.print(domainList(domains))
}
