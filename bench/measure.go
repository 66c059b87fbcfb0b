package main

import (
	"context"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// workers is how many goroutines ask at once, each as soon as it has its answer.
const workers = 16

// rowsPerTenant is how many rows the table has that is read.
const rowsPerTenant = 100

// traffic says which tenants are asked for: all alike, or the first much more
// often than the last.
type traffic struct {
	tenants int
	zipf    bool
}

// zipfExponent is as flat as math/rand's generator does it well: of 2,000 tenants
// the first gets 17 requests in a hundred, the last one in 25,000.
const zipfExponent = 1.1

// picker returns a function that picks tenants, for one goroutine.
func (t traffic) picker() func() int {
	if !t.zipf || t.tenants < 2 {
		return func() int { return rand.IntN(t.tenants) }
	}
	source := rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64()))
	z := rand.NewZipf(source, zipfExponent, 1, uint64(t.tenants-1))
	return func() int { return int(z.Uint64()) }
}

// sample is one measurement.
type sample struct {
	rate     float64 // a second
	p50, p99 time.Duration
}

// measure lets the workers read for a while.
func (b *bench) measure(ctx context.Context, c contestant, t traffic) (sample, error) {
	latencies := make([][]time.Duration, workers)
	var failed atomic.Pointer[error]
	var wg sync.WaitGroup
	start := time.Now()
	deadline := start.Add(b.slice())
	for i := range workers {
		wg.Go(func() {
			pick := t.picker()
			for began := start; began.Before(deadline) && ctx.Err() == nil && failed.Load() == nil; {
				if err := c.read(ctx, pick(), 1+rand.IntN(rowsPerTenant)); err != nil {
					failed.Store(&err)
					return
				}
				ended := time.Now()
				latencies[i] = append(latencies[i], ended.Sub(began))
				began = ended
			}
		})
	}
	wg.Wait()
	took := time.Since(start)
	if err := failed.Load(); err != nil {
		return sample{}, *err
	}
	all := slices.Concat(latencies...)
	slices.Sort(all)
	return sample{float64(len(all)) / took.Seconds(), percentile(all, 50), percentile(all, 99)}, ctx.Err()
}

// percentile is the value that p of a hundred are not above. The values are
// sorted.
func percentile(sorted []time.Duration, p int) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[max(0, (len(sorted)*p+99)/100-1)]
}

// median is the middle one of the values.
func median[T float64 | time.Duration](values []T) T {
	if len(values) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(values))
	return sorted[len(sorted)/2]
}
