package testkit

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// http2Conn is one end of a connection of HTTP/2: frames, windows and streams. What its streams say is text of HTTP/1.1.
type http2Conn struct {
	net.Conn
	role http2Role

	wmu   sync.Mutex // guards what is sent: the fields below, and fr's half that writes
	out   *bufio.Writer
	fr    *http2.Framer
	enc   *hpack.Encoder
	block bytes.Buffer

	mu      sync.Mutex // guards the fields below, and those of its streams that say so
	changed *sync.Cond
	window  int64 // what may be sent on all streams
	initial int64 // and on one that begins
	streams map[uint32]*http2Stream
	credit  int   // of bodies received, and not told yet
	err     error // why the connection is over
	away    error // what GOAWAY said; io.EOF: nothing bad
}

// http2Role is what a client and a server do differently.
type http2Role interface {
	// headers takes in a head or trailers.
	headers(f *http2.MetaHeadersFrame)
	// ended is told once that the connection is over.
	ended()
	// complain fails the test.
	complain(err error)
}

const (
	firstWindow = 65535
	maxData     = 16384
	// wideWindow is what a connection lets come beyond its streams' windows: only those hold something up.
	wideWindow = 1 << 30
)

func newHTTP2Conn(c net.Conn, role http2Role) *http2Conn {
	k := &http2Conn{Conn: c, role: role, out: bufio.NewWriterSize(c, 64<<10), window: firstWindow, initial: firstWindow, streams: map[uint32]*http2Stream{}}
	k.fr = http2.NewFramer(k.out, bufio.NewReaderSize(c, 64<<10))
	k.fr.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	k.fr.MaxHeaderListSize = 16 << 20
	k.enc = hpack.NewEncoder(&k.block)
	k.changed = sync.NewCond(&k.mu)
	return k
}

// greet says what each side says first.
func (k *http2Conn) greet(preface string) {
	_ = k.write(func() {
		_, _ = k.out.WriteString(preface)
		_ = k.fr.WriteSettings(http2.Setting{ID: http2.SettingEnablePush, Val: 0})
		_ = k.fr.WriteWindowUpdate(0, wideWindow)
	})
}

// write sends the frames that f writes in one piece, as far as they fit the buffer.
func (k *http2Conn) write(f func()) error {
	k.wmu.Lock()
	defer k.wmu.Unlock()
	f()
	return k.out.Flush()
}

// heads sends a head or trailers, with what follows them; wmu is held.
func (k *http2Conn) heads(id uint32, fields []hpack.HeaderField, end bool) {
	k.block.Reset()
	for _, f := range fields {
		_ = k.enc.WriteField(f)
	}
	b := k.block.Bytes()
	n := min(len(b), maxData)
	_ = k.fr.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: b[:n], EndStream: end, EndHeaders: n == len(b)})
	for b = b[n:]; len(b) > 0; b = b[n:] {
		n = min(len(b), maxData)
		_ = k.fr.WriteContinuation(id, n == len(b), b[:n])
	}
}

// run takes in frames until the connection is over.
func (k *http2Conn) run() {
	for {
		f, err := k.fr.ReadFrame()
		if stream := (http2.StreamError{}); errors.As(err, &stream) {
			k.role.complain(fmt.Errorf("poise has sent what HTTP/2 forbids: %w", err))
			continue
		}
		if err != nil {
			k.over(err)
			return
		}
		k.frame(f)
	}
}

func (k *http2Conn) frame(f http2.Frame) {
	switch f := f.(type) {
	case *http2.SettingsFrame:
		k.settings(f)
	case *http2.PingFrame:
		if !f.IsAck() {
			_ = k.write(func() { _ = k.fr.WritePing(true, f.Data) })
		}
	case *http2.WindowUpdateFrame:
		k.mu.Lock()
		if s := k.streams[f.StreamID]; s != nil {
			s.window += int64(f.Increment)
		} else if f.StreamID == 0 {
			k.window += int64(f.Increment)
		}
		k.changed.Broadcast()
		k.mu.Unlock()
	case *http2.RSTStreamFrame:
		if s := k.stream(f.StreamID); s != nil {
			s.reset(f.ErrCode)
		}
	case *http2.GoAwayFrame:
		k.mu.Lock()
		k.away = io.EOF
		if f.ErrCode != http2.ErrCodeNo {
			k.away = fmt.Errorf("GOAWAY %v: %q", f.ErrCode, f.DebugData())
		}
		k.mu.Unlock()
	case *http2.MetaHeadersFrame:
		k.role.headers(f)
	case *http2.DataFrame:
		k.give(int(f.Length))
		if s := k.stream(f.StreamID); s != nil {
			s.received(f)
		}
	}
}

func (k *http2Conn) settings(f *http2.SettingsFrame) {
	if f.IsAck() {
		return
	}
	_ = f.ForeachSetting(func(s http2.Setting) error {
		k.mu.Lock()
		defer k.mu.Unlock()
		if s.ID == http2.SettingInitialWindowSize {
			for _, st := range k.streams {
				st.window += int64(s.Val) - k.initial
			}
			k.initial = int64(s.Val)
			k.changed.Broadcast()
		}
		return nil
	})
	_ = k.write(func() {
		if size, ok := f.Value(http2.SettingHeaderTableSize); ok {
			k.enc.SetMaxDynamicTableSizeLimit(size)
		}
		_ = k.fr.WriteSettingsAck()
	})
}

// give tells the peer that it may send as much again as it has sent.
func (k *http2Conn) give(n int) {
	k.mu.Lock()
	k.credit += n
	n = k.credit
	if n >= wideWindow/2 {
		k.credit = 0
	}
	k.mu.Unlock()
	if n >= wideWindow/2 {
		_ = k.write(func() { _ = k.fr.WriteWindowUpdate(0, uint32(n)) })
	}
}

func (k *http2Conn) stream(id uint32) *http2Stream {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.streams[id]
}

// over ends all streams, for the reason that reading has failed for.
func (k *http2Conn) over(err error) {
	k.mu.Lock()
	if k.away != nil && k.away != io.EOF {
		err = k.away
	}
	if k.err == nil {
		k.err = err
	}
	var all []*http2Stream
	for _, s := range k.streams {
		all = append(all, s)
	}
	k.changed.Broadcast()
	k.mu.Unlock()
	for _, s := range all {
		s.broke(err)
	}
	k.role.ended()
}

// http2Stream is one request and its answer.
type http2Stream struct {
	id uint32
	k  *http2Conn
	in inbox
	// waits, where set, is told when sending begins and ends to wait for a window.
	waits func(begins bool)

	// Guarded by k.mu.
	window   int64
	sent     bool  // our side's end
	got      bool  // the peer's
	sendErr  error // why nothing can be sent any more
	deadline time.Time

	// What is received is in the hands of the connection's goroutine.
	chunked bool  // its text is
	length  int64 // what is still to come; -1: that was not said
	credit  int   // read, and not told yet; guarded by k.mu
}

// open adds a stream, which has both sides ahead of it. mu is held.
func (k *http2Conn) open(id uint32) *http2Stream {
	s := &http2Stream{id: id, k: k, window: k.initial, length: -1}
	s.in.init(s.give)
	k.streams[id] = s
	return s
}

// head puts a head's text before what is read; end: nothing follows it.
func (s *http2Stream) head(head string, fields []hpack.HeaderField, end, bodiless bool) {
	s.chunked = !bodiless
	for _, f := range fields {
		if !f.IsPseudo() {
			head += lineOf(f)
		}
		if f.Name == "content-length" {
			s.chunked = false
			if _, err := fmt.Sscan(f.Value, &s.length); err != nil {
				s.k.role.complain(fmt.Errorf("poise has sent Content-Length: %q", f.Value))
			}
		}
	}
	if bodiless {
		s.length = -1
	}
	if s.chunked {
		head += "Transfer-Encoding: chunked\r\n"
	}
	s.in.put(head+"\r\n", 0)
	if end {
		s.end("")
	}
}

// received takes in a part of the body.
func (s *http2Stream) received(f *http2.DataFrame) {
	b := f.Data()
	if s.length >= 0 {
		if s.length -= int64(len(b)); s.length < 0 {
			s.k.role.complain(errors.New("poise has sent more than its Content-Length"))
			return
		}
	}
	switch {
	case len(b) == 0:
		s.give(int(f.Length))
	case s.chunked:
		s.in.put(fmt.Sprintf("%x\r\n%s\r\n", len(b), b), int(f.Length))
	default:
		s.in.put(string(b), int(f.Length))
	}
	if f.StreamEnded() {
		s.end("")
	}
}

// tail takes in trailers.
func (s *http2Stream) tail(fields []hpack.HeaderField) {
	if !s.chunked && len(fields) > 0 {
		s.k.role.complain(fmt.Errorf("poise has sent trailers behind a Content-Length: %v", fields))
	}
	var lines string
	for _, f := range fields {
		lines += lineOf(f)
	}
	s.end(lines)
}

func (s *http2Stream) end(trailers string) {
	if s.chunked {
		s.in.put("0\r\n"+trailers+"\r\n", 0)
	}
	if s.length > 0 {
		s.k.role.complain(fmt.Errorf("poise has sent %d bytes less than its Content-Length", s.length))
	}
	s.k.mu.Lock()
	s.got = true
	over := s.sent
	s.k.mu.Unlock()
	if over {
		s.finished()
	}
}

// finished follows when both sides have ended well.
func (s *http2Stream) finished() {
	s.forget()
	s.in.close(errFinished)
}

// errFinished is read behind a stream that both sides have ended well.
var errFinished = errors.New("the stream is finished")

func (s *http2Stream) forget() {
	s.k.mu.Lock()
	defer s.k.mu.Unlock()
	delete(s.k.streams, s.id)
}

// errReset is what a reset looks like to who reads.
var errReset = &net.OpError{Op: "read", Net: "tcp", Err: os.NewSyscallError("read", syscall.ECONNRESET)}

// reset is the peer's.
func (s *http2Stream) reset(code http2.ErrCode) {
	s.k.mu.Lock()
	got := s.got
	s.k.mu.Unlock()
	s.forget()
	if got && code == http2.ErrCodeNo { // it has said all, and wants to hear no more
		s.broke(io.EOF)
		return
	}
	s.broke(errReset)
}

// broke ends both directions.
func (s *http2Stream) broke(err error) {
	s.k.mu.Lock()
	if s.sendErr == nil {
		s.sendErr = &net.OpError{Op: "write", Net: "tcp", Err: os.NewSyscallError("write", syscall.EPIPE)}
	}
	s.k.changed.Broadcast()
	s.k.mu.Unlock()
	s.in.close(err)
}

// abort resets the stream.
func (s *http2Stream) abort(code http2.ErrCode) {
	s.forget()
	_ = s.k.write(func() { _ = s.k.fr.WriteRSTStream(s.id, code) })
	s.broke(io.EOF)
}

// data sends a part of the body, as its window lets it.
func (s *http2Stream) data(b []byte, end bool) (n int, err error) {
	for {
		var k int
		if k, err = s.take(len(b) - n); err != nil {
			return n, err
		}
		last := end && n+k == len(b)
		if last {
			s.setSent()
		}
		_ = s.k.fr.WriteData(s.id, last, b[n:][:k])
		if n += k; n == len(b) {
			if last && s.bothEnded() {
				s.finished()
			}
			return n, nil
		}
	}
}

// heads sends a head, or trailers.
func (s *http2Stream) heads(fields []hpack.HeaderField, end bool) error {
	s.k.mu.Lock()
	err := s.sendErr
	s.sent = s.sent || end
	s.k.mu.Unlock()
	if err != nil {
		return err
	}
	s.k.heads(s.id, fields, end)
	if end && s.bothEnded() {
		s.finished()
	}
	return nil
}

func (s *http2Stream) setSent() {
	s.k.mu.Lock()
	defer s.k.mu.Unlock()
	s.sent = true
}

func (s *http2Stream) bothEnded() bool {
	s.k.mu.Lock()
	defer s.k.mu.Unlock()
	return s.sent && s.got
}

// take takes up to n bytes off the windows, and waits until there is room. What was written before is sent meanwhile; wmu is held but then.
func (s *http2Stream) take(n int) (int, error) {
	k := s.k
	k.mu.Lock()
	defer k.mu.Unlock()
	for {
		if s.sendErr != nil {
			return 0, s.sendErr
		}
		if n == 0 {
			return 0, nil
		}
		if got := min(int64(n), s.window, k.window, maxData); got > 0 {
			s.window -= got
			k.window -= got
			return int(got), nil
		}
		if !s.deadline.IsZero() && !time.Now().Before(s.deadline) {
			return 0, os.ErrDeadlineExceeded
		}
		k.mu.Unlock()
		_ = k.out.Flush()
		k.wmu.Unlock()
		if s.waits != nil {
			s.waits(true)
		}
		k.mu.Lock()
		if !s.canSend() {
			k.changed.Wait()
		}
		k.mu.Unlock()
		if s.waits != nil {
			s.waits(false)
		}
		k.wmu.Lock()
		k.mu.Lock()
	}
}

// canSend tells whether there is no reason to wait. mu is held.
func (s *http2Stream) canSend() bool {
	return s.sendErr != nil || min(s.window, s.k.window) > 0 || !s.deadline.IsZero() && !time.Now().Before(s.deadline)
}

// writeBy sets the time after which a wait to send fails; zero: none.
func (s *http2Stream) writeBy(t time.Time) {
	s.k.mu.Lock()
	defer s.k.mu.Unlock()
	s.deadline = t
	if !t.IsZero() {
		time.AfterFunc(time.Until(t), func() {
			s.k.mu.Lock() // so that nobody is between looking at the time and waiting
			defer s.k.mu.Unlock()
			s.k.changed.Broadcast()
		})
	}
}

// give lets the peer send as much again as was read: now and then, since frames that say so are not free.
func (s *http2Stream) give(n int) {
	s.k.mu.Lock()
	s.credit += n
	n = s.credit
	if n < firstWindow/4 || s.got || s.sendErr != nil {
		s.k.mu.Unlock()
		return
	}
	s.credit = 0
	s.k.mu.Unlock()
	_ = s.k.write(func() { _ = s.k.fr.WriteWindowUpdate(s.id, uint32(n)) })
}
