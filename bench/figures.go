package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"runtime/pprof"
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
		{"read-network", 0.95, false, reads(20, time.Millisecond)},
		{"flights", 1, true, flights},
		{"server-memory", 0.2, true, serverMemory},
	}
}

// ok tells whether a value is good enough.
func (f figure) ok(value float64) bool {
	if f.less {
		return value <= f.reach
	}
	return value >= f.reach
}

// figures measures what was asked for.
func (b *bench) figures(ctx context.Context, out io.Writer) error {
	for _, f := range figures() {
		if b.figure != "" && b.figure != f.name {
			continue
		}
		value, err := f.run(ctx, b)
		if err != nil {
			return fmt.Errorf("%s: %w", f.name, err)
		}
		verdict := "short"
		if f.ok(value) {
			verdict = "ok"
		}
		if _, err := fmt.Fprintf(out, "figure %s %.3g %.3g %s\n", f.name, value, f.reach, verdict); err != nil {
			return err
		}
	}
	return nil
}

// contenders are those of the figures. The limit is the better of the first two.
func contenders() []entrant { return []entrant{pgxCached, pgxExec, setSearchPath, rowhouseDB} }

// reads measures one-row reads over n tenants, with a network of this round-trip
// time between: rowhouse against the limit.
func reads(n int, rtt time.Duration) func(context.Context, *bench) (float64, error) {
	return func(ctx context.Context, b *bench) (float64, error) {
		t := traffic{tenants: min(n, b.tenants)}
		f, err := b.open(ctx, contenders(), t.tenants, rtt)
		if err != nil {
			return 0, err
		}
		defer f.close()
		scores, err := b.compare(ctx, f.contestants, t)
		if err != nil {
			return 0, err
		}
		for _, s := range scores {
			fmt.Fprintf(b.people, "%5d tenants, rtt %v: %-28s %9.0f/s, p50 %v, p99 %v\n",
				t.tenants, rtt, s.name, s.rate, s.p50, s.p99)
		}
		last := len(scores) - 1
		return scores[last].ratio, b.profile(ctx, f.contestants[last], t)
	}
}

// profile runs a contestant once more under the profiler, if that was asked for.
func (b *bench) profile(ctx context.Context, c contestant, t traffic) error {
	if b.cpuprofile == "" {
		return nil
	}
	file, err := os.Create(b.cpuprofile)
	if err != nil {
		return err
	}
	defer file.Close()
	if err := pprof.StartCPUProfile(file); err != nil {
		return err
	}
	_, err = b.measure(ctx, c, t)
	pprof.StopCPUProfile()
	return err
}
