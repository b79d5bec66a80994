package fiber

import (
	"io"
	"net"
	"os"

	"poise/internal/sys"
)

// direct is the state of a connection whose bytes go from socket to socket without being copied to this process. Its system calls are made at once,
// and only what would wait goes through the driver.
type direct struct {
	on      bool // the socket does not wait
	reading bool // Fetch waits for bytes, which stay in the socket
	writing bool // a send waits for room

	// The driver's own: it waits for bytes and leaves them there; a receive, or a send, is to follow such a wait.
	looking, polled, blocked bool
}

// pipeSize is as much as one piece may be: the kernel copies a large part of it at most, however fast the peers are.
const pipeSize = 256 << 10

// leastPipe is what makes a pipe better than buffers.
const leastPipe = 64 << 10

// keepPipes bounds the pipes that a loop keeps: each costs two descriptors.
const keepPipes = 64

// Pipe holds bytes on their way from one socket to another. It belongs to one relay at a time.
type Pipe struct {
	loop *Loop
	pipe *sys.Pipe
	held int
}

// Pipe returns a pipe, or nil when the driver or the system has none to give; then bytes go through buffers.
func (l *Loop) Pipe() *Pipe {
	if !l.driver.direct() {
		return nil
	}
	if n := len(l.pipes); n > 0 {
		p := l.pipes[n-1]
		l.pipes = l.pipes[:n-1]
		return p
	}
	kernel, err := sys.NewPipe(pipeSize)
	if err != nil {
		return nil
	}
	if kernel.Size() < leastPipe { // the user has too many: pipe-user-pages-soft in pipe(7)
		kernel.Close()
		return nil
	}
	return &Pipe{loop: l, pipe: kernel}
}

// Held is how many bytes are in the pipe.
func (p *Pipe) Held() int { return p.held }

// Free gives the pipe back. What it holds is lost.
func (p *Pipe) Free() {
	if p.held > 0 || len(p.loop.pipes) == keepPipes {
		p.pipe.Close()
		return
	}
	p.loop.pipes = append(p.loop.pipes, p)
}

// Direct switches a connection without a filter to direct calls, or back. Meanwhile, it can be used as before too, though more slowly.
func (c *Conn) Direct(on bool) {
	if c.direct.on != on && c.state < closing {
		c.direct.on = on
		c.loop.driver.setDirect(c)
	}
}

// TryFetch moves bytes that have come into p, until it holds n at most, and never waits. Those that are unread go first: inHand of them the caller is
// about to send; it moves none while there are others.
func (c *Conn) TryFetch(p *Pipe, n int64, inHand int) {
	n = min(n, int64(p.pipe.Size())) - int64(p.held)
	if n <= 0 || c.unread > inHand || c.recv != recvNone || c.recvErr != nil || c.intr != nil || c.state != open {
		return
	}
	got, err := p.pipe.In(c.h.fd, int(n))
	switch {
	case err == nil && got == 0:
		c.recvErr = io.EOF
	case err == nil:
		p.held += got
	case err != sys.ErrAgain:
		c.recvErr = err
	}
}

// Fetch is TryFetch with nothing in hand, and waits when there is nothing: as Next does, and with its errors. Afterwards p holds bytes, or some are
// unread.
func (c *Conn) Fetch(p *Pipe, n int64) error {
	for looked := false; ; {
		c.TryFetch(p, n, 0)
		switch {
		case p.held > 0 || c.unread > 0:
			return nil
		case c.intr != nil:
			return c.intr
		case c.recvErr != nil:
			return c.recvErr
		case c.state != open:
			return net.ErrClosed
		case c.readBy != 0 && c.loop.now >= c.readBy:
			return os.ErrDeadlineExceeded
		}
		switch {
		case c.recv != recvNone:
		case looked: // bytes are there, and the pipe takes none: an urgent one is before them, which a receive goes past
			c.startRecv(true)
		default:
			looked = true
			c.recv = recvOne
			c.ops++
			c.loop.driver.readable(c)
		}
		c.reader, c.direct.reading = c.loop.current, true
		c.arm()
		c.loop.park()
		c.direct.reading = false
	}
}

// SendThrough sends the slices and then what p holds, and returns when the kernel has taken all. Its errors are Send's.
func (c *Conn) SendThrough(p *Pipe, bufs ...[]byte) error {
	for c.sendErr == nil && (c.sending || len(c.queue) > 0) { // what Write queued goes first
		if err := c.awaitSend(); err != nil {
			return err
		}
	}
	c.stall.begin(c.loop.now)
	for len(bufs) > 0 && len(bufs[0]) == 0 {
		bufs = bufs[1:]
	}
	for {
		if err := c.sendable(); err != nil {
			return err
		}
		var err error
		if len(bufs) > 0 {
			bufs, err = c.sendNow(bufs, p.held > 0)
		} else {
			var n int
			n, err = p.pipe.Out(c.h.fd, p.held)
			p.held -= n
		}
		switch {
		case err == nil && p.held == 0 && len(bufs) == 0:
			c.stall.check = 0
			return nil
		case err == nil:
			continue
		case err != sys.ErrAgain:
			c.sendErr = err
			return err
		}
		if err := c.awaitRoom(); err != nil {
			return err
		}
	}
}

// sendNow sends what the socket takes of bufs, and returns the rest.
func (c *Conn) sendNow(bufs [][]byte, more bool) ([][]byte, error) {
	n, err := sys.Send(c.h.fd, &c.loop.msg, bufs, more, true)
	for len(bufs) > 0 && n >= len(bufs[0]) {
		n -= len(bufs[0])
		bufs = bufs[1:]
	}
	if len(bufs) > 0 {
		bufs[0] = bufs[0][n:]
	}
	return bufs, err
}

// awaitRoom parks until the socket takes more.
func (c *Conn) awaitRoom() error {
	c.sending, c.direct.writing = true, true
	c.ops++
	c.loop.driver.writable(c)
	err := c.awaitSend()
	c.direct.writing = false
	return err
}
