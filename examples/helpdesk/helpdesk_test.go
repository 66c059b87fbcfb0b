package helpdesk

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rowhouse/rowhouse"
	"github.com/rowhouse/rowhouse/admin"
	"github.com/rowhouse/rowhouse/internal/pgtest"
)

func TestFromSignUpToTicket(t *testing.T) {
	t.Parallel()
	v := newVisitor(t)
	const host = "umbrella-repairs.localhost:8080"
	v.get(siteHost, "/").want(t, 200, "http://acme.localhost:8080/", "Globex", "/signup")
	v.get(siteHost, "/signup").want(t, 200, "Sign up a company")
	v.get(host, "/").want(t, 404, "Nobody lives here") // and is remembered, but not for long

	v.post(siteHost, "/signup", "name", "Umbrella Repairs", "accent", "rose").wantRedirect(t, "http://"+host+"/")
	v.get(host, "/").want(t, 200, "Umbrella Repairs", `data-accent="rose"`, "Welcome to your desk")
	v.get(siteHost, "/").want(t, 200, "http://"+host+"/")

	v.get(host, "/tickets/new").want(t, 200, "New ticket")
	v.post(host, "/tickets", "subject", "Awning <b>stuck</b>", "body", "Since\r\nthe storm", "requester", "Front desk", "priority", "high").
		wantRedirect(t, "/tickets/1")
	v.get(host, "/tickets/1").want(t, 200, "Awning &lt;b&gt;stuck&lt;/b&gt;", "Since\nthe storm", "Answer due", "in 48 hours")
	v.post(host, "/tickets/1", "body", "The motor was wired backwards.", "status", "solved").wantRedirect(t, "/tickets/1")
	v.get(host, "/tickets/1").want(t, 200, "Support agent", "The motor was wired backwards.", "pill solved").wantNot(t, "Answer due")
	v.post(host, "/tickets/1", "body", "", "status", "open").wantRedirect(t, "/tickets/1")
	v.get(host, "/?status=open").want(t, 200, "Awning")
	v.get(host, "/?status=solved").want(t, 200, "No solved tickets").wantNot(t, "Awning")

	v.get(host, "/plan").want(t, 200, "Starter", "Change to Team", "Change to Business")
	v.post(host, "/plan", "plan", "business").wantRedirect(t, "/plan")
	v.get(host, "/plan").want(t, 200, "Change to Starter").wantNot(t, "Change to Business")
}

func TestCompaniesSeeOnlyTheirOwn(t *testing.T) {
	t.Parallel()
	v := newVisitor(t)
	v.get(acmeHost, "/").want(t, 200, "Printer on the second floor").wantNot(t, "Payroll")
	v.get(globexHost, "/").want(t, 200, "Payroll export").wantNot(t, "Printer")
	v.post(acmeHost, "/tickets", "subject", "Only for us", "body", "x", "requester", "y", "priority", "low").wantRedirect(t, "/tickets/7")
	v.get(globexHost, "/tickets/7").want(t, 404, "Nothing here")
	v.post(globexHost, "/tickets/7", "body", "hello", "status", "solved").want(t, 404)
	v.get(acmeHost, "/tickets/7").want(t, 200, "pill open").wantNot(t, "hello")

	// Many at once, each with its own.
	var wait sync.WaitGroup
	for range 20 {
		wait.Go(func() { v.get(acmeHost, "/").want(t, 200, "Only for us") })
		wait.Go(func() { v.get(globexHost, "/").want(t, 200, "Scanner").wantNot(t, "Only for us") })
	}
	wait.Wait()
}

func TestSignUpRefusals(t *testing.T) {
	t.Parallel()
	v := newVisitor(t)
	for name, test := range map[string]struct {
		name, schema, address string
		texts                 []string
	}{
		"nothing":            {"", "", "", []string{"1 to 100 characters", "Choose a name for the schema"}},
		"blanks":             {" \t ", "blank", "blank", []string{"1 to 100 characters"}},
		"long name":          {strings.Repeat("é", 101), "long", "long", []string{"1 to 100 characters", strings.Repeat("é", 101)}},
		"control character":  {"a\x07b", "bell", "bell", []string{"1 to 100 characters"}},
		"taken schema":       {"Acme", "", "acme2", []string{"has this schema name already", `value="acme2"`}},
		"taken address":      {"Other", "other", "ACME", []string{"has this address already", `value="other"`}},
		"reserved":           {"Public", "public", "public", []string{"reserved"}},
		"reserved by server": {"PG", "pg_desk", "pg", []string{"reserved"}},
		"catalog's":          {"Row", "rowhouse", "row", []string{"reserved"}},
		"upper case":         {"Upper", "Upper", "upper", []string{"must start with a letter and only contain lowercase letters, numbers or underscores"}},
		"quotes":             {"Q", `q"; DROP SCHEMA acme; --`, "q", []string{"must start with a letter", `q&#34;; DROP SCHEMA acme; --`}},
		"digit first":        {"D", "1d", "d", []string{"must start with a letter"}},
		"umlaut":             {"U", "ü", "u", []string{"must start with a letter"}},
		"long schema":        {"L", strings.Repeat("a", 64), "l", []string{"At most 63"}},
		"dots in address":    {"Dots", "dots", "a.b", []string{"letters, digits and hyphens"}},
		"port in address":    {"Port", "port", "a:80", []string{"letters, digits and hyphens"}},
		"path in address":    {"Path", "path", "a/b", []string{"letters, digits and hyphens"}},
		"space in address":   {"Space", "space", "a b", []string{"letters, digits and hyphens"}},
		"hyphen first":       {"Hyphen", "hyphen", "-a", []string{"cannot be the name of a host"}},
		"long address":       {"Long", "longa", strings.Repeat("a", 64), []string{"cannot be the name of a host"}},
		"no name follows":    {"株式会社", "", "", []string{"Choose a name for the schema", "株式会社"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			v.post(siteHost, "/signup", "name", test.name, "schema", test.schema, "address", test.address).want(t, 422, test.texts...)
		})
	}
	t.Cleanup(func() {
		tenants, err := v.app.operator.Tenants(context.Background())
		if err != nil || len(tenants) != 2 {
			t.Errorf("there are %d companies, %v; want the first two", len(tenants), err)
		}
	})
}

func TestSignUpInOtherAlphabets(t *testing.T) {
	t.Parallel()
	v := newVisitor(t)
	v.post(siteHost, "/signup", "name", "Bücher", "schema", "buecher", "address", "Bücher").
		wantRedirect(t, "http://xn--bcher-kva.localhost:8080/")
	v.get("xn--bcher-kva.localhost:8080", "/").want(t, 200, "Bücher")
}

func TestBadInput(t *testing.T) {
	t.Parallel()
	v := newVisitor(t)
	v.get(acmeHost, "/nowhere").want(t, 404, "Nothing here", "Acme")
	v.get(siteHost, "/tickets/1").want(t, 404)
	v.get("127.0.0.1:8080", "/").want(t, 200, "The row")
	v.get("acme.example.com", "/").want(t, 404, "Nobody lives here")
	for _, path := range []string{"/tickets/0", "/tickets/-1", "/tickets/x", "/tickets/99999999999999999999", "/?status=lost", "/?status='"} {
		v.get(acmeHost, path).want(t, 404, "Nothing here")
	}
	v.post(acmeHost, "/tickets", "subject", " ", "body", strings.Repeat("a", 5001), "requester", "r", "priority", "extreme").
		want(t, 422, "Please fill this in.", "these are 5001", "Choose one of the three", `value="r"`)
	v.post(acmeHost, "/tickets/1", "body", strings.Repeat("é", 5001), "status", "open").want(t, 422, "these are 5001", "éé")
	v.post(acmeHost, "/tickets/1", "body", "x", "status", "lost").want(t, 400, "That did not fit")
	v.post(acmeHost, "/tickets/77", "body", "x", "status", "open").want(t, 404)
	v.post(acmeHost, "/plan", "plan", "free-for-ever").want(t, 400, "That did not fit")
	v.post(acmeHost, "/tickets", "subject", strings.Repeat("a", maxBody)).want(t, 413)
	v.post(acmeHost, "/tickets", "subject", "zero\x00byte \xff", "body", "b", "requester", "r", "priority", "low").wantRedirect(t, "/tickets/7")
	v.get(acmeHost, "/tickets/7").want(t, 200, "zerobyte \uFFFD")
}

func TestOtherSitesCannotPost(t *testing.T) {
	t.Parallel()
	v := newVisitor(t)
	for name, header := range map[string][2]string{
		"another desk":  {"Origin", "http://" + globexHost},
		"another site":  {"Sec-Fetch-Site", "cross-site"},
		"sibling":       {"Sec-Fetch-Site", "same-site"},
		"opaque origin": {"Origin", "null"},
	} {
		for path, host := range map[string]string{"/plan": acmeHost, "/signup": siteHost, "/break-in": acmeHost} {
			r := httptest.NewRequest(http.MethodPost, "http://"+host+path, strings.NewReader("plan=starter&name=X"))
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			r.Header.Set(header[0], header[1])
			if a := v.send(r); a.status != 403 || !strings.Contains(a.body, "Not allowed") {
				t.Errorf("%s, %s: answer is %d", name, path, a.status)
			}
		}
	}
}

func TestClosedCompany(t *testing.T) {
	t.Parallel()
	v := newVisitor(t)
	if _, err := v.app.operator.Suspend(t.Context(), "acme"); err != nil {
		t.Fatal(err)
	}
	deadline := time.Now().Add(5 * time.Second)
	for v.get(acmeHost, "/").status == 200 && time.Now().Before(deadline) {
	}
	v.get(acmeHost, "/").want(t, 403, "Acme is closed at the moment", "suspended").wantNot(t, "Printer")
	v.get(siteHost, "/").want(t, 200).wantNot(t, acmeHost)
	v.get(acmeHost, "/static/style.css").want(t, 200, "--accent")
}

// A company that has too much to do is told so, and another is served.
func TestBusyCompany(t *testing.T) {
	t.Parallel()
	v := newVisitor(t)
	acme, err := v.app.db.TenantBySchema(t.Context(), "acme")
	if err != nil {
		t.Fatal(err)
	}
	_, err = v.app.operator.SetLimits(t.Context(), admin.LimitScope{Schema: "acme"}, admin.LimitsOverride{Connections: new(1), Wait: new(time.Millisecond)})
	if err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(5 * time.Second); acme.Limits().Connections != 1 && time.Now().Before(deadline); {
		if acme, err = v.app.db.TenantBySchema(t.Context(), "acme"); err != nil {
			t.Fatal(err)
		}
	}
	tx, err := v.app.db.Begin(rowhouse.WithTenant(t.Context(), acme))
	if err != nil {
		t.Fatal(err)
	}
	v.get(acmeHost, "/").want(t, 429, "A lot to do", "Acme").wantNot(t, "Printer")
	if got := v.get(acmeHost, "/").header.Get("Retry-After"); got != "1" {
		t.Errorf("Retry-After is %q", got)
	}
	if err := tx.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	v.get(acmeHost, "/").want(t, 200, "Printer")
}

func TestHeaders(t *testing.T) {
	t.Parallel()
	v := newVisitor(t)
	for _, host := range []string{siteHost, acmeHost, "nobody.localhost"} {
		header := v.get(host, "/").header
		for name, want := range map[string]string{
			"X-Content-Type-Options": "nosniff", "Referrer-Policy": "same-origin", "Cache-Control": "no-store", "Vary": "Host",
		} {
			if got := header.Get(name); got != want {
				t.Errorf("%s: %s is %q, want %q", host, name, got, want)
			}
		}
		if policy := header.Get("Content-Security-Policy"); !strings.Contains(policy, "default-src 'none'") || strings.Contains(policy, "unsafe") {
			t.Errorf("%s: policy is %q", host, policy)
		}
	}
	r := httptest.NewRequest(http.MethodGet, "http://"+siteHost+"/static/style.css", nil)
	r.Header.Set("If-None-Match", v.get(siteHost, "/static/style.css").header.Get("ETag"))
	v.send(r).want(t, http.StatusNotModified)
}

// TestSecondStart finds what the first left, and adds nothing.
func TestSecondStart(t *testing.T) {
	t.Parallel()
	operator := pgtest.Database(t)
	d := &database{operatorURL: operator, applicationURL: operator}
	first := visit(t, d)
	first.post(siteHost, "/signup", "name", "Kept").wantRedirect(t, "http://kept.localhost:8080/")
	first.post("kept.localhost:8080", "/tickets", "subject", "Still here?", "body", "b", "requester", "r", "priority", "low").wantRedirect(t, "/tickets/1")
	if _, err := first.app.operator.Delete(t.Context(), "globex"); err != nil {
		t.Fatal(err)
	}
	second := visit(t, d)
	second.get("kept.localhost:8080", "/").want(t, 200, "Still here?")
	second.get(acmeHost, "/tickets/6").want(t, 200)
	second.get(acmeHost, "/tickets/7").want(t, 404)
	second.get(globexHost, "/").want(t, 404) // deleted by its operator, and left so
}

func TestTwoStartTogether(t *testing.T) {
	t.Parallel()
	operator := pgtest.Database(t)
	d := &database{operatorURL: operator, applicationURL: pgtest.Login(t, operator, "")}
	var wait sync.WaitGroup
	for range 3 {
		wait.Go(func() {
			a, err := openApp(t.Context(), d, slog.New(slog.DiscardHandler))
			if err != nil {
				t.Error(err)
				return
			}
			a.close()
		})
	}
	wait.Wait()
	v := visit(t, d)
	v.get(acmeHost, "/tickets/6").want(t, 200)
	v.get(acmeHost, "/tickets/7").want(t, 404)
}
