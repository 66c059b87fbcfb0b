package admin_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/rowhouse/rowhouse/admin"
	"github.com/rowhouse/rowhouse/internal/pgtest"
)

// largeSQL makes tables as PostgreSQL's default lock table can bear it, 100 to a
// transaction: a hub that half of them reference, chains of references, a cycle, and views.
const largeSQL = `DO $$ BEGIN
	CREATE TABLE acme.hub (id int PRIMARY KEY);
	FOR i IN 1..%d LOOP
		EXECUTE format('CREATE TABLE acme.t%%s (id int PRIMARY KEY, hub int %%s)', i, CASE WHEN i %% 2 = 0 THEN 'REFERENCES acme.hub' END);
		IF i %% 10 = 0 THEN
			EXECUTE format('ALTER TABLE acme.t%%s ADD next int REFERENCES acme.t%%s', i - 1, i);
			EXECUTE format('CREATE VIEW acme.v%%s AS SELECT * FROM acme.t%%s', i, i);
		END IF;
		IF i %% 100 = 0 THEN COMMIT; END IF;
	END LOOP;
	ALTER TABLE acme.t1 ADD cycle int REFERENCES acme.t2;
	ALTER TABLE acme.t2 ADD cycle int REFERENCES acme.t1;
	ALTER TABLE acme.hub ADD back int REFERENCES acme.t3;
END $$`

// asBuilder runs statements as the owner of tenants' schemas, outside of a
// transaction.
func (h *house) asBuilder(statements ...string) {
	h.t.Helper()
	builder := one[string](h, `SELECT quote_ident(role_prefix || 'builder') FROM rowhouse.settings`)
	h.behind(`SET ROLE ` + builder)
	for _, sql := range statements {
		h.behind(sql, pgx.QueryExecModeSimpleProtocol)
	}
	h.behind(`RESET ROLE`)
}

// A schema of 4,000 tables goes under PostgreSQL's defaults, which hold the locks
// of a tenth of them. Killed in between, the purge goes on where it was, and there
// is no way back.
func TestPurgeOfALargeTenant(t *testing.T) {
	t.Parallel()
	server := pgtest.Cluster(t, "max_connections=100", "max_locks_per_transaction=64")
	h := houseAt(t, server.URL("postgres"), nil, desk())
	h.create("acme")
	h.create("beta")
	h.asBuilder(fmt.Sprintf(largeSQL, 4000))
	h.trash("acme")
	count := func() int {
		return one[int](h, `SELECT count(*) FROM pg_class WHERE relnamespace = 'acme'::regnamespace AND relkind IN ('r', 'v')`)
	}
	all := count()
	for _, at := range []int{60, 120} { // messages: some slices each
		g, through := newGate(t, h.url)
		p := startProcess(t, "purge", named(through, "victim"), "in one transaction")
		g.arm(at, func() { _ = p.cmd.Process.Kill() })
		p.work()
		if said := p.end(); said != "" {
			t.Fatalf("it was not killed but said %q", said)
		}
		h.await(`SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE application_name = 'victim')`)
		left := count()
		if left >= all || left == 0 {
			t.Errorf("killed after %d of its messages, the purge left %d of %d", at, left, all)
		}
		all = left
		_, err := h.admin.Undelete(t.Context(), "acme")
		var refused *admin.StateError
		if !errors.As(err, &refused) || refused.Hint == "" {
			t.Errorf("undelete after the purge has begun: got %v, want a StateError with a hint", err)
		}
	}
	h.must(h.admin.Purge(t.Context(), "acme"))
	if one[bool](h, `SELECT to_regnamespace('acme') IS NOT NULL OR EXISTS (SELECT FROM rowhouse.tenants WHERE schema_name = 'acme')`) {
		t.Error("the tenant is still there")
	}
	db, ctx := h.as("beta")
	_, err := db.Exec(ctx, `INSERT INTO tickets (title) VALUES ('untouched')`)
	h.must(err)
}

// Slices drop partitions before what they are partitions of, and know what DROP
// calls each kind.
func TestPurgeOfPartitions(t *testing.T) {
	t.Parallel()
	h := newHouse(t, desk())
	h.create("acme")
	h.behind(`CREATE FOREIGN DATA WRAPPER nothing`)
	h.behind(`CREATE SERVER nowhere FOREIGN DATA WRAPPER nothing`)
	h.behind(`DO $$ BEGIN
		CREATE TABLE acme.logs (id int PRIMARY KEY) PARTITION BY RANGE (id);
		CREATE TABLE acme.refs (id int REFERENCES acme.logs) PARTITION BY RANGE (id);
		CREATE TABLE acme.direct (id int);
		CREATE TABLE acme.parent (id int);
		FOR i IN 0..79 LOOP
			EXECUTE format('CREATE TABLE acme.logs%s PARTITION OF acme.logs FOR VALUES FROM (%s) TO (%s)', i, i, i + 1);
			EXECUTE format('CREATE TABLE acme.refs%s PARTITION OF acme.refs FOR VALUES FROM (%s) TO (%s)', i, i, i + 1);
			EXECUTE format('CREATE TABLE acme.child%s () INHERITS (acme.parent)', i);
			EXECUTE format('CREATE MATERIALIZED VIEW acme.m%s AS SELECT * FROM acme.child%s', i, i);
			EXECUTE format('CREATE FOREIGN TABLE acme.far%s (i int) SERVER nowhere', i);
		END LOOP;
		ALTER TABLE acme.direct ADD CONSTRAINT one FOREIGN KEY (id) REFERENCES acme.logs7;
	END $$`)
	h.trash("acme")
	h.must(h.admin.Purge(t.Context(), "acme"))
	if n := one[int](h, `SELECT count(*) FROM pg_namespace WHERE nspname = 'acme'`); n != 0 {
		t.Error("the schema is still there")
	}
}
