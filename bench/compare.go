package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"
)

// limits is how many contestants, the first ones, are what the others are measured
// against: the better one of them, round by round, is the limit.
const limits = 2

// score is what a contestant did, each number the median of the rounds.
type score struct {
	name     string
	rate     float64 // reads a second
	ratio    float64 // to the limit of the same round
	p50, p99 time.Duration
}

// compare lets the contestants have their turns, round after round, each time in
// another order: who comes after whom makes a difference. All are warm before.
func (b *bench) compare(ctx context.Context, contestants []contestant, t traffic) ([]score, error) {
	for _, c := range contestants {
		if err := b.warm(ctx, c, t); err != nil {
			return nil, fmt.Errorf("%s: %w", c.name, err)
		}
	}
	rounds := make([][]sample, 0, b.rounds) // by round, then contestant
	for range b.rounds {
		samples := make([]sample, len(contestants))
		for _, i := range rand.Perm(len(contestants)) {
			c := contestants[i]
			var err error
			if samples[i], err = b.measure(ctx, c, t); err != nil {
				return nil, fmt.Errorf("%s: %w", c.name, err)
			}
		}
		rounds = append(rounds, samples)
	}
	scores := make([]score, len(contestants))
	for i, c := range contestants {
		scores[i] = judge(c.name, rounds, i)
	}
	return scores, nil
}

// warm lets a contestant read until it has met every tenant on most of its
// connections, or has had time enough.
func (b *bench) warm(ctx context.Context, c contestant, t traffic) error {
	const reads, slices = 40, 5
	for n, done := 0, 0.0; n == 0 || n < slices && done < float64(reads*t.tenants); n++ {
		s, err := b.measure(ctx, c, t)
		if err != nil {
			return err
		}
		done += s.rate * b.slice().Seconds()
	}
	return nil
}

// judge takes the medians of one contestant.
func judge(name string, rounds [][]sample, i int) score {
	var rates, ratios []float64
	var p50, p99 []time.Duration
	for _, samples := range rounds {
		limit := 0.0
		for _, s := range samples[:limits] {
			limit = max(limit, s.rate)
		}
		rates, ratios = append(rates, samples[i].rate), append(ratios, samples[i].rate/limit)
		p50, p99 = append(p50, samples[i].p50), append(p99, samples[i].p99)
	}
	return score{name, median(rates), median(ratios), median(p50), median(p99)}
}
