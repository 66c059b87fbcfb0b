// Command bench measures what rowhouse costs against plain pgx and against other
// ways to serve tenants, on a PostgreSQL of its own, all sides in turn in the same
// run.
//
// It prints one line a figure on standard output,
//
//	figure NAME VALUE REACH ok|short
//
// and everything that is for people on standard error: with -table the table of
// docs/performance.md, with -noisy only its part about a noisy tenant, with -all
// the figures and then the table, with -floor what binding costs PostgreSQL by itself,
// part by part. Figures are medians of rounds. The machine is
// shared by client and server: trust ratios.
//
// Usage: bench [-figure NAME | -table | -noisy | -floor | -all] [-tenants N] [-rounds N]
// [-seconds S] [-cpuprofile FILE]
//
// Begin reading at figures.go, which says what is measured, then contestant.go for
// who takes part and compare.go for how.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"os"
	"os/signal"
	"slices"
	"time"
)

type options struct {
	figure     string
	table      bool
	noisy      bool
	floor      bool
	all        bool
	tenants    int
	rounds     int
	seconds    float64
	cpuprofile string
}

// slice is how long one measurement takes.
func (o options) slice() time.Duration { return time.Duration(o.seconds * float64(time.Second)) }

func parse(args []string) (options, error) {
	var o options
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.StringVar(&o.figure, "figure", "", "measure only this `figure`")
	flags.BoolVar(&o.table, "table", false, "measure the table of docs/performance.md and print it as Markdown on standard error")
	flags.BoolVar(&o.noisy, "noisy", false, "measure only the table's part about a noisy tenant")
	flags.BoolVar(&o.floor, "floor", false, "measure only what binding costs the server, part by part")
	flags.BoolVar(&o.all, "all", false, "measure the figures, then the table")
	flags.IntVar(&o.tenants, "tenants", 2000, "how many tenants there are")
	flags.IntVar(&o.rounds, "rounds", 5, "how many rounds a figure is the median of")
	flags.Float64Var(&o.seconds, "seconds", 0, "how long one measurement takes (default 2 for figures, 0.5 for the table, 1.5 for the noisy tenant)")
	flags.StringVar(&o.cpuprofile, "cpuprofile", "", "write a CPU profile of rowhouse's client to this `file` (with -figure read-…)")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	known := slices.ContainsFunc(figures(), func(f figure) bool { return f.name == o.figure })
	switch {
	case o.figure != "" && !known:
		return o, fmt.Errorf("there is no figure %q", o.figure)
	case o.figure != "" && (o.table || o.noisy || o.floor || o.all):
		return o, errors.New("-figure goes without -table, -noisy, -floor and -all")
	case o.cpuprofile != "" && o.figure == "":
		return o, errors.New("-cpuprofile needs -figure: a profile is of one of them")
	case o.tenants < 2 || o.rounds < 1 || o.seconds < 0:
		return o, errors.New("at least two tenants, one round and some time are needed")
	}
	return o, nil
}

func main() {
	o, err := parse(os.Args[1:])
	if errors.Is(err, flag.ErrHelp) {
		return
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err == nil {
		err = run(ctx, o, os.Stdout, os.Stderr)
	}
	if err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, o options, out, people io.Writer) error {
	b, err := newBench(ctx, o, people)
	if err != nil {
		return err
	}
	defer b.close()
	if !o.table && !o.noisy && !o.floor || o.all {
		b.seconds = orElse(o.seconds, 2)
		if err := b.figures(ctx, out); err != nil {
			return err
		}
	}
	b.seconds = orElse(o.seconds, 0.5)
	if o.table || o.all {
		if err := b.table(ctx); err != nil {
			return err
		}
	}
	if o.floor || o.table || o.all {
		if err := b.floor(ctx); err != nil {
			return err
		}
	}
	if o.table || o.noisy || o.all {
		b.seconds = orElse(o.seconds, 1.5)
		return b.noisy(ctx)
	}
	return nil
}

func orElse(value, other float64) float64 {
	if value == 0 {
		return other
	}
	return value
}
