package catalog_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/rowhouse/rowhouse/internal/catalog"
)

// limit is an INSERT of limits with those columns.
func limit(columns, values string) string {
	return `INSERT INTO rowhouse.limits (` + columns + `) VALUES (` + values + `)`
}

// What limits say is held by the database itself.
func TestLimitConstraints(t *testing.T) {
	t.Parallel()
	conn, _ := install(t)
	exec(t, conn, populated, limit("kind, connections", `'free', 2`), limit("tenant_id, waiting", acme+`, 0`))
	for _, c := range []struct{ sql, code, constraint string }{
		{limit("connections", `1`), check, "limits_scope_check"},
		{limit("kind, tenant_id, connections", `'free', `+beta+`, 1`), check, "limits_scope_check"},
		{limit("kind", `'free'`), unique, "limits_key"},
		{limit("tenant_id", acme), unique, "limits_key"},
		{limit("kind", `'Free'`), check, "limits_kind_check"},
		{limit("kind", `''`), check, "limits_kind_check"},
		{limit("tenant_id", `gen_random_uuid()`), foreignKey, "limits_tenant_id_fkey"},
		{limit("tenant_id, connections", beta+`, -1`), check, "limits_connections_check"},
		{limit("tenant_id, waiting", beta+`, -1`), check, "limits_waiting_check"},
		{limit("tenant_id, wait_ms", beta+`, -1`), check, "limits_wait_ms_check"},
		{limit("tenant_id, statement_timeout_ms", beta+`, -1`), check, "limits_statement_timeout_ms_check"},
		{limit("tenant_id, idle_in_transaction_timeout_ms", beta+`, -1`), check, "limits_idle_in_transaction_timeout_ms_check"},
		{limit("tenant_id, lock_timeout_ms", beta+`, -1`), check, "limits_lock_timeout_ms_check"},
	} {
		_, err := conn.Exec(t.Context(), c.sql)
		wantRefused(t, c.sql, err, c.code, c.constraint)
	}
	exec(t, conn, `UPDATE rowhouse.tenants SET state = 'trashed', previous_state = 'active' WHERE id = `+acme, `DELETE FROM rowhouse.tenants WHERE id = `+acme)
	if n := value[int](t, conn, `SELECT count(*) FROM rowhouse.limits`); n != 1 {
		t.Errorf("%d rows are left, want the kind's", n)
	}
}

// A tenant's own limit wins over its kind's, each by itself, also where it is 0.
func TestLimitsOfATenant(t *testing.T) {
	t.Parallel()
	conn, _ := install(t)
	exec(t, conn, populated,
		limit("kind, connections, waiting, lock_timeout_ms", `'default', 2, 20, 100`), limit("kind, connections", `'other', 9`),
		limit("tenant_id, connections, wait_ms, lock_timeout_ms", acme+`, 5, 300, 0`))
	for schema, want := range map[string]catalog.Limits{
		"acme": {Connections: new(int32(5)), Waiting: new(int32(20)), WaitMS: new(int32(300)), LockTimeoutMS: new(int32(0))},
		"beta": {Connections: new(int32(2)), Waiting: new(int32(20)), LockTimeoutMS: new(int32(100))},
	} {
		found, err := catalog.BySchema(t.Context(), conn, schema)
		must(t, err)
		wantLimits(t, schema, found.Limits, want)
	}
	exec(t, conn, `DELETE FROM rowhouse.limits`)
	found, err := catalog.ByDomain(t.Context(), conn, "acme.example")
	must(t, err)
	wantLimits(t, "without", found.Limits, catalog.Limits{})
}

func wantLimits(t testing.TB, what string, got, want catalog.Limits) {
	t.Helper()
	for name, pair := range map[string][2]*int32{
		"connections": {got.Connections, want.Connections}, "waiting": {got.Waiting, want.Waiting}, "wait": {got.WaitMS, want.WaitMS},
		"statement": {got.StatementTimeoutMS, want.StatementTimeoutMS}, "lock": {got.LockTimeoutMS, want.LockTimeoutMS},
		"idle": {got.IdleInTransactionTimeoutMS, want.IdleInTransactionTimeoutMS},
	} {
		if (pair[0] == nil) != (pair[1] == nil) || pair[0] != nil && *pair[0] != *pair[1] {
			t.Errorf("%s: %s is not as it should be: %v, want %v", what, name, pair[0], pair[1])
		}
	}
}

// Writing replaces a row, and one that says nothing is not kept.
func TestSetLimits(t *testing.T) {
	t.Parallel()
	conn, _ := install(t)
	exec(t, conn, populated)
	id := strings.Trim(acme, "'")
	for _, scope := range []struct{ kind, id string }{{"free", ""}, {"", id}} {
		for _, l := range []catalog.Limits{
			{Connections: new(int32(1)), WaitMS: new(int32(5))},
			{Waiting: new(int32(0)), StatementTimeoutMS: new(int32(7)), IdleInTransactionTimeoutMS: new(int32(8)), LockTimeoutMS: new(int32(9))},
			{},
			{},
		} {
			must(t, pgx.BeginFunc(t.Context(), conn, func(tx pgx.Tx) error {
				must(t, catalog.LockLimits(t.Context(), tx))
				return catalog.SetLimits(t.Context(), tx, scope.kind, scope.id, l)
			}))
			got, err := catalog.LimitsOf(t.Context(), conn, scope.kind, scope.id)
			must(t, err)
			wantLimits(t, scope.kind+scope.id, got, l)
		}
	}
	if n := value[int](t, conn, `SELECT count(*) FROM rowhouse.limits`); n != 0 {
		t.Errorf("%d rows say nothing", n)
	}
}

func TestAllLimits(t *testing.T) {
	t.Parallel()
	conn, _ := install(t)
	exec(t, conn, populated, limit("tenant_id, waiting", beta+`, 1`), limit("tenant_id, waiting", acme+`, 1`),
		limit("kind, waiting", `'gold', 1`), limit("kind, waiting", `'free', 1`))
	all, err := catalog.AllLimits(t.Context(), conn)
	must(t, err)
	var got []string
	for _, row := range all {
		got = append(got, row.Kind+"/"+row.Schema)
	}
	if strings.Join(got, " ") != "free/ gold/ /acme /beta" {
		t.Errorf("listed %v", got)
	}
}

// The other processes are told of a tenant's limits by its id, and of a kind's that
// everything may have changed.
func TestLimitsNotify(t *testing.T) {
	t.Parallel()
	conn, url := install(t)
	exec(t, conn, populated)
	ears := connect(t, url)
	exec(t, ears, `LISTEN `+catalog.Channel)
	id := strings.Trim(acme, "'")
	for _, step := range []struct{ sql, want string }{
		{limit("kind, waiting", `'free', 1`), "flush"},
		{`UPDATE rowhouse.limits SET waiting = 2 WHERE kind = 'free'`, "flush"},
		{`DELETE FROM rowhouse.limits WHERE kind = 'free'`, "flush"},
		{limit("tenant_id, waiting", acme+`, 1`), "tenant " + id},
		{`UPDATE rowhouse.limits SET waiting = 2`, "tenant " + id},
		{`DELETE FROM rowhouse.limits`, "tenant " + id},
	} {
		exec(t, conn, step.sql)
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		n, err := ears.WaitForNotification(ctx)
		cancel()
		if err != nil || n.Payload != step.want {
			t.Fatalf("%s: heard %v, %v; want %q", step.sql, n, err, step.want)
		}
	}
}

// A look-up goes by indexes from the tenant to its limits.
func TestLookUpPlan(t *testing.T) {
	t.Parallel()
	conn, _ := install(t)
	exec(t, conn, `INSERT INTO rowhouse.tenants (name, schema_name, role_name, kind)
		SELECT n, 't' || n, 'r' || n, 'k' || n % 50 FROM generate_series(1, 3000) n`,
		`INSERT INTO rowhouse.limits (tenant_id, waiting) SELECT id, 1 FROM rowhouse.tenants`,
		`INSERT INTO rowhouse.limits (kind, waiting) SELECT DISTINCT kind, 1 FROM rowhouse.tenants`, `ANALYZE`)
	rows, err := conn.Query(t.Context(), `EXPLAIN `+catalog.BySchemaSQL, "t7")
	must(t, err)
	plan, err := pgx.CollectRows(rows, pgx.RowTo[string])
	must(t, err)
	text := strings.Join(plan, "\n")
	for _, index := range []string{"tenants_schema_name_key", "limits_key", "limits_kind_idx"} {
		if !strings.Contains(text, index) {
			t.Errorf("the look-up does not use %s:\n%s", index, text)
		}
	}
	if strings.Contains(text, "Seq Scan on limits") || strings.Contains(text, "Seq Scan on tenants") {
		t.Errorf("the look-up reads all tenants:\n%s", text)
	}
}
