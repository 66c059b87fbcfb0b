package rowhousecli

import (
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
)

// hidden stands for a password.
const hidden = "xxxxx"

// redact takes the passwords of connection strings out of a text. It rather takes
// too much: a password may have any character in it.
func redact(text string) string {
	text = regexp.MustCompile(`(?is)(postgres(?:ql)?://[^:/\s]*:).*@`).ReplaceAllString(text, "${1}"+hidden+"@")
	return regexp.MustCompile(`(?is)(password\s*=\s*)('(?:\\.|[^'\\])*'?|(?:\\.|[^\s\\])+)`).ReplaceAllString(text, "${1}"+hidden)
}

// isURL tells whether a connection string is a URL and not key=value pairs.
func isURL(conn string) bool {
	return strings.HasPrefix(conn, "postgres://") || strings.HasPrefix(conn, "postgresql://")
}

// splitURL takes a URL apart. It is not whole when a part of the password may have
// ended up elsewhere: there is a @ behind the one that ends the user.
func splitURL(conn string) (u *url.URL, whole bool) {
	u, err := url.Parse(conn)
	if err != nil {
		return nil, false
	}
	return u, !strings.Contains(u.Path+u.RawQuery+u.Fragment, "@")
}

// errConnection: a connection string cannot be used.
var errConnection = errors.New("not a connection string")

// checkConnection looks at a connection string before anybody connects with it.
// Its error holds nothing of a string that cannot be taken apart, where any part
// may be the password's.
func checkConnection(conn string) error {
	u, whole := splitURL(conn)
	if isURL(conn) && (u == nil || u.User == nil && !whole) {
		return fmt.Errorf("%w: it cannot be read; characters such as @ : / ? # %% in a password must be percent-encoded", errConnection)
	}
	_, err := pgconn.ParseConfig(conn)
	var parse *pgconn.ParseConfigError
	switch {
	case errors.As(err, &parse) && parse.Unwrap() != nil && isURL(conn) && whole:
		return fmt.Errorf("%w: %w", errConnection, parse.Unwrap())
	case err != nil:
		return fmt.Errorf("%w: expected a URL such as postgres://user@host:5432/database, or key=value pairs", errConnection)
	}
	return nil
}

// display shows a connection string without its password.
func display(conn string) string {
	u, whole := splitURL(conn)
	if !isURL(conn) || !whole {
		return redact(conn)
	}
	query := u.Query()
	for _, key := range []string{"password", "sslpassword"} {
		if query.Has(key) {
			query.Set(key, hidden)
			u.RawQuery = query.Encode()
		}
	}
	return u.Redacted()
}
