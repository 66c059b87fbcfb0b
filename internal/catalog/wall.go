package catalog

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/rowhouse/rowhouse/internal/ident"
)

// Gap is a part of the wall between tenants that this server does not have.
type Gap struct {
	// Part names it: "roles of tenants", "set_config", "temporary tables", "plpgsql",
	// "create in shared schema", "create in public schema".
	Part string
	// Means says what is possible without it.
	Means string
	// Cure is the SQL that a superuser or the database's owner runs: first what
	// keeps the privilege for those who need it, then the REVOKE. Empty where no
	// SQL does it; Means says what does.
	Cure string
}

// noRoles is the gap of a catalog with [IsolationSearchPath].
var noRoles = Gap{
	Part:  "roles of tenants",
	Means: "a statement that names another tenant's schema reaches it; only a new catalog, made with isolation " + string(IsolationRoles) + ", gives each tenant a role",
}

// brick is one REVOKE of the wall. PUBLIC has each of these privileges in a new
// database, and every tenant's role is in PUBLIC.
type brick struct {
	gap Gap
	// open is the SQL expression that is true while PUBLIC has the privilege;
	// $1 is the shared schema.
	open string
}

// bricks lists the wall for the current database. The application's door binds, so
// it needs set_config; the owner runs migrations, which may define functions.
func bricks(s Settings, database string) []brick {
	owner := ident.Quote(s.Owner()) + ", " + ident.Quote(s.Builder())
	app, admin := ident.Quote(s.App()), ident.Quote(s.Admin())
	db, shared := ident.Quote(database), ident.Quote(s.SharedSchema)
	return []brick{
		{
			gap: Gap{"set_config", "an injected SELECT can leave its tenant with set_config('role', …) or set_config('search_path', …)",
				`GRANT EXECUTE ON FUNCTION pg_catalog.set_config(text, text, boolean) TO ` + owner + `, ` + app + `, ` + admin +
					`; REVOKE EXECUTE ON FUNCTION pg_catalog.set_config(text, text, boolean) FROM PUBLIC`},
			open: `has_function_privilege('public', 'pg_catalog.set_config(text, text, boolean)', 'EXECUTE')`,
		},
		{
			gap: Gap{"temporary tables", "a tenant can fill the disk with temporary tables and leave them on a pooled connection",
				`GRANT TEMPORARY ON DATABASE ` + db + ` TO ` + owner + `; REVOKE TEMPORARY ON DATABASE ` + db + ` FROM PUBLIC`},
			open: `has_database_privilege('public', current_database(), 'TEMPORARY')`,
		},
		{
			gap: Gap{"plpgsql", "an injected DO block can run SET ROLE",
				`GRANT USAGE ON LANGUAGE plpgsql TO ` + owner + `, ` + admin + `; REVOKE USAGE ON LANGUAGE plpgsql FROM PUBLIC`},
			open: `has_language_privilege('public', 'plpgsql', 'USAGE')`,
		},
		{
			gap: Gap{"create in shared schema", "a tenant can create tables and functions that all tenants see",
				`REVOKE CREATE ON SCHEMA ` + shared + ` FROM PUBLIC`},
			open: `has_schema_privilege('public', $1, 'CREATE')`,
		},
		{
			// So was a database that was upgraded from PostgreSQL 14 or older.
			gap: Gap{"create in public schema", "a login that is not bound, and a tenant, can create tables that fill the disk",
				`REVOKE CREATE ON SCHEMA public FROM PUBLIC`},
			open: `$1 <> 'public' AND EXISTS (SELECT FROM pg_namespace
				WHERE nspname = 'public' AND has_schema_privilege('public', oid, 'CREATE'))`,
		},
	}
}

// Gaps tells which parts of the wall are missing, in one query.
func Gaps(ctx context.Context, q Querier, s Settings) ([]Gap, error) {
	open, err := openBricks(ctx, q, s)
	if err != nil {
		return nil, err
	}
	gaps := make([]Gap, 0, 1+len(open))
	if s.Isolation == IsolationSearchPath {
		gaps = append(gaps, noRoles)
	}
	for _, b := range open {
		gaps = append(gaps, b.gap)
	}
	return gaps, nil
}

func openBricks(ctx context.Context, q Querier, s Settings) ([]brick, error) {
	var database string
	if err := q.QueryRow(ctx, `SELECT current_database()`).Scan(&database); err != nil {
		return nil, fmt.Errorf("inspect the wall: %w", err)
	}
	all := bricks(s, database)
	sql, state := "SELECT ", make([]bool, len(all))
	dest := make([]any, len(all))
	for i, b := range all {
		if i > 0 {
			sql += ", "
		}
		sql += b.open
		dest[i] = &state[i]
	}
	if err := q.QueryRow(ctx, sql, s.SharedSchema).Scan(dest...); err != nil {
		return nil, fmt.Errorf("inspect the wall: %w", err)
	}
	var open []brick
	for i, b := range all {
		if state[i] {
			open = append(open, b)
		}
	}
	return open, nil
}

// raiseWall closes the gaps that this login can close. On a managed server some
// REVOKEs are refused or, with a warning, ignored; each is tried in a savepoint
// and what is left is for [Gaps] to tell.
func raiseWall(ctx context.Context, tx pgx.Tx, s Settings) error {
	open, err := openBricks(ctx, tx, s)
	if err != nil {
		return err
	}
	for _, b := range open {
		err := pgx.BeginFunc(ctx, tx, func(sp pgx.Tx) error {
			_, err := sp.Exec(ctx, b.gap.Cure, pgx.QueryExecModeSimpleProtocol)
			return err
		})
		if err != nil && Code(err) != "42501" {
			return fmt.Errorf("%s: %w", b.gap.Cure, err)
		}
	}
	return nil
}
