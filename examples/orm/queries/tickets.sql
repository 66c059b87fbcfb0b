-- name: CreateTicket :one
INSERT INTO tickets (title) VALUES ($1) RETURNING id;

-- name: ListTickets :many
SELECT t.*, coalesce(array_agg(c.body ORDER BY c.id) FILTER (WHERE c.id IS NOT NULL), '{}')::text[] AS comments
FROM tickets t LEFT JOIN comments c ON c.ticket_id = t.id
GROUP BY t.id ORDER BY t.id;

-- name: RenameTicket :execrows
UPDATE tickets SET title = $2 WHERE id = $1;
