package orm_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/url"
	"sync/atomic"
	"testing"

	"github.com/google/uuid"

	"github.com/rowhouse/rowhouse"
	"github.com/rowhouse/rowhouse/examples/orm"
)

// flights are the round trips of some work, once it is warm.
type flights struct{ create, rename, tickets, devices, twoInTx int64 }

// What docs/orms.md says of round trips.
var wantFlights = map[string]flights{
	"sqlc_pgx":          {create: 1, rename: 1, tickets: 1, devices: 1, twoInTx: 3},
	"sqlc_std":          {create: 1, rename: 1, tickets: 1, devices: 1, twoInTx: 3},
	"sqlc_std_prepared": {create: 1, rename: 1, tickets: 1, devices: 1, twoInTx: 3},
	"gorm":              {create: 2, rename: 2, tickets: 2, devices: 1, twoInTx: 3},
	"gorm_lean":         {create: 1, rename: 1, tickets: 2, devices: 1, twoInTx: 3},
	"bun":               {create: 2, rename: 2, tickets: 2, devices: 1, twoInTx: 5},
	"ent":               {create: 1, rename: 3, tickets: 2, devices: 1, twoInTx: 3},
	"sqlx":              {create: 1, rename: 1, tickets: 1, devices: 1, twoInTx: 3},
}

func TestRoundTrips(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	w := newWire(h)
	db, err := rowhouse.Open(t.Context(), rowhouse.Config{DatabaseURL: w.url, MaxConns: 1})
	h.must(err)
	t.Cleanup(db.Close)
	h.db = db
	for name, lib := range libraries {
		desk, err := lib.open(t.Context(), db)
		h.must(err)
		ctx := h.as("acme_" + name)
		serial := uuid.New()
		got := flights{
			create:  w.count(func(i int) error { _, err := desk.Create(ctx, fmt.Sprint(i)); return err }),
			rename:  w.count(func(i int) error { return desk.Rename(ctx, 1, fmt.Sprint("renamed ", i)) }),
			tickets: w.count(func(int) error { _, err := desk.Tickets(ctx); return err }),
			devices: w.count(func(int) error { _, err := desk.Devices(ctx, serial); return err }),
			twoInTx: w.count(func(i int) error { return createTwo(ctx, desk, i) }),
		}
		if got != wantFlights[name] {
			t.Errorf("%s: got %+v, want %+v", name, got, wantFlights[name])
		}
	}
}

func createTwo(ctx context.Context, desk orm.Desk, i int) error {
	return desk.InTx(ctx, func(ctx context.Context, desk orm.Desk) error {
		if _, err := desk.Create(ctx, fmt.Sprint("one ", i)); err != nil {
			return err
		}
		_, err := desk.Create(ctx, fmt.Sprint("two ", i))
		return err
	})
}

// wire is a way to the server that counts how often it turns from what the
// application says to what the server says.
type wire struct {
	h      *house
	url    string
	server string
	turns  atomic.Int64
}

func newWire(h *house) *wire {
	h.t.Helper()
	u, err := url.Parse(h.login)
	h.must(err)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	h.must(err)
	h.t.Cleanup(func() { _ = listener.Close() })
	w := &wire{h: h, server: u.Host}
	u.Host = listener.Addr().String()
	w.url = u.String()
	go func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return // closed
			}
			go w.carry(client)
		}
	}()
	return w
}

// carry carries a connection until one side closes it.
func (w *wire) carry(client net.Conn) {
	defer func() { _ = client.Close() }()
	server, err := net.Dial("tcp", w.server)
	if err != nil {
		return // the application sees its connection closed
	}
	var asked atomic.Bool
	go func() {
		defer func() { _ = server.Close() }()
		copyEach(server, client, func() {
			if !asked.Swap(true) {
				w.turns.Add(1)
			}
		})
	}()
	copyEach(client, server, func() { asked.Store(false) })
}

// copyEach tells of each piece before it copies it.
func copyEach(to io.Writer, from io.Reader, tell func()) {
	buf := make([]byte, 1<<16)
	for {
		n, err := from.Read(buf)
		if err != nil {
			return
		}
		tell()
		if _, err := to.Write(buf[:n]); err != nil {
			return
		}
	}
}

// count is how many round trips work takes when its statements are known. The DB
// speaks with the server on its own account too, so the least of a few counts.
func (w *wire) count(work func(i int) error) int64 {
	w.h.t.Helper()
	w.h.must(work(0))
	least := int64(1 << 30)
	for i := range 3 {
		before := w.turns.Load()
		w.h.must(work(i + 1))
		least = min(least, w.turns.Load()-before)
	}
	return least
}
