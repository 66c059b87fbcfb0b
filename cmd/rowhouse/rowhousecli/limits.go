package rowhousecli

import (
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/rowhouse/rowhouse"
	"github.com/rowhouse/rowhouse/admin"
)

// limitsView is what the catalog says about the limits of a kind or a tenant. Null
// says nothing, 0 that there is no limit.
type limitsView struct {
	Kind                     string `json:"kind,omitempty"`
	Schema                   string `json:"schema,omitempty"`
	Connections              *int   `json:"connections"`
	Waiting                  *int   `json:"waiting"`
	Wait                     *int64 `json:"wait_ms"`
	StatementTimeout         *int64 `json:"statement_timeout_ms"`
	IdleInTransactionTimeout *int64 `json:"idle_in_transaction_timeout_ms"`
	LockTimeout              *int64 `json:"lock_timeout_ms"`
	cells                    []string
}

func viewLimits(scope admin.LimitScope, o admin.LimitsOverride) limitsView {
	v := limitsView{
		Kind: scope.Kind, Schema: scope.Schema, Connections: o.Connections, Waiting: o.Waiting,
		Wait: milliseconds(o.Wait), StatementTimeout: milliseconds(o.StatementTimeout),
		IdleInTransactionTimeout: milliseconds(o.IdleInTransactionTimeout), LockTimeout: milliseconds(o.LockTimeout),
	}
	v.cells = []string{orDash(scope.Kind), orDash(scope.Schema)}
	for _, l := range limitsIn(o) {
		v.cells = append(v.cells, orDash(l.value))
	}
	return v
}

func (v limitsView) table() table { return limitsList{v}.table() }

// limitsList is the result of "limits list".
type limitsList []limitsView

func (l limitsList) table() table {
	t := table{head: []string{"KIND", "SCHEMA", "CONNECTIONS", "WAITING", "WAIT", "STATEMENT", "IDLE IN TX", "LOCK"}}
	for _, v := range l {
		t.rows = append(t.rows, v.cells)
	}
	return t
}

// namedLimit is a limit as it is printed: its value is empty where nothing is said.
type namedLimit struct {
	name  rowhouse.Limit
	value string
}

func limitsIn(o admin.LimitsOverride) []namedLimit {
	return []namedLimit{
		{rowhouse.LimitConnections, number(o.Connections)}, {rowhouse.LimitWaiting, number(o.Waiting)},
		{rowhouse.LimitWait, span(o.Wait)}, {rowhouse.LimitStatementTimeout, span(o.StatementTimeout)},
		{rowhouse.LimitIdleInTransactionTimeout, span(o.IdleInTransactionTimeout)}, {rowhouse.LimitLockTimeout, span(o.LockTimeout)},
	}
}

// unlimited is how a limit of 0 is printed.
const unlimited = "none"

func number(n *int) string {
	switch {
	case n == nil:
		return ""
	case *n == 0:
		return unlimited
	}
	return strconv.Itoa(*n)
}

func span(d *time.Duration) string {
	switch {
	case d == nil:
		return ""
	case *d == 0:
		return unlimited
	}
	return d.String()
}

func milliseconds(d *time.Duration) *int64 {
	if d == nil {
		return nil
	}
	return new(d.Milliseconds())
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

// limitSource is one limit of a tenant, and who says so.
type limitSource struct {
	Limit  rowhouse.Limit `json:"limit"`
	Value  *string        `json:"value"` // nil for the application's
	Source string         `json:"source"`
}

// limitSources is the result of "limits show".
type limitSources []limitSource

func (l limitSources) table() table {
	t := table{head: []string{"LIMIT", "VALUE", "SOURCE"}}
	for _, s := range l {
		value := "-"
		if s.Value != nil {
			value = *s.Value
		}
		t.rows = append(t.rows, []string{string(s.Limit), value, s.Source})
	}
	return t
}

func (c *cli) limitsCommand() *cobra.Command {
	cmd := group("limits", "Say what a tenant, or each tenant of a kind, may have at once",
		c.limitsList(), c.limitsShow(), c.limitsSet(), c.limitsUnset())
	cmd.Long = `Say what a tenant, or each tenant of a kind, may have at once in one process of the
application: connections, requests that wait for one, how long they wait, and
PostgreSQL's time-outs.

Each limit by itself is the tenant's, else its kind's, else what the application has
in its configuration. 0 is no limit. A change counts for the tenant's next request,
within a second.`
	return cmd
}

func (c *cli) limitsList() *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List what is said about kinds and tenants", Args: arguments(),
		RunE: c.operate(access{reads: true}, func(s *session, _ []string) error {
			all, err := s.admin.Limits(s.ctx())
			if err != nil {
				return err
			}
			list := make(limitsList, len(all))
			for i, l := range all {
				list[i] = viewLimits(l.LimitScope, l.LimitsOverride)
			}
			return s.print(list)
		}),
	}
}

func (c *cli) limitsShow() *cobra.Command {
	return &cobra.Command{
		Use: "show SCHEMA", Short: "Show the limits of a tenant and where each comes from", Args: arguments("SCHEMA"),
		RunE: c.operate(access{reads: true}, func(s *session, args []string) error {
			of, err := s.admin.TenantLimits(s.ctx(), args[0])
			if err != nil {
				return err
			}
			own, ofKind := limitsIn(of.Own), limitsIn(of.OfKind)
			var sources limitSources
			for i := range own {
				source := limitSource{Limit: own[i].name, Source: "application"}
				switch {
				case own[i].value != "":
					source.Value, source.Source = &own[i].value, "tenant"
				case ofKind[i].value != "":
					source.Value, source.Source = &ofKind[i].value, "kind "+of.Kind
				}
				sources = append(sources, source)
			}
			return s.print(sources)
		}),
	}
}

func (c *cli) limitsSet() *cobra.Command {
	var kind string
	var n struct{ connections, waiting int }
	var d struct{ wait, statement, idle, lock time.Duration }
	cmd := &cobra.Command{
		Use: "set (SCHEMA | --kind KIND) [--connections N] [--waiting N] [--wait TIME]...", Args: arguments("[SCHEMA]"),
		Short: "Set limits of a tenant or a kind; those that are not named stay",
		Example: `  ` + c.app.Name + ` limits set --kind free --connections 2 --waiting 20 --wait 500ms --statement-timeout 5s
  ` + c.app.Name + ` limits set acme --connections 8 --statement-timeout 0`,
		DisableFlagsInUseLine: true,
	}
	flags := cmd.Flags()
	flags.StringVar(&kind, "kind", "", "`class` of tenants, instead of one tenant")
	flags.IntVar(&n.connections, limitFlag(rowhouse.LimitConnections), 0, "`number` of connections at once; 0 is no limit, here and below")
	flags.IntVar(&n.waiting, limitFlag(rowhouse.LimitWaiting), 0, "`number` of requests that may wait for one; one more is refused at once")
	flags.DurationVar(&d.wait, limitFlag(rowhouse.LimitWait), 0, "`time` that each of them may wait, such as 500ms")
	flags.DurationVar(&d.statement, limitFlag(rowhouse.LimitStatementTimeout), 0, "`time` that a statement may run")
	flags.DurationVar(&d.idle, limitFlag(rowhouse.LimitIdleInTransactionTimeout), 0, "`time` that a transaction may be open with nothing running")
	flags.DurationVar(&d.lock, limitFlag(rowhouse.LimitLockTimeout), 0, "`time` that a statement may wait for a lock")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		o := admin.LimitsOverride{
			Connections: given(flags, rowhouse.LimitConnections, n.connections), Waiting: given(flags, rowhouse.LimitWaiting, n.waiting),
			Wait: given(flags, rowhouse.LimitWait, d.wait), StatementTimeout: given(flags, rowhouse.LimitStatementTimeout, d.statement),
			IdleInTransactionTimeout: given(flags, rowhouse.LimitIdleInTransactionTimeout, d.idle),
			LockTimeout:              given(flags, rowhouse.LimitLockTimeout, d.lock),
		}
		if o == (admin.LimitsOverride{}) {
			return usage(cmd, "which limits? at least one of the flags is needed")
		}
		return c.changeLimits(cmd, args, kind, func(s *session, scope admin.LimitScope) (admin.LimitsOverride, error) {
			return s.admin.SetLimits(s.ctx(), scope, o)
		})
	}
	return cmd
}

func (c *cli) limitsUnset() *cobra.Command {
	var kind string
	cmd := &cobra.Command{
		Use: "unset (SCHEMA | --kind KIND) [--connections] [--waiting] [--wait]...", Args: arguments("[SCHEMA]"),
		Short: "Say nothing more about limits of a tenant or a kind: those that are named, or all", DisableFlagsInUseLine: true,
	}
	flags := cmd.Flags()
	flags.StringVar(&kind, "kind", "", "`class` of tenants, instead of one tenant")
	all := limitsIn(admin.LimitsOverride{})
	for _, l := range all {
		flags.Bool(limitFlag(l.name), false, "say nothing about "+string(l.name))
	}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		var names []rowhouse.Limit
		for _, l := range all {
			if on, err := flags.GetBool(limitFlag(l.name)); err == nil && on {
				names = append(names, l.name)
			}
		}
		return c.changeLimits(cmd, args, kind, func(s *session, scope admin.LimitScope) (admin.LimitsOverride, error) {
			return s.admin.UnsetLimits(s.ctx(), scope, names...)
		})
	}
	return cmd
}

// changeLimits changes the limits of the tenant in args, or of a kind, and prints
// what is said about it then.
func (c *cli) changeLimits(cmd *cobra.Command, args []string, kind string, change func(*session, admin.LimitScope) (admin.LimitsOverride, error)) error {
	scope := admin.LimitScope{Kind: kind}
	if len(args) > 0 {
		scope.Schema = args[0]
	}
	if (scope.Kind == "") == (scope.Schema == "") {
		return usage(cmd, "whose limits? name a tenant's SCHEMA or a --kind, and not both")
	}
	return c.operate(access{}, func(s *session, _ []string) error {
		after, err := change(s, scope)
		if errors.Is(err, rowhouse.ErrInvalidLimit) || errors.Is(err, admin.ErrLabel) {
			return usage(cmd, "%w", err)
		}
		if err != nil {
			return err
		}
		return s.print(viewLimits(scope, after))
	})(cmd, args)
}

// limitFlag is what the flag of a limit is called.
func limitFlag(name rowhouse.Limit) string { return strings.ReplaceAll(string(name), "_", "-") }

// given is the value of a limit's flag, nil if it was not given.
func given[T any](flags *pflag.FlagSet, name rowhouse.Limit, value T) *T {
	if !flags.Changed(limitFlag(name)) {
		return nil
	}
	return &value
}
