package catalog_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/rowhouse/rowhouse/internal/catalog"
	"github.com/rowhouse/rowhouse/internal/pgtest"
)

// populated makes a catalog with tenant acme, who has two domains, and tenant
// beta. What follows is done by the superuser, past all of rowhouse's code.
const populated = `
INSERT INTO rowhouse.tenants (id, name, schema_name, role_name, state, schema_oid)
VALUES ('00000000-0000-0000-0000-00000000000a', 'Acme', 'acme', 'r_acme', 'active', 1001),
       ('00000000-0000-0000-0000-00000000000b', 'Beta', 'beta', 'r_beta', 'active', 1002);
INSERT INTO rowhouse.domains (domain, tenant_id, is_primary)
VALUES ('acme.example', '00000000-0000-0000-0000-00000000000a', true),
       ('desk.example', '00000000-0000-0000-0000-00000000000a', false);
INSERT INTO rowhouse.events (actor, action) VALUES ('a', 'b');
INSERT INTO rowhouse.migrations (tenant_id, set_name, version, name, checksum, duration) VALUES (NULL, 's', 1, 'n', 'c', '0')`

const (
	notNull, foreignKey, unique, check, restrict = "23502", "23503", "23505", "23514", "23001"
	acme                                         = `'00000000-0000-0000-0000-00000000000a'`
	beta                                         = `'00000000-0000-0000-0000-00000000000b'`
)

// tenant is an INSERT of a tenant with other values for some columns.
func tenant(column, value string) string {
	columns := map[string]string{"name": `'New'`, "schema_name": `'new'`, "role_name": `'r_new'`}
	columns[column] = value
	var names, values []string
	for n, v := range columns {
		names, values = append(names, n), append(values, v)
	}
	return fmt.Sprintf(`INSERT INTO rowhouse.tenants (%s) VALUES (%s)`, strings.Join(names, ", "), strings.Join(values, ", "))
}

func domain(name string) string {
	return fmt.Sprintf(`INSERT INTO rowhouse.domains (domain, tenant_id, is_primary) VALUES (%s, %s, true)`, name, beta)
}

// Every rule of the catalog holds in the database itself.
func TestConstraints(t *testing.T) {
	t.Parallel()
	conn, _ := install(t)
	exec(t, conn, populated)
	for _, c := range []struct{ sql, code, constraint string }{
		{tenant("name", `repeat('日', 101)`), check, "tenants_name_check"},
		{tenant("name", `''`), check, "tenants_name_check"},
		{tenant("name", `'   '`), check, "tenants_name_check"},
		{tenant("name", `NULL`), notNull, ""},
		{tenant("schema_name", `'Acme'`), check, "tenants_schema_name_check"},
		{tenant("schema_name", `'1a'`), check, "tenants_schema_name_check"},
		{tenant("schema_name", `'_a'`), check, "tenants_schema_name_check"},
		{tenant("schema_name", `'a-b'`), check, "tenants_schema_name_check"},
		{tenant("schema_name", `'a b'`), check, "tenants_schema_name_check"},
		{tenant("schema_name", `'ä'`), check, "tenants_schema_name_check"},
		{tenant("schema_name", `'aé'`), check, "tenants_schema_name_check"},
		{tenant("schema_name", `E'a\nb'`), check, "tenants_schema_name_check"},
		{tenant("schema_name", `E'a\n'`), check, "tenants_schema_name_check"},
		{tenant("schema_name", `''`), check, "tenants_schema_name_check"},
		{tenant("schema_name", `repeat('a', 64)`), check, "tenants_schema_name_check"},
		{tenant("schema_name", `'pg_x'`), check, "tenants_schema_name_check"},
		{tenant("schema_name", `'public'`), check, "tenants_schema_name_check"},
		{tenant("schema_name", `'information_schema'`), check, "tenants_schema_name_check"},
		{tenant("schema_name", `'rowhouse'`), check, "tenants_schema_name_check"},
		{tenant("schema_name", `'acme'`), unique, "tenants_schema_name_key"},
		{tenant("role_name", `'r_acme'`), unique, "tenants_role_name_key"},
		{tenant("role_name", `NULL`), check, "tenants_role_name_isolation"},
		{`UPDATE rowhouse.tenants SET role_name = NULL WHERE schema_name = 'beta'`, restrict, ""},
		{`UPDATE rowhouse.settings SET isolation = 'none'`, check, "settings_isolation_check"},
		{tenant("kind", `'Gold'`), check, "tenants_kind_check"},
		{tenant("kind", `repeat('a', 64)`), check, "tenants_kind_check"},
		{`UPDATE rowhouse.tenants SET state = 'sleeping' WHERE schema_name = 'acme'`, check, "tenants_state_check"},
		{tenant("state", `'active'`), check, "tenants_schema_oid_check"},
		{tenant("metadata", `'[]'`), check, "tenants_metadata_check"},
		{tenant("metadata", `'null'`), check, "tenants_metadata_check"},
		{tenant("id", acme), unique, "tenants_pkey"},
		{tenant("is_active", `true`), "428C9", ""},
		{`UPDATE rowhouse.tenants SET schema_oid = 1002 WHERE schema_name = 'acme'`, unique, "tenants_schema_oid_key"},
		{`UPDATE rowhouse.tenants SET state = 'trashed' WHERE schema_name = 'acme'`, check, "tenants_previous_state_check"},
		{`UPDATE rowhouse.tenants SET previous_state = 'active' WHERE schema_name = 'acme'`, check, "tenants_previous_state_check"},
		{`UPDATE rowhouse.tenants SET purging = true WHERE schema_name = 'acme'`, check, "tenants_purging_check"},
		{`UPDATE rowhouse.tenants SET id = gen_random_uuid() WHERE schema_name = 'beta'`, restrict, ""},
		{`UPDATE rowhouse.tenants SET role_name = 'x' WHERE schema_name = 'beta'`, restrict, ""},
		{`UPDATE rowhouse.tenants SET created_on = now() - interval '1 day' WHERE schema_name = 'beta'`, restrict, ""},
		{`DELETE FROM rowhouse.tenants WHERE schema_name = 'beta'`, restrict, ""},
		{domain(`'Upper.example'`), check, "domains_domain_check"},
		{domain(`''`), check, "domains_domain_check"},
		{domain(`'a b'`), check, "domains_domain_check"},
		{domain(`'http://a'`), check, "domains_domain_check"},
		{domain(`'u@a'`), check, "domains_domain_check"},
		{domain(`repeat('a', 254)`), check, "domains_domain_check"},
		{domain(`'acme.example'`), unique, "domains_pkey"},
		{`INSERT INTO rowhouse.domains (domain, tenant_id) VALUES ('x', gen_random_uuid())`, foreignKey, ""},
		{`UPDATE rowhouse.domains SET is_primary = true WHERE domain = 'desk.example'`, unique, "domains_primary_key"},
		// At least one primary: found out at the end of the transaction.
		{`UPDATE rowhouse.domains SET is_primary = false`, check, "domains_primary"},
		{`DELETE FROM rowhouse.domains WHERE domain = 'acme.example'`, check, "domains_primary"},
		{`INSERT INTO rowhouse.domains (domain, tenant_id) VALUES ('x', ` + beta + `)`, check, "domains_primary"},
		{`UPDATE rowhouse.domains SET tenant_id = ` + beta + ` WHERE domain = 'acme.example'`, check, "domains_primary"},
		{`UPDATE rowhouse.domains SET tenant_id = ` + beta + ` WHERE domain = 'desk.example'`, check, "domains_primary"},
		{`UPDATE rowhouse.events SET actor = 'x'`, restrict, ""},
		{`DELETE FROM rowhouse.events`, restrict, ""},
		{`TRUNCATE rowhouse.events`, restrict, ""},
		{`INSERT INTO rowhouse.migrations SELECT * FROM rowhouse.migrations`, unique, "migrations_key"},
		{`INSERT INTO rowhouse.migrations VALUES (NULL, 's', 0, 'n', 'c', now(), '0')`, check, ""},
		{`INSERT INTO rowhouse.migrations VALUES (gen_random_uuid(), 's', 1, 'n', 'c', now(), '0')`, foreignKey, ""},
		{`INSERT INTO rowhouse.settings SELECT * FROM rowhouse.settings`, unique, ""},
		{`INSERT INTO rowhouse.settings SELECT false, catalog_id, database_oid, role_prefix, shared_schema FROM rowhouse.settings`, check, ""},
	} {
		_, err := conn.Exec(t.Context(), c.sql)
		wantRefused(t, c.sql, err, c.code, c.constraint)
	}
}

// What the rules allow, at their very edge.
func TestAllowed(t *testing.T) {
	t.Parallel()
	conn, _ := install(t)
	exec(t, conn, populated,
		tenant("name", `repeat('日', 100)`), `DELETE FROM rowhouse.tenants WHERE schema_name = 'new'`,
		tenant("schema_name", `repeat('z', 63)`), `DELETE FROM rowhouse.tenants WHERE schema_name LIKE 'zz%'`,
		// The last domain may go, primary as it is, and a swap is one transaction.
		domain(`'beta.example'`), `DELETE FROM rowhouse.domains WHERE domain = 'beta.example'`,
		`BEGIN; UPDATE rowhouse.domains SET is_primary = false WHERE domain = 'acme.example'; UPDATE rowhouse.domains SET is_primary = true WHERE domain = 'desk.example'; COMMIT`,
		`UPDATE rowhouse.tenants SET state = 'trashed', previous_state = state, purging = true WHERE schema_name = 'acme'`,
		`DELETE FROM rowhouse.tenants WHERE schema_name = 'acme'`,
		`INSERT INTO rowhouse.migrations VALUES (`+beta+`, 's', 1, 'n', 'c', now(), '0')`,
		`UPDATE rowhouse.tenants SET schema_name = 'renamed', name = 'x', kind = 'gold' WHERE schema_name = 'beta'`)
	if n := value[int](t, conn, `SELECT count(*) FROM rowhouse.domains`); n != 0 {
		t.Errorf("a purged tenant left %d domains", n)
	}
	if !value[bool](t, conn, `SELECT updated_on > created_on FROM rowhouse.tenants WHERE schema_name = 'renamed'`) {
		t.Error("updated_on did not follow the update")
	}
	for state, active := range map[string]bool{
		"provisioning": false, "active": true, "maintenance": false, "read_only": true, "suspended": false, "archived": false, "trashed": false,
	} {
		exec(t, conn, `UPDATE rowhouse.tenants SET state = '`+state+`', previous_state = CASE WHEN '`+state+`' = 'trashed' THEN 'active' END`)
		if got := value[bool](t, conn, `SELECT is_active FROM rowhouse.tenants`); got != active {
			t.Errorf("%s: is_active is %t", state, got)
		}
	}
}

// Where all tenants share a role none has one of its own.
func TestRoleNameWithSearchPathIsolation(t *testing.T) {
	t.Parallel()
	conn := connect(t, pgtest.Database(t))
	s, err := catalog.Install(t.Context(), conn, catalog.Options{Isolation: catalog.IsolationSearchPath})
	must(t, err)
	exec(t, conn, tenant("role_name", `NULL`), `UPDATE rowhouse.tenants SET schema_name = 'first'`, tenant("role_name", `NULL`))
	_, err = conn.Exec(t.Context(), tenant("schema_name", `'third'`))
	wantRefused(t, "a role of its own", err, check, "tenants_role_name_isolation")
	_, err = conn.Exec(t.Context(), `UPDATE rowhouse.tenants SET role_name = 'x' WHERE schema_name = 'first'`)
	wantRefused(t, "a role later", err, restrict, "")
	found, err := catalog.BySchema(t.Context(), conn, "first")
	must(t, err)
	if found.Role != "" || s.RoleOf(found) != s.Tenants() {
		t.Errorf("the tenant's role is %q and it works as %q", found.Role, s.RoleOf(found))
	}
}

// Every change of a tenant or a domain notifies, when it is committed.
func TestNotifications(t *testing.T) {
	t.Parallel()
	conn, url := install(t)
	listener := connect(t, url)
	exec(t, listener, `LISTEN rowhouse`)
	exec(t, conn, populated)
	a, b := strings.Trim(acme, "'"), strings.Trim(beta, "'")
	for _, c := range []struct {
		sql  string
		want []string
	}{
		{`SELECT 1`, []string{"tenant " + a, "tenant " + b, "domain acme.example", "domain desk.example", "flush"}}, // of the beginning, with a shared migration
		{`UPDATE rowhouse.tenants SET name = 'x' WHERE schema_name = 'beta'`, []string{"tenant " + b}},
		{`INSERT INTO rowhouse.domains VALUES ('b.example', ` + beta + `, true)`, []string{"tenant " + b, "domain b.example"}},
		{`UPDATE rowhouse.domains SET tenant_id = ` + beta + ` WHERE domain = 'desk.example'`, []string{"tenant " + a, "tenant " + b, "domain desk.example"}},
		{`UPDATE rowhouse.domains SET domain = 'c.example' WHERE domain = 'b.example'`, []string{"domain b.example", "domain c.example", "tenant " + b}},
		{`DELETE FROM rowhouse.domains WHERE domain = 'desk.example'`, []string{"tenant " + b, "domain desk.example"}},
		{`UPDATE rowhouse.tenants SET state = 'provisioning' WHERE schema_name = 'beta'`, []string{"tenant " + b}},
		{`DELETE FROM rowhouse.tenants WHERE schema_name = 'beta'`, []string{"tenant " + b, "domain c.example"}},
	} {
		exec(t, conn, c.sql)
		heard := map[string]bool{}
		exec(t, conn, `NOTIFY rowhouse, 'end'`)
		for !heard["end"] {
			n, err := listener.WaitForNotification(t.Context())
			must(t, err)
			heard[n.Payload] = true
		}
		delete(heard, "end")
		for _, w := range c.want {
			if !heard[w] {
				t.Errorf("%s: did not hear %q", c.sql, w)
			}
			delete(heard, w)
		}
		if len(heard) > 0 {
			t.Errorf("%s: heard %v too", c.sql, heard)
		}
	}
}
