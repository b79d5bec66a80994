package wire

import (
	"crypto/tls"
	"fmt"
	"net"
	"strings"
	"testing"

	"poise/internal/testkit"
)

// echoRequest answers with the request's path, and with its body if there is one.
func echoRequest(f *forwarded) string {
	path := strings.Fields(f.line)[1] + f.body
	return fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(path), path)
}

func TestSM26ValidThenInvalid(t *testing.T) {
	t.Parallel()
	valid := func(n int) (s string, want []string) {
		for i := range n {
			switch i % 3 {
			case 0:
				s += fmt.Sprintf("GET /%d HTTP/1.1\r\nHost: a\r\n\r\n", i)
				want = append(want, fmt.Sprintf("/%d", i))
			case 1:
				s += fmt.Sprintf("POST /%d HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello", i)
				want = append(want, fmt.Sprintf("/%dhello", i))
			case 2:
				s += fmt.Sprintf("POST /%d HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", i) + chunkedHello
				want = append(want, fmt.Sprintf("/%dhello", i))
			}
		}
		return s, want
	}
	testkit.Each(t, func(t *testing.T, s testkit.Setup) {
		s.ClientHTTP1(t)
		server := serveReader(t, echoRequest)
		p := short(t, s, server.Server)
		log := newExpectedLog()
		n := 0
		for _, row := range []struct {
			name    string
			valid   int
			invalid string
			status  int
		}{
			{"wrong length", 1, post("hello", "Content-Length: +5"), 400},
			{"two framings", 3, post(chunkedHello, "Content-Length: 5", "Transfer-Encoding: chunked"), 400},
			{"no request", 3, "smuggled\r\n\r\n", 400},
			{"binary", 3, "\x00\x01\x02\x03", 400},
			{"unknown coding", 4, post(chunkedHello, "Transfer-Encoding: gzip"), 501},
			{"version", 2, "GET / HTTP/2.0\r\n\r\n", 505},
			{"fifty before it", 50, get("A : b"), 400},
			{"valid ones behind it", 3, get(": b") + second + second, 400},
			{"much behind it", 3, get("A\x00: b") + strings.Repeat("x", 512<<10), 400},
			{"too large", 3, get("A: " + strings.Repeat("x", 70<<10)), 431},
		} {
			requests, want := valid(row.valid)
			all := len(requests) + len(row.invalid)
			for _, size := range []int{all, 7} {
				if size == 7 && all > 2000 {
					continue
				}
				name := fmt.Sprintf("%s, by %d", row.name, size)
				t.Run(name, func(t *testing.T) {
					c := testkit.Dial(t, p.Addr)
					sendPieces(c, requests+row.invalid, size)
					for _, body := range want {
						if r := c.Read("POST"); r.StatusCode != 200 || r.Body != body {
							t.Fatalf("answer %d %q, want 200 %q", r.StatusCode, r.Body, body)
						}
						log.add(c, 200)
						n++
					}
					wantRefusal(t, c, row.status)
					log.add(c, row.status)
				})
			}
		}
		if all := server.requests(t, n); len(all) != n {
			t.Errorf("the server got %d requests, want %d", len(all), n)
		}
		log.check(t, p)
	})
}

func TestSM27EmptyLinesFirst(t *testing.T) {
	t.Parallel()
	const request = "GET /x HTTP/1.1\r\nHost: a\r\n\r\n"
	forwardedAs(t, []accept{
		{"none", request, "GET /x HTTP/1.1", "a"},
		{"one", "\r\n" + request, "GET /x HTTP/1.1", "a"},
		{"two", "\r\n\r\n" + request, "GET /x HTTP/1.1", "a"},
	}, testkit.Setup.ClientHTTP1)
	refuse(t, []attack{
		{"three", "\r\n\r\n\r\n" + request, 0},
		{"ten", strings.Repeat("\r\n", 10) + request, 0},
		{"10000", strings.Repeat("\r\n", 10000) + request, 0},
		{"nothing else", strings.Repeat("\r\n", 3), 0},
		{"a bare LF", "\n" + request, 0},
		{"a bare CR", "\r" + request, 0},
		{"CR CR LF", "\r\r\n" + request, 0},
		{"CRLF LF", "\r\n\n" + request, 0},
		{"CRLF CR", "\r\n\r" + request, 0},
		{"CRLF space", "\r\n " + request, 0},
		{"NUL", "\x00" + request, 0},
	})
}

// Some clients send an empty line behind a body; it is no part of the next request.
func TestSM27EmptyLinesBetween(t *testing.T) {
	t.Parallel()
	testkit.Each(t, func(t *testing.T, s testkit.Setup) {
		s.ClientHTTP1(t)
		server := serveReader(t, echoRequest)
		c := testkit.Dial(t, short(t, s, server.Server).Addr)
		c.Send(post("hello\r\n", "Content-Length: 5") + "\r\n" + post(chunkedHello+"\r\n", "Transfer-Encoding: chunked") + second)
		for _, want := range []string{"/smuggledhello", "/smuggledhello", "/second"} {
			if r := c.Read("POST"); r.Body != want {
				t.Errorf("answer %q, want %q", r.Body, want)
			}
		}
	})
}

// clientHello is what a client sends that takes the port for one of TLS.
func clientHello(t *testing.T) string {
	t.Helper()
	client, server := net.Pipe()
	done := make(chan string)
	go func() {
		b := make([]byte, 4096)
		n, _ := server.Read(b)
		_ = server.Close()
		done <- string(b[:n])
	}()
	_ = tls.Client(client, &tls.Config{ServerName: "example.test", NextProtos: []string{"h2", "http/1.1"}}).Handshake()
	return <-done
}

func TestSM28Garbage(t *testing.T) {
	t.Parallel()
	hello := clientHello(t)
	const marker = "echo-me-not"
	attacks := []attack{
		{"TLS ClientHello", hello, 0},
		{"SSLv2 ClientHello", "\x80\x2e\x01\x00\x02\x00\x15\x00\x00\x00\x10", 0},
		{"nearly an HTTP/2 preface", "PRI * HTTP/2.0\r\n\r\nMS\r\n\r\n", 505},
		{"an HTTP/2 preface behind an empty line", "\r\nPRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00", 505},
		{"a response", "HTTP/1.1 200 OK\r\nX: " + marker + "\r\n\r\n", 0},
		{"SSH", "SSH-2.0-" + marker + "\r\n", 0},
		{"SMTP", "EHLO " + marker + "\r\n", 0},
		{"Redis", "*1\r\n$4\r\nPING\r\n", 0},
		{"PROXY header", "PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", 0},
		{"PROXY header, version 2", "\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0c", 0},
		{"JSON", `{"` + marker + `": 1}`, 0},
		{"XML", "<" + marker + "/>", 0},
		{"script", "<script>" + marker + "</script>\r\n\r\n", 0},
		{"words", marker + " " + marker + " " + marker + "\r\n\r\n", 0},
		{"a long word", strings.Repeat(marker, 10), 501},
		{"NULs", strings.Repeat("\x00", 100), 0},
		{"0xff", strings.Repeat("\xff", 100), 0},
		{"1 MiB of NULs", strings.Repeat("\x00", 1<<20-1), 0},
	}
	for i := range 256 {
		if c := byte(i); !strings.ContainsRune("!#$%&'*+-.^_`|~\r", rune(c)) && (c < '0' || c > '9') && (c|0x20 < 'a' || c|0x20 > 'z') && (c < 0x80 || c%16 == 0) {
			attacks = append(attacks, attack{fmt.Sprintf("begins with %#02x", i), string([]byte{c}) + "bc\r\n\r\n", 0})
		}
	}
	refuse(t, attacks)
	testkit.Each(t, func(t *testing.T, s testkit.Setup) {
		s.ClientHTTP1(t)
		server := serveReader(t, ok)
		p := short(t, s, server.Server)
		for _, a := range attacks {
			if c := testkit.Dial(t, p.Addr); strings.Contains(a.send, marker) {
				c.Send(a.send)
				if rest := c.Rest(); strings.Contains(rest, marker) {
					t.Errorf("%s: the answer %q repeats what came", a.name, rest)
				}
			}
		}
	})
}
