package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"poise/internal/fiber"
)

// This is as little HTTP as servers and load need: they know what the other side sends, and fail on anything else.

var (
	blankLine     = []byte("\r\n\r\n")
	contentLength = []byte("content-length:")
)

// maxHead is far above what the scenarios have: more without a blank line is no head.
const maxHead = 64 * kib

// readHead returns a whole head, with its blank line, and leaves it unread in the connection. io.EOF: the peer has closed between two messages.
func readHead(c *fiber.Conn) ([]byte, error) {
	for {
		b := c.Buffered()
		if i := bytes.Index(b, blankLine); i >= 0 {
			return b[:i+len(blankLine)], nil
		}
		if len(b) > maxHead {
			return nil, fmt.Errorf("a head of more than %d bytes", maxHead)
		}
		if err := c.Fill(); err != nil {
			if errors.Is(err, io.EOF) && len(b) > 0 {
				err = io.ErrUnexpectedEOF
			}
			return nil, err
		}
	}
}

// lengthOf is the head's Content-Length, or -1.
func lengthOf(head []byte) int {
	for line := head; ; {
		i := bytes.IndexByte(line, '\n')
		if i < 0 {
			return -1
		}
		line = line[i+1:]
		if len(line) <= len(contentLength) || line[0]|0x20 != 'c' || !bytes.EqualFold(line[:len(contentLength)], contentLength) {
			continue
		}
		n := 0
		for _, c := range bytes.TrimLeft(line[len(contentLength):], " ") {
			if c < '0' || c > '9' || n > 1<<40 {
				break
			}
			n = n*10 + int(c-'0')
		}
		return n
	}
}

// readBody takes n bytes of a body off the connection, and looks whether they are the pattern's.
func readBody(c *fiber.Conn, n int) error {
	for offset := 0; offset < n; {
		if err := c.Next(); err != nil {
			return fmt.Errorf("a body of %d bytes broke off after %d: %w", n, offset, err)
		}
		b := c.Buffered()
		b = b[:min(len(b), n-offset)]
		if !isPattern(b, offset) {
			return fmt.Errorf("wrong bytes in a body of %d bytes, between %d and %d", n, offset, offset+len(b))
		}
		offset += len(b)
		c.Discard(len(b))
	}
	return nil
}
