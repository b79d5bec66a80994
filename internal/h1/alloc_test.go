package h1

import (
	"strings"
	"testing"

	"poise/internal/msg"
)

func TestNoAllocations(t *testing.T) {
	request, response := []byte(typicalGet), []byte(typicalResponse)
	chunked := []byte("5;a=b\r\nhello\r\n0\r\nGrpc-Status: 0\r\n\r\n")
	method := []byte("GET")
	head := requestHead(t, typicalGet)
	answer := msg.ResponseHead{Status: 200, Fields: head.Fields, Length: 12345}
	bad := []byte(post("Content-Length: +5"))
	paths := []byte("GET http://Example.com/a/%2e%2e/%61?b HTTP/1.1\r\nHost: a\r\n\r\n")
	var r msg.Request
	var resp msg.Response
	var c Chunked
	dst := make([]byte, 0, 4096)
	for name, f := range map[string]func(){
		"ParseRequest":           func() { _, _ = ParseRequest(&r, request, nil) },
		"ParseRequest, refused":  func() { _, _ = ParseRequest(&r, bad, nil) },
		"ParseRequest, absolute": func() { _, _ = ParseRequest(&r, paths, nil) },
		"ParseResponse":          func() { _, _ = ParseResponse(&resp, response, method, nil) },
		"AppendRequestHead":      func() { _, _ = AppendRequestHead(dst, &head) },
		"AppendResponseHead":     func() { _, _ = AppendResponseHead(dst, &answer) },
		"AppendChunkHeader":      func() { _ = AppendChunkHeader(dst, 1024) },
		"Scanner": func() {
			var s Scanner
			_, _ = s.Feed(request[:100], nil)
			_, _ = s.Feed(request, nil)
		},
		"Chunked": func() {
			c.Reset()
			for in := chunked; len(in) > 0; {
				_, n, err := c.Next(in)
				if err != nil {
					t.Fatal(err)
				}
				in = in[n:]
			}
		},
	} {
		f() // what is kept for reuse may be made once
		if n := testing.AllocsPerRun(100, f); n != 0 {
			t.Errorf("%s: %v allocations a run, want 0", name, n)
		}
	}
}

// TestScannerIsLinear feeds a large head byte by byte, and sees that no byte is left to be read again.
func TestScannerIsLinear(t *testing.T) {
	in := []byte(get("A: " + strings.Repeat("b", 60<<10)))
	var s Scanner
	for n := range len(in) {
		if done, err := s.Feed(in[:n], nil); done || err != nil {
			t.Fatalf("Feed of %d bytes = %t, %v, want false", n, done, err)
		}
		if n > 1 && s.at < n-1 {
			t.Fatalf("after %d bytes, the scanner stands at %d", n, s.at)
		}
	}
}
