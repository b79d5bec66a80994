package wire

import (
	"fmt"
	"io"
	"strings"
	"testing"

	"golang.org/x/net/http2"

	"poise/internal/testkit"
)

var wsFields2 = []string{"sec-websocket-version", "13", "origin", "http://example.test", "sec-websocket-protocol", "chat"}

// connect asks for something by an extended CONNECT, as stream 1 of a connection of its own, and waits for the answer.
func connect(t *testing.T, addr, protocol string, fields ...string) (*testkit.Frames, *testkit.Heard) {
	t.Helper()
	f := testkit.DialFrames(t, addr)
	f.Head(1, false, append([]string{":method", "CONNECT", ":protocol", protocol, ":scheme", "http", ":authority", "example.test", ":path", "/ws"}, fields...)...)
	h := f.Stream(1)
	f.Until(func() bool { return h.Status() != 0 || h.Over() })
	return f, h
}

// wantBody wants to have got a stream's body so far.
func wantBody(t *testing.T, f *testkit.Frames, h *testkit.Heard, want string) {
	t.Helper()
	f.Until(func() bool { return len(h.Body) >= len(want) || h.Over() })
	if h.Body != want {
		t.Errorf("came %d bytes, want %d: %.100q", len(h.Body), len(want), h.Body)
	}
}

// wsTakes is a server of HTTP/2 that takes WebSockets, and then does what serve says.
func wsTakes(t *testing.T, serve func(f *testkit.Frames, id uint32, h *testkit.Heard)) *testkit.FramesServer {
	t.Helper()
	return testkit.ServeFrames(t, func(f *testkit.Frames) {
		f.Settings(http2.Setting{ID: http2.SettingEnableConnectProtocol, Val: 1})
		for {
			id, h, ok := f.Request()
			if !ok {
				return
			}
			f.Head(id, false, ":status", "200")
			serve(f, id, h)
		}
	})
}

// sendBack2 sends back what comes, and the end behind it.
func sendBack2(f *testkit.Frames, id uint32, h *testkit.Heard) {
	for sent := 0; ; sent = len(h.Body) {
		f.Until(func() bool { return len(h.Body) > sent || h.Over() })
		if len(h.Body) == sent {
			break
		}
		f.Data(id, false, h.Body[sent:])
	}
	if h.Ended {
		f.Data(id, true, "")
	}
}

// before2 is Poise before a server of HTTP/2.
func before2(t *testing.T, s testkit.Setup, server *testkit.FramesServer, settings ...string) *testkit.Poise {
	t.Helper()
	return beforeServers(t, s, []*testkit.Server{server.Server}, append(settings, "http_version: 2")...)
}

// wsBefore is Poise before a server of either version, which sends back what comes, and the end behind it.
func wsBefore(t *testing.T, s testkit.Setup, version int) *testkit.Poise {
	t.Helper()
	if version == 1 {
		p, _ := upgradedBefore(t, s, sendBack)
		return p
	}
	return before2(t, s, wsTakes(t, func(f *testkit.Frames, id uint32, h *testkit.Heard) {
		asked := func(name string) string { return strings.Join(h.All(name), " ") }
		if asked(":method") != "CONNECT" || asked(":protocol") != "websocket" || asked(":path") != "/ws" || asked("sec-websocket-version") != "13" ||
			asked("sec-websocket-key") != "" || asked("upgrade") != "" || asked("connection") != "" {
			t.Errorf("the server was asked by %v", h.Heads)
		}
		sendBack2(f, id, h)
	}))
}

// A WebSocket goes over HTTP/1.1 or HTTP/2 on either side, bytes and ends both ways.
func TestWebSocketOverHTTP2(t *testing.T) {
	t.Parallel()
	testkit.Each(t, func(t *testing.T, s testkit.Setup) {
		s.HTTP1(t) // it has peers of its own
		large := strings.Repeat("0123456789abcdef", 20_000)
		for _, version := range []int{1, 2} {
			t.Run(fmt.Sprintf("client2/server%d", version), func(t *testing.T) {
				p := wsBefore(t, s, version)
				f, h := connect(t, p.Addr, "websocket", wsFields2...)
				if h.Status() != 200 || h.Over() || len(h.All("sec-websocket-accept")) > 0 || len(h.All("upgrade")) > 0 {
					t.Fatalf("answer %+v", h)
				}
				f.Data(1, false, "ping")
				wantBody(t, f, h, "ping")
				for from := 0; from < len(large); from += 10_000 { // below the stream's first window, each way
					f.Data(1, false, large[from:from+10_000])
					wantBody(t, f, h, "ping"+large[:from+10_000])
				}
				f.Data(1, true, "")
				if f.Await(1); !h.Ended || h.Reset || h.Gone {
					t.Errorf("at the end: reset %v, gone %v, want an end", h.Reset, h.Gone)
				}
				if r := p.Await(t, "/ws"); r.Status != 200 || r.End != "----" || r.BytesOut < int64(len(large)) || r.ServerProtocol != fmt.Sprintf("HTTP/%d.%d", version, 2-version) {
					t.Errorf("record %+v", r)
				}
			})
		}
		t.Run("client1/server2", func(t *testing.T) {
			p := wsBefore(t, s, 2)
			c := switched(t, p)
			wantEcho(t, c, "ping")
			wantEcho(t, c, large[:60_000])
			_ = c.CloseWrite()
			if rest, clean := c.Closed(); rest != "" || !clean {
				t.Errorf("at the end came %q, clean %v", rest, clean)
			}
			wantEnd(t, p, "----", "")
		})
	})
}

// A reset of either side ends the other one by a reset, which nobody takes for the end of what was to be said.
func TestWebSocketOverHTTP2Reset(t *testing.T) {
	t.Parallel()
	testkit.Each(t, func(t *testing.T, s testkit.Setup) {
		s.HTTP1(t) // it has peers of its own
		t.Run("client", func(t *testing.T) {
			ended := make(chan error, 1)
			p, _ := upgradedBefore(t, s, func(p *testkit.Peer) {
				_, err := io.Copy(io.Discard, p.R)
				ended <- err
			})
			f, _ := connect(t, p.Addr, "websocket", wsFields2...)
			f.Reset(1, http2.ErrCodeCancel)
			if err := <-ended; err == nil {
				t.Error("the server saw an end, want a reset")
			}
			if r := p.Await(t, "/ws"); r.End != "CD--" {
				t.Errorf("record %+v", r)
			}
		})
		t.Run("server", func(t *testing.T) {
			p := before2(t, s, wsTakes(t, func(f *testkit.Frames, id uint32, _ *testkit.Heard) { f.Reset(id, http2.ErrCodeInternal) }))
			f, h := connect(t, p.Addr, "websocket", wsFields2...)
			if f.Await(1); !h.Reset {
				t.Error("the client saw an end, want a reset")
			}
			if r := p.Await(t, "/ws"); r.End != "SD--" {
				t.Errorf("record %+v", r)
			}
			if _, clean := switched(t, p).Closed(); clean {
				t.Error("a client of HTTP/1.1 saw an end, want a reset")
			}
		})
	})
}

// Nothing may move for relay_idle, nor may a side take nothing for so long: both sides get what was said, and an end in good order.
func TestWebSocketOverHTTP2Idle(t *testing.T) {
	t.Parallel()
	testkit.Each(t, func(t *testing.T, s testkit.Setup) {
		s.HTTP1(t) // it has peers of its own
		const idle = "timeouts: { relay_idle: 300ms }"
		t.Run("nothing moves", func(t *testing.T) {
			ended := make(chan bool, 1)
			p := before2(t, s, wsTakes(t, func(f *testkit.Frames, id uint32, h *testkit.Heard) {
				f.Data(id, false, "hello")
				f.Await(id)
				ended <- h.Ended && h.Body == "ping"
			}), idle)
			f, h := connect(t, p.Addr, "websocket", wsFields2...)
			f.Data(1, false, "ping")
			if f.Await(1); !h.Ended || h.Body != "hello" {
				t.Errorf("the client has %q, ended %v, reset %v, want hello and an end", h.Body, h.Ended, h.Reset)
			}
			if !<-ended {
				t.Error("the server did not get what was sent and an end")
			}
			if r := p.Await(t, "/ws"); r.End != "cD--" || !strings.Contains(r.Reason, "timed out") {
				t.Errorf("record %+v", r)
			}
		})
		t.Run("the client takes nothing", func(t *testing.T) {
			p, _ := upgradedBefore(t, s, func(p *testkit.Peer) {
				_ = p.Send(strings.Repeat("x", 200_000)) // more than the stream's window
				_, _ = io.Copy(io.Discard, p.R)
			}, idle)
			f, _ := connect(t, p.Addr, "websocket", wsFields2...)
			f.Silent = true // nothing is given back
			if h := f.Await(1); h.Ended || !h.Reset || h.Code != http2.ErrCodeCancel {
				t.Errorf("after a part of what was sent: ended %v, reset %v with %v, want a reset with CANCEL", h.Ended, h.Reset, h.Code)
			}
			if r := p.Await(t, "/ws"); r.End != "cD--" || !strings.Contains(r.Reason, "timed out") {
				t.Errorf("record %+v", r)
			}
		})
	})
}

// What is not offered, or not taken, is no upgrade: the client gets an answer that does not look like one.
func TestDG12Connect(t *testing.T) {
	t.Parallel()
	testkit.Each(t, func(t *testing.T, s testkit.Setup) {
		s.HTTP1(t) // it has peers of its own
		plain := func(status string) *testkit.Poise {
			server := testkit.Serve(t, func(p *testkit.Peer) {
				if _, err := p.ReadHead(); err == nil {
					_ = p.Send("HTTP/1.1 " + status + "\r\nContent-Length: 2\r\n\r\nno")
				}
			})
			return beforeServers(t, s, []*testkit.Server{server})
		}
		wrong := testkit.Serve(t, func(p *testkit.Peer) {
			if head, err := p.ReadHead(); err == nil {
				_ = p.Send(strings.Replace(wsTake(head), "Accept: ", "Accept: x", 1))
			}
		})
		untaken := testkit.ServeFrames(t, testkit.Answers(func(*testkit.Frames, uint32, *testkit.Heard) {
			t.Error("a server that takes no upgrade was asked for one")
		}))
		takes := wsBefore(t, s, 1)
		for name, tt := range map[string]struct {
			p        *testkit.Poise
			protocol string
			fields   []string
			want     int
		}{
			"another protocol":         {takes, "connect-udp", wsFields2, 501},
			"no version":               {takes, "websocket", nil, 501},
			"the server refuses":       {plain("403 Forbidden"), "websocket", wsFields2, 403},
			"the server does as usual": {plain("200 OK"), "websocket", wsFields2, 501},
			"a wrong proof":            {beforeServers(t, s, []*testkit.Server{wrong}), "websocket", wsFields2, 502},
			"a server that takes none": {before2(t, s, untaken), "websocket", wsFields2, 501},
		} {
			if _, h := connect(t, tt.p.Addr, tt.protocol, tt.fields...); h.Status() != tt.want {
				t.Errorf("%s: status %d, want %d", name, h.Status(), tt.want)
			}
		}
	})
}
