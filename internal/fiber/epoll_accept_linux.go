package fiber

import "poise/internal/sys"

func (d *epoll) listen(ln *Listener, fd int) error {
	h := d.slots.own(fd, nil, ln)
	err := sys.DoNotBlock(fd)
	if err == nil {
		err = d.poll.AddSource(fd, d.token(h))
	}
	if err != nil {
		d.slots.disown(h)
		_ = sys.Close(fd)
		return err
	}
	ln.h = h
	ln.unix = sys.LocalAddr(fd).Path != ""
	return nil
}

func (d *epoll) accept(ln *Listener) {
	ln.h.ready |= armed
	if ln.h.ready&readable != 0 {
		d.list(&ln.h)
	}
}

func (d *epoll) stopAccept(ln *Listener) {
	if ln.h.ready&armed != 0 {
		ln.h.ready &^= armed
		d.ends.add(end{ln: ln, op: opAccept})
	}
}

// acceptSome accepts until nobody waits, or for so long that others have their turn.
func (d *epoll) acceptSome(ln *Listener, what uint32) {
	h := &ln.h
	h.ready &^= listed
	if what != 0 {
		h.ready |= readable
	}
	for left := acceptsInARow; h.ready&(armed|readable) == armed|readable; left-- {
		if left == 0 {
			d.list(h)
			return
		}
		fd, peer, err := sys.Accept(h.fd)
		if err == sys.ErrAgain {
			h.ready &^= readable
			return
		}
		if err == nil {
			err = d.accepted(ln, fd, peer)
		}
		if err != nil {
			h.ready &^= armed
			ln.acceptEnded(err)
		}
	}
}

// accepted drops a TCP connection without a peer: nobody could say whose requests come on it.
func (d *epoll) accepted(ln *Listener, fd int, peer sys.Addr) error {
	if !ln.unix && !peer.IP.IsValid() {
		return sys.Close(fd)
	}
	return ln.accepted(handle{fd: fd}, peer)
}

func (d *epoll) adopt(c *Conn) error {
	h := d.slots.own(c.h.fd, c, nil)
	if err := d.poll.AddStream(h.fd, d.token(h)); err != nil {
		d.slots.disown(h)
		_ = sys.Close(h.fd)
		c.h = handle{}
		return err
	}
	c.h = h
	return nil
}

func (d *epoll) drainAccept(ln *Listener) {
	_ = sys.RefuseNew(ln.h.fd) // fails on a Unix socket: there the queue is just emptied
	d.takeQueued(ln)
	d.loop.timers.by(&ln.timer, d.loop.now.Add(drainAcceptTime))
}

func (d *epoll) endDrainAccept(ln *Listener) {
	d.takeQueued(ln)
	d.unlisten(ln)
}

func (d *epoll) takeQueued(ln *Listener) {
	for {
		fd, peer, err := sys.Accept(ln.h.fd)
		if err == nil {
			err = d.accepted(ln, fd, peer)
		}
		if err != nil {
			return
		}
	}
}

// unlisten ends the events too: the loops' descriptors of a Unix socket are copies of one.
func (d *epoll) unlisten(ln *Listener) {
	d.poll.Remove(ln.h.fd)
	_ = sys.Close(ln.h.fd)
	d.slots.disown(ln.h)
	ln.closedUp = true
}
