// Package tenanthttp leads HTTP requests to their tenants.
//
// [New] makes a middleware of the standard library's form. It finds the tenant
// that a request's Host leads to, puts it into the request's context with
// [rowhouse.WithTenant], and answers itself for a tenant that is not served:
//
//	state                                   answer
//	active, read_only                       the wrapped handler
//	provisioning, maintenance               503 with Retry-After
//	suspended                               403
//	archived                                410
//	trashed, unknown host, invalid host     404
//	the look-up failed                      503 with Retry-After
//
// A handler that fails answers with [Error], which knows rowhouse's errors: 429 for
// a tenant that has too much to do ([rowhouse.Limits]), 503 for one that cannot be
// served any more.
//
// What holds:
//
//   - A handler behind it runs with the tenant of the Host in its context, or with
//     none. A tenant, or the shared schema, that the context of the request carried
//     before is never kept.
//   - A tenant that is not served is never in the context: not in that of the
//     application's own answers either, which get it as [Refusal.Tenant].
//   - A look-up that fails is never answered with another tenant, nor with the
//     public site.
//   - The Host is the one of the request itself. X-Forwarded-Host, Forwarded and
//     the like are ignored, since anybody can send them: let the proxy in front
//     pass the Host on.
//   - Answers of the middleware itself are not stored by caches, and all answers
//     say that they vary by Host.
//   - A panic of a handler passes through.
package tenanthttp

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"github.com/rowhouse/rowhouse"
)

// DefaultRetryAfter is how long a client is asked to wait before it tries again.
const DefaultRetryAfter = 30 * time.Second

// Config says what happens to requests beside those that the tenant's state
// decides. Its zero value serves active tenants and refuses all else.
type Config struct {
	// Validate is called for each request whose tenant is served, which is in the
	// request's context. An error refuses the request: with what [RefusalOf] makes
	// of it, a [*Refusal] in its chain for one, else with 403. Defaults to none.
	Validate func(r *http.Request, t *rowhouse.Tenant) error

	// Public serves the public site: requests that belong to no tenant. No
	// tenant is in their context. Defaults to the wrapped handler.
	Public http.Handler

	// PublicHosts are the hosts of the public site, such as "example.com" and
	// "www.example.com". They win over a tenant's domain. Case, port and trailing
	// dot do not matter. Defaults to none.
	PublicHosts []string

	// PublicFallback sends hosts that lead to no tenant to the public site
	// instead of refusing them. Invalid hosts are refused all the same.
	PublicFallback bool

	// NotFound answers for hosts that lead to no tenant, instead of Refuse. It
	// must write the status. Defaults to none.
	NotFound http.Handler

	// Refuse answers requests that are refused, by the middleware or by [Error] in
	// a handler behind it. Retry-After is set already where
	// it belongs; the function writes status and body. It may be called for any
	// status, and may leave some to the default by calling [Refusal.ServeHTTP].
	// Defaults to that for all.
	Refuse func(w http.ResponseWriter, r *http.Request, refusal *Refusal)

	// RetryAfter is what answers with 503 ask clients to wait, rounded up to
	// seconds. Defaults to [DefaultRetryAfter].
	RetryAfter time.Duration

	// Log gets look-ups that failed, and what [Error] answers with 500 or more.
	// Defaults to [slog.Default].
	Log *slog.Logger
}

// New returns a middleware that finds tenants in db. Its error wraps
// [rowhouse.ErrInvalidHost]: one of the PublicHosts is no host.
func New(db *rowhouse.DB, cfg Config) (func(http.Handler) http.Handler, error) {
	cfg = cfg.withDefaults()
	find, err := byHost(db, cfg.PublicHosts)
	if err != nil {
		return nil, err
	}
	return func(next http.Handler) http.Handler {
		h := &handler{Config: cfg, find: find, next: next}
		if h.Public == nil {
			h.Public = next
		}
		return h
	}, nil
}

func (cfg Config) withDefaults() Config {
	if cfg.RetryAfter <= 0 {
		cfg.RetryAfter = DefaultRetryAfter
	}
	if cfg.Log == nil {
		cfg.Log = slog.Default()
	}
	if cfg.Refuse == nil {
		cfg.Refuse = func(w http.ResponseWriter, r *http.Request, refusal *Refusal) { refusal.ServeHTTP(w, r) }
	}
	return cfg
}

// Error answers a request whose handler failed: with what [RefusalOf] makes of err,
// else with 500. Behind the middleware it does so as [Config.Refuse] answers, with
// Retry-After where it belongs, and logs what it answers with 500 or more. The
// visitor is not told of err. Return from the handler afterwards, as with
// [http.Error]; it is too late once the handler has written something.
func Error(w http.ResponseWriter, r *http.Request, err error) {
	h, ok := r.Context().Value(handlerKey{}).(*handler)
	if !ok {
		h = &handler{Config: Config{}.withDefaults()}
	}
	refusal := RefusalOf(err)
	if refusal == nil {
		refusal = &Refusal{Status: http.StatusInternalServerError, Err: err}
	}
	if refusal.Status >= http.StatusInternalServerError && r.Context().Err() == nil { // a visitor who left is no news
		h.Log.ErrorContext(r.Context(), "request failed", "host", r.Host, "method", r.Method, "path", r.URL.Path, "error", err)
	}
	if t, err := rowhouse.FromContext(r.Context()); err == nil {
		refusal.Tenant = t
	}
	for _, name := range []string{"Content-Length", "Content-Encoding", "Etag", "Last-Modified"} {
		w.Header().Del(name) // of the answer that there would have been
	}
	h.answer(w, r, refusal)
}

// handlerKey is the key under which a request's context has the middleware.
type handlerKey struct{}

// finder is a strategy to find the tenant of a request. Neither tenant nor error
// means the public site; [rowhouse.ErrUnknownTenant] and
// [rowhouse.ErrInvalidHost] mean that there is none.
type finder func(r *http.Request) (*rowhouse.Tenant, error)

// byHost is the strategy by the host's whole name.
func byHost(db *rowhouse.DB, publicHosts []string) (finder, error) {
	public := make(map[string]bool, len(publicHosts))
	for _, host := range publicHosts {
		normal, err := rowhouse.NormalizeHost(host)
		if err != nil {
			return nil, fmt.Errorf("tenanthttp: public host: %w", err)
		}
		public[normal] = true
	}
	return func(r *http.Request) (*rowhouse.Tenant, error) {
		host, err := rowhouse.NormalizeHost(r.Host)
		if err != nil {
			return nil, err
		}
		if public[host] {
			return nil, nil
		}
		return db.TenantByDomain(r.Context(), host)
	}, nil
}

// handler is the middleware around one handler.
type handler struct {
	Config
	find finder
	next http.Handler
}

// ServeHTTP finds the tenant and decides who answers. Only the wrapped handler
// and Validate see a context with the tenant in it.
func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Add("Vary", "Host")
	tenant, err := h.find(r)
	ctx := context.WithValue(r.Context(), handlerKey{}, h)
	unbound := r.WithContext(rowhouse.WithTenant(ctx, nil))
	refusal := h.judge(tenant, err)
	switch {
	case refusal != nil && refusal.Status == http.StatusNotFound:
		h.notFound(w, unbound, refusal)
		return
	case refusal != nil:
		h.refuse(w, unbound, refusal)
		return
	case tenant == nil:
		h.Public.ServeHTTP(w, unbound)
		return
	}
	bound := r.WithContext(rowhouse.WithTenant(ctx, tenant))
	if h.Validate != nil {
		if err := h.Validate(bound, tenant); err != nil {
			h.refuse(w, unbound, refusalByValidate(err, tenant))
			return
		}
	}
	h.next.ServeHTTP(w, bound)
}

// judge tells why a request is refused before the application is asked; nil if
// it is not.
func (h *handler) judge(t *rowhouse.Tenant, err error) *Refusal {
	switch {
	case errors.Is(err, rowhouse.ErrUnknownTenant), errors.Is(err, rowhouse.ErrInvalidHost):
		return &Refusal{Status: http.StatusNotFound, Err: err}
	case err != nil:
		return &Refusal{Status: http.StatusServiceUnavailable, Err: err}
	case t == nil || t.IsActive():
		return nil
	}
	cause := fmt.Errorf("%w: %q is %s", rowhouse.ErrTenantUnavailable, t.Schema, t.State)
	if t.State == rowhouse.StateTrashed { // it leads nowhere, as if it were unknown
		return &Refusal{Status: http.StatusNotFound, Err: cause}
	}
	return &Refusal{Status: statusOf(t.State), Tenant: t, Err: cause}
}

// statusOf is the answer for a tenant that is neither served nor trashed. One in
// a state that this program does not know is not served.
func statusOf(s rowhouse.State) int {
	switch s {
	case rowhouse.StateSuspended:
		return http.StatusForbidden
	case rowhouse.StateArchived:
		return http.StatusGone
	default:
		return http.StatusServiceUnavailable
	}
}

func (h *handler) notFound(w http.ResponseWriter, r *http.Request, refusal *Refusal) {
	switch {
	case h.PublicFallback && !errors.Is(refusal.Err, rowhouse.ErrInvalidHost):
		h.Public.ServeHTTP(w, r)
	case h.NotFound != nil:
		w.Header().Set("Cache-Control", "no-store")
		h.NotFound.ServeHTTP(w, r)
	default:
		h.refuse(w, r, refusal)
	}
}

// refuse has a request answered that no handler will see.
func (h *handler) refuse(w http.ResponseWriter, r *http.Request, refusal *Refusal) {
	lookUp := refusal.Status == http.StatusServiceUnavailable && refusal.Tenant == nil
	if lookUp && r.Context().Err() == nil { // a visitor who left is no news
		h.Log.ErrorContext(r.Context(), "tenant look-up failed", "host", r.Host, "error", refusal.Err)
	}
	h.answer(w, r, refusal)
}

// answer has a request answered, and says when to come again.
func (h *handler) answer(w http.ResponseWriter, r *http.Request, refusal *Refusal) {
	if refusal.Status == http.StatusServiceUnavailable && refusal.RetryAfter <= 0 {
		refusal.RetryAfter = h.RetryAfter
	}
	w.Header().Set("Cache-Control", "no-store")
	if refusal.RetryAfter > 0 {
		w.Header().Set("Retry-After", seconds(refusal.RetryAfter))
	}
	h.Refuse(w, r, refusal)
}
