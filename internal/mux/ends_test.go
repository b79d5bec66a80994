package mux_test

import (
	"bytes"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/http2"

	"poise/internal/fiber"
	"poise/internal/h2"
	"poise/internal/msg"
	"poise/internal/mux"
	"poise/internal/stats"
)

// TestDrain: a client is told twice. What it has sent before it could know is served; what it sends later is not looked at.
func TestDrain(t *testing.T) {
	s, p := asServer(t, one(t), config(echo))
	p.settings()
	p.open(1)
	s.on(s.c.Drain)
	s.on(s.c.Drain)
	p.want("the first GOAWAY", func(f frame) bool {
		return f.Type == http2.FrameGoAway && f.code == http2.ErrCodeNo && f.last == 1<<31-1
	})
	p.open(3)
	p.want("the second GOAWAY", func(f frame) bool { return f.Type == http2.FrameGoAway && f.code == http2.ErrCodeNo && f.last == 3 })
	p.request(5, true)
	p.quiet()
	p.data(1, true, "one")
	if body, ended := p.body(1, 4); body != "one" || !ended {
		t.Errorf("got %q, ended: %t", body, ended)
	}
	p.data(3, true, "three")
	if body, ended := p.body(3, 6); body != "three" || !ended {
		t.Errorf("got %q, ended: %t", body, ended)
	}
	p.wantEnd()
	s.ended()
}

// TestFL9NumbersEnd: a connection that has had very many streams sends its client elsewhere.
func TestFL9NumbersEnd(t *testing.T) {
	s, p := asServer(t, one(t), config(echo))
	p.settings()
	p.request(1<<30-1, false)
	p.want("GOAWAY", func(f frame) bool { return f.Type == http2.FrameGoAway && f.code == http2.ErrCodeNo })
	p.wantHead(1<<30-1, false, ":status: 200; x-path: /1073741823")
	p.request(1<<30+1, true)
	p.wantReset(1<<30+1, http2.ErrCodeRefusedStream)
	p.close()
	s.ended()

	s, p = settled(t, one(t))
	s.on(func() { s.c.SetLast(1<<30 - 1) })
	st := s.open(1)[0]
	texts, errs := s.asking(st)
	p.wantHead(1<<30+1, true, asked)
	if room := look(s, s.c.Room); room != 0 {
		t.Errorf("Room() = %d, want 0", room)
	}
	p.answer(1<<30+1, true, "200")
	if text, err := <-texts, got(t, errs); text != "200" || err != nil {
		t.Errorf("got %s, %v, want 200", text, err)
	}
	p.close()
	s.ended()
}

// TestTimes: what a connection may take its time for. None of them is hit by what comes at once.
func TestTimes(t *testing.T) {
	const d = 50 * time.Millisecond
	for _, c := range []struct {
		name string
		set  func(cfg *mux.Config)
		send func(p *peer)
		away bool // it ends in good order
	}{
		{"idle from the beginning", func(cfg *mux.Config) { cfg.Idle = d }, func(p *peer) { p.settings() }, true},
		{"idle after a stream", func(cfg *mux.Config) { cfg.Idle = d }, func(p *peer) {
			p.settings()
			p.request(1, true)
			p.wantHead(1, false, ":status: 200; x-path: /1")
			p.want("the end of 1", func(f frame) bool { return f.end })
		}, true},
		{"no SETTINGS", func(cfg *mux.Config) { cfg.Idle, cfg.Head = time.Hour, d }, func(*peer) {}, true},
		{"half a frame", func(cfg *mux.Config) { cfg.Head = d }, func(p *peer) { p.settings(); p.raw("\x00\x00\x08\x06\x00") }, false},
		{"half a head", func(cfg *mux.Config) { cfg.Head = d }, func(p *peer) {
			p.settings()
			_ = p.fr.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: []byte("\x82")})
		}, false},
		{"half a head, with streams at work", func(cfg *mux.Config) { cfg.Head = d }, func(p *peer) {
			p.settings()
			p.open(1)
			_ = p.fr.WriteHeaders(http2.HeadersFrameParam{StreamID: 3, BlockFragment: []byte("\x82")})
		}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			cfg := config(echo)
			c.set(cfg)
			s, p := asServer(t, one(t), cfg)
			c.send(p)
			if c.away {
				p.wantGoAway(http2.ErrCodeNo)
			} else {
				for _, err := p.any(); err == nil; _, err = p.any() {
				}
			}
			s.ended()
		})
	}
}

// TestFL4Glitches: what brings nothing is taken up to a number, from either side, and no more.
func TestFL4Glitches(t *testing.T) {
	for name, frame := range map[string][]byte{
		"PING":                       h2.AppendPing(nil, false, [8]byte{}),
		"PING's acknowledgement":     h2.AppendPing(nil, true, [8]byte{}),
		"SETTINGS":                   h2.AppendSettings(nil),
		"SETTINGS' acknowledgement":  h2.AppendSettingsAck(nil),
		"PRIORITY":                   append(h2.AppendFrame(nil, h2.PriorityFrame, 0, 3, 5), 0, 0, 0, 0, 0),
		"PRIORITY_UPDATE":            append(h2.AppendFrame(nil, h2.PriorityUpdateFrame, 0, 0, 7), "\x00\x00\x00\x01u=1"...),
		"WINDOW_UPDATE":              h2.AppendWindow(nil, 0, 1),
		"WINDOW_UPDATE of a stream":  h2.AppendWindow(nil, 1, 1),
		"a frame that nobody knows":  h2.AppendFrame(nil, 99, 0, 0, 0),
		"FL8: empty DATA":            h2.AppendFrame(nil, h2.DataFrame, 0, 1, 0),
		"FL8: DATA of a byte":        append(h2.AppendFrame(nil, h2.DataFrame, 0, 1, 1), 'x'),
		"FL8: DATA of padding alone": append(h2.AppendFrame(nil, h2.DataFrame, h2.Padded, 1, 2), 1, 0),
	} {
		for _, role := range []struct {
			name string
			make func(t *testing.T) (*side, *peer)
		}{
			{"client", func(t *testing.T) (*side, *peer) {
				s, p := asServer(t, one(t), config(newHeld().serve))
				p.settings()
				p.request(1, false)
				return s, p
			}},
			{"server", func(t *testing.T) (*side, *peer) {
				s, p := settled(t, one(t))
				s.asking(s.open(1)[0])
				p.wantHead(1, true, asked)
				p.answer(1, false, "200")
				return s, p
			}},
		} {
			t.Run(name+" of a "+role.name, func(t *testing.T) {
				s, p := role.make(t)
				p.raw(string(bytes.Repeat(frame, mux.MostGlitches/2)))
				p.sync()
				p.kept = nil
				p.raw(string(bytes.Repeat(frame, 2*mux.MostGlitches)))
				for f, err := p.any(); f.Type != http2.FrameGoAway || f.code != http2.ErrCodeEnhanceYourCalm; f, err = p.any() {
					if err != nil {
						t.Fatalf("no GOAWAY with ENHANCE_YOUR_CALM: %v", err)
					}
				}
				p.close()
				s.ended()
				if n := look(s, func() int { return s.owner.events[stats.ConnFlood] }); n != 1 {
					t.Errorf("%d floods are counted, want 1", n)
				}
			})
		}
	}
}

// TestFL1RapidReset and its kin: a client that takes back, or makes us reset, most of what it opens is sent away.
func TestFL1RapidReset(t *testing.T) {
	for name, undo := range map[string]func(p *peer, id uint32){
		"FL1: taken back":                        func(p *peer, id uint32) { p.reset(id, http2.ErrCodeCancel) },
		"FL2: a window that grows by nothing":    func(p *peer, id uint32) { p.window(id, 0) },
		"FL2: a window that is too large":        func(p *peer, id uint32) { p.window(id, 1<<31-1) },
		"FL2: a stream that depends on itself":   func(p *peer, id uint32) { p.priority(id, http2.PriorityParam{StreamDep: id}) },
		"FL2: trailers that do not end it":       func(p *peer, id uint32) { p.headers(id, false, "x", "y") },
		"FL2: more than the stream's window":     func(p *peer, id uint32) { p.fill(id, mux.FirstWindow+1, 16384) },
		"FL2: PRIORITY of half the length":       func(p *peer, id uint32) { p.frame(http2.FramePriority, id, "x") },
		"malformed trailers":                     func(p *peer, id uint32) { p.headers(id, true, "X", "y") },
		"a body that is shorter than it says":    func(p *peer, id uint32) { p.headers(id, true, "x", "y") },
		"opened beyond the number, and so again": func(*peer, uint32) {},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := config(newHeld().serve)
			if strings.HasPrefix(name, "opened") {
				cfg.Streams = 1
			}
			s, p := asServer(t, one(t), cfg)
			p.settings()
			p.conn.(*net.TCPConn).SetNoDelay(false)
			done := make(chan struct{})
			go func() {
				defer close(done)
				for id := uint32(1); id < 4*mux.MaxResets; id += 2 {
					p.request(id, false, "content-length", "100000")
					undo(p, id)
				}
			}()
			for f, err := p.any(); f.Type != http2.FrameGoAway || f.code != http2.ErrCodeEnhanceYourCalm; f, err = p.any() {
				if err != nil {
					t.Fatalf("no GOAWAY with ENHANCE_YOUR_CALM: %v", err)
				}
			}
			<-done
			p.close()
			s.eventually("end", func() bool { return s.c.Active() == 0 && s.l.Counters().Conns == 0 && s.l.Counters().Active == 0 })
		})
	}
}

// TestResetsAmongOthers: one that takes back less than half may go on.
func TestResetsAmongOthers(t *testing.T) {
	s, p := asServer(t, one(t), config(echo))
	p.settings()
	for id := uint32(1); id < 8*mux.MaxResets; id += 4 {
		p.request(id, true)
		p.request(id+2, false)
		p.reset(id+2, http2.ErrCodeCancel)
		p.sync()
		p.kept = nil
	}
	s.atRest()
	p.close()
	s.ended()
}

// TestThePeerLeavesAnywhere cuts a conversation at each of its bytes.
func TestThePeerLeavesAnywhere(t *testing.T) {
	var client, server bytes.Buffer
	p := &peer{fr: http2.NewFramer(&client, nil)}
	p.begin()
	p.settings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 3})
	p.request(1, false, "cookie", "a", "cookie", "b")
	p.data(1, false, "some of the body")
	_ = p.fr.WriteHeaders(http2.HeadersFrameParam{StreamID: 3, BlockFragment: []byte("\x82\x86")})
	_ = p.fr.WriteContinuation(3, true, []byte("\x84\x41\x01a"))
	p.window(1, 5)
	_ = p.fr.WriteDataPadded(3, true, []byte("all"), make([]byte, 10))
	p.reset(1, http2.ErrCodeCancel)
	p.frame(http2.FramePing, 0, "12345678")
	cut(t, client.Bytes(), func(l *fiber.Loop) (*side, *peer) { return asServer(t, l, config(echo)) })

	p.fr = http2.NewFramer(&server, nil)
	p.begin()
	p.settings(http2.Setting{ID: http2.SettingMaxConcurrentStreams, Val: 10}, http2.Setting{ID: http2.SettingInitialWindowSize, Val: 3})
	p.answer(1, false, "103", "link", "x")
	p.answer(1, false, "200", "content-length", "5")
	p.data(1, false, "bo")
	_ = p.fr.WriteDataPadded(1, false, []byte("dy!"), make([]byte, 10))
	p.headers(1, true, "x", "y")
	p.goAway(1, http2.ErrCodeNo)
	cut(t, server.Bytes(), func(l *fiber.Loop) (*side, *peer) {
		s, p := asClient(t, l, config(nil))
		s.asking(s.open(1)[0])
		return s, p
	})
}

// cut sends all beginnings of what is to be sent, and leaves in good order or not.
func cut(t *testing.T, sent []byte, connect func(l *fiber.Loop) (*side, *peer)) {
	t.Helper()
	l := one(t)
	for n := range len(sent) + 1 {
		s, p := connect(l)
		p.raw(string(sent[:n]))
		if n%2 == 0 {
			_ = p.conn.(*net.TCPConn).CloseWrite()
			for _, err := p.any(); err == nil; _, err = p.any() {
			}
		} else {
			_ = p.conn.(*net.TCPConn).SetLinger(0)
		}
		p.close()
		s.ended()
		if t.Failed() {
			t.Fatalf("cut after %d of %d bytes", n, len(sent))
		}
	}
}

// TestDrainingFromTheBeginning: who comes while we drain is served what it has sent at once.
func TestDrainingFromTheBeginning(t *testing.T) {
	cfg := config(func(st *mux.Stream) {
		var r msg.Request
		_, _ = st.Request(&r, nil)
		_ = respond(st, fmt.Sprint("for ", string(r.Path)))
		st.Finish(h2.NoError)
	})
	cfg.Draining = func() bool { return true }
	s, p := asServer(t, one(t), cfg)
	p.settings()
	p.request(1, true)
	var answered, told bool
	for !answered || !told {
		f := p.want("GOAWAY and an answer", func(frame) bool { return true })
		told = told || f.Type == http2.FrameGoAway
		answered = answered || f.data == "for /1"
	}
	p.want("the second GOAWAY", func(f frame) bool { return f.Type == http2.FrameGoAway && f.last == 1 })
	p.wantEnd()
	s.ended()
}
