package main

import (
	"bytes"
	"context"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"
)

// little is enough to see that everything runs, and too little to judge by.
func little(args ...string) []string {
	return append(args, "-tenants", "22", "-rounds", "1", "-seconds", "0.05")
}

// shell runs the command and returns what it prints.
func shell(t *testing.T, args ...string) (out, people string) {
	t.Helper()
	o, err := parse(little(args...))
	if err != nil {
		t.Fatal(err)
	}
	var stdout, stderr bytes.Buffer
	if err := run(t.Context(), o, &stdout, &stderr); err != nil {
		t.Fatalf("%v\n%s", err, &stderr)
	}
	return stdout.String(), stderr.String()
}

// Every figure, contestant and neighbour runs; each read checks whose row it got.
func TestAll(t *testing.T) {
	t.Parallel()
	out, people := shell(t, "-all")
	line := regexp.MustCompile(`^figure (\S+) (\S+) (\S+) (ok|short)$`)
	var names []string
	for text := range strings.Lines(out) {
		found := line.FindStringSubmatch(strings.TrimSpace(text))
		if found == nil {
			t.Fatalf("standard output has %q", text)
		}
		names = append(names, found[1])
		if found[1] == "flights" && found[2] != "1" {
			t.Errorf("a warm unit of work takes %s round trips", found[2])
		}
	}
	if want := len(figures()); len(names) != want {
		t.Errorf("%d figures, want %d: %v", len(names), want, names)
	}
	for _, head := range []string{"1 tenant", "20, uniform", "20, Zipf", "22, uniform", "22, Zipf", "server memory", "quiet, beside the noise"} {
		if !strings.Contains(people, head) {
			t.Errorf("no column %q in\n%s", head, people)
		}
	}
	for _, name := range contestantNames() {
		rows := regexp.MustCompile(`(?m)^\| `+regexp.QuoteMeta(name)+` (\| \*\*\d+\.\d\d\*\* [\d,]+ / [\d,]+ ){5}\|`).FindAllString(people, -1)
		if len(rows) != len(networks()) {
			t.Errorf("%s has %d rows:\n%s", name, len(rows), people)
		}
		if !regexp.MustCompile(`(?m)^\| ` + regexp.QuoteMeta(name) + ` .* [\d,]+ MB \|$`).MatchString(people) {
			t.Errorf("%s has no memory:\n%s", name, people)
		}
	}
}

func contestantNames() []string {
	return []string{"pgx, qualified, cached", "pgx, qualified, exec", "pgx, SET search_path first",
		"a pool per tenant (20 of 2)", "rowhouse", "gorm-multitenancy", "rowhouse with GORM"}
}

func TestFlags(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{
		{"-figure", "nonsense"}, {"-figure", "read-1", "-table"}, {"-cpuprofile", "x"}, {"-tenants", "1"}, {"-rounds", "0"}, {"-nonsense"},
	} {
		if _, err := parse(args); err == nil {
			t.Errorf("%v was taken", args)
		}
	}
}

// A read that gets another tenant's row must not count.
func TestWrongRowsFail(t *testing.T) {
	t.Parallel()
	if err := checkName("t00001", 5, "t00001 5"); err != nil {
		t.Error(err)
	}
	if err := checkName("t00001", 5, "t00002 5"); err == nil {
		t.Error("another tenant's row passed")
	}
	b := &bench{options: options{seconds: 10}}
	wrong := contestant{read: func(context.Context, int, int) error { return checkName("a", 1, "b 1") }}
	start := time.Now()
	if _, err := b.measure(t.Context(), wrong, traffic{tenants: 1}); err == nil || time.Since(start) > 5*time.Second {
		t.Errorf("a wrong row did not end the measurement: %v", err)
	}
}

func TestMeasure(t *testing.T) {
	t.Parallel()
	b := &bench{options: options{seconds: 0.2}}
	s, err := b.measure(t.Context(), contestant{read: func(_ context.Context, tenant, id int) error {
		if tenant < 0 || tenant > 2 || id < 1 || id > rowsPerTenant {
			return fmt.Errorf("asked for row %d of tenant %d", id, tenant)
		}
		time.Sleep(5 * time.Millisecond)
		return nil
	}}, traffic{tenants: 3})
	if err != nil {
		t.Fatal(err)
	}
	if s.p50 < 5*time.Millisecond || s.p99 < s.p50 {
		t.Errorf("reads of 5 ms: p50 %v, p99 %v", s.p50, s.p99)
	}
	if most := float64(workers) / 0.005; s.rate <= 0 || s.rate > most {
		t.Errorf("%v reads a second, %v are possible", s.rate, most)
	}
}

func TestPercentileAndMedian(t *testing.T) {
	t.Parallel()
	var hundred []time.Duration
	for i := range 100 {
		hundred = append(hundred, time.Duration(i+1))
	}
	for _, c := range []struct {
		values []time.Duration
		p      int
		want   time.Duration
	}{{nil, 99, 0}, {hundred[:1], 50, 1}, {hundred[:2], 50, 1}, {hundred[:3], 50, 2}, {hundred, 50, 50}, {hundred, 99, 99}} {
		if got := percentile(c.values, c.p); got != c.want {
			t.Errorf("p%d of %d values is %d, want %d", c.p, len(c.values), got, c.want)
		}
	}
	if got := median([]float64{5, 1, 3}); got != 3 {
		t.Errorf("median %v", got)
	}
}

// The ratio is to the better limit of the same round, not of the best round.
func TestJudge(t *testing.T) {
	t.Parallel()
	rounds := [][]sample{
		{{rate: 100}, {rate: 50}, {rate: 80}},
		{{rate: 10}, {rate: 20}, {rate: 10}},
		{{rate: 200}, {rate: 10}, {rate: 180}},
	}
	if got := judge("x", rounds, 2); got.ratio != 0.8 || got.rate != 80 {
		t.Errorf("judged %+v", got)
	}
}

func TestZipf(t *testing.T) {
	t.Parallel()
	const n = 100000
	count := func(tr traffic) []int {
		counts := make([]int, tr.tenants)
		pick := tr.picker()
		for range n {
			counts[pick()]++
		}
		return counts
	}
	skewed, flat := count(traffic{2000, true}), count(traffic{2000, false})
	if first := float64(skewed[0]) / n; first < 0.15 || first > 0.19 {
		t.Errorf("Zipf: the first of 2,000 tenants gets %v", first)
	}
	if flat[0] > 200 {
		t.Errorf("uniform: the first of 2,000 tenants gets %d of %d", flat[0], n)
	}
	if only := count(traffic{1, true}); only[0] != n {
		t.Errorf("one tenant gets %d of %d", only[0], n)
	}
}

func TestThousands(t *testing.T) {
	t.Parallel()
	for n, want := range map[int64]string{0: "0", 999: "999", 1000: "1,000", 1234567: "1,234,567"} {
		if got := thousands(n); got != want {
			t.Errorf("%d is written %q", n, got)
		}
	}
}
