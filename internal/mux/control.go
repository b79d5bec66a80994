package mux

import (
	"poise/internal/h2"
	"poise/internal/stats"
)

func (c *Conn) settings(f h2.Frame, p []byte) error {
	before := c.peer
	if err := f.Settings(p, &c.peer); err != nil {
		return err
	}
	if f.Flags&h2.Ack != 0 {
		return c.glitch(1)
	}
	if c.peer.TableSize < min(before.TableSize, h2.Defaults().TableSize) {
		c.shrunk = true
	}
	if by := int64(c.peer.Window) - int64(before.Window); by != 0 {
		for _, s := range c.streams {
			if s.sendWindow += by; s.sendWindow > 1<<31-1 {
				return &h2.Error{Code: h2.FlowControlError, Reason: "SETTINGS_INITIAL_WINDOW_SIZE makes a window too large"}
			}
		}
	}
	c.out = h2.AppendSettingsAck(c.out)
	c.flush()
	again := c.settled
	c.settled = true
	if c.client {
		c.owner.Freed(c)
	}
	if again {
		return c.glitch(1)
	}
	return nil
}

func (c *Conn) windowUpdate(f h2.Frame, p []byte) error {
	n, e := f.Window(p)
	if e != nil {
		return e
	}
	if f.Stream == 0 {
		if c.sendWindow += int64(n); c.sendWindow > 1<<31-1 {
			return &h2.Error{Code: h2.FlowControlError, Reason: "the connection's window is too large"}
		}
	} else if s := c.streams[f.Stream]; s != nil {
		if s.sendWindow += int64(n); s.sendWindow > 1<<31-1 {
			return &h2.Error{Code: h2.FlowControlError, Stream: f.Stream, Reason: "the stream's window is too large"}
		}
	} else if c.unopened(f.Stream) {
		return &h2.Error{Code: h2.ProtocolError, Reason: "WINDOW_UPDATE of a stream that nobody has opened"}
	}
	if len(c.waiting) > 0 {
		c.flush()
	}
	return c.glitch(1)
}

func (c *Conn) resetFrame(f h2.Frame, p []byte) error {
	code, e := f.Reset(p)
	if e != nil {
		return e
	}
	if c.unopened(f.Stream) {
		return &h2.Error{Code: h2.ProtocolError, Reason: "RST_STREAM of a stream that nobody has opened"}
	}
	s := c.streams[f.Stream]
	if s == nil {
		c.forgetReset(f.Stream) // nothing of it is on its way any more
		return c.glitch(1)
	}
	c.owner.Count(stats.StreamReset)
	s.remove()
	if code == h2.EnhanceYourCalm && c.client && !s.final {
		// Node answers so when what its streams on a connection have to send is too much memory. Others go over another connection.
		c.most = max(1, c.active-1)
	}
	switch {
	case code == h2.RefusedStream && c.client:
		s.broke(ErrRefused)
	case code == h2.NoError && c.client && s.ended:
		// The answer is whole: the server takes no more of the request.
		s.stopped(&ResetError{Code: code})
	default:
		s.broke(&ResetError{Code: code})
	}
	if c.client || c.budget.reset() {
		return nil
	}
	return &h2.Error{Code: h2.EnhanceYourCalm, Reason: "too many streams were reset"}
}

func (c *Conn) ping(f h2.Frame, p []byte) error {
	data, e := f.Ping(p)
	if e != nil {
		return e
	}
	if f.Flags&h2.Ack == 0 {
		c.out = h2.AppendPing(c.out, true, data)
		c.flush()
	}
	return c.glitch(1)
}

// goAway: of a server, that streams above last were not looked at and no more shall come; of a client it says nothing that matters.
func (c *Conn) goAway(f h2.Frame, p []byte) error {
	last, _, e := f.GoAway(p)
	if e != nil {
		return e
	}
	if err := c.glitch(1); err != nil || !c.client {
		return err
	}
	c.away, c.refuses = true, true
	for id, s := range c.streams {
		if id > last {
			s.remove()
			s.broke(ErrRefused)
		}
	}
	c.owner.Freed(c)
	c.settle()
	return nil
}

func (c *Conn) priorityUpdate(f h2.Frame, p []byte) error {
	id, urgency, incremental, e := f.PriorityUpdate(p)
	if e != nil {
		return e
	}
	if s := c.streams[id]; s != nil && !c.client {
		s.urgency, s.incremental = urgency, incremental
	}
	return c.glitch(1)
}
