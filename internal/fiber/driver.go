package fiber

import (
	"time"

	"poise/internal/sys"
)

// driver is what a loop waits with. It is completion-shaped: a call starts an operation, and a method of the Conn or Listener
// tells its end, from within complete; only a send's end may be told from within send. Every operation ends exactly once, also after a cancel.
//
// Ends are told to Conn.received, Conn.sentSome, Conn.ready, Listener.accepted and Listener.acceptEnded.
type driver interface {
	name() string

	// wait submits what was started and lets the loop sleep for at most d; negative: without end. It calls Loop.sleep and Loop.awake.
	wait(d time.Duration)
	// flush submits what was started, without a wait.
	flush()
	// complete tells what has ended, and lets fibers run in between.
	complete()
	// wake ends a sleep. It is called from any goroutine.
	wake()

	// listen takes the listening descriptor over and accepts from it until stopAccept.
	listen(ln *Listener, fd int) error
	accept(ln *Listener)
	// adopt begins to work with an accepted connection. After an error the socket is closed, and c.h empty.
	adopt(c *Conn) error
	stopAccept(ln *Listener) // ends accept; what is queued stays in the kernel
	// drainAccept takes what is queued, and for drainAcceptTime what was on its way; then the listening socket is closed. A driver may do it in two
	// steps with the listener's timer: its end calls endDrainAccept.
	drainAccept(ln *Listener)
	endDrainAccept(ln *Listener)
	// unlisten closes the listening socket at once; nothing more is told of it.
	unlisten(ln *Listener)

	// recv starts a receive as c.armed says: Heads may go on until it is cancelled, the others are told once.
	recv(c *Conn)
	// readable starts a wait for bytes that leaves them in the socket, just after a call has found none; its end is told to c.received, as a
	// receive's that brought nothing.
	readable(c *Conn)
	cancelRecv(c *Conn)
	// pending tells whether bytes, or an end, wait in the socket. It asks the system where c.intake leaves bytes there: with Heads they are received as they
	// come.
	pending(c *Conn) bool
	// direct tells whether system calls on its sockets can be made beside it; setDirect makes those on c not wait, as c.direct.on says.
	direct() bool
	setDirect(c *Conn)
	// writable starts a wait for room in the socket, just after a call has found none; its end is told to c.ready.
	writable(c *Conn)
	// send sends all of c.out.
	send(c *Conn)
	cancelSend(c *Conn)
	// acked is a count that grows with what the peer's system has taken of what was sent; 0 where it cannot be known.
	acked(c *Conn) uint64
	// connect opens a socket to c.peer; the end comes to c.ready, an error to open a socket returns at once.
	connect(c *Conn) error
	// shutdown sends a FIN. Nothing is being sent.
	shutdown(c *Conn)
	// cancelAll ends all operations of c; their ends are told.
	cancelAll(c *Conn)
	// release closes the socket. Nothing of it is in flight.
	release(c *Conn, reset bool)

	buffersInUse() (head, body int)
	close()
}

// handle is the driver's part of a Conn or Listener.
type handle struct {
	fd   int
	slot uint32
	// ready is epoll's, net is the net driver's.
	ready readiness
	net   *netHandle
}

// buffer is memory that bytes were received into. put gives it back.
type buffer struct {
	b    []byte
	slab *sys.Slab
	id   int32
}

func (b *buffer) put() {
	if b.slab != nil {
		b.slab.Put(b.id)
	}
	*b = buffer{}
}
