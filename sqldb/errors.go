package sqldb

import (
	"errors"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
)

// plainError is an error of PostgreSQL as pgx's own driver returns it: GORM for one
// looks at the type of an error, and not into it. An error that rowhouse says more
// of is returned as it is.
func plainError(err error) error {
	var pgErr *pgconn.PgError
	if !errors.As(err, &pgErr) {
		return err
	}
	switch where, _ := strings.CutSuffix(err.Error(), pgErr.Error()); where {
	case "rowhouse: ", "rowhouse: commit: ":
		return pgErr
	}
	return err
}
