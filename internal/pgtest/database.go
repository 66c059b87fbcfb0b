package pgtest

import (
	"context"
	"crypto/rand"
	"fmt"
	"net/url"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
)

// Database makes an empty database on the server of this test binary and
// returns its URL, with the superuser as login.
//
// At the end of the test it is dropped, with its connections, and then the
// roles that belong to it: those that rowhouse made, named
// rh_<oid of the database>_…, and those of [Login].
func Database(t testing.TB) string {
	t.Helper()
	server := Server(t)
	conn := connect(t.Context(), t, server)
	defer func() { _ = conn.Close(t.Context()) }()
	name := "test_" + strings.ToLower(rand.Text()[:12])
	quoted := pgx.Identifier{name}.Sanitize()
	if _, err := conn.Exec(t.Context(), "CREATE DATABASE "+quoted+" TEMPLATE template0 STRATEGY file_copy"); err != nil {
		t.Fatalf("pgtest: create database: %v", err)
	}
	oid := databaseOID(t.Context(), t, conn, name)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), cleanupTime)
		defer cancel()
		if err := dropDatabase(ctx, server, quoted, oid); err != nil {
			t.Errorf("pgtest: drop database %s: %v", name, err)
		}
	})
	return inDatabase(t, server, name)
}

func databaseOID(ctx context.Context, t testing.TB, conn *pgx.Conn, name string) (oid uint32) {
	t.Helper()
	if err := conn.QueryRow(ctx, "SELECT oid FROM pg_database WHERE datname = $1", name).Scan(&oid); err != nil {
		t.Fatalf("pgtest: look up database %s: %v", name, err)
	}
	return oid
}

func dropDatabase(ctx context.Context, server, quoted string, oid uint32) error {
	conn, err := pgx.Connect(ctx, server)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(ctx) }()
	if _, err := conn.Exec(ctx, "DROP DATABASE IF EXISTS "+quoted+" WITH (FORCE)"); err != nil {
		return err
	}
	// Logins last: on PostgreSQL 16 and later they are grantors of the others.
	for _, prefix := range []string{rolePrefix(oid), loginPrefix(oid)} {
		if err := dropRoles(ctx, conn, prefix); err != nil {
			return err
		}
	}
	return nil
}

func rolePrefix(database uint32) string { return fmt.Sprintf("rh_%d_", database) }

func loginPrefix(database uint32) string { return fmt.Sprintf("login_%d_", database) }

// dropRoles drops all roles whose names begin with prefix.
func dropRoles(ctx context.Context, conn *pgx.Conn, prefix string) error {
	rows, err := conn.Query(ctx, "SELECT rolname FROM pg_roles WHERE starts_with(rolname, $1) ORDER BY rolname", prefix)
	if err != nil {
		return err
	}
	names, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil || len(names) == 0 {
		return err
	}
	for i, name := range names {
		names[i] = pgx.Identifier{name}.Sanitize()
	}
	if _, err := conn.Exec(ctx, "DROP ROLE "+strings.Join(names, ", ")); err != nil {
		return fmt.Errorf("drop its roles: %w", err)
	}
	return nil
}

// Login makes a role that can log in, with the given attributes, such as ""
// or "CREATEROLE", and returns server with it as login. server is the
// superuser's URL of a database that [Database] made, with which the role is dropped,
// or one on a server of [Cluster].
func Login(t testing.TB, server, attributes string) string {
	t.Helper()
	conn := connect(t.Context(), t, server)
	defer func() { _ = conn.Close(t.Context()) }()
	u := parse(t, server)
	oid := databaseOID(t.Context(), t, conn, strings.TrimPrefix(u.Path, "/"))
	name, password := loginPrefix(oid)+strings.ToLower(rand.Text()[:8]), rand.Text()
	sql := fmt.Sprintf("CREATE ROLE %s LOGIN PASSWORD '%s' %s", pgx.Identifier{name}.Sanitize(), password, attributes)
	if _, err := conn.Exec(t.Context(), sql); err != nil {
		t.Fatalf("pgtest: create login with attributes %q: %v", attributes, err)
	}
	u.User = url.UserPassword(name, password)
	return u.String()
}
