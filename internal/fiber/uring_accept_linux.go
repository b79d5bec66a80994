package fiber

import "poise/internal/sys"

func (d *uring) listen(ln *Listener, fd int) error {
	ln.h = d.slots.own(fd, nil, ln)
	ln.unix = sys.LocalAddr(fd).Path != ""
	return nil
}

// accept takes all that is queued, as it comes; one connection at a time, which costs more, where one too many matters.
func (d *uring) accept(ln *Listener) {
	ln.many = !ln.sparing()
	e := d.sqe()
	e.PrepAccept(ln.h.fd, ln.many)
	e.UserData = d.token(opAccept, ln.h)
}

func (d *uring) endAccept(ln *Listener, e *sys.CQE) {
	if e.Res >= 0 {
		d.accepted(ln, int(e.Res))
	}
	if e.Flags&sys.CQEMore != 0 {
		ln.Recheck()
	} else {
		err := e.Err()
		if sys.IsCancelled(err) {
			err = nil
		}
		ln.acceptEnded(err)
	}
}

// accepted drops a TCP connection without a peer: it was reset in the queue, and nobody could say whose requests came on it.
func (d *uring) accepted(ln *Listener, fd int) {
	peer := sys.PeerAddr(fd)
	if !ln.unix && !peer.IP.IsValid() {
		d.sqe().PrepClose(fd)
		return
	}
	_ = ln.accepted(handle{fd: fd}, peer) // it has no error to tell
}

func (d *uring) stopAccept(ln *Listener) {
	t := d.token(opAccept, ln.h)
	d.sqe().PrepCancel(t)
}

func (d *uring) drainAccept(ln *Listener) {
	_ = sys.RefuseNew(ln.h.fd) // fails on a Unix socket: there the queue is just emptied
	d.takeQueued(ln)
	d.loop.timers.by(&ln.timer, d.loop.now.Add(drainAcceptTime))
}

func (d *uring) endDrainAccept(ln *Listener) {
	d.takeQueued(ln)
	_ = sys.Close(ln.h.fd)
	d.slots.disown(ln.h)
	ln.closedUp = true
}

func (d *uring) takeQueued(ln *Listener) {
	for {
		fd, err := sys.AcceptQueued(ln.h.fd)
		if err != nil {
			break
		}
		d.accepted(ln, fd)
	}
}

func (d *uring) unlisten(ln *Listener) {
	d.sqe().PrepCancelFD(ln.h.fd)
	d.sqe().PrepClose(ln.h.fd)
	d.slots.disown(ln.h)
	ln.closedUp = true
}
