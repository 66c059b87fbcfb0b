package sqlfile

import (
	"slices"
	"strings"
	"testing"

	"github.com/rowhouse/rowhouse/internal/sqltext"
)

// gooseStatements cuts the Up half of a well-formed file by goose's rule: a
// statement ends where a line ends in a semicolon, or at StatementEnd.
func gooseStatements(file string) []string {
	var (
		out     []string
		buf     []string
		in      bool
		inBlock bool
	)
	flush := func() {
		out = append(out, strings.Join(buf, "\n"))
		buf = nil
	}
	for line := range strings.Lines(file) {
		line = strings.TrimRight(line, "\r\n")
		if words, ok := gooseAnnotation(line); ok {
			switch words {
			case "Up":
				in = true
			case "Down":
				return out
			case "StatementBegin":
				inBlock = true
			case "StatementEnd":
				inBlock = false
				flush()
			}
			continue
		}
		if !in || len(buf) == 0 && (line == "" || strings.HasPrefix(strings.TrimSpace(line), "--")) {
			continue
		}
		if buf = append(buf, line); !inBlock && endsStatement(line) {
			flush()
		}
	}
	return out
}

// wellFormed is a file in which goose's rule and the server's agree, with as
// much as such a file can have.
const wellFormed = `-- A file as authors write them.
-- +goose Up
-- a table; with a semicolon in its comment
CREATE TABLE accounts (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, -- the key; of course
    name text NOT NULL CHECK (name <> ''),
    note text DEFAULT 'semi;colon'
);

CREATE INDEX accounts_name ON accounts (lower(name)); -- to find them
COMMENT ON TABLE accounts IS 'who pays; or not';

-- +goose StatementBegin
CREATE OR REPLACE FUNCTION touch() RETURNS trigger AS $body$
DECLARE
    n int;
BEGIN
    -- it's in a comment
    SELECT count(*) INTO n FROM accounts;
    EXECUTE $q$ SELECT ';' $q$;
    RETURN NEW;
END;
$body$ LANGUAGE plpgsql
-- +goose StatementEnd

CREATE TRIGGER touch BEFORE UPDATE ON accounts
    FOR EACH ROW EXECUTE FUNCTION touch();

-- +goose StatementBegin
DO $$
BEGIN
    IF NOT EXISTS (SELECT 1 FROM pg_type WHERE typname = 'mood') THEN
        CREATE TYPE mood AS ENUM ('fine', 'so; so');
    END IF;
END
$$;
-- +goose StatementEnd
INSERT INTO accounts (name, note) VALUES
    ('O''Hara', E'line\nline'),
    ('a -- b', $$c;
d$$);
-- +goose Down
DROP TABLE accounts;
DROP FUNCTION touch();
`

// normal makes the two ways of cutting comparable: comments and the semicolon
// at the end do not count.
func normal(t *testing.T, stmts []string) []string {
	t.Helper()
	var out []string
	for _, s := range stmts {
		one, err := sqltext.Split(s)
		if err != nil || len(one) != 1 {
			t.Fatalf("%q is %d statements, %v", s, len(one), err)
		}
		out = append(out, one[0].SQL)
	}
	return out
}

func TestAgreesWithGooseOnWellFormedFiles(t *testing.T) {
	t.Parallel()
	for name, file := range map[string]string{
		"unix":    wellFormed,
		"windows": strings.ReplaceAll(wellFormed, "\n", "\r\n"),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			want := normal(t, gooseStatements(file))
			m := mustRead(t, dir("1_accounts.sql", file))[0]
			if got := texts(m.Up.Statements); len(got) != 7 || !slices.Equal(got, want) {
				t.Errorf("statements\n got %q\nwant %q", got, want)
			}
			if got := texts(m.Down.Statements); len(got) != 2 {
				t.Errorf("down %q, want two statements", got)
			}
		})
	}
}

// TestFormatsAgree holds that the same SQL in either format is the same
// statements.
func TestFormatsAgree(t *testing.T) {
	t.Parallel()
	_, rest, _ := strings.Cut(wellFormed, "-- +goose Up\n")
	up, down, _ := strings.Cut(rest, "-- +goose Down\n")
	up = strings.ReplaceAll(up, "plpgsql\n", "plpgsql;\n")
	var plain []string
	for line := range strings.Lines(up) {
		if _, ok := gooseAnnotation(line); !ok {
			plain = append(plain, line)
		}
	}
	goose := mustRead(t, dir("1_a.sql", wellFormed))[0]
	other := mustRead(t, dir("1_a.up.sql", strings.Join(plain, ""), "1_a.down.sql", down))[0]
	if got, want := texts(other.Up.Statements), texts(goose.Up.Statements); !slices.Equal(got, want) {
		t.Errorf("up\n got %q\nwant %q", got, want)
	}
	if got, want := texts(other.Down.Statements), texts(goose.Down.Statements); !slices.Equal(got, want) {
		t.Errorf("down\n got %q\nwant %q", got, want)
	}
}
