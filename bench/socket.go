package main

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"

	"poise/internal/clock"
	"poise/internal/fiber"
)

// socketIdleName is the scenario of WebSockets on which nothing moves, secureSocketIdleName that of as many over TLS between clients and balancer.
const socketIdleName, secureSocketIdleName = "websocket-idle", "wss-idle"

// The key is that of RFC 6455 section 1.3, and so is what the server answers to it.
const socketKey, socketAccept = "dGhlIHNhbXBsZSBub25jZQ==", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="

// socketFields ask for a WebSocket.
var socketFields = []string{"Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: " + socketKey}

var switching = []byte("HTTP/1.1 101 ")

// socketAnswer is the head by which the server switches.
func socketAnswer() []byte {
	return []byte("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: " + socketAccept + "\r\n\r\n")
}

// frame is a binary message of n bytes, as a server sends it, or masked as a client does: by a key of zeros, since nobody else on the way has bytes to choose.
func frame(n int, masked bool) []byte {
	f := []byte{0x82}
	switch {
	case n < 126:
		f = append(f, byte(n))
	case n < 1<<16:
		f = binary.BigEndian.AppendUint16(append(f, 126), uint16(n))
	default:
		f = binary.BigEndian.AppendUint64(append(f, 127), uint64(n))
	}
	if masked {
		f[1] |= 0x80
		f = append(f, 0, 0, 0, 0)
	}
	return append(f, pattern(n)...)
}

// upgrade makes a WebSocket of a connection to a balancer.
func (c *client) upgrade() error {
	if err := c.conn.Send(c.head); err != nil {
		return err
	}
	head, err := readHead(c.conn)
	if err != nil {
		return err
	}
	if !bytes.HasPrefix(head, switching) {
		return fmt.Errorf("want status 101, got %.500q", head)
	}
	c.conn.Discard(len(head))
	return nil
}

// talk is one message and its answer.
func (c *client) talk(by clock.Instant) error {
	c.conn.ReadBy(by)
	c.conn.WriteBy(by)
	if err := c.conn.Send(c.message); err != nil {
		return fmt.Errorf("send a message: %w", err)
	}
	if err := readFrame(c.conn, c.reply); err != nil {
		return err
	}
	if n := c.conn.Unread(); n > 0 {
		return fmt.Errorf("%d bytes more than the answer", n)
	}
	return nil
}

// readFrame takes a message off the connection, and looks at the ends of its pieces.
func readFrame(c *fiber.Conn, want []byte) error {
	for len(want) > 0 {
		if err := c.Next(); err != nil {
			return fmt.Errorf("read a message: %w", err)
		}
		b := c.Buffered()
		b = b[:min(len(b), len(want))]
		if b[0] != want[0] || b[len(b)-1] != want[len(b)-1] {
			return errors.New("wrong bytes in a message")
		}
		want = want[len(b):]
		c.Discard(len(b))
	}
	return nil
}

// serveSocket answers messages.
func (a *answer) serveSocket(c *fiber.Conn) error {
	if err := c.Send(a.bytes); err != nil {
		return err
	}
	for {
		if err := readFrame(c, a.message); err != nil {
			return err
		}
		if err := c.Send(a.reply); err != nil {
			return err
		}
	}
}
