package main

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"

	"golang.org/x/net/http2/hpack"

	"poise/internal/clock"
	"poise/internal/fiber"
)

// This is as little HTTP/2 as the load needs. Windows are so large that only bodies of a run together could use them up.

const (
	frameHeader  = 9
	streamWindow = 16 * mib
	linkWindow   = 1 << 30
)

// The frames that come or go, and their flags. [RFC 9113 section 6]
const (
	dataFrame, headersFrame, resetFrame, settingsFrame, pingFrame, goAwayFrame, windowFrame = 0, 1, 3, 4, 6, 7, 8
	endStream, acknowledged, endHeaders                                                     = 1, 1, 4
)

// link is a connection of HTTP/2 that several clients share.
type link struct {
	*generator
	conn    *fiber.Conn
	fields  []hpack.HeaderField // of the request
	block   bytes.Buffer        // that was printed last
	printer *hpack.Encoder
	parser  *hpack.Decoder
	status  string // of the head that was read last
	length  string
	calls   map[uint32]*call
	last    uint32
	out     []byte
	sending bool
	credit  int // bytes of bodies that the balancer does not know to be read
	clients int
	err     error
}

// call is one request and its answer.
type call struct {
	wait   *fiber.Wait
	headed bool
	got    int // bytes of the body
	err    error
}

// link connects, and starts the clients.
func (g *generator) link(work func(*client) error) {
	k := &link{generator: g, calls: map[uint32]*call{}, clients: g.scenario.Streams}
	k.fields = g.scenario.fieldsOfHTTP2(g.spec.To)
	k.printer = hpack.NewEncoder(&k.block)
	k.parser = hpack.NewDecoder(4096, func(f hpack.HeaderField) {
		switch f.Name {
		case ":status":
			k.status = f.Value
		case "content-length":
			k.length = f.Value
		}
	})
	by := g.loop.Now().Add(patience)
	var err error
	if k.conn, err = g.dial(by); err != nil {
		g.fail(err)
		k.clients = 0
		g.left(g.scenario.Streams)
		return
	}
	k.conn.ReadBy(0)
	k.conn.WriteBy(0)
	k.out = append(k.out, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"...)
	k.out = appendFrame(k.out, 12, settingsFrame, 0, 0)
	k.out = binary.BigEndian.AppendUint32(append(k.out, 0, 2), 0) // no push
	k.out = binary.BigEndian.AppendUint32(append(k.out, 0, 4), streamWindow)
	k.update(linkWindow)
	k.flush()
	for range k.clients {
		g.loop.Go(func() {
			g.fiber(&client{generator: g, link: k}, work)
			if k.clients--; k.clients == 0 {
				_ = k.conn.Close()
			}
		})
	}
	k.conn.Receive(fiber.Bodies)
	k.broke(k.read()) // its own end too; then nobody waits
}

// fieldsOfHTTP2 are the scenario's request.
func (s *scenario) fieldsOfHTTP2(host string) []hpack.HeaderField {
	scheme := "http"
	if s.TLS != "" {
		scheme = "https"
	}
	return []hpack.HeaderField{
		{Name: ":method", Value: "GET"}, {Name: ":scheme", Value: scheme}, {Name: ":authority", Value: host}, {Name: ":path", Value: s.path},
	}
}

func appendFrame(dst []byte, length int, kind, flags byte, stream uint32) []byte {
	return binary.BigEndian.AppendUint32(append(dst, byte(length>>16), byte(length>>8), byte(length), kind, flags), stream)
}

// update lets the balancer send n bytes more.
func (k *link) update(n int) {
	k.out = binary.BigEndian.AppendUint32(appendFrame(k.out, 4, windowFrame, 0, 0), uint32(n))
}

// flush sends what all clients have to send in this turn.
func (k *link) flush() {
	if k.sending {
		return
	}
	k.sending = true
	k.loop.Go(func() {
		k.loop.Yield()
		for len(k.out) > 0 && k.err == nil {
			out := k.out
			k.out = nil
			if err := k.conn.Send(out); err != nil {
				k.broke(fmt.Errorf("send: %w", err))
			}
		}
		k.sending = false
	})
}

// do is one request and its answer.
func (k *link) do(by clock.Instant) error {
	if k.err != nil {
		return k.err
	}
	id := k.last + 1
	k.last = id + 1
	c := &call{wait: k.loop.NewWait()}
	k.calls[id] = c
	k.block.Reset()
	for _, f := range k.fields {
		if err := k.printer.WriteField(f); err != nil {
			return err
		}
	}
	k.out = appendFrame(k.out, k.block.Len(), headersFrame, endStream|endHeaders, id)
	k.out = append(k.out, k.block.Bytes()...)
	k.flush()
	if err := c.wait.Until(by, nil); err != nil {
		return fmt.Errorf("wait for an answer: %w", err)
	}
	if want := k.scenario.answer.length; c.err == nil && c.got != want {
		return fmt.Errorf("a body of %d bytes, want %d", c.got, want)
	}
	return c.err
}

func (k *link) broke(err error) {
	k.err = err
	for _, c := range k.calls {
		c.err = err
		c.wait.Tell()
	}
	clear(k.calls)
}

// read takes all frames, until the connection ends, and says how.
func (k *link) read() error {
	for {
		if err := k.need(frameHeader); err != nil {
			return err
		}
		h := k.conn.Buffered()[:frameHeader]
		length, kind, flags := int(h[0])<<16|int(h[1])<<8|int(h[2]), h[3], h[4]
		stream := binary.BigEndian.Uint32(h[5:])
		k.conn.Discard(frameHeader)
		var err error
		switch kind {
		case dataFrame:
			err = k.data(stream, length, flags)
		default:
			err = k.frame(kind, flags, stream, length)
		}
		if err != nil {
			return err
		}
	}
}

// need waits until n bytes are there in one piece.
func (k *link) need(n int) error {
	for len(k.conn.Buffered()) < n {
		if err := k.conn.Fill(); err != nil {
			return fmt.Errorf("read a frame: %w", err)
		}
	}
	return nil
}

// data takes a piece of a body as it comes.
func (k *link) data(stream uint32, length int, flags byte) error {
	c := k.calls[stream]
	if c == nil || !c.headed || flags&^endStream != 0 {
		return fmt.Errorf("DATA with flags %#x of a stream that has no head", flags)
	}
	if k.credit += length; k.credit > linkWindow/2 {
		k.update(k.credit)
		k.credit = 0
		k.flush()
	}
	for length > 0 {
		if len(k.conn.Buffered()) == 0 {
			if err := k.conn.Next(); err != nil {
				return fmt.Errorf("read a body: %w", err)
			}
		}
		b := k.conn.Buffered()
		b = b[:min(len(b), length)]
		if !isPattern(b, c.got) {
			return errors.New("wrong bytes in a body")
		}
		c.got += len(b)
		length -= len(b)
		k.conn.Discard(len(b))
	}
	if flags&endStream != 0 {
		k.end(stream, c)
	}
	return nil
}

func (k *link) end(stream uint32, c *call) {
	delete(k.calls, stream)
	c.wait.Tell()
}

// frame takes any other frame.
func (k *link) frame(kind, flags byte, stream uint32, length int) error {
	if err := k.need(length); err != nil {
		return err
	}
	b := k.conn.Buffered()[:length]
	defer k.conn.Discard(length)
	switch {
	case kind == headersFrame:
		return k.head(stream, flags, b)
	case kind == settingsFrame && flags&acknowledged == 0:
		k.out = appendFrame(k.out, 0, settingsFrame, acknowledged, 0)
		k.flush()
	case kind == pingFrame && flags&acknowledged == 0:
		k.out = append(appendFrame(k.out, len(b), pingFrame, acknowledged, 0), b...)
		k.flush()
	case kind == resetFrame, kind == goAwayFrame:
		return fmt.Errorf("frame %d of stream %d: %q", kind, stream, b)
	}
	return nil
}

func (k *link) head(stream uint32, flags byte, block []byte) error {
	c := k.calls[stream]
	if c == nil || flags&endHeaders == 0 || flags&^(endHeaders|endStream) != 0 {
		return fmt.Errorf("HEADERS with flags %#x of stream %d", flags, stream)
	}
	k.status, k.length = "", ""
	if _, err := k.parser.Write(block); err != nil {
		return fmt.Errorf("a head: %w", err)
	}
	if k.status != "200" || k.length != strconv.Itoa(k.scenario.answer.length) {
		return fmt.Errorf("want status 200 and length %d, got %q and %q", k.scenario.answer.length, k.status, k.length)
	}
	if c.headed = true; flags&endStream != 0 {
		k.end(stream, c)
	}
	return nil
}
