package rowhousecli_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/spf13/cobra"

	"github.com/rowhouse/rowhouse/cmd/rowhouse/rowhousecli"
	"github.com/rowhouse/rowhouse/internal/pgtest"
	"github.com/rowhouse/rowhouse/migrate"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

// answer is how a command line ended.
type answer struct {
	code           int
	stdout, stderr string
}

func run(t *testing.T, root *cobra.Command, args ...string) answer {
	t.Helper()
	var stdout, stderr bytes.Buffer
	code := rowhousecli.Execute(t.Context(), root, args, strings.NewReader(""), &stdout, &stderr)
	return answer{code, stdout.String(), stderr.String()}
}

func app() rowhousecli.App {
	return rowhousecli.App{
		Name: "fleet", Version: "v1.2.3",
		Sets: []migrate.Set{
			{Name: "app", Scope: migrate.Shared, FS: fstest.MapFS{"1_plans.sql": {Data: []byte("-- +goose Up\nCREATE TABLE plans (name text);\n")}}},
			{Name: "app", Scope: migrate.Tenant, FS: fstest.MapFS{"1_tickets.up.sql": {Data: []byte("CREATE TABLE tickets (id int);\n")}}},
		},
	}
}

// tree is an application's own command line with ours in it.
func tree() *cobra.Command {
	root := &cobra.Command{Use: "myapp"}
	root.AddCommand(rowhousecli.Command(app()), &cobra.Command{
		Use: "serve",
		RunE: func(*cobra.Command, []string) error {
			return &rowhousecli.ExitError{Code: 7, Err: errors.New("no port"), Hint: "give one"}
		},
	})
	return root
}

func TestEmbedded(t *testing.T) {
	t.Parallel()
	url := pgtest.Database(t)
	fleet := func(args ...string) answer {
		return run(t, tree(), append([]string{"fleet", "--database-url", url}, args...)...)
	}
	if got := fleet("migrate"); got.code != 0 || !strings.Contains(got.stderr, "shared public: 1 applied") {
		t.Fatalf("migrate: %+v", got)
	}
	if got := fleet("tenant", "create", "--name", "Acme", "--schema", "acme"); got.code != 0 {
		t.Fatalf("create: %+v", got)
	}
	if got := fleet("sql", "acme", "SELECT * FROM tickets", "-o", "json"); got.code != 0 || got.stdout != "[]\n" {
		t.Errorf("sql: %+v", got)
	}
	if got := fleet("tenant", "show", "beta"); got.code != 1 || !strings.Contains(got.stderr, `hint: "myapp fleet tenant list" shows which there are`) {
		t.Errorf("the hint names the command as it is called here: %+v", got)
	}
	if got := fleet("config"); !strings.Contains(got.stdout, "migrations.tenant.app  (compiled in)") {
		t.Errorf("config: %+v", got)
	}
	if got := fleet("version", "-o", "json"); !strings.Contains(got.stdout, `"version": "v1.2.3"`) {
		t.Errorf("version: %+v", got)
	}
	if got := run(t, tree(), "serve"); got != (answer{7, "", "error: no port\nhint: give one\n"}) {
		t.Errorf("the application's own command: %+v", got)
	}
}

func TestListsAreNeverNull(t *testing.T) {
	t.Parallel()
	url := pgtest.Database(t)
	for _, args := range [][]string{
		{"migrate", "--shared"},
		{"tenant", "list"},
		{"domain", "list"},
		{"limits", "list"},
		{"migrate", "--plan"},
		{"migrate"},
	} {
		got := run(t, rowhousecli.Command(app()), append(args, "-o", "json", "--database-url", url)...)
		if got.code != 0 || !json.Valid([]byte(got.stdout)) || strings.Contains(got.stdout, "null") {
			t.Errorf("%v: %+v", args, got)
		}
	}
}

func TestInterrupted(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	url := pgtest.Database(t)
	for _, args := range [][]string{{"migrate"}, {"tenant", "list"}, {"sql", "acme", "SELECT 1"}} {
		var stdout, stderr bytes.Buffer
		code := rowhousecli.Run(ctx, app(), append(args, "--database-url", url), strings.NewReader(""), &stdout, &stderr)
		if code != rowhousecli.ExitInterrupted || !strings.HasPrefix(stderr.String(), "error: interrupted: ") {
			t.Errorf("%v: code %d, stderr %q", args, code, stderr.String())
		}
	}
}
