package main

import (
	"time"

	"poise/internal/clock"
	"poise/internal/fiber"
)

// timed says that the servers are several, each with a capacity that no processor bounds: so many requests at a time, each for a fixed time.
type timed struct {
	Servers, Slots int
	Time           time.Duration
}

// capacity is how many requests a second they can answer.
func (t timed) capacity() float64 { return float64(t.Servers*t.Slots) / t.Time.Seconds() }

// timedServer is one of them. What is above its slots waits in the order of its coming.
type timedServer struct {
	*server
	timed
	busy    int
	waiting []*fiber.Wait
}

// Serve is fiber.Handler's.
func (s *timedServer) Serve(c *fiber.Conn) { s.serve(c, func() { s.slot(c) }) }

// slot takes a slot for the fixed time.
func (s *timedServer) slot(c *fiber.Conn) {
	if s.busy++; s.busy > s.Slots {
		w := c.Loop().NewWait()
		s.waiting = append(s.waiting, w)
		_ = w.Until(0, nil) // a loop that stops gives slots out all the same
	}
	sleepUntil(c.Loop(), clock.Now().Add(s.Time))
	s.busy--
	if len(s.waiting) > 0 {
		s.waiting[0].Tell()
		s.waiting = s.waiting[1:]
	}
}
