package h1

import (
	"math"

	"poise/internal/msg"
)

// Errors of chunked bodies. Their status is 400, as for a request; the body of a response is the server's fault instead.
var (
	errChunkSize  = &Error{400, "malformed chunk size"}
	errChunkLarge = &Error{400, "chunk size is too large"}
	errExtension  = &Error{400, "malformed chunk extension"}
	errExtensions = &Error{400, "chunk extensions are too long"}
	errChunkEnd   = &Error{400, "chunk does not end in CRLF"}
)

// Chunked decodes one chunked body (RFC 9112 §7.1). The zero value is ready; Reset makes it so again.
//
//	            +------------------ dataLF <- dataCR <- data <-+
//	            v                                              |
//	size0 -> size -> (extension states) -> sizeLF -> ----------+  (size > 0)
//	            |                            ^  |
//	            +----------------------------+  +-> trailer -> done  (size = 0)
//
// Chunk sizes have 1 to 16 hex digits and no white space around them (the RFC's "bad white space" is the gap that
// smuggling uses). Extensions are checked and dropped, and at most 4 KiB a body, so that what a chunk costs beyond its data is bounded by
// 20 bytes. All line ends are CRLF.
type Chunked struct {
	// Trailers are the trailer fields, once Done, without those that may not come after the body (RFC 9110 §6.5.1). They
	// live in the Chunked until it is Reset.
	Trailers msg.Fields

	state      chunkState
	digits     uint8
	extensions int   // bytes of them in this body
	left       int64 // of the chunk: its size while that is read, then what is to come of its data
	trailer    []byte
	err        error
}

type chunkState uint8

const (
	chunkSize0 chunkState = iota // before a size
	chunkSize
	chunkExtName0
	chunkExtName
	chunkExtValue0
	chunkExtValue
	chunkExtQuoted
	chunkExtEscape
	chunkExtEnd // after a quoted value
	chunkSizeLF
	chunkData
	chunkDataCR
	chunkDataLF
	chunkTrailer
	chunkDone
)

// Reset makes c ready for another body and keeps its memory.
func (c *Chunked) Reset() {
	*c = Chunked{Trailers: c.Trailers[:0], trailer: c.trailer[:0]}
}

// Done tells whether the body and its trailer section have ended.
func (c *Chunked) Done() bool { return c.state == chunkDone }

// Next decodes from the start of b. It takes n bytes, and data, a part of those that may be empty, is the next piece of the
// body. It stops after a piece of data and when the body is done: call it again with b[n:] while that has bytes and Done is
// false. After an error, an *Error with status 400, nothing more is decoded.
func (c *Chunked) Next(b []byte) (data []byte, n int, err error) {
	if c.err != nil {
		return nil, 0, c.err
	}
	for n < len(b) && c.state != chunkDone {
		switch c.state {
		case chunkData:
			take := int(min(c.left, int64(len(b)-n)))
			data = b[n : n+take : n+take]
			if c.left -= int64(take); c.left == 0 {
				c.state = chunkDataCR
			}
			return data, n + take, nil
		case chunkTrailer:
			n += c.trailerLine(b[n:])
		default:
			c.step(b[n])
			n++
		}
		if c.err != nil {
			return nil, n, c.err
		}
	}
	return nil, n, nil
}

// step takes one byte between data and data.
func (c *Chunked) step(b byte) {
	switch c.state {
	case chunkSize0, chunkSize:
		c.sizeByte(b)
	case chunkSizeLF:
		c.expect(b, '\n', errLineEnd, chunkData)
		if c.left == 0 {
			c.state = chunkTrailer
		}
	case chunkDataCR:
		c.expect(b, '\r', errChunkEnd, chunkDataLF)
	case chunkDataLF:
		c.expect(b, '\n', errChunkEnd, chunkSize0)
		c.digits = 0
	default:
		c.extensionByte(b)
	}
}

func (c *Chunked) expect(b, want byte, err error, next chunkState) {
	if b != want {
		c.err = err
	}
	c.state = next
}

func (c *Chunked) sizeByte(b byte) {
	switch {
	case class[b]&isHex != 0:
		if c.digits++; c.digits > 16 || c.left > math.MaxInt64>>4 {
			c.err = errChunkLarge
			return
		}
		c.left = c.left<<4 | int64(hexDigit(b))
		c.state = chunkSize
	case c.state == chunkSize0:
		c.err = errChunkSize
	case b == '\r':
		c.state = chunkSizeLF
	case b == ';':
		c.state = chunkExtName0
		c.countExtension()
	default:
		c.err = errChunkSize
	}
}

func (c *Chunked) countExtension() {
	if c.extensions++; c.extensions > maxExtension {
		c.err = errExtensions
	}
}

// extensionByte checks `;name`, `;name=token` and `;name="quoted"`, any number of them.
func (c *Chunked) extensionByte(b byte) {
	token := class[b]&isToken != 0
	next := chunkDone // stands for "no such byte here"
	switch c.state {
	case chunkExtName0:
		if token {
			next = chunkExtName
		}
	case chunkExtName:
		if token {
			next = chunkExtName
		} else if b == '=' {
			next = chunkExtValue0
		} else {
			next = afterExtension(b)
		}
	case chunkExtValue0:
		if b == '"' {
			next = chunkExtQuoted
		} else if token {
			next = chunkExtValue
		}
	case chunkExtValue:
		if token {
			next = chunkExtValue
		} else {
			next = afterExtension(b)
		}
	case chunkExtQuoted:
		if b == '"' {
			next = chunkExtEnd
		} else if b == '\\' {
			next = chunkExtEscape
		} else if class[b]&isQuoted != 0 {
			next = chunkExtQuoted
		}
	case chunkExtEscape:
		if class[b]&isQuoted != 0 || b == '"' || b == '\\' {
			next = chunkExtQuoted
		}
	case chunkExtEnd:
		next = afterExtension(b)
	}
	if next == chunkDone {
		c.err = errExtension
		return
	}
	c.state = next
	if next != chunkSizeLF {
		c.countExtension()
	}
}

func afterExtension(b byte) chunkState {
	switch b {
	case ';':
		return chunkExtName0
	case '\r':
		return chunkSizeLF
	}
	return chunkDone
}
