package app

import (
	"slices"
	"testing"
	"time"

	"poise/internal/stats"
)

// TestExpiriesAreWarnedOf is what is said of two certificates while time goes on.
func TestExpiriesAreWarnedOf(t *testing.T) {
	begun := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	end := func(cert string, days float64) stats.Expiry {
		return stats.Expiry{Listener: "web", Certificate: cert, NotAfter: begun.Add(time.Duration(days * float64(day)))}
	}
	a, b, next := end("a", 15), end("b", 8.5), end("a", 100)
	e := expiries{}
	for _, step := range []struct {
		at        time.Duration
		all, want []stats.Expiry
		stage     int // of the last of want
	}{
		{0, []stats.Expiry{a, b}, []stats.Expiry{b}, 1},
		{time.Minute, []stats.Expiry{a, b}, nil, 0},
		{day - time.Second, []stats.Expiry{a, b}, nil, 0},
		{day, []stats.Expiry{a, b}, []stats.Expiry{a, b}, 1},             // a has 14 days; b is told again
		{day + 12*time.Hour, []stats.Expiry{a, b}, []stats.Expiry{b}, 2}, // 7 days, whenever it was told last
		{day + 13*time.Hour, []stats.Expiry{a}, nil, 0},
		{day + 14*time.Hour, []stats.Expiry{a, b}, []stats.Expiry{b}, 2}, // it is back, as after a reload
		{14 * day, []stats.Expiry{a}, []stats.Expiry{a}, 3},
		{15 * day, []stats.Expiry{a}, []stats.Expiry{a}, 4},
		{16*day - time.Second, []stats.Expiry{a}, nil, 0},
		{16 * day, []stats.Expiry{a}, []stats.Expiry{a}, 4},
		{17 * day, []stats.Expiry{next}, nil, 0},
		{86 * day, []stats.Expiry{next}, []stats.Expiry{next}, 1},
	} {
		now := begun.Add(step.at)
		got := e.due(now, step.all)
		if !slices.Equal(got, step.want) {
			t.Errorf("after %v: warned of %v, want %v", step.at, got, step.want)
		}
		if n := len(got); n > 0 && stageOf(got[n-1].NotAfter.Sub(now)) != step.stage {
			t.Errorf("after %v: stage %d, want %d", step.at, stageOf(got[n-1].NotAfter.Sub(now)), step.stage)
		}
	}
}
