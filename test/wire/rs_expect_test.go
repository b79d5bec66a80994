package wire

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"poise/internal/testkit"
)

const expecting = "POST %s HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n"

func TestRS6Expect(t *testing.T) {
	t.Parallel()
	testkit.Each(t, func(t *testing.T, s testkit.Setup) {
		heads := make(chan string, 16)
		p, server := before(t, s, scripts{
			"/continue": func(p *testkit.Peer, head string) bool {
				heads <- head
				_ = p.Send("HTTP/1.1 100 Continue\r\n\r\n")
				return echoBody(p, head)
			},
			"/refuse": func(p *testkit.Peer, head string) bool {
				heads <- head
				_ = p.Send("HTTP/1.1 401 No\r\nContent-Length: 2\r\n\r\nno")
				rest, _ := p.AwaitEnd()
				if rest != "" {
					t.Errorf("behind a refused expectation came %q, want the connection's end", rest)
				}
				return false
			},
			"/417": func(p *testkit.Peer, head string) bool {
				_ = p.Send("HTTP/1.1 417 Expectation Failed\r\nContent-Length: 0\r\n\r\n")
				_, _ = p.AwaitEnd()
				return false
			},
			"/final200": func(p *testkit.Peer, head string) bool {
				_ = p.Send(testkit.OK)
				_, _ = p.AwaitEnd()
				return false
			},
			"/plain": func(p *testkit.Peer, head string) bool { heads <- head; return echoBody(p, head) },
			"/silent": func(p *testkit.Peer, head string) bool {
				_, _ = p.AwaitEnd()
				return false
			},
		}, "timeouts: { body_idle: 250ms }")
		c := testkit.Dial(t, p.Addr)
		t.Run("100 and a final response", func(t *testing.T) {
			for range 2 {
				c.Send(fmt.Sprintf(expecting, "/continue"))
				if r := c.Read("POST"); r.StatusCode != 100 || len(r.Header) != 0 {
					t.Fatalf("interim response %d %v, want a bare 100", r.StatusCode, r.Header)
				}
				c.Send("hello")
				wantResponse(t, "POST", c.Read("POST"), 200, "hello")
				if head := <-heads; len(testkit.FieldsOf(head, "Expect")) != 1 {
					t.Errorf("the server got %q, want the expectation", head)
				}
			}
			wantOpen(t, c)
		})
		t.Run("final response without 100", func(t *testing.T) {
			for path, status := range map[string]int{"/refuse": 401, "/417": 417, "/final200": 200} {
				c := testkit.Dial(t, p.Addr)
				c.Send(fmt.Sprintf(expecting, path))
				r := c.Read("POST")
				if r.StatusCode != status || !saysClose(s, r) {
					t.Errorf("%s = %d, close %v, want %d, true", path, r.StatusCode, r.Close, status)
				}
				if !s.HTTP2 {
					c.Send(getOf("/smuggled")) // or is it the body?
				}
				wantClosed(t, c)
			}
			<-heads
			if strings.Contains(server.Got(), "/smuggled") {
				t.Error("what followed a refused expectation was passed on")
			}
		})
		t.Run("body at once", func(t *testing.T) {
			c := testkit.Dial(t, p.Addr)
			c.Send(fmt.Sprintf(expecting, "/plain") + "hello")
			wantResponse(t, "POST", c.Read("POST"), 200, "hello")
			<-heads
			wantOpen(t, c)
		})
		t.Run("without a body", func(t *testing.T) {
			c := testkit.Dial(t, p.Addr)
			c.Send(getOf("/plain", "Expect: 100-continue"))
			wantResponse(t, "GET", c.Read("GET"), 200, "")
			if head := <-heads; len(testkit.FieldsOf(head, "Expect")) != 0 {
				t.Errorf("the server got %q, want no expectation of nothing", head)
			}
			wantOpen(t, c)
		})
		t.Run("neither side moves", func(t *testing.T) {
			c := testkit.Dial(t, p.Addr)
			begin := time.Now()
			c.Send(fmt.Sprintf(expecting, "/silent"))
			if r := c.Read("POST"); r.StatusCode != 408 || !saysClose(s, r) {
				t.Errorf("a client that waits for 100 for ever got %d, close %v, want 408, true", r.StatusCode, r.Close)
			}
			if d := time.Since(begin); d < 250*time.Millisecond {
				t.Errorf("it was given up after %v, want 250ms", d)
			}
			wantClosed(t, c)
		})
		t.Run("HTTP/1.0", func(t *testing.T) {
			s.ClientHTTP1(t)
			c := testkit.Dial(t, p.Addr)
			c.Send("POST /continue HTTP/1.0\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\nhello")
			wantResponse(t, "POST", c.Read("POST"), 200, "hello") // and no 100 before it
			<-heads
			wantClosed(t, c)
		})
		t.Run("unknown expectation", func(t *testing.T) {
			for _, value := range []string{"200-ok", "100-continue, x", "", "100-continue;a"} {
				c := testkit.Dial(t, p.Addr)
				c.Send("POST /unknown HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: " + value + "\r\n\r\n")
				if r := c.Read("POST"); r.StatusCode != http.StatusExpectationFailed || !saysClose(s, r) {
					t.Errorf("Expect: %q = %d, close %v, want 417, true", value, r.StatusCode, r.Close)
				}
				wantClosed(t, c)
			}
			if strings.Contains(server.Got(), "/unknown") {
				t.Error("a request with an unknown expectation was passed on")
			}
		})
	})
}

func TestRS7InterimResponses(t *testing.T) {
	t.Parallel()
	big := "HTTP/1.1 103 Early Hints\r\nX: " + strings.Repeat("y", 9000) + "\r\n\r\n"
	testkit.Each(t, func(t *testing.T, s testkit.Setup) {
		hint := "HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\nConnection: close\r\nKeep-Alive: x\r\n\r\n"
		if s.ServerHTTP2 {
			hint = strings.Replace(hint, "Keep-Alive: x\r\n", "", 1)
		}
		p, server := before(t, s, scripts{
			"/hint":      testkit.Reply(hint + testkit.OK),
			"/mixed":     testkit.Reply("HTTP/1.1 100 Continue\r\n\r\n" + hint + "HTTP/1.1 102 Processing\r\n\r\n" + testkit.OK),
			"/sixteen":   testkit.Reply(strings.Repeat(hint, 16) + testkit.OK),
			"/seventeen": testkit.Reply(strings.Repeat(hint, 17) + testkit.OK),
			"/endless":   testkit.Reply(strings.Repeat(hint, 3000)),
			"/large":     testkit.Reply(strings.Repeat(big, 5) + testkit.OK),
			"/toolarge":  testkit.Reply(strings.Repeat(big, 8) + testkit.OK),
			"/unasked":   testkit.Reply("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\nraw"),
			"/length":    testkit.Reply("HTTP/1.1 103 Early Hints\r\nContent-Length: 5\r\n\r\n" + testkit.OK),
			"/behind":    testkit.Reply(testkit.OK + "HTTP/1.1 100 Continue\r\n\r\n"),
		})
		tests := []struct {
			name, request string
			interims      int // those of status 103 before the last
			status        int
			body          string
		}{
			{"passed on", getOf("/hint"), 1, 200, "ok"},
			{"of all kinds", getOf("/mixed"), 1, 200, "ok"},
			{"not to HTTP/1.0", "GET /hint HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", 0, 200, "ok"},
			{"sixteen", getOf("/sixteen"), 16, 200, "ok"},
			{"one too many", getOf("/seventeen"), 16, 502, badGateway},
			{"one too many for HTTP/1.0", "GET /seventeen HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", 0, 502, badGateway},
			{"without end", getOf("/endless"), 16, 502, badGateway},
			{"large", getOf("/large"), 5, 200, "ok"},
			{"too large", getOf("/toolarge"), 7, 502, badGateway},
			{"101 that nobody asked for", getOf("/unasked"), 0, 502, badGateway},
			{"101 after an upgrade that we do not pass on", getOf("/unasked", "Connection: upgrade", "Upgrade: websocket"), 0, 502, badGateway},
			{"with a length", getOf("/length"), 1, 200, "ok"},
			{"behind the final one", getOf("/behind"), 0, 200, "ok"},
		}
		n := 0
		for _, tt := range tests {
			t.Run(tt.name, func(t *testing.T) {
				if strings.Contains(tt.request, "HTTP/1.0") || strings.Contains(tt.request, "Upgrade") {
					s.ClientHTTP1(t)
				}
				if tt.name == "too large" { // what is packed takes less
					s.ServersHTTP1(t)
				}
				if strings.Contains(tt.request, "/unasked") || strings.Contains(tt.request, "/behind") {
					s.ServersHTTP1(t)
				}
				n++
				c := testkit.Dial(t, p.Addr)
				c.Send(tt.request)
				got := 0
				r := c.Read("GET")
				for ; r.StatusCode < 200; r = c.Read("GET") {
					if r.StatusCode == 103 {
						got++
					}
					if r.Header.Get("Connection") != "" || r.Header.Get("Keep-Alive") != "" || r.Header.Get("Content-Length") != "" {
						t.Errorf("interim response with %v, want no field of the connection or of framing", r.Header)
					}
				}
				wantResponse(t, tt.name, r, tt.status, tt.body)
				if got != tt.interims {
					t.Errorf("%d interim responses, want %d", got, tt.interims)
				}
				wantOpen(t, c)
			})
		}
		if got := strings.ToLower(server.Got()); strings.Contains(got, "upgrade") {
			t.Error("an upgrade was passed on")
		}
		p.Parsed(t, 2*n)
	})
}
