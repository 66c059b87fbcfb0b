package catalog_test

import (
	"context"
	"errors"
	"net/url"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/rowhouse/rowhouse/internal/catalog"
	"github.com/rowhouse/rowhouse/internal/pgtest"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

func connect(t testing.TB, url string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	must(t, err)
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// install makes a catalog in a database of its own.
func install(t testing.TB) (conn *pgx.Conn, url string) {
	t.Helper()
	url = pgtest.Database(t)
	conn = connect(t, url)
	_, err := catalog.Install(t.Context(), conn, catalog.Options{})
	must(t, err)
	return conn, url
}

func exec(t testing.TB, conn *pgx.Conn, statements ...string) {
	t.Helper()
	for _, sql := range statements {
		if _, err := conn.Exec(t.Context(), sql, pgx.QueryExecModeSimpleProtocol); err != nil {
			t.Fatalf("%s: %v", sql, err)
		}
	}
}

func value[T any](t testing.TB, conn *pgx.Conn, sql string, args ...any) (v T) {
	t.Helper()
	if err := conn.QueryRow(t.Context(), sql, args...).Scan(&v); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return v
}

func userOf(t testing.TB, raw string) string {
	t.Helper()
	u, err := url.Parse(raw)
	must(t, err)
	return u.User.Username()
}

// wantRefused fails the test unless err is PostgreSQL's, with that code and of
// that constraint, if one is given.
func wantRefused(t testing.TB, what string, err error, code, constraint string) {
	t.Helper()
	var pgErr *pgconn.PgError
	if !errors.As(err, &pgErr) || pgErr.Code != code || constraint != "" && pgErr.ConstraintName != constraint {
		t.Errorf("%s: got %v, want %s of %s", what, err, code, constraint)
	}
}

func wantErr(t testing.TB, what string, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("%s: got %v, want %v", what, err, want)
	}
}
