package orm_test

import (
	"testing"

	"entgo.io/ent/dialect"
	entsql "entgo.io/ent/dialect/sql"
	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect/pgdialect"
	"gorm.io/driver/postgres"
	"gorm.io/gorm"
	"gorm.io/gorm/logger"

	"github.com/rowhouse/rowhouse"
	"github.com/rowhouse/rowhouse/examples/orm/entdesk/ent"
	"github.com/rowhouse/rowhouse/sqldb"
)

// Libraries that would make tables are refused, with a tenant and without: tables
// come from migrations. So is what they would put into the session.
func TestRefused(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	d := &desktop{house: *h}
	acme := h.as("acme_gorm")
	g, err := gorm.Open(postgres.New(postgres.Config{Conn: sqldb.New(h.db)}), &gorm.Config{Logger: logger.Discard})
	h.must(err)
	type invoice struct{ ID int64 }
	type ticket struct{ ID int64 }
	d.wantCode("gorm, a new table", g.WithContext(acme).AutoMigrate(&invoice{}), "42501")
	d.wantError("gorm, a table that is there", g.WithContext(acme).AutoMigrate(&ticket{}), rowhouse.ErrStatementRefused)
	d.wantError("gorm, no tenant", g.AutoMigrate(&invoice{}), rowhouse.ErrNoTenant)

	type Invoice struct{ ID int64 }
	_, err = bun.NewDB(sqldb.New(h.db), pgdialect.New()).NewCreateTable().Model(&Invoice{}).Exec(acme)
	d.wantCode("bun, a table", err, "42501")

	client := ent.NewClient(ent.Driver(entsql.OpenDB(dialect.Postgres, sqldb.New(h.db))))
	// ent asks for the server's version with a context of its own.
	d.wantError("ent, a table", client.Schema.Create(acme), rowhouse.ErrNoTenant)
	variable := entsql.WithVar(acme, "statement_timeout", "1h")
	_, err = client.Ticket.Query().All(variable)
	d.wantError("ent, a variable", err, rowhouse.ErrStatementRefused)
	tx, err := client.Tx(acme)
	h.must(err)
	_, err = tx.Ticket.Query().All(variable)
	d.wantError("ent, a variable in a transaction", err, rowhouse.ErrStatementRefused)
	h.must(tx.Rollback())
}

// What libraries make of PostgreSQL's errors they make of them here.
func TestErrorsOfLibraries(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	d := &desktop{house: *h}
	acme := h.as("acme_gorm")
	g, err := gorm.Open(postgres.New(postgres.Config{Conn: sqldb.New(h.db)}), &gorm.Config{Logger: logger.Discard, TranslateError: true})
	h.must(err)
	type ticket struct {
		ID    int64
		Title string
	}
	type comment struct {
		ID       int64
		TicketID int64
		Body     string
	}
	d.wantError("gorm, no title", g.WithContext(acme).Create(&ticket{}).Error, gorm.ErrCheckConstraintViolated)
	d.wantError("gorm, no ticket", g.WithContext(acme).Create(&comment{TicketID: 4711}).Error, gorm.ErrForeignKeyViolated)
	d.wantError("gorm, no row", g.WithContext(acme).First(&ticket{}).Error, gorm.ErrRecordNotFound)
	client := ent.NewClient(ent.Driver(entsql.OpenDB(dialect.Postgres, sqldb.New(h.db))))
	if err := client.Ticket.Create().SetTitle("").Exec(acme); !ent.IsConstraintError(err) {
		t.Errorf("ent, no title: got %v, want a constraint error", err)
	}
	if _, err := client.Ticket.Get(acme, 4711); !ent.IsNotFound(err) {
		t.Errorf("ent, no row: got %v, want not found", err)
	}
}
