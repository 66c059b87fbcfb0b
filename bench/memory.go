package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"
)

// serverMemory compares the private memory of the server's backends after every
// tenant was read many times: rowhouse against pgx without affinity.
func serverMemory(ctx context.Context, b *bench) (float64, error) {
	f, err := b.open(ctx, contenders(), b.tenants, 0)
	if err != nil {
		return 0, err
	}
	defer f.close()
	for _, c := range f.contestants {
		for range 3 * b.rounds {
			if _, err := b.measure(ctx, c, traffic{tenants: b.tenants}); err != nil {
				return 0, fmt.Errorf("%s: %w", c.name, err)
			}
		}
	}
	used, err := b.backendMemory(ctx)
	if err != nil {
		return 0, err
	}
	for _, c := range f.contestants {
		fmt.Fprintf(b.people, "server memory: %-28s %6d MB\n", c.name, used[c.name]>>20)
	}
	first, last := f.contestants[0].name, f.contestants[len(f.contestants)-1].name
	return float64(used[last]) / float64(used[first]), nil
}

// backendMemory sums the private memory of the client backends of each contestant,
// in bytes, by the name that its connections carry.
func (b *bench) backendMemory(ctx context.Context) (map[string]int64, error) {
	conn, err := pgx.Connect(ctx, b.operator)
	if err != nil {
		return nil, err
	}
	defer conn.Close(ctx)
	rows, err := conn.Query(ctx, `SELECT pid, application_name FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()`)
	if err != nil {
		return nil, err
	}
	used := map[string]int64{}
	var pid int
	var name string
	_, err = pgx.ForEachRow(rows, []any{&pid, &name}, func() error {
		n, err := privateMemory(pid)
		if errors.Is(err, fs.ErrNotExist) {
			return nil // it has just ended
		}
		used[name] += n
		return err
	})
	return used, err
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
