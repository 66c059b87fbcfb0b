package rowhousecli

import (
	"context"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/rowhouse/rowhouse/migrate"
)

// App is what an application brings to its command line. The zero value is the
// plain rowhouse command.
type App struct {
	// Name is what the command is called in help and hints. Defaults to
	// "rowhouse".
	Name string
	// Version is what the command "version" prints. Defaults to the version of
	// the program's main module.
	Version string
	// Sets are the application's migration sets. Those of the configuration
	// file come after them. May be empty.
	Sets []migrate.Set
}

// Run runs a command line, args without the program's name, and returns the exit
// code: one of [ExitDone] to [ExitInterrupted]. When ctx ends the statement that
// runs in the server is cancelled, and the code is ExitInterrupted; so give it a
// context of [os/signal.NotifyContext].
func Run(ctx context.Context, app App, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	return Execute(ctx, Command(app), args, stdin, stdout, stderr)
}

// Execute runs a command tree that has [Command] in it, as [Run] does. Errors of
// the tree's other commands are printed the same way; an [*ExitError] chooses the
// exit code.
func Execute(ctx context.Context, root *cobra.Command, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	root.SetIn(stdin)
	root.SetOut(stdout)
	root.SetErr(stderr)
	root.SetArgs(args)
	root.SilenceErrors, root.SilenceUsage = true, true
	return report(ctx, stderr, root.ExecuteContext(ctx))
}

// cli is one command tree: what it was made for and what its flags say.
type cli struct {
	app App
	top *cobra.Command
}

// Command makes the command tree. Each call makes a new one. Run it with
// [Execute], by itself or as part of another tree: cobra's own Execute knows
// neither the hints nor the exit codes.
func Command(app App) *cobra.Command {
	if app.Name == "" {
		app.Name = "rowhouse"
	}
	c := &cli{app: app}
	c.top = group(app.Name, "Look after the tenants of an application: one PostgreSQL, a schema for each")
	c.top.Long = c.top.Short + `.

Settings come from flags, else the environment, else rowhouse.yaml, else a
default; "` + app.Name + ` config" shows which.

Exit codes: 0 done or nothing to do, 1 failed, 2 usage, 3 pending or changed
migrations found by a check, 4 some tenants failed, 130 interrupted.`
	c.top.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error { return usage(cmd, "%w", err) })
	for _, o := range options() {
		o.register(c.top.PersistentFlags())
	}
	must(c.top.RegisterFlagCompletionFunc("output", cobra.FixedCompletions([]string{outputTable, outputJSON}, cobra.ShellCompDirectiveNoFileComp)))
	c.top.AddCommand(c.migrateCommand(), c.tenantCommand(), c.domainCommand(), c.limitsCommand(), c.sqlCommand(), c.configCommand(), c.versionCommand())
	return c.top
}

// must is for what can fail only by a mistake in this package.
func must(err error) {
	if err != nil {
		panic(err)
	}
}

// group makes a command that only holds others.
func group(name, short string, commands ...*cobra.Command) *cobra.Command {
	cmd := &cobra.Command{
		Use: name, Short: short,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return nil
			}
			suggestion := ""
			if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
				suggestion = "; did you mean " + strings.Join(near, " or ") + "?"
			}
			return usage(cmd, "unknown command %q%s", args[0], suggestion)
		},
		RunE: func(cmd *cobra.Command, _ []string) error {
			cmd.SetOut(cmd.ErrOrStderr()) // nothing was done, so there is no result
			if err := cmd.Help(); err != nil {
				return err
			}
			return &ExitError{Code: ExitUsage}
		},
	}
	cmd.SuggestionsMinimumDistance = 2
	cmd.AddCommand(commands...)
	return cmd
}

// arguments checks that a command gets exactly those arguments, or may leave out
// those in brackets at the end.
func arguments(names ...string) cobra.PositionalArgs {
	required := slices.IndexFunc(names, func(n string) bool { return strings.HasPrefix(n, "[") })
	if required < 0 {
		required = len(names)
	}
	return func(cmd *cobra.Command, args []string) error {
		switch {
		case len(args) < required:
			return usage(cmd, "%s is missing", strings.Join(names[len(args):required], " and "))
		case len(args) > len(names):
			return usage(cmd, "unexpected argument %q", args[len(names)])
		}
		return nil
	}
}
