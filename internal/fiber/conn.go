package fiber

import (
	"errors"
	"net"
	"os"
	"time"

	"poise/internal/clock"
	"poise/internal/sys"
)

// Handler is whose connection it is. While a connection is idle, the loop keeps only the Conn and this.
type Handler interface {
	// Serve is called in a fiber when bytes have come on the idle connection.
	Serve(c *Conn)
	// Gone is called on the loop, outside any fiber, when the idle connection has ended: err is io.EOF (the peer's FIN), ErrIdle, or
	// what broke it. The connection is already closed.
	Gone(c *Conn, err error)
}

// ErrIdle is told to Handler.Gone when an idle connection's time was up.
var ErrIdle = errors.New("idle for too long")

// Conn is a byte stream that belongs to a loop. Its calls block only the calling fiber. One fiber reads and one writes at a time;
// they may be the same. It is also a net.Conn, for libraries that want one.
//
//	        Idle                      bytes                 Close
//	open ----------> idle (no fiber) -------> open (Serve) -------> closing: drain, FIN, linger ---> released
//	  |                |                                               ^                               ^
//	  |                +--- EOF, error, time up: closed, then Gone ----|-------------------------------+
//	  +--------------------- Abort, or after an error ------------------------------------------------+
type Conn struct {
	loop  *Loop
	peer  sys.Addr
	index int // in loop.conns
	h     handle
	ln    *Listener // that accepted it; nil for a dialled one

	// Receiving. Unread bytes are in first, then rest.
	first   segment
	rest    []segment
	unread  int
	recvErr error // what ended the receiving: io.EOF or an error; unread bytes come before it
	reader  *fiber

	// Small things, side by side: the whole is kept within 512 bytes, up to where the garbage collector deals with objects by the page.
	recv     recvState
	intake   Intake // what the next receive is like
	armed    Intake // what the armed one is like
	direct   direct
	state    state
	sending  bool
	last     bool // nothing is sent after this
	reset    bool
	timedOut bool // the writer's wait ended by writeBy, or by a stall
	forRoom  bool // the writer waits in Room, and has nothing in flight of its own
	idling   idling

	// Sending.
	out     [][]byte // what the driver sends now
	sendErr error
	writer  *fiber // waits for out, for the queue to drain, or for a connect
	queue   []byte // written by Write, not yet handed to the driver
	flight  []byte // the part of the queue, or what the filter has made, that the driver sends now
	mem     *sendMem

	handler Handler // set while idle
	guard   Guarded // is told when our peer leaves
	intr    error   // why waits on this connection are over
	ops     int     // operations in flight
	then    func()  // DialThen's

	timer                           timer
	readBy, writeBy, idleBy, lingBy clock.Instant
	stall                           stall
	filter                          *filtered // nil: none
	lingered                        int
}

type state uint8

const (
	open state = iota
	connecting
	flushing  // Close was called: what is queued goes out first
	lingering // the FIN is out; what comes is dropped until the peer's
	closing   // ends when nothing is in flight
	released
)

// idling is how a connection is idle, while it has a handler.
type idling uint8

const (
	byIdle  idling = iota
	byHold         // bytes do not end it
	byAwait        // the handler is served whatever happens
)

type recvState uint8

const (
	recvNone recvState = iota
	recvMany
	recvOne
	recvEnding // cancelled; its end has not come yet
)

// segment is a run of received bytes: in a driver's buffer, or gathered on the heap.
type segment struct {
	b   []byte // unread
	buf buffer // zero: b is on the heap
}

func (s *segment) drop() {
	s.buf.put()
	s.b = nil
}

// gather moves the bytes into memory of the heap, with room for so many, and gives the buffer back.
func (s *segment) gather(room int) {
	if s.buf.slab == nil && s.buf.b == nil {
		return
	}
	b := append(make([]byte, 0, max(512, room)), s.b...)
	s.drop()
	s.b = b
}

// highWater is how many unread bytes a connection may hold before it stops receiving. More than a head's default limit never waits
// unread, since Fill's callers bound what they gather.
const highWater = 64 << 10

// lingerTime and lingerBytes bound how long, and how much, a closed connection still listens so that its last answer is not lost to
// a reset (RFC 9112 section 9.6). nginx: lingering_timeout 5 s, lingering_time 30 s.
const (
	lingerTime  = 2 * time.Second
	lingerBytes = 1 << 20
)

func (l *Loop) newConn() *Conn {
	c := &Conn{loop: l, index: len(l.conns)}
	c.timer.owner = c
	l.conns = append(l.conns, c)
	return c
}

// Loop is the loop that the connection belongs to.
func (c *Conn) Loop() *Loop { return c.loop }

// Peer is the other end's address; empty for a client on a Unix socket.
func (c *Conn) Peer() sys.Addr { return c.peer }

// Handler is who was given to Idle, while the connection is idle; else nil.
func (c *Conn) Handler() Handler { return c.handler }

// Buffered returns unread bytes that are at hand, without a copy. They are valid until the next call of Fill, Discard or Close. Empty: there
// are none yet.
func (c *Conn) Buffered() []byte { return c.first.b }

// Unread is how many bytes have come and were not discarded; Buffered may hold only the first of them.
func (c *Conn) Unread() int { return c.unread }

// Clean tells that nothing has come beyond what was read, as far as can be known.
func (c *Conn) Clean() bool {
	return c.unread == 0 && c.recvErr == nil && c.state == open && !c.loop.driver.pending(c)
}

// Discard marks the first n bytes of Buffered as read.
func (c *Conn) Discard(n int) {
	c.first.b = c.first.b[n:]
	c.unread -= n
	if len(c.first.b) == 0 {
		c.first.drop()
		if len(c.rest) > 0 {
			c.first = c.rest[0]
			last := len(c.rest) - 1
			copy(c.rest, c.rest[1:])
			c.rest[last] = segment{}
			c.rest = c.rest[:last]
		}
	}
}

// Intake is how a connection receives.
type Intake uint8

const (
	// Heads: whatever comes, in small buffers, as soon as it comes.
	Heads Intake = iota
	// Sips: a little at a time, and only when somebody waits for it, so that what is behind a head stays in the socket.
	Sips
	// Bodies: a large buffer at a time, when somebody waits for it.
	Bodies
)

// sip is enough for most heads of answers, and little of the body behind one.
const sip = 4 << 10

// most is how much the armed receive may bring. A request comes by whole buffers, since one that is at hand with its body can be repeated.
func (c *Conn) most() int {
	switch {
	case c.armed == Bodies:
		return bodySize
	case c.armed == Sips && c.ln == nil:
		return sip
	}
	return headSize
}

// Receive says what is expected from now on. A new connection expects Heads.
func (c *Conn) Receive(in Intake) {
	if c.filter != nil && in == Sips { // what is behind a head cannot stay in the socket
		in = Heads
	}
	c.intake = in
	if in != Heads && c.recv == recvMany {
		c.recv = recvEnding
		c.loop.driver.cancelRecv(c)
	}
}

// ReadBy sets the instant after which a wait for bytes fails with os.ErrDeadlineExceeded; zero: none.
func (c *Conn) ReadBy(t clock.Instant) {
	c.readBy = t
	if c.reader != nil {
		c.arm()
	}
}

// Next makes Buffered non-empty: it waits only if nothing is unread. Errors: io.EOF, os.ErrDeadlineExceeded, net.ErrClosed, what broke the connection, or what
// Interrupt was given.
func (c *Conn) Next() error {
	for len(c.first.b) == 0 {
		if err := c.awaitBytes(); err != nil {
			return err
		}
	}
	return nil
}

// Fill makes Buffered longer by at least one byte, in one piece; it waits if it must. What is unread meanwhile lies on the heap, in as much
// memory as it needs, so that many slow heads take no receive buffers.
func (c *Conn) Fill() error {
	have := len(c.first.b)
	if have == 0 {
		return c.Next()
	}
	c.first.gather(2 * have)
	for len(c.rest) == 0 {
		if err := c.awaitBytes(); err != nil {
			return err
		}
		if len(c.first.b) > have {
			return nil
		}
	}
	more := c.rest[0]
	last := len(c.rest) - 1
	copy(c.rest, c.rest[1:])
	c.rest[last] = segment{}
	c.rest = c.rest[:last]
	c.first.b = append(c.first.b, more.b...)
	more.drop()
	return nil
}

// awaitBytes parks until a segment has come or no more will.
func (c *Conn) awaitBytes() error {
	for before := c.unread; c.unread <= before; {
		if err := c.unreadable(); err != nil {
			return err
		}
		c.parkReader()
	}
	return nil
}

// NextOr is Next, and ends too when *done is set and Nudge was called: then it returns nil although Buffered may be empty.
func (c *Conn) NextOr(done *bool) error {
	for len(c.first.b) == 0 && !*done {
		if err := c.unreadable(); err != nil {
			return err
		}
		c.parkReader()
	}
	return nil
}

// Nudge has the fiber that waits for bytes look again whether it has reason to. It is called on the loop.
func (c *Conn) Nudge() {
	if c.reader != nil {
		c.wakeReader()
	}
}

// Readable is why a wait for more would fail, or nil.
func (c *Conn) Readable() error { return c.unreadable() }

// unreadable is why there is nothing to wait for.
func (c *Conn) unreadable() error {
	switch {
	case c.intr != nil:
		return c.intr
	case c.recvErr != nil:
		return c.recvErr
	case c.state != open:
		return net.ErrClosed
	case c.readBy != 0 && c.loop.now >= c.readBy:
		return os.ErrDeadlineExceeded
	}
	return nil
}

// parkReader parks until there may be something.
func (c *Conn) parkReader() {
	c.startRecv(true)
	c.reader = c.loop.current
	c.arm()
	c.loop.park()
}

// Listen keeps a receive armed while nobody reads, so that a reset of the peer is noticed.
func (c *Conn) Listen() { c.startRecv(false) }

// startRecv arms a receive if none is armed and one makes sense. Above the high-water mark only a reader who waits gets one.
func (c *Conn) startRecv(wanted bool) {
	if c.recv != recvNone || c.recvErr != nil || c.state > lingering || (c.unread > highWater && !wanted) {
		return
	}
	c.ops++
	c.armed, c.recv = c.intake, recvOne
	if c.armed == Heads {
		c.recv = recvMany
	}
	c.loop.driver.recv(c)
}

// received is told by the driver: bytes, or the end of the receive (more is false), or both.
func (c *Conn) received(b buffer, more bool, err error) {
	if !more {
		ending := c.recv == recvEnding
		c.recv = recvNone
		c.ops--
		if ending && err != nil && sys.IsCancelled(err) {
			err = nil
		}
	}
	switch {
	case len(b.b) > 0 && c.state >= flushing:
		c.lingered += len(b.b)
		b.put()
	case len(b.b) > 0 && c.filter != nil:
		c.open(b)
	case len(b.b) > 0:
		c.push(b)
	case err != nil:
		b.put()
		if c.recvErr == nil {
			c.recvErr = c.endOf(err)
		}
	default:
		b.put()
	}
	if c.state >= flushing {
		c.lingerOn()
		return
	}
	c.tellReader(more)
}

func (c *Conn) push(b buffer) {
	c.unread += len(b.b)
	last := &c.first
	if len(c.rest) > 0 {
		last = &c.rest[len(c.rest)-1]
	}
	switch {
	case len(c.first.b) == 0:
		c.first = segment{b: b.b, buf: b}
	case cap(last.b)-len(last.b) >= len(b.b):
		// Beside what is unread, so that bytes that come one by one hold few buffers. What was handed out, or is being sent, lies before it.
		last.b = append(last.b, b.b...)
		b.put()
	default:
		c.rest = append(c.rest, segment{b: b.b, buf: b})
	}
	if c.unread > highWater && c.recv == recvMany {
		c.recv = recvEnding
		c.loop.driver.cancelRecv(c)
	}
}

// tellReader lets whoever waits for this connection know what has come.
func (c *Conn) tellReader(more bool) {
	switch {
	case c.reader != nil:
		if c.unread == 0 && c.recvErr == nil && !c.direct.reading {
			c.startRecv(true) // a cancelled receive ended; the reader still waits
			return
		}
		c.wakeReader()
	case c.handler != nil:
		if (c.unread > 0 && c.idling != byHold) || c.recvErr != nil {
			c.endIdle()
			return
		}
		c.startRecv(false)
	case c.recvErr != nil:
		if c.guard != nil {
			c.guard.Left(c.recvErr)
		}
	case !more && c.intake == Heads:
		c.startRecv(false)
	}
}

func (c *Conn) wakeReader() {
	f := c.reader
	c.reader = nil
	c.loop.wake(f)
}

func (c *Conn) wakeWriter() {
	f := c.writer
	c.writer = nil
	c.loop.wake(f)
}

// Interrupt ends what a fiber waits for on this connection, now and later, with err. It is called on the loop.
func (c *Conn) Interrupt(err error) {
	if c.state >= closing {
		return
	}
	if c.intr == nil {
		c.intr = err
	}
	if w, ok := c.guard.(*Wait); ok {
		w.Left(err)
	}
	if c.reader != nil {
		c.wakeReader()
	}
	if c.idling == byAwait {
		c.endIdle()
	}
	if c.sending {
		c.loop.driver.cancelSend(c)
	} else if c.writer != nil {
		c.wakeWriter()
	}
}

// Idle gives the connection back to its loop until bytes come: the calling fiber returns, and h is told what happens. by is when the connection is
// closed for being idle; zero: never. Bytes that are there already are served at once, in another fiber.
func (c *Conn) Idle(h Handler, by clock.Instant) {
	c.handler, c.idleBy, c.idling = h, by, byIdle
	c.readBy, c.writeBy = 0, 0
	if c.unread > 0 || c.recvErr != nil || c.intr != nil || c.state != open {
		c.endIdle()
		return
	}
	c.startRecv(false)
	c.arm()
}

// Take ends the idle time of a connection from outside: a fiber wants to use it. It reports false when it is not usable any more: bytes or an end have come.
func (c *Conn) Take() bool {
	if c.handler == nil || c.state != open || c.unread > 0 || c.recvErr != nil || c.intr != nil {
		return false
	}
	c.handler, c.idleBy = nil, 0
	return true
}

// IdleBy changes when an idle connection is closed, to an earlier instant.
func (c *Conn) IdleBy(t clock.Instant) {
	if c.handler != nil && (c.idleBy == 0 || t < c.idleBy) {
		c.idleBy = t
		c.arm()
	}
}

func (c *Conn) endIdle() {
	h := c.handler
	c.handler, c.idleBy = nil, 0
	if c.idling == byAwait {
		c.idling = byIdle
		c.loop.serve(h, c)
		return
	}
	usable := c.intr == nil && c.state == open
	if usable && c.unread > 0 && c.idling != byHold {
		c.loop.serve(h, c)
		return
	}
	err := c.recvErr
	if !usable {
		err = net.ErrClosed
	}
	if usable && c.filter != nil && c.sending {
		_ = c.Close() // the filter tells the peer why
	} else {
		c.closeNow()
	}
	h.Gone(c, err)
}

// arm sets the timer to the earliest instant that matters now.
func (c *Conn) arm() {
	var when clock.Instant
	take := func(t clock.Instant) {
		if t != 0 && (when == 0 || t < when) {
			when = t
		}
	}
	if c.reader != nil {
		take(c.readBy)
	}
	if c.writer != nil && !c.timedOut {
		take(c.writeBy)
		take(c.stall.check)
	}
	if c.handler != nil {
		take(c.idleBy)
	}
	if c.state == lingering || c.state == flushing {
		take(c.lingBy)
	}
	if when != 0 {
		c.loop.timers.by(&c.timer, when)
	}
}

// expire is the timer's: it may be early, since deadlines move later without touching the timer.
func (c *Conn) expire(now clock.Instant) {
	if (c.state == lingering || c.state == flushing) && c.lingBy <= now {
		c.closeNow()
		return
	}
	if c.idling == byAwait && c.idleBy != 0 && c.idleBy <= now {
		c.endIdle()
	}
	if c.handler != nil && c.idleBy != 0 && c.idleBy <= now {
		h := c.handler
		c.handler = nil
		if c.ln != nil {
			c.Close()
		} else {
			c.closeNow()
		}
		h.Gone(c, ErrIdle)
		return
	}
	if c.reader != nil && c.readBy != 0 && c.readBy <= now {
		c.wakeReader()
	}
	if c.writer != nil && !c.timedOut && ((c.writeBy != 0 && c.writeBy <= now) || c.stalled(now)) {
		c.timedOut = true
		if c.forRoom {
			c.wakeWriter()
		} else {
			c.loop.driver.cancelSend(c)
		}
	}
	c.arm()
}
