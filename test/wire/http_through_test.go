package wire

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"poise/internal/testkit"
)

// Large bodies of known length go through the kernel where the driver can do that.

const throughSize = 1<<20 + 13

func sum(s string) string { return fmt.Sprintf("%x", sha256.Sum256([]byte(s))) }

// hashes answers with the hash of a request's body.
func hashes(p *testkit.Peer, head string) bool {
	r, err := p.BodyOf(head)
	return err == nil && p.Send("HTTP/1.1 200 OK\r\nContent-Length: 64\r\n\r\n"+sum(r.Body)) == nil
}

func postOf(path string, length int) string {
	return fmt.Sprintf("POST %s HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n", path, length)
}

// inPieces writes in small pieces with pauses.
func inPieces(w io.Writer, b string) {
	for n := 0; len(b) > 0; n++ {
		k := min(len(b), 11_003)
		_, _ = io.WriteString(w, b[:k])
		b = b[k:]
		if n%8 == 0 {
			time.Sleep(time.Millisecond)
		}
	}
}

func TestBodiesThroughTheKernel(t *testing.T) {
	t.Parallel()
	body := string(testkit.Pattern(7, throughSize))
	head := fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n", len(body))
	slowHash := func(p *testkit.Peer, head string) bool {
		time.Sleep(50 * time.Millisecond) // the sockets are full by then
		return hashes(p, head)
	}
	testkit.Each(t, func(t *testing.T, s testkit.Setup) {
		p, _ := before(t, s, scripts{
			"/down": testkit.Reply(head + body),
			"/down-slow": func(p *testkit.Peer, _ string) bool {
				_ = p.Send(head)
				inPieces(p, body)
				return true
			},
			"/up": hashes, "/up-slow": slowHash, "/up-trickle": hashes,
		})
		c := testkit.Dial(t, p.Addr)
		for _, path := range []string{"/down", "/down-slow"} {
			if r := c.Get(path); r.Body != body || r.Err != nil {
				t.Errorf("%s: %d bytes, %v; want the %d that were sent", path, len(r.Body), r.Err, len(body))
			}
		}
		for _, path := range []string{"/up", "/up-slow"} {
			c.Send(postOf(path, len(body)))
			c.Send(body)
			wantResponse(t, path, c.Read("POST"), 200, sum(body))
		}
		c.Send(postOf("/up-trickle", len(body)))
		inPieces(c, body)
		wantResponse(t, "/up-trickle", c.Read("POST"), 200, sum(body))
		wantOpen(t, c)
		slow := testkit.Dial(t, p.Addr)
		_ = slow.SetReadBuffer(16 << 10)
		slow.Send(getOf("/down"))
		time.Sleep(50 * time.Millisecond)
		if r := slow.Read("GET"); r.Body != body || r.Err != nil {
			t.Errorf("a slow client: %d bytes, %v; want the %d that were sent", len(r.Body), r.Err, len(body))
		}
		const heads = 1000 // of all heads that an exchange counts
		for path, records := range p.Parsed(t, 7) {
			for _, r := range records {
				in, out := r.BytesIn, r.BytesOut
				if strings.HasPrefix(path, "/up") {
					in -= throughSize
				} else if path != "/next" {
					out -= throughSize
				}
				if in < 0 || in > heads || out <= 0 || out > heads || r.End != "----" {
					t.Errorf("%s: record %+v, want the body's %d bytes counted once", path, r, throughSize)
				}
			}
		}
	})
}

// What follows a body on its connection is the next request, however close it comes.
func TestRequestsRightBehindUploads(t *testing.T) {
	t.Parallel()
	const rounds, sizes = 40, 400 << 10
	testkit.Each(t, func(t *testing.T, s testkit.Setup) {
		p, _ := before(t, s, scripts{"/up": hashes})
		var all strings.Builder
		var want []string
		for i := range rounds {
			body := string(testkit.Pattern(uint64(i), sizes+7919*i))
			want = append(want, sum(body))
			all.WriteString(postOf("/up", len(body)) + body)
		}
		c := testkit.Dial(t, p.Addr)
		var wg sync.WaitGroup
		wg.Go(func() { c.Send(all.String()) })
		for i, w := range want {
			r, err := c.TryRead("POST")
			if err != nil || r.StatusCode != 200 || r.Body != w {
				t.Errorf("request %d: %v, %v; want 200 and the hash of its body", i, r, err)
				_ = c.Close()
				break
			}
		}
		wg.Wait()
	})
}

// What a server sends behind its answer is nobody's answer.
func TestBytesBehindALargeAnswerAreDropped(t *testing.T) {
	t.Parallel()
	body := string(testkit.Pattern(3, throughSize))
	const poison = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison"
	testkit.Each(t, func(t *testing.T, s testkit.Setup) {
		s.ServersHTTP1(t)
		p, _ := before(t, s, scripts{"/big": testkit.Reply(fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n", len(body)) + body + poison)})
		for range 20 {
			c := testkit.Dial(t, p.Addr)
			c.Send(getOf("/big") + getOf("/next"))
			if r := c.Read("GET"); r.Body != body || r.Err != nil {
				t.Errorf("%d bytes, %v; want the %d of the body", len(r.Body), r.Err, len(body))
			}
			wantResponse(t, "the request behind it", c.Read("GET"), 200, "ok")
		}
	})
}

func TestServerCutWithinALargeBody(t *testing.T) {
	t.Parallel()
	body := string(testkit.Pattern(5, throughSize))
	testkit.Each(t, func(t *testing.T, s testkit.Setup) {
		cut := func(reset bool) testkit.Script {
			return func(p *testkit.Peer, _ string) bool {
				_ = p.Send(fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n", len(body)) + body[:700<<10])
				if reset {
					p.Reset()
				}
				return false
			}
		}
		p, _ := before(t, s, scripts{"/fin": cut(false), "/reset": cut(true)})
		for _, path := range []string{"/fin", "/reset"} {
			c := testkit.Dial(t, p.Addr)
			r := c.Get(path)
			if !errors.Is(r.Err, io.ErrUnexpectedEOF) && !isReset(r.Err) || !strings.HasPrefix(body, r.Body) {
				t.Errorf("%s: %d bytes and %v, want a part of the body and a cut that can be seen", path, len(r.Body), r.Err)
			}
			if path == "/fin" && len(r.Body) != 700<<10 {
				t.Errorf("%d bytes came before the cut, want all %d that the server has sent", len(r.Body), 700<<10)
			}
			if rec := p.Await(t, path); rec.End != "SD--" || rec.BytesOut > 701<<10 {
				t.Errorf("%s: record %+v, want the server's fault and what was sent", path, rec)
			}
		}
	})
}

// A server may answer before it has the body, and the body goes on meanwhile.
func TestEarlyAnswerDuringALargeUpload(t *testing.T) {
	t.Parallel()
	body := string(testkit.Pattern(9, throughSize))
	answer := string(testkit.Pattern(10, throughSize))
	testkit.Each(t, func(t *testing.T, s testkit.Setup) {
		p, _ := before(t, s, scripts{
			"/early": func(p *testkit.Peer, head string) bool { // a part of the answer, the request, the rest of the answer
				if p.Send(fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n", len(answer)+64)+answer[:600<<10]) != nil {
					return false
				}
				r, err := p.BodyOf(head)
				return err == nil && p.Send(answer[600<<10:]+sum(r.Body)) == nil
			},
			"/refused": func(p *testkit.Peer, _ string) bool {
				_, _ = io.CopyN(io.Discard, p.R, 300<<10)
				_ = p.Send("HTTP/1.1 413 Content Too Large\r\nContent-Length: 3\r\nConnection: close\r\n\r\nno\n")
				_, _ = p.AwaitEnd()
				return false
			},
			"/continue": func(p *testkit.Peer, head string) bool {
				return p.Send("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n") == nil && hashes(p, head)
			},
		})
		for range 5 {
			c := testkit.Dial(t, p.Addr)
			c.Send(postOf("/early", len(body)))
			c.Send(body[:400<<10])
			if _, err := c.R.Peek(1); err != nil {
				t.Fatalf("the answer's beginning: %v", err)
			}
			go c.Send(body[400<<10:])
			wantResponse(t, "early", c.Read("POST"), http.StatusOK, answer+sum(body))
			wantOpen(t, c)
		}
		c := testkit.Dial(t, p.Addr)
		c.Send(postOf("/refused", len(body)))
		c.Send(body[:400<<10])
		wantResponse(t, "refused", c.Read("POST"), 413, "no\n")
		wantClosed(t, c)
		c = testkit.Dial(t, p.Addr)
		c.Send(postOf("/continue", len(body)))
		c.Send(body[:300<<10])
		for _, status := range []int{100, 103} {
			line, err := c.R.ReadString('\n')
			if err != nil || !strings.Contains(line, fmt.Sprint(status)) {
				t.Fatalf("interim %d: %q, %v", status, line, err)
			}
			for line != "\r\n" && err == nil {
				line, err = c.R.ReadString('\n')
			}
		}
		c.Send(body[300<<10:])
		wantResponse(t, "after interims", c.Read("POST"), 200, sum(body))
	})
}

// An answer that ends its connection comes whole and at once: nothing waits for bytes to follow it.
func TestLastAnswerComesAtOnce(t *testing.T) {
	t.Parallel()
	testkit.Each(t, func(t *testing.T, s testkit.Setup) {
		large := string(testkit.Pattern(2, throughSize))
		p, _ := before(t, s, scripts{"/large": testkit.Reply(fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n", len(large)) + large)})
		for path, body := range map[string]string{"/small": "ok", "/large": large} {
			fastest := time.Hour
			for range 5 { // a busy machine may be late once
				c := testkit.Dial(t, p.Addr)
				begun := time.Now()
				c.Send(getOf(path, "Connection: close"))
				r := c.Read("GET")
				if r.StatusCode != 200 || r.Body != body || r.Err != nil || !saysClose(s, r) {
					t.Fatalf("%s: %d, %d bytes, %v", path, r.StatusCode, len(r.Body), r.Err)
				}
				wantClosed(t, c)
				fastest = min(fastest, time.Since(begun))
			}
			if fastest > 180*time.Millisecond { // the kernel holds back for 200 ms what more is to follow
				t.Errorf("%s took %v at best, want it at once", path, fastest)
			}
		}
	})
}
