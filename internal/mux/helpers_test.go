package mux_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"poise/internal/fiber"
	"poise/internal/h1"
	"poise/internal/h2"
	"poise/internal/msg"
	"poise/internal/mux"
	"poise/internal/stats"
	"poise/internal/sys"
	"poise/internal/testkit"
)

// each runs f with a fresh loop of each driver, which must have come to rest at its end.
func each(t *testing.T, f func(t *testing.T, l *fiber.Loop)) {
	t.Helper()
	for _, d := range testkit.Drivers(t) {
		t.Run(d, func(t *testing.T) {
			l := start(t, d)
			f(t, l)
		})
	}
}

// one runs f with a loop of whatever driver works here: for what does not depend on it.
func one(t testing.TB) *fiber.Loop { return start(t, "auto") }

func start(t testing.TB, driver string) *fiber.Loop {
	t.Helper()
	l, _, err := fiber.Start(0, fiber.Config{Driver: driver, Poison: true, Log: slog.New(panics{t})})
	if err != nil {
		t.Fatalf("Start: %v", err)
	}
	t.Cleanup(l.Stop)
	return l
}

// panics fails the test that a fiber has panicked in.
type panics struct{ t testing.TB }

func (p panics) Enabled(context.Context, slog.Level) bool { return true }

func (p panics) Handle(_ context.Context, r slog.Record) error {
	if r.Level >= slog.LevelError {
		p.t.Errorf("%s", r.Message)
		r.Attrs(func(a slog.Attr) bool {
			p.t.Errorf("%s", a)
			return true
		})
	}
	return nil
}

func (p panics) WithAttrs([]slog.Attr) slog.Handler { return p }
func (p panics) WithGroup(string) slog.Handler      { return p }

// owner counts what happens on its connections. It is used on their loop.
type owner struct {
	events map[stats.StreamEvent]int
	freed  int
	room   int // when that was told last
}

func newOwner() *owner { return &owner{events: map[stats.StreamEvent]int{}} }

func (o *owner) Freed(c *mux.Conn) {
	o.freed++
	o.room = c.Room()
}

func (o *owner) Count(e stats.StreamEvent) { o.events[e]++ }

// side is our side of a connection.
type side struct {
	t     testing.TB
	l     *fiber.Loop
	c     *mux.Conn
	owner *owner
	mem   *mux.Memory
	wg    sync.WaitGroup
}

// on runs f on the loop.
func (s *side) on(f func()) {
	s.t.Helper()
	if !s.l.Call(f) {
		s.t.Fatal("the loop has ended")
	}
}

// fiber runs f in a fiber; the test waits for its end.
func (s *side) fiber(f func()) {
	s.wg.Add(1)
	s.l.Post(func() {
		s.l.Go(func() {
			defer s.wg.Done()
			f()
		})
	})
}

// look is what f finds on the loop.
func look[T any](s *side, f func() T) (v T) {
	s.t.Helper()
	s.on(func() { v = f() })
	return v
}

// eventually waits until ok, which is asked on the loop.
func (s *side) eventually(what string, ok func() bool) {
	s.t.Helper()
	testkit.Eventually(s.t, what, func() bool { return look(s, ok) })
}

// ended waits until nothing is left of the connection: no fiber, no socket, no stream, no byte that is counted.
func (s *side) ended() {
	s.t.Helper()
	s.eventually("end of all fibers and sockets", func() bool {
		n := s.l.Counters()
		return n.Active == 0 && n.Conns == 0
	})
	s.wg.Wait()
	s.atRest()
}

// atRest sees that no stream is left, nor a byte that is counted.
func (s *side) atRest() {
	s.t.Helper()
	s.on(func() {
		n := s.l.Counters()
		if s.c.Active() != 0 || s.c.Waiting() != 0 || s.owner.events[stats.StreamOpened] != s.owner.events[stats.StreamEnded] {
			s.t.Errorf("%d streams are active, %d wait; opened, ended: %d, %d", s.c.Active(), s.c.Waiting(), s.owner.events[stats.StreamOpened], s.owner.events[stats.StreamEnded])
		}
		if owed := s.c.Owed(); owed != 0 {
			s.t.Errorf("%d bytes of bodies are counted as unread", owed)
		}
		if n.HeadBuffers != 0 || n.BodyBuffers != 0 || n.Panics != 0 {
			s.t.Errorf("buffers or panics: %+v", n)
		}
	})
}

// discard logs nothing.
var discard = slog.New(slog.DiscardHandler)

// limits are those of tests' heads.
var limits = &h1.Limits{}

// config has no bounds on time.
func config(serve func(*mux.Stream)) *mux.Config {
	return &mux.Config{Heads: limits, Streams: 100, Serve: serve}
}

// asServer has a client connect to us.
func asServer(t testing.TB, l *fiber.Loop, cfg *mux.Config) (*side, *peer) {
	t.Helper()
	s := &side{t: t, l: l, owner: newOwner(), mem: new(mux.Memory)}
	a, _ := sys.ParseAddr("127.0.0.1:0")
	fd, err := sys.Listen(a, true)
	if err != nil {
		t.Fatal(err)
	}
	addr := sys.LocalAddr(fd).String()
	made := make(chan struct{})
	s.on(func() {
		_, err = l.Listen(fd, fiber.Accepting{Accept: func(fc *fiber.Conn) {
			l.Go(func() {
				s.c = mux.New(fc, cfg, s.mem, s.owner, false)
				close(made)
				s.c.Serve(fc)
			})
		}})
	})
	if err != nil {
		t.Fatal(err)
	}
	conn, err := net.DialTimeout("tcp", addr, testkit.Patience)
	if err != nil {
		t.Fatal(err)
	}
	p := newPeer(t, conn)
	<-made
	p.raw(h2.Preface)
	return s, p
}

// asClient has us connect to a server.
func asClient(t testing.TB, l *fiber.Loop, cfg *mux.Config) (*side, *peer) {
	t.Helper()
	s := &side{t: t, l: l, owner: newOwner(), mem: new(mux.Memory)}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = ln.Close() }()
	a, _ := sys.ParseAddr(ln.Addr().String())
	made := make(chan error, 1)
	s.fiber(func() {
		fc, err := l.Dial(a, 0, nil)
		if err == nil {
			s.c = mux.New(fc, cfg, s.mem, s.owner, true)
		}
		made <- err
	})
	conn, err := ln.Accept()
	if err == nil {
		err = <-made
	}
	if err != nil {
		t.Fatal(err)
	}
	p := newPeer(t, conn)
	preface := make([]byte, len(h2.Preface))
	if _, err := io.ReadFull(conn, preface); err != nil || string(preface) != h2.Preface {
		t.Fatalf("preface = %q, %v", preface, err)
	}
	return s, p
}

// peer is the other side, by x/net's Framer, which refuses what may not be sent.
type peer struct {
	t    testing.TB
	conn net.Conn
	fr   *http2.Framer
	enc  *hpack.Encoder
	buf  bytes.Buffer
	dec  *hpack.Decoder
	// kept have come while others were waited for.
	kept  []frame
	pings byte
	// windows are what we were given, beyond the first.
	windows map[uint32]int
}

// frame is one that has come.
type frame struct {
	http2.FrameHeader
	data   string // of DATA
	fields string // of HEADERS: "name: value" joined by "; "
	code   http2.ErrCode
	last   uint32
	end    bool
}

func newPeer(t testing.TB, conn net.Conn) *peer {
	t.Helper()
	_ = conn.SetDeadline(time.Now().Add(3 * testkit.Patience))
	t.Cleanup(func() { _ = conn.Close() })
	p := &peer{t: t, conn: conn, fr: http2.NewFramer(conn, conn), dec: hpack.NewDecoder(4096, nil), windows: map[uint32]int{}}
	p.begin()
	return p
}

// begin has the peer send what it may not send, too, and with a table of its own.
func (p *peer) begin() {
	p.fr.AllowIllegalWrites = true
	p.enc = hpack.NewEncoder(&p.buf)
}

// raw sends bytes. An error is none here: we may have been cut off.
func (p *peer) raw(s string) { _, _ = io.WriteString(p.conn, s) }

// settings begins the peer's side, or changes it.
func (p *peer) settings(settings ...http2.Setting) { _ = p.fr.WriteSettings(settings...) }

// block is a header block.
func (p *peer) block(fields ...string) []byte {
	p.buf.Reset()
	for i := 0; i < len(fields); i += 2 {
		_ = p.enc.WriteField(hpack.HeaderField{Name: fields[i], Value: fields[i+1]})
	}
	return bytes.Clone(p.buf.Bytes())
}

// headers sends a head, or trailers.
func (p *peer) headers(id uint32, end bool, fields ...string) {
	_ = p.fr.WriteHeaders(http2.HeadersFrameParam{StreamID: id, EndStream: end, EndHeaders: true, BlockFragment: p.block(fields...)})
}

// request opens a stream; end: without a body.
func (p *peer) request(id uint32, end bool, fields ...string) {
	p.headers(id, end, append([]string{":method", "POST", ":scheme", "http", ":authority", "a", ":path", fmt.Sprint("/", id)}, fields...)...)
}

// answer answers a stream.
func (p *peer) answer(id uint32, end bool, status string, fields ...string) {
	p.headers(id, end, append([]string{":status", status}, fields...)...)
}

func (p *peer) data(id uint32, end bool, data string)     { _ = p.fr.WriteData(id, end, []byte(data)) }
func (p *peer) window(id, n uint32)                       { _ = p.fr.WriteWindowUpdate(id, n) }
func (p *peer) reset(id uint32, code http2.ErrCode)       { _ = p.fr.WriteRSTStream(id, code) }
func (p *peer) priority(id uint32, q http2.PriorityParam) { _ = p.fr.WritePriority(id, q) }
func (p *peer) goAway(last uint32, code http2.ErrCode)    { _ = p.fr.WriteGoAway(last, code, nil) }
func (p *peer) frame(t http2.FrameType, id uint32, b string) {
	_ = p.fr.WriteRawFrame(t, 0, id, []byte(b))
}

// any reads the next frame.
func (p *peer) any() (frame, error) {
	f, err := p.fr.ReadFrame()
	if err != nil {
		return frame{}, err
	}
	got := frame{FrameHeader: f.Header()}
	switch f := f.(type) {
	case *http2.DataFrame:
		got.data, got.end = string(f.Data()), f.StreamEnded()
	case *http2.HeadersFrame:
		got.end = f.StreamEnded()
		block := bytes.Clone(f.HeaderBlockFragment())
		for ended := f.HeadersEnded(); !ended; {
			next, err := p.fr.ReadFrame()
			if err != nil {
				return got, err
			}
			c := next.(*http2.ContinuationFrame) // the Framer sees to it
			block, ended = append(block, c.HeaderBlockFragment()...), c.HeadersEnded()
		}
		fields, err := p.dec.DecodeFull(block)
		if err != nil {
			return got, err
		}
		for i, field := range fields {
			if i > 0 {
				got.fields += "; "
			}
			got.fields += field.Name + ": " + field.Value
		}
	case *http2.RSTStreamFrame:
		got.code = f.ErrCode
	case *http2.GoAwayFrame:
		got.code, got.last = f.ErrCode, f.LastStreamID
	case *http2.WindowUpdateFrame:
		p.windows[f.StreamID] += int(f.Increment)
	}
	return got, nil
}

// next is the next frame that is neither settings nor a window's.
func (p *peer) next() (frame, error) {
	if len(p.kept) > 0 {
		f := p.kept[0]
		p.kept = p.kept[1:]
		return f, nil
	}
	for {
		f, err := p.any()
		if err != nil || (f.Type != http2.FrameSettings && f.Type != http2.FrameWindowUpdate) {
			return f, err
		}
	}
}

// want fails unless the next frame is as it should be.
func (p *peer) want(what string, ok func(f frame) bool) frame {
	p.t.Helper()
	f, err := p.next()
	if err != nil || !ok(f) {
		p.t.Fatalf("got %+v, %v, want %s", f, err, what)
	}
	return f
}

// wantHead is the next head, as text.
func (p *peer) wantHead(id uint32, end bool, fields string) {
	p.t.Helper()
	p.want(fmt.Sprintf("HEADERS of %d, end %t: %s", id, end, fields), func(f frame) bool {
		return f.Type == http2.FrameHeaders && f.StreamID == id && f.end == end && f.fields == fields
	})
}

// wantReset is the next frame, RST_STREAM.
func (p *peer) wantReset(id uint32, code http2.ErrCode) {
	p.t.Helper()
	p.want(fmt.Sprintf("RST_STREAM of %d with %v", id, code), func(f frame) bool {
		return f.Type == http2.FrameRSTStream && f.StreamID == id && f.code == code
	})
}

// wantGoAway is the next frame but for DATA and heads, GOAWAY; the connection ends.
func (p *peer) wantGoAway(code http2.ErrCode) {
	p.t.Helper()
	for {
		f, err := p.next()
		if err == nil && f.Type != http2.FrameGoAway {
			continue
		}
		if err != nil || f.code != code {
			p.t.Fatalf("got %+v, %v, want GOAWAY with %v", f, err, code)
		}
		p.wantEnd()
		return
	}
}

// wantEnd sees that nothing more comes but what lets us send more.
func (p *peer) wantEnd() {
	p.t.Helper()
	_ = p.conn.(*net.TCPConn).CloseWrite()
	f, err := p.any()
	for ; err == nil && f.Type == http2.FrameWindowUpdate; f, err = p.any() {
	}
	if err == nil || (errors.Is(err, io.ErrUnexpectedEOF) || isTimeout(err)) {
		p.t.Fatalf("got %+v, %v, want the connection's end", f, err)
	}
}

func isTimeout(err error) bool {
	var ne net.Error
	return errors.As(err, &ne) && ne.Timeout()
}

// body reads DATA of a stream until there are n bytes, or the stream ends. Frames of others are kept.
func (p *peer) body(id uint32, n int) (body string, ended bool) {
	p.t.Helper()
	var others []frame
	defer func() { p.kept = append(others, p.kept...) }()
	for len(body) < n || n == 0 {
		f, err := p.next()
		switch {
		case err != nil:
			p.t.Fatalf("after %d bytes: %v", len(body), err)
		case f.Type != http2.FrameData || f.StreamID != id:
			others = append(others, f)
			if f.StreamID == id || f.Type == http2.FrameGoAway {
				p.t.Fatalf("after %d bytes: %+v", len(body), f)
			}
			continue
		}
		body += f.data
		if f.end {
			return body, true
		}
	}
	return body, false
}

// sync waits until all that was sent is read, and what it has woken has run and its frames have come: those are kept.
func (p *peer) sync() {
	p.t.Helper()
	p.pings++
	_ = p.fr.WritePing(false, [8]byte{p.pings})
	for {
		f, err := p.any()
		if err != nil {
			p.t.Fatalf("no answer to PING: %v", err)
		}
		switch f.Type {
		case http2.FramePing:
			return
		case http2.FrameSettings, http2.FrameWindowUpdate:
		default:
			p.kept = append(p.kept, f)
		}
	}
}

// quiet sees that nothing but what sync waits for has come.
func (p *peer) quiet() {
	p.t.Helper()
	if p.sync(); len(p.kept) > 0 {
		p.t.Fatalf("got %+v, want nothing", p.kept)
	}
}

// end closes the peer's side.
func (p *peer) close() { _ = p.conn.Close() }

// respond sends a whole answer with a body.
func respond(st *mux.Stream, body string) error {
	if err := st.PrintResponse(&msg.ResponseHead{Status: 200, Length: int64(len(body))}); err != nil {
		return err
	}
	_, err := st.Send(true, [][]byte{[]byte(body)}, len(body), true, nil)
	return err
}

// ask sends a request; end: without a body.
func ask(st *mux.Stream, end bool) error {
	length := int64(msg.Chunked)
	if end {
		length = 0
	}
	err := st.PrintRequest(&msg.RequestHead{Method: []byte("GET"), Path: []byte("/"), Authority: []byte("a"), Length: length})
	if err != nil {
		return err
	}
	_, err = st.Send(true, nil, 0, end, nil)
	return err
}

// readAll reads a body to its end.
func readAll(st *mux.Stream) (string, error) {
	var body []byte
	for {
		if err := st.Next(); err != nil {
			if err == io.EOF {
				return string(body), nil
			}
			return string(body), err
		}
		b := st.Buffered()
		body = append(body, b...)
		st.Discard(len(b))
	}
}
