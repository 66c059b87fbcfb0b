package main

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// plainPool is pgx's own pool with the budget of connections that all have.
func plainPool(ctx context.Context, url, name string, mode pgx.QueryExecMode) (*pgxpool.Pool, error) {
	url, err := named(url, name)
	if err != nil {
		return nil, err
	}
	cfg, err := pgxpool.ParseConfig(url)
	if err != nil {
		return nil, err
	}
	cfg.MaxConns = connections
	cfg.ConnConfig.DefaultQueryExecMode = mode
	return pgxpool.NewWithConfig(ctx, cfg)
}

// pgxCached is one half of the limit: a prepared statement for each tenant.
func pgxCached(ctx context.Context, s stage) (contestant, error) {
	return qualified(ctx, s, "pgx, qualified, cached", pgx.QueryExecModeCacheStatement)
}

// pgxExec is the other half: nothing is prepared.
func pgxExec(ctx context.Context, s stage) (contestant, error) {
	return qualified(ctx, s, "pgx, qualified, exec", pgx.QueryExecModeExec)
}

// qualified reads with schema-qualified SQL.
func qualified(ctx context.Context, s stage, name string, mode pgx.QueryExecMode) (contestant, error) {
	pool, err := plainPool(ctx, s.reader, name, mode)
	if err != nil {
		return contestant{}, err
	}
	sql := make([]string, len(s.schemas))
	for i, schema := range s.schemas {
		sql[i] = fmt.Sprintf(byID, schema+".")
	}
	return contestant{name, func(ctx context.Context, tenant, id int) error {
		return check(s.schemas[tenant], id, pool.QueryRow(ctx, sql[tenant], id))
	}, pool.Close}, nil
}

// setSearchPath does what many do by hand: a round trip that sets the path.
func setSearchPath(ctx context.Context, s stage) (contestant, error) {
	const name = "pgx, SET search_path first"
	pool, err := plainPool(ctx, s.reader, name, pgx.QueryExecModeCacheStatement)
	if err != nil {
		return contestant{}, err
	}
	sql := fmt.Sprintf(byID, "")
	return contestant{name, func(ctx context.Context, tenant, id int) error {
		conn, err := pool.Acquire(ctx)
		if err != nil {
			return err
		}
		defer conn.Release()
		if _, err := conn.Exec(ctx, "SET search_path = "+s.schemas[tenant]); err != nil {
			return err
		}
		return check(s.schemas[tenant], id, conn.QueryRow(ctx, sql, id))
	}, pool.Close}, nil
}
