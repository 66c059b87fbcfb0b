// Package sqlxdesk is the desk with sqlx. Some of its statements are prepared once
// and kept, and serve all tenants.
package sqlxdesk

import (
	"context"
	"database/sql"
	"encoding/json"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"
	"github.com/jmoiron/sqlx/types"
	"github.com/lib/pq"
	"github.com/shopspring/decimal"

	"github.com/rowhouse/rowhouse"
	"github.com/rowhouse/rowhouse/examples/orm"
	"github.com/rowhouse/rowhouse/sqldb"
)

// ticket is a row of table tickets with one of its comments, if it has any.
type ticket struct {
	ID        int64          `db:"id"`
	Title     string         `db:"title"`
	CreatedAt time.Time      `db:"created_at"`
	Body      sql.NullString `db:"body"`
}

// comment is a row of table comments.
type comment struct {
	TicketID int64  `db:"ticket_id"`
	Body     string `db:"body"`
}

// device is a row of table devices.
type device struct {
	ID     int64           `db:"id"`
	Serial uuid.UUID       `db:"serial"`
	Labels pq.StringArray  `db:"labels"`
	Specs  types.JSONText  `db:"specs"`
	Price  decimal.Decimal `db:"price"`
	Bought time.Time       `db:"bought"`
	SeenAt *time.Time      `db:"seen_at"`
}

const (
	create   = `INSERT INTO tickets (title) VALUES (:title) RETURNING id`
	list     = `SELECT t.*, c.body FROM tickets t LEFT JOIN comments c ON c.ticket_id = t.id ORDER BY t.id, c.id`
	rename   = `UPDATE tickets SET title = :title WHERE id = :id`
	say      = `INSERT INTO comments (ticket_id, body) VALUES (:ticket_id, :body)`
	find     = `SELECT * FROM devices WHERE serial IN (?) ORDER BY id`
	register = `INSERT INTO devices (serial, labels, specs, price, bought, seen_at)
		VALUES (:serial, :labels, :specs, :price, :bought, :seen_at)
		ON CONFLICT (serial) DO UPDATE SET (labels, specs, price, bought, seen_at)
			= (EXCLUDED.labels, EXCLUDED.specs, EXCLUDED.price, EXCLUDED.bought, EXCLUDED.seen_at)
		RETURNING id`
)

// Desk is an [orm.Desk].
type Desk struct {
	db *sqlx.DB
	tx *sqlx.Tx // nil outside of transactions

	// Prepared, on the transaction if there is one.
	create *sqlx.NamedStmt
	list   *sqlx.Stmt
}

// New makes a desk. The name "pgx" tells sqlx how placeholders look. To prepare
// statements no tenant is needed.
func New(ctx context.Context, db *rowhouse.DB) (*Desk, error) {
	d := &Desk{db: sqlx.NewDb(sqldb.New(db), "pgx")}
	var err error
	if d.create, err = d.db.PrepareNamedContext(ctx, create); err != nil {
		return nil, err
	}
	d.list, err = d.db.PreparexContext(ctx, list)
	return d, err
}

// ext is the transaction, or else the DB.
func (d *Desk) ext() sqlx.ExtContext {
	if d.tx != nil {
		return d.tx
	}
	return d.db
}

// Create files a ticket.
func (d *Desk) Create(ctx context.Context, title string) (id int64, err error) {
	err = d.create.GetContext(ctx, &id, ticket{Title: title})
	return id, err
}

// Rename changes a title.
func (d *Desk) Rename(ctx context.Context, id int64, title string) error {
	result, err := sqlx.NamedExecContext(ctx, d.ext(), rename, ticket{ID: id, Title: title})
	if err != nil {
		return err
	}
	if n, err := result.RowsAffected(); n != 0 || err != nil {
		return err
	}
	return orm.ErrNotFound
}

// Comment adds comments to a ticket.
func (d *Desk) Comment(ctx context.Context, ticket int64, bodies ...string) error {
	rows := make([]comment, len(bodies))
	for i, body := range bodies {
		rows[i] = comment{ticket, body}
	}
	_, err := sqlx.NamedExecContext(ctx, d.ext(), say, rows)
	return err
}

// Tickets lists all tickets.
func (d *Desk) Tickets(ctx context.Context) ([]orm.Ticket, error) {
	var found []ticket
	if err := d.list.SelectContext(ctx, &found); err != nil {
		return nil, err
	}
	var all []orm.Ticket
	for _, t := range found {
		if n := len(all); n == 0 || all[n-1].ID != t.ID {
			all = append(all, orm.Ticket{ID: t.ID, Title: t.Title, CreatedAt: t.CreatedAt})
		}
		if last := &all[len(all)-1]; t.Body.Valid {
			last.Comments = append(last.Comments, t.Body.String)
		}
	}
	return all, nil
}

// Register enters or changes a device.
func (d *Desk) Register(ctx context.Context, entered orm.Device) (id int64, err error) {
	specs, err := json.Marshal(entered.Specs)
	if err != nil {
		return 0, err
	}
	query, args, err := d.db.BindNamed(register, device{
		Serial: entered.Serial, Labels: entered.Labels, Specs: specs,
		Price: entered.Price, Bought: entered.Bought, SeenAt: entered.SeenAt,
	})
	if err != nil {
		return 0, err
	}
	err = sqlx.GetContext(ctx, d.ext(), &id, query, args...)
	return id, err
}

// Devices lists the devices of some serials.
func (d *Desk) Devices(ctx context.Context, serials ...uuid.UUID) ([]orm.Device, error) {
	query, args, err := sqlx.In(find, serials)
	if err != nil {
		return nil, err
	}
	var found []device
	if err := sqlx.SelectContext(ctx, d.ext(), &found, d.db.Rebind(query), args...); err != nil {
		return nil, err
	}
	all := make([]orm.Device, len(found))
	for i, f := range found {
		all[i] = orm.Device{ID: f.ID, Serial: f.Serial, Labels: f.Labels, Price: f.Price, Bought: f.Bought, SeenAt: f.SeenAt}
		if err := f.Specs.Unmarshal(&all[i].Specs); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// InTx runs work in a transaction.
func (d *Desk) InTx(ctx context.Context, work func(ctx context.Context, desk orm.Desk) error) error {
	if d.tx != nil {
		return orm.ErrNotNested
	}
	tx, err := d.db.BeginTxx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }() // after Commit it does nothing
	inner := &Desk{db: d.db, tx: tx, create: tx.NamedStmtContext(ctx, d.create), list: tx.StmtxContext(ctx, d.list)}
	if err := work(ctx, inner); err != nil {
		return err
	}
	return tx.Commit()
}

// Text runs SQL as it is.
func (d *Desk) Text(ctx context.Context, sql string) (text string, err error) {
	err = sqlx.GetContext(ctx, d.ext(), &text, sql)
	return text, err
}
