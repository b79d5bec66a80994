package mux

import "poise/internal/h2"

// leastData is what a DATA frame brings at least that is worth its header: gRPC's shortest message has five bytes.
const leastData = 4

// beginData begins a DATA frame, whose body is taken in as it comes.
func (c *Conn) beginData(f h2.Frame) error {
	size, padding := h2.HeaderSize, 0
	if f.Flags&h2.Padded != 0 {
		b, err := c.need(h2.HeaderSize + min(1, f.Length))
		if err != nil {
			return err
		}
		if f.Length == 0 || int(b[h2.HeaderSize]) >= f.Length {
			return &h2.Error{Code: h2.ProtocolError, Reason: "more padding than frame"}
		}
		size, padding = size+1, int(b[h2.HeaderSize])
	}
	if f.Stream == 0 {
		return &h2.Error{Code: h2.ProtocolError, Reason: "DATA of no stream"}
	}
	if c.unopened(f.Stream) {
		return &h2.Error{Code: h2.ProtocolError, Reason: "DATA of a stream that nobody has opened"}
	}
	if c.window -= int64(f.Length); c.window < 0 {
		return &h2.Error{Code: h2.FlowControlError, Reason: "more than the connection's window"}
	}
	c.fc.Discard(size)
	overhead := size - h2.HeaderSize + padding
	c.of, c.left, c.padding = f, f.Length-overhead, padding
	c.read(overhead)
	n := c.left
	c.budget.carried(n)
	if n < leastData && f.Flags&h2.EndStream == 0 {
		if err := c.glitch(1); err != nil {
			return err
		}
	}
	if s := c.streams[f.Stream]; s != nil {
		if err := s.expect(f.Length, n); err != nil {
			return c.brokenBy(f.Stream, err)
		}
		s.read(overhead)
	} else if !c.wasReset(f.Stream) {
		if err := c.reset(f.Stream, h2.StreamClosed); err != nil {
			return err
		}
		return c.glitch(10)
	} else if !c.client { // it may be on its way, but not without end
		if err := c.glitch(1); err != nil {
			return err
		}
	}
	if n == 0 && padding == 0 {
		return c.endData()
	}
	return nil
}

// readBody takes in what there is of a DATA frame.
func (c *Conn) readBody() error {
	b := c.fc.Buffered()
	if c.left > 0 {
		b = b[:min(len(b), c.left)]
		c.left -= len(b)
		if s := c.streams[c.of.Stream]; s != nil && s.recvErr == nil && !s.ended {
			s.push(b)
		} else {
			c.read(len(b))
		}
		c.fc.Discard(len(b))
	} else {
		b = b[:min(len(b), c.padding)]
		c.padding -= len(b)
		c.fc.Discard(len(b))
	}
	if c.left == 0 && c.padding == 0 {
		return c.endData()
	}
	return nil
}

// endData follows the last byte of a DATA frame.
func (c *Conn) endData() error {
	s := c.streams[c.of.Stream]
	if s == nil || c.of.Flags&h2.EndStream == 0 || s.ended {
		return nil
	}
	if err := s.end(); err != nil {
		return c.brokenBy(c.of.Stream, err)
	}
	return nil
}

// read gives the peer back what was taken of the connection's window.
func (c *Conn) read(n int) {
	if c.credit += n; c.credit >= connWindow/2 {
		c.out = h2.AppendWindow(c.out, 0, c.credit)
		c.window += int64(c.credit)
		c.credit = 0
		c.flush()
	}
}
