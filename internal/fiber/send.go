package fiber

import (
	"errors"
	"net"
	"os"
	"time"

	"poise/internal/clock"
	"poise/internal/sys"
)

// maxQueue is how much Write queues. It never waits, since a library may call it with a lock held; who writes through a library waits for Room before each
// piece.
const maxQueue, roomBelow = 256 << 10, 64 << 10

// ErrQueueFull is what Write returns when the peer takes nothing and the queue is full.
var ErrQueueFull = errors.New("write queue full")

// WriteBy sets the instant after which a wait to send fails with os.ErrDeadlineExceeded; zero: none. Bytes that Write has queued are not dropped by it.
func (c *Conn) WriteBy(t clock.Instant) {
	c.writeBy = t
	if c.writer != nil {
		c.arm()
	}
}

// Send sends the slices, in order and whole, without a copy, and returns when the kernel has taken all: until then they belong to the connection. At most
// sys.MaxGather slices. After an error the connection can only be closed.
func (c *Conn) Send(bufs ...[]byte) error {
	for c.sendErr == nil && (c.sending || len(c.queue) > 0) { // what Write queued goes first
		if err := c.awaitSend(); err != nil {
			return err
		}
	}
	if err := c.sendable(); err != nil {
		return err
	}
	c.out = c.sendMem().slices[:0]
	for _, b := range bufs {
		if len(b) > 0 {
			c.out = append(c.out, b)
		}
	}
	if len(c.out) == 0 {
		c.putSendMem()
		return nil
	}
	if c.filter != nil {
		if err := c.seal(); err != nil {
			return err
		}
	}
	c.stall.begin(c.loop.now)
	c.startSend()
	return c.awaitSend()
}

// Last says that the next Send is the last, and that Finish follows at once: the last bytes and the end then go in one segment.
func (c *Conn) Last() { c.last = true }

// StallAfter makes a Send fail with os.ErrDeadlineExceeded when the peer takes nothing for d, however long a Send that makes progress lasts; 0: never.
func (c *Conn) StallAfter(d time.Duration) {
	c.stall.after = d
	if c.stall.check != 0 { // one is in flight: its time begins anew
		c.stall.begin(c.loop.now)
		c.arm()
	}
}

// stall watches whether the peer takes what is sent. The kernel sends a large piece as one operation, and only its count of acknowledged bytes shows
// whether it moves: that is asked a few times within the bound, and so never for a send that is quick. It is the looks that count and not the time between
// them: while this process had no processor, the peer may have had nothing to take.
type stall struct {
	after time.Duration
	check clock.Instant // when to look next; 0: nothing is watched
	looks int           // that have found the count as it is; 0: none has been made
	acked uint64
}

const stallChecks = 4

func (s *stall) begin(now clock.Instant) {
	s.check, s.looks = 0, 0
	if s.after > 0 {
		s.check = now.Add(s.after / stallChecks)
	}
}

// stalled looks whether the send in flight has moved.
func (c *Conn) stalled(now clock.Instant) bool {
	s := &c.stall
	if s.check == 0 || s.check > now {
		return false
	}
	if acked := c.loop.driver.acked(c); acked != s.acked {
		s.looks, s.acked = 0, acked
	}
	s.looks++
	s.check = now.Add(s.after / stallChecks)
	return s.looks > stallChecks
}

func (c *Conn) sendable() error {
	switch {
	case c.intr != nil:
		return c.intr
	case c.sendErr != nil:
		return c.sendErr
	case c.state != open:
		return net.ErrClosed
	}
	return nil
}

func (c *Conn) startSend() {
	c.sending = true
	c.ops++
	c.loop.driver.send(c)
}

// awaitSend parks until nothing is in flight. A buffer belongs to its send until the completion, so a wait that is over waits for the cancelled
// send's end too.
func (c *Conn) awaitSend() error {
	c.timedOut = false
	for c.sending {
		c.writer = c.loop.current
		c.arm()
		c.loop.park()
	}
	if c.timedOut {
		c.timedOut = false
		if c.sendErr != nil { // the cancel came in time: bytes are missing
			c.sendErr = os.ErrDeadlineExceeded
		}
	}
	if c.intr != nil {
		return c.intr
	}
	return c.sendErr
}

// sentSome is told by the driver: n bytes went out; err says why no more.
func (c *Conn) sentSome(n int, err error) {
	c.ops--
	c.sending = false
	for n > 0 && len(c.out) > 0 {
		take := min(n, len(c.out[0]))
		c.out[0] = c.out[0][take:]
		n -= take
		if len(c.out[0]) == 0 {
			c.out = c.out[1:]
		}
	}
	left := len(c.out) > 0
	if err != nil {
		c.sendErr = err
	} else if left && c.state < closing && !c.timedOut && c.intr == nil {
		c.startSend() // a short send: the next try completes it, or says what broke
		return
	} else if left {
		c.sendErr = net.ErrClosed
	}
	c.stall.check = 0
	c.putSendMem()
	c.out, c.last = nil, false
	c.loop.keepSpare(c.flight)
	c.flight = nil
	if c.sendErr == nil && len(c.queue) > 0 && c.state <= flushing {
		c.sendQueue()
	}
	if c.writer != nil {
		c.wakeWriter()
	}
	c.closeOn()
}

// Write queues p and never waits; part of net.Conn.
func (c *Conn) Write(p []byte) (int, error) {
	if err := c.writable(len(p)); err != nil {
		return 0, err
	}
	if c.filter == nil {
		c.enqueue(append(c.queueMem(), p...))
		return len(p), nil
	}
	queue, err := c.filter.Seal(c.queueMem(), [][]byte{p})
	if err != nil {
		c.sendErr = err
		return 0, err
	}
	c.enqueue(queue)
	return len(p), nil
}

// writable is why n bytes cannot be queued, or nil.
func (c *Conn) writable(n int) error {
	if err := c.sendable(); err != nil {
		return err
	}
	if c.writeBy != 0 && c.loop.now >= c.writeBy {
		return os.ErrDeadlineExceeded
	}
	if len(c.queue)+n > maxQueue {
		return ErrQueueFull
	}
	return nil
}

// queueMem is the queue, or memory for a new one.
func (c *Conn) queueMem() []byte {
	if c.queue == nil {
		return c.loop.takeSpare()
	}
	return c.queue
}

func (c *Conn) enqueue(queue []byte) {
	if c.queue = queue; !c.sending && len(queue) > 0 {
		c.sendQueue()
	}
}

// sendQueue hands the queue to the driver.
func (c *Conn) sendQueue() {
	c.queue, c.flight = nil, c.queue
	c.out = append(c.sendMem().slices[:0], c.flight)
	c.startSend()
}

// Room waits until less than 64 KiB are queued by Write. Nothing queued is lost when its wait times out.
func (c *Conn) Room() error {
	c.timedOut = false
	for c.sendable() == nil && len(c.queue)+len(c.flight) >= roomBelow {
		if c.timedOut {
			c.timedOut = false
			return os.ErrDeadlineExceeded
		}
		c.writer, c.forRoom = c.loop.current, true
		c.arm()
		c.loop.park()
		c.forRoom = false
	}
	c.timedOut = false
	return c.sendable()
}

// sendMem is what must stay in place during a send or a connect. Only connections that do either have one.
type sendMem struct {
	slices [sys.MaxGather][]byte
	kernel sys.Msg
	addr   sys.SockAddr
}

func (c *Conn) sendMem() *sendMem {
	if c.mem == nil {
		l := c.loop
		if n := len(l.mems); n > 0 {
			c.mem = l.mems[n-1]
			l.mems = l.mems[:n-1]
		} else {
			c.mem = new(sendMem)
		}
	}
	return c.mem
}

// putSendMem gives it back: nothing is in flight.
func (c *Conn) putSendMem() {
	if c.mem != nil {
		clear(c.mem.slices[:])
		c.loop.mems = append(c.loop.mems, c.mem)
		c.mem = nil
	}
}

// spares bounds how many buffers, and of what size, a loop keeps for what is copied to be sent.
const spares, maxSpare = 64, 80 << 10

// takeSpare returns memory for bytes that are copied to be sent; nil if there is none.
func (l *Loop) takeSpare() []byte {
	n := len(l.spare)
	if n == 0 {
		return nil
	}
	b := l.spare[n-1]
	l.spare = l.spare[:n-1]
	return b
}

// keepSpare takes the memory back: it is in flight no more.
func (l *Loop) keepSpare(b []byte) {
	if cap(b) > 0 && cap(b) <= maxSpare && len(l.spare) < spares {
		l.spare = append(l.spare, b[:0])
	}
}
