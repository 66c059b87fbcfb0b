package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// part is a bind statement that does less than rowhouse's.
type part struct{ name, sql string }

// tenantZero is what the parts bind to.
type tenantZero struct{ id, schema, role string }

// parts are what binding consists of, each with one thing more than the one before.
// The first is none.
func (t tenantZero) parts() []part {
	path := `set_config('search_path','"` + t.schema + `", "public"',true)`
	id := `set_config('rowhouse.tenant_id','` + t.id + `',true)`
	role := `set_config('role','` + t.role + `',true)`
	return []part{
		{"the read alone", ""},
		{"and a statement that does nothing", `SELECT WHERE false`},
		{"that sets search_path", `SELECT WHERE ` + path + ` IS NULL`},
		{"and the tenant's id", `SELECT WHERE ` + path + `||` + id + ` IS NULL`},
		{"and the role: what rowhouse sends", `SELECT WHERE ` + path + `||` + id + `||` + role + ` IS NULL`},
	}
}

// floor shows what binding costs PostgreSQL at least, without any of rowhouse's own
// code: reads of one row sent with pgconn's pipeline, after ever more of a bind
// statement. The processor time of the backends is their own count (Linux only).
func (b *bench) floor(ctx context.Context) error {
	operator, err := pgx.Connect(ctx, b.operator)
	if err != nil {
		return err
	}
	defer operator.Close(ctx)
	var t tenantZero
	err = operator.QueryRow(ctx, `SELECT id::text, schema_name, role_name FROM rowhouse.tenants WHERE schema_name = $1`, b.schemas[0]).Scan(&t.id, &t.schema, &t.role)
	if err != nil {
		return err
	}
	parts := t.parts()
	var readers []*floorReader
	defer func() {
		for _, r := range readers {
			_ = r.conn.Close(ctx)
		}
	}()
	for range connections {
		r, err := newFloorReader(ctx, b.app, t, parts)
		if err != nil {
			return err
		}
		readers = append(readers, r)
	}
	rates, cpu := make([][]float64, len(parts)), make([][]float64, len(parts))
	for range b.rounds {
		for i := range parts {
			rate, us, err := b.readParts(ctx, readers, i)
			if err != nil {
				return err
			}
			rates[i], cpu[i] = append(rates[i], rate), append(cpu[i], us)
		}
	}
	fmt.Fprintf(b.people, "\n| what is sent, in one round trip | throughput | server's processor time |\n| --- | --: | --: |\n")
	for i, p := range parts {
		fmt.Fprintf(b.people, "| %s | %.2f | %.1f µs |\n", p.name, median(rates[i])/median(rates[0]), median(cpu[i]))
	}
	return nil
}

// floorReader is a connection on which everything is prepared.
type floorReader struct {
	conn  *pgx.Conn
	binds []*pgconn.StatementDescription
	read  *pgconn.StatementDescription
}

func newFloorReader(ctx context.Context, url string, t tenantZero, parts []part) (*floorReader, error) {
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return nil, err
	}
	r := &floorReader{conn: conn}
	for i, p := range parts {
		var sd *pgconn.StatementDescription
		if p.sql != "" {
			if sd, err = conn.PgConn().Prepare(ctx, fmt.Sprint("bind", i), p.sql, nil); err != nil {
				return nil, errors.Join(err, conn.Close(ctx))
			}
			// So that pgconn does not ask for the columns, of which there are none.
			sd.Fields = make([]pgconn.FieldDescription, 1)
		}
		r.binds = append(r.binds, sd)
	}
	// Without a tenant's table: most of the parts may read none.
	r.read, err = conn.PgConn().Prepare(ctx, "read", `SELECT n::text, n FROM generate_series(1, 1) n WHERE n = $1::int`, nil)
	if err != nil {
		return nil, errors.Join(err, conn.Close(ctx))
	}
	return r, nil
}

// once reads after part i of a bind statement.
func (r *floorReader) once(ctx context.Context, i int) error {
	p := r.conn.PgConn().StartPipeline(ctx)
	if r.binds[i] != nil {
		p.SendQueryStatement(r.binds[i], nil, nil, nil)
	}
	p.SendQueryStatement(r.read, [][]byte{[]byte("1")}, nil, nil)
	err := p.Sync()
	for err == nil {
		var answer any
		if answer, err = p.GetResults(); err == nil {
			result, ok := answer.(*pgconn.ResultReader)
			if !ok {
				break
			}
			_, err = result.Close()
		}
	}
	return errors.Join(err, p.Close())
}

// readParts returns the reads a second, and the processor time that the server took
// for each in microseconds.
func (b *bench) readParts(ctx context.Context, readers []*floorReader, i int) (rate, cpu float64, err error) {
	var done atomic.Int64
	errs := make([]error, len(readers))
	before, err := processorTime(readers)
	if err != nil {
		return 0, 0, err
	}
	var wg sync.WaitGroup
	start := time.Now()
	for n, r := range readers {
		wg.Go(func() {
			for time.Since(start) < b.slice() && errs[n] == nil {
				errs[n] = r.once(ctx, i)
				done.Add(1)
			}
		})
	}
	wg.Wait()
	took := time.Since(start)
	after, err := processorTime(readers)
	if err := errors.Join(slices.Concat(errs, []error{err})...); err != nil {
		return 0, 0, err
	}
	reads := float64(done.Load())
	return reads / took.Seconds(), float64((after - before).Microseconds()) / reads, nil
}

// processorTime is how long the backends have run.
func processorTime(readers []*floorReader) (sum time.Duration, err error) {
	for _, r := range readers {
		data, err := os.ReadFile(fmt.Sprintf("/proc/%d/schedstat", r.conn.PgConn().PID()))
		if err != nil {
			return 0, fmt.Errorf("read the processor time of a backend (Linux only): %w", err)
		}
		var ns int64
		if _, err := fmt.Sscan(string(data), &ns); err != nil {
			return 0, err
		}
		sum += time.Duration(ns)
	}
	return sum, nil
}
