-- What one company owns. Every company's schema has these tables; none of them
-- says whose rows it holds. This directory is in golang-migrate's format.

CREATE TABLE tickets (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    subject    text NOT NULL CHECK (char_length(subject) BETWEEN 1 AND 120),
    body       text NOT NULL CHECK (char_length(body) BETWEEN 1 AND 5000),
    requester  text NOT NULL CHECK (char_length(requester) BETWEEN 1 AND 60),
    status     text NOT NULL DEFAULT 'open' CHECK (status IN ('open', 'waiting', 'solved')),
    priority   text NOT NULL DEFAULT 'normal' CHECK (priority IN ('low', 'normal', 'high')),
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX tickets_status_idx ON tickets (status, updated_at);

CREATE TABLE comments (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    ticket_id  bigint NOT NULL REFERENCES tickets ON DELETE CASCADE,
    author     text NOT NULL CHECK (char_length(author) BETWEEN 1 AND 60),
    body       text NOT NULL CHECK (char_length(body) BETWEEN 1 AND 5000),
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX comments_ticket_id_idx ON comments (ticket_id, id);
