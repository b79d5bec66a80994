// Package mux carries many streams over one connection: HTTP/2, for both of its sides, on fibers.
//
// A connection has no fiber of its own. When bytes have come, one reads the frames that are at hand and gives what they bring to the streams; when there is
// something to send, another sends the frames of all streams together. A stream is used by the fiber that serves it, as if it were a connection. Windows
// bound what is received and not yet read, and budgets what a peer may have us do for nothing. The package knows frames and heads by h2 and never
// looks into a head. Start reading at Conn, then read.go and Stream.
package mux

import (
	"errors"
	"time"

	"poise/internal/clock"
	"poise/internal/fiber"
	"poise/internal/h1"
	"poise/internal/h2"
	"poise/internal/stats"
)

const (
	// firstWindow is how much may come of a body before it is read: the protocol's own beginning. A stream whose bytes are read at once is given more,
	// up to maxWindow. [RFC 9113 section 6.9.2]
	firstWindow, maxWindow = 65535, 1 << 20
	// connWindow is how much may come on a connection before it is read, of all streams together: it bounds the memory that a client can have us hold.
	// One stream that is not read leaves room for others.
	connWindow = 2 << 20
	// maxOut is how much may wait to be sent before nothing more is copied there, and no frame is read that could have an answer.
	maxOut = 64 << 10
	// framesAtOnce is how many frames are read before others of the loop get their turn.
	framesAtOnce = 256
	// keepResets is for how many streams that we have reset it is known that what still comes on them is no violation: more than are open at once, since
	// whoever has opened them all may take them all back, and each has frames on the way.
	keepResets = 256
	// drainGrace is how long a client may still open streams that has been told to go elsewhere: what it has sent meanwhile is on its way.
	drainGrace = time.Second
	// lastStream is when a connection has had enough streams: numbers end at 2^31-1.
	lastStream = 1 << 30
)

// Errors of streams and connections.
var (
	// ErrRefused: the peer has not looked at the stream, and what it was to do can be asked for elsewhere.
	ErrRefused = errors.New("the peer has refused the stream before it looked at it")
	// ErrGone: the connection has ended in good order, with streams on it.
	ErrGone = errors.New("the peer has ended the connection")

	errPanicked = errors.New("a fiber of the connection has panicked")
)

// ResetError is the peer's end of a stream.
type ResetError struct{ Code h2.Code }

func (e *ResetError) Error() string { return "the peer has reset the stream: " + e.Code.String() }

// Config is what connections have in common. It does not change.
type Config struct {
	Heads *h1.Limits
	// Streams is how many streams a client may have at once.
	Streams int
	// Serve serves a client's stream, in a fiber of the stream's own, which ends with it.
	Serve func(*Stream)
	// Draining tells whether clients are to go elsewhere; nil: never.
	Draining func() bool
	// Idle is how long a connection may be without streams, Head how long a head may be under way, Write how long the peer may take nothing. 0: for ever.
	Idle, Head, Write time.Duration
}

// Memory is what the connections of a loop share: free memory.
type Memory struct {
	streams      []*Stream
	small, large [][]byte
}

// Owner is whose connection it is: a client's or a server's side of it.
type Owner interface {
	// Freed is called when the connection can take a stream more, or none any more; of clients' connections never.
	Freed(c *Conn)
	// Count is told what happens.
	Count(e stats.StreamEvent)
}

// Conn is a connection of HTTP/2.
//
//	            frames at hand              GOAWAY sent, or received          no stream is left
//	waits -------------------------> reads ---------------------> draining ----------------> closed
//	  ^   (Await: it has no fiber)    |  |                                                     ^
//	  +-------------------------------+  +------ an error: GOAWAY, all streams break ----------+
type Conn struct {
	fc     *fiber.Conn
	loop   *fiber.Loop
	cfg    *Config
	mem    *Memory
	owner  Owner
	client bool // we have dialled, and open the streams
	dec    *h2.Decoder
	peer   h2.Settings

	streams map[uint32]*Stream
	// active counts the streams whose fiber has not ended, be it that the peer has ended them: what they have caused is still under way.
	active int
	last   uint32   // the highest stream that was opened
	resets []uint32 // streams that we have reset lately, keepResets at most
	nreset int

	prefaced bool // the client's preface has come
	settled  bool // the peer's first SETTINGS have
	left     int  // of a DATA frame: bytes of its body that have not come yet
	padding  int  // and behind those
	of       h2.Frame
	block    []byte // of a header block whose end has not come
	blockOf  h2.Frame
	pieces   int
	blockBy  clock.Instant
	window   int64 // what the peer may send
	credit   int   // read, and not told yet

	out, flight []byte
	sendWindow  int64
	waiting     []*Stream // that have data to send, the most urgent first
	gathered    []gathered
	bufs        [][]byte
	heads       [3 * h2.HeaderSize]byte
	writing     bool
	reading     bool
	run         func() // c.write, kept
	room        fiber.Place
	shrunk      bool // the peer's table has shrunk, which the next block says

	budget    budget
	idle      time.Duration // how long it may be without streams; 0: for ever
	idleSince clock.Instant
	away      bool // no stream begins any more
	told      bool // the peer knows the last stream that counts
	refuses   bool // the server has said that it takes no more streams
	most      int  // how many streams the server has turned out to bear, whatever it says; 0: not known
	drainBy   clock.Instant
	closing   bool // closed once all is sent
	err       error
}

// New makes fc a connection of HTTP/2. Its fiber's work with it ends with a call of Serve for a client's connection; a dialled one, of which the caller keeps
// count, is ready to open streams.
func New(fc *fiber.Conn, cfg *Config, mem *Memory, owner Owner, dialled bool) *Conn {
	c := &Conn{
		fc: fc, loop: fc.Loop(), cfg: cfg, mem: mem, owner: owner, client: dialled, dec: h2.NewDecoder(cfg.Heads), peer: h2.Defaults(),
		idle: cfg.Idle, streams: map[uint32]*Stream{}, window: connWindow, sendWindow: firstWindow,
	}
	c.room.Init(c.loop)
	c.run = c.write
	c.idleSince = c.loop.Now()
	c.budget.begin(c.idleSince)
	fc.ReadBy(0)
	fc.WriteBy(0)
	fc.StallAfter(cfg.Write)
	if dialled {
		c.prefaced = true
		c.out = append(c.out, h2.Preface...)
		c.out = h2.AppendSettings(c.out, h2.Setting{ID: h2.SettingPush, Value: 0}, h2.Setting{ID: h2.SettingStreams, Value: 0})
	} else {
		c.out = h2.AppendSettings(c.out,
			h2.Setting{ID: h2.SettingStreams, Value: uint32(cfg.Streams)}, h2.Setting{ID: h2.SettingHeaderList, Value: uint32(cfg.Heads.Size())},
			h2.Setting{ID: h2.SettingConnect, Value: 1})
	}
	c.out = h2.AppendWindow(c.out, 0, connWindow-firstWindow)
	c.flush()
	if dialled {
		c.rest()
	}
	return c
}

// Owner is whose connection it is.
func (c *Conn) Owner() Owner { return c.owner }

// Dialled tells whether it is a server's.
func (c *Conn) Dialled() bool { return c.client }

// Socket is the connection below.
func (c *Conn) Socket() *fiber.Conn { return c.fc }

// Room is how many streams can be opened now: one, until it is known how many the server takes.
func (c *Conn) Room() int {
	most := int64(c.peer.Streams)
	switch {
	case c.Over():
		return 0
	case !c.settled:
		most = 1
	case c.most > 0:
		most = min(most, int64(c.most))
	}
	return int(max(0, most-int64(c.active)))
}

// Settled tells whether it is known how many streams the server takes.
func (c *Conn) Settled() bool { return c.settled }

// Connects tells whether the server takes a CONNECT that asks for another protocol. [RFC 8441 section 3]
func (c *Conn) Connects() bool { return c.peer.Connect }

// IdleAfter sets how long the connection may be without streams.
func (c *Conn) IdleAfter(d time.Duration) { c.idle = d }

// Retire opens no more streams on a server's connection, which is closed when those that there are have ended.
func (c *Conn) Retire() {
	if c.Over() {
		return
	}
	c.away = true
	c.out = h2.AppendGoAway(c.out, 0, h2.NoError, "")
	c.flush()
	c.settle()
	c.owner.Freed(c)
}

// Over tells that no stream can ever be opened again.
func (c *Conn) Over() bool { return c.err != nil || c.away || c.closing || c.last >= lastStream }

// Active is how many streams are at work.
func (c *Conn) Active() int { return c.active }

// Open opens a stream; there was room for one.
func (c *Conn) Open() *Stream {
	s := c.mem.take(c)
	c.active++
	c.owner.Count(stats.StreamOpened)
	return s
}

// enter numbers a stream, with its first frame.
func (c *Conn) enter(s *Stream) {
	if c.last == 0 {
		c.last = 1
	} else {
		c.last += 2
	}
	s.id = c.last
	s.sendWindow = int64(c.peer.Window)
	c.streams[s.id] = s
}

// Drain has the client open no more streams, and closes the connection when those that there are have ended. Those that the client opens before it
// hears of it are served: only a second GOAWAY says which stream was the last.
func (c *Conn) Drain() {
	if c.away || c.closing || c.err != nil {
		return
	}
	c.drainBy = c.loop.Now().Add(drainGrace)
	c.out = h2.AppendGoAway(c.out, 1<<31-1, h2.NoError, "")
	c.flush()
	c.away = true
	if c.fc.Handler() != nil {
		c.fc.IdleBy(c.drainBy)
	}
}

// endDrain says which stream is the last.
func (c *Conn) endDrain() {
	c.told = true
	c.out = h2.AppendGoAway(c.out, c.last, h2.NoError, "")
	c.flush()
	c.settle()
}

// settle closes a connection that has done all that it was for.
func (c *Conn) settle() {
	if c.err != nil || c.closing || c.active > 0 {
		return
	}
	if (c.told && !c.client) || (c.client && c.away) {
		c.close()
	}
}

// close closes once all is sent.
func (c *Conn) close() {
	c.closing = true
	c.flush()
	if !c.writing {
		_ = c.fc.Close()
	}
}

// Close ends the connection in good order; what streams there are break.
func (c *Conn) Close() {
	if c.err == nil && !c.closing {
		c.out = h2.AppendGoAway(c.out, c.last, h2.NoError, "")
		c.fail(ErrGone)
	}
}

// violated ends the connection: the peer has done what it must not.
func (c *Conn) violated(e *h2.Error) {
	if e.Code == h2.EnhanceYourCalm {
		c.owner.Count(stats.ConnFlood)
	} else {
		c.owner.Count(stats.ConnViolation)
	}
	last := c.last
	if c.client {
		last = 0
	}
	c.out = h2.AppendGoAway(c.out, last, e.Code, e.Reason)
	c.fail(e)
}

// fail breaks all streams. What is in out still goes, if the socket takes it.
func (c *Conn) fail(err error) {
	if c.err != nil {
		return
	}
	c.err = err
	c.away = true
	for _, s := range c.streams {
		s.broke(err)
	}
	c.room.Wake()
	if len(c.out) > 0 && c.fc.Broken() == nil {
		c.close()
	} else if !c.writing {
		c.fc.Abort()
	}
	if c.client {
		c.owner.Freed(c)
	}
}
