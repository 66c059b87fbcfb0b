package main

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"
)

// serverMemory compares the private memory of the server's backends after every
// tenant was read many times: rowhouse against pgx without affinity.
func serverMemory(ctx context.Context, b *bench) (float64, error) {
	contestants, stop, err := b.contestants(ctx, 0)
	if err != nil {
		return 0, err
	}
	defer stop()
	used := make([]int64, len(contestants))
	for i, c := range contestants {
		before, err := b.backendMemory(ctx)
		if err != nil {
			return 0, err
		}
		for range 3 * b.rounds {
			if _, err := b.rate(ctx, c, b.tenants); err != nil {
				return 0, err
			}
		}
		after, err := b.backendMemory(ctx)
		if err != nil {
			return 0, err
		}
		used[i] = after - before
		fmt.Fprintf(os.Stderr, "server memory: %-28s %6d MB\n", c.name, used[i]>>20)
	}
	return float64(used[len(used)-1]) / float64(used[0]), nil
}

// backendMemory sums the private memory of all client backends, in bytes.
func (b *bench) backendMemory(ctx context.Context) (int64, error) {
	conn, err := pgx.Connect(ctx, b.operator)
	if err != nil {
		return 0, err
	}
	defer conn.Close(ctx)
	rows, err := conn.Query(ctx, `SELECT pid FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()`)
	if err != nil {
		return 0, err
	}
	pids, err := pgx.CollectRows(rows, pgx.RowTo[int])
	if err != nil {
		return 0, err
	}
	var sum int64
	for _, pid := range pids {
		n, err := privateMemory(pid)
		if err != nil {
			return 0, err
		}
		sum += n
	}
	return sum, nil
}

func privateMemory(pid int) (int64, error) {
	f, err := os.Open(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
	if err != nil {
		return 0, fmt.Errorf("read the memory of a backend (Linux only): %w", err)
	}
	defer f.Close()
	var sum int64
	for lines := bufio.NewScanner(f); lines.Scan(); {
		fields := strings.Fields(lines.Text())
		if len(fields) >= 2 && (fields[0] == "Private_Clean:" || fields[0] == "Private_Dirty:") {
			kb, err := strconv.ParseInt(fields[1], 10, 64)
			if err != nil {
				return 0, err
			}
			sum += kb << 10
		}
	}
	return sum, nil
}
