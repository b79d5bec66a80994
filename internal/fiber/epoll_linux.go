package fiber

import (
	"errors"
	"io"
	"time"

	"poise/internal/sys"
)

// epoll is the driver over epoll(7), for kernels and containers that have no io_uring. A socket is registered once, for edges; what the edges told is
// remembered in its handle, so that no call is made in vain: a receive only when bytes are known to be there, a send unless the socket is known
// to be full.
type epoll struct {
	loop  *Loop
	poll  *sys.Epoll
	slots slots
	head  stock
	body  stock

	found int           // events that the last wait has brought
	again queue[uint64] // tokens of what can go on without an event
	ends  queue[end]    // to be told
	out   queue[uint64] // tokens of sends that were put off
	quick int           // sends that were not, since the last event

	eventFD int
}

// readiness is what the driver knows of a socket, and what it does with it.
type readiness uint8

const (
	armed    readiness = 1 << iota // a receive or accept is wanted
	readable                       // there was an edge, and what it told was not all taken
	drain                          // a short read does not mean that all is taken: an end, an error or an urgent byte follows
	waiting                        // a send, or a connect, waits for an edge
	full                           // the last send found no room; an edge follows
	listed                         // in again
	starved                        // in its stock's list
)

// end is what ended otherwise than by an event.
type end struct {
	c   *Conn
	ln  *Listener
	op  op
	n   int
	err error
}

// stock is a slab, and who waits for its buffers.
type stock struct {
	slab    *sys.Slab
	starved []uint64
	short   int // how many were in use when there were none left
}

// queue is a list of which one turn takes what is in it at a time, in two arrays that are used in turn.
type queue[T any] struct{ list, other []T }

func (q *queue[T]) add(v T) { q.list = append(q.list, v) }

// take returns what is queued; it is valid until the next but one.
func (q *queue[T]) take() []T {
	l := q.list
	clear(q.other)
	q.list, q.other = q.other[:0], l
	return l
}

const (
	// epollBatch bounds the events of one turn, as turnCompletions does.
	epollBatch = turnCompletions
	// receivesInARow, acceptsInARow and sendsInARow bound what one event sets off before others have their turn.
	receivesInARow, acceptsInARow, sendsInARow = 4, 64, 4
	// largeSend is from where on a send is made at once: of bodies, and not of most heads.
	largeSend = 8 << 10
)

func newEpoll(l *Loop, cfg Config) (*epoll, error) {
	poll, err := sys.NewEpoll(epollBatch)
	if err != nil {
		return nil, err
	}
	d := &epoll{loop: l, poll: poll}
	if d.eventFD, err = sys.NewEventFD(); err != nil {
		_ = poll.Close()
		return nil, err
	}
	if err := d.try(); err != nil {
		_ = poll.Close()
		_ = sys.Close(d.eventFD)
		return nil, err
	}
	d.head.slab = sys.NewMappedSlab(headSize, headLimit, cfg.Poison)
	d.body.slab = sys.NewMappedSlab(bodySize, bodyLimit, cfg.Poison)
	return d, nil
}

// try registers the eventfd, and sees whether it wakes.
func (d *epoll) try() error {
	h := d.slots.own(d.eventFD, nil, nil) // nobody: its event has done its work by coming
	if err := d.poll.AddSource(d.eventFD, d.token(h)); err != nil {
		return err
	}
	sys.Signal(d.eventFD)
	n, err := d.poll.Look()
	if err == nil && n != 1 {
		err = errors.New("epoll tells nothing of an eventfd")
	}
	return err
}

func (d *epoll) name() string { return "epoll" }

// Tokens: slot in the lower 32 bits, generation in the upper. An event may come for a descriptor that was closed in the same turn.
func (d *epoll) token(h handle) uint64 {
	return uint64(h.slot) | uint64(d.slots.all[h.slot].gen)<<32
}

func (d *epoll) wait(patience time.Duration) {
	d.feed(&d.head)
	d.feed(&d.body)
	d.look(d.poll.Look())
	if d.found == 0 && patience != 0 && len(d.again.list) == 0 && len(d.ends.list) == 0 && len(d.out.list) == 0 && d.loop.sleep() {
		d.look(d.poll.Wait(patience))
	}
	d.loop.awake()
}

func (d *epoll) look(n int, err error) {
	if err != nil {
		panic(err.Error())
	}
	d.found = n
}

// feed lets as many receives go on as buffers have come back.
func (d *epoll) feed(s *stock) {
	n := min(len(s.starved), s.short-s.slab.InUse())
	if n > 0 {
		d.again.list = append(d.again.list, s.starved[:n]...)
		s.starved = append(s.starved[:0], s.starved[n:]...)
	}
}

func (d *epoll) complete() {
	for i := range d.found {
		d.dispatch(d.poll.Event(i))
	}
	d.found = 0
	// What this sets off in turn waits for the next time, or a busy connection would keep all others waiting.
	d.flush()
	ends := d.ends.take()
	for i := range ends {
		d.quick = 0
		d.tell(&ends[i])
		d.loop.runReady()
	}
	for _, t := range d.again.take() {
		d.dispatch(0, t)
	}
}

func (d *epoll) tell(e *end) {
	switch e.op {
	case opRecv:
		e.c.received(buffer{}, false, e.err)
	case opSend:
		e.c.sentSome(e.n, e.err)
	case opReady:
		e.c.ready(e.err)
	case opAccept:
		e.ln.acceptEnded(e.err)
	}
}

// dispatch lets the owner of a token go on, with what an event has told of it.
func (d *epoll) dispatch(what uint32, token uint64) {
	s := &d.slots.all[uint32(token)]
	if s.gen != uint32(token>>32) {
		return
	}
	d.quick = 0
	switch {
	case s.conn != nil:
		d.goOn(s.conn, what)
	case s.ln != nil:
		d.acceptSome(s.ln, what)
	}
	d.loop.runReady()
}

// goOn receives first: so a reset is known to be one before a send fails of it.
func (d *epoll) goOn(c *Conn, what uint32) {
	const ending = sys.EventPeerFIN | sys.EventErr | sys.EventHangUp | sys.EventUrgent
	h := &c.h
	h.ready &^= listed
	if what == 0 {
		h.ready &^= starved
	}
	if what&ending != 0 {
		h.ready |= readable | drain
	}
	if what&sys.EventIn != 0 {
		h.ready |= readable
	}
	for left := receivesInARow; h.ready&(armed|readable|starved) == armed|readable; left-- {
		if left == 0 {
			d.list(h)
			break
		}
		d.receive(c)
		d.loop.runReady() // c may be gone after this; its handle is empty then
	}
	if what&(sys.EventOut|sys.EventErr|sys.EventHangUp) != 0 {
		h.ready &^= full
		if h.ready&waiting != 0 {
			switch {
			case c.state == connecting:
				h.ready &^= waiting
				d.endConnect(c, what)
			case c.direct.writing:
				h.ready &^= waiting
				c.ready(nil)
			default:
				d.send(c)
			}
		}
	}
}

// list lets h go on in the next turn.
func (d *epoll) list(h *handle) {
	if h.ready&listed == 0 {
		h.ready |= listed
		d.again.add(d.token(*h))
	}
}

// receive takes what is there, a buffer full at most. Without a buffer, the connection waits for one.
func (d *epoll) receive(c *Conn) {
	if c.direct.looking {
		c.direct.looking = false
		c.h.ready &^= armed
		c.received(buffer{}, false, nil)
		return
	}
	s := &d.head
	if c.armed == Bodies {
		s = &d.body
	}
	mem, id, ok := s.slab.Get()
	if !ok {
		d.loop.count.NoBuffers++
		s.short = s.slab.InUse()
		s.starved = append(s.starved, d.token(c.h))
		c.h.ready |= starved
		return
	}
	mem = mem[:c.most()]
	n, err := sys.Recv(c.h.fd, mem)
	b := buffer{b: mem[:n], slab: s.slab, id: id}
	switch {
	case err == sys.ErrAgain:
		c.h.ready &^= readable | drain
		b.put()
		return
	case err == nil && n == 0:
		err = io.EOF
	case n < len(mem) && c.h.ready&drain == 0:
		c.h.ready &^= readable
	}
	more := err == nil && c.armed == Heads
	if !more {
		c.h.ready &^= armed
	}
	c.received(b, more, err)
}

func (d *epoll) recv(c *Conn) {
	c.h.ready |= armed
	if c.h.ready&readable != 0 {
		d.list(&c.h)
	}
}

func (d *epoll) cancelRecv(c *Conn) {
	if c.h.ready&armed != 0 {
		c.h.ready &^= armed
		c.direct.looking = false
		d.ends.add(end{c: c, op: opRecv, err: sys.ErrCancelled})
	}
}

// pending: of Heads, too, more may be there than was received in a row.
func (d *epoll) pending(c *Conn) bool {
	return (c.intake != Heads || c.h.ready&readable != 0) && sys.Pending(c.h.fd)
}

func (d *epoll) direct() bool { return true }

func (d *epoll) setDirect(*Conn) {} // its sockets never wait

// readable and writable are called when a call has just found nothing there, or no room. An urgent byte hides what is behind it from a pipe: it is
// looked at again then, without an event.
func (d *epoll) readable(c *Conn) {
	c.direct.looking = true
	if c.h.ready&drain == 0 {
		c.h.ready &^= readable
	}
	d.recv(c)
}

func (d *epoll) writable(c *Conn) { c.h.ready |= full | waiting }

// send puts small sends off until the turn's events are dealt with: made in a row, they wake a peer that many of them go to but once. A large one is made, and
// its end told, at once: its bytes are in the cache still.
func (d *epoll) send(c *Conn) {
	c.h.ready |= waiting
	if c.h.ready&full != 0 {
		return
	}
	total := size(c.out)
	if d.quick++; total < largeSend || d.quick > sendsInARow {
		d.out.add(d.token(c.h))
		return
	}
	if n, err := d.push(c, total); n >= 0 {
		c.sentSome(n, err)
	}
}

// flush makes the sends that were put off.
func (d *epoll) flush() {
	for _, t := range d.out.take() {
		if s := &d.slots.all[uint32(t)]; s.gen == uint32(t>>32) && s.conn.h.ready&(waiting|full) == waiting {
			d.sendOff(s.conn)
		}
	}
}

func (d *epoll) sendOff(c *Conn) {
	if n, err := d.push(c, size(c.out)); n >= 0 {
		d.ends.add(end{c: c, op: opSend, n: n, err: err})
	}
}

func size(bufs [][]byte) (n int) {
	for _, b := range bufs {
		n += len(b)
	}
	return n
}

// push sends what there is room for. n is negative when there is none, and the send goes on waiting.
func (d *epoll) push(c *Conn, total int) (n int, err error) {
	n, err = sys.Send(c.h.fd, &d.loop.msg, c.out, c.last, total <= maxRawBytes)
	if err == sys.ErrAgain {
		c.h.ready |= full
		return -1, nil
	}
	c.h.ready &^= waiting
	if n < total {
		c.h.ready |= full
	}
	return n, err
}

func (d *epoll) cancelSend(c *Conn) {
	if c.h.ready&waiting != 0 {
		c.h.ready &^= waiting
		o := opSend
		if c.state == connecting || c.direct.writing {
			o = opReady
		}
		d.ends.add(end{c: c, op: o, err: sys.ErrCancelled})
	}
}

func (d *epoll) acked(c *Conn) uint64 { return sys.Acked(c.h.fd) }

// connect registers the socket after it has begun: before that, an event would tell that it is not connected.
func (d *epoll) connect(c *Conn) error {
	fd, err := sys.NonblockingSocket(c.sendMem().addr.Set(c.peer))
	if err != nil {
		return err
	}
	done, err := sys.Connect(fd, &c.mem.addr)
	h := d.slots.own(fd, c, nil)
	if err == nil {
		err = d.poll.AddStream(fd, d.token(h))
	}
	c.h = h
	if done || err != nil {
		d.ends.add(end{c: c, op: opReady, err: err})
		return nil
	}
	c.h.ready |= waiting
	return nil
}

func (d *epoll) endConnect(c *Conn, what uint32) {
	var err error
	if what&(sys.EventErr|sys.EventHangUp) != 0 {
		err = sys.SocketErr(c.h.fd)
	}
	c.ready(err)
}

func (d *epoll) shutdown(c *Conn) { _ = sys.Shutdown(c.h.fd) }

func (d *epoll) cancelAll(c *Conn) {
	d.cancelRecv(c)
	d.cancelSend(c)
}

func (d *epoll) release(c *Conn, reset bool) {
	if c.h.fd == 0 { // never opened
		return
	}
	if reset {
		sys.ResetOnClose(c.h.fd)
	}
	_ = sys.Close(c.h.fd)
	d.slots.disown(c.h)
	c.h = handle{}
}

func (d *epoll) wake() { sys.Signal(d.eventFD) }

func (d *epoll) buffersInUse() (head, body int) { return d.head.slab.InUse(), d.body.slab.InUse() }

func (d *epoll) close() {
	_ = d.poll.Close()
	_ = sys.Close(d.eventFD)
	d.head.slab.Close()
	d.body.slab.Close()
}
