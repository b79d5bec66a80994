package fiber

import "io"

// Filter stands between what goes over a socket and what the users of its connection see, as TLS does. It never waits.
type Filter interface {
	// Open appends to plain what bytes mean that have come. It does not keep raw. After an error no more comes; io.EOF is that the peer has said so.
	Open(plain, raw []byte) ([]byte, error)
	// Seal appends to raw what tells the peer bufs. It keeps none of them.
	Seal(raw []byte, bufs [][]byte) ([]byte, error)
	// End appends to raw what tells the peer that nothing more follows.
	End(raw []byte) []byte
}

// filtered is what a connection has with its filter.
type filtered struct {
	Filter
	ended bool // End was called
}

// SetFilter puts f between the socket and what is received and sent from now on; what has come and is unread goes through it too. Nothing is being sent. What
// goes through f goes through buffers: see Direct.
func (c *Conn) SetFilter(f Filter) {
	c.filter = &filtered{Filter: f}
	come, end := append([]segment{c.first}, c.rest...), c.recvErr
	c.first, c.rest, c.unread, c.recvErr = segment{}, nil, 0, nil
	for i := range come {
		c.open(buffer{b: come[i].b, slab: come[i].buf.slab, id: come[i].buf.id})
	}
	if c.recvErr == nil {
		c.recvErr = c.endOf(end)
	}
}

// Filtered tells whether there is a filter.
func (c *Conn) Filtered() bool { return c.filter != nil }

// maxPlain bounds the memory that a loop keeps for opening.
const maxPlain = 256 << 10

// open takes bytes that have come through the filter.
func (c *Conn) open(b buffer) {
	l := c.loop
	plain, err := c.filter.Open(l.plain[:0], b.b)
	if err != nil && c.recvErr == nil {
		c.recvErr = err
	}
	// What has come lies in the same memory as before, as far as it fits: the filter does not need that any more.
	n := copy(b.b[:cap(b.b)], plain)
	if n > 0 {
		b.b = b.b[:n]
		c.push(b)
	} else {
		b.put()
	}
	if n < len(plain) {
		c.push(buffer{b: append([]byte(nil), plain[n:]...)})
	}
	if l.plain = plain[:0]; cap(plain) > maxPlain {
		l.plain = nil
	}
}

// seal replaces what is to be sent by what says the same behind the filter. It counts as a queue of one.
func (c *Conn) seal() error {
	raw, err := c.filter.Seal(c.loop.takeSpare(), c.out)
	if err != nil {
		c.sendErr = err
		c.putSendMem()
		c.out = nil
		return err
	}
	if c.last {
		raw = c.filter.end(raw)
	}
	c.flight = raw
	c.out = append(c.out[:0], raw)
	return nil
}

func (f *filtered) end(raw []byte) []byte {
	if f.ended {
		return raw
	}
	f.ended = true
	return f.End(raw)
}

// WriteRaw is Write without the filter: for the filter itself, which may have to answer its peer.
func (c *Conn) WriteRaw(p []byte) (int, error) {
	if err := c.writable(len(p)); err != nil {
		return 0, err
	}
	c.enqueue(append(c.queueMem(), p...))
	return len(p), nil
}

// endOf is what the end of a socket means behind the filter, which has not heard of one.
func (c *Conn) endOf(err error) error {
	if c.filter != nil && err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}
