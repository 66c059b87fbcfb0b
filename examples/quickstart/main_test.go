package main

import (
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"github.com/rowhouse/rowhouse"
	"github.com/rowhouse/rowhouse/admin"
	"github.com/rowhouse/rowhouse/embedded"
	"github.com/rowhouse/rowhouse/migrate"
	"github.com/rowhouse/rowhouse/tenanthttp"
)

// The README shows this program.
func TestReadmeShowsIt(t *testing.T) {
	t.Parallel()
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	program, err := os.ReadFile("main.go")
	if err != nil {
		t.Fatal(err)
	}
	_, block, _ := strings.Cut(string(readme), "```go\n")
	block, _, _ = strings.Cut(block, "```")
	if len(strings.Split(block, "\n")) < 20 || !strings.HasSuffix(string(program), block) {
		t.Errorf("the README's program is not the end of main.go:\n%s", block)
	}
}

// And it works, for two tenants at once.
func TestNotes(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	server, err := embedded.Start(ctx, embedded.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Stop(t.Context()) })
	url := server.URL("postgres")
	operator, err := admin.Open(ctx, admin.Config{DatabaseURL: url, Sets: []migrate.Set{
		{Name: "notes", Scope: migrate.Tenant, FS: os.DirFS("migrations")},
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer operator.Close()
	for _, s := range []string{"acme", "globex"} {
		if _, err := operator.Create(ctx, admin.CreateParams{Name: s, Schema: s, Domains: []string{s + ".localhost"}}); err != nil {
			t.Fatal(err)
		}
	}
	db, err := rowhouse.Open(ctx, rowhouse.Config{DatabaseURL: url})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	tenants, err := tenanthttp.New(db, tenanthttp.Config{})
	if err != nil {
		t.Fatal(err)
	}
	app := tenants(notes(db))
	for _, c := range []struct{ host, want string }{
		{"acme.localhost:8080", "notes: 1\n"}, {"acme.localhost:8080", "notes: 2\n"}, {"globex.localhost:8080", "notes: 1\n"},
	} {
		w := httptest.NewRecorder()
		app.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "http://"+c.host+"/", strings.NewReader("buy milk")))
		if w.Code != 200 || w.Body.String() != c.want {
			t.Errorf("%s: %d %q, want %q", c.host, w.Code, w.Body, c.want)
		}
	}
}
