package helpdesk

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"html/template"
	"io/fs"
	"net"
	"net/http"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/rowhouse/rowhouse"
)

//go:embed templates
var templateFiles embed.FS

// views are the parsed templates by the name of their page, and the version of
// the static files.
type views struct {
	pages  map[string]*template.Template
	assets string
}

// parseViews parses each page together with the layout that they share.
func parseViews() (views, error) {
	v := views{pages: make(map[string]*template.Template)}
	functions := template.FuncMap{"ago": ago, "monogram": monogram, "plural": plural}
	names, err := fs.Glob(templateFiles, "templates/*.html")
	if err != nil {
		return v, fmt.Errorf("list templates: %w", err)
	}
	for _, name := range names {
		page := strings.TrimSuffix(strings.TrimPrefix(name, "templates/"), ".html")
		if page == "layout" {
			continue
		}
		v.pages[page], err = template.New("layout.html").Funcs(functions).ParseFS(templateFiles, "templates/layout.html", name)
		if err != nil {
			return v, fmt.Errorf("parse templates: %w", err)
		}
	}
	v.assets, err = fingerprint(staticFiles)
	return v, err
}

// fingerprint is an entity tag for all files of a file system together.
func fingerprint(files fs.FS) (string, error) {
	sum := sha256.New()
	err := fs.WalkDir(files, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		content, err := fs.ReadFile(files, name)
		sum.Write(content)
		return err
	})
	if err != nil {
		return "", fmt.Errorf("read static files: %w", err)
	}
	return `"` + hex.EncodeToString(sum.Sum(nil)[:8]) + `"`, nil
}

// page is what a template gets.
type page struct {
	// Title is the page's, without that of the site.
	Title string
	// Tab is the part of the desk that the page belongs to.
	Tab string
	// Data is the page's own.
	Data any

	// The rest is filled in by render.

	// Tenant is the company whose desk it is; nil on the public site.
	Tenant *rowhouse.Tenant
	// Profile is the company's.
	Profile profile
	// Public is the address of the public site.
	Public string
}

// render writes a page. Nothing is sent before the whole page is made.
func (a *app) render(w http.ResponseWriter, r *http.Request, status int, name string, p page) {
	if tenant, err := rowhouse.FromContext(r.Context()); err == nil {
		p.Tenant, p.Profile = tenant, a.profileOf(tenant)
	}
	p.Public = address(r, publicHost)
	var body bytes.Buffer
	if err := a.views.pages[name].Execute(&body, p); err != nil {
		a.log.ErrorContext(r.Context(), "render", "page", name, "error", err)
		http.Error(w, http.StatusText(http.StatusInternalServerError), http.StatusInternalServerError)
		return
	}
	header := w.Header()
	header.Set("Content-Type", "text/html; charset=utf-8")
	header.Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = body.WriteTo(w) // it fails when the visitor left
}

// problemData is what the page about a problem says.
type problemData struct {
	Status int
	Head   string
	Detail string
}

func problemOf(status int) problemData {
	switch status {
	case http.StatusNotFound:
		return problemData{status, "Nothing here", "There is no such page at this desk."}
	case http.StatusForbidden:
		return problemData{status, "Not allowed", "The form was sent from another site. Open the desk and send it from there."}
	case http.StatusBadRequest, http.StatusRequestEntityTooLarge:
		return problemData{status, "That did not fit", "The form could not be read, or it was too large."}
	case http.StatusTooManyRequests:
		return problemData{status, "A lot to do", "Too many requests to this desk are waiting already. Please try again in a moment."}
	case http.StatusServiceUnavailable:
		return problemData{status, "Back in a moment", "The desk is not available right now. Please try again."}
	}
	return problemData{status, "Something broke", "It is our fault and has been written to the log. Please try again."}
}

// problem answers with a page about an error, and logs what is our fault.
func (a *app) problem(w http.ResponseWriter, r *http.Request, status int, err error) {
	if status >= http.StatusInternalServerError && r.Context().Err() == nil {
		a.log.ErrorContext(r.Context(), "request failed", "host", r.Host, "method", r.Method, "path", r.URL.Path, "error", err)
	}
	data := problemOf(status)
	a.render(w, r, status, "problem", page{Title: data.Head, Data: data})
}

// address is where a host is found by whoever sent the request, who may reach
// this machine at another port than it listens on.
func address(r *http.Request, host string) string {
	if _, port, err := net.SplitHostPort(r.Host); err == nil && port != "" {
		host = net.JoinHostPort(host, port)
	}
	return "http://" + host + "/"
}

// ago says how long ago something was, as people do.
func ago(t time.Time) string {
	switch d := time.Since(t); {
	case d < time.Minute:
		return "just now"
	case d < time.Hour:
		return plural(int(d.Minutes()), "minute") + " ago"
	case d < 24*time.Hour:
		return plural(int(d.Hours()), "hour") + " ago"
	default:
		return plural(int(d.Hours()/24), "day") + " ago"
	}
}

func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// monogram is the letter that stands for a company.
func monogram(name string) string {
	r, _ := utf8.DecodeRuneInString(strings.TrimSpace(name))
	return strings.ToUpper(string(r))
}
