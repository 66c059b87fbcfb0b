// Package sqlcstd is the desk with sqlc's database/sql flavour.
package sqlcstd

import (
	"context"
	"database/sql"
	"encoding/json"

	"github.com/google/uuid"

	"github.com/rowhouse/rowhouse"
	"github.com/rowhouse/rowhouse/examples/orm"
	"github.com/rowhouse/rowhouse/examples/orm/sqlcstd/tickets"
	"github.com/rowhouse/rowhouse/sqldb"
)

// Desk is an [orm.Desk].
type Desk struct {
	db      *sql.DB
	tx      *sql.Tx // nil outside of transactions
	queries *tickets.Queries
}

// New makes a desk.
func New(db *rowhouse.DB) *Desk {
	std := sqldb.New(db)
	return &Desk{db: std, queries: tickets.New(std)}
}

// Prepare makes a desk that keeps a prepared statement for each query. It needs no
// tenant: the statements serve all of them.
func Prepare(ctx context.Context, db *rowhouse.DB) (*Desk, error) {
	std := sqldb.New(db)
	queries, err := tickets.Prepare(ctx, std)
	return &Desk{db: std, queries: queries}, err
}

// Create files a ticket.
func (d *Desk) Create(ctx context.Context, title string) (int64, error) {
	return d.queries.CreateTicket(ctx, title)
}

// Rename changes a title.
func (d *Desk) Rename(ctx context.Context, ticket int64, title string) error {
	n, err := d.queries.RenameTicket(ctx, tickets.RenameTicketParams{ID: ticket, Title: title})
	if err == nil && n == 0 {
		return orm.ErrNotFound
	}
	return err
}

// Comment adds comments to a ticket.
func (d *Desk) Comment(ctx context.Context, ticket int64, bodies ...string) error {
	return d.queries.AddComments(ctx, tickets.AddCommentsParams{TicketID: ticket, Bodies: bodies})
}

// Tickets lists all tickets.
func (d *Desk) Tickets(ctx context.Context) ([]orm.Ticket, error) {
	found, err := d.queries.ListTickets(ctx)
	all := make([]orm.Ticket, len(found))
	for i, t := range found {
		all[i] = orm.Ticket(t)
	}
	return all, err
}

// Register enters or changes a device.
func (d *Desk) Register(ctx context.Context, device orm.Device) (int64, error) {
	specs, err := json.Marshal(device.Specs)
	if err != nil {
		return 0, err
	}
	return d.queries.RegisterDevice(ctx, tickets.RegisterDeviceParams{
		Serial: device.Serial, Labels: device.Labels, Specs: specs,
		Price: device.Price, Bought: device.Bought, SeenAt: device.SeenAt,
	})
}

// Devices lists the devices of some serials.
func (d *Desk) Devices(ctx context.Context, serials ...uuid.UUID) ([]orm.Device, error) {
	found, err := d.queries.FindDevices(ctx, serials)
	if err != nil {
		return nil, err
	}
	all := make([]orm.Device, len(found))
	for i, f := range found {
		all[i] = orm.Device{ID: f.ID, Serial: f.Serial, Labels: f.Labels, Price: f.Price, Bought: f.Bought, SeenAt: f.SeenAt}
		if err := json.Unmarshal(f.Specs, &all[i].Specs); err != nil {
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
	tx, err := d.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }() // after Commit it does nothing
	if err := work(ctx, &Desk{d.db, tx, d.queries.WithTx(tx)}); err != nil {
		return err
	}
	return tx.Commit()
}

// Text runs SQL as it is.
func (d *Desk) Text(ctx context.Context, sql string) (text string, err error) {
	query := d.db.QueryRowContext
	if d.tx != nil {
		query = d.tx.QueryRowContext
	}
	err = query(ctx, sql).Scan(&text)
	return text, err
}
