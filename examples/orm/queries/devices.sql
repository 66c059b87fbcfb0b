-- name: RegisterDevice :one
INSERT INTO devices (serial, labels, specs, price, bought, seen_at) VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT (serial) DO UPDATE SET (labels, specs, price, bought, seen_at)
    = (EXCLUDED.labels, EXCLUDED.specs, EXCLUDED.price, EXCLUDED.bought, EXCLUDED.seen_at)
RETURNING id;

-- name: FindDevices :many
SELECT * FROM devices WHERE serial = ANY(sqlc.arg(serials)::uuid[]) ORDER BY id;
