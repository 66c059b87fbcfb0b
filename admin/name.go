package admin

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/rowhouse/rowhouse/internal/catalog"
)

// claim is a schema name that somebody wants for a tenant.
//
// A transaction that was bound to a tenant has its schema's name in its
// search_path. If the tenant gives the name up and another gets it, the next
// statement of that transaction finds the other's tables. Where tenants have roles
// PostgreSQL refuses it those. Where they share one, the name of one is another's
// only when all transactions that may have it are over.
type claim struct {
	schema string
	// givenUp is the event by which a tenant last gave it up.
	givenUp int64
}

// beginner is a pool, or a connection that the caller has already.
type beginner interface {
	catalog.Querier
	Begin(ctx context.Context) (pgx.Tx, error)
}

// await waits until nobody works any more under a name that a tenant gave up.
func (a *Admin) await(ctx context.Context, db beginner, schema string) (claim, error) {
	c := claim{schema: schema}
	if a.settings.Isolation == IsolationRoles {
		return c, nil
	}
	err := pgx.BeginFunc(ctx, db, func(tx pgx.Tx) (err error) {
		if err := catalog.BecomeOwner(ctx, tx, a.settings); err != nil {
			return err
		}
		c.givenUp, err = catalog.GivenUp(ctx, tx, schema)
		return err
	})
	if err == nil && c.givenUp > 0 {
		err = catalog.AwaitOpen(ctx, db)
	}
	if err != nil {
		return c, fmt.Errorf("make sure that no work is left under the name %q: %w", schema, err)
	}
	return c, nil
}

// check is called when the name was taken, in the transaction that did. It returns
// [ErrSchemaTaken] if a tenant had it while await waited.
func (a *Admin) check(ctx context.Context, tx pgx.Tx, c claim) error {
	if a.settings.Isolation == IsolationRoles {
		return nil
	}
	last, err := catalog.GivenUp(ctx, tx, c.schema)
	if err == nil && last != c.givenUp {
		err = fmt.Errorf("%w: %q, until a moment ago; try again", ErrSchemaTaken, c.schema)
	}
	return err
}
