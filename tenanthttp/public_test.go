package tenanthttp_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/rowhouse/rowhouse"
	"github.com/rowhouse/rowhouse/tenanthttp"
)

func TestPublic(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	public := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, "welcome, ")
		s.whoami(w, r)
	})
	hosts := []string{"Example.com", "www.example.com:8080", "[::1]", "beta.example.com."}
	for _, test := range []struct {
		name   string
		cfg    tenanthttp.Config
		host   string
		status int
		text   string
	}{
		{"public host", tenanthttp.Config{Public: public, PublicHosts: hosts}, "example.com", 200, "welcome, nobody"},
		{"case, port, dot", tenanthttp.Config{Public: public, PublicHosts: hosts}, "WWW.example.com.:80", 200, "welcome, nobody"},
		{"IPv6", tenanthttp.Config{Public: public, PublicHosts: hosts}, "[::1]:8080", 200, "welcome, nobody"},
		{"wins over domain", tenanthttp.Config{Public: public, PublicHosts: hosts}, "beta.example.com", 200, "welcome, nobody"},
		{"tenant", tenanthttp.Config{Public: public, PublicHosts: hosts}, "acme.example.com", 200, "acme"},
		{"unknown", tenanthttp.Config{Public: public, PublicHosts: hosts}, "none.example.com", 404, "Not Found"},
		{"no public handler", tenanthttp.Config{PublicHosts: hosts}, "example.com", 200, "nobody"},
		{"fallback", tenanthttp.Config{Public: public, PublicFallback: true}, "none.example.com", 200, "welcome, nobody"},
		{"fallback wins over NotFound", tenanthttp.Config{Public: public, PublicFallback: true, NotFound: http.NotFoundHandler()}, "none.example.com", 200, "welcome, nobody"},
		{"fallback, tenant", tenanthttp.Config{Public: public, PublicFallback: true}, "acme.example.com", 200, "acme"},
		{"fallback, invalid", tenanthttp.Config{Public: public, PublicFallback: true}, "no host", 404, "Not Found"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			beta, err := s.db.TenantBySchema(t.Context(), "beta")
			if err != nil {
				t.Fatal(err)
			}
			for name, ctx := range map[string]context.Context{
				"empty":  t.Context(),
				"tenant": rowhouse.WithTenant(t.Context(), beta),
				"shared": rowhouse.WithShared(t.Context()),
			} {
				res := s.serve(test.cfg, request(test.host).WithContext(ctx))
				if got := body(t, res); res.StatusCode != test.status || !strings.Contains(got, test.text) {
					t.Errorf("%s context: answer is %d %q, want %d with %q", name, res.StatusCode, got, test.status, test.text)
				}
			}
		})
	}
}

func TestBadPublicHost(t *testing.T) {
	t.Parallel()
	for _, host := range []string{"", ":80", "https://example.com", "example.com/path", "user@example.com", "a b", "[::1", "a:port"} {
		_, err := tenanthttp.New(nil, tenanthttp.Config{PublicHosts: []string{host}})
		if !errors.Is(err, rowhouse.ErrInvalidHost) {
			t.Errorf("public host %q: error is %v, want ErrInvalidHost", host, err)
		}
	}
}
