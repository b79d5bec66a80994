package mux_test

import (
	"errors"
	"io"
	"log/slog"
	"net"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/http2"

	"poise/internal/clock"
	"poise/internal/fiber"
	"poise/internal/h2"
	"poise/internal/msg"
	"poise/internal/mux"
	"poise/internal/sys"
	"poise/internal/testkit"
)

// A script is what a fuzzed peer does, two bytes and more for each step: what, of which stream, and with what. Scripts find more than bytes do, since nearly
// every one of them is a conversation.
type script struct{ b []byte }

func (s *script) next() byte {
	if len(s.b) == 0 {
		return 0
	}
	c := s.b[0]
	s.b = s.b[1:]
	return c
}

// stream is one of a few, mostly of those that a client may open.
func (s *script) stream() uint32 {
	c := uint32(s.next())
	if c >= 0xf0 {
		return c & 0xf // also even ones, and 0
	}
	return c&7*2 + 1
}

// size is a number, often one at which something changes.
func (s *script) size() int {
	sizes := [...]int{0, 1, 3, 4, 5, 100, 1024, 1025, 4096, 4097, 16383, 16384, 65535, 65536, 1 << 20, 1<<31 - 1}
	c := s.next()
	if c >= 0x80 {
		return int(c & 0x7f)
	}
	return sizes[c&15]
}

// blocks are header blocks of requests, answers and trailers, some of them wrong.
var blocks = [...]string{
	"\x83\x86\x84\x41\x01a",               // POST /
	"\x82\x86\x84\x41\x01a",               // GET /
	"\x83\x86\x84\x41\x01a\x0f\x0d\x013",  // with content-length: 3
	"\x83\x86\x84\x41\x01a\x40\x01x\x01y", // with a field that goes into the table
	"\x83\x86\x84\x41\x01a\xbe",           // which may not be there
	"\x88",                                // 200
	"\x88\x0f\x0d\x013",                   // with content-length: 3
	"\x08\x03103",                         // 103
	"\x89",                                // 204
	"\x00\x0bgrpc-status\x010",            // trailers
	"\x20\x82\x86\x84\x41\x01a",           // with a table that is emptied
	"\x83\x86\x84\x41\x01a\x00\x08priority\x05u=1,i", // with an urgency
	"\x82\x86\x84", // no host
	"\x80",         // none at all
	"",
	"\x82\x86\x84\x41\x01a\x00\x01X\x01y", // a capital letter
}

// step is what a peer does next; it appends frames to send.
func (s *script) step(b []byte) []byte {
	switch op := s.next(); op & 15 {
	case 0, 1: // HEADERS, or its beginning
		id, block := s.stream(), blocks[s.next()&15]
		flags := h2.Flags(op>>4) & (h2.EndStream | h2.EndHeaders)
		return append(h2.AppendFrame(b, h2.HeadersFrame, flags^h2.EndHeaders, id, len(block)), block...)
	case 2:
		id, block := s.stream(), blocks[s.next()&15]
		return append(h2.AppendFrame(b, h2.ContinuationFrame, h2.Flags(op>>4)&h2.EndHeaders, id, len(block)), block...)
	case 3, 4: // DATA
		id, n := s.stream(), min(s.size(), h2.MaxFrame)
		return append(h2.AppendFrame(b, h2.DataFrame, h2.Flags(op>>4)&h2.EndStream, id, n), make([]byte, n)...)
	case 5: // padded
		id, n := s.stream(), 1+min(s.size(), 1000)
		return append(append(h2.AppendFrame(b, h2.DataFrame, h2.Flags(op>>4)&h2.EndStream|h2.Padded, id, n), s.next()), make([]byte, n-1)...)
	case 6:
		return h2.AppendReset(b, s.stream(), h2.Code(op>>4))
	case 7:
		return h2.AppendWindow(b, s.stream(), s.size())
	case 8:
		return h2.AppendWindow(b, 0, s.size())
	case 9:
		return h2.AppendSettings(b, h2.Setting{ID: uint16(op >> 4), Value: uint32(s.size())})
	case 10:
		if op>>4 == 0 {
			return h2.AppendSettingsAck(b)
		}
		return h2.AppendPing(b, op>>4 == 1, [8]byte{op})
	case 11:
		return h2.AppendGoAway(b, s.stream(), h2.Code(op>>4), "")
	case 12:
		p := []byte{0, 0, 0, byte(s.stream()), 1}
		return append(h2.AppendFrame(b, h2.PriorityFrame, 0, s.stream(), len(p)), p...)
	case 13:
		return append(h2.AppendFrame(b, h2.PriorityUpdateFrame, 0, 0, 7), 0, 0, 0, byte(s.stream()), 'u', '=', '0'+op>>5)
	case 14: // the same byte, again and again
		c, n := s.next(), s.size()&0xff
		for range n {
			b = append(b, c)
		}
		return b
	}
	// A frame of any kind.
	t, flags, id := h2.Type(s.next()), h2.Flags(s.next()), s.stream()
	n := s.size() & 0xff
	b = h2.AppendFrame(b, t, flags, id, n)
	for range n {
		b = append(b, s.next())
	}
	return b
}

// arena is where scripts are played: a loop, and a socket that it listens on.
type arena struct {
	l    *fiber.Loop
	a    sys.Addr
	conn *mux.Conn // the last one
	own  *owner
	mem  *mux.Memory
	made chan struct{}
	path string
}

func newArena(f *testing.F, accept func(*arena, *fiber.Conn)) *arena {
	f.Helper()
	// Of the drivers, since these are Unix sockets: TCP's ports would all wait for their time after a minute of scripts. io_uring misses the end of one in
	// some ten thousand of them.
	l, _, err := fiber.Start(0, fiber.Config{Driver: "epoll", Poison: true, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(l.Stop)
	r := &arena{l: l, own: newOwner(), mem: new(mux.Memory), made: make(chan struct{}, 1), path: filepath.Join(f.TempDir(), "s")}
	if r.a, err = sys.ParseAddr("unix:" + r.path); err != nil {
		f.Fatal(err)
	}
	if accept == nil {
		return r
	}
	fd, err := sys.Listen(r.a, true)
	if err != nil {
		f.Fatal(err)
	}
	l.Call(func() {
		_, err = l.Listen(fd, fiber.Accepting{Accept: func(fc *fiber.Conn) { l.Go(func() { accept(r, fc) }) }})
	})
	if err != nil {
		f.Fatal(err)
	}
	return r
}

// play has the peer do what the script says, read what comes, and leave. What came must be frames that may come.
func (r *arena) play(t *testing.T, conn net.Conn, first string, s script) {
	t.Helper()
	_ = conn.SetDeadline(time.Now().Add(testkit.Patience))
	var reading sync.WaitGroup
	reading.Go(func() {
		fr := http2.NewFramer(io.Discard, conn)
		for {
			if _, err := fr.ReadFrame(); err != nil {
				var se http2.StreamError
				var ce http2.ConnectionError
				if errors.As(err, &se) || errors.As(err, &ce) || isTimeout(err) {
					t.Errorf("what has come cannot be read: %v", err)
				}
				return
			}
		}
	})
	pace := s.next()
	b := []byte(first)
	for i := byte(1); len(s.b) > 0; i++ {
		b = s.step(b)
		if pace > 0 && i%pace == 0 { // the other side gets its turn
			_, _ = conn.Write(b)
			b = b[:0]
			r.l.Call(func() {})
			r.l.Call(func() {})
		}
	}
	_, _ = conn.Write(b)
	_ = conn.(*net.UnixConn).CloseWrite()
	r.rests(t)
	_ = conn.Close()
	reading.Wait()
	r.rests(t)
	r.l.Call(func() {
		owed := r.conn.Owed()
		var e *h2.Error
		if errors.As(r.conn.Err(), &e) && e.Code == h2.FlowControlError {
			owed = 0 // it has used what it had not
		}
		n := r.l.Counters()
		if r.conn.Active() != 0 || r.conn.Waiting() != 0 || owed != 0 || n.Panics != 0 || n.HeadBuffers != 0 || n.BodyBuffers != 0 {
			t.Errorf("%d streams active, %d wait, %d bytes counted as unread, %+v", r.conn.Active(), r.conn.Waiting(), owed, n)
		}
	})
}

// rests waits until no fiber is left, nor a connection.
func (r *arena) rests(t *testing.T) {
	t.Helper()
	r.await(t, "end of all fibers", func() bool { n := r.l.Counters(); return n.Active == 0 && n.Conns == 0 })
}

// fuzzPatience is less than what Go takes a fuzzing process for hung after: 10 s.
const fuzzPatience = 6 * time.Second

// await asks again and again, without a pause, since scripts are many.
func (r *arena) await(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(fuzzPatience); ; {
		var yes bool
		var n fiber.Counters
		if r.l.Call(func() { yes, n = ok(), r.l.Counters() }); yes {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("in %v there came no %s: %+v", fuzzPatience, what, n)
		}
	}
}

// fuzzServe serves a stream as its number says: at once, in pieces, as it comes, never, or not at all.
func fuzzServe(st *mux.Stream) {
	var r msg.Request
	if _, err := st.Request(&r, nil); err != nil {
		st.Finish(err.Code)
		return
	}
	body := make([]byte, 100_000)
	switch st.Conn().Last() >> 1 & 7 {
	case 0:
		echo(st)
	case 1:
		_ = respond(st, "short")
		st.Finish(h2.NoError)
	case 2:
		_ = respond(st, string(body))
		st.Finish(h2.NoError)
	case 3: // the answer waits for the whole request
		_, err := readAll(st)
		if err == nil {
			_ = respond(st, "short")
		}
		st.Finish(h2.NoError)
	case 4:
		st.Finish(h2.Cancel)
	case 5: // a writer beside the reader, which ends first
		w := st.Conn().Socket().Loop().NewWait()
		st.Conn().Socket().Loop().Go(func() {
			_ = respond(st, string(body))
			w.Tell()
		})
		_ = st.Next()
		st.Interrupt(io.ErrClosedPipe)
		_ = w.Until(0, nil)
		st.Finish(h2.Cancel)
	case 6: // the same, whose reader leaves the writer behind
		st.Conn().Socket().Loop().Go(func() { _ = respond(st, string(body)) })
		st.Conn().Socket().Loop().Yield()
		_ = st.Fill()
		st.Finish(h2.InternalError)
	case 7:
		st.StallAfter(time.Millisecond)
		_ = respond(st, string(body))
		st.ReadBy(st.Conn().Socket().Loop().Now().Add(time.Millisecond))
		_, _ = readAll(st)
		st.Finish(h2.NoError)
	}
}

// FuzzServerConn has a client do anything to a connection.
func FuzzServerConn(f *testing.F) {
	for _, seed := range [][]byte{
		{0, 0x10, 0, 1, 0x10, 1, 1, 0x13, 0, 0x83},
		{1, 0, 0, 0, 3, 0, 5, 3, 0, 11, 0x13, 0, 2},
		{1, 0x49, 0, 0, 2, 0, 7, 2, 6, 8, 13, 7, 2, 13},
		{3, 0, 5, 0, 0, 6, 0, 3, 5, 4, 6, 5, 6, 6},
		{0, 9, 0, 9, 9, 1, 10, 11, 1, 12, 1, 2, 13, 1},
		{1, 0x40, 0, 3, 0x42, 0, 9},
		{2, 0, 1, 2, 3, 1, 2, 0x13, 1, 1},
		{1, 0, 7, 0, 0x10, 7, 9, 15, 99, 0, 1, 0x84},
		{1, 0x5a, 14, 0, 0x90},
		{0, 5, 0, 0x90, 0x8f, 0x15, 0, 0x90, 3},
	} {
		f.Add(seed)
	}
	cfg := &mux.Config{Heads: limits, Streams: 5, Serve: fuzzServe}
	r := newArena(f, func(r *arena, fc *fiber.Conn) {
		r.conn = mux.New(fc, cfg, r.mem, r.own, false)
		r.made <- struct{}{}
		r.conn.Serve(fc)
	})
	f.Fuzz(func(t *testing.T, in []byte) {
		conn, err := net.Dial("unix", r.path)
		if err != nil {
			t.Fatal(err)
		}
		<-r.made
		r.play(t, conn, h2.Preface+string(h2.AppendSettings(nil)), script{in})
	})
}

// fuzzAsk opens streams, as many as there may be at once, and uses each in another way.
func (r *arena) fuzzAsk(n int) {
	for i := range n {
		if r.conn.Room() == 0 {
			return
		}
		st := r.conn.Open()
		r.l.Go(func() {
			body := make([]byte, 100_000)
			var m msg.Response
			switch i & 3 {
			case 0:
				_, _ = exchange(st)
				return
			case 1:
				if ask(st, false) == nil {
					_, _ = st.Send(false, [][]byte{body}, len(body), true, nil)
					_, _ = st.Answer(&m, nil)
				}
			case 2:
				r.l.Go(func() {
					if ask(st, false) == nil {
						_, _ = st.Send(false, [][]byte{body[:70_000], body[70_000:]}, len(body), true, nil)
					}
				})
				r.l.Yield()
				_, _ = st.Answer(&m, nil)
				_ = st.Fill()
			case 3:
				_ = ask(st, true)
				st.ReadBy(r.l.Now().Add(time.Millisecond))
				_, _ = st.Answer(&m, nil)
				st.Discard(st.Unread() / 2)
			}
			st.Finish(h2.Cancel)
		})
	}
}

// FuzzClientConn has a server do anything to a connection. It answers requests that have come before it begins, and those that follow its steps.
func FuzzClientConn(f *testing.F) {
	for _, seed := range [][]byte{
		{0, 0x10, 0, 5, 0x10, 1, 5},
		{1, 0, 0, 5, 3, 0, 5, 0x13, 0, 6, 0, 1, 7, 0x10, 1, 6},
		{1, 0x49, 1, 7, 1, 14, 8, 14, 0x10, 1, 8},
		{1, 6, 0, 0x76, 1, 0x86, 2},
		{1, 11, 1, 0x10, 0, 5},
		{2, 0, 0, 5, 0x10, 0, 9, 0, 2, 7, 0, 2, 7},
		{1, 15, 5, 4, 0, 0x84, 0, 0, 0, 2},
		{1, 0x39, 0, 0x39, 6, 9, 14},
	} {
		f.Add(seed)
	}
	cfg := &mux.Config{Heads: limits}
	r := newArena(f, nil)
	ln, err := net.Listen("unix", r.path)
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { _ = ln.Close() })
	f.Fuzz(func(t *testing.T, in []byte) {
		r.l.Post(func() {
			r.l.Go(func() {
				fc, err := r.l.Dial(r.a, clock.Instant(0), nil)
				if err == nil {
					r.conn = mux.New(fc, cfg, r.mem, r.own, true)
					r.fuzzAsk(1)
				}
				r.made <- struct{}{}
			})
		})
		conn, err := ln.Accept()
		if err != nil {
			t.Fatal(err)
		}
		<-r.made
		if _, err := io.ReadFull(conn, make([]byte, len(h2.Preface))); err != nil {
			t.Fatal(err)
		}
		_, _ = conn.Write(h2.AppendSettings(nil))
		r.await(t, "settings", r.conn.Settled)
		r.l.Call(func() { r.fuzzAsk(6) })
		r.play(t, conn, "", script{in})
	})
}
