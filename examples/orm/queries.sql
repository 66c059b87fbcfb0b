-- name: CreateTicket :one
INSERT INTO tickets (title) VALUES ($1) RETURNING *;

-- name: ListTickets :many
SELECT * FROM tickets ORDER BY id;
