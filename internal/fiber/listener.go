package fiber

import (
	"time"

	"poise/internal/clock"
	"poise/internal/sys"
)

// drainAcceptTime is how long a draining listener still takes connections whose handshake was on its way: longer than a round trip to most clients.
const drainAcceptTime = 250 * time.Millisecond

// acceptPause is how long accepting rests after it failed, mostly for want of descriptors or memory: long enough not to spin, short
// enough to be back within a second.
const acceptPause = 100 * time.Millisecond

// Listener accepts connections for one loop.
type Listener struct {
	loop     *Loop
	h        handle
	on       Accepting
	timer    timer
	armed    bool // an accept is in flight
	many     bool // io_uring's: it takes all that is queued
	paused   bool // by Pause
	draining bool
	shut     bool // the driver was told to close the socket
	closedUp bool // the socket is closed
	unix     bool // its clients have no address
}

// Accepting is what becomes of a listener's connections. All is called outside any fiber.
type Accepting struct {
	// Place, if not nil, says for each connection whose it shall be: this listener's, or that of another loop with the same driver. Nothing was received yet.
	Place func() *Listener
	// Sparing, if not nil, tells that few connections more can be served: those that cannot are better left in the queue than accepted.
	Sparing func() bool
	// Accept gets a connection, and calls Idle or Close on it.
	Accept func(*Conn)
	// Closed, if not nil, is called when a connection's socket is given back.
	Closed func(*Conn)
}

// Listen takes the listening descriptor fd over and accepts from it.
func (l *Loop) Listen(fd int, on Accepting) (*Listener, error) {
	ln := &Listener{loop: l, on: on}
	ln.timer.owner = ln
	if err := l.driver.listen(ln, fd); err != nil {
		return nil, err
	}
	l.listeners = append(l.listeners, ln)
	ln.arm()
	return ln, nil
}

// unlisten closes what is still listening: the loop ends.
func (l *Loop) unlisten() {
	for _, ln := range l.listeners {
		ln.draining, ln.shut = true, true
		l.timers.remove(&ln.timer)
		if !ln.closedUp {
			l.driver.unlisten(ln)
		}
	}
}

func (ln *Listener) arm() {
	if !ln.armed && !ln.paused && !ln.draining {
		ln.armed = true
		ln.loop.driver.accept(ln)
	}
}

// Recheck asks Sparing again: other loops may have taken the places meanwhile.
func (ln *Listener) Recheck() {
	if ln.many && ln.armed && !ln.paused && !ln.draining && ln.sparing() {
		ln.many = false
		ln.loop.driver.stopAccept(ln)
	}
}

func (ln *Listener) sparing() bool { return ln.on.Sparing != nil && ln.on.Sparing() }

// Pause stops accepting: what comes waits in the kernel's queue. Resume goes on.
func (ln *Listener) Pause() {
	if !ln.paused {
		ln.paused = true
		if ln.armed {
			ln.loop.driver.stopAccept(ln)
		}
	}
}

// Resume accepts again after Pause.
func (ln *Listener) Resume() {
	ln.paused = false
	ln.arm()
}

// Drain accepts what is queued, and closes the listening socket.
func (ln *Listener) Drain() {
	if ln.draining {
		return
	}
	ln.draining = true
	ln.loop.timers.remove(&ln.timer)
	if ln.armed {
		ln.loop.driver.stopAccept(ln)
		return // goes on in acceptEnded
	}
	ln.empty()
}

// empty takes what is queued and closes the socket.
func (ln *Listener) empty() {
	if !ln.shut {
		ln.shut = true
		ln.loop.driver.drainAccept(ln)
	}
}

// accepted is told by the driver: a connection, which no driver has begun to work with. An error says that this loop can take no more.
func (ln *Listener) accepted(h handle, peer sys.Addr) error {
	if ln.on.Place != nil {
		to := ln.on.Place()
		if to != ln && to.loop.Post(func() { _ = to.take(h, peer) }) {
			return nil
		}
	}
	return ln.take(h, peer)
}

// take begins a connection. One that the driver cannot work with is ended as if it had broken.
func (ln *Listener) take(h handle, peer sys.Addr) error {
	c := ln.loop.newConn()
	c.h, c.peer, c.ln = h, peer, ln
	err := ln.loop.driver.adopt(c)
	c.recvErr = err
	ln.loop.count.Accepted++
	ln.on.Accept(c)
	return err
}

// acceptEnded is told by the driver when it accepts no more: it was stopped, or err says why.
func (ln *Listener) acceptEnded(err error) {
	ln.armed = false
	switch {
	case ln.draining:
		ln.empty()
	case err != nil && !sys.IsConnAborted(err):
		ln.loop.count.AcceptPauses++
		ln.loop.timers.by(&ln.timer, ln.loop.now.Add(acceptPause))
	default:
		ln.arm()
	}
}

func (ln *Listener) expire(clock.Instant) {
	switch {
	case ln.closedUp:
	case ln.draining:
		ln.loop.driver.endDrainAccept(ln)
	default:
		ln.arm()
	}
}

// Closed tells whether the listening socket is closed, after Drain.
func (ln *Listener) Closed() bool { return ln.closedUp }
