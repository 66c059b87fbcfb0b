package tenanthttp_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/rowhouse/rowhouse"
	"github.com/rowhouse/rowhouse/tenanthttp"
)

// failing is a handler that fails.
func failing(err error) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "5") // of what it would have answered
		w.Header().Set("Etag", `"x"`)
		tenanthttp.Error(w, r, err)
	})
}

func TestError(t *testing.T) {
	t.Parallel()
	postgres := func(code string) error { return &pgconn.PgError{Code: code, Message: "secret"} }
	for what, c := range map[string]struct {
		err        error
		status     int
		retryAfter string
	}{
		"busy":              {&rowhouse.LimitError{Schema: "secret", Limit: rowhouse.LimitWait}, 429, "1"},
		"changed":           {rowhouse.ErrTenantChanged, 503, "1"},
		"retry":             {rowhouse.ErrRetry, 503, "1"},
		"unavailable":       {rowhouse.ErrTenantUnavailable, 503, "30"},
		"deadline":          {context.DeadlineExceeded, 503, "30"},
		"statement timeout": {postgres("57014"), 503, "30"},
		"lock timeout":      {postgres("55P03"), 503, "30"},
		"idle":              {postgres("25P03"), 503, "30"},
		"refusal":           {&tenanthttp.Refusal{Status: 402, RetryAfter: time.Minute}, 402, "60"},
		"refusal of nobody": {&tenanthttp.Refusal{Status: 7}, 403, ""},
		"constraint":        {postgres("23505"), 500, ""},
		"no tenant":         {rowhouse.ErrNoTenant, 500, ""},
		"anything":          {errors.New("secret"), 500, ""},
	} {
		w := httptest.NewRecorder()
		r := httptest.NewRequest(http.MethodGet, "/desk", nil)
		failing(fmt.Errorf("secret: %w", c.err)).ServeHTTP(w, r)
		if w.Code != c.status || w.Header().Get("Retry-After") != c.retryAfter {
			t.Errorf("%s: %d, Retry-After %q", what, w.Code, w.Header().Get("Retry-After"))
		}
		if text := w.Body.String(); strings.Contains(text, "secret") || !strings.Contains(text, http.StatusText(c.status)) {
			t.Errorf("%s: the body is %s", what, text)
		}
		if h := w.Header(); h.Get("Content-Length") != "" || h.Get("Etag") != "" || h.Get("Cache-Control") != "no-store" {
			t.Errorf("%s: the header is %v", what, h)
		}
	}
}

func TestRefusalOf(t *testing.T) {
	t.Parallel()
	for _, err := range []error{nil, errors.New("x"), rowhouse.ErrNoTenant, context.Canceled, &pgconn.PgError{Code: "42601"}} {
		if got := tenanthttp.RefusalOf(err); got != nil {
			t.Errorf("%v: %v", err, got)
		}
	}
	given := &tenanthttp.Refusal{Status: 402}
	got := tenanthttp.RefusalOf(fmt.Errorf("unpaid: %w", given))
	if got == given || got.Status != 402 {
		t.Errorf("got %v, want a copy", got)
	}
}

// Behind the middleware the application's own answers are used, and its log.
func TestErrorBehindTheMiddleware(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	var log bytes.Buffer
	var refusals []*tenanthttp.Refusal
	middleware, err := tenanthttp.New(s.db, tenanthttp.Config{
		RetryAfter: 90 * time.Second, Log: slog.New(slog.NewTextHandler(&log, nil)), PublicHosts: []string{"example.com"},
		Refuse: func(w http.ResponseWriter, r *http.Request, refusal *tenanthttp.Refusal) {
			refusals = append(refusals, refusal)
			http.Error(w, "our own page", refusal.Status)
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		host       string
		err        error
		status     int
		retryAfter string
		tenant     string
		logged     bool
	}{
		{"acme.example.com", rowhouse.ErrTenantBusy, 429, "1", "acme", false},
		{"acme.example.com", rowhouse.ErrTenantUnavailable, 503, "90", "acme", true},
		{"beta.example.com", errors.New("disk full"), 500, "", "beta", true},
		{"example.com", errors.New("disk full"), 500, "", "", true},
	} {
		log.Reset()
		w := httptest.NewRecorder()
		middleware(failing(c.err)).ServeHTTP(w, request(c.host))
		if w.Code != c.status || w.Header().Get("Retry-After") != c.retryAfter || !strings.Contains(w.Body.String(), "our own page") {
			t.Errorf("%v: %d %s, Retry-After %q", c.err, w.Code, w.Body, w.Header().Get("Retry-After"))
		}
		last := refusals[len(refusals)-1]
		if !errors.Is(last, c.err) || (last.Tenant == nil) != (c.tenant == "") || last.Tenant != nil && last.Tenant.Schema != c.tenant {
			t.Errorf("%v: the refusal is %+v", c.err, last)
		}
		if logged := strings.Contains(log.String(), c.err.Error()) && strings.Contains(log.String(), c.host); logged != c.logged {
			t.Errorf("%v: logged %q", c.err, &log)
		}
	}
	ctx, left := context.WithCancel(t.Context())
	left()
	log.Reset()
	middleware(failing(context.Canceled)).ServeHTTP(httptest.NewRecorder(), request("acme.example.com").WithContext(ctx))
	if log.Len() != 0 {
		t.Errorf("a visitor who left was logged: %s", &log)
	}
}

// Validate may work in the database, and a tenant may be busy then.
func TestValidateOfABusyTenant(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	res := s.serve(tenanthttp.Config{Validate: func(*http.Request, *rowhouse.Tenant) error {
		return fmt.Errorf("look at the plan: %w", rowhouse.ErrTenantBusy)
	}}, request("acme.example.com"))
	wantAnswer(t, res, http.StatusTooManyRequests, "Too Many Requests")
	if got := res.Header.Get("Retry-After"); got != "1" {
		t.Errorf("Retry-After is %q", got)
	}
}

// A tenant at its limit gets 429 over HTTP, and another is served.
func TestBusyTenant(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	db, err := rowhouse.Open(t.Context(), rowhouse.Config{DatabaseURL: s.url, Limits: rowhouse.Limits{Connections: 1, Wait: time.Millisecond}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(db.Close)
	middleware, err := tenanthttp.New(db, tenanthttp.Config{})
	if err != nil {
		t.Fatal(err)
	}
	site := httptest.NewServer(middleware(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, err := db.Exec(r.Context(), `SELECT 1`); err != nil {
			tenanthttp.Error(w, r, err)
		}
	})))
	t.Cleanup(site.Close)
	tenant, err := db.TenantBySchema(t.Context(), "acme")
	if err != nil {
		t.Fatal(err)
	}
	tx, err := db.Begin(rowhouse.WithTenant(t.Context(), tenant))
	if err != nil {
		t.Fatal(err)
	}
	get := func(host string) *http.Response {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, site.URL, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Host = host
		res, err := site.Client().Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		return res
	}
	if res := get("acme.example.com"); res.StatusCode != http.StatusTooManyRequests || res.Header.Get("Retry-After") != "1" {
		t.Errorf("the busy tenant gets %d, %v", res.StatusCode, res.Header)
	}
	if res := get("beta.example.com"); res.StatusCode != http.StatusOK {
		t.Errorf("the other gets %d", res.StatusCode)
	}
	if err := tx.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	if res := get("acme.example.com"); res.StatusCode != http.StatusOK {
		t.Errorf("afterwards it gets %d", res.StatusCode)
	}
}
