package rowhouse

import (
	"context"
	"fmt"
	"sync"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgconn/ctxwatch"

	"github.com/rowhouse/rowhouse/internal/bind"
	"github.com/rowhouse/rowhouse/internal/catalog"
	"github.com/rowhouse/rowhouse/internal/directory"
	"github.com/rowhouse/rowhouse/internal/pool"
)

// Config says how a DB reaches PostgreSQL. Only DatabaseURL is needed.
type Config struct {
	// DatabaseURL is the application's connection string, as a URL or in
	// key=value form, with pgxpool's pool_ settings if wanted. Its login should
	// own nothing and be no superuser.
	DatabaseURL string

	// MaxConns is the number of connections that all tenants share. Defaults to
	// pool_max_conns of DatabaseURL, else to the greater of 4 and the number of
	// CPUs. Up to three more are for the catalog: two to look tenants up and one
	// to hear of changes.
	MaxConns int32

	// TenantsPerConn is for how many tenants a connection works before it is
	// replaced by a new one, between units of work (some 4 ms). A server's backend
	// keeps about 330 kB for each tenant with ten tables that it has worked for
	// and never gives them back; each tenant keeps to one connection, and takes
	// others when it has to wait for that. Where a connection has more tenants than
	// this (up to twice their number divided by MaxConns) it is replaced all the
	// time: raise either.
	// Defaults to 500, at most some 160 MB.
	TenantsPerConn int

	// StatementCacheCapacity is how many statements each connection keeps
	// prepared, each for one tenant, besides those that bind. What has no place is
	// planned again each time, in the same round trip. They cost the server some
	// 17 kB for a read by key and 75 kB for a join of four tables. Defaults to 512;
	// of no use behind a pooler.
	StatementCacheCapacity int

	// Limits are those of each tenant of which the catalog says nothing else.
	// Defaults to none.
	Limits Limits

	// AcrossConns is how many connections one call of [Across] uses at once.
	// Defaults to a quarter of MaxConns, but at least 1 and at most 4. Behind a
	// pooler it is always 1.
	AcrossConns int32

	// AfterConnect is called with each new connection before it is used, for
	// example to register types. Work that it does is not bound: the search_path
	// is empty, and what it sets stays set for all tenants. May be nil.
	AfterConnect func(context.Context, *pgx.Conn) error
}

// DB runs work as tenants. It is safe for concurrent use.
type DB struct {
	pool      *pool.Pool
	limits    Limits
	across    int // connections of one Across
	settings  catalog.Settings
	gaps      []catalog.Gap
	shared    *bind.Binding
	directory *directory.Directory[*Tenant]
	stop      context.CancelFunc
	listener  sync.WaitGroup
}

// pgCatalogOID is the oid of pg_catalog in every database (pg_namespace.dat). The
// shared schema may be recreated at any time, say by a restore, and binding to it
// checks nothing; pg_catalog stands in for what is always there.
const pgCatalogOID = 11

// Open connects to the database, whose catalog the operator made (admin.Open or
// "rowhouse migrate"). Close the DB when done.
//
// ctx bounds the opening only. The errors are those listed with [ErrInvalidURL],
// and pgconn's when the server cannot be reached.
func Open(ctx context.Context, cfg Config) (*DB, error) {
	if cfg.StatementCacheCapacity <= 0 {
		cfg.StatementCacheCapacity = 512
	}
	if err := cfg.Limits.Validate(); err != nil {
		return nil, fmt.Errorf("rowhouse: Config.Limits: %w", err)
	}
	p, err := pool.Open(ctx, pool.Options{
		URL: cfg.DatabaseURL, MaxConns: cfg.MaxConns, TenantsPerConn: cfg.TenantsPerConn,
		Statements: cfg.StatementCacheCapacity, AfterConnect: cfg.AfterConnect,
	})
	if err != nil {
		return nil, fmt.Errorf("rowhouse: %w", err)
	}
	db := &DB{pool: p, limits: cfg.Limits, across: acrossConns(int(cfg.AcrossConns), p.Slots(), p.Pooled())}
	if err := db.check(ctx); err != nil {
		p.Close()
		return nil, fmt.Errorf("rowhouse: %w", err)
	}
	db.shared = bind.New(bind.Target{
		Schema: "pg_catalog", SchemaOID: pgCatalogOID,
		Role: db.settings.Shared(), SearchPath: db.settings.SearchPath(db.settings.SharedSchema),
	})
	db.directory = directory.New(db.load)
	db.listen(context.WithoutCancel(ctx))
	return db, nil
}

// check refuses a server or a catalog that this program cannot serve from.
func (db *DB) check(ctx context.Context) error {
	if _, err := catalog.CheckServer(ctx, db.pool); err != nil {
		return err
	}
	var err error
	if db.settings, err = catalog.Load(ctx, db.pool); err != nil {
		return err
	}
	if err := db.settings.CheckVersion(); err != nil {
		return err
	}
	if err := catalog.CheckLogin(ctx, db.pool, db.settings); err != nil {
		return err
	}
	db.gaps, err = catalog.Gaps(ctx, db.pool, db.settings)
	return err
}

// listen keeps the directory true, on a connection outside of the pool. A pooler
// does not pass notifications on; the directory stays blind behind one.
func (db *DB) listen(ctx context.Context) {
	ctx, db.stop = context.WithCancel(ctx)
	if db.pool.Pooled() {
		return
	}
	cfg := db.pool.Config().ConnConfig
	// Nothing runs on this connection that a cancel request could end.
	cfg.BuildContextWatcherHandler = func(conn *pgconn.PgConn) ctxwatch.Handler {
		return &pgconn.DeadlineContextWatcherHandler{Conn: conn.Conn()}
	}
	db.listener.Go(func() {
		db.directory.Listen(ctx, func(ctx context.Context) (*pgx.Conn, error) {
			return pgx.ConnectConfig(ctx, cfg)
		})
	})
}

// Close closes all connections, after waiting for those in use.
func (db *DB) Close() {
	db.stop()
	db.listener.Wait()
	db.pool.Close()
}

// WallGap is a part of the wall between tenants that this server does not have.
type WallGap struct {
	// Part names it.
	Part string `json:"part"`
	// Means says what is possible without it.
	Means string `json:"means"`
	// Cure is the SQL that closes it, to be run by a superuser or the database's
	// owner: first what keeps the privilege for those who need it, then the REVOKE.
	// Empty where no SQL does it; Means says what does.
	Cure string `json:"cure"`
}

// WallGaps tells which parts of the wall were missing when the DB was opened: on
// a managed server the operator's login cannot revoke everything, and with
// search_path isolation tenants have no roles of their own. Empty is good.
func (db *DB) WallGaps() []WallGap {
	gaps := make([]WallGap, len(db.gaps))
	for i, g := range db.gaps {
		gaps[i] = WallGap(g)
	}
	return gaps
}
