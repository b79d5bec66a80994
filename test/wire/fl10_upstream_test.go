package wire

import (
	"fmt"
	"io"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/http2"

	"poise/internal/testkit"
)

// flood sends the frames over and over until the connection is closed, or there were so many bytes that nothing bounds them.
func flood(f *testkit.Frames, frames string) {
	const most = 64 << 20
	go func() { _, _ = io.Copy(io.Discard, f.Conn) }() // so that answers do not hold it up
	for n := 0; n < most; n += len(frames) {
		if _, err := io.WriteString(f.Conn, frames); err != nil {
			return
		}
	}
}

// raw is a frame as bytes.
func raw(t http2.FrameType, flags http2.Flags, id uint32, payload string) string {
	n := len(payload)
	head := []byte{byte(n >> 16), byte(n >> 8), byte(n), byte(t), byte(flags), byte(id >> 24), byte(id >> 16), byte(id >> 8), byte(id)}
	return string(head) + payload
}

const endHeaders = http2.FlagHeadersEndHeaders

// malice is what a server of HTTP/2 does with a request, and with its connection.
type malice struct {
	name string
	act  func(f *testkit.Frames, id uint32)
	// stays: its connection may go on, since only streams were bad.
	stays bool
}

var malices = []malice{
	{"SETTINGS without end", func(f *testkit.Frames, _ uint32) { flood(f, strings.Repeat(raw(http2.FrameSettings, 0, 0, ""), 100)) }, false},
	{"PING without end", func(f *testkit.Frames, _ uint32) {
		flood(f, strings.Repeat(raw(http2.FramePing, 0, 0, "12345678"), 100))
	}, false},
	{"windows that grow without end", func(f *testkit.Frames, _ uint32) {
		flood(f, strings.Repeat(raw(http2.FrameWindowUpdate, 0, 0, "\x00\x00\x00\x01"), 100))
	}, false},
	{"empty DATA without end", func(f *testkit.Frames, id uint32) {
		f.Head(id, false, ":status", "200")
		flood(f, strings.Repeat(raw(http2.FrameData, 0, id, ""), 100))
	}, false},
	{"interim answers without end", func(f *testkit.Frames, id uint32) {
		flood(f, strings.Repeat(raw(http2.FrameHeaders, endHeaders, id, testkit.Block(":status", "103", "x", "y")), 10))
	}, false},
	{"CONTINUATION without end", func(f *testkit.Frames, id uint32) {
		f.Frame(http2.FrameHeaders, 0, id, testkit.Block(":status", "200"))
		flood(f, raw(http2.FrameContinuation, 0, id, testkit.Block("x", "y")))
	}, false},
	{"GOAWAY without end, which rises", func(f *testkit.Frames, id uint32) {
		for i := range uint32(5000) {
			f.GoAway(id+2*i, http2.ErrCodeNo)
		}
	}, false},
	{"GOAWAY for all", func(f *testkit.Frames, _ uint32) { f.GoAway(0, http2.ErrCodeInternal) }, false},
	{"PUSH_PROMISE", func(f *testkit.Frames, id uint32) {
		f.Frame(http2.FramePushPromise, http2.FlagPushPromiseEndHeaders, id, "\x00\x00\x00\x02"+testkit.Block(ask2()...))
	}, false},
	{"an answer of a stream that nobody opened", func(f *testkit.Frames, id uint32) { f.Head(id+100, true, ":status", "200") }, false},
	{"an answer of an even stream", func(f *testkit.Frames, _ uint32) { f.Head(2, true, ":status", "200") }, false},
	{"more than the connection's window", func(f *testkit.Frames, id uint32) {
		f.Head(id, false, ":status", "200")
		for range 300 {
			f.Data(id+100, false, strings.Repeat("x", 16384))
		}
	}, false},
	{"a window that is too large", func(f *testkit.Frames, _ uint32) { f.Frame(http2.FrameWindowUpdate, 0, 0, "\x7f\xff\xff\xff") }, false},
	{"a head that cannot be decoded", func(f *testkit.Frames, id uint32) { f.HeadOf(id, true, "\xff\xff\x01") }, false},
	{"a bomb of references", func(f *testkit.Frames, id uint32) {
		f.HeadOf(id, true, "\x88\x40"+testkit.Block("x", strings.Repeat("y", 4000))[1:]+strings.Repeat("\xbe", 10_000))
	}, true},
	{"a reset of every stream", func(f *testkit.Frames, id uint32) { f.Reset(id, http2.ErrCodeInternal) }, true},
	{"DATA without a head", func(f *testkit.Frames, id uint32) { f.Data(id, true, "x") }, true},
}

// A server that does what none must harms nobody but itself: its requests end in time, it is ejected, and all else goes on.
func TestFL10MaliciousServers(t *testing.T) {
	t.Parallel()
	testkit.Each(t, func(t *testing.T, s testkit.Setup) {
		s.HTTP1(t) // it has peers of its own
		for _, m := range malices {
			t.Run(m.name, func(t *testing.T) { m.test(t, s) })
		}
	})
}

func (m *malice) test(t *testing.T, s testkit.Setup) {
	ended := make(chan struct{}, 100)
	bad := testkit.ServeFrames(t, func(f *testkit.Frames) {
		f.Settings()
		for {
			id, _, ok := f.Request()
			if !ok {
				break
			}
			m.act(f, id)
		}
		select {
		case ended <- struct{}{}:
		default:
		}
	})
	good, other := testkit.ServeFrames(t, testkit.Answers(testkit.OKFrames)), testkit.ServeFrames(t, testkit.Answers(testkit.OKFrames))
	p := testkit.Start(t, s, fmt.Sprintf(`
timeouts: { response: 1s, body_idle: 1s }
listeners:
  - address: 127.0.0.1:0
    pool: mixed
    routes: [{ match: { path: /bad }, pool: bad }, { match: { path: /other }, pool: other }]
pools:
  mixed: { servers: [%[1]s, %[2]s], http_version: 2, policy: round_robin }
  bad: { servers: [%[1]s], http_version: 2, eject: { enabled: false } }
  other: { servers: [%[3]s], http_version: 2 }
`, bad.Addr, good.Addr, other.Addr))
	begun := time.Now()
	f := testkit.DialFrames(t, p.Addr)
	f.Head(1, true, changed(ask2(), ":path", "/bad")...)
	f.Head(3, true, changed(ask2(), ":path", "/other")...)
	wantHeard(t, "another pool's answer", f.Await(3), 200, "ok")
	if h := f.Await(1); !h.Reset && (h.Status() < 502 || h.Status() > 504) {
		t.Errorf("its answer: %+v, want 502, 503, 504 or a reset", h)
	}
	if d := time.Since(begun); d > testkit.Patience {
		t.Errorf("its answer took %v", d)
	}
	if !m.stays {
		select {
		case <-ended:
		case <-time.After(testkit.Patience):
			t.Error("its connection stays open")
		}
	}
	ejected := func() bool { return state2(p, "mixed", bad.Addr) == "ejected" }
	id := uint32(5)
	testkit.Eventually(t, "ejection", func() bool {
		f.Head(id, true, ask2()...)
		f.Await(id)
		id += 2
		return ejected()
	})
	testkit.Eventually(t, "ten answers of the good server alone", func() bool {
		for range 10 {
			f.Head(id, true, ask2()...)
			h := f.Await(id)
			if id += 2; h.Status() != 200 {
				return false
			}
		}
		return true
	})
}

// state2 is that of a server in a pool.
func state2(p *testkit.Poise, pool, addr string) string {
	for _, pl := range p.App.Status().Pools {
		for _, server := range pl.Servers {
			if pl.Name == pool && server.Address == addr {
				return server.State
			}
		}
	}
	return ""
}

// Requests that may be repeated are asked of a good server, and clients see nothing.
func TestFL10OthersAnswer(t *testing.T) {
	t.Parallel()
	testkit.Each(t, func(t *testing.T, s testkit.Setup) {
		s.HTTP1(t)
		for name, act := range map[string]func(f *testkit.Frames, id uint32){
			"refused":        func(f *testkit.Frames, id uint32) { f.Reset(id, http2.ErrCodeRefusedStream) },
			"reset":          func(f *testkit.Frames, id uint32) { f.Reset(id, http2.ErrCodeInternal) },
			"GOAWAY for all": func(f *testkit.Frames, _ uint32) { f.GoAway(0, http2.ErrCodeNo) },
			"PUSH_PROMISE": func(f *testkit.Frames, id uint32) {
				f.Frame(http2.FramePushPromise, endHeaders, id, "\x00\x00\x00\x02\x82")
			},
			"no head, but DATA": func(f *testkit.Frames, id uint32) { f.Data(id, true, "x") },
		} {
			bad := testkit.ServeFrames(t, testkit.Answers(func(f *testkit.Frames, id uint32, _ *testkit.Heard) { act(f, id) }))
			good := testkit.ServeFrames(t, testkit.Answers(testkit.OKFrames))
			p := testkit.Start(t, s, fmt.Sprintf("listen: 127.0.0.1:0\nservers: [%s, %s]\nhttp_version: 2\npolicy: round_robin\neject: { enabled: false }\n", bad.Addr, good.Addr))
			f := testkit.DialFrames(t, p.Addr)
			for i := range uint32(6) {
				f.Head(2*i+1, true, ask2()...)
				wantHeard(t, name, f.Await(2*i+1), 200, "ok")
			}
			if len(bad.Asked()) == 0 {
				t.Errorf("%s: the bad server was not asked", name)
			}
		}
	})
}

// A server that takes no stream costs no connection for each request.
func TestFL10NoStreams(t *testing.T) {
	t.Parallel()
	testkit.Each(t, func(t *testing.T, s testkit.Setup) {
		s.HTTP1(t)
		var open atomic.Int32
		server := testkit.ServeFrames(t, func(f *testkit.Frames) {
			open.Add(1)
			defer open.Add(-1)
			f.Settings(http2.Setting{ID: http2.SettingMaxConcurrentStreams, Val: 0})
			for {
				id, h, ok := f.Request()
				if !ok {
					return
				}
				testkit.OKFrames(f, id, h)
			}
		})
		p := short(t, s, server.Server, "http_version: 2", "eject: { enabled: false }", "timeouts: { connect: 1s }")
		f := testkit.DialFrames(t, p.Addr)
		for i := range uint32(50) {
			f.Head(2*i+1, true, ask2()...)
			if h := f.Await(2*i + 1); h.Status() != 200 && h.Status() != 503 {
				t.Errorf("answer %+v, want 200 or 503", h)
			}
		}
		testkit.Eventually(t, "end of connections that can serve nobody", func() bool { return int(open.Load()) <= s.Loops })
	})
}
