package helpdesk

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
)

// company is one that is there from the start.
type company struct {
	name, schema, address, accent, plan string
	tickets                             []story
}

// story is a ticket with what was said about it.
type story struct {
	subject, requester, status, priority, body string
	age                                        time.Duration
	comments                                   []remark
}

type remark struct{ author, body string }

// firstCompanies are the companies that are there from the start.
func firstCompanies() []company {
	return []company{
		{"Acme", "acme", "acme", "indigo", "team", acmeStories()},
		{"Globex", "globex", "globex", "emerald", "business", globexStories()},
	}
}

func acmeStories() []story {
	return []story{
		{"Printer on the second floor prints everything in pink", "Front desk", "open", "normal",
			"Since this morning every page comes out pink, the delivery notes too. We switched it off and on twice. The customers think it is a campaign.",
			3 * time.Hour, nil},
		{"Invoice 2041 shows last year's VAT number", "Accounting", "waiting", "high",
			"The customer sent it back. Everything else on it is right, only the VAT number in the footer is the old one. Are there more like it?",
			26 * time.Hour, []remark{
				{agent, "There are eleven more, all made from the template “Export”. I corrected the template; shall I make the invoices again with their old numbers?"},
				{"Accounting", "Please wait until the tax adviser has answered."},
			}},
		{"Door badge opens the storage room but not the office", "Warehouse", "open", "low",
			"It is the other way round for everybody else. I don't mind, it is warmer in here.",
			31 * time.Hour, nil},
		{"New colleague needs an account by Monday", "Human resources", "open", "high",
			"Sales, starts on Monday at nine. Mail, calendar, and the price list (read only). The laptop is on the shelf already.",
			5 * time.Hour, []remark{{agent, "Mail and calendar are ready. Who may allow the price list?"}}},
		{"Meeting room screen shows the cafeteria menu", "Sales", "solved", "low",
			"In the middle of a presentation. Lentil soup, if you want to know.",
			4 * 24 * time.Hour, []remark{{agent, "Both screens had the same name in the network. Renamed, and the soup is back in the cafeteria."}}},
		{"VPN drops every hour, on the hour", "Field service", "solved", "normal",
			"At ten, eleven, twelve. It comes back after a minute, but the upload starts from nothing each time.",
			6 * 24 * time.Hour, []remark{{agent, "A backup on the gateway took all of its memory. It runs at night now."}, {"Field service", "Four hours without a drop. Thank you!"}}},
	}
}

func globexStories() []story {
	return []story{
		{"Scanner sends every document to the wrong department", "Legal", "open", "high",
			"What we scan arrives in marketing, who have begun to correct the style of our contracts.",
			40 * time.Minute, nil},
		{"Payroll export stops at the letter M", "Payroll", "waiting", "high",
			"The file ends in the middle of the list, no error anywhere. Everybody from N to Z is waiting for their money.",
			9 * time.Hour, []remark{{agent, "One name has a quotation mark in it, which ends the column. I have asked the maker for a fix, and sent you a complete file for this month."}}},
		{"Please order a second monitor for the lab", "Laboratory", "open", "low",
			"The microscope picture and the protocol do not fit on one. 27 inches would do.",
			2 * 24 * time.Hour, []remark{{agent, "Ordered, it should be here on Thursday."}}},
		{"Coffee machine asks for a firmware update", "Front desk", "solved", "normal",
			"It says so instead of making coffee. We are not joking about the priority.",
			3 * 24 * time.Hour, []remark{{agent, "Updated to 4.1. It greets you by voice now, which I could not switch off."}}},
		{"Cannot open drawings that suppliers send", "Engineering", "solved", "normal",
			"The viewer says that the format is newer than itself.",
			8 * 24 * time.Hour, []remark{{agent, "The viewer on all engineering computers is the current one now."}}},
	}
}

// seed writes a company's first tickets, unless it has some already. It runs as
// the tenant of ctx, like everything else. The lock makes a second help desk that
// starts now wait, and then find them.
func (a *app) seed(ctx context.Context, c company) error {
	return a.db.InTx(ctx, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `LOCK TABLE tickets IN SHARE ROW EXCLUSIVE MODE`); err != nil {
			return err
		}
		var lived bool
		if err := tx.QueryRow(ctx, `SELECT EXISTS (SELECT FROM tickets)`).Scan(&lived); err != nil || lived {
			return err
		}
		if _, err := tx.Exec(ctx, `UPDATE subscription SET plan_id = $1`, c.plan); err != nil {
			return err
		}
		for i := range c.tickets {
			if err := c.tickets[len(c.tickets)-1-i].write(ctx, tx); err != nil { // oldest first
				return err
			}
		}
		return nil
	})
}

func (s story) write(ctx context.Context, tx pgx.Tx) error {
	var id int64
	err := tx.QueryRow(ctx, `
		INSERT INTO tickets (subject, body, requester, status, priority, created_at, updated_at)
		VALUES ($1, $2, $3, $4, $5, now() - $6::interval, now() - $7::interval)
		RETURNING id`, s.subject, s.body, s.requester, s.status, s.priority, s.age, s.age/time.Duration(len(s.comments)+1)).Scan(&id)
	if err != nil {
		return err
	}
	for i, c := range s.comments {
		at := s.age / time.Duration(i+2)
		_, err := tx.Exec(ctx, `INSERT INTO comments (ticket_id, author, body, created_at) VALUES ($1, $2, $3, now() - $4::interval)`,
			id, c.author, c.body, at)
		if err != nil {
			return err
		}
	}
	return nil
}
