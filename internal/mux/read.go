package mux

import (
	"io"

	"poise/internal/fiber"
	"poise/internal/h2"
	"poise/internal/stats"
)

// Serve reads the frames that are at hand. It is fiber.Handler's.
func (c *Conn) Serve(*fiber.Conn) {
	c.reading = true
	defer c.unwind(&c.reading)
	for n := 0; c.err == nil && !c.closing; n++ {
		if len(c.out) > maxOut { // the peer does not take what it has caused
			c.room.Park(0)
			continue
		}
		if len(c.fc.Buffered()) == 0 && c.blockOf.Stream == 0 {
			break
		}
		if n == framesAtOnce {
			n = 0
			c.loop.Yield()
			continue
		}
		if err := c.readFrame(); err != nil {
			c.end(err)
		}
	}
	c.reading = false
	c.rest()
}

// unwind follows a fiber's work: if that has panicked, no other would go on with the connection.
func (c *Conn) unwind(working *bool) {
	if *working {
		*working = false
		c.fail(errPanicked)
	}
}

// Gone is fiber.Handler's; the connection is never idle in its sense.
func (c *Conn) Gone(*fiber.Conn, error) {}

// end ends the connection for what has come of reading.
func (c *Conn) end(err error) {
	if e, ok := err.(*h2.Error); ok {
		c.violated(e)
		return
	}
	if err == io.EOF {
		err = ErrGone
	}
	c.fail(err)
}

// rest gives the fiber back until something comes, or nothing has come for too long.
func (c *Conn) rest() {
	if c.err != nil || c.closing {
		return
	}
	now := c.loop.Now()
	if err := c.fc.Readable(); err != nil {
		c.end(err)
		return
	}
	if c.cfg.Draining != nil && c.cfg.Draining() {
		c.Drain()
	}
	switch {
	case c.away && !c.told && !c.client:
		if now >= c.drainBy {
			c.endDrain()
			if c.closing {
				return
			}
			c.fc.Await(c, 0)
			return
		}
		c.fc.Await(c, c.drainBy)
	case c.active > 0 || c.idle == 0:
		c.fc.Await(c, 0)
	default:
		by := c.idleSince.Add(c.idle)
		if !c.settled && c.cfg.Head > 0 {
			by = c.idleSince.Add(min(c.idle, c.cfg.Head))
		}
		if now >= by && len(c.fc.Buffered()) == 0 {
			c.out = h2.AppendGoAway(c.out, c.last, h2.NoError, "")
			c.away, c.told = true, true
			c.close()
			if c.client {
				c.owner.Freed(c)
			}
			return
		}
		c.fc.Await(c, by)
	}
}

// need waits until n bytes are at hand in one piece.
func (c *Conn) need(n int) ([]byte, error) {
	b := c.fc.Buffered()
	for len(b) < n {
		if d := c.cfg.Head; d > 0 && c.blockBy == 0 {
			c.fc.ReadBy(c.loop.Now().Add(d))
		}
		if err := c.fc.Fill(); err != nil {
			return nil, err
		}
		c.fc.ReadBy(c.blockBy)
		b = c.fc.Buffered()
	}
	return b, nil
}

// readFrame reads one frame, or of a DATA frame what there is.
func (c *Conn) readFrame() error {
	if c.left > 0 || c.padding > 0 {
		return c.readBody()
	}
	if !c.prefaced {
		return c.readPreface()
	}
	b, err := c.need(h2.HeaderSize)
	if err != nil {
		return err
	}
	f := h2.ReadFrame(b)
	switch {
	case f.Length > h2.MaxFrame:
		return &h2.Error{Code: h2.FrameSizeError, Reason: "the frame is larger than was announced"}
	case !c.settled && (f.Type != h2.SettingsFrame || f.Flags&h2.Ack != 0):
		return &h2.Error{Code: h2.ProtocolError, Reason: "the first frame is no SETTINGS"}
	case c.blockOf.Stream != 0 && (f.Type != h2.ContinuationFrame || f.Stream != c.blockOf.Stream):
		return &h2.Error{Code: h2.ProtocolError, Reason: "a header block is interrupted"}
	case f.Type == h2.DataFrame:
		return c.beginData(f)
	}
	if b, err = c.need(h2.HeaderSize + f.Length); err != nil {
		return err
	}
	err = c.frame(f, b[h2.HeaderSize:h2.HeaderSize+f.Length])
	if err == nil || streamOf(err) != 0 {
		c.fc.Discard(h2.HeaderSize + f.Length)
	}
	if id := streamOf(err); id != 0 {
		return c.brokenBy(id, err.(*h2.Error))
	}
	return err
}

// streamOf is the stream that an error is of; 0: it is no stream's.
func streamOf(err error) uint32 {
	if e, ok := err.(*h2.Error); ok {
		return e.Stream
	}
	return 0
}

func (c *Conn) readPreface() error {
	b := c.fc.Buffered()
	for n := min(len(b), len(h2.Preface)); string(b[:n]) == h2.Preface[:n]; n = min(len(b), len(h2.Preface)) {
		if n == len(h2.Preface) {
			c.fc.Discard(n)
			c.prefaced = true
			return nil
		}
		var err error
		if b, err = c.need(n + 1); err != nil {
			return err
		}
	}
	return &h2.Error{Code: h2.ProtocolError, Reason: "no connection preface"}
}

// frame takes in a whole frame that is no DATA.
func (c *Conn) frame(f h2.Frame, p []byte) error {
	switch f.Type {
	case h2.HeadersFrame:
		return c.headers(f, p)
	case h2.ContinuationFrame:
		return c.continuation(f, p)
	case h2.SettingsFrame:
		return c.settings(f, p)
	case h2.WindowUpdateFrame:
		return c.windowUpdate(f, p)
	case h2.ResetFrame:
		return c.resetFrame(f, p)
	case h2.PingFrame:
		return c.ping(f, p)
	case h2.GoAwayFrame:
		return c.goAway(f, p)
	case h2.PriorityFrame:
		if err := f.Priority(p); err != nil {
			return err
		}
	case h2.PriorityUpdateFrame:
		return c.priorityUpdate(f, p)
	case h2.PushFrame:
		return &h2.Error{Code: h2.ProtocolError, Reason: "PUSH_PROMISE, which is not allowed here"}
	}
	return c.glitch(1)
}

// glitch counts frames that bring nothing.
func (c *Conn) glitch(n int) error {
	c.owner.Count(stats.Glitch)
	if c.budget.glitch(c.loop.Now(), n) {
		return nil
	}
	return &h2.Error{Code: h2.EnhanceYourCalm, Reason: "too many frames that bring nothing"}
}

// brokenBy resets a stream that the peer has violated the protocol on. One that nobody has opened cannot be reset. [RFC 9113 section 6.4]
func (c *Conn) brokenBy(id uint32, e *h2.Error) error {
	if c.unopened(id) {
		return &h2.Error{Code: e.Code, Reason: e.Reason}
	}
	c.owner.Count(stats.StreamViolation)
	if s := c.streams[id]; s != nil {
		s.remove()
		s.broke(e)
	}
	if err := c.reset(id, e.Code); err != nil {
		return err
	}
	if c.client || c.budget.reset() {
		return nil
	}
	return &h2.Error{Code: h2.EnhanceYourCalm, Reason: "too many streams were reset"}
}

// reset tells the peer that the stream has ended; what it sends on it meanwhile is no violation.
func (c *Conn) reset(id uint32, code h2.Code) error {
	if len(c.resets) < keepResets {
		c.resets = append(c.resets, id)
	} else {
		c.resets[c.nreset%keepResets] = id
	}
	c.nreset++
	c.out = h2.AppendReset(c.out, id, code)
	c.flush()
	return nil
}

// wasReset tells whether we have reset the stream lately.
func (c *Conn) wasReset(id uint32) bool {
	for _, r := range c.resets {
		if r == id {
			return true
		}
	}
	return false
}

// forgetReset has what comes of a stream from now on be a violation.
func (c *Conn) forgetReset(id uint32) {
	for i, r := range c.resets {
		if r == id {
			c.resets[i] = 0
		}
	}
}

// unopened tells whether nobody has opened the stream yet.
func (c *Conn) unopened(id uint32) bool { return id > c.last || id%2 == 0 }
