package h1

import (
	"strings"
	"testing"

	"poise/internal/msg"
)

// respond is a response with the given lines.
func respond(lines ...string) string { return "HTTP/1.1 200 OK\r\n" + joined(lines) }

func TestParseResponse(t *testing.T) {
	const u = msg.UntilClose
	for _, c := range []struct {
		name, method, in string
		length           int64
		keepAlive        bool
	}{
		{"length", "GET", respond("Content-Length: 5"), 5, true},
		{"length 0", "GET", respond("Content-Length: 0"), 0, true},
		{"chunked", "GET", respond("Transfer-Encoding: Chunked"), msg.Chunked, true},
		{"until close", "GET", respond(), u, false},
		{"until close, keep-alive", "GET", respond("Connection: keep-alive"), u, false},
		{"close", "GET", respond("Content-Length: 5", "Connection: close"), 5, false},
		{"HTTP/1.0", "GET", "HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\n", 5, false},
		{"HTTP/1.0 keep-alive", "GET", "HTTP/1.0 200 OK\r\nContent-Length: 5\r\nConnection: keep-alive\r\n\r\n", 5, true},
		{"SM25 HEAD with a length", "HEAD", respond("Content-Length: 5"), 0, true},
		{"SM25 HEAD chunked", "HEAD", respond("Transfer-Encoding: chunked"), 0, true},
		{"SM25 HEAD with nothing", "HEAD", respond(), 0, true},
		{"head is another method", "head", respond("Content-Length: 5"), 5, true},
		{"SM25 204 with a length", "GET", "HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n", 0, false},
		{"SM25 204 chunked", "GET", "HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n", 0, false},
		{"204 with a length of nothing", "GET", "HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n", 0, true},
		{"SM25 304 with a length", "GET", "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", 0, true},
		{"SM25 304 chunked", "GET", "HTTP/1.1 304 Not Modified\r\nTransfer-Encoding: chunked\r\n\r\n", 0, true},
		{"100", "GET", "HTTP/1.1 100 Continue\r\n\r\n", 0, true},
		{"101", "GET", "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n", 0, true},
		{"103", "GET", "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n", 0, true},
		{"no reason, a space", "GET", "HTTP/1.1 200 \r\nContent-Length: 1\r\n\r\n", 1, true},
		{"no reason, no space", "GET", "HTTP/1.1 200\r\nContent-Length: 1\r\n\r\n", 1, true},
		{"odd reason", "GET", "HTTP/1.1 200 \tn\xf3 \r\nContent-Length: 1\r\n\r\n", 1, true},
		{"999", "GET", "HTTP/1.1 999 No\r\nContent-Length: 1\r\n\r\n", 1, true},
		{"RS2 space before the colon", "GET", respond("Content-Length : 5"), 5, true},
		{"RS2 tab before the colon", "GET", respond("Content-Length \t: 5"), 5, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			var r msg.Response
			n, err := ParseResponse(&r, []byte(c.in+"rest"), []byte(c.method), nil)
			if n != len(c.in) || err != nil {
				t.Fatalf("ParseResponse(%q) = %d, %v, want %d", c.in, n, err, len(c.in))
			}
			if r.Length != c.length || r.KeepAlive != c.keepAlive {
				t.Errorf("ParseResponse(%q): Length, KeepAlive = %d, %t, want %d, %t", c.in, r.Length, r.KeepAlive, c.length, c.keepAlive)
			}
			checkPrefixes(t, c.in, c.method)
		})
	}
}

// checkPrefixes parses all beginnings of a good response: none is complete, none is wrong.
func checkPrefixes(t *testing.T, in, method string) {
	t.Helper()
	s := Scanner{Response: true}
	for n := range len(in) {
		var r msg.Response
		if got, err := ParseResponse(&r, []byte(in[:n]), []byte(method), nil); got != 0 || err != nil {
			t.Errorf("ParseResponse(%q) = %d, %v, want 0 and no error", in[:n], got, err)
		}
		if done, err := s.Feed([]byte(in[:n]), nil); done || err != nil {
			t.Errorf("Feed(%q) = %t, %v, want false and no error", in[:n], done, err)
		}
	}
	if done, err := s.Feed([]byte(in), nil); !done || err != nil {
		t.Errorf("Feed(%q) = %t, %v, want true", in, done, err)
	}
}

func TestResponseDetails(t *testing.T) {
	var r msg.Response
	in := "HTTP/1.1 404 Not Here\r\nContent-Length: 12\r\nKeep-Alive: max=5, timeout=7\r\nServer : x\r\nConnection: Keep-Alive, Foo\r\n\r\n"
	if n, err := ParseResponse(&r, []byte(in), []byte("HEAD"), nil); n == 0 || err != nil {
		t.Fatalf("ParseResponse = %d, %v", n, err)
	}
	if r.Status != 404 || string(r.Reason) != "Not Here" || r.Version != msg.HTTP11 {
		t.Errorf("Status, Reason, Version = %d, %q, %s, want 404, Not Here, HTTP/1.1", r.Status, r.Reason, r.Version)
	}
	if r.Length != 0 || r.ContentLength != 12 || !r.HasLength || r.KeepAliveTimeout != 7 {
		t.Errorf("Length, ContentLength, HasLength, KeepAliveTimeout = %d, %d, %t, %d, want 0, 12, true, 7",
			r.Length, r.ContentLength, r.HasLength, r.KeepAliveTimeout)
	}
	if f := r.Fields[2]; string(f.Name) != "Server" || string(f.Value) != "x" || f.ID != msg.Server {
		t.Errorf("field with a space before its colon = %q %q", f.Name, f.Value)
	}
	if len(r.Connection) != 2 || string(r.Connection[1]) != "foo" {
		t.Errorf("Connection = %q, want keep-alive and foo", r.Connection)
	}
}

func TestKeepAliveTimeout(t *testing.T) {
	for value, want := range map[string]int{
		"timeout=5": 5, "Timeout=5,max=1": 5, "max=1": -1, "timeout=": -1, "timeout=x": -1, "": -1, "timeout": -1, ",,timeout=3,": 3,
		"timeout=99999999999999999999": 86400, "timeout=-1": -1,
	} {
		var r msg.Response
		if _, err := ParseResponse(&r, []byte(respond("Keep-Alive: "+value)), nil, nil); err != nil || r.KeepAliveTimeout != want {
			t.Errorf("Keep-Alive: %s: KeepAliveTimeout = %d, %v, want %d", value, r.KeepAliveTimeout, err, want)
		}
	}
}

func TestRS2BadResponses(t *testing.T) {
	for name, in := range map[string]string{
		"CL and TE":            respond("Content-Length: 5", "Transfer-Encoding: chunked"),
		"two lengths":          respond("Content-Length: 5", "Content-Length: 6"),
		"twice the length":     respond("Content-Length: 5", "Content-Length: 5"),
		"list of lengths":      respond("Content-Length: 5, 5"),
		"bad length":           respond("Content-Length: +5"),
		"octal length":         respond("Content-Length: 05"),
		"TE on HTTP/1.0":       "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
		"chunked, gzip":        respond("Transfer-Encoding: chunked, gzip"),
		"gzip, chunked":        respond("Transfer-Encoding: gzip, chunked"),
		"identity":             respond("Transfer-Encoding: identity"),
		"NUL in a value":       respond("X: a\x00b"),
		"NUL in a name":        respond("X\x00: a"),
		"obs-fold":             respond("X: a", " b"),
		"obs-fold first":       "HTTP/1.1 200 OK\r\n X: a\r\n\r\n",
		"CR in a value":        respond("X: a\rb"),
		"bare LF":              "HTTP/1.1 200 OK\nX: y\n\n",
		"bare LF in a field":   "HTTP/1.1 200 OK\r\nX: y\n\r\n",
		"space in a name":      respond("X Y: a"),
		"only a space":         respond(" : a"),
		"no colon":             respond("X"),
		"no colon after space": respond("X \r\n"),
		"bad option":           respond("Connection: a b"),
		"leading empty line":   "\r\n" + respond(),
		"HTTP/2.0":             "HTTP/2.0 200 OK\r\n\r\n",
		"HTTP/1.2":             "HTTP/1.2 200 OK\r\n\r\n",
		"lower case":           "http/1.1 200 OK\r\n\r\n",
		"no version":           "ICY 200 OK\r\n\r\n",
		"two digits":           "HTTP/1.1 20 OK\r\n\r\n",
		"four digits":          "HTTP/1.1 2000 OK\r\n\r\n",
		"signed":               "HTTP/1.1 +20 OK\r\n\r\n",
		"below 100":            "HTTP/1.1 099 OK\r\n\r\n",
		"two spaces":           "HTTP/1.1  200 OK\r\n\r\n",
		"NUL in the reason":    "HTTP/1.1 200 O\x00K\r\n\r\n",
		"CR in the reason":     "HTTP/1.1 200 O\rK\r\n\r\n",
		"no line":              "<html>",
		"101 fields":           respond(strings.Repeat("a: b\r\n", 100) + "c: d"),
		"64 KiB value":         respond("X: " + strings.Repeat("a", 64<<10)),
	} {
		t.Run(name, func(t *testing.T) {
			for _, method := range []string{"GET", "HEAD"} {
				var r msg.Response
				if n, err := ParseResponse(&r, []byte(in), []byte(method), nil); statusOf(t, err) != 502 {
					t.Errorf("ParseResponse(%.80q) for %s = %d, %v, want status 502", in, method, n, err)
				}
			}
			s := Scanner{Response: true}
			for n := range len(in) {
				if _, err := s.Feed([]byte(in[:n+1]), nil); err != nil {
					if got := statusOf(t, err); got != 502 {
						t.Errorf("Feed(%.80q) = status %d, want 502", in[:n+1], got)
					}
					break
				}
			}
		})
	}
}
