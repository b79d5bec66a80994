package mux

import (
	"io"
	"net"
	"os"
	"time"

	"poise/internal/clock"
	"poise/internal/fiber"
	"poise/internal/h2"
	"poise/internal/msg"
	"poise/internal/stats"
)

// Stream is one request and its answer on a connection. One fiber reads and one writes at a time; they may be the same. Methods that fiber.Conn has too mean
// the same here.
//
//	client's: opened by its HEADERS --> served by a fiber, which ends with Finish
//	server's: Open --> Send numbers it --> Finish
type Stream struct {
	c  *Conn
	id uint32 // 0: it has not been sent yet

	// What has come. A client's stream has a request, a server's one answer after the other; trailers end both.
	request   msg.Request
	mem       []byte // of the request
	size      int    // of the header block that was given away last
	err       *h2.Error
	method    []byte // of the request that was sent: it says whether the answer has a body
	answers   []*answer
	free1     *answer // memory for the next
	final     bool    // the last answer's head has come
	trailers  msg.Fields
	trailMem  []byte
	chunks    []chunk
	unread    int
	ended     bool  // nothing more comes
	counted   bool  // the body's length was said, and
	remaining int64 // so much of it is still to come
	recvErr   error // what has broken the stream
	window    int   // what the peer may send
	most      int   // what that may grow to be again
	credit    int   // read, and not told yet
	updated   clock.Instant
	reader    fiber.Place
	readBy    clock.Instant

	// What is to be sent.
	sendWindow  int64
	block       []byte // memory for a header block
	pending     [][]byte
	left        int // bytes in pending
	inFlight    bool
	ending      bool // the stream ends with what is pending
	finished    bool // our end is sent
	busy        bool // a fiber is in Send
	orphan      bool // and gives the memory back when it is out
	sendErr     error
	writer      fiber.Place
	writeBy     clock.Instant
	stall       time.Duration
	progress    clock.Instant
	urgency     int
	incremental bool

	guard fiber.Guarded
	intr  error
	run   func()
}

// answer is the head of a response.
type answer struct {
	head msg.Response
	mem  []byte
	size int // of its header block
}

// chunk is a run of received bytes.
type chunk struct {
	mem      []byte
	from, to int
}

const smallChunk, largeChunk = 1 << 10, 16 << 10

// keepMemory bounds what free streams and chunks a loop keeps.
const keepMemory = 256

func (m *Memory) take(c *Conn) *Stream {
	var s *Stream
	if n := len(m.streams); n > 0 {
		s = m.streams[n-1]
		m.streams = m.streams[:n-1]
	} else {
		s = &Stream{}
		s.run = s.serve
		s.reader.Init(c.loop)
		s.writer.Init(c.loop)
	}
	s.c = c
	s.window, s.most, s.urgency = firstWindow, firstWindow, h2.DefaultUrgency
	return s
}

func (m *Memory) chunk(n int) []byte {
	if n <= smallChunk {
		return takeChunk(&m.small, smallChunk)
	}
	return takeChunk(&m.large, largeChunk)
}

func takeChunk(free *[][]byte, size int) []byte {
	n := len(*free)
	if n == 0 {
		return make([]byte, size)
	}
	b := (*free)[n-1]
	*free = (*free)[:n-1]
	return b
}

func (m *Memory) put(b []byte) {
	free := &m.large
	if len(b) == smallChunk {
		free = &m.small
	}
	if len(*free) < keepMemory {
		*free = append(*free, b)
	}
}

// serve is a client's stream's fiber.
func (s *Stream) serve() {
	defer s.Finish(h2.InternalError) // where Serve has not, since it has panicked
	s.c.cfg.Serve(s)
}

// Conn is the connection that the stream is on.
func (s *Stream) Conn() *Conn { return s.c }

// Request gives the head of the request away, with the memory that it lies in, and takes memory for the next. The error says why there is none.
func (s *Stream) Request(r *msg.Request, mem []byte) ([]byte, *h2.Error) {
	*r, s.request = s.request, *r
	mem, s.mem = s.mem, mem
	return mem, s.err
}

// HeadSize is how many bytes the head was that was given away last.
func (s *Stream) HeadSize() int { return s.size }

// requestHead takes in the header block of a request.
func (s *Stream) requestHead(block []byte, end bool) error {
	mem, err := s.c.dec.Request(&s.request, s.mem[:0], block, s.id, end)
	s.mem, s.size = mem, h2.HeaderSize+len(block)
	if err != nil {
		e := err.(*h2.Error)
		if e.Stream == 0 {
			return e
		}
		s.err = e // its fiber says so
	}
	s.ended = end
	s.counted, s.remaining = s.request.HasLength, s.request.Length
	if p, ok := priority(s.request.Fields); ok {
		s.urgency, s.incremental = h2.Urgency(p)
	}
	return nil
}

func priority(fields msg.Fields) ([]byte, bool) {
	for i := range fields {
		if f := &fields[i]; f.ID == msg.Other && len(f.Name) == len("priority") && string(f.Name) == "priority" {
			return f.Value, true
		}
	}
	return nil, false
}

// head takes in a header block that is not the first of a client's stream: an answer's, or trailers.
func (s *Stream) head(block []byte, end bool) error {
	c := s.c
	if !c.client || s.final {
		if !end {
			if err := c.dec.Skip(block); err != nil {
				return err
			}
			return &h2.Error{Code: h2.ProtocolError, Stream: s.id, Reason: "trailers that do not end the stream"}
		}
		var err error
		if s.trailers, s.trailMem, err = c.dec.Trailers(s.trailers[:0], s.trailMem[:0], block, s.id); err != nil {
			return err
		}
		if e := s.end(); e != nil {
			return e
		}
		return nil
	}
	if len(s.answers) >= maxAnswers {
		return &h2.Error{Code: h2.EnhanceYourCalm, Reason: "too many interim responses"}
	}
	a := s.free1
	if s.free1 = nil; a == nil {
		a = &answer{}
	}
	var err error
	if a.mem, err = c.dec.Response(&a.head, a.mem[:0], block, s.id, end, s.method); err != nil {
		return err
	}
	a.size = h2.HeaderSize + len(block)
	s.answers = append(s.answers, a)
	if a.head.Status >= 200 {
		s.final = true
		s.counted, s.remaining = a.head.Length >= 0, a.head.Length
	}
	if end {
		s.ended = true
		s.over()
	}
	s.reader.Wake()
	return nil
}

// maxAnswers is how many heads may wait to be read: as many interim ones as an exchange takes, and the final one.
const maxAnswers = 17

// Answered tells whether the head of an answer has come, and its status.
func (s *Stream) Answered() (status int, ok bool) {
	if len(s.answers) == 0 {
		return 0, false
	}
	return s.answers[0].head.Status, true
}

// Answer waits for the head of the next answer, and gives it away with the memory that it lies in; it takes memory for the next.
func (s *Stream) Answer(r *msg.Response, mem []byte) ([]byte, error) {
	for len(s.answers) == 0 {
		if err := s.unreadable(); err != nil {
			return mem, err
		}
		s.reader.Park(s.readBy)
	}
	a := s.answers[0]
	s.answers = append(s.answers[:0], s.answers[1:]...)
	*r, a.head = a.head, *r
	mem, a.mem, s.size = a.mem, mem, a.size
	s.free1 = a
	return mem, nil
}

// expect checks that a DATA frame may come, and counts it off the window.
func (s *Stream) expect(length, data int) *h2.Error {
	switch s.window -= length; {
	case s.ended:
		return &h2.Error{Code: h2.StreamClosed, Reason: "DATA after the stream's end"}
	case s.c.client && !s.final:
		return &h2.Error{Code: h2.ProtocolError, Reason: "DATA before the head"}
	case s.window < 0:
		return &h2.Error{Code: h2.FlowControlError, Reason: "more than the stream's window"}
	case s.counted && int64(data) > s.remaining:
		return &h2.Error{Code: h2.ProtocolError, Reason: "a body longer than its content-length"}
	}
	s.remaining -= int64(data)
	return nil
}

// push takes in bytes of the body.
func (s *Stream) push(b []byte) {
	s.unread += len(b)
	if n := len(s.chunks); n > 0 {
		last := &s.chunks[n-1]
		took := copy(last.mem[last.to:], b)
		last.to += took
		b = b[took:]
	}
	for len(b) > 0 {
		size := len(b)
		if len(s.chunks) > 0 {
			size = largeChunk
		}
		k := chunk{mem: s.c.mem.chunk(size)}
		k.to = copy(k.mem, b)
		b = b[k.to:]
		s.chunks = append(s.chunks, k)
	}
	s.reader.Wake()
}

// end is the end of what the peer sends.
func (s *Stream) end() *h2.Error {
	if s.counted && s.remaining > 0 {
		return &h2.Error{Code: h2.ProtocolError, Stream: s.id, Reason: "a body shorter than its content-length"}
	}
	s.ended = true
	s.over()
	s.reader.Wake()
	return nil
}

// over takes a stream off its connection that both sides have ended.
func (s *Stream) over() {
	if s.ended && s.finished {
		s.remove()
	}
}

func (s *Stream) remove() {
	if s.id != 0 && s.c.streams[s.id] == s {
		delete(s.c.streams, s.id)
	}
}

// broke ends the stream for both fibers: nothing more comes, and nothing more can be sent.
func (s *Stream) broke(err error) {
	if s.recvErr == nil {
		s.recvErr = err
	}
	s.stopped(err)
	s.reader.Wake()
	if s.guard != nil {
		s.guard.Left(s.leaving())
	}
}

// leaving is the stream's end as its guard hears of it: never that in good order, since one that has gone waits for no answer.
func (s *Stream) leaving() error {
	if s.recvErr == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return s.recvErr
}

// stopped ends the sending.
func (s *Stream) stopped(err error) {
	if s.sendErr == nil {
		s.sendErr = err
	}
	if !s.inFlight {
		s.writer.Wake()
	}
}

// Guard is fiber.Client's.
func (s *Stream) Guard(g fiber.Guarded) {
	if s.guard = g; g == nil {
		return
	}
	if s.recvErr != nil {
		g.Left(s.leaving())
	} else if s.intr != nil {
		g.Left(s.intr)
	}
}

// Broken is fiber.Client's: an end in good order is nobody's leaving.
func (s *Stream) Broken() error {
	if s.recvErr != nil {
		return s.leaving()
	}
	return nil
}

// Left is fiber.Guarded's.
func (s *Stream) Left(err error) {
	if err != io.EOF {
		s.Interrupt(err)
	}
}

// Interrupt ends what fibers wait for on the stream, now and later, with err.
func (s *Stream) Interrupt(err error) {
	if s.intr == nil {
		s.intr = err
	}
	if w, ok := s.guard.(*fiber.Wait); ok {
		w.Left(err)
	}
	s.reader.Wake()
	if !s.inFlight {
		s.writer.Wake()
	}
}

// Buffered returns unread bytes of the body that are at hand, until the next Discard. Empty: there are none yet.
func (s *Stream) Buffered() []byte {
	if len(s.chunks) == 0 {
		return nil
	}
	k := &s.chunks[0]
	return k.mem[k.from:k.to]
}

// Unread is how many bytes of the body have come and were not discarded.
func (s *Stream) Unread() int { return s.unread }

// Ended tells whether the body has ended, and all of it is read.
func (s *Stream) Ended() bool { return s.ended && s.unread == 0 && s.recvErr == nil }

// Whole tells whether all of the body has come.
func (s *Stream) Whole() bool { return s.ended && s.recvErr == nil }

// Trailers are those that ended the body; they are valid until Finish.
func (s *Stream) Trailers() msg.Fields { return s.trailers }

// Discard marks bytes as read, which lets the peer send as many more.
func (s *Stream) Discard(n int) {
	if n == 0 {
		return
	}
	k := &s.chunks[0]
	k.from += n
	s.unread -= n
	if k.from == k.to {
		s.c.mem.put(k.mem)
		last := len(s.chunks) - 1
		copy(s.chunks, s.chunks[1:])
		s.chunks[last] = chunk{}
		s.chunks = s.chunks[:last]
	}
	s.read(n)
	s.c.read(n)
}

// growWithin is how quickly half of a window must be used up for it to grow: a peer that far away, or further, could have used more.
const growWithin = 100 * time.Millisecond

// read gives the peer back what was taken of the stream's window, and more where it is quick to use it.
func (s *Stream) read(n int) {
	if s.credit += n; s.credit < s.most/2 || s.ended || s.recvErr != nil {
		return
	}
	now := s.c.loop.Now()
	if s.most < maxWindow && s.updated != 0 && now.Sub(s.updated) < growWithin {
		more := min(s.most, maxWindow-s.most)
		s.most += more
		s.credit += more
	}
	s.updated = now
	s.c.out = h2.AppendWindow(s.c.out, s.id, s.credit)
	s.window += s.credit
	s.credit = 0
	s.c.flush()
}

// ReadBy sets the instant after which a wait for what comes fails; zero: none.
func (s *Stream) ReadBy(t clock.Instant) {
	s.readBy = t
	s.reader.By(t)
}

func (s *Stream) unreadable() error {
	switch {
	case s.intr != nil:
		return s.intr
	case s.recvErr != nil:
		return s.recvErr
	case s.ended:
		return io.EOF
	case s.c == nil:
		return net.ErrClosed
	case s.readBy != 0 && s.c.loop.Now() >= s.readBy:
		return os.ErrDeadlineExceeded
	}
	return nil
}

// Next waits for bytes of the body, unless some are at hand. At its end it returns io.EOF.
func (s *Stream) Next() error {
	for s.unread == 0 {
		if err := s.unreadable(); err != nil {
			return err
		}
		s.reader.Park(s.readBy)
	}
	return nil
}

// Fill waits for more than has come.
func (s *Stream) Fill() error {
	unread, answers := s.unread, len(s.answers)
	for s.unread == unread && len(s.answers) == answers {
		if err := s.unreadable(); err != nil {
			return err
		}
		s.reader.Park(s.readBy)
	}
	return nil
}

// NextOr waits until something of an answer is there, or *done is set and Nudge was called.
func (s *Stream) NextOr(done *bool) error {
	for len(s.answers) == 0 && s.unread == 0 && !*done {
		if err := s.unreadable(); err != nil {
			return err
		}
		s.reader.Park(s.readBy)
	}
	return nil
}

// Nudge has the fiber that waits for what comes look again whether it has reason to.
func (s *Stream) Nudge() { s.reader.Wake() }

// Receive is for connections alone: a stream receives what its window lets come.
func (s *Stream) Receive(fiber.Intake) {}

// Listen is for connections alone: a stream always hears of its end.
func (s *Stream) Listen() {}

// WriteBy sets the instant after which a wait to send fails; zero: none.
func (s *Stream) WriteBy(t clock.Instant) { s.writeBy = t }

// StallAfter makes a Send fail when the peer takes nothing for d; 0: never.
func (s *Stream) StallAfter(d time.Duration) { s.stall = d }

// Finish ends the stream for its fiber: one that is not over is reset. code says why; NoError: the answer is whole, and the rest of the request is not wanted.
func (s *Stream) Finish(code h2.Code) {
	c := s.c
	if c == nil || s.orphan {
		return
	}
	if s.id != 0 && c.streams[s.id] == s {
		delete(c.streams, s.id)
		if code == h2.NoError && !c.client && !s.finished { // it is not whole
			code = h2.Cancel
		}
		if c.err == nil {
			_ = c.reset(s.id, code)
		}
	}
	c.read(s.unread)
	if s.busy {
		s.orphan = true
		s.broke(net.ErrClosed)
	} else {
		s.free()
	}
	c.active--
	c.owner.Count(stats.StreamEnded)
	if c.active == 0 {
		c.idleSince = c.loop.Now()
		if c.idle > 0 && c.fc.Handler() != nil && !c.away {
			c.fc.IdleBy(c.idleSince.Add(c.idle))
		}
	}
	c.settle()
	if c.client && c.err == nil {
		c.owner.Freed(c)
	}
}

// free gives the stream's memory back.
func (s *Stream) free() {
	m := s.c.mem
	for i := range s.chunks {
		m.put(s.chunks[i].mem)
	}
	clear(s.chunks)
	s.reader.Leave()
	s.writer.Leave()
	if len(s.answers) > 0 {
		s.free1 = s.answers[0]
	}
	clear(s.answers)
	kept := Stream{
		request: s.request, mem: s.mem, free1: s.free1, trailers: s.trailers[:0], trailMem: s.trailMem[:0], chunks: s.chunks[:0], answers: s.answers[:0],
		block: s.block[:0], method: s.method[:0], run: s.run, reader: s.reader, writer: s.writer,
	}
	if len(m.streams) >= keepMemory || cap(s.mem)+cap(s.trailMem)+cap(s.block) > largeChunk {
		*s = Stream{run: s.run}
		return
	}
	*s = kept
	m.streams = append(m.streams, s)
}
