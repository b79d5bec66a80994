package wire

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"poise/internal/testkit"
)

// stream is one stream of HTTP/2 that carries a WebSocket, as the only one of a connection. It is a peer's, on either side.
type stream struct {
	t      *testing.T
	conn   net.Conn
	framer *http2.Framer
	id     uint32
	fields map[string]string // that have come
	ended  bool
	reset  bool
}

func newStream(t *testing.T, conn net.Conn) *stream {
	t.Cleanup(func() { _ = conn.Close() })
	s := &stream{t: t, conn: conn, framer: http2.NewFramer(conn, conn), id: 1}
	s.framer.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	_ = conn.SetDeadline(time.Now().Add(testkit.Patience))
	return s
}

// connect asks for something by an extended CONNECT, over a connection of its own.
func connect(t *testing.T, addr, protocol string, fields ...string) *stream {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	s := newStream(t, conn)
	_, _ = io.WriteString(conn, http2.ClientPreface)
	_ = s.framer.WriteSettings()
	s.head(slices.Concat([]string{":method", "CONNECT", ":protocol", protocol, ":scheme", "http", ":authority", "example.test", ":path", "/ws"}, fields))
	return s
}

func (s *stream) head(fields []string) {
	var b bytes.Buffer
	e := hpack.NewEncoder(&b)
	for i := 0; i < len(fields); i += 2 {
		_ = e.WriteField(hpack.HeaderField{Name: fields[i], Value: fields[i+1]})
	}
	_ = s.framer.WriteHeaders(http2.HeadersFrameParam{StreamID: s.id, BlockFragment: b.Bytes(), EndHeaders: true})
}

// next is the next piece of what comes, or a head; empty after the end.
func (s *stream) next() (data string) {
	for !s.ended {
		f, err := s.framer.ReadFrame()
		if err != nil {
			s.ended = true
			break
		}
		switch f := f.(type) {
		case *http2.SettingsFrame:
			if !f.IsAck() {
				_ = s.framer.WriteSettingsAck()
			}
		case *http2.MetaHeadersFrame:
			s.id, s.fields = f.StreamID, map[string]string{}
			for _, field := range f.Fields {
				s.fields[field.Name] = field.Value
			}
			s.ended = f.StreamEnded()
			return ""
		case *http2.RSTStreamFrame:
			s.ended, s.reset = true, true
		case *http2.DataFrame:
			s.ended = f.StreamEnded()
			if n := uint32(len(f.Data())); n > 0 {
				_ = s.framer.WriteWindowUpdate(0, n)
				_ = s.framer.WriteWindowUpdate(s.id, n)
			}
			return string(f.Data())
		}
	}
	return ""
}

// want reads so many bytes and compares them.
func (s *stream) want(text string) {
	s.t.Helper()
	got := ""
	for len(got) < len(text) && !s.ended {
		got += s.next()
	}
	if got != text {
		s.t.Errorf("came %q, want %q", got, text)
	}
}

// wantEnd reads up to the end, by which nothing comes.
func (s *stream) wantEnd() {
	s.t.Helper()
	for !s.ended {
		if got := s.next(); got != "" {
			s.t.Errorf("came %q, want the end", got)
		}
	}
	if s.reset {
		s.t.Error("the stream was reset, want its end")
	}
}

func (s *stream) send(text string) { _ = s.framer.WriteData(s.id, false, []byte(text)) }

func (s *stream) end() { _ = s.framer.WriteData(s.id, true, nil) }

// wsServer2 is a server of HTTP/2 that takes WebSockets, or says that it does not.
func wsServer2(t *testing.T, takes bool, serve func(s *stream)) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ln.Close() })
	go func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				s := newStream(t, conn)
				if _, err := io.ReadFull(conn, make([]byte, len(http2.ClientPreface))); err != nil {
					return
				}
				if takes {
					_ = s.framer.WriteSettings(http2.Setting{ID: http2.SettingEnableConnectProtocol, Val: 1})
				} else {
					_ = s.framer.WriteSettings()
				}
				if s.next(); s.fields != nil {
					serve(s)
				}
				for !s.ended {
					s.next()
				}
			}()
		}
	}()
	return ln.Addr().String()
}

var wsFields2 = []string{"sec-websocket-version", "13", "origin", "http://example.test", "sec-websocket-protocol", "chat"}

// wsBefore is Poise before a server of either version, which sends back what comes, and the end behind it.
func wsBefore(t *testing.T, s testkit.Setup, version int) *testkit.Poise {
	t.Helper()
	if version == 1 {
		p, _ := upgradedBefore(t, s, sendBack)
		return p
	}
	addr := wsServer2(t, true, func(s *stream) {
		if s.fields[":method"] != "CONNECT" || s.fields[":protocol"] != "websocket" || s.fields[":path"] != "/ws" || s.fields["sec-websocket-version"] != "13" ||
			s.fields["sec-websocket-key"] != "" || s.fields["upgrade"] != "" || s.fields["connection"] != "" {
			t.Errorf("the server was asked by %v", s.fields)
		}
		s.head([]string{":status", "200"})
		for !s.ended {
			if data := s.next(); data != "" {
				s.send(data)
			}
		}
		s.end()
	})
	return testkit.Start(t, s, fmt.Sprintf("listen: 127.0.0.1:0\nservers: [%q]\nhttp_version: 2\n", addr))
}

// A WebSocket goes over HTTP/1.1 or HTTP/2 on either side, bytes and ends both ways.
func TestWebSocketOverHTTP2(t *testing.T) {
	t.Parallel()
	testkit.Each(t, func(t *testing.T, s testkit.Setup) {
		s.InClear(t)
		s.HTTP1(t) // it has peers of its own
		large := strings.Repeat("0123456789abcdef", 20_000)
		for _, version := range []int{1, 2} {
			t.Run(fmt.Sprintf("client2/server%d", version), func(t *testing.T) {
				p := wsBefore(t, s, version)
				c := connect(t, p.Addr, "websocket", wsFields2...)
				for c.fields == nil && !c.ended {
					c.next()
				}
				if c.fields[":status"] != "200" || c.fields["sec-websocket-accept"] != "" || c.fields["upgrade"] != "" {
					t.Fatalf("answer %v", c.fields)
				}
				c.send("ping")
				c.want("ping")
				for b := large; b != ""; b = b[10_000:] { // below the stream's first window, each way
					c.send(b[:10_000])
					c.want(b[:10_000])
				}
				c.end()
				c.wantEnd()
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
		s.InClear(t)
		s.HTTP1(t) // it has peers of its own
		t.Run("client", func(t *testing.T) {
			ended := make(chan error, 1)
			p, _ := upgradedBefore(t, s, func(p *testkit.Peer) {
				_, err := io.Copy(io.Discard, p.R)
				ended <- err
			})
			c := connect(t, p.Addr, "websocket", wsFields2...)
			c.next()
			_ = c.framer.WriteRSTStream(c.id, http2.ErrCodeCancel)
			if err := <-ended; err == nil {
				t.Error("the server saw an end, want a reset")
			}
			if r := p.Await(t, "/ws"); r.End != "CD--" {
				t.Errorf("record %+v", r)
			}
		})
		t.Run("server", func(t *testing.T) {
			addr := wsServer2(t, true, func(s *stream) {
				s.head([]string{":status", "200"})
				_ = s.framer.WriteRSTStream(s.id, http2.ErrCodeInternal)
				s.ended = true // the connection too
			})
			p := testkit.Start(t, s, fmt.Sprintf("listen: 127.0.0.1:0\nservers: [%q]\nhttp_version: 2\n", addr))
			c := connect(t, p.Addr, "websocket", wsFields2...)
			for !c.ended {
				c.next()
			}
			if !c.reset {
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

// What is not offered, or not taken, is no upgrade: the client gets an answer that does not look like one.
func TestDG12Connect(t *testing.T) {
	t.Parallel()
	testkit.Each(t, func(t *testing.T, s testkit.Setup) {
		s.InClear(t)
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
		untaken := wsServer2(t, false, func(*stream) { t.Error("a server that takes no upgrade was asked for one") })
		takes := wsBefore(t, s, 1)
		for name, tt := range map[string]struct {
			p        *testkit.Poise
			protocol string
			fields   []string
			want     string
		}{
			"another protocol":         {takes, "connect-udp", wsFields2, "501"},
			"no version":               {takes, "websocket", nil, "501"},
			"the server refuses":       {plain("403 Forbidden"), "websocket", wsFields2, "403"},
			"the server does as usual": {plain("200 OK"), "websocket", wsFields2, "501"},
			"a wrong proof":            {beforeServers(t, s, []*testkit.Server{wrong}), "websocket", wsFields2, "502"},
			"a server that takes none": {testkit.Start(t, s, fmt.Sprintf("listen: 127.0.0.1:0\nservers: [%q]\nhttp_version: 2\n", untaken)), "websocket", wsFields2, "501"},
		} {
			c := connect(t, tt.p.Addr, tt.protocol, tt.fields...)
			for c.fields == nil && !c.ended {
				c.next()
			}
			if got := c.fields[":status"]; got != tt.want {
				t.Errorf("%s: status %q, want %s", name, got, tt.want)
			}
		}
	})
}
