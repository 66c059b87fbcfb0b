// Package sqlcpgx is the desk with sqlc's pgx flavour: its generated code takes a
// rowhouse.DB and its transactions as they are.
package sqlcpgx

import (
	"context"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/rowhouse/rowhouse"
	"github.com/rowhouse/rowhouse/examples/orm"
	"github.com/rowhouse/rowhouse/examples/orm/sqlcpgx/tickets"
)

// beginner is a rowhouse.DB or a transaction of it.
type beginner interface {
	tickets.DBTX
	Begin(ctx context.Context) (pgx.Tx, error)
}

// Desk is an [orm.Desk].
type Desk struct {
	db      beginner
	queries *tickets.Queries
}

// New makes a desk.
func New(db *rowhouse.DB) *Desk {
	return &Desk{db, tickets.New(db)}
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

// Comment adds comments to a ticket, by COPY.
func (d *Desk) Comment(ctx context.Context, ticket int64, bodies ...string) error {
	rows := make([]tickets.AddCommentsParams, len(bodies))
	for i, body := range bodies {
		rows[i] = tickets.AddCommentsParams{TicketID: ticket, Body: body}
	}
	_, err := d.queries.AddComments(ctx, rows)
	return err
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
	return d.queries.RegisterDevice(ctx, tickets.RegisterDeviceParams{
		Serial: device.Serial, Labels: device.Labels, Specs: device.Specs,
		Price: device.Price, Bought: device.Bought, SeenAt: device.SeenAt,
	})
}

// Devices lists the devices of some serials.
func (d *Desk) Devices(ctx context.Context, serials ...uuid.UUID) ([]orm.Device, error) {
	found, err := d.queries.FindDevices(ctx, serials)
	all := make([]orm.Device, len(found))
	for i, f := range found {
		all[i] = orm.Device(f)
	}
	return all, err
}

// InTx runs work in a transaction.
func (d *Desk) InTx(ctx context.Context, work func(ctx context.Context, desk orm.Desk) error) error {
	return pgx.BeginFunc(ctx, d.db, func(tx pgx.Tx) error {
		return work(ctx, &Desk{tx, d.queries.WithTx(tx)})
	})
}

// Text runs SQL as it is.
func (d *Desk) Text(ctx context.Context, sql string) (text string, err error) {
	err = d.db.QueryRow(ctx, sql).Scan(&text)
	return text, err
}
