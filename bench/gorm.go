package main

import (
	"context"
	"database/sql"

	_ "github.com/bartventer/gorm-multitenancy/postgres/v8" // the driver of multitenancy.OpenDB
	multitenancy "github.com/bartventer/gorm-multitenancy/v8"
	"gorm.io/driver/postgres"
	"gorm.io/gorm"
	"gorm.io/gorm/logger"

	"github.com/rowhouse/rowhouse"
	"github.com/rowhouse/rowhouse/sqldb"
)

// ormRow is the row that is read, as GORM knows it.
type ormRow struct {
	ID     int
	Name   string
	Amount int
}

// TableName has no schema before it: that makes it a tenant's.
func (ormRow) TableName() string { return "m0" }

// IsSharedModel says so once more.
func (ormRow) IsSharedModel() bool { return false }

// ormRead is the same work for both: GORM on db, which is bound to the tenant.
func ormRead(db *gorm.DB, schema string, id int) error {
	var row ormRow
	if err := db.Select("name", "amount").Where("id = ?", id).Take(&row).Error; err != nil {
		return err
	}
	return checkName(schema, id, row.Name)
}

// gormMultitenancy reads with GORM in the way that gorm-multitenancy's
// documentation has for concurrent use, DB.WithTenant: a transaction in which the
// path is set and reset.
func gormMultitenancy(ctx context.Context, s stage) (contestant, error) {
	const name = "gorm-multitenancy"
	url, err := named(s.reader, name)
	if err != nil {
		return contestant{}, err
	}
	db, err := multitenancy.OpenDB(ctx, url, &gorm.Config{Logger: logger.Discard})
	if err != nil {
		return contestant{}, err
	}
	std, err := db.DB.DB()
	if err != nil {
		return contestant{}, err
	}
	std.SetMaxOpenConns(connections)
	std.SetMaxIdleConns(connections) // else it would connect again and again
	if err := db.RegisterModels(ctx, &ormRow{}); err != nil {
		_ = std.Close()
		return contestant{}, err
	}
	return contestant{name, func(ctx context.Context, tenant, id int) error {
		var failed error // WithTenant returns what COMMIT says
		err := db.WithTenant(ctx, s.schemas[tenant], func(tx *multitenancy.DB) error {
			failed = ormRead(tx.DB, s.schemas[tenant], id)
			return failed
		})
		if err != nil {
			return err
		}
		return failed
	}, closer(std)}, nil
}

// rowhouseGORM reads with GORM on rowhouse, as its documentation shows it.
func rowhouseGORM(ctx context.Context, s stage) (contestant, error) {
	const name = "rowhouse with GORM"
	h, err := openHouse(ctx, s, name, rowhouse.Config{})
	if err != nil {
		return contestant{}, err
	}
	std := sqldb.New(h.db)
	db, err := gorm.Open(postgres.New(postgres.Config{Conn: std}), &gorm.Config{Logger: logger.Discard})
	if err != nil {
		h.db.Close()
		return contestant{}, err
	}
	return contestant{name, func(_ context.Context, tenant, id int) error {
		return ormRead(db.WithContext(h.contexts[tenant]), s.schemas[tenant], id)
	}, func() { _ = std.Close(); h.db.Close() }}, nil
}

func closer(db *sql.DB) func() { return func() { _ = db.Close() } }
