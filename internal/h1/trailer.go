package h1

import (
	"bytes"

	"poise/internal/msg"
)

var errTrailerSize = &Error{400, "trailer section is too large"}

// trailerLine takes the bytes of b up to the end of a line of the trailer section and keeps them, since the section may come
// in pieces; the empty line ends the body. It returns how many it took.
func (c *Chunked) trailerLine(b []byte) int {
	n := bytes.IndexByte(b, '\n') + 1
	complete := n > 0
	if !complete {
		n = len(b)
	}
	if len(c.trailer)+n > maxTrailer {
		c.err = errTrailerSize
		return 0
	}
	c.trailer = append(c.trailer, b[:n]...)
	if !complete {
		return n
	}
	if !bytes.HasSuffix(c.trailer, []byte(CRLF)) {
		c.err = errLineEnd
		return n
	}
	if len(c.trailer) == len(CRLF) || bytes.HasSuffix(c.trailer, []byte(CRLF+CRLF)) {
		c.endTrailers()
	}
	return n
}

// endTrailers reads the section, which is complete, and ends the body.
func (c *Chunked) endTrailers() {
	fields := fieldReader{fields: c.Trailers[:0], trailers: true, max: maxTrailers}
	if _, err := fields.read(c.trailer, 0); err == errFieldCount {
		c.err = errTrailerSize
		return
	} else if err != nil {
		c.err = err
		return
	}
	c.Trailers = fields.fields[:0]
	for i := range fields.fields {
		if f := &fields.fields[i]; msg.TrailerAllowed(f) {
			c.Trailers = append(c.Trailers, *f)
		}
	}
	c.state = chunkDone
}
