package mux_test

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/http2"

	"poise/internal/fiber"
	"poise/internal/h2"
	"poise/internal/msg"
	"poise/internal/mux"
)

// fill sends n bytes of a body in frames of a size.
func (p *peer) fill(id uint32, n, size int) {
	var b []byte
	for n > 0 {
		size = min(size, n)
		b = append(h2.AppendFrame(b, h2.DataFrame, 0, id, size), strings.Repeat("x", size)...)
		n -= size
		if len(b) > 1<<16 {
			p.raw(string(b))
			b = b[:0]
		}
	}
	p.raw(string(b))
}

// TestFL7ABodyThatIsNotRead: a stream whose reader takes nothing holds its window's worth and no more, and others go on.
func TestFL7ABodyThatIsNotRead(t *testing.T) {
	each(t, func(t *testing.T, l *fiber.Loop) {
		for _, size := range []int{4, 100, 16384} { // smaller ones are glitches
			h := newHeld()
			s, p := asServer(t, l, config(h.serve))
			p.settings()
			p.request(1, false)
			p.fill(1, mux.FirstWindow, size)
			p.quiet()
			st := <-h.streams
			s.on(func() {
				if got := st.Unread(); got != mux.FirstWindow {
					t.Errorf("by %d, %d bytes are unread, want %d", size, got, mux.FirstWindow)
				}
				if got := st.Held(); got > mux.FirstWindow+2*mux.LargeChunk {
					t.Errorf("by %d, %d bytes of memory hold %d", size, got, st.Unread())
				}
			})
			if given := p.windows[1]; given != 0 {
				t.Errorf("by %d, the client may send %d bytes more", size, given)
			}
			p.request(3, false)
			p.data(3, false, "sibling")
			p.quiet()
			other := <-h.streams
			if got := look(s, other.Unread); got != len("sibling") {
				t.Errorf("by %d, of the other stream %d bytes have come", size, got)
			}
			p.data(1, false, "x")
			p.wantReset(1, http2.ErrCodeFlowControl)
			if err := got(t, h.errs); !isViolation(err) {
				t.Errorf("by %d, the wait has ended with %v", size, err)
			}
			p.close()
			s.ended()
		}
	})
}

// TestFL7BodiesThatAreNotRead: all streams of a connection together hold its window's worth.
func TestFL7BodiesThatAreNotRead(t *testing.T) {
	h := newHeld()
	s, p := asServer(t, one(t), config(h.serve))
	p.settings()
	id, left := uint32(1), mux.ConnWindow
	for ; left > 0; id += 2 {
		p.request(id, false)
		p.fill(id, min(left, mux.FirstWindow), 16384)
		left -= min(left, mux.FirstWindow)
	}
	p.quiet()
	if owed := look(s, s.c.Owed); owed != mux.ConnWindow {
		t.Errorf("%d bytes are counted as unread, want %d", owed, mux.ConnWindow)
	}
	if p.windows[0] != mux.ConnWindow-mux.FirstWindow {
		t.Errorf("the connection was given %d bytes beyond the first, want %d", p.windows[0], mux.ConnWindow-mux.FirstWindow)
	}
	p.request(id, false)
	p.quiet() // a head is none of it
	p.data(id, false, "x")
	p.wantGoAway(http2.ErrCodeFlowControl)
	s.eventually("end of the connection", func() bool { return s.c.Active() == 0 && s.l.Counters().Conns == 0 })
}

// TestWindowsAreGivenBack: what is read, dropped, or comes for nobody is given back to the connection.
func TestWindowsAreGivenBack(t *testing.T) {
	s, p := asServer(t, one(t), config(func(st *mux.Stream) {
		_ = st.Fill()
		st.Finish(h2.Cancel) // what has come is not read, and more comes
	}))
	p.settings()
	total := 0
	for id := uint32(1); id < 150; id += 2 {
		p.request(id, false)
		p.fill(id, 60_000, 16000)
		p.sync()
		p.kept = nil
		total += 60_000
		if id == 99 {
			_ = p.fr.WriteDataPadded(id, true, []byte("x"), make([]byte, 255))
		}
	}
	s.eventually("end of all streams", func() bool { return s.c.Active() == 0 })
	p.sync()
	s.atRest()
	if given := p.windows[0] - (mux.ConnWindow - mux.FirstWindow); total-given > mux.ConnWindow/2 {
		t.Errorf("of %d bytes, %d were given back", total, given)
	}
	p.close()
	s.ended()
}

// sender answers with a body of its path's number of KiB, and tells what has come of it.
func sender(errs chan error, stall time.Duration) func(*mux.Stream) {
	return func(st *mux.Stream) {
		var r msg.Request
		_, _ = st.Request(&r, nil)
		n := 0
		_, _ = fmt.Sscanf(string(r.Path), "/%d", &n)
		st.StallAfter(stall)
		body := []byte(strings.Repeat("0123456789abcdef", n<<6))
		_ = st.PrintResponse(&msg.ResponseHead{Status: 200, Length: msg.Chunked})
		_, err := st.Send(true, [][]byte{body[:len(body)/2], body[len(body)/2:]}, len(body), true, nil)
		errs <- err
		st.Finish(h2.Cancel)
	}
}

// download asks for n KiB.
func (p *peer) download(id uint32, n int) {
	p.headers(id, true, ":method", "GET", ":scheme", "http", ":authority", "a", ":path", fmt.Sprint("/", n))
}

// TestFL7WindowsOfThePeer: nothing is sent beyond them, and one that is closed stops nobody else.
func TestFL7WindowsOfThePeer(t *testing.T) {
	each(t, func(t *testing.T, l *fiber.Loop) {
		errs := make(chan error, 10)
		s, p := asServer(t, l, config(sender(errs, 0)))
		p.settings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 0})
		p.download(1, 100)
		p.wantHead(1, false, ":status: 200")
		p.quiet()
		if out := look(s, s.c.Out); out != 0 {
			t.Errorf("%d bytes wait to be sent", out)
		}
		for i := range 5 { // a drip
			p.window(1, 1)
			if f := p.want("a byte", func(f frame) bool { return f.Type == http2.FrameData && len(f.data) == 1 }); f.data != "0123456789"[i:i+1] {
				t.Fatalf("byte %d is %q", i, f.data)
			}
		}
		p.settings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 10}) // ten more, and for those to come
		if body, _ := p.body(1, 10); body != "56789abcde" {
			t.Fatalf("got %q", body)
		}
		p.settings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 3}) // seven below zero
		p.download(3, 1)
		p.wantHead(3, false, ":status: 200")
		if body, _ := p.body(3, 3); body != "012" {
			t.Fatalf("got %q", body)
		}
		p.window(1, 7)
		p.quiet() // at zero
		p.window(1, 1)
		if body, _ := p.body(1, 1); body != "f" {
			t.Fatalf("got %q", body)
		}
		p.quiet()
		p.window(3, 1<<20)
		if body, ended := p.body(3, 0); len(body) != 1<<10-3 || !ended {
			t.Fatalf("%d bytes came, ended: %t", len(body), ended)
		}
		p.window(1, 1<<20)
		body, ended := p.body(1, mux.FirstWindow-16-1<<10)
		if len(body) != mux.FirstWindow-16-1<<10 || ended {
			t.Fatalf("%d bytes came, ended: %t", len(body), ended)
		}
		p.quiet() // the connection's window
		p.download(5, 1)
		p.wantHead(5, false, ":status: 200")
		p.quiet()
		p.window(5, 1<<20)
		p.quiet()
		p.window(0, 1<<20)
		rest, ended := p.body(1, 0)
		if !ended || len(rest) != 100<<10-16-len(body) {
			t.Errorf("%d bytes came, ended: %t", len(rest), ended)
		}
		if body, ended := p.body(5, 0); len(body) != 1<<10 || !ended {
			t.Errorf("%d bytes came, ended: %t", len(body), ended)
		}
		for range 3 {
			if err := got(t, errs); err != nil {
				t.Error(err)
			}
		}
		p.close()
		s.ended()
	})
}

// TestWindowOfAServer does the same with a request's body.
func TestWindowOfAServer(t *testing.T) {
	s, p := settled(t, one(t), http2.Setting{ID: http2.SettingInitialWindowSize, Val: 10})
	st := s.open(1)[0]
	errs := make(chan error, 1)
	s.fiber(func() {
		_ = ask(st, false)
		_, err := st.Send(false, [][]byte{[]byte("0123456789abcdefghij")}, 20, true, nil)
		errs <- err
		st.Finish(h2.Cancel)
	})
	p.wantHead(1, false, asked)
	if body, _ := p.body(1, 10); body != "0123456789" {
		t.Fatalf("got %q", body)
	}
	p.settings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 5})
	p.window(1, 5)
	p.quiet()
	p.settings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 7})
	if body, _ := p.body(1, 2); body != "ab" {
		t.Fatalf("got %q", body)
	}
	p.settings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1<<31 - 1})
	if body, ended := p.body(1, 0); body != "cdefghij" || !ended {
		t.Fatalf("got %q, ended: %t", body, ended)
	}
	if err := got(t, errs); err != nil {
		t.Error(err)
	}
	p.close()
	s.ended()
}

// TestSettingsThatOverflow: a window beyond 2^31-1 ends the connection, also that of one stream of many.
func TestSettingsThatOverflow(t *testing.T) {
	errs := make(chan error, 10)
	s, p := asServer(t, one(t), config(sender(errs, 0)))
	p.settings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 0})
	p.download(1, 100)
	p.window(1, 1<<20) // more than the connection's
	p.settings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1<<31 - 1})
	p.wantGoAway(http2.ErrCodeFlowControl)
	if err := got(t, errs); err == nil {
		t.Error("Send has succeeded")
	}
	s.ended()
}

// TestTheEndNeedsNoWindow: neither an empty body nor trailers do.
func TestTheEndNeedsNoWindow(t *testing.T) {
	s, p := asServer(t, one(t), config(func(st *mux.Stream) {
		var r msg.Request
		_, _ = st.Request(&r, nil)
		_ = st.PrintResponse(&msg.ResponseHead{Status: 200, Length: msg.Chunked})
		_, _ = st.Send(true, nil, 0, false, nil)
		if string(r.Path) == "/1" {
			_, _ = st.Send(false, nil, 0, true, nil)
		} else {
			_, _ = st.Send(false, nil, 0, true, msg.Fields{{Name: []byte("X"), Value: []byte("y")}})
		}
		st.Finish(h2.Cancel)
	}))
	p.settings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 0})
	p.request(1, true)
	p.wantHead(1, false, ":status: 200")
	p.want("the end", func(f frame) bool { return f.Type == http2.FrameData && f.end && f.data == "" })
	p.request(3, true)
	p.wantHead(3, false, ":status: 200")
	p.wantHead(3, true, "x: y")
	p.close()
	s.ended()
}

// TestStalledStream: one whose reader takes nothing is given up after its time, and others are not.
func TestStalledStream(t *testing.T) {
	errs := make(chan error, 10)
	s, p := asServer(t, one(t), config(sender(errs, 50*time.Millisecond)))
	p.settings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 0})
	p.download(1, 1)
	p.wantHead(1, false, ":status: 200")
	p.wantReset(1, http2.ErrCodeCancel)
	if err := got(t, errs); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("Send = %v, want %v", err, os.ErrDeadlineExceeded)
	}
	p.settings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1 << 20})
	p.download(3, 1)
	p.wantHead(3, false, ":status: 200")
	if body, ended := p.body(3, 0); len(body) != 1<<10 || !ended {
		t.Errorf("%d bytes came, ended: %t", len(body), ended)
	}
	p.close()
	s.ended()
}

// TestRS14APeerThatReadsNothing: what waits to be sent is bounded, nothing more is read meanwhile, and all comes once the peer reads; one that does not is
// given up after its time.
func TestRS14APeerThatReadsNothing(t *testing.T) {
	l := one(t)
	for _, reads := range []bool{true, false} {
		cfg := config(func(st *mux.Stream) {
			head := msg.ResponseHead{Status: 200, Length: 0, Fields: msg.Fields{{Name: []byte("X"), Value: []byte(strings.Repeat("y", 20_000))}}}
			_ = st.PrintResponse(&head)
			_, _ = st.Send(true, nil, 0, true, nil)
			st.Finish(h2.NoError)
		})
		const streams = 1500
		cfg.Streams = streams
		if !reads {
			cfg.Write = 200 * time.Millisecond
		}
		s, p := asServer(t, l, cfg)
		p.dec.SetMaxDynamicTableSize(0)
		p.settings()
		sent := make(chan struct{})
		go func() {
			defer close(sent)
			for id := uint32(1); id < 2*streams; id += 2 {
				_ = p.fr.WriteHeaders(http2.HeadersFrameParam{StreamID: id, EndStream: true, EndHeaders: true, BlockFragment: []byte("\x82\x84\x86\x41\x01a")})
			}
		}()
		s.eventually("full socket", func() bool { return s.c.Out() > mux.MaxOut })
		<-sent
		for range 100 { // turns, in which it could read on
			s.on(func() {})
		}
		s.on(func() {
			// The frames that were read at one go had answers too.
			if last := s.c.Last(); s.c.Out() > mux.MaxOut+256*20_100 || last >= 2*streams-1 {
				t.Errorf("%d bytes wait to be sent, and stream %d was read", s.c.Out(), last)
			}
		})
		if !reads {
			s.eventually("end of a connection that stalls", func() bool { return s.c.Err() != nil && s.l.Counters().Conns == 0 })
			p.close()
			s.ended()
			continue
		}
		for range streams {
			p.want("an answer", func(f frame) bool { return f.Type == http2.FrameHeaders && f.end && len(f.fields) > 20_000 })
		}
		p.close()
		s.ended()
	}
}

// TestRS14AServerThatReadsNothing: its windows are wide, but its socket takes nothing more. The body that is on its way is given up after its time, and with it
// the connection, since nothing else can be sent on that either. Without a body it is after the connection's own time.
func TestRS14AServerThatReadsNothing(t *testing.T) {
	l := one(t)
	for _, body := range []bool{true, false} {
		cfg := config(nil)
		if cfg.Write = time.Minute; !body {
			cfg.Write = 100 * time.Millisecond
		}
		s, p := asClient(t, l, cfg)
		p.settings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1<<31 - 1})
		p.window(0, 1<<30)
		p.sync()
		errs := make(chan error, 1)
		st := s.open(1)[0]
		s.fiber(func() {
			defer st.Finish(h2.Cancel)
			if body {
				st.StallAfter(100 * time.Millisecond)
			}
			err := ask(st, false)
			for piece := make([]byte, 1<<20); err == nil; {
				_, err = st.Send(false, [][]byte{piece}, len(piece), false, nil)
			}
			errs <- err
		})
		if err := got(t, errs); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("Send = %v, want %v", err, os.ErrDeadlineExceeded)
		}
		s.eventually("end of the connection", s.c.Over)
		p.close()
		s.ended()
	}
}

// TestUrgency: what is more urgent goes first, and equal ones take turns.
func TestUrgency(t *testing.T) {
	errs := make(chan error, 10)
	s, p := asServer(t, one(t), config(sender(errs, 0)))
	p.settings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1 << 20})
	p.window(0, 0x7fff0000-65535)
	_ = p.fr.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 0})
	ask := func(id uint32, priority string) {
		p.headers(id, true, ":method", "GET", ":scheme", "http", ":authority", "a", ":path", "/64", "priority", priority)
		p.wantHead(id, false, ":status: 200")
	}
	ask(1, "u=5")
	ask(3, "u=1")
	ask(5, "u=5")
	ask(7, "u=7")
	p.raw(string(append(h2.AppendFrame(nil, h2.PriorityUpdateFrame, 0, 0, 7), "\x00\x00\x00\x09u=0"...))) // of one that is not there yet
	p.settings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1 << 20})
	var order []uint32
	for ends := 0; ends < 4; {
		f := p.want("DATA", func(f frame) bool { return f.Type == http2.FrameData })
		order = append(order, f.StreamID)
		if f.end {
			ends++
		}
	}
	place := map[uint32]int{}
	for i, id := range order {
		place[id] = i // the last
	}
	if place[3] > place[1] || place[3] > place[5] || place[7] != len(order)-1 || place[5]-place[1] > 1 && place[1]-place[5] > 1 {
		t.Errorf("the order is %v, want 3, then 1 and 5 in turn, then 7", order)
	}
	p.close()
	s.ended()
}
