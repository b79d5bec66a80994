package mux

import (
	"poise/internal/h2"
	"poise/internal/stats"
)

const (
	// maxPieces is how many frames a header block may come in, beside its bytes: small ones cost as much as large ones.
	maxPieces = 32
	// badHead is how many glitches a head counts as that is no request: it has cost as much as one, and more if it was too large.
	badHead = 40
	// blockRoom is how much more than a decoded head a block may be before it is decoded.
	blockRoom = 4 << 10
)

func (c *Conn) headers(f h2.Frame, p []byte) error {
	if f.Stream == 0 || (f.Stream%2 == 0) {
		return &h2.Error{Code: h2.ProtocolError, Reason: "HEADERS of a stream that cannot be"}
	}
	fragment, e := f.Headers(p)
	if e != nil && e.Stream == 0 {
		return e
	}
	if e != nil { // its block counts all the same: the tables must stay equal
		if f.Flags&h2.EndHeaders != 0 {
			if err := c.dec.Skip(fragment); err != nil {
				return err
			}
			if !c.client { // it has opened the stream with it
				c.last = max(c.last, f.Stream)
			}
			return e
		}
		return &h2.Error{Code: e.Code, Reason: e.Reason}
	}
	if f.Flags&h2.EndHeaders != 0 {
		return c.head(f, fragment)
	}
	c.blockOf, c.pieces = f, 1
	c.block = append(c.block[:0], fragment...)
	if d := c.cfg.Head; d > 0 {
		c.blockBy = c.loop.Now().Add(d)
		c.fc.ReadBy(c.blockBy)
	}
	return c.blockFits()
}

func (c *Conn) continuation(f h2.Frame, p []byte) error {
	if c.blockOf.Stream == 0 {
		return &h2.Error{Code: h2.ProtocolError, Reason: "CONTINUATION of no header block"}
	}
	c.block = append(c.block, p...)
	c.pieces++
	if err := c.blockFits(); err != nil || f.Flags&h2.EndHeaders == 0 {
		return err
	}
	of, block := c.blockOf, c.block
	c.blockOf, c.block, c.blockBy = h2.Frame{}, nil, 0
	c.fc.ReadBy(0)
	return c.head(of, block)
}

func (c *Conn) blockFits() error {
	if c.pieces > maxPieces || len(c.block) > c.cfg.Heads.Size()+blockRoom {
		return &h2.Error{Code: h2.EnhanceYourCalm, Reason: "the header block is too large"}
	}
	return nil
}

// head takes in a whole header block: a new stream's, an answer's, or trailers.
func (c *Conn) head(f h2.Frame, block []byte) error {
	s := c.streams[f.Stream]
	end := f.Flags&h2.EndStream != 0
	switch {
	case s != nil && s.ended:
		if err := c.dec.Skip(block); err != nil {
			return err
		}
		return &h2.Error{Code: h2.StreamClosed, Stream: f.Stream, Reason: "HEADERS after the stream's end"}
	case s != nil:
		return s.head(block, end)
	case c.client && c.unopened(f.Stream):
		return &h2.Error{Code: h2.ProtocolError, Reason: "HEADERS of a stream that nobody has opened"}
	case f.Stream <= c.last:
		if err := c.dec.Skip(block); err != nil {
			return err
		}
		switch {
		case c.wasReset(f.Stream) && !c.client && !end: // a client's second head is its trailers, whether or not its stream goes on
			return &h2.Error{Code: h2.ProtocolError, Stream: f.Stream, Reason: "trailers that do not end the stream"}
		case c.wasReset(f.Stream):
			return c.glitch(1)
		}
		return &h2.Error{Code: h2.StreamClosed, Reason: "HEADERS of a stream that has ended"}
	}
	return c.accept(f, block, end)
}

// accept begins a stream of the client's.
func (c *Conn) accept(f h2.Frame, block []byte, end bool) error {
	now := c.loop.Now()
	c.last = f.Stream
	c.budget.opens(now)
	if c.told || c.active >= c.cfg.Streams || f.Stream > lastStream {
		if err := c.dec.Skip(block); err != nil {
			return err
		}
		c.owner.Count(stats.StreamRefused)
		if c.told {
			return c.glitch(1) // it was told that such are not looked at
		}
		if err := c.reset(f.Stream, h2.RefusedStream); err != nil {
			return err
		}
		if !c.budget.reset() {
			return &h2.Error{Code: h2.EnhanceYourCalm, Reason: "too many streams were opened"}
		}
		if f.Stream > lastStream { // it has left out so many numbers that none is left
			c.Drain()
		}
		return nil
	}
	s := c.mem.take(c)
	s.id, s.sendWindow = f.Stream, int64(c.peer.Window)
	c.streams[s.id] = s
	c.active++
	c.owner.Count(stats.StreamOpened)
	c.budget.earn(perRequest)
	if err := s.requestHead(block, end); err != nil {
		s.remove()
		s.free()
		c.active--
		c.owner.Count(stats.StreamEnded)
		return err
	}
	c.loop.Go(s.run)
	if s.err != nil {
		if err := c.glitch(badHead); err != nil {
			return err
		}
	}
	if f.Stream+2 > lastStream {
		c.Drain()
	}
	return nil
}
