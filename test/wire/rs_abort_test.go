package wire

import (
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"poise/internal/testkit"
)

// soon is how long the end of a client may take to reach its server: 100 ms are asked for, and a busy machine takes some. One that takes more still has
// hiccups; a proxy that is late is so each of rounds times.
const soon, rounds = 300 * time.Millisecond, 4

func TestRS12ResetEndsTheRequest(t *testing.T) {
	t.Parallel()
	const large = 200 << 10
	tests := []struct {
		name, path, request string
		// begun is what the client must have got before it leaves.
		begun bool
		end   string
	}{
		{"while the server works", "/work", getOf("/work"), false, "CH--"},
		{"after a small body", "/workpost", "POST /workpost HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc", false, "CH--"},
		{"after a large body", "/worklarge", fmt.Sprintf("POST /worklarge HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n%s", large, strings.Repeat("x", large)), false, "CH--"},
		{"after a chunked body", "/workchunk", "POST /workchunk HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n", false, "CH--"},
		{"within a body", "/half", "POST /half HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\nabc", false, "CH--"},
		{"within a chunk", "/halfchunk", "POST /halfchunk HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nff\r\nabc", false, "CH--"},
		{"within the answer", "/answer", getOf("/answer"), true, "CD--"},
		{"within an answer that pauses", "/pause", getOf("/pause"), true, "CD--"},
	}
	testkit.Each(t, func(t *testing.T, s testkit.Setup) {
		came, ended := make(chan string, 1), make(chan time.Time, 1)
		work := func(p *testkit.Peer, head string) bool {
			if n := testkit.FieldsOf(head, "Content-Length"); len(n) == 1 && n[0] == fmt.Sprint(large) {
				_, _ = io.CopyN(io.Discard, p.R, large)
			}
			came <- testkit.PathOf(head)
			_, _ = p.AwaitEnd()
			ended <- time.Now()
			return false
		}
		m := scripts{}
		for _, tt := range tests {
			m[tt.path] = work
		}
		m["/answer"] = func(p *testkit.Peer, head string) bool {
			came <- testkit.PathOf(head)
			_ = p.Send("HTTP/1.1 200 OK\r\n\r\n")
			for p.Send(strings.Repeat("x", 16<<10)) == nil {
			}
			ended <- time.Now()
			return false
		}
		m["/pause"] = func(p *testkit.Peer, head string) bool {
			_ = p.Send("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n12345")
			return work(p, head)
		}
		p, _ := before(t, s, m)
		// leave resets a connection within a request, and returns how long that took to reach the server.
		leave := func(t *testing.T, request string, begun bool) time.Duration {
			c := testkit.Dial(t, p.Addr)
			c.Send(request)
			<-came
			if begun {
				if _, err := c.R.Peek(20); err != nil {
					t.Fatalf("no response: %v", err)
				}
			}
			left := time.Now()
			c.ResetConn()
			select {
			case at := <-ended:
				return at.Sub(left)
			case <-time.After(testkit.Patience):
				t.Fatal("the server's connection never ended")
			}
			return 0
		}
		times := map[string]int{}
		for _, tt := range tests {
			t.Run(tt.name, func(t *testing.T) {
				var d time.Duration
				for range rounds {
					times[tt.path]++
					if d = leave(t, tt.request, tt.begun); d <= soon {
						return
					}
				}
				t.Errorf("the server's connection ended %v after the client's, %d times more than %v", d, rounds, soon)
			})
		}
		wantOpen(t, testkit.Dial(t, p.Addr))
		all := 1
		for _, n := range times {
			all += n
		}
		records := p.Parsed(t, all)
		for _, tt := range tests {
			if n := len(records[tt.path]); n != times[tt.path] {
				t.Errorf("%s: %d records, want %d", tt.name, n, times[tt.path])
			}
			for _, r := range records[tt.path] {
				if !tt.begun && r.Status != 499 || r.End != tt.end {
					t.Errorf("%s: record %+v, want one of 499 before the answer, %s", tt.name, r, tt.end)
				}
			}
		}
	})
}

func TestRS12HalfCloseAfterTheRequest(t *testing.T) {
	t.Parallel()
	const large = 100 << 10
	tests := []struct{ name, path, request, want string }{
		{"GET", "/get", getOf("/get"), ""},
		{"small body", "/small", "POST /small HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc", "abc"},
		{"large body", "/large", fmt.Sprintf("POST /large HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n%s", large, strings.Repeat("x", large)), strings.Repeat("x", large)},
		{"chunked body", "/chunked", "POST /chunked HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n", "abc"},
	}
	testkit.Each(t, func(t *testing.T, s testkit.Setup) {
		halfClosed := make(chan struct{}, 1)
		slow := func(p *testkit.Peer, head string) bool {
			<-halfClosed
			return echoBody(p, head)
		}
		m := scripts{}
		for _, tt := range tests {
			m[tt.path] = slow
		}
		p, _ := before(t, s, m)
		for _, tt := range tests {
			t.Run(tt.name, func(t *testing.T) {
				c := testkit.Dial(t, p.Addr)
				c.Send(tt.request)
				_ = c.CloseWrite()
				halfClosed <- struct{}{}
				wantResponse(t, tt.name, c.Read("POST"), 200, tt.want)
				wantClosed(t, c)
			})
		}
		t.Run("pipelined", func(t *testing.T) {
			c := testkit.Dial(t, p.Addr)
			c.Send(getOf("/next") + getOf("/next"))
			_ = c.CloseWrite()
			for range 2 {
				wantResponse(t, "GET", c.Read("GET"), 200, "ok")
			}
			wantClosed(t, c)
		})
		for path, rs := range p.Parsed(t, len(tests)+2) {
			for _, r := range rs {
				if r.Status != 200 || r.End != "----" {
					t.Errorf("%s: record %+v, want 200 and no abort", path, r)
				}
			}
		}
	})
}

// What a client leaves half said is never passed on as a whole request.
func TestRS12LeavesWithinTheRequest(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, path, request string
		records             int // a reset may come before Poise has seen the bytes: then there is none of a head
	}{
		{"nothing said", "", "", 0},
		{"within the request line", "", "GET /a", 1},
		{"within a field", "", "GET /a HTTP/1.1\r\nHo", 1},
		{"before the empty line", "", "GET /a HTTP/1.1\r\nHost: a\r\n", 1},
		{"within a body", "/half", "POST /half HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc", 1},
		{"before the last chunk", "/chunk", "POST /chunk HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n", 1},
		{"within the last chunk", "/last", "POST /last HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n", 1},
	}
	for _, reset := range []bool{false, true} {
		t.Run(map[bool]string{false: "FIN", true: "RST"}[reset], func(t *testing.T) {
			testkit.Each(t, func(t *testing.T, s testkit.Setup) {
				bodies := make(chan *testkit.Request, len(tests))
				read := func(p *testkit.Peer, head string) bool {
					r, _ := p.BodyOf(head)
					bodies <- r
					return false
				}
				p, server := before(t, s, scripts{"/half": read, "/chunk": read, "/last": read})
				n := 0
				for _, tt := range tests {
					if s.HTTP2 && tt.path == "" {
						continue // half a head is nobody's
					}
					c := testkit.Dial(t, p.Addr)
					c.Send(tt.request)
					n += tt.records
					if tt.path != "" {
						testkit.Eventually(t, "request at the server", func() bool { return strings.Contains(server.Got(), tt.path) && strings.Contains(server.Got(), "abc") })
					}
					if reset {
						c.ResetConn()
					} else {
						_ = c.CloseWrite()
						if rest, _ := c.Closed(); rest != "" {
							t.Errorf("%s: the client got %q, want nothing", tt.name, rest)
						}
					}
					if tt.path == "" {
						continue
					}
					if r := <-bodies; r.Err == nil {
						t.Errorf("%s: the server got a complete request with %q, want one that is cut", tt.name, r.Body)
					}
				}
				if reset && !s.HTTP2 {
					n = 3
				}
				for path, rs := range p.ParsedAtLeast(t, n) {
					if path != "" && len(rs) != 1 {
						t.Errorf("%s: %d records, want 1", path, len(rs))
					}
					for _, r := range rs {
						if r.Status != 499 || !strings.HasPrefix(r.End, "C") {
							t.Errorf("%s: record %+v, want 499, C", path, r)
						}
					}
				}
				if strings.Contains(server.Got(), "/a") {
					t.Error("half a head was passed on")
				}
			})
		})
	}
}
