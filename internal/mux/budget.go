package mux

import (
	"time"

	"poise/internal/clock"
)

// budget bounds what a peer may have us do that brings nothing: each such frame, a glitch, takes one from it, and what brings something gives back.
type budget struct {
	left  int
	bytes int           // of bodies, that have given nothing yet
	at    clock.Instant // when time gave last

	// Resets are watched apart: a request that is taken back has cost as much as any other.
	since          clock.Instant
	opened, resets int
}

const (
	// mostGlitches is what a peer can use up at once, and glitchesPerSecond what time gives back: less than what makes a flood, more than
	// keep-alive pings, window updates and settings ever need.
	mostGlitches, glitchesPerSecond = 1000, 100
	// perRequest is what a request gives back, and perBytes of a body, in either direction, give back one: peers let us send on after 4 KiB and more, on the
	// stream and on the connection. [Go's net/http: 4 KiB]
	perRequest, perBytes = 8, 1 << 10
	// maxResets is how many streams a client may reset within resetTime, unless they are fewer than half of those that it has opened.
	maxResets, resetTime = 100, 30 * time.Second
)

func (b *budget) begin(now clock.Instant) { b.left, b.at, b.since = mostGlitches, now, now }

func (b *budget) earn(n int) { b.left = min(b.left+n, mostGlitches) }

// carried counts bytes of a body.
func (b *budget) carried(n int) {
	b.bytes += n
	b.earn(b.bytes / perBytes)
	b.bytes %= perBytes
}

// glitch takes n, and reports whether so much was left.
func (b *budget) glitch(now clock.Instant, n int) bool {
	if b.left -= n; b.left >= 0 {
		return true
	}
	b.earn(int(now.Sub(b.at) * glitchesPerSecond / time.Second))
	b.at = now
	return b.left >= 0
}

func (b *budget) opens(now clock.Instant) {
	if now.Sub(b.since) > resetTime {
		b.since, b.opened, b.resets = now, b.opened/2, b.resets/2
	}
	b.opened++
}

// reset counts a stream that the client has taken back, or has made us reset, and reports whether that may be.
func (b *budget) reset() bool {
	b.resets++
	return b.resets <= maxResets || 2*b.resets <= b.opened
}
