package wire

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"

	"poise/internal/testkit"
)

const chunkedHead = "POST /smuggled HTTP/1.1\r\nHost: example.test\r\nTransfer-Encoding: chunked\r\n\r\n"

// badBody is what follows the head of a chunked request.
type badBody struct {
	name, send string
}

// refuseBodies sends each body in one piece with its head, byte by byte, and after the server has got the head and a first chunk. Each gets a
// 400 that closes; the server's connection ends in the middle of the body, and is used for nothing else.
func refuseBodies(t *testing.T, bodies []badBody) {
	t.Helper()
	testkit.Each(t, func(t *testing.T, s testkit.Setup) {
		s.ClientHTTP1(t) // chunks
		server := serveReader(t, ok)
		p := short(t, s, server.Server)
		log := newExpectedLog()
		for i, b := range bodies {
			t.Run(b.name, func(t *testing.T) {
				c := testkit.Dial(t, p.Addr)
				c.Send(chunkedHead + b.send)
				wantRefusal(t, c, 400)
				log.add(c, 400)
			})
			if len(b.send) <= slowly {
				t.Run(b.name+", byte by byte", func(t *testing.T) {
					c := testkit.Dial(t, p.Addr)
					sendPieces(c, chunkedHead+b.send, 1)
					wantRefusal(t, c, 400)
					log.add(c, 400)
				})
			}
			t.Run(b.name+", the server has the first chunk", func(t *testing.T) {
				refuseLate(t, p, server, b, "/late/"+strconv.Itoa(i), log)
			})
		}
		neighbour := testkit.Dial(t, p.Addr)
		neighbourServed(t, neighbour)
		log.add(neighbour, 200)
		log.check(t, p)
		conns := map[int]string{}
		for _, f := range server.requests(t, len(bodies)+1) {
			if other := conns[f.conn]; other != "" {
				t.Errorf("one connection was used for %s and %s, want one for each", other, f.line)
			}
			conns[f.conn] = f.line
			if f.whole != strings.Contains(f.line, "/neighbour") {
				t.Errorf("%s: the body came to its end: %t", f.line, f.whole)
			}
		}
	})
}

func refuseLate(t *testing.T, p *testkit.Poise, server *reader, b badBody, path string, log *expectedLog) {
	t.Helper()
	c := testkit.Dial(t, p.Addr)
	c.Send(strings.Replace(chunkedHead, "/smuggled", path, 1) + "5\r\nfirst\r\n")
	f := server.find(t, path, "first")
	c.Send(b.send)
	wantRefusal(t, c, 400)
	log.add(c, 400)
	server.waitEnd(t, f.conn)
}

func TestSM14ChunkSize(t *testing.T) {
	t.Parallel()
	var bodies []badBody
	for name, size := range map[string]string{
		"empty": "", "0x": "0x5", "plus": "+5", "minus": "-5", "underscore": "5_0", "space before": " 5", "space behind": "5 ", "tab before": "\t5", "tab behind": "5\t",
		"17 digits": "00000000000000005", "two to the 64": "10000000000000000", "two to the 64 and 5": "10000000000000005", "two to the 63": "8000000000000000",
		"all bits": "ffffffffffffffff", "minus one in 32 digits": strings.Repeat("f", 32), "1000 zeros": strings.Repeat("0", 1000) + "5", "no hex digit": "g",
		"fraction": "5.0", "comma": "5,5", "quoted": `"5"`, "NUL": "5\x00", "vertical tab": "5\v", "arabic digit": "٥", "space within": "1 0", "h suffix": "5h",
		"percent": "%35", "0xff": "\xff", "a word": "five", "line break before": "\r\n5", "space before an extension": "5 ;a=b", "zero and space": "0 ", "minus zero": "-0",
	} {
		bodies = append(bodies, badBody{name, size + "\r\nhello\r\n0\r\n\r\n" + second})
	}
	refuseBodies(t, bodies)
}

func TestSM15ChunkLineEnds(t *testing.T) {
	t.Parallel()
	refuseBodies(t, []badBody{
		{"LF ends the size", "5\nhello\r\n0\r\n\r\n" + second},
		{"CR ends the size", "5\rhello\r\n0\r\n\r\n" + second},
		{"CR X ends the size", "5\rXhello\r\n0\r\n\r\n" + second},
		{"CR CR LF ends the size", "5\r\r\nhello\r\n0\r\n\r\n" + second},
		{"LF ends the data", "5\r\nhello\n0\r\n\r\n" + second},
		{"CR ends the data", "5\r\nhello\r0\r\n\r\n" + second},
		{"nothing ends the data", "5\r\nhello0\r\n\r\n" + second},
		{"two bytes end the data", "5\r\nhelloXX0\r\n\r\n" + second},
		{"LF CR ends the data", "5\r\nhello\n\r0\r\n\r\n" + second},
		{"CR X ends the data", "5\r\nhello\rX0\r\n\r\n" + second},
		{"extra CRLF before the last chunk", "5\r\nhello\r\n\r\n0\r\n\r\n" + second},
		{"extra LF before the last chunk", "5\r\nhello\r\n\n0\r\n\r\n" + second},
		{"data longer than its size", "5\r\nhello!\r\n0\r\n\r\n" + second},
		{"data shorter than its size", "6\r\nhello\r\n0\r\n\r\n" + second},
		{"LF ends the last chunk's size", "0\n\r\n" + second},
		{"LF ends the last chunk", "0\r\n\n" + second},
		{"CR ends the last chunk", "0\r\n\rX" + second},
		{"LF LF ends the last chunk", "0\n\n" + second},
		{"LF ends an extension", "5;a\nhello\r\n0\r\n\r\n" + second},
		{"LF in an extension hides a chunk", "2;\nxx\r\n4c\r\n0\r\n\r\n" + second},
		{"CR in an extension", "5;a\rX\r\nhello\r\n0\r\n\r\n" + second},
		{"LF ends a trailer line", "0\r\nA: b\n\r\n" + second},
		{"LF ends the trailer section", "0\r\nA: b\r\n\n" + second},
		{"CR in a trailer", "0\r\nA: b\rc\r\n\r\n" + second},
	})
}

func TestSM16ChunkExtensions(t *testing.T) {
	t.Parallel()
	everyByte := strings.Repeat("1;"+strings.Repeat("x", 4000)+"\r\na\r\n", 8) + "0\r\n\r\n"
	refuseBodies(t, []badBody{
		{"NUL", "5;a=\x00\r\nhello\r\n0\r\n\r\n"},
		{"BEL in quotes", "5;a=\"\a\"\r\nhello\r\n0\r\n\r\n"},
		{"CR in quotes", "5;a=\"\r\"\r\nhello\r\n0\r\n\r\n"},
		{"CRLF in quotes", "5;a=\"\r\n\"\r\nhello\r\n0\r\n\r\n"},
		{"LF in quotes", "5;a=\"\n\"\r\nhello\r\n0\r\n\r\n"},
		{"DEL", "5;a\x7f\r\nhello\r\n0\r\n\r\n"},
		{"no name", "5;\r\nhello\r\n0\r\n\r\n"},
		{"no name but a value", "5;=b\r\nhello\r\n0\r\n\r\n"},
		{"no value", "5;a=\r\nhello\r\n0\r\n\r\n"},
		{"quotes that stay open", "5;a=\"b\r\nhello\r\n0\r\n\r\n"},
		{"behind quotes", "5;a=\"b\"c\r\nhello\r\n0\r\n\r\n"},
		{"two values", "5;a=b=c\r\nhello\r\n0\r\n\r\n"},
		{"space", "5; a=b\r\nhello\r\n0\r\n\r\n"},
		{"space before the value", "5;a= b\r\nhello\r\n0\r\n\r\n"},
		{"comma", "5,a=b\r\nhello\r\n0\r\n\r\n"},
		{"non-ASCII name", "5;ä=b\r\nhello\r\n0\r\n\r\n"},
		{"wrong in the last chunk", "0;a=\x00\r\n\r\n"},
		{"64 KiB", "5;" + strings.Repeat("a", 64<<10) + "\r\nhello\r\n0\r\n\r\n"},
		{"64 KiB without an end", "5;" + strings.Repeat("a", 64<<10)},
		{"64 KiB in quotes", "5;a=\"" + strings.Repeat("b", 64<<10) + "\"\r\nhello\r\n0\r\n\r\n"},
		{"4000 bytes on each byte", everyByte},
		{"2 bytes on each of 5000 bytes", strings.Repeat("1;a\r\nb\r\n", 5000) + "0\r\n\r\n"},
	})
}

// bodyRow is a chunked body and what the server gets of it.
type bodyRow struct {
	name, send, want string
	trailers         []string
	http1            bool // it is about HTTP/1.1
}

// forwardBodies sends the bodies one after the other on one connection: each must end where the next request begins.
func forwardBodies(t *testing.T, fields string, rows []bodyRow) []forwarded {
	t.Helper()
	var last []forwarded
	testkit.Each(t, func(t *testing.T, s testkit.Setup) {
		server := serveReader(t, ok)
		p := short(t, s, server.Server)
		c := testkit.Dial(t, p.Addr)
		n := 0
		for i, row := range rows {
			if row.http1 && (s.HTTP2 || s.ServerHTTP2) {
				continue
			}
			n++
			size := len(row.send)
			if i%2 == 1 {
				size = 3
			}
			c.Send("POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n" + fields + "\r\n")
			sendPieces(c, row.send, size)
			if r := c.Read("POST"); r.StatusCode != 200 {
				t.Fatalf("%s: status %d, want 200", row.name, r.StatusCode)
			}
			f := server.requests(t, n)[n-1]
			same := slices.Equal(f.trailers, row.trailers)
			if s.HTTP2 || s.ServerHTTP2 { // where names are in lower case
				same = slices.EqualFunc(f.trailers, row.trailers, strings.EqualFold)
			}
			if f.body != row.want || !f.whole || !same {
				t.Errorf("%s: the server got %.100q, trailers %q, want %.100q, %q", row.name, f.body, f.trailers, row.want, row.trailers)
			}
		}
		if got := len(readLog(t, p, n)); got != n {
			t.Errorf("%d records, want %d", got, n)
		}
		last = server.requests(t, n)
	})
	return last
}

func TestSM16ExtensionsAreDropped(t *testing.T) {
	t.Parallel()
	forwardBodies(t, "", []bodyRow{
		{"name", "5;a\r\nhello\r\n0\r\n\r\n", "hello", nil, false},
		{"value", "5;a=b\r\nhello\r\n0;c=d\r\n\r\n", "hello", nil, false},
		{"quoted", "5;a=\"b;c\\\"\t\xe9 ,\"\r\nhello\r\n0\r\n\r\n", "hello", nil, false},
		{"several", "5;a;b=c;d=\"\"\r\nhello\r\n0\r\n\r\n", "hello", nil, false},
		{"a quoted size", "5;a=\"7\"\r\nhello\r\n0\r\n\r\n", "hello", nil, false},
		{"4000 bytes", "5;" + strings.Repeat("a", 4000) + "\r\nhello\r\n0\r\n\r\n", "hello", nil, false},
	})
}

func TestSM14SizesThatAreRight(t *testing.T) {
	t.Parallel()
	forwardBodies(t, "", []bodyRow{
		{"none", "0\r\n\r\n", "", nil, false},
		{"leading zeros", "0000000000000005\r\nhello\r\n0\r\n\r\n", "hello", nil, false},
		{"capitals", "A\r\nhellohello\r\n0\r\n\r\n", "hellohello", nil, false},
		{"several", "1\r\nh\r\n4\r\nello\r\n000\r\n\r\n", "hello", nil, false},
		{"body like a chunk", "7\r\n0\r\n\r\nGE\r\n0\r\n\r\n", "0\r\n\r\nGE", nil, false},
		{"one byte each", strings.Repeat("1\r\nx\r\n", 3000) + "0\r\n\r\n", strings.Repeat("x", 3000), nil, true},
		{"large", fmt.Sprintf("%x\r\n", 200000) + strings.Repeat("y", 200000) + "\r\n0\r\n\r\n", strings.Repeat("y", 200000), nil, false},
	})
}

func TestSM17Trailers(t *testing.T) {
	t.Parallel()
	const body = "5\r\nhello\r\n0\r\n"
	rows := []bodyRow{
		{"allowed", body + "X-Checksum: abc\r\nGrpc-Status: 0\r\n\r\n", "hello", []string{"X-Checksum: abc", "Grpc-Status: 0"}, false},
	}
	for _, name := range []string{
		"Content-Length", "Transfer-Encoding", "Host", "Authorization", "Cookie", "Set-Cookie", "X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host", "X-Forwarded-Anything",
		"Forwarded", "X-Real-Ip", "X-Request-Id", "Connection", "Upgrade", "TE", "Trailer", "Keep-Alive", "Proxy-Authorization", "Proxy-Connection", "Content-Type",
		"Content-Encoding", "Content-Range", "Expect", "Range", "Cache-Control", "Max-Forwards", "If-Match", "Early-Data", "X-Client-Cert-Dn", "True-Client-Ip", "Traceparent",
		"transfer_encoding", "HOST", "x-forwarded-FOR", "X-Http-Method-Override",
	} {
		ofConnections := slices.Contains([]string{"Transfer-Encoding", "Connection", "Upgrade", "Keep-Alive", "Proxy-Connection", "TE"}, name)
		rows = append(rows, bodyRow{name, body + "X-First: 1\r\n" + name + ": 5\r\nX-Last: 2\r\n\r\n", "hello", []string{"X-First: 1", "X-Last: 2"}, ofConnections})
	}
	rows = append(rows, bodyRow{"forbidden alone", body + "Content-Length: 5\r\n\r\n", "hello", nil, false})
	for _, f := range forwardBodies(t, "Trailer: X-Checksum\r\n", rows) {
		if len(f.all("Transfer-Encoding")) == 0 {
			continue // it came as a whole over HTTP/2, and no trailer was left
		}
		for _, name := range []string{"X-First", "X-Last", "X-Checksum", "Content-Length", "Authorization", "Cookie", "Range"} {
			if v := f.all(name); len(v) > 0 {
				t.Errorf("the head has the trailer %s: %q", name, v)
			}
		}
		if v := f.all("Trailer"); len(v) != 1 {
			t.Errorf("Trailer: %q, want X-Checksum", v)
		}
	}
}

func TestSM17TrailersThatAreRefused(t *testing.T) {
	t.Parallel()
	const body = "5\r\nhello\r\n0\r\n"
	refuseBodies(t, []badBody{
		{"8 KiB", body + "X: " + strings.Repeat("a", 8<<10) + "\r\n\r\n" + second},
		{"8 KiB without an end", body + "X: " + strings.Repeat("a", 8<<10)},
		{"65 fields", body + strings.Repeat("X: a\r\n", 65) + "\r\n" + second},
		{"1000 forbidden fields", body + strings.Repeat("TE: a\r\n", 1000) + "\r\n" + second},
		{"folded", body + "X: a\r\n b\r\n\r\n" + second},
		{"first line folded", body + " X: a\r\n\r\n" + second},
		{"no name", body + ": a\r\n\r\n" + second},
		{"no colon", body + "X\r\n\r\n" + second},
		{"space before the colon", body + "X : a\r\n\r\n" + second},
		{"NUL", body + "X: \x00\r\n\r\n" + second},
		{"a request", body + second},
	})
}
