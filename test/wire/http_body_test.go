package wire

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httputil"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"poise/internal/testkit"
)

func TestTrailersBothWays(t *testing.T) {
	t.Parallel()
	const answered = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n1;ext=\"a\"\r\na\r\n3\r\nbcd\r\n0\r\n" +
		"X-Sum: 77\r\nContent-Length: 3\r\nSet-Cookie: a=b\r\nX-Forwarded-For: 6.6.6.6\r\n"
	testkit.Each(t, func(t *testing.T, s testkit.Setup) {
		answer := answered + "\r\n"
		if !s.ServerHTTP2 { // which does not have this field
			answer = answered + "Transfer-Encoding: gzip\r\n\r\n"
		}
		got := make(chan *testkit.Request, 4)
		p, server := before(t, s, scripts{"/t": func(p *testkit.Peer, head string) bool {
			r, err := p.BodyOf(head)
			if err != nil {
				return false
			}
			got <- r
			return p.Send(answer) == nil
		}})
		c := testkit.Dial(t, p.Addr)
		for _, split := range []bool{false, true} {
			request := "POST /t HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTrailer: X-Check\r\n\r\n3;a=b\r\nabc\r\n05\r\ndefgh\r\n0;z\r\n" +
				"X-Check: 1\r\nHost: evil\r\nAuthorization: x\r\nX-Forwarded-For: 6.6.6.6\r\nCookie: a\r\n\r\n"
			if split {
				for i := range request {
					c.Send(request[i : i+1])
				}
			} else {
				c.Send(request)
			}
			resp := c.Read("POST")
			wantResponse(t, "POST", resp, 200, "abcd")
			if len(resp.Trailer) != 1 || resp.Trailer.Get("X-Sum") != "77" {
				t.Errorf("the client got trailers %v, want X-Sum: 77 alone", resp.Trailer)
			}
			r := <-got
			if r.Body != "abcdefgh" || len(r.Trailer) != 1 || r.Trailer.Get("X-Check") != "1" {
				t.Errorf("the server got %q and trailers %v, want abcdefgh and X-Check: 1 alone", r.Body, r.Trailer)
			}
			if n := len(r.TransferEncoding); n != 1 || r.Header.Get("Trailer") != "" && n != 1 {
				t.Errorf("the server got codings %v, want chunked", r.TransferEncoding)
			}
		}
		if strings.Contains(server.Got(), "ext") || strings.Contains(server.Got(), ";") {
			t.Errorf("chunk extensions were passed on: %q", server.Got())
		}
	})
}

// echo answers a request with its own body, while that still comes.
func echo(p *testkit.Peer, head string) bool {
	r, err := http.ReadRequest(readerOf(p, head))
	if err != nil {
		return false
	}
	body := io.Reader(r.Body)
	if r.ContentLength >= 0 {
		if p.Send(fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n", r.ContentLength)) != nil {
			return false
		}
		_, err = io.Copy(p, body)
		return err == nil
	}
	if p.Send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n") != nil {
		return false
	}
	w := httputil.NewChunkedWriter(p)
	_, err = io.Copy(w, body)
	return err == nil && w.Close() == nil && p.Send("\r\n") == nil
}

func TestLargeBodiesBothWays(t *testing.T) {
	t.Parallel()
	const size = 2<<20 + 17
	testkit.Each(t, func(t *testing.T, s testkit.Setup) {
		p, _ := before(t, s, scripts{"/echo": echo})
		var wg sync.WaitGroup
		for i := range 6 {
			wg.Go(func() {
				c := testkit.Dial(t, p.Addr)
				for round := range 2 {
					body := testkit.Pattern(uint64(10*i+round), size+i)
					wg.Go(func() { sendBody(c, body, i%2 == 0) })
					resp, err := c.TryRead("POST")
					if err != nil || resp.Err != nil {
						t.Errorf("echo %d: %v, want a response", i, err)
						return
					}
					if got, want := sha256.Sum256([]byte(resp.Body)), sha256.Sum256(body); got != want {
						t.Errorf("echo %d of %d bytes: %d came back with hash %x, want %x", i, len(body), len(resp.Body), got[:4], want[:4])
					}
				}
			})
		}
		wg.Wait()
		for _, r := range p.Parsed(t, 12)["/echo"] {
			if r.Status != 200 || r.BytesIn < size || r.BytesOut < size || r.End != "----" {
				t.Errorf("record %+v, want 200 and at least %d bytes both ways", r, size)
			}
		}
	})
}

func sendBody(c *testkit.Client, body []byte, chunked bool) {
	if !chunked {
		c.Send(fmt.Sprintf("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n", len(body)))
		c.Send(string(body))
		return
	}
	c.Send("POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
	w := httputil.NewChunkedWriter(c)
	for n := 1; len(body) > 0; n = n*3 + 1 {
		take := min(n, len(body), 200<<10)
		_, _ = w.Write(body[:take])
		body = body[take:]
	}
	_ = w.Close()
	c.Send("\r\n")
}

// stallBound is far above what socket buffers of the system and those of Poise hold for one connection, and far below what is offered.
const stallBound = 40 << 20

// writeUntilStalled writes until nothing has gone for a while, and tells how much went.
func writeUntilStalled(c *testkit.Client, most int) (n int) {
	piece := testkit.Pattern(1, 256<<10)
	for n < most {
		_ = c.SetWriteDeadline(time.Now().Add(200 * time.Millisecond))
		k, err := c.Write(piece[:min(len(piece), most-n)])
		n += k
		if errors.Is(err, os.ErrDeadlineExceeded) {
			if k == 0 {
				break
			}
			piece = append(piece[k:len(piece):len(piece)], piece[:k]...)
			continue
		}
		if err != nil {
			break
		}
	}
	_ = c.SetWriteDeadline(time.Now().Add(2 * testkit.Patience))
	return n
}

func TestStalledServerStopsTheClient(t *testing.T) {
	t.Parallel()
	testkit.Each(t, func(t *testing.T, s testkit.Setup) {
		s.InClear(t)
		stalled := make(chan struct{})
		p, _ := before(t, s, scripts{"/up": func(p *testkit.Peer, head string) bool {
			<-stalled
			r, err := p.BodyOf(head)
			return err == nil && p.Send(fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\n%08d", len(r.Body))) == nil
		}})
		c := testkit.Dial(t, p.Addr)
		const offered = 48 << 20
		c.Send(fmt.Sprintf("POST /up HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n", offered))
		n := writeUntilStalled(c, offered)
		if n > stallBound {
			t.Errorf("%d MiB were taken from the client while the server took nothing, want at most %d", n>>20, stallBound>>20)
		}
		// The connection is idle for nobody: another client is served meanwhile.
		wantOpen(t, testkit.Dial(t, p.Addr))
		close(stalled)
		rest := make([]byte, offered-n)
		if _, err := c.Write(rest); err != nil {
			t.Fatalf("the rest of the body: %v", err)
		}
		wantResponse(t, "POST", c.Read("POST"), 200, fmt.Sprintf("%08d", offered))
		wantOpen(t, c)
	})
}
