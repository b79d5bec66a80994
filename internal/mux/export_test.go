package mux

// Bounds that tests hold connections to.
const (
	FirstWindow  = firstWindow
	MaxWindow    = maxWindow
	ConnWindow   = connWindow
	MaxOut       = maxOut
	MostGlitches = mostGlitches
	MaxResets    = maxResets
	MaxAnswers   = maxAnswers
	MaxPieces    = maxPieces
	LargeChunk   = largeChunk
)

// Owed is how much of the connection's window the peer has used, and has neither got back nor is about to: bytes of bodies that were not read.
func (c *Conn) Owed() int { return connWindow - int(c.window) - c.credit - c.left }

// Out is how many bytes of frames wait to be sent, beside bodies.
func (c *Conn) Out() int { return len(c.out) }

// Last is the highest stream that was opened.
func (c *Conn) Last() uint32 { return c.last }

// Listed is how many streams frames can come for, and Waiting how many have data to send.
func (c *Conn) Listed() int { return len(c.streams) }

// Waiting is how many streams have data to send that the windows do not allow yet.
func (c *Conn) Waiting() int { return len(c.waiting) }

// Err is what the connection has ended with.
func (c *Conn) Err() error { return c.err }

// Closing tells whether it is closed once all is sent.
func (c *Conn) Closing() bool { return c.closing }

// SetLast makes the connection one that has had so many streams.
func (c *Conn) SetLast(id uint32) { c.last = id }

// Held is the memory of what has come on the stream and was not read.
func (s *Stream) Held() (n int) {
	for _, k := range s.chunks {
		n += len(k.mem)
	}
	return n
}
