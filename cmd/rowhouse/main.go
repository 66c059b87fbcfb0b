// Command rowhouse looks after the tenants of an application from the command
// line. Its commands are those of package rowhousecli, which applications embed,
// and the demo.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/rowhouse/rowhouse/cmd/rowhouse/rowhousecli"
)

func main() { os.Exit(run()) }

func run() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	root := rowhousecli.Command(rowhousecli.App{})
	root.AddCommand(demoCommand())
	return rowhousecli.Execute(ctx, root, os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
}
