package tenanthttp

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

func TestPrefersHTML(t *testing.T) {
	t.Parallel()
	for accept, want := range map[string]bool{
		"":                                  false,
		"*/*":                               false,
		"text/html":                         true,
		"TEXT/HTML; charset=utf-8":          true,
		"application/json":                  false,
		"application/problem+json":          false,
		"text/html;q=0":                     false,
		"text/html;q=0.5, */*;q=0.1":        true,
		"text/html, application/json":       true,
		"application/json, text/html;q=0.9": false,
		"text/html;q=0.9, application/problem+json;q=0.8":                 true,
		"text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8": true,
		"text/html;q=x":      true,
		"text/html;q=NaN":    false,
		",,;;,text/,/html":   false,
		"image/avif, text/*": false,
	} {
		if got := prefersHTML([]string{accept}); got != want {
			t.Errorf("prefersHTML(%q) = %t, want %t", accept, got, want)
		}
	}
	if !prefersHTML([]string{"image/png", "text/html"}) {
		t.Error("the second line of a header is not read")
	}
}

func FuzzPrefersHTML(f *testing.F) {
	f.Add("text/html;q=0.5, */*;q=0.1")
	f.Add("application/problem+json;q=\"1\"")
	f.Fuzz(func(t *testing.T, accept string) {
		if prefersHTML([]string{accept}) && !strings.Contains(strings.ToLower(accept), "html") {
			t.Errorf("%q is taken to ask for HTML", accept)
		}
	})
}

func TestDefaultAnswer(t *testing.T) {
	t.Parallel()
	refusal := &Refusal{Status: 503, Detail: "Back at <noon>.", Err: errors.New("secret")}
	for accept, wantType := range map[string]string{
		"text/html": "text/html; charset=utf-8",
		"*/*":       "application/problem+json",
	} {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.Header.Set("Accept", accept)
		w := httptest.NewRecorder()
		refusal.ServeHTTP(w, r)
		if got := w.Header().Get("Content-Type"); w.Code != 503 || got != wantType {
			t.Errorf("Accept %s: %d with type %s, want 503 with %s", accept, w.Code, got, wantType)
		}
		if w.Header().Get("Vary") != "Accept" || w.Header().Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("Accept %s: header is %v", accept, w.Header())
		}
		if text := w.Body.String(); strings.Contains(text, "secret") || strings.Contains(text, "<noon>") {
			t.Errorf("Accept %s: body is %s", accept, text)
		}
	}
}

func TestProblemJSON(t *testing.T) {
	t.Parallel()
	w := httptest.NewRecorder()
	(&Refusal{Status: 410}).ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/", nil))
	var got problem
	if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	if want := (problem{"about:blank", "Gone", 410, "This site has been closed."}); got != want {
		t.Errorf("problem is %+v, want %+v", got, want)
	}
}

func TestRefusalIsError(t *testing.T) {
	t.Parallel()
	cause := errors.New("unpaid")
	err := error(&Refusal{Status: 402, Err: cause})
	if !errors.Is(err, cause) {
		t.Error("the cause is not in the chain")
	}
	if got := err.Error(); got != "request refused with 402 Payment Required: unpaid" {
		t.Errorf("message is %q", got)
	}
}

func TestSeconds(t *testing.T) {
	t.Parallel()
	for d, want := range map[time.Duration]string{1: "1", time.Second: "1", time.Second + 1: "2", time.Minute: "60"} {
		if got := seconds(d); got != want {
			t.Errorf("seconds(%s) = %s, want %s", d, got, want)
		}
	}
}
