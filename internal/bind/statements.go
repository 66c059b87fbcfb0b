package bind

import (
	"container/list"
	"strconv"

	"github.com/jackc/pgx/v5/pgconn"
)

// own names a statement of one binding. Its text alone would not do: it means
// other tables in another schema.
type own struct {
	binding string
	sql     string
}

// statements are a connection's prepared statements, each of one binding, least
// recently used out first. One that several tenants shared would be planned again
// with each change of tenant.
//
// To prepare a statement costs the server more than to run it once, in time and in
// memory (some 17 kB for a simple one). So a statement is prepared when a binding
// that is hot runs it for the second time, and where there is no more room it must be
// used more often than the one that has to go.
type statements struct {
	capacity int
	order    *list.List // of *statement, most recently used in front
	byKey    map[own]*list.Element
	hot      *hot
	// shared are the bind statements of all who have none of their own, by their text.
	shared map[string]*pgconn.StatementDescription
	// once are statements that ran once. Emptied when there are too many.
	once  map[own]struct{}
	names uint64
	// closing are names that left and are closed with the next flight.
	closing []string
}

type statement struct {
	key  own
	sd   *pgconn.StatementDescription
	uses int
}

// maxUses bounds how long a statement that was used much, and is no more, stays.
const maxUses = 8

func newStatements(capacity int) *statements {
	return &statements{
		capacity: capacity, order: list.New(),
		byKey: make(map[own]*list.Element), once: make(map[own]struct{}),
		hot: newHot(), shared: make(map[string]*pgconn.StatementDescription),
	}
}

func (c *statements) get(key own) *pgconn.StatementDescription {
	e, ok := c.byKey[key]
	if !ok {
		return nil
	}
	c.order.MoveToFront(e)
	s := e.Value.(*statement)
	s.uses = min(s.uses+1, maxUses)
	return s.sd
}

// admits tells whether a statement that is not prepared is to be.
func (c *statements) admits(key own) bool {
	if _, again := c.once[key]; !again {
		if len(c.once) >= 4*c.capacity {
			clear(c.once)
		}
		c.once[key] = struct{}{}
		return false
	}
	if !c.hot.has(key.binding) {
		return false
	}
	if c.order.Len() < c.capacity {
		return true
	}
	// What was used least recently loses half of its standing with each attempt.
	last := c.order.Back().Value.(*statement)
	last.uses /= 2
	return last.uses == 0
}

func (c *statements) put(key own, sd *pgconn.StatementDescription) {
	c.drop(key)
	delete(c.once, key)
	c.byKey[key] = c.order.PushFront(&statement{key: key, sd: sd, uses: 2})
}

// trim drops what is over the capacity. It is called before statements are
// looked up and not when they are put, so that none is closed by the flight that
// uses it.
func (c *statements) trim() {
	for c.order.Len() > c.capacity {
		c.drop(c.order.Back().Value.(*statement).key)
	}
}

func (c *statements) drop(key own) {
	e, ok := c.byKey[key]
	if !ok {
		return
	}
	delete(c.byKey, key)
	c.closing = append(c.closing, c.order.Remove(e).(*statement).sd.Name)
}

// lost forgets all that is prepared: the server has it no more.
func (c *statements) lost() {
	c.order.Init()
	clear(c.byKey)
	c.hot = newHot()
	clear(c.shared)
	c.closing = c.closing[:0]
}

// use counts a flight of a binding, and drops what was prepared for another that
// has to make room for it.
func (c *statements) use(binding string) *bound {
	b, cold, plain := c.hot.use(binding)
	if cold != nil {
		for key := range c.byKey {
			if key.binding == cold.binding {
				c.drop(key)
			}
		}
	}
	if plain != nil {
		for _, sd := range plain.binds {
			if sd != nil {
				c.closing = append(c.closing, sd.Name)
			}
		}
		plain.binds = [2]*pgconn.StatementDescription{}
	}
	return b
}

// nextName is a name that this connection has not used yet.
func (c *statements) nextName() string {
	c.names++
	return "rowhouse_" + strconv.FormatUint(c.names, 10)
}
