// Package clock is the process's monotonic time as a small value.
//
// Deciders take an Instant as `now` and never read a clock themselves; movers read Now once a turn.
// It never tells the time of day: the access log converts with Wall.
package clock

import "time"

// Instant is nanoseconds on the process's monotonic clock. The zero Instant is "never" or "not set".
type Instant int64

// base lies a little in the past, so that no reading is zero.
var base = time.Now().Add(-time.Millisecond)

// Now reads the monotonic clock. Under testing/synctest it follows the bubble's time.
func Now() Instant { return Instant(time.Since(base)) }

// Add returns the instant d later.
func (i Instant) Add(d time.Duration) Instant { return i + Instant(d) }

// Sub returns how long i is after j.
func (i Instant) Sub(j Instant) time.Duration { return time.Duration(i - j) }

// Wall returns the time of day at which i was.
func (i Instant) Wall() time.Time { return base.Add(time.Duration(i)) }
