package fiber

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"sync"
	"time"

	"poise/internal/sys"
)

// netDriver is the driver over package net, for systems without anything better. Each operation is a goroutine that blocks as package
// net does; its end is queued for the loop.
type netDriver struct {
	loop *Loop

	mu     sync.Mutex // guards ends
	ends   []func()
	notify chan struct{} // has room for one
	closed chan struct{} // closed by close

	head, body *sys.Slab
	scratch    sync.Pool // buffers that goroutines receive into
}

// netHandle is what the driver keeps for a Conn or Listener.
type netHandle struct {
	conn   net.Conn
	ln     net.Listener
	cancel context.CancelFunc // of a connect
}

func newNetDriver(l *Loop, cfg Config) *netDriver {
	return &netDriver{
		loop: l, notify: make(chan struct{}, 1), closed: make(chan struct{}),
		head:    sys.NewHeapSlab(headSize, headLimit, cfg.Poison),
		body:    sys.NewHeapSlab(bodySize, bodyLimit, cfg.Poison),
		scratch: sync.Pool{New: func() any { b := make([]byte, bodySize); return &b }},
	}
}

func (d *netDriver) name() string { return "net" }

func (d *netDriver) wait(patience time.Duration) {
	d.mu.Lock()
	n := len(d.ends)
	d.mu.Unlock()
	if n == 0 && patience != 0 && d.loop.sleep() {
		d.block(patience)
	}
	d.loop.awake()
}

// flush has nothing to do: goroutines began at once.
func (d *netDriver) flush() {}

func (d *netDriver) block(patience time.Duration) {
	if patience < 0 {
		<-d.notify
		return
	}
	t := time.NewTimer(patience)
	defer t.Stop()
	select {
	case <-d.notify:
	case <-t.C:
	}
}

func (d *netDriver) complete() {
	d.mu.Lock()
	ends := d.ends
	d.ends = nil
	d.mu.Unlock()
	for _, f := range ends {
		f()
		d.loop.runReady()
	}
}

// end queues what tells the loop of an operation's end.
func (d *netDriver) end(f func()) {
	d.mu.Lock()
	d.ends = append(d.ends, f)
	d.mu.Unlock()
	d.wake()
}

func (d *netDriver) wake() {
	select {
	case d.notify <- struct{}{}:
	default:
	}
}

func (d *netDriver) adopt(*Conn) error { return nil }

// recv starts one receive, also for Heads: the Conn asks again.
func (d *netDriver) recv(c *Conn) {
	nc, most, big := c.h.net.conn, c.most(), c.armed == Bodies // the goroutine sees none of the Conn
	_ = nc.SetReadDeadline(time.Time{})
	go func() {
		var from *[]byte
		take := func() []byte {
			from = d.scratch.Get().(*[]byte)
			return (*from)[:most]
		}
		put := func([]byte) { d.scratch.Put(from) }
		b, err := sys.RecvReady(nc, take, put)
		d.end(func() {
			c.received(d.hold(b, big), false, cancelled(err))
			if b != nil {
				d.scratch.Put(from)
			}
		})
	}()
}

// hold copies what a goroutine received into the loop's memory.
func (d *netDriver) hold(b []byte, big bool) buffer {
	if len(b) == 0 {
		return buffer{}
	}
	slab := d.head
	if big {
		slab = d.body
	}
	mem, id, ok := slab.Get()
	if !ok {
		return buffer{b: append([]byte(nil), b...)}
	}
	return buffer{b: mem[:copy(mem, b)], slab: slab, id: id}
}

// cancelled tells a deadline that a cancel has set from other errors.
func cancelled(err error) error {
	if os.IsTimeout(err) {
		return sys.ErrCancelled
	}
	return err
}

var past = time.Unix(1, 0)

func (d *netDriver) pending(c *Conn) (yes bool) {
	if sc, ok := c.h.net.conn.(sys.Controller); ok && c.intake != Heads {
		_ = sys.Control(sc, func(fd int) { yes = sys.Pending(fd) })
	}
	return yes
}

// Package net keeps its sockets to itself.
func (d *netDriver) direct() bool    { return false }
func (d *netDriver) setDirect(*Conn) {}
func (d *netDriver) readable(*Conn)  {}
func (d *netDriver) writable(*Conn)  {}

func (d *netDriver) cancelRecv(c *Conn) { _ = c.h.net.conn.SetReadDeadline(past) }

func (d *netDriver) send(c *Conn) {
	nc := c.h.net.conn
	_ = nc.SetWriteDeadline(time.Time{})
	bufs := append(net.Buffers(nil), c.out...)
	go func() {
		n, err := bufs.WriteTo(nc)
		d.end(func() { c.sentSome(int(n), cancelled(err)) })
	}()
}

func (d *netDriver) cancelSend(c *Conn) {
	if c.state == connecting {
		c.h.net.cancel()
		return
	}
	_ = c.h.net.conn.SetWriteDeadline(past)
}

func (d *netDriver) acked(c *Conn) (n uint64) {
	if sc, ok := c.h.net.conn.(sys.Controller); ok {
		_ = sys.Control(sc, func(fd int) { n = sys.Acked(fd) })
	}
	return n
}

func (d *netDriver) connect(c *Conn) error {
	ctx, cancel := context.WithCancel(context.Background())
	c.h.net = &netHandle{cancel: cancel}
	go func() {
		nc, err := (&net.Dialer{}).DialContext(ctx, c.peer.Network(), c.peer.Dialable())
		d.end(func() {
			cancel()
			if err == nil {
				c.h.net.conn = nc
			}
			c.ready(err)
		})
	}()
	return nil
}

func (d *netDriver) shutdown(c *Conn) {
	if w, ok := c.h.net.conn.(interface{ CloseWrite() error }); ok {
		_ = w.CloseWrite()
	}
}

func (d *netDriver) cancelAll(c *Conn) {
	if c.h.net.conn == nil {
		c.h.net.cancel()
		return
	}
	_ = c.h.net.conn.SetDeadline(past)
}

func (d *netDriver) release(c *Conn, reset bool) {
	if c.h.net == nil || c.h.net.conn == nil {
		return
	}
	if t, ok := c.h.net.conn.(*net.TCPConn); ok && reset {
		_ = t.SetLinger(0)
	}
	_ = c.h.net.conn.Close()
}

func (d *netDriver) listen(ln *Listener, fd int) error {
	f := os.NewFile(uintptr(fd), "listener")
	l, err := net.FileListener(f)
	_ = f.Close() // FileListener has its own copy
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	if u, ok := l.(*net.UnixListener); ok {
		ln.unix = true
		u.SetUnlinkOnClose(false)
	}
	ln.h.net = &netHandle{ln: l}
	return nil
}

// deadliner is what TCP and Unix listeners have beyond net.Listener.
type deadliner interface{ SetDeadline(time.Time) error }

// acceptAhead is how many connections are taken from the kernel before the loop has seen them: a few, so that a busy loop that pauses its listener at
// a limit is not run over.
const acceptAhead = 8

func (d *netDriver) accept(ln *Listener) {
	l := ln.h.net.ln
	_ = l.(deadliner).SetDeadline(time.Time{})
	ahead := make(chan struct{}, acceptAhead)
	go func() {
		for {
			nc, err := l.Accept()
			if err != nil {
				d.end(func() { ln.acceptEnded(stopped(err)) })
				return
			}
			select {
			case ahead <- struct{}{}:
			case <-d.closed:
				_ = nc.Close()
				return
			}
			d.end(func() {
				<-ahead
				d.accepted(ln, nc)
			})
		}
	}()
}

func stopped(err error) error {
	if os.IsTimeout(err) {
		return nil
	}
	return err
}

func (d *netDriver) accepted(ln *Listener, nc net.Conn) {
	var peer sys.Addr
	if a, ok := nc.RemoteAddr().(*net.TCPAddr); ok {
		ap := a.AddrPort()
		peer.IP = netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
	}
	if !ln.unix && !peer.IP.IsValid() { // it was reset in the queue
		_ = nc.Close()
		return
	}
	_ = ln.accepted(handle{net: &netHandle{conn: nc}}, peer) // it has no error to tell
}

func (d *netDriver) stopAccept(ln *Listener) { _ = ln.h.net.ln.(deadliner).SetDeadline(past) }

// drainAccept gives the queue a moment: package net takes nothing past a deadline, also what is there.
func (d *netDriver) drainAccept(ln *Listener) {
	l := ln.h.net.ln
	if sc, ok := l.(sys.Controller); ok {
		_ = sys.Control(sc, func(fd int) { _ = sys.RefuseNew(fd) })
	}
	_ = l.(deadliner).SetDeadline(time.Now().Add(drainAcceptTime))
	go func() {
		for {
			nc, err := l.Accept()
			if err != nil {
				_ = l.Close()
				d.end(func() { ln.closedUp = true })
				return
			}
			d.end(func() { d.accepted(ln, nc) })
		}
	}()
}

func (d *netDriver) endDrainAccept(*Listener) {} // drainAccept has no second step here

func (d *netDriver) unlisten(ln *Listener) {
	_ = ln.h.net.ln.Close()
	ln.closedUp = true
}

func (d *netDriver) buffersInUse() (head, body int) { return d.head.InUse(), d.body.InUse() }

func (d *netDriver) close() { close(d.closed) }
