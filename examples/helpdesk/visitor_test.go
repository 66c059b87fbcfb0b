package helpdesk

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/rowhouse/rowhouse/internal/pgtest"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

// visitor sends requests to a help desk with a database of its own.
type visitor struct {
	t       *testing.T
	app     *app
	handler http.Handler
}

// newVisitor opens a help desk that serves with a login which is no superuser.
func newVisitor(t *testing.T) *visitor {
	t.Helper()
	operator := pgtest.Database(t)
	return visit(t, &database{operatorURL: operator, applicationURL: pgtest.Login(t, operator, "")})
}

func visit(t *testing.T, d *database) *visitor {
	t.Helper()
	a, err := openApp(t.Context(), d, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(a.close)
	handler, err := a.handler()
	if err != nil {
		t.Fatal(err)
	}
	return &visitor{t, a, handler}
}

// answer is what a visitor sees.
type answer struct {
	status   int
	location string
	header   http.Header
	body     string
}

func (v *visitor) get(host, path string) answer {
	v.t.Helper()
	return v.send(httptest.NewRequest(http.MethodGet, "http://"+host+path, nil))
}

// post sends a form whose fields and values take turns.
func (v *visitor) post(host, path string, fields ...string) answer {
	v.t.Helper()
	form := make(url.Values)
	for i := 0; i < len(fields); i += 2 {
		form.Set(fields[i], fields[i+1])
	}
	r := httptest.NewRequest(http.MethodPost, "http://"+host+path, strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Origin", "http://"+host)
	return v.send(r)
}

func (v *visitor) send(r *http.Request) answer {
	v.t.Helper()
	w := httptest.NewRecorder()
	v.handler.ServeHTTP(w, r.WithContext(v.t.Context()))
	return answer{w.Code, w.Header().Get("Location"), w.Header(), w.Body.String()}
}

// want fails the test unless the answer has the status and all texts.
func (a answer) want(t *testing.T, status int, texts ...string) answer {
	t.Helper()
	if a.status != status {
		t.Fatalf("status is %d, want %d: %s", a.status, status, a.body)
	}
	for _, text := range texts {
		if !strings.Contains(a.body, text) {
			t.Errorf("page does not say %q: %.3000s", text, a.body[max(0, strings.Index(a.body, "<main")):])
		}
	}
	return a
}

func (a answer) wantNot(t *testing.T, texts ...string) {
	t.Helper()
	for _, text := range texts {
		if strings.Contains(a.body, text) {
			t.Errorf("page says %q", text)
		}
	}
}

func (a answer) wantRedirect(t *testing.T, location string) {
	t.Helper()
	if a.status != http.StatusSeeOther || a.location != location {
		t.Fatalf("answer is %d to %q, want 303 to %q: %s", a.status, a.location, location, a.body)
	}
}

const (
	siteHost   = "localhost:8080"
	acmeHost   = "acme.localhost:8080"
	globexHost = "globex.localhost:8080"
)
