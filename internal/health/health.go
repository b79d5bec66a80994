// Package health holds one server's health as a pure state machine: probe results and the passing of time go in, changes
// of state come out.
//
// Failures of requests come in as the decision that follows from them: Eject. What decides is the pool, which knows the other servers.
//
// What a server's agent says of it is read here too, and kept apart from its health: Agent.
//
// It never probes, keeps no timer and takes no lock: internal/probe performs the probes, and internal/pool owns a Machine for
// each server and guards it. Start reading at Machine.
package health

import (
	"time"

	"poise/internal/clock"
)

// State is what a server is good for.
type State uint8

// The states of a server.
const (
	Checking State = iota // nothing is known yet; gets no requests
	Up                    // gets requests
	Down                  // gets none until probes succeed again
	Ejected               // up as far as probes go, but requests to it failed: gets none for a while
)

var stateNames = [...]string{"checking", "up", "down", "ejected"}

func (s State) String() string {
	if int(s) < len(stateNames) {
		return stateNames[s]
	}
	return "unknown"
}

// Defaults of Settings, which are those of PRODUCT's configuration and close to HAProxy's (inter 2s, fall 3, rise 2).
const (
	DefaultInterval = 2 * time.Second
	DefaultTimeout  = time.Second
	DefaultFall     = 3
	DefaultRise     = 2
)

// leastFast is the shortest default of Settings.FastInterval: short enough for what is about to change, and no burden to a server that struggles.
const leastFast = 100 * time.Millisecond

// Settings say how a server is probed and what follows. A zero field stands for its default.
type Settings struct {
	Interval time.Duration // between the starts of two probes; default 2 s
	// FastInterval is the same while the state may be about to change, never longer than Interval; default a quarter of it, and 100 ms at least.
	FastInterval time.Duration
	DownInterval time.Duration // the same while the server is down and no probe passes; default Interval [HAProxy, downinter]
	Timeout      time.Duration // for one probe in all; default 1 s
	Fall         int           // failures in a row that take a server down; default 3
	Rise         int           // successes in a row that bring it back; default 2
}

// WithDefaults returns s with every zero field set to its default.
func (s Settings) WithDefaults() Settings {
	if s.Interval <= 0 {
		s.Interval = DefaultInterval
	}
	if s.FastInterval <= 0 {
		s.FastInterval = max(s.Interval/4, leastFast)
	}
	s.FastInterval = min(s.FastInterval, s.Interval)
	if s.DownInterval <= 0 {
		s.DownInterval = s.Interval
	}
	if s.Timeout <= 0 {
		s.Timeout = DefaultTimeout
	}
	if s.Fall <= 0 {
		s.Fall = DefaultFall
	}
	if s.Rise <= 0 {
		s.Rise = DefaultRise
	}
	return s
}

// Result is the outcome of one probe.
type Result struct {
	OK     bool
	Reason string // in words, for the log and the status page: "status 503", "connection refused"
	// Duration is how long the probe took. A failure that took Settings.Timeout or longer is a probe without an answer.
	Duration time.Duration
}

// Event is one change of state.
type Event struct {
	At       clock.Instant
	From, To State
	Reason   string
}
