package wire

import (
	"crypto/sha1"
	"encoding/base64"
	"strings"
	"testing"
	"time"

	"poise/internal/testkit"
)

const wsKey = "dGhlIHNhbXBsZSBub25jZQ=="

// wsFields are what a request for a WebSocket has besides its Host.
var wsFields = []string{"Connection: keep-alive, Upgrade", "Upgrade: WebSocket", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: " + wsKey}

// wsAsk is a request for a WebSocket.
func wsAsk(path string) string { return getOf(path, wsFields...) }

// wsAccept is what a server proves with that it has understood.
func wsAccept(key string) string {
	h := sha1.Sum([]byte(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	return base64.StdEncoding.EncodeToString(h[:])
}

// wsTake is a server's answer to a request for a WebSocket.
func wsTake(head string) string {
	return "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: " +
		wsAccept(testkit.FieldsOf(head, "Sec-WebSocket-Key")[0]) + "\r\n\r\n"
}

// without is wsFields but for those that begin with a name, and with more.
func without(name string, more ...string) []string {
	var fields []string
	for _, f := range wsFields {
		if !strings.HasPrefix(f, name+":") {
			fields = append(fields, f)
		}
	}
	return append(fields, more...)
}

// A request that does not ask for a WebSocket as RFC 6455 section 4.2.1 has it is one like others: the server hears of no upgrade, and cannot make one.
func TestHT9Asked(t *testing.T) {
	t.Parallel()
	get := func(path string, fields []string) string { return getOf(path, fields...) }
	tests := []struct {
		name string
		send func(path string) string
	}{
		{"version 12", func(p string) string { return get(p, without("Sec-WebSocket-Version", "Sec-WebSocket-Version: 12")) }},
		{"no version", func(p string) string { return get(p, without("Sec-WebSocket-Version")) }},
		{"two versions", func(p string) string { return get(p, without("", "Sec-WebSocket-Version: 13")) }},
		{"no key", func(p string) string { return get(p, without("Sec-WebSocket-Key")) }},
		{"two keys", func(p string) string { return get(p, without("", "Sec-WebSocket-Key: "+wsKey)) }},
		{"short key", func(p string) string { return get(p, without("Sec-WebSocket-Key", "Sec-WebSocket-Key: c2hvcnQ=")) }},
		{"key of 17 bytes", func(p string) string {
			return get(p, without("Sec-WebSocket-Key", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZTE="))
		}},
		{"key in no base64", func(p string) string {
			return get(p, without("Sec-WebSocket-Key", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZ*=="))
		}},
		{"no Connection", func(p string) string { return get(p, without("Connection")) }},
		{"no Connection: upgrade", func(p string) string { return get(p, without("Connection", "Connection: keep-alive")) }},
		{"two protocols", func(p string) string { return get(p, without("Upgrade", "Upgrade: websocket, other")) }},
		{"two Upgrade fields", func(p string) string { return get(p, without("", "Upgrade: websocket")) }},
		{"h2c", func(p string) string {
			return get(p, without("Upgrade", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAAQAAP__"))
		}},
		{"POST", func(p string) string {
			return strings.Replace(get(p, without("", "Content-Length: 0")), "GET", "POST", 1)
		}},
		{"body", func(p string) string { return get(p, without("", "Content-Length: 4")) + "body" }},
		{"chunked body", func(p string) string {
			return get(p, without("", "Transfer-Encoding: chunked")) + "4\r\nbody\r\n0\r\n\r\n"
		}},
		{"HTTP/1.0", func(p string) string { return strings.Replace(wsAsk(p), "HTTP/1.1", "HTTP/1.0", 1) }},
		{"route without", func(p string) string { return wsAsk("/none" + p) }},
	}
	testkit.Each(t, func(t *testing.T, s testkit.Setup) {
		s.HTTP1(t)
		heads := make(chan string, 1)
		server := testkit.Serve(t, func(p *testkit.Peer) {
			for {
				head, err := p.ReadHead()
				if err != nil {
					return
				}
				if strings.Contains(head, "ontent-Length: 4") {
					_, _ = p.R.Discard(len("body"))
				} else if strings.Contains(head, "hunked") {
					_, _ = p.R.Discard(len("4\r\nbody\r\n0\r\n\r\n"))
				}
				heads <- head
				answer := testkit.OK
				if strings.HasSuffix(testkit.PathOf(head), "/switch") {
					answer = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: " + wsAccept(wsKey) +
						"\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nsecret"
				}
				if p.Send(answer) != nil {
					return
				}
			}
		})
		p := testkit.Start(t, s, `
listeners: [{ address: 127.0.0.1:0, pool: p, routes: [{ match: { path: /none/* }, pool: p, upgrades: [] }] }]
pools: { p: { servers: [`+server.Addr+`], eject: { enabled: false }, retry: { attempts: 1 } } }
`)
		for _, tt := range tests {
			for _, path := range []string{"/ask", "/switch"} {
				c := testkit.Dial(t, p.Addr)
				c.Send(tt.send(path))
				r := c.Read("GET")
				head := <-heads
				if testkit.FieldsOf(head, "Upgrade") != nil || testkit.FieldsOf(head, "HTTP2-Settings") != nil ||
					strings.Contains(strings.ToLower(strings.Join(testkit.FieldsOf(head, "Connection"), ",")), "upgrade") {
					t.Errorf("%s: the server got\n%s", tt.name, head)
				}
				if path == "/ask" {
					wantResponse(t, tt.name, r, 200, "ok")
				} else if r.StatusCode != 502 || strings.Contains(r.Body, "secret") {
					t.Errorf("%s: an unasked 101 = %d %q, want 502", tt.name, r.StatusCode, r.Body)
				}
				_ = c.Close()
			}
		}
	})
}

// Only a 101 that answers what was asked upgrades the connection; other answers are passed on as such, and what the client has sent too early is no request.
func TestHT9Answered(t *testing.T) {
	t.Parallel()
	const rest = "\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: "
	accept := wsAccept(wsKey)
	tests := []struct {
		name, answer string
		status       int
	}{
		{"426", "HTTP/1.1 426 Upgrade Required\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nContent-Length: 2\r\n\r\nno", 426},
		{"200", testkit.OK, 200},
		{"200 that looks like it", "HTTP/1.1 200 OK" + rest + accept + "\r\nContent-Length: 2\r\n\r\nno", 200},
		{"other accept", "HTTP/1.1 101 Switching Protocols" + rest + wsAccept("other") + "\r\n\r\n", 502},
		{"accept in lower case", "HTTP/1.1 101 Switching Protocols" + rest + strings.ToLower(accept) + "\r\n\r\n", 502},
		{"no accept", "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n", 502},
		{"two accepts", "HTTP/1.1 101 Switching Protocols" + rest + accept + "\r\nSec-WebSocket-Accept: " + accept + "\r\n\r\n", 502},
		{"no Upgrade", "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: " + accept + "\r\n\r\n", 502},
		{"other protocol", "HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: " + accept + "\r\n\r\n", 502},
		{"no Connection", "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: " + accept + "\r\n\r\n", 502},
		{"HTTP/1.0", "HTTP/1.0 101 Switching Protocols" + rest + accept + "\r\n\r\n", 502},
	}
	m := scripts{}
	for _, tt := range tests {
		m["/"+strings.ReplaceAll(tt.name, " ", "-")] = testkit.Reply(tt.answer)
	}
	testkit.Each(t, func(t *testing.T, s testkit.Setup) {
		s.HTTP1(t)
		slow(t, s)
		p, server := before(t, s, m, "retry: { attempts: 1 }")
		for _, tt := range tests {
			path := "/" + strings.ReplaceAll(tt.name, " ", "-")
			for _, early := range []string{"", getOf("/smuggled")} {
				c := testkit.Dial(t, p.Addr)
				c.Send(wsAsk(path) + early)
				if r := c.Read("GET"); r.StatusCode != tt.status {
					t.Errorf("%s = %d %q, want %d", tt.name, r.StatusCode, r.Body, tt.status)
				}
				if early != "" {
					wantClosed(t, c)
				} else if tt.status < 500 {
					wantOpen(t, c)
				}
				_ = c.Close()
			}
		}
		if strings.Contains(server.Got(), "smuggled") {
			t.Errorf("the server got\n%s", server.Got())
		}
		for path, records := range p.ParsedAtLeast(t, 2*len(tests)) {
			if r := records[0]; r.Status == 502 && (r.End != "SH--" || !strings.Contains(r.Reason, "101")) {
				t.Errorf("record of %s: %s %q, want SH-- and a word of the 101", path, r.End, r.Reason)
			}
		}
	})
}

// What a client sends before the answer is held until the server has switched.
func TestHT9Early(t *testing.T) {
	t.Parallel()
	testkit.Each(t, func(t *testing.T, s testkit.Setup) {
		s.HTTP1(t)
		early := make(chan bool, 1)
		p, _ := before(t, s, scripts{"/ws": func(p *testkit.Peer, head string) bool {
			if !s.ServerTLS { // TLS does not get over a deadline
				_ = p.TCP.SetReadDeadline(time.Now().Add(30 * time.Millisecond))
				_, err := p.R.Peek(1)
				early <- err == nil
				_ = p.TCP.SetReadDeadline(time.Now().Add(testkit.Patience))
			}
			_ = p.Send(wsTake(head))
			rest, _ := p.AwaitEnd()
			_ = p.Send(rest)
			return false
		}})
		c := testkit.Dial(t, p.Addr)
		c.Send(wsAsk("/ws") + getOf("/next"))
		if r := c.Read("GET"); r.StatusCode != 101 {
			t.Fatalf("answer %d", r.StatusCode)
		}
		if !s.ServerTLS && <-early {
			t.Errorf("the server got something before it has switched")
		}
		_ = c.CloseWrite()
		if rest, clean := c.Closed(); rest != getOf("/next") || !clean {
			t.Errorf("client got %q, clean %v", rest, clean)
		}
	})
}
