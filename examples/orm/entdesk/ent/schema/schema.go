// Package schema is what ent knows of the tenants' tables, which migrations make.
package schema

import (
	"entgo.io/ent"
	"entgo.io/ent/dialect"
	"entgo.io/ent/dialect/entsql"
	"entgo.io/ent/schema"
	"entgo.io/ent/schema/edge"
	"entgo.io/ent/schema/field"
	"github.com/google/uuid"
	"github.com/lib/pq"
	"github.com/shopspring/decimal"

	"github.com/rowhouse/rowhouse/examples/orm"
)

// Ticket is a row of table tickets.
type Ticket struct{ ent.Schema }

// Fields are the columns.
func (Ticket) Fields() []ent.Field {
	return []ent.Field{
		field.Int64("id"),
		field.String("title"),
		field.Time("created_at").Optional().Annotations(entsql.Default("now()")),
	}
}

// Edges are the relations.
func (Ticket) Edges() []ent.Edge { return []ent.Edge{edge.To("comments", Comment.Type)} }

// Comment is a row of table comments.
type Comment struct{ ent.Schema }

// Fields are the columns.
func (Comment) Fields() []ent.Field {
	return []ent.Field{
		field.Int64("id"),
		field.Int64("ticket_id"),
		field.String("body"),
	}
}

// Edges are the relations.
func (Comment) Edges() []ent.Edge {
	return []ent.Edge{edge.From("ticket", Ticket.Type).Ref("comments").Field("ticket_id").Unique().Required()}
}

// Device is a row of table devices.
type Device struct{ ent.Schema }

// Annotations name the table.
func (Device) Annotations() []schema.Annotation {
	return []schema.Annotation{entsql.Annotation{Table: "devices"}}
}

// Fields are the columns.
func (Device) Fields() []ent.Field {
	return []ent.Field{
		field.Int64("id"),
		field.UUID("serial", uuid.UUID{}).Unique(),
		field.Other("labels", pq.StringArray{}).SchemaType(map[string]string{dialect.Postgres: "text[]"}),
		field.JSON("specs", orm.Specs{}),
		field.Other("price", decimal.Decimal{}).SchemaType(map[string]string{dialect.Postgres: "numeric(12,2)"}),
		field.Time("bought").SchemaType(map[string]string{dialect.Postgres: "date"}),
		field.Time("seen_at").Optional().Nillable(),
	}
}
