package migrate_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/rowhouse/rowhouse/admin"
	"github.com/rowhouse/rowhouse/migrate"
)

// childURL is where a child process finds the database that it is to migrate.
const childURL = "ROWHOUSE_CHILD_URL"

// raceSets apply once or fail: what is applied twice exists already, and the
// counter shows it.
func raceSets() []migrate.Set {
	var texts []string
	for i := range 8 {
		texts = append(texts, fmt.Sprintf(`CREATE TABLE t%d (i int); INSERT INTO public.counter VALUES (%d);`, i, i))
	}
	texts = append(texts, `CREATE INDEX CONCURRENTLY one ON t1 (i);`)
	return []migrate.Set{
		sharedSet(`CREATE TABLE counter (i int); INSERT INTO counter VALUES (-1);
			DO $$ BEGIN EXECUTE (SELECT 'GRANT INSERT ON counter TO ' || role_prefix || 'builder' FROM rowhouse.settings); END $$;`),
		tenantSet(texts...),
	}
}

// runChild migrates everything, as soon as it is told to, and says how many
// migrations it applied.
func runChild(url string) int {
	ctx := context.Background()
	a, err := admin.Open(ctx, admin.Config{DatabaseURL: url, Sets: raceSets()})
	if err != nil {
		fmt.Println(err)
		return 1
	}
	defer a.Close()
	plan, err := a.Migrator().Plan(ctx, migrate.Target{})
	if err != nil {
		fmt.Println(err)
		return 1
	}
	fmt.Println("ready")
	if _, err := bufio.NewReader(os.Stdin).ReadString('\n'); err != nil {
		return 1
	}
	result, err := a.Migrator().Run(ctx, plan, migrate.Options{})
	if err != nil || len(result.Failed()) > 0 {
		fmt.Println(err, result)
		return 1
	}
	fmt.Println(result.Applied())
	return 0
}

// Several processes have the same plan and run it at the same time: each
// migration is applied once.
func TestProcessesTakeTurns(t *testing.T) {
	t.Parallel()
	f := newFleet(t, "acme", "beta", "gamma")
	var in []io.Writer
	var out []*bufio.Scanner
	for range 3 {
		cmd := exec.CommandContext(t.Context(), os.Args[0])
		cmd.Env = append(os.Environ(), childURL+"="+f.url)
		cmd.Stderr = os.Stderr
		stdin, err := cmd.StdinPipe()
		f.must(err)
		stdout, err := cmd.StdoutPipe()
		f.must(err)
		f.must(cmd.Start())
		t.Cleanup(func() { _ = cmd.Wait() })
		in, out = append(in, stdin), append(out, bufio.NewScanner(stdout))
	}
	for _, o := range out {
		if o.Scan(); o.Text() != "ready" {
			t.Fatalf("a child says %q", o.Text())
		}
	}
	for _, i := range in {
		_, err := io.WriteString(i, "go\n")
		f.must(err)
	}
	total := 0
	for _, o := range out {
		var n int
		o.Scan()
		if _, err := fmt.Sscan(o.Text(), &n); err != nil {
			t.Fatalf("a child says %q", o.Text())
		}
		total += n
	}
	f.wantOnce(total)
}

func (f *fleet) wantOnce(total int) {
	f.t.Helper()
	if want := 1 + 3*9; total != want || len(f.ledger()) != want {
		f.t.Errorf("%d were applied, %d are in the ledger, want %d", total, len(f.ledger()), want)
	}
	if n := one[int](f, `SELECT count(*) FROM public.counter`); n != 1+3*8 {
		f.t.Errorf("the migrations ran %d times", n)
	}
}

func TestMigratorsTakeTurns(t *testing.T) {
	t.Parallel()
	f := newFleet(t, "acme", "beta", "gamma")
	totals := make([]int, 4)
	var wg sync.WaitGroup
	for i := range totals {
		m := f.migrator(raceSets()...)
		plan := f.plan(m, migrate.Target{})
		wg.Go(func() {
			result, err := m.Run(t.Context(), plan, migrate.Options{})
			if err != nil || len(result.Failed()) > 0 {
				t.Errorf("%v, %+v", err, result)
				return
			}
			totals[i] = result.Applied()
		})
	}
	wg.Wait()
	sum := 0
	for _, n := range totals {
		sum += n
	}
	f.wantOnce(sum)
}

// A plan may be old: each tenant is looked at again before it is migrated.
func TestTenantsThatChangeAfterPlanning(t *testing.T) {
	t.Parallel()
	f := newFleet(t, "acme", "dropped", "given", "purged", "recreated", "renamed", "trashed")
	m := f.migrator(tenantSet(`CREATE TABLE a (i int);`))
	plan := f.plan(m, migrate.Target{})
	for _, sql := range []string{
		`DROP SCHEMA dropped`,
		`DROP SCHEMA recreated`, `CREATE SCHEMA recreated`,
		`ALTER SCHEMA renamed RENAME TO fresh`, `UPDATE rowhouse.tenants SET schema_name = 'fresh' WHERE schema_name = 'renamed'`,
		`ALTER SCHEMA given RENAME TO away`,
	} {
		f.behind(sql)
	}
	for _, schema := range []string{"trashed", "purged"} {
		_, err := f.admin.Delete(t.Context(), schema)
		f.must(err)
	}
	f.must(f.admin.Purge(t.Context(), "purged"))
	result, err := m.Run(t.Context(), plan, migrate.Options{})
	f.must(err)
	var failed []string
	for _, s := range result.Failed() {
		failed = append(failed, s.Schema)
		if s.Applied != 0 || s.Error == "" {
			t.Errorf("got %+v", s)
		}
	}
	if want := []string{"dropped", "given", "purged", "recreated", "trashed"}; !slices.Equal(failed, want) {
		t.Errorf("failed are %q, want %q", failed, want)
	}
	f.wantTables("acme.a fresh.a")
	f.wantLedger("acme desk 1", "fresh desk 1")
	if s := strings.Join(failed, " "); result.Applied() != 2 {
		t.Errorf("%d were applied, %s failed", result.Applied(), s)
	}
}
