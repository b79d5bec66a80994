package mux

import (
	"net"
	"os"
	"slices"
	"time"

	"poise/internal/clock"
	"poise/internal/h2"
	"poise/internal/msg"
	"poise/internal/sys"
)

const (
	// maxCopied is up to how many bytes of a body are copied behind the frames of others, to go with them. Larger ones are sent from where they lie.
	maxCopied = 4 << 10
	// framesPerSend is how many frames of larger ones one send carries, of different streams if there are so many: the slices of a send are few.
	framesPerSend = 3
	// maxSent is how much of a body a frame carries, also to a peer that would take more: others want their turn.
	maxSent = 16 << 10
)

// PrintRequest prints the head that goes with the next Send.
func (s *Stream) PrintRequest(h *msg.RequestHead) (err error) {
	s.method = append(s.method[:0], h.Method...)
	s.block, err = h2.AppendRequest(s.block[:0], h)
	return err
}

// PrintResponse prints the head that goes with the next Send.
func (s *Stream) PrintResponse(h *msg.ResponseHead) (err error) {
	s.block, err = h2.AppendResponse(s.block[:0], h)
	return err
}

// emptyTable is what a block begins with after the peer's table has become smaller: ours is empty anyhow. [RFC 7541 section 4.2]
const emptyTable = 0x20

// sendBlock sends what was printed. It is only now that it is known to be the next block on the connection.
func (s *Stream) sendBlock(end bool) {
	c := s.c
	if c.shrunk {
		c.shrunk = false
		s.block = slices.Insert(s.block, 0, emptyTable)
	}
	c.out = h2.AppendBlock(c.out, s.id, end, s.block, c.peer.Frame)
}

// Send sends the head that was printed last, if head is set; then the slices, of which size is the length; and with end the stream's end, with trailers if
// there are any. Slices are the stream's until it returns. It tells how many bytes that were.
func (s *Stream) Send(head bool, spans [][]byte, size int, end bool, trailers msg.Fields) (int, error) {
	s.busy = true
	n, err := s.send(head, spans, size, end, trailers)
	if s.busy = false; s.orphan {
		s.free()
	}
	return n, err
}

func (s *Stream) send(head bool, spans [][]byte, size int, end bool, trailers msg.Fields) (int, error) {
	c := s.c
	if err := s.sendable(); err != nil {
		return 0, err
	}
	sent := size
	if head {
		if s.id == 0 {
			if c.err != nil || c.refuses {
				return 0, ErrRefused
			}
			c.enter(s)
		}
		sent += h2.HeaderSize + len(s.block)
		ends := end && size == 0 && len(trailers) == 0
		s.sendBlock(ends)
		if ends {
			s.finish()
		}
		if c.client {
			c.budget.opens(c.loop.Now())
		}
	}
	ends := end && len(trailers) == 0
	if size > 0 || (ends && !s.finished) {
		sent += h2.HeaderSize
		if err := s.sendBody(spans, size, ends); err != nil {
			return 0, err
		}
	}
	if end && !s.finished {
		var err error
		if s.block, err = h2.AppendTrailers(s.block[:0], trailers); err != nil {
			return 0, err
		}
		sent += h2.HeaderSize + len(s.block)
		s.sendBlock(true)
		s.finish()
	}
	c.flush()
	return sent, nil
}

// CloseWrite says that nothing more is sent.
func (s *Stream) CloseWrite() error {
	_, err := s.Send(false, nil, 0, true, nil)
	return err
}

// finish notes that our end is sent.
func (s *Stream) finish() {
	s.finished = true
	s.over()
}

func (s *Stream) sendable() error {
	switch {
	case s.intr != nil:
		return s.intr
	case s.sendErr != nil:
		return s.sendErr
	case s.c == nil || s.finished:
		return net.ErrClosed
	}
	return nil
}

// sendBody sends a piece of a body: with what others send, or as its turn comes and the windows allow.
func (s *Stream) sendBody(spans [][]byte, size int, end bool) error {
	c := s.c
	n := int64(size)
	if size <= maxCopied && n <= s.sendWindow && n <= c.sendWindow && len(c.out) < maxOut {
		flags := h2.Flags(0)
		if end {
			flags = h2.EndStream
		}
		c.out = h2.AppendFrame(c.out, h2.DataFrame, flags, s.id, size)
		for _, b := range spans {
			c.out = append(c.out, b...)
		}
		s.sendWindow -= n
		c.sendWindow -= n
		c.budget.carried(size)
		if end {
			s.finish()
		}
		return nil
	}
	s.pending, s.left, s.ending = append(s.pending[:0], spans...), size, end
	s.progress = c.loop.Now()
	c.await(s)
	c.flush()
	for s.left > 0 || s.inFlight || (end && !s.finished) {
		if s.inFlight { // the slices are the socket's
			s.writer.Park(0)
			continue
		}
		err := s.sendable()
		by := s.sendBy()
		if err == nil && by != 0 && c.loop.Now() >= by {
			err = os.ErrDeadlineExceeded
		}
		if err != nil {
			c.forget(s)
			return err
		}
		s.writer.Park(by)
	}
	switch {
	case s.intr != nil:
		return s.intr
	case end && s.finished:
		return nil
	}
	return s.sendErr
}

// sendBy is when a wait to send has lasted too long.
func (s *Stream) sendBy() clock.Instant {
	by := s.writeBy
	if s.stall > 0 {
		if stalled := s.progress.Add(s.stall); by == 0 || stalled < by {
			by = stalled
		}
	}
	return by
}

// await puts a stream among those that have data to send, behind those that are as urgent.
func (c *Conn) await(s *Stream) {
	i := len(c.waiting)
	c.waiting = append(c.waiting, s)
	for ; i > 0 && c.waiting[i-1].urgency > s.urgency; i-- {
		c.waiting[i] = c.waiting[i-1]
	}
	c.waiting[i] = s
}

// forget takes a stream out of those that have data to send.
func (c *Conn) forget(s *Stream) {
	c.unlist(s)
	clear(s.pending)
	s.pending, s.left, s.ending = s.pending[:0], 0, false
}

func (c *Conn) unlist(s *Stream) {
	for i, w := range c.waiting {
		if w == s {
			last := len(c.waiting) - 1
			copy(c.waiting[i:], c.waiting[i+1:])
			c.waiting[last] = nil
			c.waiting = c.waiting[:last]
			return
		}
	}
}

// flush has a fiber send what there is, unless one does already: at the end of this turn, with what others have to send until then.
func (c *Conn) flush() {
	if !c.writing {
		c.writing = true
		c.loop.Go(c.run)
	}
}

// write is the fiber that sends.
func (c *Conn) write() {
	defer c.unwind(&c.writing)
	c.loop.Yield()
	for {
		c.out, c.flight = c.flight[:0], c.out
		c.bufs = c.bufs[:0]
		if len(c.flight) > 0 {
			c.bufs = append(c.bufs, c.flight)
		}
		if c.err == nil {
			c.gather()
		}
		if len(c.bufs) == 0 {
			break
		}
		if c.client {
			c.fc.StallAfter(c.patience())
		}
		err := c.fc.Send(c.bufs...)
		clear(c.bufs)
		c.landed(err == nil)
		if err != nil {
			c.out = c.out[:0]
			c.fail(err)
			break
		}
		if len(c.out) <= maxOut {
			c.room.Wake()
		}
	}
	c.writing = false
	if cap(c.out)+cap(c.flight) > 2*maxOut {
		c.out, c.flight = nil, nil
	}
	c.room.Wake()
	if c.closing {
		_ = c.fc.Close()
	} else if c.err != nil {
		c.fc.Abort()
	}
}

// patience is how long a server may take nothing of a send: the least that a stream allows whose frame is in it. None of the others could go on either.
func (c *Conn) patience() time.Duration {
	d := c.cfg.Write
	for _, g := range c.gathered {
		if s := g.s.stall; s > 0 && (d == 0 || s < d) {
			d = s
		}
	}
	return d
}

// gathered is a frame that is being sent.
type gathered struct {
	s *Stream
	n int
}

// gather takes frames of bodies, as far as windows and the slices of one send allow, one of each stream in turn.
func (c *Conn) gather() {
	c.gathered = c.gathered[:0]
	for i := 0; i < len(c.waiting) && len(c.gathered) < framesPerSend; {
		s := c.waiting[i]
		if (s.left > 0 && min(s.sendWindow, c.sendWindow) <= 0) || s.sendErr != nil || s.inFlight {
			i++
			continue
		}
		n, ok := c.gatherFrom(s)
		if !ok {
			return // no slice is left
		}
		c.sendWindow -= int64(n)
		s.sendWindow -= int64(n)
		s.inFlight = true
		c.gathered = append(c.gathered, gathered{s, n})
		i++
	}
}

// gatherFrom takes a frame of s.
func (c *Conn) gatherFrom(s *Stream) (n int, ok bool) {
	room := sys.MaxGather - len(c.bufs) - 1
	if room <= 0 {
		return 0, false
	}
	most := int(min(int64(s.left), int64(c.peer.Frame), int64(maxSent), s.sendWindow, c.sendWindow))
	at := len(c.bufs)
	c.bufs = append(c.bufs, nil)
	for i := 0; i < len(s.pending) && room > 0 && n < most; i++ {
		b := s.pending[i]
		b = b[:min(len(b), most-n)]
		c.bufs = append(c.bufs, b)
		n += len(b)
		room--
	}
	head := c.heads[len(c.gathered)*h2.HeaderSize:][:0:h2.HeaderSize]
	flags := h2.Flags(0)
	if s.ending && n == s.left {
		flags = h2.EndStream
	}
	c.bufs[at] = h2.AppendFrame(head, h2.DataFrame, flags, s.id, n)
	return n, true
}

// landed follows a send: its bytes are no longer the socket's. What has ended with them has, also where the peer's end is known already.
func (c *Conn) landed(sent bool) {
	for i, g := range c.gathered {
		s := g.s
		s.inFlight = false
		s.left -= g.n
		s.progress = c.loop.Now()
		c.budget.carried(g.n)
		for n := g.n; n > 0; {
			took := min(n, len(s.pending[0]))
			s.pending[0] = s.pending[0][took:]
			n -= took
			if len(s.pending[0]) == 0 {
				s.pending = s.pending[:copy(s.pending, s.pending[1:])]
			}
		}
		c.unlist(s) // others of its urgency go first
		switch {
		case s.left > 0:
			c.await(s)
		case s.ending && (sent || s.sendErr == nil):
			s.finish()
		}
		if s.left == 0 || s.sendErr != nil || s.intr != nil {
			s.writer.Wake()
		}
		c.gathered[i] = gathered{}
	}
	c.gathered = c.gathered[:0]
}
