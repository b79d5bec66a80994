package h1

import (
	"strings"
	"testing"
)

func TestScannerFindsTheEnd(t *testing.T) {
	in := "\r\n" + get("A:\tb", "C: d")
	for size := 1; size <= len(in); size++ {
		var s Scanner
		for end := size; end < len(in); end += size {
			if done, err := s.Feed([]byte(in[:end]), nil); done || err != nil {
				t.Fatalf("Feed(%q) = %t, %v, want false", in[:end], done, err)
			}
		}
		if done, err := s.Feed([]byte(in+"body"), nil); !done || err != nil {
			t.Fatalf("in pieces of %d, Feed(%q) = %t, %v, want true", size, in, done, err)
		}
	}
}

func TestScannerRefusesEarly(t *testing.T) {
	for _, c := range []struct {
		name, in string
		status   int
	}{
		{"TLS", "\x16", 400},
		{"LF", "\n", 400},
		{"third empty line", "\r\n\r\n\r\n", 400},
		{"request line", "GET\r\n", 400},
		{"version", "GET / HTTP/2.0\r\n", 505},
		{"long method", strings.Repeat("A", 33), 501},
		{"bare LF", "GET / HTTP/1.1\r\nA: b\n", 400},
		{"bare CR", "GET / HTTP/1.1\r\nA: b\rc", 400},
		{"NUL", "GET / HTTP/1.1\r\nA: b\x00", 400},
		{"fields", "GET / HTTP/1.1\r\n" + strings.Repeat("A: b\r\n", 101), 431},
	} {
		var s Scanner
		for n := range len(c.in) - 1 {
			if done, err := s.Feed([]byte(c.in[:n+1]), nil); done || err != nil {
				t.Fatalf("%s: Feed(%q) = %t, %v, want no error yet", c.name, c.in[:n+1], done, err)
			}
		}
		if _, err := s.Feed([]byte(c.in), nil); statusOf(t, err) != c.status {
			t.Errorf("%s: Feed(%q) = %v, want status %d", c.name, c.in, err, c.status)
		}
	}
}

func TestScannerReset(t *testing.T) {
	s := Scanner{Response: true}
	in := []byte(respond())
	for range 2 {
		if done, err := s.Feed(in, nil); !done || err != nil {
			t.Fatalf("Feed(%q) = %t, %v, want true", in, done, err)
		}
		s.Reset()
	}
}
