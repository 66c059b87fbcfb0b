package admin_test

import (
	"encoding/json"
	"errors"
	"net"
	"strings"
	"testing"

	"github.com/rowhouse/rowhouse"
	"github.com/rowhouse/rowhouse/admin"
	"github.com/rowhouse/rowhouse/internal/pgtest"
	"github.com/rowhouse/rowhouse/migrate"
)

// metacharacters are what shells, SQL and terminals would make something of.
var metacharacters = []string{
	`'`, `"`, "`", `\`, `$`, `;`, `--`, `/*`, `%`, `*`, `?`, `|`, `&`, `<`, `>`, `(`, `{`, `[`, `~`, `!`, `#`, `@`, `=`, `+`, `,`, ` `, `.`, `-`, `/`,
	`"; DROP SCHEMA public CASCADE; --`, `'; SELECT pg_sleep(1); --`, `$(reboot)`, "`reboot`", "\x1b[2J", "\n", "\r\n", "\t",
}

func TestBadSchemaNames(t *testing.T) {
	t.Parallel()
	h := newHouse(t, desk())
	bad := []string{
		"", " ", "1a", "_a", "A", "Acme", "aCme", "a-b", "ä", "aä", "ａ", "а", "a\u200b", "a\x00", "a\xff", "naïve", "日本",
		"pg_x", "pg_", "pg_catalog", "public", "information_schema", "rowhouse",
		strings.Repeat("a", 64), strings.Repeat("a", 1<<20), strings.Repeat("ä", 32), "a" + strings.Repeat("日", 21),
	}
	for _, m := range metacharacters {
		bad = append(bad, m, "a"+m, "a"+m+"b", m+"a")
	}
	before := h.snapshot()
	for _, schema := range bad {
		p := params("ok")
		p.Schema = schema
		_, err := h.admin.Create(t.Context(), p)
		wantIs(t, "schema "+schema[:min(len(schema), 80)], err, admin.ErrSchemaName)
		if len(err.Error()) > 600 {
			t.Errorf("the error has %d bytes", len(err.Error()))
		}
	}
	h.wantUnchanged(before, "bad schema names")
	for _, schema := range []string{"a", "a_", "a1", strings.Repeat("z", 63), "pgx", "select", "user", "rowhouse_2", "publicity"} {
		tenant, err := h.admin.Create(t.Context(), admin.CreateParams{Name: schema, Schema: schema})
		h.must(err)
		if tenant.Schema != schema || !one[bool](h, `SELECT EXISTS (SELECT FROM pg_namespace WHERE nspname = $1)`, schema) {
			t.Errorf("schema %q became %q", schema, tenant.Schema)
		}
	}
}

func TestSchemaNameMessage(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	_, err := h.admin.Create(t.Context(), admin.CreateParams{Name: "x", Schema: "No"})
	const rule = "must start with a letter and only contain lowercase letters, numbers or underscores"
	if err == nil || !strings.Contains(err.Error(), rule) {
		t.Errorf("got %v, want the rule in it", err)
	}
}

func TestBadNames(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	before := h.snapshot()
	for _, name := range []string{"", " ", "\t", "\u00a0\u3000", strings.Repeat("a", 101), strings.Repeat("日", 101), "a\x00b", "a\nb", "a\x1b[2Jb", "a\xffb"} {
		p := params("ok")
		p.Name = name
		_, err := h.admin.Create(t.Context(), p)
		wantIs(t, "name "+name, err, admin.ErrName)
	}
	h.wantUnchanged(before, "bad names")
	for schema, name := range map[string]string{"a": "x", "b": strings.Repeat("日", 100), "c": `Robert'); DROP TABLE tenants;--`, "d": "a\u0301 👩‍👩‍👧", "e": " spaced "} {
		tenant, err := h.admin.Create(t.Context(), admin.CreateParams{Name: name, Schema: schema})
		h.must(err)
		if tenant.Name != name {
			t.Errorf("name %q became %q", name, tenant.Name)
		}
	}
}

func TestBadDomains(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.create("acme")
	before := h.snapshot()
	for _, domain := range []string{
		"", " ", ".", "..", "a..b", ".a", "-a.com", "a-.com", "a b", "a_b.com", "http://a.com", "a.com/x", "a.com?x", "a.com#x", "u@a.com", "a.com:x", "a.com:99999",
		"[::1", "[a]", "xn--", "xn--a-", "a\x00.com", "a\n.com", "a\xff.com", "'; DROP TABLE x; --", "$(reboot).com", "*.a.com", "a.com,b.com",
		strings.Repeat("a", 64) + ".com", strings.Repeat("a.", 127) + "com", strings.Repeat("a", 1<<20),
	} {
		p := params("ok")
		p.Domains = []string{"fine.example.com", domain}
		_, err := h.admin.Create(t.Context(), p)
		wantIs(t, "create with domain "+domain[:min(len(domain), 80)], err, rowhouse.ErrInvalidHost)
		for what, change := range map[string]func(string) error{
			"add":     func(d string) error { return h.admin.AddDomain(t.Context(), "acme", d) },
			"remove":  func(d string) error { return h.admin.RemoveDomain(t.Context(), "acme", d) },
			"primary": func(d string) error { return h.admin.SetPrimaryDomain(t.Context(), "acme", d) },
		} {
			wantIs(t, what+" domain "+domain[:min(len(domain), 80)], change(domain), rowhouse.ErrInvalidHost)
		}
	}
	h.wantUnchanged(before, "bad domains")
}

func TestBadKindsAndMetadata(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	before := h.snapshot()
	for _, kind := range []string{"Gold", "1", " ", "a b", "a'b", "gö", strings.Repeat("a", 64)} {
		p := params("ok")
		p.Kind = kind
		_, err := h.admin.Create(t.Context(), p)
		wantIs(t, "kind "+kind, err, admin.ErrLabel)
	}
	var none *company
	for what, metadata := range map[string]any{
		"a list": []int{1}, "a text": "x", "a number": 7, "nil pointer": none, "a channel": make(chan int), "null": map[string]any(nil),
		"no value for JSON": map[string]any{"f": func() {}},
		// JSON has these; jsonb has not.
		"zero character":   map[string]string{"a": "x\x00y"},
		"too long a digit": map[string]any{"a": json.Number("1e999999")},
	} {
		p := params("ok")
		p.Metadata = metadata
		_, err := h.admin.Create(t.Context(), p)
		wantIs(t, "metadata: "+what, err, admin.ErrMetadata)
	}
	h.wantUnchanged(before, "bad kinds and metadata")
}

// Several mistakes are told at once.
func TestBadInputIsToldTogether(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	_, err := h.admin.Create(t.Context(), admin.CreateParams{Schema: "No", Kind: "No"})
	for _, want := range []error{admin.ErrName, admin.ErrSchemaName, admin.ErrLabel} {
		wantIs(t, "everything wrong", err, want)
	}
}

func TestOpenFails(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nobody := "postgres://someone:topsecret@" + listener.Addr().String() + "/x?sslmode=disable&connect_timeout=5"
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
	url := func() string { return pgtest.Database(t) }
	weak := pgtest.Login(t, url(), "")
	for what, c := range map[string]struct {
		cfg  admin.Config
		want error
	}{
		"no URL at all":      {admin.Config{DatabaseURL: "postgres://u:topsecret@h:port/x"}, rowhouse.ErrInvalidURL},
		"a weak login":       {admin.Config{DatabaseURL: weak}, rowhouse.ErrPrivilege},
		"an unknown login":   {admin.Config{DatabaseURL: url(), AppLogins: []string{"nobody_at_all"}}, rowhouse.ErrPrivilege},
		"a bad shared name":  {admin.Config{DatabaseURL: url(), SharedSchema: "Pu blic"}, admin.ErrSchemaName},
		"a reserved name":    {admin.Config{DatabaseURL: url(), SharedSchema: "rowhouse"}, admin.ErrSchemaName},
		"a wrong set":        {admin.Config{DatabaseURL: url(), Sets: []migrate.Set{{Name: "Bad"}}}, migrate.ErrSet},
		"nobody at the port": {admin.Config{DatabaseURL: nobody}, nil},
	} {
		a, err := admin.Open(t.Context(), c.cfg)
		switch {
		case err == nil:
			a.Close()
			t.Errorf("%s: opened", what)
		case c.want != nil:
			wantIs(t, what, err, c.want)
		default:
			var refused *net.OpError
			if !errors.As(err, &refused) {
				t.Errorf("%s: got %v", what, err)
			}
		}
		if err != nil && strings.Contains(err.Error(), "topsecret") {
			t.Errorf("%s: the error tells the password: %v", what, err)
		}
	}
}
