package proxy

import (
	"time"

	"poise/internal/clock"
	"poise/internal/fault"
	"poise/internal/fiber"
	"poise/internal/msg"
)

// side is one end of an exchange, whatever HTTP version it speaks: a connection of HTTP/1 for as long as the exchange has it. What fiber.Conn has by the
// same name means the same here.
type side interface {
	fiber.Client
	fiber.Guarded
	Interrupt(err error)

	Buffered() []byte
	Unread() int
	Discard(n int)
	Next() error
	ReadBy(t clock.Instant)
	Receive(in fiber.Intake)
	// body has src find the peer's body, of that length, in what is received.
	body(src *source, length int64)

	WriteBy(t clock.Instant)
	StallAfter(d time.Duration)
	// begin says how the body is framed whose head was printed last.
	begin(chunked bool)
	// send sends a piece, and tells how many bytes that were.
	send(p *piece) (int, error)

	// CloseWrite says that nothing more is sent, and leaves the other direction.
	CloseWrite() error

	// socket is the connection, where bytes of a body lie on it as they are; else nil.
	socket() *fiber.Conn
}

// piece is what is sent at once.
type piece struct {
	head  bool     // the head that was printed last goes first
	from  *source  // whose spans follow; nil: none do
	moved int      // so much follows out of the pipe
	way   *through // which has that
	end   bool     // the message ends
	last  bool     // the connection too, by finish
}

// client is the side that asks.
type client interface {
	side
	Listen()
	// print prints the head that goes with the next piece.
	print(h *msg.ResponseHead) error
	// over ends what is left of the side after an exchange, and tells whether it goes on to the next.
	over(o outcome) bool
	// detach is the same side in memory of its own, for what outlives the exchange.
	detach() client
}

// outcome is how an exchange has ended for its client.
type outcome struct {
	f          *fault.Error
	silent     bool // nothing is said
	keep       bool // the connection may go on
	untilClose bool // the answer's end is the connection's
	finishes   bool // the client knows the answer's end, and sends nothing more
}

// server is the side that answers.
type server interface {
	side
	// print prints the head that goes with the next piece.
	print(h *msg.RequestHead) error
	// readHead reads the next head of the answer into e's, interim or final, and tells how many bytes it was. forgetHead follows once nothing of it is needed.
	readHead(e *serving) (int, *fault.Error)
	forgetHead()
	// status is that of the head that has come, or 0 while none has; an error means that none can.
	status() (int, error)
	// begun tells whether some of the answer has come.
	begun() bool
	// skip drops an answer with a body of that length whose head was read, if all of it is there, and reports whether it was.
	skip(length int64) bool

	// Fill waits for more of the answer than has come.
	Fill() error
	NextOr(done *bool) error
	Nudge()
	Reused() bool
	// Clean tells that the side can serve others, as far as is known. Keep lets it.
	Clean() bool
	Keep(idle time.Duration)
	// Close ends it at once; Finish lets what was sent arrive; Reset shows that not all was said.
	Close()
	Finish()
	Reset()
	detach() server
}
