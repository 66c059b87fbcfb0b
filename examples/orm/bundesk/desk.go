// Package bundesk is the desk with bun.
//
// bun writes arguments into the text of a statement, so every statement is a new
// one to PostgreSQL: it costs two round trips and a place in the statement cache.
package bundesk

import (
	"context"
	"time"

	"github.com/google/uuid"
	"github.com/shopspring/decimal"
	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect/pgdialect"

	"github.com/rowhouse/rowhouse"
	"github.com/rowhouse/rowhouse/examples/orm"
	"github.com/rowhouse/rowhouse/sqldb"
)

// ticket is a row of table tickets.
type ticket struct {
	bun.BaseModel `bun:"table:tickets"`

	ID        int64 `bun:",pk,autoincrement"`
	Title     string
	CreatedAt time.Time  `bun:",nullzero,default:current_timestamp"`
	Comments  []*comment `bun:"rel:has-many,join:id=ticket_id"`
}

// comment is a row of table comments.
type comment struct {
	bun.BaseModel `bun:"table:comments"`

	ID       int64 `bun:",pk,autoincrement"`
	TicketID int64
	Body     string
}

// device is a row of table devices.
type device struct {
	bun.BaseModel `bun:"table:devices"`

	ID     int64 `bun:",pk,autoincrement"`
	Serial uuid.UUID
	Labels []string `bun:",array"`
	Specs  orm.Specs
	Price  decimal.Decimal
	Bought time.Time `bun:"type:date"`
	SeenAt *time.Time
}

// Desk is an [orm.Desk].
type Desk struct{ db bun.IDB }

// New makes a desk.
func New(db *rowhouse.DB) *Desk {
	return &Desk{bun.NewDB(sqldb.New(db), pgdialect.New())}
}

// Create files a ticket.
func (d *Desk) Create(ctx context.Context, title string) (int64, error) {
	row := ticket{Title: title}
	_, err := d.db.NewInsert().Model(&row).Exec(ctx)
	return row.ID, err
}

// Rename changes a title.
func (d *Desk) Rename(ctx context.Context, id int64, title string) error {
	result, err := d.db.NewUpdate().Model(&ticket{ID: id, Title: title}).Column("title").WherePK().Exec(ctx)
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
		rows[i] = comment{TicketID: ticket, Body: body}
	}
	_, err := d.db.NewInsert().Model(&rows).Exec(ctx)
	return err
}

// Tickets lists all tickets. Relation is a second statement.
func (d *Desk) Tickets(ctx context.Context) ([]orm.Ticket, error) {
	var found []ticket
	inOrder := func(q *bun.SelectQuery) *bun.SelectQuery { return q.Order("comment.id") }
	if err := d.db.NewSelect().Model(&found).Relation("Comments", inOrder).Order("id").Scan(ctx); err != nil {
		return nil, err
	}
	all := make([]orm.Ticket, len(found))
	for i, t := range found {
		all[i] = orm.Ticket{ID: t.ID, Title: t.Title, CreatedAt: t.CreatedAt}
		for _, c := range t.Comments {
			all[i].Comments = append(all[i].Comments, c.Body)
		}
	}
	return all, nil
}

// Register enters or changes a device.
func (d *Desk) Register(ctx context.Context, entered orm.Device) (int64, error) {
	row := device{
		Serial: entered.Serial, Labels: entered.Labels, Specs: entered.Specs,
		Price: entered.Price, Bought: entered.Bought, SeenAt: entered.SeenAt,
	}
	_, err := d.db.NewInsert().Model(&row).On("CONFLICT (serial) DO UPDATE").
		Set("labels = EXCLUDED.labels").Set("specs = EXCLUDED.specs").Set("price = EXCLUDED.price").
		Set("bought = EXCLUDED.bought").Set("seen_at = EXCLUDED.seen_at").Exec(ctx)
	return row.ID, err
}

// Devices lists the devices of some serials.
func (d *Desk) Devices(ctx context.Context, serials ...uuid.UUID) ([]orm.Device, error) {
	var found []device
	if err := d.db.NewSelect().Model(&found).Where("serial IN (?)", bun.List(serials)).Order("id").Scan(ctx); err != nil {
		return nil, err
	}
	all := make([]orm.Device, len(found))
	for i, f := range found {
		all[i] = orm.Device{ID: f.ID, Serial: f.Serial, Labels: f.Labels, Specs: f.Specs, Price: f.Price, Bought: f.Bought, SeenAt: f.SeenAt}
	}
	return all, nil
}

// InTx runs work in a transaction.
func (d *Desk) InTx(ctx context.Context, work func(ctx context.Context, desk orm.Desk) error) error {
	return d.db.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error { return work(ctx, &Desk{tx}) })
}

// Text runs SQL as it is.
func (d *Desk) Text(ctx context.Context, sql string) (text string, err error) {
	err = d.db.NewRaw(sql).Scan(ctx, &text)
	return text, err
}
