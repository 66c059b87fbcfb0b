package ident_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/rowhouse/rowhouse/internal/ident"
)

func Example() {
	fmt.Println(ident.CheckSchema("acme"))
	fmt.Println(ident.CheckSchema("Acme; DROP SCHEMA public"))
	fmt.Println(ident.Quote(`we"ird`))
	// Output:
	// <nil>
	// invalid schema name "Acme; DROP SCHEMA public": must start with a letter and only contain lowercase letters, numbers or underscores
	// "we""ird"
}

func TestCheckSchema(t *testing.T) {
	t.Parallel()
	good := []string{"a", "acme", "t_1", "a__", "select", "pgx", "publicity", strings.Repeat("a", 63)}
	for _, s := range good {
		if err := ident.CheckSchema(s); err != nil {
			t.Errorf("CheckSchema(%q) = %v, want nil", s, err)
		}
	}
	bad := map[string]string{
		"":                                "must start with a letter",
		"1a":                              "must start with a letter",
		"_a":                              "must start with a letter",
		"Acme":                            "lowercase letters",
		"a-b":                             "underscores",
		"a b":                             "underscores",
		"a.b":                             "underscores",
		"a\n":                             "underscores",
		"a\x00":                           "underscores",
		"é":                               "must start with a letter",
		"aé":                              "underscores",
		"а":                               "must start with a letter", // Cyrillic
		`a"; DROP SCHEMA public; --`:      "underscores",
		"$(reboot)":                       "must start with a letter",
		"a`id`":                           "underscores",
		strings.Repeat("a", 64):           "64 bytes",
		strings.Repeat("é", 40):           "80 bytes",
		"public":                          "reserved",
		"pg_x":                            "reserved",
		"pg_catalog":                      "reserved",
		"information_schema":              "reserved",
		"rowhouse":                        "reserved",
		"a\u202e":                         "underscores",
		"acme\r\nSet-Cookie: a=b":         "underscores",
		"x'; SELECT pg_sleep(10); --":     "underscores",
		strings.Repeat("a", 10_000) + ";": "at most 63",
	}
	for s, want := range bad {
		err := ident.CheckSchema(s)
		if !errors.Is(err, ident.ErrSchemaName) || !strings.Contains(err.Error(), want) {
			t.Errorf("CheckSchema(%.80q) = %v, want %q", s, err, want)
		}
	}
	if err := ident.CheckSchema("common", "common"); !errors.Is(err, ident.ErrSchemaName) {
		t.Errorf("the shared schema is taken for a tenant's: %v", err)
	}
}

func TestCheckName(t *testing.T) {
	t.Parallel()
	for _, s := range []string{"A", "Zoë & Søn GmbH", "Robert'); DROP TABLE students;--", strings.Repeat("字", 100)} {
		if err := ident.CheckName(s); err != nil {
			t.Errorf("CheckName(%q) = %v, want nil", s, err)
		}
	}
	for _, s := range []string{"", "  ", "\u00a0", strings.Repeat("字", 101), "a\x00b", "a\nb", "\xff"} {
		if err := ident.CheckName(s); !errors.Is(err, ident.ErrName) {
			t.Errorf("CheckName(%.40q) = %v, want ErrName", s, err)
		}
	}
}

func TestCheckLabel(t *testing.T) {
	t.Parallel()
	for _, s := range []string{"app", "river-queue", "a_1"} {
		if err := ident.CheckLabel("kind", s); err != nil {
			t.Errorf("CheckLabel(%q) = %v, want nil", s, err)
		}
	}
	for _, s := range []string{"", "A", "1", "a b", "a/b", strings.Repeat("a", 64)} {
		if err := ident.CheckLabel("kind", s); !errors.Is(err, ident.ErrLabel) {
			t.Errorf("CheckLabel(%q) = %v, want ErrLabel", s, err)
		}
	}
}

// FuzzQuote holds that whatever is quoted is one identifier: it starts and ends
// with a quote, and every quote within is doubled.
func FuzzQuote(f *testing.F) {
	for _, s := range []string{"", "a", `"`, `""`, `a"b`, `";--`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		q := ident.Quote(s)
		inner, ok := strings.CutPrefix(q, `"`)
		inner, ok2 := strings.CutSuffix(inner, `"`)
		if !ok || !ok2 || strings.Count(strings.ReplaceAll(inner, `""`, ""), `"`) != 0 {
			t.Fatalf("Quote(%q) = %s leaves the identifier", s, q)
		}
		if strings.ReplaceAll(inner, `""`, `"`) != s {
			t.Fatalf("Quote(%q) = %s means another name", s, q)
		}
	})
}

func FuzzCheckSchema(f *testing.F) {
	f.Add("acme")
	f.Add("pg_x")
	f.Fuzz(func(t *testing.T, s string) {
		if ident.CheckSchema(s) != nil {
			return
		}
		if len(s) == 0 || len(s) > 63 || s[0] < 'a' || s[0] > 'z' || ident.Reserved(s) {
			t.Fatalf("CheckSchema passed %q", s)
		}
		for _, c := range []byte(s) {
			if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '_' {
				t.Fatalf("CheckSchema passed %q", s)
			}
		}
	})
}
