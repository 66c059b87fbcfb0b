package rowhousecli

import (
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

// versionView is the result of "version".
type versionView struct {
	Name    string `json:"name"`
	Version string `json:"version"`
	Go      string `json:"go"`
}

func (v versionView) table() table {
	return table{rows: [][]string{{v.Name + " " + v.Version + " (" + v.Go + ")"}}}
}

func (c *cli) versionCommand() *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "Print the version", Args: arguments(),
		RunE: c.run(func(s *session, _ []string) error {
			v := versionView{Name: c.app.Name, Version: c.app.Version, Go: runtime.Version()}
			if info, ok := debug.ReadBuildInfo(); ok && v.Version == "" {
				v.Version = info.Main.Version
			}
			if v.Version == "" {
				v.Version = "(devel)"
			}
			return s.print(v)
		}),
	}
}
