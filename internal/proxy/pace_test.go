package proxy

import (
	"testing"
	"time"

	"poise/internal/clock"
)

// A body comes as pieces at instants (in seconds); the wait for a piece may end before it comes.
func TestPace(t *testing.T) {
	type piece struct {
		at    time.Duration
		bytes int
	}
	tests := []struct {
		name   string
		rate   int
		pieces []piece
		want   time.Duration // when the client is given up after the last piece
	}{
		{"nothing at all", 100, nil, 30 * time.Second},
		{"nothing at all, any rate", 0, nil, 60 * time.Second},
		{"a trickle", 100, []piece{{10 * time.Second, 1}, {20 * time.Second, 1}, {29 * time.Second, 1}}, 30 * time.Second},
		{"a trickle, any rate", 0, []piece{{10 * time.Second, 1}, {50 * time.Second, 1}}, 110 * time.Second},
		{"enough, then silence", 100, []piece{{time.Second, 3000}}, 61 * time.Second},
		{"enough, then a trickle", 100, []piece{{time.Second, 3000}, {31 * time.Second, 1}, {40 * time.Second, 1}}, 61 * time.Second},
		{"steady", 100, []piece{{10 * time.Second, 1500}, {20 * time.Second, 1500}, {30 * time.Second, 100}, {45 * time.Second, 3000}}, 105 * time.Second},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			start := clock.Instant(time.Hour)
			p := newPace(start, time.Minute, test.rate)
			now := start
			for _, piece := range test.pieces {
				if limit := now.Add(p.next(now)); limit < start.Add(piece.at) {
					t.Fatalf("given up at %v, before the piece at %v", limit.Sub(start), piece.at)
				}
				now = start.Add(piece.at)
				p.add(now, piece.bytes)
			}
			if got := now.Add(p.next(now)).Sub(start); got != test.want {
				t.Errorf("given up at %v, want %v", got, test.want)
			}
		})
	}
}
