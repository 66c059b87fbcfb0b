package catalog

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// pageSQL goes by the primary key, which never changes: who reads page after page
// meets each tenant once, whatever is renamed in between.
const pageSQL = lookupSQL + `
WHERE t.id > $1::uuid AND ($2 = '' OR t.kind = $2) AND t.state = ANY ($3)
ORDER BY t.id LIMIT $4`

// FirstID is before the ids of all tenants.
const FirstID = "00000000-0000-0000-0000-000000000000"

// Page lists the tenants of some states, and of one kind unless kind is empty, that
// come after an id: at most limit, in the order of their ids.
func Page(ctx context.Context, q Querier, after, kind string, states []string, limit int) ([]Tenant, error) {
	rows, err := q.Query(ctx, pageSQL, after, kind, states, limit)
	if err != nil {
		return nil, fmt.Errorf("list tenants: %w", err)
	}
	tenants, err := pgx.CollectRows(rows, pgx.RowToStructByPos[Tenant])
	if err != nil {
		return nil, fmt.Errorf("list tenants: %w", err)
	}
	return tenants, nil
}
