package h1

import (
	"testing"

	"poise/internal/msg"
)

// typicalGet is about what a browser sends: ten fields, some 400 bytes.
const typicalGet = "GET /static/app/main.js?v=17 HTTP/1.1\r\n" +
	"Host: www.example.com\r\n" +
	"User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0\r\n" +
	"Accept: text/html,application/xhtml+xml,*/*;q=0.8\r\n" +
	"Accept-Language: en-US,en;q=0.5\r\n" +
	"Accept-Encoding: gzip, deflate, br\r\n" +
	"Referer: https://www.example.com/\r\n" +
	"Cookie: session=0123456789abcdef\r\n" +
	"Cache-Control: no-cache\r\n" +
	"Connection: keep-alive\r\n" +
	"DNT: 1\r\n" +
	"\r\n"

const typicalResponse = "HTTP/1.1 200 OK\r\n" +
	"Server: test\r\n" +
	"Date: Mon, 01 Jan 2024 00:00:00 GMT\r\n" +
	"Content-Type: text/html; charset=utf-8\r\n" +
	"Content-Length: 100\r\n" +
	"Connection: keep-alive\r\n" +
	"ETag: \"0123456789\"\r\n" +
	"\r\n"

func BenchmarkParseRequest(b *testing.B) {
	benchmarkParse(b, typicalGet)
}

func BenchmarkParseSmallRequest(b *testing.B) {
	benchmarkParse(b, "GET / HTTP/1.1\r\nHost: example.com\r\n\r\n")
}

func benchmarkParse(b *testing.B, head string) {
	buf := []byte(head)
	var r msg.Request
	b.SetBytes(int64(len(buf)))
	b.ReportAllocs()
	for b.Loop() {
		if n, err := ParseRequest(&r, buf, nil); n != len(buf) || err != nil {
			b.Fatal(n, err)
		}
	}
}

func BenchmarkParseResponse(b *testing.B) {
	buf := []byte(typicalResponse)
	var r msg.Response
	get := []byte("GET")
	b.SetBytes(int64(len(buf)))
	b.ReportAllocs()
	for b.Loop() {
		if n, err := ParseResponse(&r, buf, get, nil); n != len(buf) || err != nil {
			b.Fatal(n, err)
		}
	}
}

func BenchmarkAppendRequestHead(b *testing.B) {
	h := requestHead(b, typicalGet)
	dst := make([]byte, 0, 4096)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := AppendRequestHead(dst, &h); err != nil {
			b.Fatal(err)
		}
	}
}

// requestHead parses a head and takes out what the printer makes itself, as the rules for forwarding would.
func requestHead(tb testing.TB, head string) msg.RequestHead {
	var r msg.Request
	if n, err := ParseRequest(&r, []byte(head), nil); n == 0 || err != nil {
		tb.Fatalf("ParseRequest(%q) = %d, %v", head, n, err)
	}
	return headOf(&r)
}

func headOf(r *msg.Request) msg.RequestHead {
	h := msg.RequestHead{
		Method: r.Method, Path: r.Path, Query: r.Query, Authority: r.Authority,
		Length: r.Length, HasLength: r.HasLength, Close: !r.KeepAlive,
	}
	for _, f := range r.Fields {
		if printed(&f, true) || f.ID == msg.Expect && !r.Expect100 { // an HTTP/1.0 client's expectation is ignored, and ends here
			continue
		}
		h.Fields = append(h.Fields, f)
	}
	return h
}

func BenchmarkChunked(b *testing.B) {
	body := []byte("400\r\n" + string(make([]byte, 1024)) + "\r\n" + lastChunk)
	var c Chunked
	b.SetBytes(1024)
	b.ReportAllocs()
	for b.Loop() {
		c.Reset()
		for in := body; !c.Done(); {
			_, n, err := c.Next(in)
			if err != nil {
				b.Fatal(err)
			}
			in = in[n:]
		}
	}
}
