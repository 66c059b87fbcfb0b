package main

import (
	"context"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/rowhouse/rowhouse"
)

// contestant reads one row of a tenant and checks that it is the tenant's.
type contestant struct {
	name  string
	read  func(ctx context.Context, tenant int, id int) error
	close func()
}

// entrant makes a contestant that is to serve the tenants of a stage.
type entrant func(ctx context.Context, s stage) (contestant, error)

// stage is where contestants meet: the tenants' schemas, and how the server is
// reached, perhaps by way of a network.
type stage struct {
	schemas []string
	reader  string // URL of a login that may read all tenants, which the others use
	app     string // URL of the application's login
}

// named is a URL whose connections the server shows under a contestant's name, so
// that their memory can be told apart.
func named(raw, name string) (string, error) {
	u, err := url.Parse(raw)
	if err != nil {
		return "", err
	}
	q := u.Query()
	q.Set("application_name", name)
	u.RawQuery = strings.ReplaceAll(q.Encode(), "+", "%20") // as PostgreSQL's URLs have it
	return u.String(), nil
}

// field are the contestants of one comparison.
type field struct {
	contestants []contestant
	closers     []func()
}

func (f *field) close() {
	for _, c := range slices.Backward(f.closers) {
		c()
	}
}

// open lets contestants in. They serve the first n tenants.
func (b *bench) open(ctx context.Context, entrants []entrant, n int, rtt time.Duration) (*field, error) {
	f := &field{}
	s := stage{schemas: b.schemas[:n], reader: b.reader, app: b.app}
	if rtt > 0 {
		stop, err := s.delay(rtt)
		if err != nil {
			return nil, err
		}
		f.closers = append(f.closers, stop)
	}
	for _, enter := range entrants {
		c, err := enter(ctx, s)
		if err != nil {
			f.close()
			return nil, err
		}
		f.contestants = append(f.contestants, c)
		f.closers = append(f.closers, c.close)
	}
	return f, nil
}

// byID is what is read. A schema and a dot may stand before the table.
const byID = `SELECT name, amount FROM %sm0 WHERE id = $1`

// check reads the row and holds it against what the tenant's has in it.
func check(schema string, id int, row pgx.Row) error {
	var name string
	var amount int
	if err := row.Scan(&name, &amount); err != nil {
		return err
	}
	return checkName(schema, id, name)
}

func checkName(schema string, id int, name string) error {
	if want := fmt.Sprintf("%s %d", schema, id); name != want {
		return fmt.Errorf("read %q, want %q", name, want)
	}
	return nil
}

// house is an open rowhouse.DB with a context for each tenant of the stage.
type house struct {
	db       *rowhouse.DB
	contexts []context.Context
}

// openHouse opens rowhouse and looks the tenants up.
func openHouse(ctx context.Context, s stage, name string, cfg rowhouse.Config) (*house, error) {
	var err error
	if cfg.DatabaseURL, err = named(s.app, name); err != nil {
		return nil, err
	}
	cfg.MaxConns = connections
	h := &house{}
	if h.db, err = rowhouse.Open(ctx, cfg); err != nil {
		return nil, err
	}
	for _, schema := range s.schemas {
		t, err := h.db.TenantBySchema(ctx, schema)
		if err != nil {
			h.db.Close()
			return nil, err
		}
		h.contexts = append(h.contexts, rowhouse.WithTenant(ctx, t))
	}
	return h, nil
}

// rowhouseDB reads through rowhouse.DB.
func rowhouseDB(ctx context.Context, s stage) (contestant, error) {
	const name = "rowhouse"
	h, err := openHouse(ctx, s, name, rowhouse.Config{})
	if err != nil {
		return contestant{}, err
	}
	sql := fmt.Sprintf(byID, "")
	return contestant{name, func(_ context.Context, tenant, id int) error {
		return check(s.schemas[tenant], id, h.db.QueryRow(h.contexts[tenant], sql, id))
	}, h.db.Close}, nil
}
