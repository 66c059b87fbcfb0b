package main

import (
	"context"
	"fmt"
	"io"
	"runtime"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

// everybody takes part in the table. The limit is the better of the first two.
func everybody() []entrant {
	return []entrant{pgxCached, pgxExec, setSearchPath, poolPerTenant, rowhouseDB, gormMultitenancy, rowhouseGORM}
}

// networks are the round-trip times of the table.
func networks() []time.Duration { return []time.Duration{0, time.Millisecond} }

// crowds are the columns of the table. One tenant is the same either way.
func (b *bench) crowds() []traffic {
	var crowds []traffic
	for _, t := range []traffic{{1, false}, {20, false}, {20, true}, {2000, false}, {2000, true}} {
		t.tenants = min(t.tenants, b.tenants)
		crowds = append(crowds, t)
	}
	return crowds
}

// table measures everybody with every crowd and network, and prints Markdown.
func (b *bench) table(ctx context.Context) error {
	start := time.Now()
	var memory map[string]int64
	results := make(map[time.Duration][][]score) // by crowd, then contestant
	for _, rtt := range networks() {
		for _, t := range b.crowds() {
			scores, used, err := b.cell(ctx, t, rtt)
			if err != nil {
				return fmt.Errorf("%s, rtt %v: %w", t, rtt, err)
			}
			if used != nil {
				memory = used
			}
			results[rtt] = append(results[rtt], scores)
			fmt.Fprintf(b.people, "measured: %s, rtt %v\n", t, rtt)
		}
	}
	if err := b.caption(ctx, time.Since(start)); err != nil {
		return err
	}
	b.head()
	for _, rtt := range networks() {
		b.section(rtt, results[rtt], memory)
	}
	return nil
}

// cell compares everybody once. With most tenants and no network it also tells
// what memory each has taken in the server.
func (b *bench) cell(ctx context.Context, t traffic, rtt time.Duration) ([]score, map[string]int64, error) {
	f, err := b.open(ctx, everybody(), t.tenants, rtt)
	if err != nil {
		return nil, nil, err
	}
	defer f.close()
	scores, err := b.compare(ctx, f.contestants, t)
	if err != nil || rtt > 0 || t.tenants < b.tenants || t.zipf || runtime.GOOS != "linux" {
		return scores, nil, err
	}
	for _, c := range f.contestants {
		if err := b.tour(ctx, c, t); err != nil {
			return nil, nil, fmt.Errorf("%s: %w", c.name, err)
		}
	}
	memory, err := b.backendMemory(ctx)
	return scores, memory, err
}

// tour reads until most connections should have met most tenants, for at most
// twenty measurements.
func (b *bench) tour(ctx context.Context, c contestant, t traffic) error {
	reads := 0.0
	for n := 0; n < 20 && reads < float64(2*connections*t.tenants); n++ {
		s, err := b.measure(ctx, c, t)
		if err != nil {
			return err
		}
		reads += s.rate * b.seconds
	}
	return nil
}

// String is the head of a column.
func (t traffic) String() string {
	switch {
	case t.tenants == 1:
		return "1 tenant"
	case t.zipf:
		return thousands(int64(t.tenants)) + ", Zipf"
	}
	return thousands(int64(t.tenants)) + ", uniform"
}

// caption says what the numbers are of.
func (b *bench) caption(ctx context.Context, took time.Duration) error {
	conn, err := pgx.Connect(ctx, b.operator)
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	var version string
	if err := conn.QueryRow(ctx, `SELECT current_setting('server_version')`).Scan(&version); err != nil {
		return err
	}
	version, _, _ = strings.Cut(version, " ") // of Debian, …
	fmt.Fprintf(b.people, "\nPostgreSQL %s, %s, %d CPUs shared by client and server; medians of %d rounds of %g s; %v in all.\n"+
		"Cells: throughput against the limit of the same round, then p50 / p99 of a read in µs.\n\n",
		version, runtime.Version(), runtime.NumCPU(), b.rounds, b.seconds, took.Round(time.Second))
	return nil
}

func (b *bench) head() {
	cells := []string{""}
	for _, t := range b.crowds() {
		cells = append(cells, t.String())
	}
	row(b.people, append(cells, "server memory")...)
	row(b.people, "---"+strings.Repeat(" | ---:", len(cells)))
}

// section prints the rows of one network.
func (b *bench) section(rtt time.Duration, crowds [][]score, memory map[string]int64) {
	title := "**no network**, the limit, reads a second"
	if rtt > 0 {
		title = fmt.Sprintf("**%g ms of network**, the limit, reads a second", rtt.Seconds()*1000)
	}
	cells := []string{title}
	for _, scores := range crowds {
		limit := 0.0
		for _, s := range scores[:limits] {
			limit = max(limit, s.rate)
		}
		cells = append(cells, thousands(int64(limit)))
	}
	row(b.people, append(cells, "")...)
	for i, s := range crowds[0] {
		cells := []string{s.name}
		for _, scores := range crowds {
			cells = append(cells, scores[i].String())
		}
		used := ""
		if n, known := memory[s.name]; known && rtt == 0 {
			used = thousands(n>>20) + " MB"
		}
		row(b.people, append(cells, used)...)
	}
}

// String is a cell of the table.
func (s score) String() string {
	return fmt.Sprintf("**%.2f** %s", s.ratio, latency(s.p50, s.p99))
}

// latency is p50 / p99 in microseconds.
func latency(p50, p99 time.Duration) string {
	return thousands(p50.Microseconds()) + " / " + thousands(p99.Microseconds())
}

// row prints a row of a Markdown table.
func row(w io.Writer, cells ...string) {
	fmt.Fprintf(w, "| %s |\n", strings.Join(cells, " | "))
}

// thousands writes a number that is not negative with commas.
func thousands(n int64) string {
	if n < 1000 {
		return fmt.Sprint(n)
	}
	return fmt.Sprintf("%s,%03d", thousands(n/1000), n%1000)
}
