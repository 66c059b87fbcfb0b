package helpdesk

import (
	"embed"
	"errors"
	"io/fs"
	"net/http"

	"github.com/rowhouse/rowhouse/tenanthttp"
)

// publicHost is the public site's host name. Companies are at names below it,
// which browsers resolve to this machine.
const publicHost = "localhost"

// maxBody is the largest form in bytes.
const maxBody = 64 << 10

//go:embed static
var staticFiles embed.FS

// handler is all that the help desk serves: the middleware sends each request to
// the desk, with its company in the context, or to the public site.
func (a *app) handler() (http.Handler, error) {
	static, err := a.static()
	if err != nil {
		return nil, err
	}
	tenants, err := tenanthttp.New(a.db, tenanthttp.Config{
		Public:      a.site(),
		PublicHosts: []string{publicHost, "127.0.0.1", "[::1]"},
		Refuse:      a.refuse,
		Log:         a.log,
	})
	if err != nil {
		return nil, err
	}
	root := http.NewServeMux()
	root.Handle("/static/", static) // also for the pages of companies that are not served
	root.Handle("/", tenants(a.desk()))
	return secure(root), nil
}

// site is the public site.
func (a *app) site() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /{$}", a.page(a.home))
	mux.Handle("GET /signup", a.page(a.signUpForm))
	mux.Handle("POST /signup", a.page(a.signUp))
	mux.Handle("/", a.page(a.nothingHere))
	return a.sameOrigin(mux)
}

// desk is the desk of whichever company the request is for.
func (a *app) desk() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /{$}", a.page(a.tickets))
	mux.Handle("GET /tickets/new", a.page(a.newTicketForm))
	mux.Handle("POST /tickets", a.page(a.newTicket))
	mux.Handle("GET /tickets/{id}", a.page(a.ticket))
	mux.Handle("POST /tickets/{id}", a.page(a.reply))
	mux.Handle("GET /plan", a.page(a.plan))
	mux.Handle("POST /plan", a.page(a.changePlan))
	mux.Handle("GET /break-in", a.page(a.breakInForm))
	mux.Handle("POST /break-in", a.page(a.breakIn))
	mux.Handle("/", a.page(a.nothingHere))
	return a.sameOrigin(mux)
}

func (a *app) static() (http.Handler, error) {
	files, err := fs.Sub(staticFiles, "static")
	if err != nil {
		return nil, err
	}
	server := http.StripPrefix("/static/", http.FileServerFS(files))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-cache")
		w.Header().Set("ETag", a.views.assets)
		server.ServeHTTP(w, r)
	}), nil
}

// errNotFound: there is nothing at this address.
var errNotFound = errors.New("not found")

func (a *app) nothingHere(http.ResponseWriter, *http.Request) error { return errNotFound }

// page makes a handler of a function that may fail. What fails becomes a page in
// the look of all others.
func (a *app) page(fn func(http.ResponseWriter, *http.Request) error) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Body = http.MaxBytesReader(w, r.Body, maxBody)
		if err := fn(w, r); err != nil {
			a.fail(w, r, err)
		}
	})
}

// fail answers for a handler that failed. What rowhouse's errors mean the middleware
// knows; its answers come by refuse.
func (a *app) fail(w http.ResponseWriter, r *http.Request, err error) {
	if tenanthttp.RefusalOf(err) != nil {
		tenanthttp.Error(w, r, err)
		return
	}
	a.problem(w, r, statusOf(err), err)
}

// statusOf is the HTTP status for another error of a handler.
func statusOf(err error) int {
	var tooLarge *http.MaxBytesError
	switch {
	case errors.Is(err, errNotFound):
		return http.StatusNotFound
	case errors.As(err, &tooLarge):
		return http.StatusRequestEntityTooLarge
	case errors.Is(err, errBadForm):
		return http.StatusBadRequest
	}
	return http.StatusInternalServerError
}

// errBadForm: a form cannot be read.
var errBadForm = errors.New("the form cannot be read")

// readForm reads the form of a POST.
func readForm(r *http.Request) error {
	if err := r.ParseForm(); err != nil {
		return errors.Join(errBadForm, err)
	}
	return nil
}

// refuse answers for a host that leads to no company, or to one that is not
// served.
func (a *app) refuse(w http.ResponseWriter, r *http.Request, refusal *tenanthttp.Refusal) {
	p := page{Title: http.StatusText(refusal.Status), Data: problemOf(refusal.Status)}
	if closed := refusal.Tenant != nil && !refusal.Tenant.IsActive(); closed {
		p.Data = problemData{refusal.Status, refusal.Tenant.Name + " is closed at the moment", refusal.Tenant.Name + " is " + string(refusal.Tenant.State) + ". Its tickets are kept."}
	} else if refusal.Status == http.StatusNotFound {
		p.Data = problemData{refusal.Status, "Nobody lives here", "No company has its desk at " + r.Host + "."}
	}
	a.render(w, r, refusal.Status, "problem", p)
}

// sameOrigin refuses forms that another site sends in a visitor's name; another
// company's desk is another site.
func (a *app) sameOrigin(next http.Handler) http.Handler {
	protection := http.NewCrossOriginProtection()
	protection.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a.problem(w, r, http.StatusForbidden, nil)
	}))
	return protection.Handler(next)
}

// secure sets what browsers are told about every answer. Forms may lead to a new
// company's desk, at another host.
func secure(next http.Handler) http.Handler {
	const policy = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; " +
		"form-action 'self' http://*." + publicHost + ":*; base-uri 'none'; frame-ancestors 'none'"
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		header := w.Header()
		header.Set("Content-Security-Policy", policy)
		header.Set("X-Content-Type-Options", "nosniff")
		header.Set("Referrer-Policy", "same-origin")
		header.Set("Cross-Origin-Opener-Policy", "same-origin")
		next.ServeHTTP(w, r)
	})
}
