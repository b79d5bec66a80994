package fiber

import "io"

// Guarded is what may end because a client leaves.
type Guarded interface {
	Left(err error) // io.EOF: the client sends nothing more
}

// Client is whose leaving ends what is done for it: a connection, or one of the streams on it.
type Client interface {
	// Guard has g told when the client leaves, or has left; nil ends that.
	Guard(g Guarded)
	// Broken is how the client has left, or nil; io.EOF: it sends nothing more.
	Broken() error
}

// Guard is Client's: a client whose peer resets the connection takes its request with it. A Wait is also told when waits on c are interrupted.
func (c *Conn) Guard(g Guarded) {
	if c.guard = g; g == nil {
		return
	}
	if c.recvErr != nil {
		g.Left(c.recvErr)
	}
	if w, ok := g.(*Wait); ok && c.intr != nil {
		w.Left(c.intr)
	}
}

// Left is Guarded's: it interrupts what waits for an answer, but not for a client that has only closed its sending half.
func (c *Conn) Left(err error) {
	if err != io.EOF {
		c.Interrupt(err)
	}
}

// Broken is the error that has ended the receiving, or nil; io.EOF is the peer's FIN.
func (c *Conn) Broken() error { return c.recvErr }
