-- name: AddComments :copyfrom
INSERT INTO comments (ticket_id, body) VALUES ($1, $2);
