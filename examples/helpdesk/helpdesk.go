// Package helpdesk is an application as a user of rowhouse would write it: a help
// desk for many companies, each with its tickets in a schema of its own.
//
// On its public site a visitor signs up a company and is in that company's desk at
// once, at a host name of its own. The desk's handlers are those of an application
// with one company: plain SQL with the request's context, and not a word of whose
// rows it means. A page invites to break into another company's desk.
//
// Begin reading at [Run]. Then tickets.go is what most of an application looks
// like, app.go is where requests meet their tenants, signup.go creates a tenant,
// and breakin.go tries the wall.
package helpdesk

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"time"
)

// DefaultAddr is where the help desk listens unless it is told otherwise: nobody
// but this machine can reach it, since its visitors may run SQL.
const DefaultAddr = "127.0.0.1:8080"

// Config says where the help desk runs. Its zero value starts a PostgreSQL of its
// own and serves on [DefaultAddr].
type Config struct {
	// DatabaseURL is the database to use. Its login is the operator's and the
	// application's in one, so it must be a superuser, or own the database and
	// have CREATEROLE. Defaults to an embedded PostgreSQL, with a login of its
	// own for the application that is no superuser.
	DatabaseURL string

	// Addr is the address to listen on; port 0 takes a free one. Defaults to
	// [DefaultAddr].
	Addr string

	// DataDir is where the embedded PostgreSQL keeps its data. Defaults to the
	// directory "demo" of embedded.DefaultDataDir. Not used with DatabaseURL.
	DataDir string

	// Stdout gets the addresses when the help desk is ready. Defaults to none.
	Stdout io.Writer

	// Stderr gets the log. Defaults to none.
	Stderr io.Writer

	// Ready is called with the public site's address when the help desk is
	// ready. May be nil.
	Ready func(url string)
}

const (
	// shutdownTime is how long requests that run may take after the end.
	shutdownTime = 10 * time.Second
	// stopTime is how long the embedded PostgreSQL may take to stop.
	stopTime = 30 * time.Second
)

// Run serves the help desk until ctx ends, and then ends cleanly and returns nil.
// What visitors did is found again by the next Run. An error says what could not
// be started: a port that is in use, a database that cannot be reached or does not
// let the login do what it must, no PostgreSQL on this machine.
func Run(ctx context.Context, cfg Config) (err error) {
	cfg = cfg.withDefaults()
	log := slog.New(slog.NewTextHandler(cfg.Stderr, nil))
	// First, since it is what fails most, and at once.
	listener, err := net.Listen("tcp", cfg.Addr)
	if err != nil {
		return fmt.Errorf("help desk: %w: choose another port with -port or PORT", err)
	}
	defer func() { _ = listener.Close() }() // closed already, if it was served
	database, err := openDatabase(ctx, cfg, log)
	if err != nil {
		return fmt.Errorf("help desk: %w", err)
	}
	defer func() { err = errors.Join(err, database.close(ctx)) }()
	a, err := openApp(ctx, database, log)
	if err != nil {
		return fmt.Errorf("help desk: %w", err)
	}
	defer a.close()
	handler, err := a.handler()
	if err != nil {
		return fmt.Errorf("help desk: %w", err)
	}
	return serve(ctx, listener, handler, log, func() { announce(cfg, listener.Addr()) })
}

func (cfg Config) withDefaults() Config {
	if cfg.Addr == "" {
		cfg.Addr = DefaultAddr
	}
	if cfg.Stdout == nil {
		cfg.Stdout = io.Discard
	}
	if cfg.Stderr == nil {
		cfg.Stderr = io.Discard
	}
	return cfg
}

// serve answers requests until ctx ends, and lets those that run then finish.
func serve(ctx context.Context, listener net.Listener, handler http.Handler, log *slog.Logger, ready func()) error {
	server := &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: 10 * time.Second,
		ReadTimeout:       30 * time.Second,
		WriteTimeout:      time.Minute,
		IdleTimeout:       2 * time.Minute,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelWarn),
	}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(listener) }()
	ready()
	select {
	case err := <-ended:
		return fmt.Errorf("help desk: serve: %w", err)
	case <-ctx.Done():
	}
	log.Info("shutting down")
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownTime)
	defer cancel()
	if err := server.Shutdown(grace); err != nil {
		_ = server.Close() // some request does not end: it is cut off
	}
	<-ended
	return nil
}

// announce tells where the help desk is.
func announce(cfg Config, addr net.Addr) {
	_, port, err := net.SplitHostPort(addr.String())
	if err != nil {
		port = "" // no listener of TCP has such an address
	}
	url := func(host string) string { return "http://" + net.JoinHostPort(host, port) }
	fmt.Fprintf(cfg.Stdout, "The help desk is ready.\n\n  %-12s %s\n", "Public site", url(publicHost))
	for _, c := range firstCompanies() {
		fmt.Fprintf(cfg.Stdout, "  %-12s %s\n", c.name, url(c.address+"."+publicHost))
	}
	fmt.Fprintf(cfg.Stdout, "\nPress Ctrl-C to stop.\n")
	if cfg.Ready != nil {
		cfg.Ready(url(publicHost))
	}
}
