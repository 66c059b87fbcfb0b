package hostname_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/rowhouse/rowhouse/internal/hostname"
)

func Example() {
	host, err := hostname.Normalize("Bücher.Example.:8080")
	fmt.Println(host, err)
	// Output: xn--bcher-kva.example <nil>
}

func TestNormalize(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"acme.example.com":      "acme.example.com",
		"ACME.Example.COM":      "acme.example.com",
		"acme.example.com.":     "acme.example.com",
		"acme.example.com:8080": "acme.example.com",
		"acme.example.com.:443": "acme.example.com",
		"acme.example.com:":     "acme.example.com",
		"localhost":             "localhost",
		"acme.localhost:8080":   "acme.localhost",
		"a_b.localhost":         "",
		"127.0.0.1:80":          "127.0.0.1",
		"[::1]:8080":            "::1",
		"[::1]":                 "::1",
		"::1":                   "::1",
		"[2001:DB8:0:0::1]":     "2001:db8::1",
		"[fe80::1%eth0]:80":     "fe80::1",
		"[::ffff:10.0.0.1]":     "10.0.0.1",
		"bücher.example":        "xn--bcher-kva.example",
		"BÜCHER.example":        "xn--bcher-kva.example",
		"xn--bcher-kva.example": "xn--bcher-kva.example",
		"XN--BCHER-KVA.example": "xn--bcher-kva.example",
		"faß.example":           "xn--fa-hia.example",
		"日本語。example":           "xn--wgv71a119e.example",
		"ａｃｍｅ.example":          "acme.example", // full-width letters

		"":                                    "",
		".":                                   "",
		":80":                                 "",
		"a..b":                                "",
		".example.com":                        "",
		"-a.example":                          "",
		"a-.example":                          "",
		"a b.example":                         "",
		"a/b":                                 "",
		"http://acme.example":                 "",
		"user@acme.example":                   "",
		"acme.example:80x":                    "",
		"acme.example:+80":                    "",
		"acme.example:99999":                  "",
		"[::1":                                "",
		"[acme.example]":                      "",
		"[127.0.0.1]":                         "",
		"[::1]80":                             "",
		"a.1":                                 "",
		"1.2.3":                               "",
		"xn--a.example":                       "",
		"a\x00b.example":                      "",
		"a\r\nX: y":                           "",
		"*.example.com":                       "",
		strings.Repeat("a", 64):               "",
		strings.Repeat("a.", 127) + "example": "",
		"\xff.example":                        "",
	} {
		got, err := hostname.Normalize(in)
		switch {
		case want == "" && !errors.Is(err, hostname.ErrInvalid):
			t.Errorf("Normalize(%.60q) = %q, %v; want ErrInvalid", in, got, err)
		case want != "" && (err != nil || got != want):
			t.Errorf("Normalize(%.60q) = %q, %v; want %q", in, got, err, want)
		}
	}
}

// FuzzNormalize holds that normal forms are normal: in lower case, without what
// a host cannot have, the same when normalised again.
func FuzzNormalize(f *testing.F) {
	for _, s := range []string{"acme.example.com:80", "[::1]:80", "BÜCHER.example.", "a..b", "1.2.3.4", "::ffff:1.2.3.4", "a:b:c"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got, err := hostname.Normalize(s)
		if err != nil {
			if !errors.Is(err, hostname.ErrInvalid) || got != "" {
				t.Fatalf("Normalize(%q) = %q, %v", s, got, err)
			}
			return
		}
		if got == "" || len(got) > hostname.MaxLength || got != strings.ToLower(got) || strings.ContainsAny(got, " \t\r\n/@#?[]%\x00") {
			t.Fatalf("Normalize(%q) = %q", s, got)
		}
		if again, err := hostname.Normalize(got); err != nil || again != got {
			t.Fatalf("Normalize(%q) = %q, but again it is %q, %v", s, got, again, err)
		}
	})
}
