package bind

import (
	"container/list"
	"sync"

	"github.com/jackc/pgx/v5/pgconn"
)

// Descriptions are what is known of statements: the types of their parameters and
// the columns of their answers. The sessions of a pool share them, so that a
// statement costs a round trip more once in a process and not on each connection.
//
// Tenants whose schemas have the same shape share a description, unless a type in
// it is the tenant's own, such as an enum of its schema, which is another type in
// every tenant.
type Descriptions struct {
	capacity int

	mu    sync.Mutex
	order *list.List // of *description, most recently used in front
	byKey map[own]*list.Element
	// foreign tells of types that are not PostgreSQL's own whether they are of a
	// tenant's schema.
	foreign map[uint32]bool
}

type description struct {
	key own
	// sd is nil where each tenant has a description of its own.
	sd *pgconn.StatementDescription
}

// NewDescriptions makes room for so many.
func NewDescriptions(capacity int) *Descriptions {
	return &Descriptions{
		capacity: capacity, order: list.New(),
		byKey: make(map[own]*list.Element), foreign: make(map[uint32]bool),
	}
}

// get finds the description of a statement for a binding.
func (d *Descriptions) get(b *Binding, sql string) *pgconn.StatementDescription {
	d.mu.Lock()
	defer d.mu.Unlock()
	if b.shared() {
		if e, ok := d.byKey[own{b.shape, sql}]; ok {
			d.order.MoveToFront(e)
			if sd := e.Value.(*description).sd; sd != nil {
				return sd
			}
		}
	}
	e, ok := d.byKey[own{b.own, sql}]
	if !ok {
		return nil
	}
	d.order.MoveToFront(e)
	return e.Value.(*description).sd
}

// put keeps a description. apart says that it holds for this binding only.
func (d *Descriptions) put(b *Binding, sql string, sd *pgconn.StatementDescription, apart bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case !b.shared():
		d.set(own{b.own, sql}, sd)
	case apart:
		d.set(own{b.shape, sql}, nil)
		d.set(own{b.own, sql}, sd)
	default:
		d.set(own{b.shape, sql}, sd)
	}
	for d.order.Len() > d.capacity {
		delete(d.byKey, d.order.Remove(d.order.Back()).(*description).key)
	}
}

func (d *Descriptions) set(key own, sd *pgconn.StatementDescription) {
	if e, ok := d.byKey[key]; ok {
		d.order.Remove(e)
	}
	d.byKey[key] = d.order.PushFront(&description{key, sd})
}

// drop forgets what turned out to be wrong for a binding, which from now on has
// descriptions of its own: its tables are not as its shape says.
func (d *Descriptions) drop(b *Binding, sql string) {
	b.apart.Store(true)
	d.mu.Lock()
	defer d.mu.Unlock()
	if e, ok := d.byKey[own{b.own, sql}]; ok {
		d.order.Remove(e)
		delete(d.byKey, own{b.own, sql})
	}
}

// firstUserOID is the first OID that PostgreSQL gives to what is made in a
// database (FirstNormalObjectId in access/transam.h). All before are its own.
const firstUserOID = 16384

// types are the types of a description that may be a tenant's, first those of
// which it is known, then the others.
func (d *Descriptions) types(sd *pgconn.StatementDescription) (tenants bool, unknown []uint32) {
	d.mu.Lock()
	defer d.mu.Unlock()
	look := func(oid uint32) {
		if oid < firstUserOID {
			return
		}
		if foreign, known := d.foreign[oid]; !known {
			unknown = append(unknown, oid)
		} else if foreign {
			tenants = true
		}
	}
	for _, oid := range sd.ParamOIDs {
		look(oid)
	}
	for _, f := range sd.Fields {
		look(f.DataTypeOID)
	}
	return tenants, unknown
}

// maxTypes bounds what is remembered of types: each tenant may have its own.
const maxTypes = 100_000

func (d *Descriptions) learn(foreign map[uint32]bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.foreign)+len(foreign) > maxTypes {
		clear(d.foreign)
	}
	for oid, is := range foreign {
		d.foreign[oid] = is
	}
}

// shared tells whether the binding's descriptions are those of its shape.
func (b *Binding) shared() bool { return b.shape != "" && !b.apart.Load() }
