package sqltext

import "testing"

// benchQueries are what applications send most.
var benchQueries = []struct{ name, sql string }{
	{"select", "SELECT id, name, email FROM users WHERE id = $1 AND deleted_at IS NULL"},
	{"insert", "INSERT INTO orders (id, customer, total) VALUES ($1, $2, $3) RETURNING created_at"},
	{"sqlc", "-- name: GetUser :one\nSELECT id, name FROM users\nWHERE id = $1 LIMIT 1\n"},
	{"semicolon", "  update users set name = $2 where id = $1;\n"},
	{"set local", "SET LOCAL statement_timeout = '5s'"},
}

func BenchmarkChangesSession(b *testing.B) {
	for _, q := range benchQueries {
		b.Run(q.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, changes := ChangesSession(q.sql); changes {
					b.Fatal("refused")
				}
			}
		})
	}
}

func TestChangesSessionAllocatesNothing(t *testing.T) {
	several := "SELECT 'a;b' AS x; INSERT INTO t VALUES ($1, E'\\n'); UPDATE t SET a = 1"
	queries := append(benchQueries[:len(benchQueries):len(benchQueries)], struct{ name, sql string }{"several", several})
	for _, q := range queries {
		n := testing.AllocsPerRun(100, func() { ChangesSession(q.sql) })
		if n != 0 {
			t.Errorf("%s: %v allocations, want 0", q.name, n)
		}
	}
}
