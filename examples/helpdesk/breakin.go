package helpdesk

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/rowhouse/rowhouse"
)

// attempt is a way to break in that the page offers.
type attempt struct {
	ID, Title, Hope, SQL string
	// Unbound takes the tenant out of the context first, as a handler would that
	// forgot it.
	Unbound bool
}

// attempts are the ways into another company's schema, whose name is quoted where
// SQL needs it.
func attempts(schema string) []attempt {
	table := schema + ".tickets"
	return []attempt{
		{ID: "read", Title: "Read their tickets", Hope: "Name the other schema in plain SQL.",
			SQL: "SELECT id, subject, body FROM " + table},
		{ID: "write", Title: "Solve their tickets for them", Hope: "Writing may be guarded less than reading.",
			SQL: "UPDATE " + table + " SET status = 'solved'"},
		{ID: "union", Title: "Inject a UNION", Hope: "What an injected search box would send.",
			SQL: "SELECT subject FROM tickets UNION ALL SELECT subject FROM " + table},
		{ID: "role", Title: "Become the superuser", Hope: "The tenant's role is set for the transaction, so set another.",
			SQL: "SET ROLE postgres"},
		{ID: "config", Title: "Become it by a function", Hope: "SET is refused, but a SELECT can change settings too.",
			SQL: "SELECT set_config('role', 'none', true)"},
		{ID: "path", Title: "Move the search path", Hope: "Let unqualified names lead somewhere else.",
			SQL: "SELECT set_config('search_path', '" + schema + "', true)"},
		{ID: "do", Title: "Hide it in a DO block", Hope: "Code on the server could say SET ROLE.",
			SQL: "DO $$ BEGIN SET ROLE postgres; END $$"},
		{ID: "stack", Title: "Send a second statement", Hope: "End theirs early, and begin your own.",
			SQL: "SELECT 1; SELECT * FROM " + table},
		{ID: "catalog", Title: "Take their address away", Hope: "The catalog says which host leads to whom.",
			SQL: "UPDATE rowhouse.domains SET domain = 'x.' || domain"},
		{ID: "shared", Title: "Make all plans free", Hope: "The shared table is in sight, after all.",
			SQL: "UPDATE plans SET euros_a_month = 0"},
		{ID: "forgotten", Title: "Forget the tenant", Hope: "A context without a tenant must see somebody's tickets.",
			SQL: "SELECT subject FROM tickets", Unbound: true},
		{ID: "own", Title: "Read your own tickets", Hope: "The same statement without a schema: this one may.",
			SQL: "SELECT id, subject, status FROM tickets ORDER BY id"},
	}
}

// breakInData is the page: the ways in, and what came of the one that was tried.
type breakInData struct {
	Victim   string
	Attempts []attempt
	Outcome  *outcome
	SQL      string
	Gaps     []rowhouse.WallGap
}

func (a *app) breakInForm(w http.ResponseWriter, r *http.Request) error {
	data, err := a.waysIn(r)
	if err != nil {
		return err
	}
	a.render(w, r, http.StatusOK, "breakin", page{Title: "Try to break in", Tab: "break-in", Data: data})
	return nil
}

// waysIn finds a company to break in to, the first but the visitor's own. With no
// other there, its schema is one that does not exist.
func (a *app) waysIn(r *http.Request) (breakInData, error) {
	data, schema := breakInData{Gaps: a.db.WallGaps()}, "somebody"
	self, err := rowhouse.FromContext(r.Context())
	if err != nil {
		return data, err
	}
	tenants, err := a.operator.Tenants(r.Context())
	if err != nil {
		return data, err
	}
	for _, t := range tenants {
		if t.ID != self.ID && t.IsActive() {
			data.Victim, schema = t.Name, t.Schema
			break
		}
	}
	if err := a.db.QueryRow(r.Context(), `SELECT quote_ident($1)`, schema).Scan(&schema); err != nil {
		return data, err
	}
	data.Attempts = attempts(schema)
	return data, nil
}

// breakIn runs what the visitor chose or typed, as the visitor's company.
func (a *app) breakIn(w http.ResponseWriter, r *http.Request) error {
	if err := readForm(r); err != nil {
		return err
	}
	data, err := a.waysIn(r)
	if err != nil {
		return err
	}
	chosen := attempt{Title: "Your own SQL", SQL: text(r, "sql")}
	for _, offered := range data.Attempts {
		if offered.ID == r.PostFormValue("attempt") {
			chosen = offered
		}
	}
	ctx := r.Context()
	if chosen.Unbound {
		ctx = rowhouse.WithTenant(ctx, nil)
	}
	if chosen.SQL != "" {
		data.SQL = chosen.SQL
		data.Outcome = a.try(ctx, chosen)
	}
	a.render(w, r, http.StatusOK, "breakin", page{Title: "Try to break in", Tab: "break-in", Data: data})
	return nil
}

const (
	// tryTime is how long a visitor's statement may run.
	tryTime = 3 * time.Second
	// tryRows is how many of its rows are shown.
	tryRows = 25
)

// outcome is what came of an attempt.
type outcome struct {
	Attempt attempt
	// Verdict is refused, stopped (by rowhouse), failed or ran.
	Verdict string
	// Code and Message are PostgreSQL's, or Message is rowhouse's.
	Code, Message string
	// Role is what the statement ran as.
	Role    string
	Tag     string
	Columns []string
	Rows    [][]string
	More    bool
}

// errUndo ends a transaction that is not meant to leave anything.
var errUndo = errors.New("undo")

// try runs a statement as the tenant of ctx and takes back what it did. A visitor
// may spoil the company's own tickets otherwise, though nobody else's.
func (a *app) try(ctx context.Context, chosen attempt) *outcome {
	out := &outcome{Attempt: chosen, Verdict: "ran"}
	ctx, cancel := context.WithTimeout(ctx, tryTime)
	defer cancel()
	err := a.db.InTx(ctx, func(tx pgx.Tx) error {
		if err := tx.QueryRow(ctx, `SELECT current_user::text`).Scan(&out.Role); err != nil {
			return err
		}
		rows, err := tx.Query(ctx, chosen.SQL)
		if err != nil {
			return err
		}
		if err := out.read(rows, cancel); err != nil {
			return err
		}
		return errUndo
	})
	if !errors.Is(err, errUndo) {
		out.explain(err)
	}
	return out
}

// read keeps the first rows. The rest is not waited for: stop ends the statement.
func (o *outcome) read(rows pgx.Rows, stop context.CancelFunc) error {
	defer rows.Close()
	for _, column := range rows.FieldDescriptions() {
		o.Columns = append(o.Columns, column.Name)
	}
	for rows.Next() {
		if len(o.Rows) == tryRows {
			o.More = true
			stop()
			return nil
		}
		values, err := rows.Values()
		if err != nil {
			return err
		}
		o.Rows = append(o.Rows, cells(values))
	}
	rows.Close()
	o.Tag = rows.CommandTag().String()
	return rows.Err()
}

// explain says who refused, and in what words.
func (o *outcome) explain(err error) {
	o.Verdict, o.Message = "failed", strings.TrimPrefix(err.Error(), "rowhouse: ")
	var refused *pgconn.PgError
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		o.Message = "It took longer than " + tryTime.String() + " and was cancelled."
	case errors.As(err, &refused):
		o.Code, o.Message = refused.Code, refused.Message
		if refused.Code == "42501" { // insufficient_privilege
			o.Verdict = "refused"
		}
	case errors.Is(err, rowhouse.ErrStatementRefused), errors.Is(err, rowhouse.ErrNoTenant):
		o.Verdict = "stopped"
	}
}
