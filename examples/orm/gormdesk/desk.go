// Package gormdesk is the desk with GORM.
package gormdesk

import (
	"context"
	"time"

	"github.com/google/uuid"
	"github.com/lib/pq"
	"github.com/shopspring/decimal"
	"gorm.io/driver/postgres"
	"gorm.io/gorm"
	"gorm.io/gorm/clause"
	"gorm.io/gorm/logger"

	"github.com/rowhouse/rowhouse"
	"github.com/rowhouse/rowhouse/examples/orm"
	"github.com/rowhouse/rowhouse/sqldb"
)

// ticket is a row of table tickets.
type ticket struct {
	ID        int64
	Title     string
	CreatedAt time.Time
	Comments  []comment
}

// comment is a row of table comments.
type comment struct {
	ID       int64
	TicketID int64
	Body     string
}

// device is a row of table devices.
type device struct {
	ID     int64
	Serial uuid.UUID
	Labels pq.StringArray `gorm:"type:text[]"`
	Specs  orm.Specs      `gorm:"serializer:json"`
	Price  decimal.Decimal
	Bought time.Time
	SeenAt *time.Time
}

// Desk is an [orm.Desk].
type Desk struct{ db *gorm.DB }

// New makes a desk. cfg may be nil. GORM's AutoMigrate is not for tenants: their
// tables come from migrations.
func New(db *rowhouse.DB, cfg *gorm.Config) (*Desk, error) {
	if cfg == nil {
		cfg = &gorm.Config{}
	}
	cfg.Logger = logger.Discard
	g, err := gorm.Open(postgres.New(postgres.Config{Conn: sqldb.New(db)}), cfg)
	if err != nil {
		return nil, err
	}
	return &Desk{g}, nil
}

// Create files a ticket.
func (d *Desk) Create(ctx context.Context, title string) (int64, error) {
	row := ticket{Title: title}
	err := d.db.WithContext(ctx).Create(&row).Error
	return row.ID, err
}

// Rename changes a title.
func (d *Desk) Rename(ctx context.Context, id int64, title string) error {
	result := d.db.WithContext(ctx).Model(&ticket{ID: id}).Update("title", title)
	if result.Error == nil && result.RowsAffected == 0 {
		return orm.ErrNotFound
	}
	return result.Error
}

// Comment adds comments to a ticket.
func (d *Desk) Comment(ctx context.Context, ticket int64, bodies ...string) error {
	rows := make([]comment, len(bodies))
	for i, body := range bodies {
		rows[i] = comment{TicketID: ticket, Body: body}
	}
	return d.db.WithContext(ctx).Create(&rows).Error
}

// Tickets lists all tickets. Preload is a second statement.
func (d *Desk) Tickets(ctx context.Context) ([]orm.Ticket, error) {
	var found []ticket
	inOrder := func(db *gorm.DB) *gorm.DB { return db.Order("id") }
	if err := d.db.WithContext(ctx).Preload("Comments", inOrder).Order("id").Find(&found).Error; err != nil {
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
	upsert := clause.OnConflict{Columns: []clause.Column{{Name: "serial"}}, UpdateAll: true}
	err := d.db.WithContext(ctx).Clauses(upsert).Create(&row).Error
	return row.ID, err
}

// Devices lists the devices of some serials.
func (d *Desk) Devices(ctx context.Context, serials ...uuid.UUID) ([]orm.Device, error) {
	var found []device
	if err := d.db.WithContext(ctx).Where("serial IN ?", serials).Order("id").Find(&found).Error; err != nil {
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
	return d.db.WithContext(ctx).Transaction(func(tx *gorm.DB) error { return work(ctx, &Desk{tx}) })
}

// Text runs SQL as it is.
func (d *Desk) Text(ctx context.Context, sql string) (text string, err error) {
	err = d.db.WithContext(ctx).Raw(sql).Row().Scan(&text)
	return text, err
}
