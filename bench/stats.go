package main

import (
	"math"
	"slices"
)

// spread is what several runs gave for one figure.
type spread struct {
	Median float64 `json:"median"`
	Min    float64 `json:"min"`
	Max    float64 `json:"max"`
}

// spreadOf is the spread of a figure over runs that have it; it must not be NaN.
func spreadOf[T any](runs []T, figure func(T) float64) spread {
	var all []float64
	for _, r := range runs {
		all = append(all, figure(r))
	}
	if len(all) == 0 {
		return spread{}
	}
	return spread{Median: quantile(all, 0.5), Min: slices.Min(all), Max: slices.Max(all)}
}

// quantile is the q-th quantile of values, between two of them in proportion.
func quantile(values []float64, q float64) float64 {
	if len(values) == 0 {
		return math.NaN()
	}
	sorted := slices.Sorted(slices.Values(values))
	at := q * float64(len(sorted)-1)
	below := int(at)
	if below == len(sorted)-1 {
		return sorted[below]
	}
	return sorted[below] + (at-float64(below))*(sorted[below+1]-sorted[below])
}
