// Command bench measures what rowhouse costs against plain pgx, on a PostgreSQL of
// its own, both sides in turn in the same run.
//
// It prints one line a figure,
//
//	figure NAME VALUE REACH ok|short
//
// and, for people, a table of ratios on standard error. Figures are medians of
// rounds. The machine is shared by client and server: trust ratios.
//
// Usage: bench [-figure NAME] [-tenants N] [-rounds N] [-seconds S]
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"os"
	"os/signal"
	"slices"
	"time"
)

// figure is one line of the output.
type figure struct {
	name string
	// reach is what is wanted; less says that smaller is better.
	reach float64
	less  bool
	run   func(ctx context.Context, b *bench) (float64, error)
}

func figures() []figure {
	return []figure{
		{"read-1", 0.85, false, reads(1, 0)},
		{"read-20", 0.75, false, reads(20, 0)},
		{"read-2000", 0.90, false, reads(2000, 0)},
		{"read-network", 0.95, false, reads(20, 500*time.Microsecond)},
		{"flights", 1, true, flights},
		{"server-memory", 0.2, true, serverMemory},
	}
}

type options struct {
	figure  string
	tenants int
	rounds  int
	seconds float64
}

func main() {
	var o options
	flag.StringVar(&o.figure, "figure", "", "measure only this `figure`")
	flag.IntVar(&o.tenants, "tenants", 2000, "how many tenants there are")
	flag.IntVar(&o.rounds, "rounds", 5, "how many rounds a figure is the median of")
	flag.Float64Var(&o.seconds, "seconds", 2, "how long one measurement takes")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, o); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, o options) error {
	known := slices.ContainsFunc(figures(), func(f figure) bool { return f.name == o.figure })
	if o.figure != "" && !known {
		return fmt.Errorf("there is no figure %q", o.figure)
	}
	b, err := newBench(ctx, o)
	if err != nil {
		return err
	}
	defer b.close()
	for _, f := range figures() {
		if o.figure != "" && o.figure != f.name {
			continue
		}
		value, err := f.run(ctx, b)
		if err != nil {
			return fmt.Errorf("%s: %w", f.name, err)
		}
		verdict := "short"
		if f.less && value <= f.reach || !f.less && value >= f.reach {
			verdict = "ok"
		}
		fmt.Printf("figure %s %.3g %.3g %s\n", f.name, value, f.reach, verdict)
	}
	return nil
}
