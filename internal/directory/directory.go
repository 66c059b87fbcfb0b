// Package directory is the catalog in memory, kept true: bounded, and emptied of
// what changed as soon as the catalog says so.
//
// An entry is dropped when the catalog notifies of a change, and everything is
// dropped when the connection that listens was lost, since a change may have been
// missed. While nobody listens (the connection is being made again, or a pooler
// does not pass notifications on) entries live for [Blind] only. So a process
// sees every change within a second.
//
// Begin reading at [Directory.Lookup].
package directory

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/singleflight"

	"github.com/rowhouse/rowhouse/internal/catalog"
)

const (
	// Blind is how long an entry lives while nobody listens for changes.
	Blind = 500 * time.Millisecond
	// Lifetime is how long an entry lives at most: a bound on the harm of a
	// notification that was lost on the way.
	Lifetime = time.Minute
	// Capacity is how many entries are kept.
	Capacity = 20_000
	// loadTimeout bounds one look-up in the catalog. It serves all who wait for
	// it, so no caller's own deadline does.
	loadTimeout = 10 * time.Second
)

// By says by what a tenant is looked up.
type By string

// What tenants are looked up by.
const (
	ByDomain By = "domain"
	BySchema By = "schema"
	ByID     By = "id"
)

// Key is what a tenant is looked up by, and its value.
type Key struct {
	By    By
	Value string
}

// Loader reads one entry from the catalog. id is the tenant's, and an error that
// wraps [catalog.ErrNoTenant] is an answer, which is kept too.
type Loader[T any] func(ctx context.Context, key Key) (value T, id string, err error)

// Directory caches what its loader reads. It is safe for concurrent use.
type Directory[T any] struct {
	load   Loader[T]
	flight singleflight.Group

	mu      sync.RWMutex
	entries map[Key]entry[T]
	byID    map[string]map[Key]struct{}
	// changes counts what made entries untrue. A load that it overtook is
	// answered but not kept.
	changes   uint64
	listening bool
}

type entry[T any] struct {
	value  T
	id     string
	err    error
	loaded time.Time
}

// New makes a directory that is blind until [Directory.Listen] runs.
func New[T any](load Loader[T]) *Directory[T] {
	return &Directory[T]{load: load, entries: make(map[Key]entry[T]), byID: make(map[string]map[Key]struct{})}
}

// Lookup returns the entry of a key, from memory if it is there. Of several that
// ask for the same at once one asks the catalog.
func (d *Directory[T]) Lookup(ctx context.Context, key Key) (T, error) {
	d.mu.RLock()
	e, ok := d.entries[key]
	changes := d.changes
	life := Lifetime
	if !d.listening {
		life = Blind
	}
	d.mu.RUnlock()
	if ok && time.Since(e.loaded) < life {
		return e.value, e.err
	}
	// A load from before a change is not joined: its answer may be the old one.
	flight := fmt.Sprint(changes, " ", key.By, " ", key.Value)
	answer := d.flight.DoChan(flight, func() (any, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), loadTimeout)
		defer cancel()
		return d.refresh(ctx, key), nil
	})
	select {
	case <-ctx.Done():
		var none T
		return none, context.Cause(ctx)
	case a := <-answer:
		e := a.Val.(entry[T])
		return e.value, e.err
	}
}

func (d *Directory[T]) refresh(ctx context.Context, key Key) entry[T] {
	d.mu.RLock()
	before := d.changes
	d.mu.RUnlock()
	e := entry[T]{loaded: time.Now()}
	e.value, e.id, e.err = d.load(ctx, key)
	if e.err != nil && !errors.Is(e.err, catalog.ErrNoTenant) {
		return e // no answer, so nothing to keep
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.changes == before {
		d.put(key, e)
	}
	return e
}

func (d *Directory[T]) put(key Key, e entry[T]) {
	for k := range d.entries {
		if len(d.entries) < Capacity {
			break
		}
		d.drop(k) // any: iteration begins somewhere else each time
	}
	d.drop(key)
	d.entries[key] = e
	if d.byID[e.id] == nil {
		d.byID[e.id] = make(map[Key]struct{})
	}
	d.byID[e.id][key] = struct{}{}
}

func (d *Directory[T]) drop(key Key) {
	e, ok := d.entries[key]
	if !ok {
		return
	}
	delete(d.entries, key)
	delete(d.byID[e.id], key)
	if len(d.byID[e.id]) == 0 {
		delete(d.byID, e.id)
	}
}

// Flush drops everything.
func (d *Directory[T]) Flush() { d.changed(func() { clear(d.entries); clear(d.byID) }) }

func (d *Directory[T]) changed(forget func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.changes++
	forget()
}

// notified drops what a notification's payload names: "tenant ID", "domain NAME",
// or everything for "flush". Answers that there is no such tenant have no id; those by schema or id
// go with every tenant's change, as it may be the one that they deny.
func (d *Directory[T]) notified(payload string) {
	what, value, _ := strings.Cut(payload, " ")
	if what == "flush" {
		d.Flush()
		return
	}
	d.changed(func() {
		if what == "domain" {
			d.drop(Key{ByDomain, value})
			return
		}
		for key := range d.byID[value] {
			d.drop(key)
		}
		for key := range d.byID[""] {
			if key.By != ByDomain {
				d.drop(key)
			}
		}
	})
}

// Listen keeps the directory true until ctx ends. It connects again, with
// jittered pauses of up to five seconds, whenever the connection is lost.
func (d *Directory[T]) Listen(ctx context.Context, connect func(context.Context) (*pgx.Conn, error)) {
	for pause := 100 * time.Millisecond; ctx.Err() == nil; pause = min(2*pause, 5*time.Second) {
		if d.listenOnce(ctx, connect) {
			pause = 100 * time.Millisecond
		}
		select {
		case <-ctx.Done():
		case <-time.After(pause/2 + rand.N(pause/2)):
		}
	}
}

// listenOnce listens on one connection until it fails. It tells whether it ever
// listened.
func (d *Directory[T]) listenOnce(ctx context.Context, connect func(context.Context) (*pgx.Conn, error)) bool {
	conn, err := connect(ctx)
	if err != nil {
		return false
	}
	defer conn.Close(context.WithoutCancel(ctx))
	if _, err := conn.Exec(ctx, "LISTEN "+catalog.Channel); err != nil {
		return false
	}
	d.setListening(true)
	defer d.setListening(false)
	for {
		n, err := conn.WaitForNotification(ctx)
		if err != nil {
			return true
		}
		d.notified(n.Payload)
	}
}

// setListening notes whether changes are heard from now on. Either way, changes
// before now may have been missed.
func (d *Directory[T]) setListening(listening bool) {
	d.changed(func() {
		d.listening = listening
		clear(d.entries)
		clear(d.byID)
	})
}

// Forget drops the entries of one tenant, as its notification does.
func (d *Directory[T]) Forget(id string) { d.notified("tenant " + id) }
