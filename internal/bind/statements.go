package bind

import (
	"container/list"
	"strconv"

	"github.com/jackc/pgx/v5/pgconn"
)

// statements is a connection's cache of described statements, least recently
// used out first. On a connection of its own each is a named prepared statement
// of the server; behind a pooler, where a name may not outlive a transaction,
// only its description is kept.
type statements struct {
	capacity int
	order    *list.List // of *statement, most recently used in front
	bySQL    map[string]*list.Element
	names    uint64
	// closing are names that left the cache and are closed with the next flight.
	closing []string
}

type statement struct {
	sql string
	sd  *pgconn.StatementDescription
}

func newStatements(capacity int) *statements {
	return &statements{capacity: capacity, order: list.New(), bySQL: make(map[string]*list.Element)}
}

func (c *statements) get(sql string) *pgconn.StatementDescription {
	e, ok := c.bySQL[sql]
	if !ok {
		return nil
	}
	c.order.MoveToFront(e)
	return e.Value.(*statement).sd
}

func (c *statements) put(sql string, sd *pgconn.StatementDescription) {
	c.drop(sql)
	c.bySQL[sql] = c.order.PushFront(&statement{sql, sd})
}

// trim drops what is over the capacity. It is called before statements are
// looked up and not when they are put, so that none is closed by the flight that
// uses it.
func (c *statements) trim() {
	for c.order.Len() > c.capacity {
		c.drop(c.order.Back().Value.(*statement).sql)
	}
}

func (c *statements) drop(sql string) {
	e, ok := c.bySQL[sql]
	if !ok {
		return
	}
	delete(c.bySQL, sql)
	if sd := c.order.Remove(e).(*statement).sd; sd.Name != "" {
		c.closing = append(c.closing, sd.Name)
	}
}

// nextName is a name that this connection has not used yet.
func (c *statements) nextName() string {
	c.names++
	return "rowhouse_" + strconv.FormatUint(c.names, 10)
}
