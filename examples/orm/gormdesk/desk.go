// Package gormdesk is the desk with GORM.
package gormdesk

import (
	"context"
	"time"

	"gorm.io/driver/postgres"
	"gorm.io/gorm"
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
}

// Desk is an [orm.Sorter].
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
func (d *Desk) Create(ctx context.Context, title string) error {
	return d.db.WithContext(ctx).Create(&ticket{Title: title}).Error
}

// CreateAll files all tickets or none.
func (d *Desk) CreateAll(ctx context.Context, titles ...string) error {
	return d.db.WithContext(ctx).Transaction(func(tx *gorm.DB) error {
		for _, title := range titles {
			if err := tx.Create(&ticket{Title: title}).Error; err != nil {
				return err
			}
		}
		return nil
	})
}

// CreateSome files the tickets that have a title.
func (d *Desk) CreateSome(ctx context.Context, titles ...string) error {
	return d.db.WithContext(ctx).Transaction(func(tx *gorm.DB) error {
		for _, title := range titles {
			// What failed is rolled back to the savepoint, and left out.
			_ = tx.Transaction(func(inner *gorm.DB) error {
				return inner.Create(&ticket{Title: title}).Error
			})
		}
		return nil
	})
}

// Titles lists all tickets.
func (d *Desk) Titles(ctx context.Context) ([]string, error) {
	var found []ticket
	if err := d.db.WithContext(ctx).Order("id").Find(&found).Error; err != nil {
		return nil, err
	}
	var titles []string
	for _, t := range found {
		titles = append(titles, t.Title)
	}
	return titles, nil
}

// Spy names another schema.
func (d *Desk) Spy(ctx context.Context, schema string) error {
	return d.db.WithContext(ctx).Exec(orm.SpySQL(schema)).Error
}
