package proxy

import "poise/internal/fiber"

// A large body of known length goes from socket to socket within the kernel, through a pipe: what is neither framed nor looked at need not be copied
// to us and back.

// throughFrom is how much of a body must be left for that: from about here on it costs less than receiving and sending.
const throughFrom = 32 << 10

// throughTurn is how much one body may move before others get their turn.
const throughTurn = 1 << 20

// intakeAfter is how a connection receives that has just brought a body of that length: of the next message, most stays in the socket until it is
// known what becomes of it.
func intakeAfter(length int64) fiber.Intake {
	if length >= throughFrom {
		return fiber.Sips
	}
	return fiber.Heads
}

// through is a body's way through the kernel. Its zero value is none.
type through struct {
	pipe     *fiber.Pipe
	from, to *fiber.Conn
	turn     int
}

// open makes a way where there is one, for a body of which so much is left behind the bytes in hand. No other fiber receives on from or sends on to.
func (t *through) open(in, out side, left int64, inHand int) {
	if t.pipe != nil || left < throughFrom || in.Unread() > inHand {
		return
	}
	from, to := in.socket(), out.socket()
	if from == nil || to == nil || from.Filtered() || to.Filtered() {
		return
	}
	if t.pipe = from.Loop().Pipe(); t.pipe == nil {
		return
	}
	t.from, t.to, t.turn = from, to, 0
	from.Receive(fiber.Bodies)
	from.Direct(true)
	to.Direct(true)
}

// take moves what has come of the body into the pipe, and counts it off what is left.
func (t *through) take(b *source, inHand int) (moved int) {
	if t.pipe == nil {
		return 0
	}
	t.from.TryFetch(t.pipe, b.length, inHand)
	moved = t.pipe.Held()
	b.length -= int64(moved)
	return moved
}

// next waits for bytes on c: in the pipe, if there is one, or received.
func (t *through) next(c side, b *source) error {
	if t.pipe == nil {
		return c.Next()
	}
	return t.from.Fetch(t.pipe, b.length)
}

// send sends bufs, and then what was taken.
func (t *through) send(c *fiber.Conn, moved int, bufs [][]byte) error {
	if t.pipe == nil {
		return c.Send(bufs...)
	}
	err := c.SendThrough(t.pipe, bufs...)
	if t.turn += moved; t.turn >= throughTurn && err == nil {
		t.turn = 0
		c.Loop().Yield()
	}
	return err
}

func (t *through) close() {
	if t.pipe != nil {
		t.from.Direct(false)
		t.to.Direct(false)
		t.pipe.Free()
		*t = through{}
	}
}
