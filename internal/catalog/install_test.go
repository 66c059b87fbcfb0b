package catalog_test

import (
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/rowhouse/rowhouse/internal/catalog"
	"github.com/rowhouse/rowhouse/internal/ident"
	"github.com/rowhouse/rowhouse/internal/pgtest"
)

// footprint lists what installing makes: schemas, relations, functions, roles,
// memberships and privileges. A second install that wrote would change an xmin.
func footprint(t testing.TB, conn *pgx.Conn) []string {
	t.Helper()
	const sql = `WITH me AS (SELECT 'rh_' || oid || '_' AS prefix FROM pg_database WHERE datname = current_database())
		SELECT 'schema ' || nspname || ' ' || coalesce(nspacl::text, '') || ' ' || xmin FROM pg_namespace
		UNION ALL SELECT 'relation ' || c.oid::regclass || ' ' || c.xmin FROM pg_class c WHERE c.relnamespace = to_regnamespace('rowhouse')
		UNION ALL SELECT 'function ' || oid::regproc || ' ' || xmin FROM pg_proc WHERE pronamespace = to_regnamespace('rowhouse') OR proname = 'set_config'
		UNION ALL SELECT 'language ' || lanname || ' ' || xmin FROM pg_language
		UNION ALL SELECT 'defaults ' || oid || ' ' || xmin FROM pg_default_acl
		UNION ALL SELECT 'role ' || rolname || ' ' || a.xmin FROM pg_authid a, me WHERE starts_with(rolname, prefix)
		UNION ALL SELECT 'member ' || m.member::regrole || ' of ' || m.roleid::regrole || ' ' || m.xmin FROM pg_auth_members m, me WHERE starts_with(m.roleid::regrole::text, prefix)
		UNION ALL SELECT 'database ' || coalesce(datacl::text, '') || ' ' || xmin FROM pg_database WHERE datname = current_database()
		ORDER BY 1`
	rows, err := conn.Query(t.Context(), sql)
	must(t, err)
	lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
	must(t, err)
	return lines
}

func TestInstallAgain(t *testing.T) {
	t.Parallel()
	conn, url := install(t)
	before := footprint(t, conn)
	versions := value[string](t, conn, `SELECT string_agg(v::text || v.xmin, ',') FROM rowhouse.versions v`)
	// Whatever it wrote would be an error here.
	reader := connect(t, url)
	exec(t, reader, `SET default_transaction_read_only = on`)
	s, err := catalog.Install(t.Context(), reader, catalog.Options{SharedSchema: "ignored"})
	must(t, err)
	if after := footprint(t, conn); !slices.Equal(before, after) {
		t.Errorf("before:\n%s\nafter:\n%s", strings.Join(before, "\n"), strings.Join(after, "\n"))
	}
	if again := value[string](t, conn, `SELECT string_agg(v::text || v.xmin, ',') FROM rowhouse.versions v`); again != versions {
		t.Errorf("versions are %s, were %s", again, versions)
	}
	loaded, err := catalog.Load(t.Context(), conn)
	must(t, err)
	if s != loaded || s.SharedSchema != "public" || s.CheckVersion() != nil {
		t.Errorf("installed %+v, loaded %+v", s, loaded)
	}
}

func TestInstallersAtOnce(t *testing.T) {
	t.Parallel()
	url := pgtest.Database(t)
	settings := make([]catalog.Settings, 8)
	var wg sync.WaitGroup
	for i := range settings {
		conn := connect(t, url)
		wg.Go(func() {
			var err error
			if settings[i], err = catalog.Install(t.Context(), conn, catalog.Options{}); err != nil {
				t.Errorf("installer %d: %v", i, err)
			}
		})
	}
	wg.Wait()
	for _, s := range settings {
		if s != settings[0] || s.Home == "" {
			t.Errorf("got %+v and %+v", s, settings[0])
		}
	}
}

func TestForeignSchema(t *testing.T) {
	t.Parallel()
	for what, sql := range map[string][]string{
		"empty":              {`CREATE SCHEMA rowhouse`},
		"with tables":        {`CREATE SCHEMA rowhouse`, `CREATE TABLE rowhouse.houses AS SELECT 1 AS i`},
		"with settings":      {`CREATE SCHEMA rowhouse`, `CREATE TABLE rowhouse.settings AS SELECT 1 AS i`},
		"with like settings": {`CREATE SCHEMA rowhouse`, `CREATE TABLE rowhouse.settings (catalog_id text, role_prefix text, shared_schema text)`, `CREATE TABLE rowhouse.versions (version int)`},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			conn := connect(t, pgtest.Database(t))
			exec(t, conn, sql...)
			before := footprint(t, conn)
			_, err := catalog.Install(t.Context(), conn, catalog.Options{})
			wantErr(t, "install", err, catalog.ErrForeignSchema)
			if after := footprint(t, conn); !slices.Equal(before, after) {
				t.Errorf("it was touched: before %q, after %q", before, after)
			}
		})
	}
}

func TestVersions(t *testing.T) {
	t.Parallel()
	conn, _ := install(t)
	exec(t, conn, `INSERT INTO rowhouse.versions VALUES (1000)`)
	before := footprint(t, conn)
	_, err := catalog.Install(t.Context(), conn, catalog.Options{})
	wantErr(t, "newer catalog", err, catalog.ErrTooNew)
	if after := footprint(t, conn); !slices.Equal(before, after) {
		t.Error("a newer catalog was touched")
	}
	s, err := catalog.Load(t.Context(), conn)
	must(t, err)
	wantErr(t, "newer catalog", s.CheckVersion(), catalog.ErrTooNew)
	s.Version = 0
	wantErr(t, "older catalog", s.CheckVersion(), catalog.ErrTooOld)
	_, err = catalog.Load(t.Context(), connect(t, pgtest.Database(t)))
	wantErr(t, "no catalog", err, catalog.ErrNoCatalog)
}

func TestSharedSchema(t *testing.T) {
	t.Parallel()
	for what, prepare := range map[string]string{"new": `SELECT 1`, "existing": `CREATE SCHEMA common; CREATE TABLE common.kept (i int); GRANT CREATE ON SCHEMA common TO PUBLIC`} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			conn := connect(t, pgtest.Database(t))
			exec(t, conn, prepare)
			s, err := catalog.Install(t.Context(), conn, catalog.Options{SharedSchema: "common"})
			must(t, err)
			if s.SharedSchema != "common" || s.SearchPath("acme") != `"acme", "common", pg_temp` || s.SearchPath("common") != `"common", pg_temp` {
				t.Errorf("got %+v, path %s", s, s.SearchPath("acme"))
			}
			gaps, err := catalog.Gaps(t.Context(), conn, s)
			must(t, err)
			if len(gaps) != 0 {
				t.Errorf("gaps are %+v", gaps)
			}
			if value[bool](t, conn, `SELECT has_schema_privilege('public', 'common', 'CREATE')`) {
				t.Error("everybody creates in the shared schema")
			}
		})
	}
	conn := connect(t, pgtest.Database(t))
	before := footprint(t, conn)
	for _, name := range []string{"rowhouse", "pg_catalog", "information_schema", "No", `a"; DROP`, strings.Repeat("a", 64)} {
		_, err := catalog.Install(t.Context(), conn, catalog.Options{SharedSchema: name})
		wantErr(t, "shared schema "+name, err, ident.ErrSchemaName)
	}
	if after := footprint(t, conn); !slices.Equal(before, after) {
		t.Error("a bad name left something")
	}
}

// Without the rights to install nothing is left behind.
func TestInstallWithoutRights(t *testing.T) {
	t.Parallel()
	url := pgtest.Database(t)
	conn := connect(t, url)
	owner := pgtest.Login(t, url, "")
	name := value[string](t, conn, `SELECT quote_ident(current_database())`)
	before := footprint(t, conn)
	for what, login := range map[string]string{"no rights": pgtest.Login(t, url, ""), "not the owner": pgtest.Login(t, url, "CREATEROLE")} {
		_, err := catalog.Install(t.Context(), connect(t, login), catalog.Options{})
		wantErr(t, what, err, catalog.ErrPrivilege)
	}
	_, err := catalog.Install(t.Context(), conn, catalog.Options{AppLogins: []string{"nobody_at_all"}})
	wantErr(t, "unknown login", err, catalog.ErrPrivilege)
	if err == nil || !strings.Contains(err.Error(), `"nobody_at_all"`) {
		t.Errorf("the login is not named: %v", err)
	}
	if after := footprint(t, conn); !slices.Equal(before, after) {
		t.Errorf("left behind: before %q, after %q", before, after)
	}
	exec(t, conn, `ALTER DATABASE `+name+` OWNER TO `+userOf(t, owner))
	_, err = catalog.Install(t.Context(), connect(t, owner), catalog.Options{})
	wantErr(t, "owner without CREATEROLE", err, catalog.ErrPrivilege)
}
