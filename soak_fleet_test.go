package rowhouse_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/rowhouse/rowhouse/admin"
	"github.com/rowhouse/rowhouse/migrate"
)

const (
	// wideRows is how many rows table wide has in each tenant.
	wideRows = 40
	// soakSettles is how long after a change of a tenant errors may speak of it: a
	// process sees a change within a second, on a machine that has time for it.
	// Behind a pooler look-ups wait for one of its few connections, too.
	soakSettles       = 3 * time.Second
	soakSettlesPooled = 2 * soakSettles
)

// soakBase makes the tables of a tenant. Every row carries the tenant's id, and no
// row with another can be written. What is counted is counted twice: the total is
// the sum of the amounts of the events.
const soakBase = `
CREATE TABLE owners (mark text PRIMARY KEY);
CREATE TABLE wide (
	n      int PRIMARY KEY,
	mark   text NOT NULL REFERENCES owners,
	amount int NOT NULL,
	note   text NOT NULL
);
CREATE TABLE events (
	id     bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	unit   bigint NOT NULL,
	n      int NOT NULL,
	mark   text NOT NULL REFERENCES owners,
	amount int NOT NULL DEFAULT 0,
	parent bigint REFERENCES events DEFERRABLE INITIALLY DEFERRED,
	UNIQUE (unit, n)
);
CREATE TABLE counters (name text PRIMARY KEY, mark text NOT NULL REFERENCES owners, total bigint NOT NULL);`

// soakMigrations are applied again and again. Each changes what a cached statement
// answers or takes.
var soakMigrations = []string{
	`ALTER TABLE wide ADD COLUMN extra text NOT NULL DEFAULT 'x';`,
	`ALTER TABLE wide ALTER COLUMN amount TYPE bigint;`,
	`ALTER TABLE events ADD COLUMN tag text DEFAULT 'tag';`,
	`ALTER TABLE wide DROP COLUMN extra;`,
	`ALTER TABLE events ALTER COLUMN amount TYPE bigint;`,
	`ALTER TABLE wide DROP COLUMN note, ADD COLUMN note varchar(20) NOT NULL DEFAULT 'note';`,
	`ALTER TABLE events DROP COLUMN tag;`,
	`ALTER TABLE wide ALTER COLUMN amount TYPE int;`,
	`ALTER TABLE events ALTER COLUMN amount TYPE int;`,
	`ALTER TABLE wide DROP COLUMN note, ADD COLUMN note text NOT NULL DEFAULT 'note';`,
}

// soakSets are the application's sets when its tenants have that version.
func soakSets(version int) []migrate.Set {
	files := fstest.MapFS{"1_base.up.sql": {Data: []byte(soakBase)}}
	for v := 2; v <= version; v++ {
		files[fmt.Sprintf("%d_change.up.sql", v)] = &fstest.MapFile{Data: []byte(soakMigrations[(v-2)%len(soakMigrations)])}
	}
	return append(sets(),
		migrate.Set{Name: "soak", Scope: migrate.Tenant, FS: files},
		migrate.Set{Name: "visits", Scope: migrate.Shared, FS: fstest.MapFS{"1_visits.up.sql": {
			Data: []byte(`CREATE TABLE visits (unit bigint NOT NULL, n int NOT NULL, mark text NOT NULL, PRIMARY KEY (unit, n));`)}}},
	)
}

// soakTenant is what the test knows of a tenant.
type soakTenant struct {
	id, domain string

	mu     sync.Mutex
	schema string
	// changing is set while the tenant is renamed, changed when that ended last.
	changing bool
	changed  time.Time
	// written are the units of work that were committed, with their rows, and maybe
	// those of which the answer was lost.
	written, maybe map[int64]int
}

func newSoakTenant(id, schema string) *soakTenant {
	return &soakTenant{id: id, schema: schema, domain: host(schema), written: make(map[int64]int), maybe: make(map[int64]int)}
}

// name is the tenant's schema at the moment.
func (t *soakTenant) name() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.schema
}

// settles is how long after a change of a tenant errors may speak of it.
func (s *soak) settles() time.Duration {
	if s.pooled {
		return soakSettlesPooled
	}
	return soakSettles
}

// moving tells whether a tenant was renamed so short a time before the work began
// that errors may speak of it.
func (w *soakWork) moving(t *soakTenant) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.changing || w.began.Before(t.changed.Add(w.settles()))
}

func (t *soakTenant) history() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.changed.IsZero() {
		return t.schema
	}
	return fmt.Sprintf("%s, renamed %v ago", t.schema, time.Since(t.changed))
}

func newSoak(t *testing.T, size soakSize, seed uint64) *soak {
	t.Helper()
	s := &soak{fleet: newFleet(t, nil, names(size.tenants)...), soakSize: size, seed: seed}
	s.db.Close() // the soak opens its own
	s.must(s.migrateTo(t.Context(), 1))
	all, err := s.admin.Tenants(t.Context())
	s.must(err)
	for _, tenant := range all {
		s.fill(tenant.Schema, tenant.ID)
		s.tenants = append(s.tenants, newSoakTenant(tenant.ID, tenant.Schema))
	}
	s.shared = newSoakTenant("shared", "public")
	return s
}

// fill puts rows into the tables of a tenant.
func (s *soak) fill(schema, id string) {
	s.t.Helper()
	into := func(table string) string { return pgx.Identifier{schema, table}.Sanitize() }
	s.behind(`INSERT INTO `+into("owners")+` VALUES ($1)`, id)
	s.behind(`INSERT INTO `+into("wide")+` SELECT n, $1, n, 'note' FROM generate_series(1, $2::int) n`, id, wideRows)
	s.behind(`INSERT INTO `+into("counters")+` VALUES ('all', $1, 0)`, id)
}

// migrateTo brings the fleet to a version, as a deploy does.
func (s *soak) migrateTo(ctx context.Context, version int) error {
	a, err := admin.Open(ctx, admin.Config{DatabaseURL: s.url, AppLogins: []string{userOf(s.t, s.login)}, Sets: soakSets(version)})
	if err != nil {
		return err
	}
	defer a.Close()
	plan, err := a.Migrator().Plan(ctx, migrate.Target{})
	if err != nil {
		return err
	}
	result, err := a.Migrator().Run(ctx, plan, migrate.Options{})
	if err != nil {
		return err
	}
	for _, failed := range result.Failed() {
		return failed.Err
	}
	return nil
}

// wantMigrated fails the test unless every tenant has every migration.
func (s *soak) wantMigrated() {
	s.t.Helper()
	version := int(s.tally.count("migration")) + 1
	s.must(s.migrateTo(s.t.Context(), version))
	var behind int
	s.must(s.superior.QueryRow(s.t.Context(), `SELECT count(*) FROM rowhouse.tenants t
		WHERE (SELECT count(*) FROM rowhouse.migrations m WHERE m.tenant_id = t.id AND m.set_name = 'soak') <> $1`, version).Scan(&behind))
	if behind > 0 {
		s.t.Errorf("%d tenants have not all of %d migrations", behind, version)
	}
}

// wantWritten fails the test unless exactly what was committed is there.
func (s *soak) wantWritten() {
	s.t.Helper()
	for _, tenant := range s.tenants {
		table := func(name string) string { return pgx.Identifier{tenant.schema, name}.Sanitize() }
		s.wantUnits(tenant, table("events"))
		var wrong, total, sum int64
		s.must(s.superior.QueryRow(s.t.Context(), `SELECT
			(SELECT count(*) FROM `+table("events")+` WHERE mark <> $1) + (SELECT count(*) FROM `+table("wide")+` WHERE mark <> $1),
			(SELECT total FROM `+table("counters")+`), (SELECT coalesce(sum(amount), 0) FROM `+table("events")+`)`, tenant.id).Scan(&wrong, &total, &sum))
		if wrong != 0 || total != sum {
			s.t.Errorf("%s: %d rows carry another mark; %d were counted, %d are there", tenant.schema, wrong, total, sum)
		}
	}
	s.wantUnits(s.shared, "public.visits")
}

func (s *soak) wantUnits(tenant *soakTenant, table string) {
	s.t.Helper()
	rows, err := s.superior.Query(s.t.Context(), `SELECT unit, count(*) FROM `+table+` GROUP BY unit`)
	s.must(err)
	var unit int64
	var n int
	found := 0
	_, err = pgx.ForEachRow(rows, []any{&unit, &n}, func() error {
		want, written := tenant.written[unit]
		if written {
			found++
		}
		if perhaps, maybe := tenant.maybe[unit]; maybe {
			want, written = perhaps, true
		}
		if !written || want != n {
			s.t.Errorf("%s: unit %d has %d rows; %d were committed", tenant.schema, unit, n, want)
		}
		return nil
	})
	s.must(err)
	if found != len(tenant.written) {
		s.t.Errorf("%s: %d units were committed, %d are there", tenant.schema, len(tenant.written), found)
	}
	s.tally.add("units written", int64(len(tenant.written)))
	s.tally.add("units maybe", int64(len(tenant.maybe)))
}
