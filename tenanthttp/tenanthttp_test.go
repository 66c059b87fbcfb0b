package tenanthttp_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/rowhouse/rowhouse"
	"github.com/rowhouse/rowhouse/internal/pgtest"
	"github.com/rowhouse/rowhouse/tenanthttp"
)

func TestHosts(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	for _, test := range []struct {
		host   string
		status int
		text   string
	}{
		{"acme.example.com", 200, "acme"},
		{"beta.example.com", 200, "beta"},
		{"ACME.Example.COM", 200, "acme"},
		{"acme.example.com:8080", 200, "acme"},
		{"acme.example.com.", 200, "acme"},
		{"acme.example.com.:443", 200, "acme"},
		{"[2001:db8::1]", 200, "acme"},
		{"[2001:DB8:0::1]:8080", 200, "acme"},
		{"bücher.example", 200, "acme"},
		{"xn--bcher-kva.example", 200, "acme"},
		{"XN--BCHER-KVA.example:80", 200, "acme"},

		{"example.com", 404, ""},
		{"gamma.example.com", 404, ""},
		{"x.acme.example.com", 404, ""},
		{"acme.example.com.evil.test", 404, ""},
		{"127.0.0.1", 404, ""},
		{"[2001:db8::2]", 404, ""},
		{"localhost:8080", 404, ""},

		{"", 404, ""},
		{".", 404, ""},
		{"..", 404, ""},
		{":80", 404, ""},
		{"acme.example.com:", 200, "acme"},
		{"acme.example.com:http", 404, ""},
		{"acme.example.com:99999", 404, ""},
		{"acme.example.com:80:80", 404, ""},
		{"acme..example.com", 404, ""},
		{"acme.example.com/", 404, ""},
		{"user@acme.example.com", 404, ""},
		{"acme.example.com beta.example.com", 404, ""},
		{"acme.example.com,beta.example.com", 404, ""},
		{"acme.example.com\x00", 404, ""},
		{"acme\xff.example.com", 404, ""},
		{"[2001:db8::1", 404, ""},
		{"[acme.example.com]", 404, ""},
		{"xn--\u00fc.example", 404, ""},
		{"'; DROP SCHEMA acme; --", 404, ""},
		{strings.Repeat("a", 64) + ".example.com", 404, ""},
		{strings.Repeat("a.", 4000) + "com", 404, ""},
	} {
		res := s.serve(tenanthttp.Config{}, request(test.host))
		if got := body(t, res); res.StatusCode != test.status || !strings.Contains(got, test.text) {
			t.Errorf("host %.80q: answer is %d %q, want %d with %q", test.host, res.StatusCode, got, test.status, test.text)
		}
	}
}

func TestForwardedHostIsIgnored(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	r := request("acme.example.com")
	for _, name := range []string{"X-Forwarded-Host", "X-Host", "X-Original-Host", "X-Forwarded-Server"} {
		r.Header.Set(name, "beta.example.com")
	}
	r.Header.Set("Forwarded", "host=beta.example.com")
	wantAnswer(t, s.serve(tenanthttp.Config{}, r), 200, "acme")
}

func TestStates(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	for _, test := range []struct {
		state      rowhouse.State
		status     int
		retryAfter string
	}{
		{rowhouse.StateProvisioning, 503, "30"},
		{rowhouse.StateMaintenance, 503, "30"},
		{rowhouse.StateReadOnly, 200, ""},
		{rowhouse.StateSuspended, 403, ""},
		{rowhouse.StateArchived, 410, ""},
		{rowhouse.StateTrashed, 404, ""},
		{rowhouse.StateActive, 200, ""},
	} {
		s.setState("acme", test.state)
		res := s.serve(tenanthttp.Config{}, request("acme.example.com"))
		text := "acme"
		if test.status != 200 {
			text = http.StatusText(test.status)
		}
		wantAnswer(t, res, test.status, text)
		if got := res.Header.Get("Retry-After"); got != test.retryAfter {
			t.Errorf("%s: Retry-After is %q, want %q", test.state, got, test.retryAfter)
		}
		if stored := res.Header.Get("Cache-Control") != "no-store"; stored != (test.status == 200) {
			t.Errorf("%s: Cache-Control is %q", test.state, res.Header.Get("Cache-Control"))
		}
		wantAnswer(t, s.serve(tenanthttp.Config{}, request("beta.example.com")), 200, "beta")
	}
}

// TestTrashedLooksUnknown: a visitor cannot tell a deleted tenant from none.
func TestTrashedLooksUnknown(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.setState("acme", rowhouse.StateTrashed)
	public := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "welcome") })
	for _, cfg := range []tenanthttp.Config{{}, {Public: public, PublicFallback: true}} {
		trashed, unknown := s.serve(cfg, request("acme.example.com")), s.serve(cfg, request("none.example.com"))
		if a, b := body(t, trashed), body(t, unknown); a != b || trashed.StatusCode != unknown.StatusCode {
			t.Errorf("trashed tenant answers %d %q, unknown host %d %q", trashed.StatusCode, a, unknown.StatusCode, b)
		}
	}
}

func TestRefuse(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	cfg := tenanthttp.Config{
		RetryAfter: 90*time.Second + 1,
		Refuse: func(w http.ResponseWriter, r *http.Request, refusal *tenanthttp.Refusal) {
			if _, err := rowhouse.FromContext(r.Context()); err == nil {
				t.Error("a tenant that is not served is in the context")
			}
			if refusal.Status == http.StatusGone {
				refusal.ServeHTTP(w, r)
				return
			}
			w.WriteHeader(refusal.Status)
			if refusal.Tenant != nil {
				io.WriteString(w, "ours: "+refusal.Tenant.Name+", ")
			}
			s.whoami(w, r)
		},
	}
	s.setState("acme", rowhouse.StateSuspended)
	wantAnswer(t, s.serve(cfg, request("acme.example.com")), 403, "ours: acme, nobody")
	wantAnswer(t, s.serve(cfg, request("none.example.com")), 404, "nobody")
	s.setState("acme", rowhouse.StateArchived)
	wantAnswer(t, s.serve(cfg, request("acme.example.com")), 410, "closed")
	s.setState("acme", rowhouse.StateMaintenance)
	res := s.serve(cfg, request("acme.example.com"))
	wantAnswer(t, res, 503, "ours: acme, nobody")
	if got := res.Header.Get("Retry-After"); got != "91" {
		t.Errorf("Retry-After is %q, want 91", got)
	}
}

func TestNotFound(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	cfg := tenanthttp.Config{
		NotFound: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(http.StatusNotFound)
			s.whoami(w, r)
		}),
		Refuse: func(http.ResponseWriter, *http.Request, *tenanthttp.Refusal) { t.Error("Refuse called") },
	}
	for _, host := range []string{"none.example.com", "no host"} {
		r := request(host)
		acme, err := s.db.TenantBySchema(t.Context(), "acme")
		if err != nil {
			t.Fatal(err)
		}
		r = r.WithContext(rowhouse.WithTenant(r.Context(), acme))
		wantAnswer(t, s.serve(cfg, r), 404, "nobody")
	}
}

func TestValidate(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	shared := &tenanthttp.Refusal{Status: http.StatusPaymentRequired, Detail: "Please pay & stay."}
	var none *tenanthttp.Refusal
	for name, test := range map[string]struct {
		err    error
		status int
		text   string
	}{
		"accepted":     {nil, 200, "acme"},
		"refused":      {errors.New("secret reason"), 403, "not allowed"},
		"status":       {shared, 402, "Please pay & stay."},
		"wrapped":      {errors.Join(errors.New("x"), shared), 402, "Please pay & stay."},
		"zero refusal": {&tenanthttp.Refusal{Err: errors.New("secret reason")}, 403, "not allowed"},
		"nil refusal":  {none, 403, "not allowed"},
		"no refusal":   {&tenanthttp.Refusal{Status: 200}, 403, "not allowed"},
		"wild status":  {&tenanthttp.Refusal{Status: 599}, 599, "Error 599"},
		"unavailable":  {&tenanthttp.Refusal{Status: 503}, 503, "not available"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cfg := tenanthttp.Config{Validate: func(r *http.Request, tenant *rowhouse.Tenant) error {
				if bound, err := rowhouse.FromContext(r.Context()); err != nil || bound != tenant || tenant.Schema != "acme" {
					t.Errorf("Validate gets tenant %v and a context of %v, %v", tenant, bound, err)
				}
				return test.err
			}}
			res := s.serve(cfg, request("acme.example.com"))
			var problem struct{ Detail, Title string }
			text := body(t, res)
			if json.Unmarshal([]byte(text), &problem) == nil {
				text = problem.Title + ": " + problem.Detail
			}
			if res.StatusCode != test.status || !strings.Contains(text, test.text) || strings.Contains(text, "secret") {
				t.Errorf("answer is %d %q, want %d with %q", res.StatusCode, text, test.status, test.text)
			}
		})
	}
	t.Cleanup(func() {
		if shared.Tenant != nil {
			t.Error("the application's own error was changed")
		}
	})
}

// TestValidateOnlyServed: Validate is not asked about tenants that are refused.
func TestValidateOnlyServed(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.setState("acme", rowhouse.StateSuspended)
	cfg := tenanthttp.Config{
		PublicHosts: []string{"example.com"},
		Validate:    func(*http.Request, *rowhouse.Tenant) error { t.Error("Validate called"); return nil },
	}
	for host, status := range map[string]int{"acme.example.com": 403, "none.example.com": 404, "example.com": 200} {
		if res := s.serve(cfg, request(host)); res.StatusCode != status {
			t.Errorf("host %s: status is %d, want %d", host, res.StatusCode, status)
		}
	}
}

func TestDatabaseAway(t *testing.T) {
	t.Parallel()
	server := pgtest.Cluster(t)
	s := openSite(t, server.URL("postgres"))
	if err := server.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	cfg := tenanthttp.Config{
		Public:         http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("the public site answers for a tenant") }),
		PublicFallback: true,
		Log:            slog.New(slog.NewTextHandler(&log, nil)),
	}
	res := s.serve(cfg, request("acme.example.com"))
	wantAnswer(t, res, 503, "Service Unavailable")
	if got := res.Header.Get("Retry-After"); got != "30" {
		t.Errorf("Retry-After is %q, want 30", got)
	}
	if !strings.Contains(log.String(), "host=acme.example.com") {
		t.Errorf("the log has %q, want the failed look-up", log.String())
	}
	wantAnswer(t, s.serve(cfg, request("no host")), 404, "Not Found")
}

// TestCancelled: a visitor who left is not served, and is no news for the log.
func TestCancelled(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var log bytes.Buffer
	cfg := tenanthttp.Config{Log: slog.New(slog.NewTextHandler(&log, nil))}
	res := s.serve(cfg, request("acme.example.com").WithContext(ctx))
	if text := body(t, res); strings.Contains(text, "beta") {
		t.Errorf("answer is %d %q", res.StatusCode, text)
	}
	if log.Len() > 0 {
		t.Errorf("the log has %q", log.String())
	}
	wantAnswer(t, s.serve(cfg, request("acme.example.com")), 200, "acme")
}

func TestPanicPassesThrough(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	middleware, err := tenanthttp.New(s.db, tenanthttp.Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if got := recover(); got != http.ErrAbortHandler {
			t.Errorf("recovered %v, want http.ErrAbortHandler", got)
		}
	}()
	h := middleware(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }))
	h.ServeHTTP(httptest.NewRecorder(), request("acme.example.com"))
}
