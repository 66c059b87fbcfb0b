package helpdesk

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/jackc/pgx/v5"
)

// statuses are those of a ticket; the list can be restricted to one.
func statuses() []string { return []string{"open", "waiting", "solved"} }

// listed is a ticket in the list. The order of its fields is that of ticketsSQL.
type listed struct {
	ID                                   int64
	Subject, Requester, Status, Priority string
	CreatedAt, UpdatedAt                 time.Time
	Replies                              int
	Overdue                              bool
}

// A ticket that nobody answered is overdue when the time that the plan promises
// has passed. plans is the shared schema's, the rest the company's own.
const ticketsSQL = `
SELECT t.id, t.subject, t.requester, t.status, t.priority, t.created_at, t.updated_at, c.replies,
       t.status = 'open' AND c.replies = 0 AND t.created_at + make_interval(hours => p.response_hours) < now()
FROM tickets t
CROSS JOIN subscription s
JOIN plans p ON p.id = s.plan_id
CROSS JOIN LATERAL (SELECT count(*)::int AS replies FROM comments WHERE ticket_id = t.id) c
WHERE t.status = $1 OR $1 = 'all'
ORDER BY t.status = 'solved', t.updated_at DESC
LIMIT 200`

// ticketsData is the list of tickets.
type ticketsData struct {
	Tickets []listed
	Filter  string
	Filters []filter
}

type filter struct {
	Name  string
	Count int
}

// tickets lists the company's tickets. Which company's is nothing that it, or any
// other handler of the desk, has to know.
func (a *app) tickets(w http.ResponseWriter, r *http.Request) error {
	data := ticketsData{Filter: cmp.Or(r.URL.Query().Get("status"), "all")}
	if data.Filter != "all" && !slices.Contains(statuses(), data.Filter) {
		return errNotFound
	}
	rows, err := a.db.Query(r.Context(), ticketsSQL, data.Filter)
	if err != nil {
		return err
	}
	if data.Tickets, err = pgx.CollectRows(rows, pgx.RowToStructByPos[listed]); err != nil {
		return err
	}
	if data.Filters, err = a.filters(r); err != nil {
		return err
	}
	a.render(w, r, http.StatusOK, "tickets", page{Title: "Tickets", Tab: "tickets", Data: data})
	return nil
}

func (a *app) filters(r *http.Request) ([]filter, error) {
	rows, err := a.db.Query(r.Context(), `SELECT status, count(*)::int FROM tickets GROUP BY status`)
	if err != nil {
		return nil, err
	}
	counted, err := pgx.CollectRows(rows, pgx.RowToStructByPos[filter])
	if err != nil {
		return nil, err
	}
	filters := []filter{{Name: "all"}}
	for _, status := range statuses() {
		f := filter{Name: status}
		for _, c := range counted {
			if c.Name == status {
				f.Count = c.Count
			}
		}
		filters[0].Count += f.Count
		filters = append(filters, f)
	}
	return filters, nil
}

// ticketForm is the form for a new ticket: what was typed, and what is wrong with
// it by the name of the field.
type ticketForm struct {
	Subject, Body, Requester, Priority string
	Errors                             map[string]string
}

func (a *app) newTicketForm(w http.ResponseWriter, r *http.Request) error {
	a.renderTicketForm(w, r, http.StatusOK, ticketForm{Priority: "normal"})
	return nil
}

func (a *app) renderTicketForm(w http.ResponseWriter, r *http.Request, status int, form ticketForm) {
	a.render(w, r, status, "newticket", page{Title: "New ticket", Tab: "tickets", Data: form})
}

func (a *app) newTicket(w http.ResponseWriter, r *http.Request) error {
	if err := readForm(r); err != nil {
		return err
	}
	form := ticketForm{
		Subject: text(r, "subject"), Body: text(r, "body"), Requester: text(r, "requester"),
		Priority: r.PostFormValue("priority"), Errors: make(map[string]string),
	}
	check(form.Errors, "subject", form.Subject, 120)
	check(form.Errors, "body", form.Body, 5000)
	check(form.Errors, "requester", form.Requester, 60)
	if !slices.Contains([]string{"low", "normal", "high"}, form.Priority) {
		form.Errors["priority"] = "Choose one of the three."
	}
	if len(form.Errors) > 0 {
		a.renderTicketForm(w, r, http.StatusUnprocessableEntity, form)
		return nil
	}
	var id int64
	err := a.db.QueryRow(r.Context(),
		`INSERT INTO tickets (subject, body, requester, priority) VALUES ($1, $2, $3, $4) RETURNING id`,
		form.Subject, form.Body, form.Requester, form.Priority).Scan(&id)
	if err != nil {
		return err
	}
	http.Redirect(w, r, fmt.Sprintf("/tickets/%d", id), http.StatusSeeOther)
	return nil
}

// text is a field of a form as the database can keep it.
func text(r *http.Request, field string) string {
	value := strings.ReplaceAll(r.PostFormValue(field), "\r\n", "\n")
	return strings.TrimSpace(strings.ToValidUTF8(strings.ReplaceAll(value, "\x00", ""), "\uFFFD"))
}

// check notes what is wrong with a field that is needed.
func check(problems map[string]string, field, value string, most int) {
	if value == "" {
		problems[field] = "Please fill this in."
	} else if n := utf8.RuneCountInString(value); n > most {
		problems[field] = fmt.Sprintf("At most %d characters, please; these are %d.", most, n)
	}
}

// ticketData is a ticket with its conversation.
type ticketData struct {
	ID                                         int64
	Subject, Body, Requester, Status, Priority string
	CreatedAt                                  time.Time
	DueAt                                      time.Time
	Plan                                       string

	Comments []comment `db:"-"`
	Statuses []string  `db:"-"`
	Reply    string    `db:"-"` // what was typed
	Problem  string    `db:"-"` // what is wrong with it
}

// Due says when the first answer is due.
func (t ticketData) Due() string {
	if left := time.Until(t.DueAt); left > 0 {
		return "in " + plural(int(left.Hours())+1, "hour")
	}
	return ago(t.DueAt)
}

type comment struct {
	Author, Body string
	CreatedAt    time.Time
}

const ticketSQL = `
SELECT t.id, t.subject, t.body, t.requester, t.status, t.priority, t.created_at,
       t.created_at + make_interval(hours => p.response_hours) AS due_at, p.name AS plan
FROM tickets t CROSS JOIN subscription s JOIN plans p ON p.id = s.plan_id
WHERE t.id = $1`

func (a *app) ticket(w http.ResponseWriter, r *http.Request) error {
	return a.renderTicket(w, r, http.StatusOK, "", "")
}

func (a *app) renderTicket(w http.ResponseWriter, r *http.Request, status int, reply, problem string) error {
	id, err := ticketID(r)
	if err != nil {
		return err
	}
	rows, err := a.db.Query(r.Context(), ticketSQL, id)
	if err != nil {
		return err
	}
	t, err := pgx.CollectExactlyOneRow(rows, pgx.RowToStructByName[ticketData])
	if errors.Is(err, pgx.ErrNoRows) {
		return errNotFound
	}
	if err != nil {
		return err
	}
	if rows, err = a.db.Query(r.Context(), `SELECT author, body, created_at FROM comments WHERE ticket_id = $1 ORDER BY id`, id); err != nil {
		return err
	}
	if t.Comments, err = pgx.CollectRows(rows, pgx.RowToStructByPos[comment]); err != nil {
		return err
	}
	t.Statuses, t.Reply, t.Problem = statuses(), reply, problem
	a.render(w, r, status, "ticket", page{Title: t.Subject, Tab: "tickets", Data: t})
	return nil
}

func ticketID(r *http.Request) (int64, error) {
	id, err := strconv.ParseInt(r.PathValue("id"), 10, 64)
	if err != nil {
		return 0, errNotFound
	}
	return id, nil
}

// agent is who answers in this demo, which has no accounts.
const agent = "Support agent"

// reply adds a comment and changes the status: both or neither.
func (a *app) reply(w http.ResponseWriter, r *http.Request) error {
	id, err := ticketID(r)
	if err != nil {
		return err
	}
	if err := readForm(r); err != nil {
		return err
	}
	body, status := text(r, "body"), r.PostFormValue("status")
	if !slices.Contains(statuses(), status) {
		return errBadForm
	}
	if n := utf8.RuneCountInString(body); n > 5000 {
		return a.renderTicket(w, r, http.StatusUnprocessableEntity, body, fmt.Sprintf("At most 5000 characters, please; these are %d.", n))
	}
	err = a.db.InTx(r.Context(), func(tx pgx.Tx) error {
		tag, err := tx.Exec(r.Context(), `UPDATE tickets SET status = $2, updated_at = now() WHERE id = $1`, id, status)
		if err != nil {
			return err
		}
		if tag.RowsAffected() == 0 {
			return errNotFound
		}
		if body == "" {
			return nil
		}
		_, err = tx.Exec(r.Context(), `INSERT INTO comments (ticket_id, author, body) VALUES ($1, $2, $3)`, id, agent, body)
		return err
	})
	if err != nil {
		return err
	}
	http.Redirect(w, r, fmt.Sprintf("/tickets/%d", id), http.StatusSeeOther)
	return nil
}
