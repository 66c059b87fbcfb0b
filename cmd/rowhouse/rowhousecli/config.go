package rowhousecli

import (
	"fmt"
	"slices"

	"github.com/spf13/cobra"
)

// settingList is the result of "config".
type settingList []setting

func (l settingList) table() table {
	t := table{head: []string{"SETTING", "VALUE", "SOURCE", "FROM"}}
	for _, s := range l {
		t.rows = append(t.rows, []string{s.Name, s.Value, s.Source, s.Origin})
	}
	return t
}

func (c *cli) configCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "config",
		Short: "Show the settings and where each comes from",
		Long: `Show the value of each setting and where it comes from: flag, environment, file,
the application that this program is built into, or default. It connects to nothing.
Passwords are not shown.

The configuration file is rowhouse.yaml, or another that --config names:

  database_url: postgres://operator@db.internal/app
  app_url: postgres://web@db.internal/app
  app_logins: [web]           # the login of app_url, if left out
  shared_schema: public
  isolation: roles            # or search_path, chosen when the catalog is made
  migrations:                 # directories relative to the file, in goose's or
    shared:                   # golang-migrate's format
      app: migrations/shared
    tenant:
      app: migrations/tenant
    kinds:                    # tenants of one kind
      enterprise:
        reports: migrations/reports
    both:                     # the shared schema and every tenant
      audit: migrations/audit
  app:                        # the application's own; rowhouse does not look
    anything: here`,
		Args: arguments(),
		RunE: c.run(func(s *session, _ []string) error { return s.print(c.listSettings(s.settings)) }),
	}
}

// listSettings lists the settings and the migration sets, passwords hidden.
func (c *cli) listSettings(s *settings) settingList {
	list := settingList(slices.Clone(s.all))
	for i, o := range options() {
		if o.secret {
			list[i].Value = display(list[i].Value)
		}
	}
	for _, set := range c.app.Sets {
		name := fmt.Sprintf("migrations.%s.%s", set.Scope, set.Name)
		if set.Kind != "" {
			name = fmt.Sprintf("migrations.kinds.%s.%s", set.Kind, set.Name)
		}
		list = append(list, setting{Name: name, Value: "(compiled in)", Source: "application", Origin: c.app.Name})
	}
	for _, set := range s.file.sets {
		list = append(list, setting{Name: set.key, Value: set.dir, Source: "file", Origin: s.file.at(set.line)})
	}
	return list
}
