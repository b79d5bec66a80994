package h1

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"poise/internal/msg"
)

func fieldsOf(fields msg.Fields) (out [][2]string) {
	for _, f := range fields {
		out = append(out, [2]string{string(f.Name), string(f.Value)})
	}
	return out
}

func optionsOf(options [][]byte) (out []string) {
	for _, o := range options {
		out = append(out, string(o))
	}
	return out
}

func slowOf(r *msg.Request) slow {
	return slow{
		method: string(r.Method), scheme: string(r.Scheme), authority: string(r.Authority), host: string(r.Host), path: string(r.Path),
		query: string(r.Query), minor: int(r.Version), fields: fieldsOf(r.Fields), options: optionsOf(r.Connection), length: r.Length,
		keepAlive: r.KeepAlive, expect100: r.Expect100,
	}
}

func slowOfResponse(r *msg.Response) slow {
	return slow{
		status: r.Status, reason: string(r.Reason), minor: int(r.Version), fields: fieldsOf(r.Fields), options: optionsOf(r.Connection),
		length: r.Length, keepAlive: r.KeepAlive,
	}
}

var exported = cmp.AllowUnexported(slow{})

// foldCase makes the values that the parser turns to lower case in place compare as equal to those that came.
func foldCase(h *slow) {
	for i, f := range h.fields {
		if name := asciiLower(f[0]); name == "host" || name == "connection" {
			h.fields[i][1] = asciiLower(f[1])
		}
	}
}

var requestSeeds = []string{
	typicalGet,
	"\r\n\r\n" + get("Connection: close, x"),
	post("Content-Length: 5"),
	post("Transfer-Encoding: chunked", "Expect: 100-continue"),
	post("Transfer-Encoding: chunked", "Content-Length: 5"),
	"GET http://[::1]:80?x HTTP/1.1\r\nHost: A.\r\n\r\n",
	"OPTIONS http://a HTTP/1.1\r\nHost: a:1\r\n\r\n",
	"OPTIONS * HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
	"GET //%2e%2e/%2fa%41/..;/./b?c HTTP/1.0\r\n\r\n",
	"GET / HTTP/2.0\r\n\r\n",
	"GET / HTTP/1.1\nHost: a\n\n",
	get("A: \xe9\t", "B:", "C : d", " e"),
}

func FuzzParseRequest(f *testing.F) {
	for i, s := range requestSeeds {
		f.Add(s, uint8(i))
	}
	f.Fuzz(func(t *testing.T, in string, size uint8) {
		var r, pieces msg.Request
		n, err := ParseRequest(&r, []byte(in), nil)
		want, wantN := slowParseRequest(in)
		tooMany := len(r.Connection) >= DefaultFields // the twin does not count empty elements
		if n != wantN && !tooMany {
			t.Fatalf("ParseRequest(%q) = %d, %v, want %d", in, n, err, wantN)
		}
		// Where the bytes were cut when they came makes no difference, but that a wrong head that has not ended yet is found sooner or later.
		gotN, gotErr := arrive(&pieces, in, int(size)+1, nil)
		_, _, complete := cut(in, maxBlank)
		if gotN != n || complete && (err == nil) != (gotErr == nil) {
			t.Fatalf("by %d, ParseRequest(%q) = %d, %v, want %d, %v", int(size)+1, in, gotN, gotErr, n, err)
		}
		if n == 0 {
			return
		}
		foldCase(&want)
		got := slowOf(&r)
		foldCase(&got)
		if d := cmp.Diff(want, got, exported); d != "" {
			t.Fatalf("ParseRequest(%q) (-want +got):\n%s", in, d)
		}
		again := slowOf(&pieces)
		foldCase(&again)
		if d := cmp.Diff(want, again, exported); d != "" {
			t.Fatalf("by %d, ParseRequest(%q) (-want +got):\n%s", int(size)+1, in, d)
		}
		roundTrip(t, &r)
	})
}

// roundTrip prints a parsed request and parses that: both must be the same to whoever reads them.
func roundTrip(t *testing.T, r *msg.Request) {
	t.Helper()
	h := headOf(r)
	wire, err := AppendRequestHead(nil, &h)
	if err != nil {
		t.Fatalf("AppendRequestHead of what was parsed: %v", err)
	}
	if len(h.Authority) == 0 {
		return // cannot be parsed as HTTP/1.1
	}
	var back msg.Request
	n, err := ParseRequest(&back, wire, &Limits{Head: 2 * DefaultHead, Fields: 2 * DefaultFields})
	if n != len(wire) || err != nil {
		t.Fatalf("ParseRequest(%q) = %d, %v, want %d", wire, n, err, len(wire))
	}
	if d := cmp.Diff(headOf(&back), h); d != "" {
		t.Fatalf("after a round trip (-back +sent):\n%s", d)
	}
}

func FuzzParseResponse(f *testing.F) {
	for i, s := range []string{
		typicalResponse, respond("Content-Length: 5", "Content-Length: 5"), respond("Transfer-Encoding: chunked"), "HTTP/1.0 304\r\n\r\n",
		"HTTP/1.1 101 \r\nUpgrade: x\r\n\r\n", respond("A : b", "C\t:\xe9"), respond("Keep-Alive: timeout=5", "Connection: keep-alive"),
		"HTTP/1.1 204 \r\nContent-Length: 5\r\n\r\n", "HTTP/1.1 204\r\nTransfer-Encoding: chunked\r\n\r\n",
	} {
		f.Add(s, uint8(i), i%2 == 0)
	}
	f.Fuzz(func(t *testing.T, in string, size uint8, head bool) {
		method := "GET"
		if head {
			method = "HEAD"
		}
		var r msg.Response
		n, err := ParseResponse(&r, []byte(in), []byte(method), nil)
		want, wantN := slowParseResponse(in, method)
		tooMany := len(r.Connection) >= DefaultFields
		if n != wantN && !tooMany {
			t.Fatalf("ParseResponse(%q) = %d, %v, want %d", in, n, err, wantN)
		}
		s := Scanner{Response: true}
		for end := 0; n > 0 && end < n; end += int(size) + 1 {
			if done, err := s.Feed([]byte(in[:end]), nil); done || err != nil {
				t.Fatalf("Feed(%q) = %t, %v, want false", in[:end], done, err)
			}
		}
		if done, err := s.Feed([]byte(in), nil); n > 0 && (!done || err != nil) {
			t.Fatalf("Feed(%q) = %t, %v, want true", in, done, err)
		}
		if n == 0 {
			return
		}
		foldCase(&want)
		got := slowOfResponse(&r)
		foldCase(&got)
		if d := cmp.Diff(want, got, exported); d != "" {
			t.Fatalf("ParseResponse(%q) (-want +got):\n%s", in, d)
		}
		roundTripResponse(t, &r, method)
	})
}

// roundTripResponse prints a parsed response as it goes to a client of HTTP/1.1, and parses that: both must be the same to whoever reads them.
func roundTripResponse(t *testing.T, r *msg.Response, method string) {
	t.Helper()
	h := responseHeadOf(r)
	wire, err := AppendResponseHead(nil, &h)
	if err != nil {
		t.Fatalf("AppendResponseHead of what was parsed: %v", err)
	}
	var back msg.Response
	n, err := ParseResponse(&back, wire, []byte(method), &Limits{Head: 2 * DefaultHead, Fields: 2 * DefaultFields})
	if n != len(wire) || err != nil {
		t.Fatalf("ParseResponse(%q) = %d, %v, want %d", wire, n, err, len(wire))
	}
	if back.Length != r.Length || back.KeepAlive != r.KeepAlive {
		t.Fatalf("ParseResponse(%q): Length, KeepAlive = %d, %t, want %d, %t", wire, back.Length, back.KeepAlive, r.Length, r.KeepAlive)
	}
	if d := cmp.Diff(responseHeadOf(&back), h, cmpopts.EquateEmpty()); d != "" {
		t.Fatalf("after a round trip (-back +sent):\n%s", d)
	}
}

// responseHeadOf is a parsed response as it is printed for a client of HTTP/1.1.
func responseHeadOf(r *msg.Response) msg.ResponseHead {
	h := msg.ResponseHead{Status: r.Status, Reason: r.Reason, Length: r.Length, Close: !r.KeepAlive}
	if h.Reason == nil {
		h.Reason = []byte{} // nil stands for the standard text
	}
	switch {
	case r.Status < 200 || r.Status == 204:
		h.NoLength = true
	case r.HasLength:
		h.Length = r.ContentLength // what HEAD and 304 are told
	case r.Length == 0:
		h.NoLength = true
	}
	for _, f := range r.Fields {
		if !printed(&f, false) {
			h.Fields = append(h.Fields, f)
		}
	}
	return h
}

func FuzzChunked(f *testing.F) {
	for i, s := range []string{
		lastChunk, "5\r\nhello\r\n" + lastChunk, "a;b=\"c\\\"\";d=e\r\n0123456789\r\n0;x\r\nGrpc-Status: 0\r\nHost: a\r\n\r\nmore",
		"1\r\nx\r\n0\r\nA:b\r\n c\r\n\r\n", "5\r\nhello!\r\n", "8000000000000000\r\n", "1;\r\nx\r\n0\r\n\r\n",
	} {
		f.Add(s, uint8(i))
	}
	f.Fuzz(func(t *testing.T, in string, size uint8) {
		want, trailers, n := slowDecode(in)
		for _, by := range []int{max(len(in), 1), int(size) + 1} {
			var c Chunked
			got, rest, err := decode(&c, in, by)
			if c.Done() != (n > 0) {
				t.Fatalf("decode(%q) by %d: done %t, %v, want %t", in, by, c.Done(), err, n > 0)
			}
			if n > 0 && (got != want || rest != in[n:] || len(c.Trailers) != trailers || err != nil) {
				t.Fatalf("decode(%q) by %d = %q, rest %q, %d trailers, %v, want %q, %q, %d", in, by, got, rest, len(c.Trailers), err, want, in[n:], trailers)
			}
			if n > 0 {
				roundTripChunked(t, got, int(size)+1, c.Trailers)
			}
		}
	})
}

// roundTripChunked prints a body in chunks of a size, with its trailers, and decodes that: it must be the same body.
func roundTripChunked(t *testing.T, data string, size int, trailers msg.Fields) {
	t.Helper()
	var wire []byte
	for rest := data; rest != ""; {
		piece := rest[:min(size, len(rest))]
		rest = rest[len(piece):]
		wire = append(append(AppendChunkHeader(wire, len(piece)), piece...), CRLF...)
	}
	wire, err := AppendTrailers(wire, trailers)
	if err != nil {
		t.Fatalf("AppendTrailers(%v) of what was decoded: %v", fieldsOf(trailers), err)
	}
	var back Chunked
	got, rest, err := decode(&back, string(wire), len(wire))
	if got != data || rest != "" || !back.Done() || err != nil {
		t.Fatalf("decode(%q) = %q, rest %q, done %t, %v, want %q", wire, got, rest, back.Done(), err, data)
	}
	if d := cmp.Diff(fieldsOf(trailers), fieldsOf(back.Trailers)); d != "" {
		t.Fatalf("trailers after a round trip (-sent +back):\n%s", d)
	}
}
