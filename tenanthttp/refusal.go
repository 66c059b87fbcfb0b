package tenanthttp

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"html/template"
	"mime"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/rowhouse/rowhouse"
)

// Refusal is the answer to a request that is not served. It is an error too, so
// that [Config.Validate] can return one.
type Refusal struct {
	// Status is the HTTP status, 400 to 599. Defaults to 403.
	Status int

	// Detail is a sentence for the visitor. Defaults to one for the status.
	Detail string

	// RetryAfter is how long the client is asked to wait. Defaults to
	// Config.RetryAfter for 503 and to nothing for all else.
	RetryAfter time.Duration

	// Tenant is the tenant that the request is for; unless the refusal is by
	// [Error], no work of the request runs as it. It is nil when there is none, or
	// none that the visitor may know of. The middleware sets it.
	Tenant *rowhouse.Tenant

	// Err is the cause. Visitors are not told. May be nil.
	Err error
}

// RefusalOf is the answer to a request for an error of its handler, nil for an error
// that says nothing about one:
//
//	error                                        answer
//	a [*Refusal]                                 what it says
//	[rowhouse.ErrTenantBusy]                     429, Retry-After a second
//	[rowhouse.ErrTenantChanged], [rowhouse.ErrRetry]
//	                                             503, Retry-After a second
//	[rowhouse.ErrTenantUnavailable]              503
//	a time-out of the context, or one of
//	PostgreSQL's (57014, 55P03, 25P03)           503
//
// The refusal is the caller's own. Its Tenant is not set.
func RefusalOf(err error) *Refusal {
	var given *Refusal
	var pgErr *pgconn.PgError
	refusal := &Refusal{Status: http.StatusServiceUnavailable, Err: err}
	switch {
	case errors.As(err, &given):
		if given == nil {
			return nil
		}
		*refusal = *given
		if refusal.Status < 400 || refusal.Status > 599 {
			refusal.Status = http.StatusForbidden
		}
	case errors.Is(err, rowhouse.ErrTenantBusy):
		refusal.Status, refusal.RetryAfter = http.StatusTooManyRequests, time.Second
	case errors.Is(err, rowhouse.ErrTenantChanged), errors.Is(err, rowhouse.ErrRetry):
		refusal.RetryAfter = time.Second
	case errors.Is(err, rowhouse.ErrTenantUnavailable), errors.Is(err, context.DeadlineExceeded):
	case errors.As(err, &pgErr) && slices.Contains(timeouts, pgErr.Code):
	default:
		return nil
	}
	return refusal
}

// timeouts are PostgreSQL's codes for a statement that was cancelled, a lock that did
// not come and a transaction that idled.
var timeouts = []string{"57014", "55P03", "25P03"}

// refusalByValidate makes a refusal of Validate's error.
func refusalByValidate(err error, t *rowhouse.Tenant) *Refusal {
	refusal := RefusalOf(err)
	if refusal == nil {
		refusal = &Refusal{Status: http.StatusForbidden, Err: err}
	}
	refusal.Tenant = t
	return refusal
}

// Error implements error.
func (r *Refusal) Error() string {
	msg := fmt.Sprintf("request refused with %d %s", r.Status, http.StatusText(r.Status))
	if r.Err != nil {
		msg += ": " + r.Err.Error()
	}
	return msg
}

// Unwrap returns Err.
func (r *Refusal) Unwrap() error { return r.Err }

// ServeHTTP writes the default answer: a plain page to a client that asks for
// HTML, problem+json (RFC 9457) to all others.
func (r *Refusal) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	p := problem{Type: "about:blank", Title: http.StatusText(r.Status), Status: r.Status, Detail: r.Detail}
	if p.Title == "" {
		p.Title = "Error " + strconv.Itoa(r.Status)
	}
	if p.Detail == "" {
		p.Detail = detailOf(r.Status)
	}
	header := w.Header()
	header.Add("Vary", "Accept")
	header.Set("X-Content-Type-Options", "nosniff")
	if !prefersHTML(req.Header.Values("Accept")) {
		header.Set("Content-Type", "application/problem+json")
		w.WriteHeader(r.Status)
		_ = json.NewEncoder(w).Encode(p) // it fails when the client left
		return
	}
	header.Set("Content-Type", "text/html; charset=utf-8")
	header.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'")
	w.WriteHeader(r.Status)
	_ = page.Execute(w, p)
}

// problem is the body of an answer, as RFC 9457 has it.
type problem struct {
	Type   string `json:"type"`
	Title  string `json:"title"`
	Status int    `json:"status"`
	Detail string `json:"detail,omitempty"`
}

func detailOf(status int) string {
	switch status {
	case http.StatusForbidden:
		return "Access to this site is not allowed at the moment."
	case http.StatusNotFound:
		return "There is no site at this address."
	case http.StatusGone:
		return "This site has been closed."
	case http.StatusTooManyRequests:
		return "There is a lot to do for this site at the moment. Please try again in a moment."
	case http.StatusInternalServerError:
		return "Something went wrong here. Please try again later."
	case http.StatusServiceUnavailable:
		return "This site is not available at the moment. Please try again in a while."
	}
	return ""
}

var page = template.Must(template.New("refusal").Parse(`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{.Title}}</title>
<style>
:root { color-scheme: light dark }
body { font: 1.1rem/1.6 system-ui, sans-serif; max-width: 32rem; margin: 20vh auto; padding: 0 1.5rem }
h1 { font-size: 1.6rem; margin: 0 }
p { opacity: .75 }
</style>
</head>
<body>
<h1>{{.Title}}</h1>
{{with .Detail}}<p>{{.}}</p>{{end}}
</body>
</html>
`))

// seconds is a duration as Retry-After has it, rounded up.
func seconds(d time.Duration) string {
	return strconv.FormatInt(int64((d+time.Second-1)/time.Second), 10)
}

// prefersHTML tells whether an Accept header names HTML, and nothing of JSON
// before it. Browsers do; programs that take anything get JSON.
func prefersHTML(accept []string) bool {
	var html, json float64
	for _, item := range strings.Split(strings.Join(accept, ","), ",") {
		media, params, err := mime.ParseMediaType(item)
		if err != nil {
			continue
		}
		q, err := strconv.ParseFloat(params["q"], 64)
		if err != nil {
			q = 1 // none was given
		}
		switch media {
		case "text/html", "application/xhtml+xml":
			html = max(html, q)
		case "application/json", "application/problem+json":
			json = max(json, q)
		}
	}
	return html > 0 && html >= json
}
