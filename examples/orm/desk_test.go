package orm_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/shopspring/decimal"

	"github.com/rowhouse/rowhouse"
	"github.com/rowhouse/rowhouse/examples/orm"
)

// desktop is a desk and two tenants that work at it.
type desktop struct {
	house
	orm.Desk
	acme, globex string // schemas
}

func (d *desktop) wantError(what string, err, want error) {
	d.t.Helper()
	if !errors.Is(err, want) {
		d.t.Errorf("%s: got %v, want %v", what, err, want)
	}
}

// wantCode fails the test unless PostgreSQL's error can be got at.
func (d *desktop) wantCode(what string, err error, code string) {
	d.t.Helper()
	var pgErr *pgconn.PgError
	if !errors.As(err, &pgErr) || pgErr.Code != code {
		d.t.Errorf("%s: got %v, want %s", what, err, code)
	}
}

// wantTickets compares tickets, each written as "title: comment, comment".
func (d *desktop) wantTickets(schema string, want ...string) {
	d.t.Helper()
	found, err := d.Tickets(d.as(schema))
	d.must(err)
	var got []string
	for _, ticket := range found {
		got = append(got, ticket.Title+": "+strings.Join(ticket.Comments, ", "))
		if age := time.Since(ticket.CreatedAt); age < -time.Minute || age > time.Hour {
			d.t.Errorf("ticket %q is of %v", ticket.Title, ticket.CreatedAt)
		}
	}
	if !slices.Equal(got, want) {
		d.t.Errorf("%s has tickets %q, want %q", schema, got, want)
	}
}

// file files a ticket with comments.
func file(ctx context.Context, desk orm.Desk, title string, comments ...string) error {
	id, err := desk.Create(ctx, title)
	if err != nil {
		return err
	}
	return desk.Comment(ctx, id, comments...)
}

// fileAll files tickets in one transaction.
func (d *desktop) fileAll(ctx context.Context, titles ...string) error {
	return d.InTx(ctx, func(ctx context.Context, desk orm.Desk) error {
		for _, title := range titles {
			if err := file(ctx, desk, title, "in a transaction"); err != nil {
				return err
			}
		}
		return nil
	})
}

// Without a tenant nothing runs.
func (d *desktop) wantFailClosed() {
	d.t.Helper()
	ctx := d.t.Context()
	calls := map[string]func() error{
		"create":   func() error { _, err := d.Create(ctx, "x"); return err },
		"comment":  func() error { return d.Comment(ctx, 1, "x") },
		"rename":   func() error { return d.Rename(ctx, 1, "x") },
		"tickets":  func() error { _, err := d.Tickets(ctx); return err },
		"register": func() error { _, err := d.Register(ctx, newDevice(uuid.New())); return err },
		"devices":  func() error { _, err := d.Devices(ctx, uuid.New()); return err },
		"in tx":    func() error { return d.fileAll(ctx, "x") },
		"text":     func() error { _, err := d.Text(ctx, `SELECT 'x'`); return err },
	}
	for what, call := range calls {
		d.wantError(what+" without a tenant", call(), rowhouse.ErrNoTenant)
	}
	d.wantTickets(d.acme)
}

// Two tenants in turn, so that each statement that the library keeps serves both.
func (d *desktop) wantOwnTickets() {
	d.t.Helper()
	for _, title := range []string{"first", "second"} {
		for _, s := range []string{d.acme, d.globex} {
			d.must(file(d.as(s), d, title+" of "+s, "one of "+s, "two of "+s))
		}
	}
	for range 2 {
		for _, s := range []string{d.acme, d.globex} {
			of := fmt.Sprintf(" of %[1]s: one of %[1]s, two of %[1]s", s)
			d.wantTickets(s, "first"+of, "second"+of)
		}
	}
}

// The tenants' tickets have the same IDs.
func (d *desktop) wantOwnIDs() {
	d.t.Helper()
	d.clear(d.acme)
	d.clear(d.globex)
	ofAcme, err := d.Create(d.as(d.acme), "of acme")
	d.must(err)
	ofGlobex, err := d.Create(d.as(d.globex), "of globex")
	d.must(err)
	if ofAcme != ofGlobex {
		d.t.Fatalf("the tickets are %d and %d", ofAcme, ofGlobex)
	}
	d.must(d.Rename(d.as(d.acme), ofAcme, "renamed"))
	d.wantTickets(d.acme, "renamed: ")
	d.wantTickets(d.globex, "of globex: ")
	next, err := d.Create(d.as(d.globex), "next")
	d.must(err)
	d.wantError("another's ticket", d.Rename(d.as(d.acme), next, "x"), orm.ErrNotFound)
	d.wantError("in a transaction", d.InTx(d.as(d.acme), func(ctx context.Context, desk orm.Desk) error {
		return desk.Rename(ctx, next, "x")
	}), orm.ErrNotFound)
	d.wantCode("no title", d.Rename(d.as(d.globex), next, ""), "23514")
	d.wantTickets(d.globex, "of globex: ", "next: ")
}

// newDevice has values that are hard to quote.
func newDevice(serial uuid.UUID) orm.Device {
	seen := time.Date(2024, 2, 29, 23, 59, 59, 123456000, time.FixedZone("", -7*3600))
	return orm.Device{
		Serial: serial,
		Labels: []string{"", "NULL", "a b", `c,"d"\{}'`, "ärger ?", "$1", ":x"},
		Specs:  orm.Specs{CPU: `"Z80" ? $1 'x' \`, Ports: []int{80, 443}, More: map[string]any{"a": nil, "b": []any{true, 1.5}}},
		Price:  decimal.RequireFromString("9999999999.99"),
		Bought: time.Date(2024, 2, 29, 0, 0, 0, 0, time.UTC),
		SeenAt: &seen,
	}
}

func (d *desktop) wantDevices(schema string, serials []uuid.UUID, want ...orm.Device) {
	d.t.Helper()
	got, err := d.Devices(d.as(schema), serials...)
	d.must(err)
	if g, w := describe(d, got), describe(d, want); g != w {
		d.t.Errorf("%s has devices\n%s, want\n%s", schema, g, w)
	}
}

// describe writes devices in a form that shows every difference that matters.
func describe(d *desktop, devices []orm.Device) string {
	d.t.Helper()
	var b strings.Builder
	for _, v := range devices {
		specs, err := json.Marshal(v.Specs)
		d.must(err)
		seen := "never"
		if v.SeenAt != nil {
			seen = v.SeenAt.UTC().String()
		}
		fmt.Fprintf(&b, "%d %s %q %s %s %s %s\n", v.ID, v.Serial, v.Labels, specs, v.Price, v.Bought.Format(time.DateOnly), seen)
	}
	return b.String()
}

// Two tenants have devices of one serial. Each kind of column comes back as it went
// in, and an upsert changes that of its tenant.
func (d *desktop) wantOwnDevices() {
	d.t.Helper()
	serials := []uuid.UUID{uuid.New(), uuid.New()}
	ofAcme, ofGlobex, other := newDevice(serials[0]), newDevice(serials[0]), newDevice(serials[1])
	ofGlobex.Price, ofGlobex.Labels = decimal.RequireFromString("-0.5"), []string{}
	other.SeenAt, other.Specs = nil, orm.Specs{}
	d.register(d.acme, &ofAcme)
	d.register(d.globex, &ofGlobex)
	d.register(d.acme, &other)
	d.wantDevices(d.acme, serials, ofAcme, other)
	d.wantDevices(d.globex, serials, ofGlobex)
	d.wantDevices(d.globex, serials[1:])

	first := ofAcme.ID
	ofAcme.SeenAt, ofAcme.Labels, ofAcme.Specs.Ports = nil, []string{"changed"}, []int{}
	d.register(d.acme, &ofAcme)
	if ofAcme.ID != first {
		d.t.Errorf("device %d became %d", first, ofAcme.ID)
	}
	d.wantDevices(d.acme, serials, ofAcme, other)
	d.wantDevices(d.globex, serials, ofGlobex)
}

func (d *desktop) register(schema string, device *orm.Device) {
	d.t.Helper()
	var err error
	device.ID, err = d.Register(d.as(schema), *device)
	d.must(err)
}

// clear removes a tenant's tickets.
func (d *desktop) clear(schema string) {
	d.t.Helper()
	if _, err := d.db.Exec(d.as(schema), `DELETE FROM tickets`); err != nil {
		d.t.Fatal(err)
	}
}

// A transaction that fails leaves nothing.
func (d *desktop) wantAllOrNone() {
	d.t.Helper()
	d.clear(d.acme)
	d.wantCode("a ticket without a title", d.fileAll(d.as(d.acme), "one", "two", ""), "23514")
	d.wantTickets(d.acme)
	d.must(d.fileAll(d.as(d.acme), "one", "two"))
	d.wantTickets(d.acme, "one: in a transaction", "two: in a transaction")
	panicked := func() (v any) {
		defer func() { v = recover() }()
		return d.InTx(d.as(d.acme), func(ctx context.Context, desk orm.Desk) error {
			d.must(file(ctx, desk, "three", "gone"))
			panic("boom")
		})
	}
	if v := panicked(); v != "boom" {
		d.t.Errorf("a panic came back as %v", v)
	}
	d.wantTickets(d.acme, "one: in a transaction", "two: in a transaction")
}

// A transaction has one tenant. A context without any is the transaction's.
func (d *desktop) wantOneTenantInTx() {
	d.t.Helper()
	d.clear(d.acme)
	d.clear(d.globex)
	d.must(d.InTx(d.as(d.acme), func(_ context.Context, desk orm.Desk) error {
		if err := file(d.t.Context(), desk, "of acme", "without a context's tenant"); err != nil {
			return err
		}
		found, err := desk.Tickets(d.t.Context())
		if len(found) != 1 || len(found[0].Comments) != 1 {
			d.t.Errorf("the transaction sees %+v", found)
		}
		return err
	}))
	d.wantTickets(d.acme, "of acme: without a context's tenant")
	d.wantTickets(d.globex)
	for what, call := range map[string]func(ctx context.Context, desk orm.Desk) error{
		"create":  func(ctx context.Context, desk orm.Desk) error { _, err := desk.Create(ctx, "x"); return err },
		"tickets": func(ctx context.Context, desk orm.Desk) error { _, err := desk.Tickets(ctx); return err },
		"register": func(ctx context.Context, desk orm.Desk) error {
			_, err := desk.Register(ctx, newDevice(uuid.New()))
			return err
		},
		"text":   func(ctx context.Context, desk orm.Desk) error { _, err := desk.Text(ctx, `SELECT 'x'`); return err },
		"rename": func(ctx context.Context, desk orm.Desk) error { return desk.Rename(ctx, 1, "x") },
	} {
		err := d.InTx(d.as(d.acme), func(_ context.Context, desk orm.Desk) error {
			if err := file(d.t.Context(), desk, "gone", "gone"); err != nil {
				return err
			}
			return call(d.as(d.globex), desk)
		})
		d.wantError(what+" as another tenant", err, rowhouse.ErrTenantMismatch)
	}
	d.wantTickets(d.acme, "of acme: without a context's tenant")
	d.wantTickets(d.globex)
}

// Nested transactions are savepoints: what fails is left out and the rest is kept.
func (d *desktop) wantNested(nests bool) {
	d.t.Helper()
	for _, s := range []string{d.acme, d.globex} {
		d.clear(s)
		var inner error
		d.must(d.InTx(d.as(s), func(ctx context.Context, desk orm.Desk) error {
			for _, title := range []string{"one", "", "two", ""} {
				inner = desk.InTx(ctx, func(ctx context.Context, desk orm.Desk) error {
					return file(ctx, desk, title, "of "+s)
				})
			}
			return nil
		}))
		if !nests {
			d.wantError("nested", inner, orm.ErrNotNested)
			continue
		}
		d.wantCode("nested", inner, "23514")
		d.wantTickets(s, "one: of "+s, "two: of "+s)
	}
}

// Raw SQL is bound as well, and PostgreSQL refuses what names another tenant's
// schema.
func (d *desktop) wantWall() {
	d.t.Helper()
	secret := func(schema string) string { return `SELECT count(*)::text FROM ` + schema + `.tickets` }
	for own, other := range map[string]string{d.acme: d.globex, d.globex: d.acme} {
		got, err := d.Text(d.as(own), `SELECT current_schema()::text`)
		if err != nil || got != own {
			d.t.Errorf("as %s: raw SQL is in %s, %v", own, got, err)
		}
		_, err = d.Text(d.as(own), secret(own))
		d.must(err)
		_, err = d.Text(d.as(own), secret(other))
		d.wantCode(own+" reads "+other, err, "42501")
		d.wantCode("in a transaction", d.InTx(d.as(own), func(ctx context.Context, desk orm.Desk) error {
			_, err := desk.Text(ctx, secret(other))
			return err
		}), "42501")
		_, err = d.Text(d.as(own), `SET ROLE none`)
		d.wantError("leaving the role", err, rowhouse.ErrStatementRefused)
	}
}

// A context that ends stops the statement and leaves no connection behind: there
// are fewer than statements here.
func (d *desktop) wantCancelled() {
	d.t.Helper()
	d.clear(d.acme)
	const forever = `SELECT pg_sleep(600)::text`
	for range 2 {
		ctx, cancel := context.WithTimeout(d.as(d.acme), 50*time.Millisecond)
		_, err := d.Text(ctx, forever)
		d.wantError("statement", err, context.DeadlineExceeded)
		cancel()
		ctx, cancel = context.WithCancel(d.as(d.acme))
		err = d.InTx(ctx, func(ctx context.Context, desk orm.Desk) error {
			if err := file(ctx, desk, "gone", "gone"); err != nil {
				return err
			}
			time.AfterFunc(50*time.Millisecond, cancel)
			_, err := desk.Text(ctx, forever)
			return err
		})
		d.wantError("transaction", err, context.Canceled)
		d.wantError("begin", d.fileAll(ctx, "gone"), context.Canceled)
	}
	d.wantTickets(d.acme)
}

// Two tenants at once, on fewer connections than there are goroutines.
func (d *desktop) wantOwnRowsAtOnce() {
	d.t.Helper()
	serial := uuid.New()
	var wg sync.WaitGroup
	for i := range 8 {
		own := []string{d.acme, d.globex}[i%2]
		ctx := d.as(own)
		wg.Go(func() {
			for range 3 {
				if err := d.workAtOnce(ctx, own, serial); err != nil {
					d.t.Errorf("%s: %v", own, err)
				}
			}
		})
	}
	wg.Wait()
}

// workAtOnce does some of everything and looks for rows of others.
func (d *desktop) workAtOnce(ctx context.Context, own string, serial uuid.UUID) error {
	device := newDevice(serial)
	device.Labels = []string{own}
	_, registerErr := d.Register(ctx, device)
	fileErr := d.InTx(ctx, func(ctx context.Context, desk orm.Desk) error { return file(ctx, desk, "at once", own) })
	tickets, ticketsErr := d.Tickets(ctx)
	devices, devicesErr := d.Devices(ctx, serial)
	if err := errors.Join(registerErr, fileErr, ticketsErr, devicesErr); err != nil {
		return err
	}
	for _, t := range tickets {
		if t.Title == "at once" && !slices.Equal(t.Comments, []string{own}) {
			return fmt.Errorf("sees a ticket of %q", t.Comments)
		}
	}
	if len(devices) != 1 || !slices.Equal(devices[0].Labels, []string{own}) {
		return fmt.Errorf("sees devices %+v", devices)
	}
	return nil
}
