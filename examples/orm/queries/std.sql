-- name: AddComments :exec
INSERT INTO comments (ticket_id, body) SELECT sqlc.arg(ticket_id), unnest(sqlc.arg(bodies)::text[]);
