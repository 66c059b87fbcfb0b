package helpdesk

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/rowhouse/rowhouse"
)

func TestBreakIn(t *testing.T) {
	t.Parallel()
	v := newVisitor(t)
	v.get(acmeHost, "/break-in").want(t, 200, "<strong>Globex</strong>", "globex.tickets", "Choose a way in")
	v.get(globexHost, "/break-in").want(t, 200, "<strong>Acme</strong>", "acme.tickets")
	for id, texts := range map[string][]string{
		"read":      {"PostgreSQL refused it", "SQLSTATE 42501", "permission denied for schema globex"},
		"write":     {"SQLSTATE 42501", "permission denied for schema globex"},
		"union":     {"SQLSTATE 42501", "permission denied for schema globex"},
		"role":      {"rowhouse did not send it", "SET would change the session"},
		"config":    {"SQLSTATE 42501", "permission denied for function set_config"},
		"path":      {"SQLSTATE 42501", "permission denied for function set_config"},
		"do":        {"SQLSTATE 42501", "permission denied for language plpgsql"},
		"stack":     {"It did not run", "SQLSTATE 42601"},
		"catalog":   {"SQLSTATE 42501", "permission denied"},
		"shared":    {"SQLSTATE 42501", "permission denied for table plans"},
		"forgotten": {"rowhouse did not send it", "no tenant in the context"},
		"own":       {"inside your own house", "Printer on the second floor", "SELECT 6"},
	} {
		t.Run(id, func(t *testing.T) {
			t.Parallel()
			v.post(acmeHost, "/break-in", "attempt", id).want(t, 200, texts...).wantNot(t, "Payroll export")
		})
	}
	for _, a := range attempts("globex") {
		if a.ID == "" || a.Title == "" || a.Hope == "" || a.SQL == "" {
			t.Errorf("attempt %+v has a gap", a)
		}
	}
}

func TestOwnSQL(t *testing.T) {
	t.Parallel()
	v := newVisitor(t)
	for name, test := range map[string]struct {
		sql   string
		texts []string
	}{
		"another schema": {"SELECT * FROM globex.comments", []string{"SQLSTATE 42501"}},
		"quoted":         {`TABLE "globex"."tickets"`, []string{"SQLSTATE 42501"}},
		"mistake":        {"SELEKT", []string{"It did not run", "SQLSTATE 42601"}},
		"no rows":        {"SELECT 1 WHERE false", []string{"It ran", "SELECT 0"}},
		"many rows":      {"SELECT * FROM generate_series(1, 1000)", []string{"The first 25 rows"}},
		"endless":        {"SELECT count(*) FROM generate_series(1, 1000000000000)", []string{"was cancelled"}},
		"write":          {"DELETE FROM tickets", []string{"DELETE 6", "taken back"}},
		"commit":         {"COMMIT", []string{"rowhouse did not send it"}},
		"parameter":      {"SELECT $1::int", []string{"It did not run", "1 parameters"}},
		"script":         {"SELECT '<script>alert(1)</script>' AS \"<i>\"", []string{"&lt;script&gt;", "&lt;i&gt;"}},
		"types":          {"SELECT NULL, 1.50::numeric, '{1,2}'::int[], '{\"a\":1}'::jsonb, 'epoch'::timestamptz, gen_random_uuid(), '\\xff'::bytea, '1 day'::interval", []string{"NULL", "1.50", "[1,2]", "{&#34;a&#34;:1}", "1970-01-01 00:00:00", `\xff`}},
		"long value":     {"SELECT repeat('é', 1000)", []string{strings.Repeat("é", cellLength) + "…"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			v.post(acmeHost, "/break-in", "sql", test.sql).want(t, 200, test.texts...)
		})
	}
	v.post(acmeHost, "/break-in", "sql", " ").want(t, 200, "Choose a way in")
	v.post(acmeHost, "/break-in", "attempt", "nonsense").want(t, 200, "Choose a way in")
}

// TestNothingStays: what visitors run on the page is taken back.
func TestNothingStays(t *testing.T) {
	t.Parallel()
	v := newVisitor(t)
	for _, sql := range []string{"DELETE FROM tickets", "TRUNCATE tickets CASCADE", "UPDATE subscription SET plan_id = 'business'"} {
		v.post(acmeHost, "/break-in", "sql", sql).want(t, 200, "taken back")
	}
	v.get(acmeHost, "/").want(t, 200, "Printer on the second floor")
	v.get(acmeHost, "/plan").want(t, 200, "Change to Business")
}

func TestCell(t *testing.T) {
	t.Parallel()
	for want, value := range map[string]any{
		"NULL": nil, "text": "text", `\x00ff`: []byte{0, 255}, "7": int64(7), "true": true, `["a",null]`: []any{"a", nil},
		"2026-01-02 03:04:05":                  time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC),
		"00010203-0405-0607-0809-0a0b0c0d0e0f": [16]byte{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15},
	} {
		if got := cell(value); got != want {
			t.Errorf("cell(%v) = %q, want %q", value, got, want)
		}
	}
}

func TestExplainOther(t *testing.T) {
	t.Parallel()
	out := &outcome{}
	out.explain(errors.Join(rowhouse.ErrTenantChanged))
	if out.Verdict != "failed" || out.Message == "" {
		t.Errorf("outcome is %+v", out)
	}
}

func FuzzSlug(f *testing.F) {
	for _, name := range []string{"Umbrella Repairs", "3M", "株式会社", "a--b", "Ünï", ""} {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, name string) {
		s := slug(name, "_")
		if s != "" && (s[0] < 'a' || s[0] > 'z') || strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789_") != "" {
			t.Errorf("slug(%q) = %q", name, s)
		}
	})
}
