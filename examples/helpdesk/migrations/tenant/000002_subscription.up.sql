-- The plan that the company is on: one row, which refers to the shared table.

CREATE TABLE subscription (
    singleton boolean PRIMARY KEY DEFAULT true CHECK (singleton),
    plan_id   text NOT NULL REFERENCES plans,
    since     timestamptz NOT NULL DEFAULT now()
);

INSERT INTO subscription (plan_id) VALUES ('starter');
