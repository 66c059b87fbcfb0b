package main

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/rowhouse/rowhouse/cmd/rowhouse/rowhousecli"
	"github.com/rowhouse/rowhouse/examples/helpdesk"
)

// demoCommand runs the help desk of the examples. It is no part of rowhousecli:
// applications that embed that have no use for it.
func demoCommand() *cobra.Command {
	var port, dataDir string
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Run the demo, a help desk for many companies, until Ctrl-C",
		Long: `Run the demo: a help desk in which every company that signs up has a schema of its
own. It prints its addresses when it is ready and serves until Ctrl-C.

It starts a PostgreSQL of its own, unless --database-url or DATABASE_URL names one. The
configuration file is not looked at, so that the demo does not come to stand in the
database of an application.`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return nil
			}
			return &rowhousecli.ExitError{Code: rowhousecli.ExitUsage, Err: fmt.Errorf("unexpected argument %q", args[0])}
		},
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg := helpdesk.Config{DataDir: dataDir, Stdout: cmd.OutOrStdout(), Stderr: cmd.ErrOrStderr()}
			if url := cmd.Flag("database-url"); url.Changed {
				cfg.DatabaseURL = url.Value.String()
			} else {
				cfg.DatabaseURL = os.Getenv("DATABASE_URL")
			}
			if port = cmp.Or(port, os.Getenv("PORT")); port != "" {
				addr, err := demoAddr(port)
				if err != nil {
					return &rowhousecli.ExitError{Code: rowhousecli.ExitUsage, Err: err}
				}
				cfg.Addr = addr
			}
			return helpdesk.Run(cmd.Context(), cfg)
		},
	}
	cmd.Flags().StringVar(&port, "port", "", "`port` to listen on, 0 for a free one (default 8080) [PORT]")
	cmd.Flags().StringVar(&dataDir, "data-dir", "", "`directory` for the data of the PostgreSQL that it starts")
	return cmd
}

// demoAddr is where the demo listens: where it does by default, on another port.
func demoAddr(port string) (string, error) {
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		return "", fmt.Errorf("port %q is not a number from 0 to 65535", port)
	}
	host, _, err := net.SplitHostPort(helpdesk.DefaultAddr)
	if err != nil {
		return "", errors.Join(errors.New("the demo has no address"), err)
	}
	return net.JoinHostPort(host, port), nil
}
