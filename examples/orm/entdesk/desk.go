// Package entdesk is the desk with the client that ent generates from package
// schema.
package entdesk

import (
	"context"
	"errors"

	"entgo.io/ent/dialect"
	entsql "entgo.io/ent/dialect/sql"
	"github.com/google/uuid"

	"github.com/rowhouse/rowhouse"
	"github.com/rowhouse/rowhouse/examples/orm"
	"github.com/rowhouse/rowhouse/examples/orm/entdesk/ent"
	"github.com/rowhouse/rowhouse/examples/orm/entdesk/ent/comment"
	"github.com/rowhouse/rowhouse/examples/orm/entdesk/ent/device"
	"github.com/rowhouse/rowhouse/examples/orm/entdesk/ent/ticket"
	"github.com/rowhouse/rowhouse/sqldb"
)

// Desk is an [orm.Desk].
type Desk struct{ client *ent.Client }

// New makes a desk. The client's Schema.Create is not for tenants: their tables come
// from migrations.
func New(db *rowhouse.DB) *Desk {
	return &Desk{ent.NewClient(ent.Driver(entsql.OpenDB(dialect.Postgres, sqldb.New(db))))}
}

// Create files a ticket.
func (d *Desk) Create(ctx context.Context, title string) (int64, error) {
	row, err := d.client.Ticket.Create().SetTitle(title).Save(ctx)
	if err != nil {
		return 0, err
	}
	return row.ID, nil
}

// Rename changes a title. ent updates and reads the row in a transaction of its own.
func (d *Desk) Rename(ctx context.Context, id int64, title string) error {
	err := d.client.Ticket.UpdateOneID(id).SetTitle(title).Exec(ctx)
	if ent.IsNotFound(err) {
		return orm.ErrNotFound
	}
	return err
}

// Comment adds comments to a ticket.
func (d *Desk) Comment(ctx context.Context, ticket int64, bodies ...string) error {
	return d.client.Comment.MapCreateBulk(bodies, func(c *ent.CommentCreate, i int) {
		c.SetTicketID(ticket).SetBody(bodies[i])
	}).Exec(ctx)
}

// Tickets lists all tickets. WithComments is a second statement.
func (d *Desk) Tickets(ctx context.Context) ([]orm.Ticket, error) {
	found, err := d.client.Ticket.Query().
		WithComments(func(q *ent.CommentQuery) { q.Order(comment.ByID()) }).
		Order(ticket.ByID()).All(ctx)
	if err != nil {
		return nil, err
	}
	all := make([]orm.Ticket, len(found))
	for i, t := range found {
		all[i] = orm.Ticket{ID: t.ID, Title: t.Title, CreatedAt: t.CreatedAt}
		for _, c := range t.Edges.Comments {
			all[i].Comments = append(all[i].Comments, c.Body)
		}
	}
	return all, nil
}

// Register enters or changes a device.
func (d *Desk) Register(ctx context.Context, entered orm.Device) (int64, error) {
	upsert := d.client.Device.Create().
		SetSerial(entered.Serial).SetLabels(entered.Labels).SetSpecs(entered.Specs).
		SetPrice(entered.Price).SetBought(entered.Bought).SetNillableSeenAt(entered.SeenAt).
		OnConflictColumns(device.FieldSerial).UpdateNewValues()
	if entered.SeenAt == nil {
		upsert.ClearSeenAt()
	}
	return upsert.ID(ctx)
}

// Devices lists the devices of some serials.
func (d *Desk) Devices(ctx context.Context, serials ...uuid.UUID) ([]orm.Device, error) {
	found, err := d.client.Device.Query().Where(device.SerialIn(serials...)).Order(device.ByID()).All(ctx)
	if err != nil {
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
	tx, err := d.client.Tx(ctx)
	if errors.Is(err, ent.ErrTxStarted) {
		return orm.ErrNotNested
	}
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }() // after Commit it does nothing
	if err := work(ctx, &Desk{tx.Client()}); err != nil {
		return err
	}
	return tx.Commit()
}

// Text runs SQL as it is.
func (d *Desk) Text(ctx context.Context, sql string) (string, error) {
	rows, err := d.client.QueryContext(ctx, sql)
	if err != nil {
		return "", err
	}
	defer func() { _ = rows.Close() }()
	text, err := entsql.ScanString(rows)
	return text, errors.Join(err, rows.Err())
}
