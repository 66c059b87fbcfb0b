package rowhousecli

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/rowhouse/rowhouse"
	"github.com/rowhouse/rowhouse/admin"
)

// tenantView is a tenant as it is printed.
type tenantView struct {
	*rowhouse.Tenant
	IsActive bool `json:"is_active"`
}

func viewTenant(t *rowhouse.Tenant) tenantView { return tenantView{t, t.IsActive()} }

func (v tenantView) table() table { return tenantList{v}.table() }

// tenantList is the result of "tenant list".
type tenantList []tenantView

func (l tenantList) table() table {
	t := table{head: []string{"SCHEMA", "NAME", "DOMAIN", "KIND", "STATE", "CREATED"}}
	for _, v := range l {
		t.rows = append(t.rows, []string{v.Schema, v.Name, v.Domain, v.Kind, string(v.State), clock(v.CreatedOn)})
	}
	return t
}

// tenantDetails is the result of "tenant show" and "tenant create".
type tenantDetails struct {
	tenantView
	Domains domainList `json:"domains"`
}

func (d tenantDetails) table() table {
	t := table{rows: [][]string{
		{"schema", d.Schema}, {"name", d.Name}, {"kind", d.Kind}, {"state", string(d.State)},
		{"active", yesNo(d.IsActive)}, {"database", d.Database}, {"id", d.ID},
		{"created", clock(d.CreatedOn)}, {"updated", clock(d.UpdatedOn)}, {"metadata", string(d.Metadata)},
	}}
	for _, domain := range d.Domains {
		word := "domain"
		if domain.IsPrimary {
			word = "primary domain"
		}
		t.rows = append(t.rows, []string{word, domain.Domain})
	}
	return t
}

// clock is a time for people: UTC, to the second.
func clock(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05Z") }

func (c *cli) tenantCommand() *cobra.Command {
	return group("tenant", "Create tenants and look after them",
		c.tenantCreate(), c.tenantList(), c.tenantShow(),
		c.tenantChange("suspend", "Refuse a tenant's requests until it is activated", (*admin.Admin).Suspend, ""),
		c.tenantChange("activate", "Serve a suspended tenant's requests again", (*admin.Admin).Activate, ""),
		c.tenantChange("delete", "Hide a tenant and keep everything of it", (*admin.Admin).Delete,
			"nothing of it is lost: %[1]q brings it back, %[2]q drops it for good"),
		c.tenantChange("undelete", "Bring a deleted tenant back, in the state that it had", (*admin.Admin).Undelete, ""),
		c.tenantRename(),
		c.tenantPurge(),
	)
}

func (c *cli) tenantCreate() *cobra.Command {
	var p admin.CreateParams
	var metadata string
	cmd := &cobra.Command{
		Use:   "create --name NAME --schema SCHEMA [--domain DOMAIN]...",
		Short: "Create a tenant: catalog row, domains, role, schema and all tenant migrations",
		Example: `  ` + c.app.Name + ` tenant create --name "Acme Ltd." --schema acme --domain acme.example.com
  ` + c.app.Name + ` tenant create --name Beta --schema beta --metadata '{"plan": "pro"}'`,
		Args: arguments(), DisableFlagsInUseLine: true,
	}
	flags := cmd.Flags()
	flags.StringVar(&p.Name, "name", "", "`name` for people, at most 100 characters")
	flags.StringVar(&p.Schema, "schema", "", "`name` of the tenant's schema: a letter, then lowercase letters, numbers or underscores")
	flags.StringArrayVar(&p.Domains, "domain", nil, "host `name` that leads to the tenant; repeat it for more, the first is the primary one")
	flags.StringVar(&p.Kind, "kind", "", "`class` of tenants that it belongs to (default \"default\")")
	flags.StringVar(&metadata, "metadata", "", "the application's own fields, a `JSON` object")
	create := c.operate(access{sets: true}, func(s *session, _ []string) error { return s.createTenant(p) })
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		for _, name := range []string{"name", "schema"} {
			if !cmd.Flags().Changed(name) {
				return usage(cmd, "flag --%s is missing", name)
			}
		}
		if metadata != "" {
			var object map[string]json.RawMessage
			if err := json.Unmarshal([]byte(metadata), &object); err != nil || object == nil {
				return usage(cmd, "--metadata %q is not a JSON object", metadata)
			}
			p.Metadata = json.RawMessage(metadata)
		}
		return create(cmd, args)
	}
	return cmd
}

func (s *session) createTenant(p admin.CreateParams) error {
	if len(s.sets) == 0 {
		s.note("note: no migration sets are configured, so the schema stays empty")
	}
	t, err := s.admin.Create(s.ctx(), p)
	if err != nil {
		return err
	}
	return s.printDetails(t)
}

func (s *session) printDetails(t *rowhouse.Tenant) error {
	domains, err := s.admin.Domains(s.ctx(), t.Schema)
	if err != nil {
		return err
	}
	return s.print(tenantDetails{viewTenant(t), domains})
}

func (c *cli) tenantList() *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List all tenants, in any state", Args: arguments(),
		RunE: c.operate(access{reads: true}, func(s *session, _ []string) error {
			tenants, err := s.admin.Tenants(s.ctx())
			if err != nil {
				return err
			}
			list := make(tenantList, len(tenants))
			for i, t := range tenants {
				list[i] = viewTenant(t)
			}
			return s.print(list)
		}),
	}
}

func (c *cli) tenantShow() *cobra.Command {
	return &cobra.Command{
		Use: "show SCHEMA", Short: "Show a tenant with its domains", Args: arguments("SCHEMA"),
		RunE: c.operate(access{reads: true}, func(s *session, args []string) error {
			t, err := s.admin.Tenant(s.ctx(), args[0])
			if err != nil {
				return err
			}
			return s.printDetails(t)
		}),
	}
}

func (c *cli) tenantRename() *cobra.Command {
	return &cobra.Command{
		Use: "rename OLD NEW", Short: "Give a tenant's schema another name", Args: arguments("OLD", "NEW"),
		Long: `Give a tenant's schema another name, in one transaction, while the tenant is served.
It keeps its id, domains, role and data. Work that is under way finishes or is refused
as changed; the next look-up finds the new name.

A deleted tenant can be renamed too, which frees its name.`,
		RunE: c.operate(access{}, func(s *session, args []string) error {
			t, err := s.admin.Rename(s.ctx(), args[0], args[1])
			if err != nil {
				return err
			}
			return s.print(viewTenant(t))
		}),
	}
}

// stateChange moves a tenant to another state.
type stateChange func(a *admin.Admin, ctx context.Context, schema string) (*rowhouse.Tenant, error)

// tenantChange makes a command that moves a tenant to another state. next is said
// afterwards, with the commands for undelete and purge; it may be empty.
func (c *cli) tenantChange(name, short string, change stateChange, next string) *cobra.Command {
	return &cobra.Command{
		Use: name + " SCHEMA", Short: short, Args: arguments("SCHEMA"),
		RunE: c.operate(access{}, func(s *session, args []string) error {
			t, err := change(s.admin, s.ctx(), args[0])
			if err != nil {
				return err
			}
			if next != "" {
				tenant := c.program() + " tenant "
				s.note("%s", fmt.Sprintf(next, tenant+"undelete "+t.Schema, tenant+"purge "+t.Schema))
			}
			return s.print(viewTenant(t))
		}),
	}
}
