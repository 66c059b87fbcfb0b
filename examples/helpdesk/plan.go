package helpdesk

import (
	"errors"
	"net/http"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// offer is a plan, and whether the company is on it.
type offer struct {
	ID, Name, Summary string
	Euros, Hours      int
	Current           bool
}

// plan shows the plans of the shared schema; which one is the company's is in its
// own.
func (a *app) plan(w http.ResponseWriter, r *http.Request) error {
	rows, err := a.db.Query(r.Context(), `
		SELECT p.id, p.name, p.summary, p.euros_a_month, p.response_hours, s.plan_id IS NOT NULL
		FROM plans p LEFT JOIN subscription s ON s.plan_id = p.id
		ORDER BY p.euros_a_month`)
	if err != nil {
		return err
	}
	offers, err := pgx.CollectRows(rows, pgx.RowToStructByPos[offer])
	if err != nil {
		return err
	}
	a.render(w, r, http.StatusOK, "plan", page{Title: "Plan", Tab: "plan", Data: offers})
	return nil
}

// changePlan leaves it to the foreign key which plans there are.
func (a *app) changePlan(w http.ResponseWriter, r *http.Request) error {
	if err := readForm(r); err != nil {
		return err
	}
	_, err := a.db.Exec(r.Context(), `UPDATE subscription SET plan_id = $1, since = now()`, text(r, "plan"))
	var refused *pgconn.PgError
	if errors.As(err, &refused) && refused.ConstraintName == "subscription_plan_id_fkey" {
		return errBadForm
	}
	if err != nil {
		return err
	}
	http.Redirect(w, r, "/plan", http.StatusSeeOther)
	return nil
}
