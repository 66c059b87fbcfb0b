package rowhouse_test

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/rowhouse/rowhouse"
)

// every calls fn again and again until the soak is over.
func (s *soak) every(pause time.Duration, fn func()) {
	for {
		select {
		case <-s.done:
			return
		case <-time.After(pause/2 + rand.N(pause)):
			fn()
		}
	}
}

// kill ends backends of the application in the middle of whatever they do.
func (s *soak) kill(ctx context.Context) {
	conn, err := pgx.Connect(ctx, s.url)
	if err != nil {
		s.fail("connect as superuser: %v", err)
		return
	}
	defer conn.Close(context.WithoutCancel(ctx))
	s.every(150*time.Millisecond, func() {
		s.tally.add("kill", 1) // before it has an effect that is counted
		tag, err := conn.Exec(ctx, `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
			WHERE usename = $1 AND datname = current_database() AND backend_type = 'client backend'
			ORDER BY state = 'idle', random() LIMIT 1`, userOf(s.t, s.login))
		if err != nil {
			s.fail("kill: %v", err)
		}
		s.tally.add("kill", tag.RowsAffected()-1)
	})
}

// migrateFleet deploys one version after the other.
func (s *soak) migrateFleet(ctx context.Context) {
	version := 1
	s.every(30*time.Millisecond, func() {
		version++
		if err := s.migrateTo(ctx, version); err != nil {
			s.fail("migrate to version %d: %v", version, err)
		}
		s.tally.add("migration", 1)
	})
}

// moveTenants renames tenants, suspends and activates them. Soon a new name is one
// that another tenant had before.
func (s *soak) moveTenants(ctx context.Context) {
	n, free := 0, []string{"free_1", "free_2", "free_3"}
	s.every(80*time.Millisecond, func() {
		tenant := s.tenants[rand.IntN(len(s.tenants))]
		n++
		if n%3 == 0 {
			if err := s.suspendForAMoment(ctx, tenant.schema); err != nil {
				s.fail("suspend and activate %s: %v", tenant.schema, err)
			}
			s.tally.add("suspension", 1)
			return
		}
		from, to := tenant.schema, free[0]
		if err := s.rename(ctx, tenant, to); err != nil {
			s.fail("rename %s to %s: %v", from, to, err)
			return
		}
		free = append(free[1:], from)
		s.wantSeen(ctx, tenant, to)
		s.tally.add("rename", 1)
	})
}

// wantSeen fails the test unless the tenant is found under its new name in time.
func (s *soak) wantSeen(ctx context.Context, tenant *soakTenant, schema string) {
	renamed := time.Now()
	for _, lookup := range []func() (*rowhouse.Tenant, error){
		func() (*rowhouse.Tenant, error) { return s.db.TenantByID(ctx, tenant.id) },
		func() (*rowhouse.Tenant, error) { return s.db.TenantByDomain(ctx, tenant.domain) },
		func() (*rowhouse.Tenant, error) { return s.db.TenantBySchema(ctx, schema) },
	} {
		for {
			found, err := lookup()
			if err == nil && found.ID == tenant.id && found.Schema == schema {
				break
			}
			if time.Since(renamed) > s.settles() {
				s.fail("renamed to %s %v ago, the tenant is still found as %+v, %v", schema, time.Since(renamed), found, err)
				return
			}
			time.Sleep(time.Millisecond)
		}
	}
	s.tally.max("milliseconds until a rename is seen", time.Since(renamed).Milliseconds())
}

func (s *soak) suspendForAMoment(ctx context.Context, schema string) error {
	if _, err := s.admin.Suspend(ctx, schema); err != nil {
		return err
	}
	_, err := s.admin.Activate(ctx, schema)
	return err
}

// rename gives a tenant's schema another name.
func (s *soak) rename(ctx context.Context, tenant *soakTenant, to string) error {
	tenant.mu.Lock()
	from := tenant.schema
	tenant.changing = true
	tenant.mu.Unlock()
	_, err := s.admin.Rename(ctx, from, to)
	tenant.mu.Lock()
	defer tenant.mu.Unlock()
	tenant.changing, tenant.changed = false, time.Now()
	if err == nil {
		tenant.schema = to
	}
	return err
}
