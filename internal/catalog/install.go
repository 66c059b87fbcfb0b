package catalog

import (
	"cmp"
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/rowhouse/rowhouse/internal/ident"
)

//go:embed sql/*.sql
var sqlFiles embed.FS

// migrations lists the catalog's own migrations. Version n is the nth file.
func migrations() []string {
	names, err := fs.Glob(sqlFiles, "sql/*.sql")
	if err != nil {
		return nil // the pattern is a constant that is right
	}
	return names
}

// installLock serialises installers of one database ("rowh" in ASCII).
const installLock = 0x726f7768

// Options say how a catalog is installed.
type Options struct {
	// SharedSchema holds the tables that all tenants see. It counts only for a
	// new catalog. Defaults to "public".
	SharedSchema string
	// Isolation is what keeps tenants apart. For a new catalog it defaults to
	// [IsolationRoles]; of one that is there it must be what the catalog has, or
	// empty.
	Isolation Isolation
	// AppLogins may serve the application: bind to tenants and to the shared
	// schema. The installing login always may.
	AppLogins []string
}

// Install makes the catalog or brings it up to date, in one transaction and
// under a lock: of two that start together one waits and finds the work done.
// Where there is nothing to do it writes nothing.
//
// conn's login must be a superuser, or have CREATEROLE and own the database;
// else the error is [ErrPrivilege]. A catalog of another isolation than was asked
// for is left as it is, with an [*IsolationError].
func Install(ctx context.Context, conn *pgx.Conn, opts Options) (Settings, error) {
	version, err := CheckServer(ctx, conn)
	if err != nil {
		return Settings{}, err
	}
	var s Settings
	err = pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		in := installer{tx: tx, server: version}
		s, err = in.run(ctx, opts)
		return err
	})
	if Code(err) == "42501" {
		err = fmt.Errorf("%w to install or upgrade the rowhouse catalog: use a superuser, or the database's owner with CREATEROLE: %w", ErrPrivilege, err)
	}
	return s, err
}

type installer struct {
	tx     pgx.Tx
	server int
}

func (in installer) run(ctx context.Context, opts Options) (Settings, error) {
	// Nothing in here may resolve by a search_path that somebody else chose.
	if err := in.exec(ctx, `SET LOCAL search_path = ''`, fmt.Sprintf(`SELECT pg_advisory_xact_lock(%d)`, installLock)); err != nil {
		return Settings{}, err
	}
	s, err := in.existing(ctx)
	if errors.Is(err, ErrNoCatalog) {
		s, err = in.create(ctx, opts)
	} else if err == nil {
		err = s.CheckIsolation(opts.Isolation)
	}
	if err != nil {
		return Settings{}, err
	}
	if err := in.upgrade(ctx, s); err != nil {
		return Settings{}, err
	}
	if err := in.admit(ctx, s, opts.AppLogins); err != nil {
		return Settings{}, err
	}
	if err := raiseWall(ctx, in.tx, s); err != nil {
		return Settings{}, err
	}
	return Load(ctx, in.tx)
}

func (in installer) exec(ctx context.Context, statements ...string) error {
	for _, sql := range statements {
		if _, err := in.tx.Exec(ctx, sql); err != nil {
			return fmt.Errorf("%s: %w", sql, err)
		}
	}
	return nil
}

// existing reads the settings of a catalog that is there. Load cannot be used
// before it is known to be there, as its failure would end the transaction.
func (in installer) existing(ctx context.Context) (Settings, error) {
	var schema, table bool
	err := in.tx.QueryRow(ctx, `SELECT to_regnamespace('rowhouse') IS NOT NULL, to_regclass('rowhouse.settings') IS NOT NULL`).Scan(&schema, &table)
	switch {
	case err != nil:
		return Settings{}, fmt.Errorf("look for the catalog: %w", err)
	case table:
		s, err := Load(ctx, in.tx)
		if code := Code(err); errors.Is(err, ErrNoCatalog) || strings.HasPrefix(code, "42") && code != "42501" {
			return s, fmt.Errorf("%w: rename it or drop it", ErrForeignSchema)
		}
		return s, err
	case schema:
		return Settings{}, fmt.Errorf("%w: rename it or drop it", ErrForeignSchema)
	}
	return Settings{}, ErrNoCatalog
}

// create makes the roles, the schema and an empty catalog of version 0.
func (in installer) create(ctx context.Context, opts Options) (Settings, error) {
	shared := opts.SharedSchema
	if shared == "" {
		shared = "public"
	}
	if shared != "public" {
		if err := ident.CheckSchema(shared); err != nil {
			return Settings{}, fmt.Errorf("shared schema: %w", err)
		}
	}
	isolation := cmp.Or(opts.Isolation, IsolationRoles)
	if err := knownIsolation(isolation); err != nil {
		return Settings{}, err
	}
	var oid uint32
	if err := in.tx.QueryRow(ctx, `SELECT oid FROM pg_database WHERE datname = current_database()`).Scan(&oid); err != nil {
		return Settings{}, fmt.Errorf("read the database's oid: %w", err)
	}
	s := Settings{RolePrefix: fmt.Sprintf("rh_%d_", oid), SharedSchema: shared, Isolation: isolation}
	if err := in.createRoles(ctx, s); err != nil {
		return Settings{}, err
	}
	if err := in.createSchemas(ctx, s); err != nil {
		return Settings{}, err
	}
	return s, nil
}

func (in installer) createRoles(ctx context.Context, s Settings) error {
	for _, role := range []string{s.Owner(), s.Builder(), s.Admin(), s.App(), s.Shared(), s.Tenants(), s.Renamer()} {
		var exists bool
		if err := in.tx.QueryRow(ctx, `SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = $1)`, role).Scan(&exists); err != nil {
			return fmt.Errorf("look for role %s: %w", role, err)
		}
		if exists { // left by a catalog of this database that somebody dropped
			continue
		}
		inherits := "NOINHERIT" // rights are had by becoming the role
		if role == s.Renamer() {
			inherits = "INHERIT" // it must have the builder's beside its own
		}
		if err := in.exec(ctx, `CREATE ROLE `+ident.Quote(role)+` NOLOGIN `+inherits); err != nil {
			return err
		}
	}
	if s.Isolation == IsolationSearchPath { // else nobody works as it
		if err := in.exec(ctx, `GRANT `+ident.Quote(s.Tenants())+` TO `+ident.Quote(s.App())); err != nil {
			return err
		}
	}
	return in.exec(ctx,
		// To make a schema for the builder, the owner must be able to become it.
		`GRANT `+ident.Quote(s.Builder())+` TO `+ident.Quote(s.Owner())+`, `+ident.Quote(s.Admin()),
		`GRANT `+ident.Quote(s.Builder())+` TO `+ident.Quote(s.Renamer()),
		`GRANT `+ident.Quote(s.Owner())+`, `+ident.Quote(s.Renamer())+` TO `+ident.Quote(s.Admin()),
		`GRANT `+ident.Quote(s.Shared())+` TO `+ident.Quote(s.App()),
		`GRANT `+ident.Quote(s.Admin())+` TO CURRENT_USER`,
	)
}

func (in installer) createSchemas(ctx context.Context, s Settings) error {
	var database string
	var shared bool
	err := in.tx.QueryRow(ctx, `SELECT current_database(), EXISTS (SELECT FROM pg_namespace WHERE nspname = $1)`, s.SharedSchema).Scan(&database, &shared)
	if err != nil {
		return fmt.Errorf("look for the shared schema: %w", err)
	}
	owner, builder := ident.Quote(s.Owner()), ident.Quote(s.Builder())
	doors := ident.Quote(s.App()) + `, ` + ident.Quote(s.Admin())
	sharedSchema, sharedRole, tenants := ident.Quote(s.SharedSchema), ident.Quote(s.Shared()), ident.Quote(s.Tenants())
	statements := []string{
		`GRANT CREATE, TEMPORARY ON DATABASE ` + ident.Quote(database) + ` TO ` + owner,
		`GRANT CREATE ON DATABASE ` + ident.Quote(database) + ` TO ` + ident.Quote(s.Renamer()),
		`CREATE SCHEMA rowhouse AUTHORIZATION ` + owner,
	}
	if !shared {
		// What the owner owns the owner grants: a login that is no superuser has
		// none of its rights.
		statements = append(statements, `CREATE SCHEMA `+sharedSchema+` AUTHORIZATION `+owner, `SET LOCAL ROLE `+owner)
	}
	statements = append(statements,
		`GRANT USAGE, CREATE ON SCHEMA `+sharedSchema+` TO `+owner,
		`GRANT USAGE ON SCHEMA `+sharedSchema+` TO `+builder+`, `+sharedRole+`, `+tenants,
		`SET LOCAL ROLE `+owner,
		`CREATE TABLE rowhouse.versions (version int PRIMARY KEY, applied_at timestamptz NOT NULL DEFAULT pg_catalog.now())`,
		`GRANT USAGE ON SCHEMA rowhouse TO `+doors,
		`GRANT SELECT ON rowhouse.versions TO `+doors,
		`GRANT USAGE ON SCHEMA rowhouse TO `+builder,
		// What later migrations of shared sets create is readable by every
		// tenant, writable by work on the shared schema, and tenants' tables may
		// reference it.
		`ALTER DEFAULT PRIVILEGES IN SCHEMA `+sharedSchema+` GRANT SELECT, REFERENCES ON TABLES TO `+builder,
		`ALTER DEFAULT PRIVILEGES IN SCHEMA `+sharedSchema+` GRANT SELECT ON TABLES TO `+tenants,
		`ALTER DEFAULT PRIVILEGES IN SCHEMA `+sharedSchema+` GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO `+sharedRole,
		`ALTER DEFAULT PRIVILEGES IN SCHEMA `+sharedSchema+` GRANT USAGE, SELECT ON SEQUENCES TO `+sharedRole,
		`RESET ROLE`,
	)
	return in.exec(ctx, statements...)
}

const insertSettingsSQL = `
INSERT INTO rowhouse.settings (database_oid, role_prefix, shared_schema, isolation)
SELECT oid, $1, $2, $3 FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database()`

// upgrade runs the catalog's own migrations that are missing, as the owner.
func (in installer) upgrade(ctx context.Context, s Settings) error {
	files := migrations()
	if s.Version > len(files) {
		return s.CheckVersion()
	}
	if s.Version == len(files) {
		return nil
	}
	if err := in.exec(ctx, `SET LOCAL ROLE `+ident.Quote(s.Owner())); err != nil {
		return err
	}
	for v := s.Version + 1; v <= len(files); v++ {
		script, err := sqlFiles.ReadFile(files[v-1])
		if err != nil {
			return fmt.Errorf("read catalog migration: %w", err)
		}
		if _, err := in.tx.Conn().PgConn().Exec(ctx, string(script)).ReadAll(); err != nil {
			return fmt.Errorf("catalog migration %s: %w", files[v-1], err)
		}
		if _, err := in.tx.Exec(ctx, `INSERT INTO rowhouse.versions (version) VALUES ($1)`, v); err != nil {
			return fmt.Errorf("record catalog migration %d: %w", v, err)
		}
	}
	if s.Version == 0 {
		if _, err := in.tx.Exec(ctx, insertSettingsSQL, s.RolePrefix, s.SharedSchema, s.Isolation); err != nil {
			return fmt.Errorf("record the catalog's settings: %w", err)
		}
	}
	builder := ident.Quote(s.Builder())
	doors := ident.Quote(s.App()) + `, ` + ident.Quote(s.Admin())
	return in.exec(ctx,
		`GRANT SELECT ON rowhouse.settings, rowhouse.tenants, rowhouse.domains, rowhouse.limits, rowhouse.migrations TO `+doors,
		`GRANT SELECT, INSERT, DELETE ON rowhouse.migrations TO `+builder,
		`GRANT SELECT, REFERENCES ON rowhouse.tenants TO `+builder,
		`RESET ROLE`)
}

const missingLoginsSQL = `
SELECT l.name, r.oid IS NOT NULL
FROM unnest(array_append($1::text[], session_user::text)) AS l(name)
LEFT JOIN pg_catalog.pg_roles r ON r.rolname = l.name
WHERE r.oid IS NULL OR NOT EXISTS (
    SELECT FROM pg_catalog.pg_auth_members m
    WHERE m.member = r.oid AND m.roleid = $2::text::regrole`

// admit lets logins through the application's door. On PostgreSQL 16 and newer
// the grant says that the door itself is inherited, whatever the login's
// attributes; on 15 the login must not be NOINHERIT.
func (in installer) admit(ctx context.Context, s Settings, logins []string) error {
	options, inherit := "", ""
	if in.server >= 160000 {
		// Whoever made the door is a member that may only let others in.
		options, inherit = " AND m.inherit_option AND m.set_option", " WITH INHERIT TRUE, SET TRUE"
	}
	rows, err := in.tx.Query(ctx, missingLoginsSQL+options+")", logins, s.App())
	if err != nil {
		return fmt.Errorf("look for application logins: %w", err)
	}
	type login struct {
		Name   string
		Exists bool
	}
	missing, err := pgx.CollectRows(rows, pgx.RowToStructByPos[login])
	if err != nil {
		return fmt.Errorf("look for application logins: %w", err)
	}
	for _, l := range missing {
		if !l.Exists {
			return fmt.Errorf("%w: the application login %q does not exist; CREATE ROLE it first", ErrPrivilege, l.Name)
		}
		if err := in.exec(ctx, `GRANT `+ident.Quote(s.App())+` TO `+ident.Quote(l.Name)+inherit); err != nil {
			return err
		}
	}
	return nil
}
