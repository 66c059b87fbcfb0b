package tenanthttp_test

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/rowhouse/rowhouse"
	"github.com/rowhouse/rowhouse/admin"
	"github.com/rowhouse/rowhouse/internal/pgtest"
	"github.com/rowhouse/rowhouse/migrate"
	"github.com/rowhouse/rowhouse/tenanthttp"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

// site is an application with the tenants acme and beta in a database of its own.
type site struct {
	t     *testing.T
	url   string // the operator's
	admin *admin.Admin
	db    *rowhouse.DB
}

func newSite(t *testing.T) *site {
	t.Helper()
	return openSite(t, pgtest.Database(t))
}

func openSite(t *testing.T, url string) *site {
	t.Helper()
	s := &site{t: t, url: url}
	const file = "CREATE TABLE notes (text text NOT NULL);"
	var err error
	s.admin, err = admin.Open(t.Context(), admin.Config{DatabaseURL: url, Sets: []migrate.Set{{
		Name: "app", Scope: migrate.Tenant, FS: fstest.MapFS{"1_notes.up.sql": {Data: []byte(file)}},
	}}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.admin.Close)
	s.create("acme", "acme.example.com", "2001:db8::1", "bücher.example")
	s.create("beta", "beta.example.com")
	if s.db, err = rowhouse.Open(t.Context(), rowhouse.Config{DatabaseURL: url}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.db.Close)
	return s
}

func (s *site) create(schema string, domains ...string) {
	s.t.Helper()
	if _, err := s.admin.Create(s.t.Context(), admin.CreateParams{Name: schema, Schema: schema, Domains: domains}); err != nil {
		s.t.Fatal(err)
	}
}

// setState puts a tenant into a state, as the catalog's owner, and waits until
// the application knows.
func (s *site) setState(schema string, state rowhouse.State) {
	s.t.Helper()
	conn, err := pgx.Connect(s.t.Context(), s.url)
	if err != nil {
		s.t.Fatal(err)
	}
	defer conn.Close(s.t.Context())
	const sql = `UPDATE rowhouse.tenants SET state = $2, previous_state = CASE WHEN $2 = 'trashed' THEN state END WHERE schema_name = $1`
	if _, err := conn.Exec(s.t.Context(), sql, schema, string(state)); err != nil {
		s.t.Fatal(err)
	}
	deadline := time.NewTimer(10 * time.Second)
	defer deadline.Stop()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for {
		tenant, err := s.db.TenantByDomain(s.t.Context(), schema+".example.com")
		if err == nil && tenant.State == state {
			return
		}
		select {
		case <-tick.C:
		case <-deadline.C:
			s.t.Fatalf("the application does not see that %s is %s: %v, %v", schema, state, tenant, err)
		}
	}
}

// serve answers one request for a host. Its header is "Name: value" lines.
func (s *site) serve(cfg tenanthttp.Config, r *http.Request) *http.Response {
	s.t.Helper()
	middleware, err := tenanthttp.New(s.db, cfg)
	if err != nil {
		s.t.Fatal(err)
	}
	recorder := httptest.NewRecorder()
	middleware(http.HandlerFunc(s.whoami)).ServeHTTP(recorder, r)
	return recorder.Result()
}

// whoami is the application: it answers with its tenant, asked from the database.
func (s *site) whoami(w http.ResponseWriter, r *http.Request) {
	var schema string
	err := s.db.QueryRow(r.Context(), "SELECT current_schema()").Scan(&schema)
	switch {
	case errors.Is(err, rowhouse.ErrNoTenant):
		schema = "nobody"
	case err != nil:
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	io.WriteString(w, schema)
}

func request(host string) *http.Request {
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.Host = host
	return r
}

func body(t *testing.T, res *http.Response) string {
	t.Helper()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func wantAnswer(t *testing.T, res *http.Response, status int, text string) {
	t.Helper()
	got := body(t, res)
	if res.StatusCode != status || !strings.Contains(got, text) {
		t.Errorf("answer is %d %q, want %d with %q", res.StatusCode, got, status, text)
	}
	if vary := res.Header.Values("Vary"); len(vary) == 0 || vary[0] != "Host" {
		t.Errorf("Vary is %q, want Host", vary)
	}
}
