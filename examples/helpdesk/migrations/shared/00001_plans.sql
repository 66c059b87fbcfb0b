-- The plans that a company can be on: one table that all companies see. This
-- directory is in goose's format.

-- +goose Up
CREATE TABLE plans (
    id             text PRIMARY KEY,
    name           text NOT NULL,
    summary        text NOT NULL,
    euros_a_month  int  NOT NULL CHECK (euros_a_month >= 0),
    response_hours int  NOT NULL CHECK (response_hours > 0)
);

INSERT INTO plans (id, name, summary, euros_a_month, response_hours) VALUES
    ('starter',  'Starter',  'For a handful of colleagues who ask now and then.', 0, 48),
    ('team',     'Team',     'For a company whose printers have moods.',         29,  8),
    ('business', 'Business', 'For those whom an hour of silence costs money.',   99,  1);

-- +goose Down
DROP TABLE plans;
