package h1

import (
	"errors"
	"strings"
	"testing"

	"poise/internal/msg"
)

// lastChunk ends a chunked body that has no trailers.
const lastChunk = "0\r\n\r\n"

// headCase is a request head and the status with which it is refused; 0: it is accepted.
type headCase struct {
	name   string
	in     string
	status int
}

// checkHeads parses every case whole, and as it comes byte by byte, which must come to the same.
func checkHeads(t *testing.T, cases []headCase) {
	t.Helper()
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Helper()
			var r msg.Request
			n, err := ParseRequest(&r, []byte(c.in), nil)
			if got := statusOf(t, err); got != c.status {
				t.Fatalf("ParseRequest(%.120q) = status %d (%v), want %d", c.in, got, err, c.status)
			}
			if err == nil && n == 0 {
				t.Fatalf("ParseRequest(%.120q) wants more bytes", c.in)
			}
			if n, err := arrive(&r, c.in, 1, nil); (err == nil) != (c.status == 0) || err == nil && n == 0 {
				t.Errorf("byte by byte, ParseRequest(%.120q) = %d, %v, want status %d", c.in, n, err, c.status)
			}
		})
	}
}

// statusOf is the status of an error from the codec, which must be an *Error; 0 for none.
func statusOf(t *testing.T, err error) int {
	t.Helper()
	if err == nil {
		return 0
	}
	var e *Error
	if !errors.As(err, &e) {
		t.Fatalf("error %v is no *Error", err)
	}
	return e.Status
}

// arrive parses a head that comes in pieces of the given size, as a connection's reader would: a try at what came first, then the
// Scanner until the head is complete, then the parser again.
func arrive(r *msg.Request, in string, size int, lim *Limits) (int, error) {
	var s Scanner
	whole := []byte(in)
	for end := size; ; end += size {
		buf := whole[:min(end, len(in))]
		if end == size {
			if n, err := ParseRequest(r, buf, lim); n > 0 || err != nil {
				return n, err
			}
		}
		complete, err := s.Feed(buf, lim)
		if err != nil {
			return 0, err
		}
		if complete {
			return ParseRequest(r, buf, lim)
		}
		if end >= len(in) {
			return 0, nil
		}
	}
}

// get is a request with the given lines after its Host.
func get(lines ...string) string {
	return "GET / HTTP/1.1\r\nHost: a\r\n" + joined(lines)
}

// post is a request with a body, with the given lines after its Host.
func post(lines ...string) string {
	return "POST / HTTP/1.1\r\nHost: a\r\n" + joined(lines)
}

func joined(lines []string) string {
	var s strings.Builder
	for _, l := range lines {
		s.WriteString(l + "\r\n")
	}
	return s.String() + "\r\n"
}

func mustParse(t *testing.T, in string) *msg.Request {
	t.Helper()
	var r msg.Request
	n, err := ParseRequest(&r, []byte(in), nil)
	if err != nil || n != len(in) {
		t.Fatalf("ParseRequest(%q) = %d, %v, want %d", in, n, err, len(in))
	}
	return &r
}
