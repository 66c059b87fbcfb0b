package admin_test

import (
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/rowhouse/rowhouse"
	"github.com/rowhouse/rowhouse/admin"
)

// domains lists a tenant's domains, the primary one with a star.
func (h *house) domains(schema string) string {
	h.t.Helper()
	list, err := h.admin.Domains(h.t.Context(), schema)
	h.must(err)
	var names []string
	for _, d := range list {
		if d.IsPrimary {
			d.Domain += "*"
		}
		names = append(names, d.Domain)
	}
	return strings.Join(names, " ")
}

func TestDomains(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.create("acme")
	h.create("beta")
	ctx := t.Context()
	add, remove, primary := h.admin.AddDomain, h.admin.RemoveDomain, h.admin.SetPrimaryDomain
	for _, step := range []struct {
		what string
		err  error
		want error
	}{
		{"add", add(ctx, "acme", "Desk.Acme.COM.:443"), nil},
		{"add in Unicode", add(ctx, "acme", "Bücher.example"), nil},
		{"add again", add(ctx, "acme", "desk.acme.com"), admin.ErrDomainTaken},
		{"add another's", add(ctx, "acme", "BETA.example.com"), admin.ErrDomainTaken},
		{"add an address", add(ctx, "acme", "[2001:DB8::0:1]:8080"), nil},
		{"make primary", primary(ctx, "acme", "DESK.acme.com"), nil},
		{"make primary again", primary(ctx, "acme", "desk.acme.com"), nil},
		{"make another's primary", primary(ctx, "acme", "beta.example.com"), admin.ErrUnknownDomain},
		{"remove the primary", remove(ctx, "acme", "desk.acme.com"), admin.ErrPrimaryDomain},
		{"remove another's", remove(ctx, "acme", "beta.example.com"), admin.ErrUnknownDomain},
		{"remove", remove(ctx, "acme", "acme.example.com."), nil},
		{"remove in punycode", remove(ctx, "acme", "XN--bcher-kva.example"), nil},
		{"remove again", remove(ctx, "acme", "acme.example.com"), admin.ErrUnknownDomain},
		{"remove an address", remove(ctx, "acme", "2001:db8::1"), nil},
	} {
		if !errors.Is(step.err, step.want) {
			t.Errorf("%s: got %v, want %v", step.what, step.err, step.want)
		}
	}
	if got := h.domains("acme"); got != "desk.acme.com*" {
		t.Errorf("acme has %s", got)
	}
	h.must(remove(ctx, "acme", "desk.acme.com")) // the last may go, primary as it is
	if got := h.domains("acme"); got != "" {
		t.Errorf("acme has %s", got)
	}
	h.must(add(ctx, "acme", "new.example.com"))
	if got := h.domains("acme"); got != "new.example.com*" {
		t.Errorf("acme has %s", got)
	}
	if got := h.domains(""); got != "new.example.com* beta.example.com*" {
		t.Errorf("all domains are %s", got)
	}
	if n := one[int](h, `SELECT count(*) FROM rowhouse.events WHERE action = 'add domain' AND detail->>'domain' = 'xn--bcher-kva.example'`); n != 1 {
		t.Errorf("%d events tell of an added domain", n)
	}
}

// Many operators change the domains of one tenant at once. Whatever the order,
// each call succeeds or tells why not, and there is exactly one primary domain.
func TestDomainRaces(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.create("acme")
	h.create("beta")
	ctx := t.Context()
	all := []string{"a.example.com", "b.example.com", "c.example.com"}
	allowed := []error{admin.ErrDomainTaken, admin.ErrUnknownDomain, admin.ErrPrimaryDomain}
	var wg sync.WaitGroup
	for i, schema := range []string{"acme", "beta", "acme", "beta"} {
		wg.Go(func() {
			for n := range 12 {
				d := all[(n+i)%len(all)]
				for _, err := range []error{h.admin.AddDomain(ctx, schema, d), h.admin.SetPrimaryDomain(ctx, schema, d), h.admin.RemoveDomain(ctx, schema, d)} {
					if err != nil && !slices.ContainsFunc(allowed, func(e error) bool { return errors.Is(err, e) }) {
						t.Errorf("%s of %s: %v", d, schema, err)
					}
				}
			}
		})
	}
	wg.Wait()
	if broken := one[int](h, `SELECT count(*) FROM (SELECT FROM rowhouse.domains GROUP BY tenant_id HAVING count(*) FILTER (WHERE is_primary) <> 1) x`); broken != 0 {
		t.Errorf("%d tenants have not one primary domain", broken)
	}
}

// Two make tenants with the same domain at once.
func TestDomainIsTakenOnce(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	errs := make([]error, 4)
	var wg sync.WaitGroup
	for i := range errs {
		wg.Go(func() {
			_, errs[i] = h.admin.Create(t.Context(), admin.CreateParams{Name: "x", Schema: string(rune('a' + i)), Domains: []string{"one.example.com"}})
		})
	}
	wg.Wait()
	made := 0
	for _, err := range errs {
		if err == nil {
			made++
		} else {
			wantIs(t, "the others", err, admin.ErrDomainTaken)
		}
	}
	if n := one[int](h, `SELECT count(*) FROM rowhouse.tenants`); made != 1 || n != 1 {
		t.Errorf("%d were made, %d are there", made, n)
	}
	db, err := rowhouse.Open(t.Context(), rowhouse.Config{DatabaseURL: h.url})
	h.must(err)
	defer db.Close()
	tenant, err := db.TenantByDomain(t.Context(), "ONE.example.com:80")
	h.must(err)
	if !tenant.IsActive() {
		t.Errorf("the tenant is %s", tenant.State)
	}
}
