package load

import (
	"bufio"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// What a server does with a request, beside answering it.
var doings = []string{"slow", "slow", "slow", "close", "reset", "cut", "cut-reset", "hang", "503", "500", "bad", "early", "last"}

// fickle is a server that does what requests ask for, and whose probes fail while it is ill.
type fickle struct {
	e     *events
	addr  string
	ill   atomic.Bool
	holds atomic.Int64 // requests that it has, and will not answer
	wg    sync.WaitGroup
}

func startFickle(t *testing.T, e *events) *fickle {
	t.Helper()
	ln, err := net.Listen("tcp", serverHost+":0")
	if err != nil {
		t.Fatal(err)
	}
	f := &fickle{e: e, addr: ln.Addr().String()}
	f.wg.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			f.wg.Go(func() {
				f.serve(c.(*net.TCPConn))
				_ = c.Close()
			})
		}
	})
	t.Cleanup(func() {
		_ = ln.Close()
		f.wg.Wait() // Poise has stopped, so all connections end
	})
	return f
}

func (f *fickle) serve(c *net.TCPConn) {
	r := bufio.NewReader(c)
	for {
		req, err := http.ReadRequest(r)
		if err != nil || !f.answer(c, r, req) {
			return
		}
	}
}

// answer tells whether the connection goes on.
func (f *fickle) answer(c *net.TCPConn, r *bufio.Reader, req *http.Request) bool {
	_, name, _ := strings.Cut(strings.TrimPrefix(req.URL.Path, "/"), "/")
	switch {
	case req.URL.Path == probePath:
		status := 200
		if f.ill.Load() {
			status = 503
		}
		return say(c, fmt.Sprintf("HTTP/1.1 %d X\r\nContent-Length: 0\r\n\r\n", status))
	case name == "hold":
		f.holds.Add(1)
		defer f.holds.Add(-1)
		_, _ = r.ReadByte()
		return false
	}
	q := req.URL.Query()
	id, size := numberOf(name), numberOf(q.Get("size"))
	if req.Method == "POST" && id >= 0 && id < len(f.e.posts) {
		f.e.posts[id].Add(1)
	}
	do := q.Get("do")
	if do == "early" {
		return say(c, "HTTP/1.1 403 X\r\nContent-Length: 0\r\nConnection: close\r\n\r\n") && false
	}
	if _, err := io.Copy(io.Discard, req.Body); err != nil {
		return false
	}
	head := fmt.Sprintf("HTTP/1.1 200 OK\r\nX-Id: %d\r\nContent-Length: %d\r\n", id, size)
	body := string(answerTo(id, size))
	switch do {
	case "slow":
		<-time.After(time.Duration(rand.IntN(15)) * time.Millisecond)
	case "close":
		return false
	case "reset":
		_ = c.SetLinger(0)
		return false
	case "cut", "cut-reset":
		_ = say(c, head+"\r\n"+body[:size/2])
		if do == "cut-reset" {
			<-time.After(time.Millisecond) // or the reset takes the answer with it
			_ = c.SetLinger(0)
		}
		return false
	case "hang":
		_, _ = r.ReadByte()
		return false
	case "500", "503":
		return say(c, "HTTP/1.1 "+do+" X\r\nContent-Length: 0\r\n\r\n")
	case "bad":
		return say(c, "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nx") && false
	case "last":
		return say(c, head+"Connection: close\r\n\r\n"+body) && false
	}
	return say(c, head+"\r\n"+body)
}

func say(c net.Conn, text string) bool {
	_, err := io.WriteString(c, text)
	return err == nil
}
