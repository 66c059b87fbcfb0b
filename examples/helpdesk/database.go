package helpdesk

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net/url"

	"github.com/jackc/pgx/v5"

	"github.com/rowhouse/rowhouse/embedded"
	"github.com/rowhouse/rowhouse/embedded/fetchpg"
)

// ownName is the name of the database and of the application's login in the
// embedded PostgreSQL.
const ownName = "helpdesk"

// database is the PostgreSQL that the help desk runs on, seen through its two
// doors.
type database struct {
	// operatorURL is for creating tenants and migrating them; applicationURL is
	// for serving. Its login owns nothing.
	operatorURL, applicationURL string
	// server is the embedded one, if it is used.
	server *embedded.Server
}

// openDatabase takes the database that the configuration names, or else starts
// the embedded PostgreSQL.
func openDatabase(ctx context.Context, cfg Config, log *slog.Logger) (*database, error) {
	if cfg.DatabaseURL != "" {
		return &database{operatorURL: cfg.DatabaseURL, applicationURL: cfg.DatabaseURL}, nil
	}
	dir := cfg.DataDir
	if dir == "" {
		var err error
		if dir, err = embedded.DefaultDataDir("demo"); err != nil {
			return nil, err
		}
	}
	server, err := embedded.Start(ctx, embedded.Config{DataDir: dir, Fetch: fetchpg.Fetch, Log: log})
	if err != nil {
		return nil, fmt.Errorf("%w (or set DATABASE_URL to use a PostgreSQL of your own)", err)
	}
	d := &database{server: server, operatorURL: server.URL(ownName)}
	if d.applicationURL, err = furnish(ctx, server); err != nil {
		return nil, errors.Join(err, d.close(ctx))
	}
	return d, nil
}

// close stops the embedded PostgreSQL, unless another process uses it too. ctx
// may have ended.
func (d *database) close(ctx context.Context) error {
	if d.server == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTime)
	defer cancel()
	return d.server.Stop(ctx)
}

// furnishLock keeps two help desks that start together from furnishing at once
// ("desk" in ASCII).
const furnishLock = 0x6465736b

// furnish makes the database and the application's login, where they are
// missing, and returns the URL that the application serves with.
func furnish(ctx context.Context, server *embedded.Server) (string, error) {
	conn, err := pgx.Connect(ctx, server.URL("postgres"))
	if err != nil {
		return "", fmt.Errorf("connect to the embedded PostgreSQL: %w", err)
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }() // unlocks too
	if _, err := conn.Exec(ctx, "SELECT pg_advisory_lock($1)", furnishLock); err != nil {
		return "", fmt.Errorf("wait for another help desk: %w", err)
	}
	applicationURL, password, err := applicationLogin(server.URL(ownName))
	if err != nil {
		return "", err
	}
	for _, thing := range []struct{ what, exists, create string }{
		{"login", "SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = $1)", "CREATE ROLE " + ownName + " LOGIN"},
		{"database", "SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)", "CREATE DATABASE " + ownName},
	} {
		var exists bool
		if err := conn.QueryRow(ctx, thing.exists, ownName).Scan(&exists); err != nil {
			return "", fmt.Errorf("look for the %s %s: %w", thing.what, ownName, err)
		}
		if exists {
			continue
		}
		if _, err := conn.Exec(ctx, thing.create); err != nil {
			return "", fmt.Errorf("create the %s %s: %w", thing.what, ownName, err)
		}
	}
	// The password is hexadecimal, so it needs no quoting.
	if _, err := conn.Exec(ctx, "ALTER ROLE "+ownName+" PASSWORD '"+password+"'"); err != nil {
		return "", fmt.Errorf("set the password of the login %s: %w", ownName, err)
	}
	return applicationURL, nil
}

// applicationLogin derives the application's URL and password from those of the
// superuser, so that there is no second secret to keep: who cannot read the
// cluster's own cannot make this one.
func applicationLogin(operatorURL string) (applicationURL, password string, err error) {
	u, err := url.Parse(operatorURL)
	if err != nil {
		return "", "", fmt.Errorf("read the address of the embedded PostgreSQL: %w", err)
	}
	secret, _ := u.User.Password()
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte("login " + ownName))
	password = hex.EncodeToString(mac.Sum(nil))
	u.User = url.UserPassword(ownName, password)
	return u.String(), password, nil
}
