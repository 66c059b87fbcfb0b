package rowhousecli

import (
	"cmp"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/rowhouse/rowhouse"
	"github.com/rowhouse/rowhouse/migrate"
)

// migrateFlags are those of "migrate".
type migrateFlags struct {
	shared, tenant, plan, check, allowChanged bool
	schemas                                   []string
}

// target is where to migrate.
func (f migrateFlags) target() migrate.Target {
	t := migrate.Target{Schemas: f.schemas}
	switch {
	case f.shared && !f.tenant:
		t.Only = migrate.Shared
	case f.tenant && !f.shared, len(f.schemas) > 0 && !f.shared:
		t.Only = migrate.Tenant
	default:
		t.Only = migrate.Both
	}
	return t
}

func (c *cli) migrateCommand() *cobra.Command {
	var f migrateFlags
	cmd := &cobra.Command{
		Use:   "migrate [--shared] [--tenant [--schema SCHEMA]...]",
		Short: "Bring the schemas up to date: the shared one first, then every tenant's",
		Long: `Apply the migrations that are pending: to the shared schema first, then to every
tenant. Each is a transaction of its own, recorded in the same transaction, so a run
that was stopped is started again and does the rest. A tenant that fails does not
keep the others from being done.

It also makes rowhouse's own catalog, or upgrades it. With --plan or --check nothing
is written.`,
		Args: arguments(), DisableFlagsInUseLine: true,
	}
	flags := cmd.Flags()
	flags.BoolVar(&f.shared, "shared", false, "only the shared schema")
	flags.BoolVar(&f.tenant, "tenant", false, "only tenants")
	flags.StringArrayVar(&f.schemas, "schema", nil, "only the tenant with this `schema`; repeat it for more")
	flags.BoolVar(&f.plan, "plan", false, "show what is pending and change nothing")
	flags.BoolVar(&f.check, "check", false, "like --plan, with exit code 3 if anything is pending or was changed")
	flags.BoolVar(&f.allowChanged, "allow-changed", false, "go on although files of applied migrations have changed")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if f.shared && !f.tenant && len(f.schemas) > 0 {
			return usage(cmd, "--schema names tenants and does not go with --shared alone")
		}
		how := access{reads: f.plan || f.check, sets: true}
		err := c.operate(how, func(s *session, _ []string) error { return s.migrate(f) })(cmd, args)
		var exit *ExitError
		if f.check && (errors.Is(err, rowhouse.ErrNoCatalog) || errors.Is(err, rowhouse.ErrCatalogTooOld)) && errors.As(err, &exit) {
			exit.Code = ExitPending // the catalog's own migrations are
		}
		return err
	}
	return cmd
}

func (s *session) migrate(f migrateFlags) error {
	if len(s.sets) == 0 {
		s.note("note: no migration sets are configured; they belong into %s, under \"migrations\"", cmp.Or(s.value("config"), defaultFile))
	}
	plan, err := s.admin.Migrator().Plan(s.ctx(), f.target())
	if err != nil {
		return s.suggest(err, f.schemas)
	}
	if f.plan || f.check {
		return s.printPlan(plan, f.check)
	}
	start := time.Now()
	result, err := s.admin.Migrator().Run(s.ctx(), plan, migrate.Options{AllowChanged: f.allowChanged, OnSchema: s.noteSchema})
	if result == nil {
		return err
	}
	v := s.viewRun(plan, result, time.Since(start))
	if printErr := s.print(v); printErr != nil {
		return printErr
	}
	return v.outcome(err)
}

// planView is the result of "migrate --plan" and "migrate --check".
type planView struct {
	*migrate.Plan
	// Pending is the number of migrations to apply, over all schemas.
	Pending int `json:"pending"`
}

func (v planView) table() table {
	if v.Pending == 0 {
		return table{rows: [][]string{{"nothing is pending"}}}
	}
	t := table{head: []string{"SCHEMA", "SCOPE", "SET", "VERSION", "NAME", "FILE"}}
	for _, s := range v.Schemas {
		for _, m := range s.Pending {
			t.rows = append(t.rows, []string{s.Schema, scopeWord(s.Shared), m.Set, strconv.FormatInt(m.Version, 10), m.Name, m.File})
		}
	}
	return t
}

func (s *session) printPlan(plan *migrate.Plan, check bool) error {
	for _, ch := range plan.Changed {
		s.note("changed: schema %q: set %s version %d: its file is not what was applied", ch.Schema, ch.Set, ch.Version)
	}
	v := planView{plan, plan.Count()}
	if err := s.print(v); err != nil || !check || v.Pending+len(plan.Changed) == 0 {
		return err
	}
	s.note("check: %s pending in %s, %d changed",
		count(v.Pending, "migration", "migrations"), count(len(plan.Schemas), "schema", "schemas"), len(plan.Changed))
	return &ExitError{Code: ExitPending}
}

// noteSchema tells of a schema that is done or has failed.
func (s *session) noteSchema(r migrate.SchemaResult) {
	applied := fmt.Sprintf("%s %s: %d applied in %s", scopeWord(r.Shared), r.Schema, r.Applied, r.Duration.Round(time.Millisecond))
	switch {
	case r.Err == nil:
		s.note("%s", applied)
	case s.ctx().Err() != nil:
		s.note("%s, then stopped", applied)
	default:
		s.note("%s, then FAILED: %s", applied, redact(strings.ReplaceAll(r.Error, "\n", " ")))
	}
}

// runView is the result of "migrate".
type runView struct {
	// Applied is the number of migrations, over all schemas.
	Applied int `json:"applied"`
	// Done, Failed and Left count schemas. The one in which an interrupt
	// arrived is left, like those that were not reached.
	Done   int `json:"done"`
	Failed int `json:"failed"`
	Left   int `json:"left"`
	// StoppedAt is the schema in which, or before which, the run was
	// interrupted. Empty if it was not.
	StoppedAt string `json:"stopped_at"`
	// Duration is that of the run.
	Duration time.Duration `json:"duration_ns"`
	// Schemas are those that were begun.
	Schemas []migrate.SchemaResult `json:"schemas"`

	sharedErr error
	failed    []string
}

func (s *session) viewRun(plan *migrate.Plan, result *migrate.Result, took time.Duration) runView {
	v := runView{Applied: result.Applied(), Duration: took, Schemas: result.Schemas}
	for _, r := range result.Schemas {
		switch {
		case r.Err == nil:
			v.Done++
		case s.ctx().Err() != nil && r.Schema == result.Schemas[len(result.Schemas)-1].Schema:
			v.StoppedAt = r.Schema
		default:
			v.Failed++
			v.failed = append(v.failed, r.Schema)
			if r.Shared {
				v.sharedErr = r.Err
			}
		}
	}
	v.Left = len(plan.Schemas) - v.Done - v.Failed
	if s.ctx().Err() != nil && v.StoppedAt == "" && v.Left > 0 {
		v.StoppedAt = plan.Schemas[len(result.Schemas)].Schema
	}
	return v
}

func (v runView) table() table {
	if v.Done+v.Failed+v.Left == 0 {
		return table{rows: [][]string{{"nothing to do"}}}
	}
	t := table{rows: [][]string{
		{"done", count(v.Done, "schema", "schemas") + ", " + count(v.Applied, "migration", "migrations") + " in " + v.Duration.Round(time.Millisecond).String()},
	}}
	if v.Failed > 0 {
		t.rows = append(t.rows, []string{"failed", count(v.Failed, "schema", "schemas") + ": " + strings.Join(v.failed, " ")})
	}
	if v.Left > 0 {
		t.rows = append(t.rows, []string{"left", count(v.Left, "schema", "schemas")})
	}
	return t
}

// outcome is the error of a run: err, or what follows from its failures.
func (v runView) outcome(err error) error {
	switch {
	case v.StoppedAt != "":
		return &ExitError{
			Code: ExitInterrupted,
			Err:  fmt.Errorf("interrupted at schema %q", v.StoppedAt),
			Hint: "run it again to do the rest",
		}
	case v.sharedErr != nil:
		return fmt.Errorf("the shared schema failed, so no tenant was begun: %w", v.sharedErr)
	case v.Failed > 0:
		return &ExitError{
			Code: ExitSomeFailed,
			Err:  fmt.Errorf("%s failed: %s", count(v.Failed, "tenant", "tenants"), strings.Join(v.failed, " ")),
			Hint: "the others are done; run it again when the reason is gone",
		}
	}
	return err
}

func scopeWord(shared bool) string {
	if shared {
		return "shared"
	}
	return "tenant"
}
