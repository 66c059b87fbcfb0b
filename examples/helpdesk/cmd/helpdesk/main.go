// Command helpdesk serves the example help desk until Ctrl-C or SIGTERM.
//
// Without DATABASE_URL it starts a PostgreSQL of its own and keeps its data for
// the next time.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"strconv"
	"syscall"

	"github.com/rowhouse/rowhouse/examples/helpdesk"
)

// Exit codes.
const (
	exitFailed = 1
	exitUsage  = 2
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second Ctrl-C ends it at once
	os.Exit(run(ctx, os.Args[1:], os.Getenv, os.Stdout, os.Stderr))
}

// run is main without what a test cannot have.
func run(ctx context.Context, args []string, getenv func(string) string, stdout, stderr io.Writer) int {
	cfg, err := parse(args, getenv, stderr)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case err != nil:
		return exitUsage // it was told already
	}
	cfg.Stdout, cfg.Stderr = stdout, stderr
	if err := helpdesk.Run(ctx, cfg); err != nil {
		fmt.Fprintln(stderr, "helpdesk:", err)
		return exitFailed
	}
	return 0
}

// parse reads flags, then the environment, then takes the defaults. It tells what
// is wrong on stderr, as package flag does.
func parse(args []string, getenv func(string) string, stderr io.Writer) (helpdesk.Config, error) {
	flags := flag.NewFlagSet("helpdesk", flag.ContinueOnError)
	flags.SetOutput(stderr)
	port := flags.String("port", "", "`port` to listen on, on this machine only; 0 takes a free one (default PORT, else 8080)")
	data := flags.String("data", "", "`directory` of the embedded PostgreSQL (default: one for all demos of this user)")
	if err := flags.Parse(args); err != nil {
		return helpdesk.Config{}, err
	}
	if flags.NArg() > 0 {
		return helpdesk.Config{}, complain(stderr, "unexpected argument %q: there are only flags, see -help", flags.Arg(0))
	}
	source := "-port"
	if *port == "" {
		*port, source = getenv("PORT"), "PORT"
	}
	cfg := helpdesk.Config{DatabaseURL: getenv("DATABASE_URL"), DataDir: *data}
	if *port == "" {
		return cfg, nil
	}
	if _, err := strconv.ParseUint(*port, 10, 16); err != nil {
		return cfg, complain(stderr, "%s is %q: choose a number from 0 to 65535", source, *port)
	}
	cfg.Addr = net.JoinHostPort("127.0.0.1", *port)
	return cfg, nil
}

func complain(stderr io.Writer, format string, args ...any) error {
	err := fmt.Errorf(format, args...)
	fmt.Fprintln(stderr, "helpdesk:", err)
	return err
}
