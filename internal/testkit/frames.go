package testkit

import (
	"bufio"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// Frames is one end of a connection of HTTP/2 that keeps to no rule: it sends the frames and fields that it is told, in any order. What comes is kept by
// streams; SETTINGS and PING are acknowledged, and windows given back, as it is read. One goroutine uses it.
type Frames struct {
	net.Conn
	// Number counts a server's connections from 1.
	Number int
	// Silent: nothing is sent that was not asked for.
	Silent bool
	// Set are the peer's settings, Pings and Windows how many such frames came.
	Set            map[http2.SettingID]uint32
	Pings, Windows int

	t       testing.TB
	server  *FramesServer // nil: it is a client
	framer  *http2.Framer
	hpack   *hpack.Decoder
	streams map[uint32]*Heard
	asked   []uint32 // streams whose first head Request has not told of yet
	block   []byte
	away    []http2.GoAwayFrame
	err     error
}

// Heard is what has come on a stream.
type Heard struct {
	Heads [][]hpack.HeaderField
	Body  string
	Ended bool
	// Reset and Code are those of RST_STREAM.
	Reset bool
	Code  http2.ErrCode
	// Gone: the connection has ended before the stream.
	Gone bool
}

// Over tells whether nothing more can come.
func (h *Heard) Over() bool { return h.Ended || h.Reset || h.Gone }

// All are the values of a field in all heads.
func (h *Heard) All(name string) (values []string) {
	for _, fields := range h.Heads {
		for _, f := range fields {
			if f.Name == name {
				values = append(values, f.Value)
			}
		}
	}
	return values
}

// Status is that of the final head; 0: none has come.
func (h *Heard) Status() int {
	for _, s := range h.All(":status") {
		if n, _ := strconv.Atoi(s); n >= 200 {
			return n
		}
	}
	return 0
}

// DialFrames connects to Poise, and sends the preface and empty SETTINGS. The connection is closed when the test ends.
func DialFrames(t testing.TB, addr string) *Frames {
	t.Helper()
	f := DialRaw(t, addr)
	f.Raw(http2.ClientPreface)
	f.Settings()
	return f
}

// DialRaw is DialFrames without a preface.
func DialRaw(t testing.TB, addr string) *Frames {
	t.Helper()
	var config *tls.Config
	if c, ok := overTLS.Load(addr); ok {
		config = c.(*tls.Config)
	}
	return DialFramesTLS(t, addr, config)
}

// DialFramesTLS is DialRaw over TLS of the test's own; nil: in clear text.
func DialFramesTLS(t testing.TB, addr string, config *tls.Config) *Frames {
	t.Helper()
	conn, err := net.DialTimeout("tcp", addr, Patience)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(2 * Patience))
	if config != nil {
		config = config.Clone()
		config.NextProtos = []string{"h2"}
		s := tls.Client(conn, config)
		if err := s.Handshake(); err != nil {
			t.Fatalf("handshake: %v", err)
		}
		conn = s
	}
	return newFrames(t, conn, bufio.NewReader(conn))
}

func newFrames(t testing.TB, conn net.Conn, r io.Reader) *Frames {
	f := &Frames{Conn: conn, Set: map[http2.SettingID]uint32{}, t: t, framer: http2.NewFramer(conn, r), streams: map[uint32]*Heard{}}
	f.framer.AllowIllegalWrites, f.framer.AllowIllegalReads = true, true
	f.framer.SetMaxReadFrameSize(1<<24 - 1)
	f.hpack = hpack.NewDecoder(4096, nil)
	return f
}

// Raw sends bytes. That the other side has closed is no failure: a test looks at what it reads.
func (f *Frames) Raw(s string) { _, _ = io.WriteString(f.Conn, s) }

// Frame sends a frame.
func (f *Frames) Frame(t http2.FrameType, flags http2.Flags, id uint32, payload string) {
	_ = f.framer.WriteRawFrame(t, flags, id, []byte(payload))
}

// Settings sends SETTINGS.
func (f *Frames) Settings(settings ...http2.Setting) { _ = f.framer.WriteSettings(settings...) }

// Block encodes fields, given as names and values, whatever is in them, as literals that no table remembers.
func Block(fields ...string) string {
	var b strings.Builder
	for i := 0; i < len(fields); i += 2 {
		b.WriteByte(0)
		appendText(&b, fields[i])
		appendText(&b, fields[i+1])
	}
	return b.String()
}

// appendText appends a string as HPACK has it. [RFC 7541 section 5]
func appendText(b *strings.Builder, s string) {
	n := len(s)
	if n < 127 {
		b.WriteByte(byte(n))
	} else {
		b.WriteByte(127)
		for n -= 127; n >= 128; n >>= 7 {
			b.WriteByte(byte(n) | 128)
		}
		b.WriteByte(byte(n))
	}
	b.WriteString(s)
}

// Head sends a header block, in as many frames as it needs.
func (f *Frames) Head(id uint32, end bool, fields ...string) { f.HeadOf(id, end, Block(fields...)) }

// HeadOf is Head with a block that was encoded otherwise.
func (f *Frames) HeadOf(id uint32, end bool, block string) {
	const most = 16384
	t, flags := http2.FrameHeaders, http2.Flags(0)
	if end {
		flags = http2.FlagHeadersEndStream
	}
	for ; len(block) > most; block = block[most:] {
		f.Frame(t, flags, id, block[:most])
		t, flags = http2.FrameContinuation, 0
	}
	f.Frame(t, flags|http2.FlagHeadersEndHeaders, id, block)
}

// Data sends bytes of a body, in one frame.
func (f *Frames) Data(id uint32, end bool, data string) {
	flags := http2.Flags(0)
	if end {
		flags = http2.FlagDataEndStream
	}
	f.Frame(http2.FrameData, flags, id, data)
}

// Reset sends RST_STREAM.
func (f *Frames) Reset(id uint32, code http2.ErrCode) { _ = f.framer.WriteRSTStream(id, code) }

// GoAway sends GOAWAY.
func (f *Frames) GoAway(last uint32, code http2.ErrCode) { _ = f.framer.WriteGoAway(last, code, nil) }

// Stream is what has come on a stream so far.
func (f *Frames) Stream(id uint32) *Heard {
	h := f.streams[id]
	if h == nil {
		h = &Heard{}
		f.streams[id] = h
	}
	return h
}

// Until reads until ok, or until the connection has ended; then it tells whether ok.
func (f *Frames) Until(ok func() bool) bool {
	f.t.Helper()
	for !ok() {
		if f.err == nil {
			f.err = f.read()
		}
		if ne := net.Error(nil); errors.As(f.err, &ne) && ne.Timeout() && f.server == nil {
			f.t.Fatalf("what was waited for on a connection of HTTP/2 did not come; so far came %s", f.summary())
		}
		if f.err != nil {
			return ok()
		}
	}
	return true
}

func (f *Frames) summary() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d GOAWAY", len(f.away))
	for id, h := range f.streams {
		fmt.Fprintf(&b, ", on stream %d %+v", id, *h)
	}
	return b.String()
}

// Await reads until nothing more can come on a stream.
func (f *Frames) Await(id uint32) *Heard {
	f.t.Helper()
	h := f.Stream(id)
	h.Gone = !f.Until(func() bool { return h.Ended || h.Reset })
	return h
}

// End reads until the connection has ended, and tells the code of the last GOAWAY that came before.
func (f *Frames) End() (code http2.ErrCode, told bool) {
	f.t.Helper()
	f.Until(func() bool { return false })
	if len(f.away) == 0 {
		return 0, false
	}
	return f.away[len(f.away)-1].ErrCode, true
}

// Away are the GOAWAY frames that have come.
func (f *Frames) Away() []http2.GoAwayFrame { return f.away }

// Alive tells whether the peer still acknowledges a PING, and with it has read all that was sent before.
func (f *Frames) Alive() bool {
	f.t.Helper()
	f.Frame(http2.FramePing, 0, 0, "in order")
	n := f.Pings
	return f.Until(func() bool { return f.Pings > n })
}

// Request waits for the next request's head, and whether there is one before the connection ends.
func (f *Frames) Request() (id uint32, h *Heard, ok bool) {
	if !f.Until(func() bool { return len(f.asked) > 0 }) {
		return 0, nil, false
	}
	id, f.asked = f.asked[0], f.asked[1:]
	return id, f.Stream(id), true
}

// read takes in one frame.
func (f *Frames) read() error {
	frame, err := f.framer.ReadFrame()
	if err != nil {
		return err
	}
	switch frame := frame.(type) {
	case *http2.SettingsFrame:
		_ = frame.ForeachSetting(func(s http2.Setting) error { f.Set[s.ID] = s.Val; return nil })
		if !frame.IsAck() && !f.Silent {
			_ = f.framer.WriteSettingsAck()
		}
	case *http2.PingFrame:
		f.Pings++
		if !frame.IsAck() && !f.Silent {
			_ = f.framer.WritePing(true, frame.Data)
		}
	case *http2.GoAwayFrame:
		f.away = append(f.away, http2.GoAwayFrame{LastStreamID: frame.LastStreamID, ErrCode: frame.ErrCode})
	case *http2.WindowUpdateFrame:
		f.Windows++
	case *http2.RSTStreamFrame:
		h := f.Stream(frame.StreamID)
		h.Reset, h.Code = true, frame.ErrCode
	case *http2.DataFrame:
		h := f.Stream(frame.StreamID)
		h.Body += string(frame.Data())
		h.Ended = h.Ended || frame.StreamEnded()
		if n := frame.Length; n > 0 && !f.Silent {
			_ = f.framer.WriteWindowUpdate(0, n)
			if !h.Ended {
				_ = f.framer.WriteWindowUpdate(frame.StreamID, n)
			}
		}
	case *http2.HeadersFrame:
		f.block = append(f.block[:0], frame.HeaderBlockFragment()...)
		return f.head(frame.StreamID, frame.StreamEnded(), frame.HeadersEnded())
	case *http2.ContinuationFrame:
		f.block = append(f.block, frame.HeaderBlockFragment()...)
		return f.head(frame.StreamID, false, frame.HeadersEnded())
	}
	return nil
}

func (f *Frames) head(id uint32, ended, whole bool) error {
	h := f.Stream(id)
	h.Ended = h.Ended || ended
	if !whole {
		return nil
	}
	fields, err := f.hpack.DecodeFull(f.block)
	if err != nil {
		return err
	}
	if h.Heads = append(h.Heads, fields); len(h.Heads) == 1 {
		f.asked = append(f.asked, id)
		if f.server != nil {
			f.server.note(h)
		}
	}
	return nil
}

// FramesServer is a server that follows a script, on connections of HTTP/2.
type FramesServer struct {
	*Server

	mu    sync.Mutex // guards asked
	asked []string
}

// ServeFrames runs one until the test ends. script is called for each connection once the preface has come; all else it has to send itself, SETTINGS first.
func ServeFrames(t testing.TB, script func(f *Frames)) *FramesServer {
	t.Helper()
	s := &FramesServer{}
	s.Server = Serve(t, func(p *Peer) {
		if _, err := io.ReadFull(p.R, make([]byte, len(http2.ClientPreface))); err != nil {
			return
		}
		f := newFrames(t, p.Conn, p.R)
		f.Number, f.server = p.Number, s
		script(f)
	})
	return s
}

func (s *FramesServer) note(h *Heard) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked = append(s.asked, strings.Join(append(h.All(":method"), h.All(":path")...), " "))
}

// Asked are the methods and targets of all requests whose head has come, such as "GET /".
func (s *FramesServer) Asked() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.asked...)
}

// Answers is a script that answers each request as answer does, once all of it has come, until the connection ends.
func Answers(answer func(f *Frames, id uint32, h *Heard)) func(f *Frames) {
	return func(f *Frames) {
		f.Settings()
		for {
			id, h, ok := f.Request()
			if !ok {
				return
			}
			if f.Await(id); h.Ended {
				answer(f, id, h)
			}
		}
	}
}

// OKFrames answers as OK does.
func OKFrames(f *Frames, id uint32, _ *Heard) {
	f.Head(id, false, ":status", "200", "content-length", "2")
	f.Data(id, true, "ok")
}
