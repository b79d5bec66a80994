package proxy

import "poise/internal/encode"

// smallPiece is up to how many bytes are compressed on the loop: others wait for that no longer than for a few requests. More is done beside it.
const smallPiece = 2 << 10

// compress compresses an answer's body as it passes. What it is given goes on at once, unless more is here already: a client that reads what a server says
// from time to time waits for nothing.
type compress struct {
	e       *serving
	encoder *encode.Encoder
	in, out int64
	ended   bool
}

func (c *compress) pass(b *source, used int) error {
	if c.ended = b.ended(); b.size > 0 || c.ended {
		c.encode(b, c.e.u.Unread() <= used)
	}
	return nil
}

// finish ends a body of which the last pieces did not know that they are.
func (c *compress) finish(b *source) {
	if !c.ended {
		c.ended = true
		b.none()
		c.encode(b, true)
	}
}

func (c *compress) takesTrailers() bool { return false }

// encode puts in place of b's pieces what can be sent of them. flush: that is all of them.
func (c *compress) encode(b *source, flush bool) {
	pieces, size := b.spans[:b.n], b.size
	var out []byte
	run := func() { out = c.encoder.Encode(pieces, flush, c.ended) }
	if size <= smallPiece && (flush || c.ended) { // else it may be the turn of much that came before
		run()
	} else {
		c.e.p.loop.Offload(run)
	}
	c.in += int64(size)
	c.out += int64(len(out))
	b.none()
	b.add(out)
}

// takeEncoder has the answer's body be compressed, if there is an encoder for it.
func (e *serving) takeEncoder(coding encode.Coding) translator {
	encoder := e.p.encoders.Take(coding)
	if encoder == nil {
		e.s.x.KeepPlain()
		e.p.stats.NotCompressed(e.s.x.Route.ID)
		return nil
	}
	e.compress = &compress{e: e, encoder: encoder}
	return e.compress
}

// giveEncoder ends takeEncoder.
func (e *serving) giveEncoder() {
	c := e.compress
	if c == nil {
		return
	}
	e.compress = nil
	e.p.stats.Compressed(e.s.x.Route.ID, c.encoder.Coding, c.in, c.out)
	e.p.encoders.Give(c.encoder)
}
