package rowhousecli

import (
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/rowhouse/rowhouse/admin"
)

// The formats of results.
const (
	outputTable = "table"
	outputJSON  = "json"
)

// option is a setting that the user can make: by flag, in the environment, in
// the configuration file.
type option struct {
	name     string // in the file and in what "config" prints
	flag     string
	env      string
	fallback string // the value where nobody said anything
	usage    string
	list     bool // has several values: a flag that repeats, commas in the environment
	secret   bool // is a connection string
}

// options lists the settings, in the order in which "config" prints them.
func options() []option {
	return []option{
		{name: "config", flag: "config", env: "ROWHOUSE_CONFIG", usage: "configuration `file` (rowhouse.yaml if it exists)"},
		{name: "database_url", flag: "database-url", env: "DATABASE_URL", secret: true, usage: "the operator's connection `string`"},
		{name: "app_url", flag: "app-url", env: "ROWHOUSE_APP_URL", secret: true, usage: "the application's connection `string`, for what works as a tenant (the database URL)"},
		{name: "app_logins", flag: "app-login", env: "ROWHOUSE_APP_LOGINS", list: true, usage: "`login` that the application serves with; repeat it for more (that of the app URL)"},
		{name: "shared_schema", flag: "shared-schema", env: "ROWHOUSE_SHARED_SCHEMA", fallback: "public", usage: "`schema` that all tenants see, chosen when the catalog is made"},
		{name: "isolation", flag: "isolation", env: "ROWHOUSE_ISOLATION", fallback: string(admin.IsolationRoles), usage: "what keeps tenants apart, `roles` or search_path, chosen when the catalog is made"},
		{name: "output", flag: "output", env: "ROWHOUSE_OUTPUT", fallback: outputTable, usage: "`format` of the result: table or json"},
	}
}

// register adds the setting's flag. Its default stays empty, so that help shows
// no value of the environment.
func (o option) register(flags *pflag.FlagSet) {
	usage := o.usage
	if o.fallback != "" {
		usage += fmt.Sprintf(" (default %q)", o.fallback)
	}
	usage += " [" + o.env + "]"
	switch {
	case o.list:
		flags.StringArray(o.flag, nil, usage)
	case o.name == "output":
		flags.StringP(o.flag, "o", "", usage)
	default:
		flags.String(o.flag, "", usage)
	}
}

// setting is a setting's value and where it came from.
type setting struct {
	Name  string `json:"setting"`
	Value string `json:"value"`
	// Source is flag, environment, file, application or default.
	Source string `json:"source"`
	// Origin is the name of the flag or variable, or the file and line.
	Origin string `json:"origin"`

	values []string
}

// settings are those of one run of a command.
type settings struct {
	all  []setting
	file *configFile // never nil
}

// get returns the value of a setting by its name.
func (s *settings) get(name string) setting {
	return s.all[slices.IndexFunc(s.all, func(s setting) bool { return s.Name == name })]
}

// value returns the text of a setting by its name.
func (s *settings) value(name string) string { return s.get(name).Value }

// resolve finds out the value of every setting.
func resolve(cmd *cobra.Command) (*settings, error) {
	s := &settings{file: &configFile{}}
	for _, o := range options() {
		v, err := o.resolve(cmd, s.file)
		if err != nil {
			return nil, err
		}
		if o.name == "config" {
			if s.file, err = findFile(&v); err != nil {
				return nil, &ExitError{Code: ExitUsage, Err: err, Hint: `the keys are in the help of the command "config"`}
			}
		}
		s.all = append(s.all, v)
	}
	if err := s.settle(cmd); err != nil {
		return nil, err
	}
	return s, nil
}

// resolve looks for a value of the option: flag, environment, file, default.
func (o option) resolve(cmd *cobra.Command, file *configFile) (setting, error) {
	s := setting{Name: o.name, Value: o.fallback, Source: "default"}
	if f := cmd.Flags().Lookup(o.flag); f.Changed {
		s.Source, s.Origin, s.values = "flag", "--"+o.flag, []string{f.Value.String()}
		if list, ok := f.Value.(pflag.SliceValue); ok {
			s.values = list.GetSlice()
		}
		if slices.Contains(s.values, "") {
			return s, usage(cmd, "flag --%s has no value", o.flag)
		}
	} else if text := os.Getenv(o.env); text != "" {
		s.Source, s.Origin, s.values = "environment", o.env, []string{text}
		if o.list {
			s.values = strings.FieldsFunc(text, func(r rune) bool { return r == ',' || r == ' ' })
		}
	} else if v, ok := file.values[o.name]; ok {
		s.Source, s.Origin, s.values = "file", file.at(v.line), v.values
	}
	if len(s.values) > 0 {
		s.Value = strings.Join(s.values, ",")
	}
	return s, nil
}

// settle checks the values and fills in the defaults that depend on others.
func (s *settings) settle(cmd *cobra.Command) error {
	for i := range s.all {
		switch v := &s.all[i]; {
		case v.Name == "app_url" && v.Value == "":
			v.Value, v.Origin = s.value("database_url"), "database_url"
		case v.Name == "app_logins" && v.Source == "default":
			s.admitLogin(v)
		}
	}
	if o := s.get("output"); o.Value != outputTable && o.Value != outputJSON {
		return usage(cmd, "%s: output %q is neither table nor json", o.Origin, o.Value)
	}
	if i := s.get("isolation"); i.Value != string(admin.IsolationRoles) && i.Value != string(admin.IsolationSearchPath) {
		return usage(cmd, "%s: isolation %q is neither %s nor %s", i.Origin, i.Value, admin.IsolationRoles, admin.IsolationSearchPath)
	}
	return nil
}

// admitLogin makes the login of the application's connection string the one that
// may serve, where no other was named. Whoever goes through a pooler that wants
// another user name than the server names it.
func (s *settings) admitLogin(v *setting) {
	url := s.get("app_url")
	if url.Source == "default" {
		return // the operator's, which may serve anyway
	}
	cfg, err := pgx.ParseConfig(url.Value)
	if err != nil {
		return // whoever uses the connection string says so
	}
	v.Value, v.Origin, v.values = cfg.User, "app_url", []string{cfg.User}
}

// connection returns a connection string that can be used, by the name of its
// setting.
func (s *settings) connection(name string) (string, error) {
	v := s.get(name)
	if v.Value == "" {
		return "", &ExitError{
			Code: ExitUsage,
			Err:  fmt.Errorf("no database URL"),
			Hint: "give --database-url postgres://USER:PASSWORD@HOST:PORT/DATABASE, or set DATABASE_URL, or database_url in rowhouse.yaml",
		}
	}
	if err := checkConnection(v.Value); err != nil {
		return "", &ExitError{Code: ExitUsage, Err: fmt.Errorf("%s from %s: %w", v.Name, v.Origin, err)}
	}
	return v.Value, nil
}
