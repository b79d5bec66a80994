package fiber

import (
	"errors"
	"fmt"
	"io"
	"time"

	"poise/internal/sys"
)

// uring is the driver over io_uring. The loop's thread alone touches it, but for wake.
type uring struct {
	loop *Loop
	ring *sys.Ring

	slots slots
	head  *group // multishot receives of heads
	body  *group // single receives of bodies

	starved []*Conn // their receive found no buffer
	ended   []*Conn // starved ones that were cancelled; to be told
	bytes   int     // queued for sending since the last enter
	quiet   bool    // the last turn had little to do

	eventFD int
	events  *uint64 // what the armed read of the eventfd writes to
}

// Tokens: operation in the lowest 8 bits, generation in the next 24, slot in the upper 32. No completion of an earlier owner should come, since a slot is given
// back after the last.
type op uint8

const (
	opNone op = iota // nobody cares
	opWake
	opAccept
	opRecv
	opSend
	opReady
)

func (d *uring) token(o op, h handle) uint64 {
	return uint64(o) | uint64(d.slots.all[h.slot].gen&0xffffff)<<8 | uint64(h.slot)<<32
}

// The kernel gets few buffers at a time, so that those in use stay in the cache; slabs grow as connections hold on to theirs.
const (
	sqEntries   = 1024
	cqEntries   = 16384
	headBuffers = 256 // offered to the kernel at a time, at first
	headEntries = 4096
	headSize    = 16 << 10
	headLimit   = 16384 // at most 256 MiB a loop, touched only as far as used
	bodyBuffers = 32
	bodyEntries = 512
	bodySize    = 64 << 10
	bodyLimit   = 4096 // at most 256 MiB a loop
	// maxRawBytes bounds what one raw enter may copy: it holds up a stop of the world. 32 sends of 1 MB took 6 ms.
	maxRawBytes = 512 << 10
)

// turnCompletions bounds the completions of one turn: at 50 µs each, as bulk transfers have, about 13 ms.
const turnCompletions = 256

// quietTurn is fewer completions than a loop has that is busy.
const quietTurn = 8

// group is a buffer group: a slab, and the ring through which the kernel gets its buffers.
type group struct {
	id      uint16
	ring    *sys.BufRing
	slab    *sys.Slab
	offered int
	target  int // how many are offered; doubled when receives find none
	most    int
	short   bool // a receive of this turn found none
}

func newURing(l *Loop, cfg Config) (*uring, error) {
	ring, err := sys.NewRing(sqEntries, cqEntries)
	if err != nil {
		return nil, err
	}
	d := &uring{loop: l, ring: ring, events: new(uint64)}
	d.head, err = d.newGroup(0, headEntries, headBuffers, sys.NewMappedSlab(headSize, headLimit, cfg.Poison))
	if err == nil {
		d.body, err = d.newGroup(1, bodyEntries, bodyBuffers, sys.NewMappedSlab(bodySize, bodyLimit, cfg.Poison))
	}
	if err == nil {
		err = d.try()
	}
	if err == nil {
		d.eventFD, err = sys.NewEventFD()
	}
	if err != nil {
		_ = ring.Close()
		return nil, err
	}
	d.armWake()
	return d, nil
}

func (d *uring) newGroup(id uint16, entries, target int, slab *sys.Slab) (*group, error) {
	br, err := d.ring.NewBufRing(entries, id)
	if err != nil {
		return nil, err
	}
	g := &group{id: id, ring: br, slab: slab, target: target, most: entries}
	g.refill()
	return g, nil
}

// refill offers the kernel buffers until it has its target again.
func (g *group) refill() {
	if g.short {
		g.short, g.target = false, min(2*g.target, g.most)
	}
	if g.offered >= g.target {
		return
	}
	for g.offered < g.target {
		b, id, ok := g.slab.Get()
		if !ok {
			break
		}
		g.ring.Add(b, uint16(id))
		g.offered++
	}
	g.ring.Publish()
}

// grow offers more from the next turn on: so many connections bring bytes at once.
func (g *group) grow() { g.short = true }

// take returns the buffer that a completion names.
func (g *group) take(c *sys.CQE) buffer {
	g.offered--
	id := int32(c.Flags >> 16)
	return buffer{b: g.slab.Buf(id)[:max(c.Res, 0)], slab: g.slab, id: id}
}

// try does a real multishot receive: a kernel or container that refuses it is found out here, not by the first client.
func (d *uring) try() error {
	a, b, err := sys.SocketPair()
	if err != nil {
		return err
	}
	defer sys.Close(a) //nolint:errcheck // a trial's socket
	d.sqe().PrepRecv(a, d.head.id, true, 0)
	if err := d.ring.Enter(); err != nil {
		_ = sys.Close(b)
		return fmt.Errorf("submit to io_uring: %w", err)
	}
	sys.Signal(b) // eight bytes
	_ = sys.Close(b)
	got := 0
	for range 10 {
		if err := d.ring.Wait(100 * time.Millisecond); err != nil {
			return fmt.Errorf("wait on io_uring: %w", err)
		}
		batch := d.ring.Ready()
		for i := range batch {
			c := &batch[i]
			if err := c.Err(); err != nil {
				return fmt.Errorf("receive by io_uring: %w", err)
			}
			if c.Flags&sys.CQEBuffer != 0 {
				got += int(c.Res)
				buf := d.head.take(c)
				buf.put()
			}
			if c.Flags&sys.CQEMore == 0 && got == 8 {
				d.ring.Seen(len(batch))
				return nil
			}
		}
		d.ring.Seen(len(batch))
	}
	return errors.New("io_uring does not do multishot receives")
}

func (d *uring) name() string { return "io_uring" }

// sqe returns a submission to fill in, and makes room when there is none.
func (d *uring) sqe() *sys.SQE {
	for range 64 {
		if e := d.ring.Next(); e != nil {
			return e
		}
		d.enter()
	}
	panic("io_uring takes no submissions")
}

func (d *uring) enter() {
	if err := d.ring.Enter(); err != nil {
		panic("io_uring_enter: " + err.Error())
	}
	d.bytes = 0
}

func (d *uring) flush() { d.enter() }

func (d *uring) wait(patience time.Duration) {
	d.refill()
	// With little to do, a raw enter would bring nothing: submitting and waiting are one call then.
	submitted := !d.quiet
	if submitted {
		d.enter()
	}
	if len(d.ring.Ready()) == 0 && patience != 0 && len(d.ended) == 0 && !d.hungry() && d.loop.sleep() {
		if err := d.ring.Wait(patience); err != nil {
			panic("io_uring_enter: " + err.Error())
		}
		d.bytes = 0
	} else if !submitted {
		d.enter()
	}
	d.quiet = len(d.ring.Ready()) < quietTurn
	d.loop.awake()
}

func (d *uring) refill() {
	d.head.refill()
	d.body.refill()
	if len(d.starved) == 0 {
		return
	}
	// No more are armed again than there are buffers: the others would only fail again.
	heads, bodies := d.head.offered, d.body.offered
	waiting := d.starved
	d.starved = nil
	for _, c := range waiting {
		left := &heads
		if c.armed == Bodies {
			left = &bodies
		}
		if *left > 0 {
			*left--
			d.armRecv(c)
		} else {
			d.starved = append(d.starved, c)
		}
	}
}

// hungry tells whether receives were put off although there are buffers: the next turn arms them. It cannot go on: each turn arms one at least.
func (d *uring) hungry() bool {
	for _, c := range d.starved {
		if d.groupOf(c).offered > 0 {
			return true
		}
	}
	return false
}

func (d *uring) groupOf(c *Conn) *group {
	if c.armed == Bodies {
		return d.body
	}
	return d.head
}

func (d *uring) complete() {
	// What sends bring while this goes on waits for the next turn, or a few hundred busy connections would keep timers and posts waiting.
	for left := turnCompletions; left > 0; {
		batch := d.ring.Ready()
		if len(batch) == 0 {
			break
		}
		batch = batch[:min(len(batch), left)]
		left -= len(batch)
		for i := range batch {
			d.dispatch(&batch[i])
			d.loop.runReady()
		}
		d.ring.Seen(len(batch))
	}
	for len(d.ended) > 0 {
		c := d.ended[0]
		d.ended = d.ended[1:]
		c.received(buffer{}, false, sys.ErrCancelled)
		d.loop.runReady()
	}
}

func (d *uring) dispatch(e *sys.CQE) {
	o := op(e.UserData)
	if o == opNone {
		return
	}
	if o == opWake {
		d.armWake()
		return
	}
	s := &d.slots.all[e.UserData>>32]
	if uint32(e.UserData>>8)&0xffffff != s.gen&0xffffff {
		d.lost(e)
		return
	}
	switch o {
	case opRecv:
		d.endRecv(s.conn, e)
	case opSend:
		d.endSend(s.conn, e)
	case opReady:
		s.conn.ready(e.Err())
	case opAccept:
		d.endAccept(s.ln, e)
	}
}

// lost gives back what a completion without an owner brought.
func (d *uring) lost(e *sys.CQE) {
	if op(e.UserData) == opAccept && e.Res >= 0 {
		_ = sys.Close(int(e.Res))
	}
}

func (d *uring) endRecv(c *Conn, e *sys.CQE) {
	more := e.Flags&sys.CQEMore != 0
	if (c.direct.polled || e.Err() == sys.ErrAgain) && d.endPoll(c, e) {
		return
	}
	if sys.IsNoBuffers(e.Err()) {
		d.loop.count.NoBuffers++
		d.groupOf(c).grow()
		if c.recv == recvEnding || c.state >= closing { // it was to end anyway
			c.received(buffer{}, false, sys.ErrCancelled)
			return
		}
		d.starved = append(d.starved, c)
		return
	}
	var b buffer
	if e.Flags&sys.CQEBuffer != 0 {
		b = d.groupOf(c).take(e)
	}
	err := e.Err()
	if e.Res == 0 {
		err = io.EOF
	}
	c.received(b, more, err)
}

// endPoll takes the end of a wait for bytes. On a socket that does not wait, the ring fails a receive that finds nothing, instead of waiting with it: so
// such a receive is a wait first, and then the receive.
func (d *uring) endPoll(c *Conn, e *sys.CQE) bool {
	err := e.Err()
	switch {
	case c.state >= closing || c.recv == recvEnding: // it was to end anyway
		c.direct.polled = false
		if err == nil {
			return false
		}
		c.received(buffer{}, false, sys.ErrCancelled)
	case c.direct.polled && err == nil:
		d.armRecv(c)
	case err == sys.ErrAgain:
		c.direct.polled = false
		d.armRecv(c)
	default:
		c.direct.polled = false
		return false
	}
	return true
}

// endSend: on a socket that does not wait, a send that finds no room fails, instead of waiting. A wait for room follows, and then the send.
func (d *uring) endSend(c *Conn, e *sys.CQE) {
	err := e.Err()
	blocked, over := c.direct.blocked, c.state >= closing || c.timedOut || c.intr != nil
	c.direct.blocked = err == sys.ErrAgain && !over
	switch {
	case over && (blocked || err == sys.ErrAgain):
		c.sentSome(0, sys.ErrCancelled)
	case c.direct.blocked:
		d.pollOut(c, opSend)
	case blocked && err == nil:
		d.send(c)
	default:
		c.sentSome(int(max(e.Res, 0)), err)
	}
}

func (d *uring) armWake() {
	e := d.sqe()
	e.PrepRead(d.eventFD, d.events)
	e.UserData = uint64(opWake)
}

func (d *uring) wake() { sys.Signal(d.eventFD) }

func (d *uring) adopt(c *Conn) error {
	c.h = d.slots.own(c.h.fd, c, nil)
	return nil
}

func (d *uring) recv(c *Conn) {
	if len(d.starved) > 0 { // behind those that wait already
		d.starved = append(d.starved, c)
		return
	}
	d.armRecv(c)
}

func (d *uring) armRecv(c *Conn) {
	if c.direct.on && !c.direct.polled {
		c.direct.polled = true
		d.readable(c)
		return
	}
	c.direct.polled = false
	many, most := c.armed == Heads && !c.direct.on, c.most()
	if many {
		most = 0 // a multishot receive takes no bound
	}
	e := d.sqe()
	e.PrepRecv(c.h.fd, d.groupOf(c).id, many, most)
	e.UserData = d.token(opRecv, c.h)
}

func (d *uring) pending(c *Conn) bool { return c.intake != Heads && sys.Pending(c.h.fd) }

func (d *uring) direct() bool { return true }

func (d *uring) setDirect(c *Conn) { sys.SetNonblock(c.h.fd, c.direct.on) }

func (d *uring) readable(c *Conn) {
	e := d.sqe()
	e.PrepPoll(c.h.fd, false)
	e.UserData = d.token(opRecv, c.h)
}

func (d *uring) writable(c *Conn) { d.pollOut(c, opReady) }

func (d *uring) pollOut(c *Conn, o op) {
	e := d.sqe()
	e.PrepPoll(c.h.fd, true)
	e.UserData = d.token(o, c.h)
}

func (d *uring) cancelRecv(c *Conn) {
	if d.unstarve(c) {
		return
	}
	t := d.token(opRecv, c.h)
	d.sqe().PrepCancel(t)
}

// unstarve ends a receive that waits for buffers, and tells so in this turn or the next.
func (d *uring) unstarve(c *Conn) bool {
	for i, s := range d.starved {
		if s == c {
			d.starved = append(d.starved[:i], d.starved[i+1:]...)
			d.ended = append(d.ended, c)
			return true
		}
	}
	return false
}

func (d *uring) send(c *Conn) {
	total := 0
	for _, b := range c.out {
		total += len(b)
	}
	e := d.sqe()
	if len(c.out) == 1 {
		e.PrepSend(c.h.fd, c.out[0], c.last)
	} else {
		e.PrepSendMsg(c.h.fd, &c.mem.kernel, c.out, c.last)
	}
	e.UserData = d.token(opSend, c.h)
	if d.bytes += total; d.bytes > maxRawBytes {
		d.enter()
	}
}

func (d *uring) acked(c *Conn) uint64 { return sys.Acked(c.h.fd) }

func (d *uring) cancelSend(c *Conn) {
	o := opSend
	if len(c.out) == 0 { // a connect, or a wait for room; the state may be closing already
		o = opReady
	}
	t := d.token(o, c.h)
	d.sqe().PrepCancel(t)
}

func (d *uring) connect(c *Conn) error {
	fd, err := sys.Socket(c.sendMem().addr.Set(c.peer))
	if err != nil {
		return err
	}
	c.h = d.slots.own(fd, c, nil)
	e := d.sqe()
	e.PrepConnect(fd, &c.mem.addr)
	e.UserData = d.token(opReady, c.h)
	return nil
}

// shutdown is a call of its own: the ring would hand it to a kernel thread.
func (d *uring) shutdown(c *Conn) { _ = sys.Shutdown(c.h.fd) }

// cancelAll closes the socket too, in the same submission: no operation begins on a closing connection, and those that are ended hold on to the socket.
// They are ended one by one: by its descriptor, the kernel would look for them among those of all connections.
func (d *uring) cancelAll(c *Conn) {
	if !d.unstarve(c) && (c.recv == recvOne || c.recv == recvMany) {
		d.sqe().PrepCancel(d.token(opRecv, c.h))
	}
	if c.sending {
		d.cancelSend(c)
	}
	d.closeSocket(c, c.reset)
}

func (d *uring) closeSocket(c *Conn, reset bool) {
	if c.h.fd == closed {
		return
	}
	if reset {
		sys.ResetOnClose(c.h.fd)
	}
	d.sqe().PrepClose(c.h.fd)
	c.h.fd = closed
}

// closed is the descriptor of a socket that is closed although operations on it have not ended.
const closed = -1

func (d *uring) release(c *Conn, reset bool) {
	if c.h.fd == 0 { // never opened
		return
	}
	d.closeSocket(c, reset)
	d.slots.disown(c.h)
	c.h = handle{}
}

func (d *uring) buffersInUse() (head, body int) {
	return d.head.slab.InUse() - d.head.offered, d.body.slab.InUse() - d.body.offered
}

func (d *uring) close() {
	d.enter() // closes of the last turn
	_ = d.ring.Close()
	_ = sys.Close(d.eventFD)
	for _, g := range []*group{d.head, d.body} {
		_ = g.ring.Close()
		g.slab.Close()
	}
}
