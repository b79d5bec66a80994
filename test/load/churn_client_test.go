package load

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strconv"
	"time"

	"poise/internal/testkit"
)

// ask is a request of the churn. Its head tells all of it, so that a server can check what it gets without knowing what was sent.
type ask struct {
	id           uint32
	method, path string
	size         int // of the body; -1: its chunks have no proper end
	answer       int // the size of the answer's body
	wild         bool
	chunked      bool
	expect       bool
	old          bool
}

func (q *ask) setPath() {
	q.path = fmt.Sprintf("/steady/%x", q.id)
	if q.wild {
		q.path = fmt.Sprintf("/wild/%x", q.id)
	}
}

// crowd is one client after the other, each of another kind.
type crowd struct {
	c *churn
	*rand.Rand
	jar string // the affinity cookie, which outlives connections
}

func random() *rand.Rand { return rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64())) }

func (c *crowd) ask() *ask {
	q := &ask{id: c.c.ids.Add(1), method: "GET", answer: someSize(c.Rand), wild: c.IntN(2) == 0, old: c.IntN(20) == 0}
	if n := c.IntN(8); n < 4 {
		q.method = []string{"PUT", "POST", "HEAD", "DELETE"}[n]
	}
	if q.method == "PUT" || q.method == "POST" {
		q.size = someSize(c.Rand)
		q.chunked = !q.old && c.IntN(3) == 0
		q.expect = !q.old && c.IntN(10) == 0
	}
	q.setPath()
	return q
}

// head prints a request's head; pad makes it longer.
func (c *crowd) head(q *ask, pad int) []byte {
	b := fmt.Appendf(nil, "%s %s HTTP/1.%d\r\nHost: example.test\r\n", q.method, q.path, map[bool]int{true: 0, false: 1}[q.old])
	b = fmt.Appendf(b, "X-Ask: %x %s %d %d %t\r\n", q.id, q.method, q.size, q.answer, q.wild)
	if pad > 0 {
		b = append(appendCells(append(b, "X-Pad: "...), ofRequest, q.id, 0, pad), "\r\n"...)
	}
	if c.jar != "" && !q.wild {
		b = append(append(append(b, "Cookie: "...), c.jar...), "\r\n"...)
	}
	if q.expect {
		b = append(b, "Expect: 100-continue\r\n"...)
	}
	switch {
	case q.chunked:
		b = append(b, "Transfer-Encoding: chunked\r\n"...)
	case q.method == "PUT" || q.method == "POST":
		b = fmt.Appendf(b, "Content-Length: %d\r\n", q.size)
	}
	return append(b, "\r\n"...)
}

func (c *crowd) body(q *ask) []byte {
	body := appendCells(nil, ofRequest, q.id, 0, max(0, q.size))
	if !q.chunked {
		return body
	}
	var b []byte
	for len(body) > 0 {
		n := min(len(body), 1+c.IntN(20_000))
		b = append(append(fmt.Appendf(b, "%x\r\n", n), body[:n]...), "\r\n"...)
		body = body[n:]
	}
	return append(b, "0\r\n\r\n"...)
}

// call is a client's connection.
type call struct {
	*net.TCPConn
	r    *bufio.Reader
	mine map[uint32]bool
}

func (c *crowd) dial() *call {
	conn, err := net.DialTimeout("tcp", c.c.poise.Addr, testkit.Patience)
	if err != nil {
		if !c.c.stopping.Load() {
			c.c.faults.add("connect: %v", err)
		}
		return nil
	}
	_ = conn.SetDeadline(c.c.until.Add(time.Second))
	l := &call{TCPConn: conn.(*net.TCPConn), mine: map[uint32]bool{}}
	l.r = bufio.NewReader(io.TeeReader(conn, &watch{who: "a client", faults: &c.c.faults, mine: func(tag byte, id uint32) bool {
		return tag == ofAnswer && l.mine[id]
	}}))
	return l
}

// run is one client after the other until the time is up.
func (c *crowd) run() {
	for time.Now().Before(c.c.until) {
		l := c.dial()
		if l == nil {
			return
		}
		c.c.clients.Add(1)
		if kinds := c.kinds(); c.IntN(2) == 0 {
			c.valid(l)
		} else {
			kinds[c.IntN(len(kinds))](l)
		}
		_ = l.Close()
	}
}

func (c *crowd) kinds() []func(*call) {
	return []func(*call){c.nothing, c.partialHead, c.leaving, c.burst, c.cutUpload, c.malformed, c.abandoned, c.slowReader, c.huge, c.noise}
}

// leave ends a connection in some way.
func (c *crowd) leave(l *call) {
	switch c.IntN(4) {
	case 0:
		_ = l.SetLinger(0)
	case 1:
		_ = l.CloseWrite()
		c.drain(l)
	case 2: // stall until Poise has had enough
		c.drain(l)
	}
}

// drain reads until the connection ends; for the watch.
func (c *crowd) drain(l *call) { _, _ = io.Copy(io.Discard, l.r) }

func (c *crowd) nothing(l *call) { c.leave(l) }

func (c *crowd) partialHead(l *call) {
	b := c.head(c.ask(), c.IntN(3)*c.IntN(40_000))
	_, _ = l.Write(b[:c.IntN(len(b))])
	c.leave(l)
}

// leaving sends a whole request and does not wait long.
func (c *crowd) leaving(l *call) {
	q := c.ask()
	l.mine[q.id] = true
	go func(head, body []byte) { _, _ = l.Write(append(head, body...)) }(c.head(q, 0), c.body(q))
	if c.IntN(2) == 0 {
		_ = l.SetReadDeadline(time.Now().Add(time.Duration(c.IntN(30)) * time.Millisecond))
		_, _ = l.r.Discard(1 + c.IntN(q.answer+1))
	}
	_ = l.SetLinger(0)
}

// burst sends several requests at once and reads some of what comes.
func (c *crowd) burst(l *call) {
	var out []byte
	var asked []*ask
	for range 2 + c.IntN(20) {
		q := c.ask()
		q.expect, q.old = false, false
		if c.IntN(4) > 0 {
			q.wild, q.answer = false, q.answer%5000
			q.setPath()
		}
		l.mine[q.id] = true
		out = append(append(out, c.head(q, 0)...), c.body(q)...)
		asked = append(asked, q)
	}
	sent := make(chan bool)
	go func() {
		_, _ = l.Write(out)
		close(sent)
	}()
	if c.IntN(3) == 0 {
		_ = l.SetReadDeadline(time.Now().Add(time.Duration(c.IntN(100)) * time.Millisecond))
		_, _ = io.CopyN(io.Discard, l.r, int64(c.IntN(50_000)))
		_ = l.SetLinger(0)
	} else {
		for _, q := range asked {
			if !c.read(l, q) {
				break
			}
		}
	}
	_ = l.Close()
	<-sent
}

func (c *crowd) upload() *ask {
	q := c.ask()
	q.method, q.size, q.chunked, q.expect, q.old = "POST", 1+someSize(c.Rand), c.IntN(2) == 0, false, false
	return q
}

func (c *crowd) cutUpload(l *call) {
	q := c.upload()
	l.mine[q.id] = true
	b := append(c.head(q, 0), c.body(q)...)
	head := bytes.Index(b, []byte("\r\n\r\n")) + 4
	_, _ = l.Write(b[:head+c.IntN(len(b)-head)])
	c.leave(l)
}

func (c *crowd) malformed(l *call) {
	q := c.upload()
	l.mine[q.id] = true
	q.chunked, q.size = true, -1
	b := c.head(q, 0)
	n := c.IntN(6)
	for at := range n {
		b = append(appendCells(append(b, "400\r\n"...), ofRequest, q.id, at*1024, 1024), "\r\n"...)
	}
	b = appendCells(append(b, "10\r\n"...), ofRequest, q.id, n*1024, cellSize)
	bad := []string{"XX", "\nabc", "\r\nzz\r\n", "\r\n5\nabc", "\r\n400000000000000000\r\n", "\r\n-1\r\n", "\r\n0\r\nx\r\n\r\n", "\r\n0x4\r\nabcd\r\n", "\r\n 4\r\nabcd\r\n"}
	_, _ = l.Write(append(b, bad[c.IntN(len(bad))]...))
	c.leave(l)
}

func (c *crowd) abandoned(l *call) {
	q := c.upload()
	l.mine[q.id] = true
	q.expect = true
	_, _ = l.Write(c.head(q, 0))
	if c.IntN(2) == 0 {
		_, _ = l.r.Peek(1)
	}
	c.leave(l)
}

func (c *crowd) slowReader(l *call) {
	q := c.ask()
	q.answer += 1 << 20
	l.mine[q.id] = true
	_ = l.SetReadBuffer(4 << 10)
	go func(b []byte) { _, _ = l.Write(b) }(append(c.head(q, 0), c.body(q)...))
	for range c.IntN(30) {
		if _, err := io.CopyN(io.Discard, l.r, int64(c.IntN(20_000))); err != nil {
			return
		}
		<-time.After(time.Duration(c.IntN(10)) * time.Millisecond)
	}
	_ = l.SetLinger(0)
}

// huge sends a head about as long as heads may be.
func (c *crowd) huge(l *call) {
	q := c.ask()
	l.mine[q.id] = true
	go func(b []byte) { _, _ = l.Write(b) }(append(c.head(q, 40_000+c.IntN(60_000)), c.body(q)...))
	c.read(l, q)
}

func (c *crowd) noise(l *call) {
	b := garbage(c.Rand, 1+c.IntN(5000))
	if c.IntN(2) == 0 {
		b = append([]byte("GET / HTTP/1.1\r\n"), b...)
	}
	_, _ = l.Write(b)
	c.leave(l)
}

// valid sends proper requests one after the other, and checks each answer.
func (c *crowd) valid(l *call) {
	for range 1 + c.IntN(10) {
		q := c.ask()
		l.mine[q.id] = true
		sent := make(chan bool)
		go func(head, body []byte) {
			_, _ = l.Write(append(head, body...))
			close(sent)
		}(c.head(q, 0), c.body(q))
		again := c.read(l, q)
		if !again {
			_ = l.Close()
		}
		<-sent
		if !again {
			return
		}
	}
}

// read reads an answer and checks it. again: the connection may be used further.
func (c *crowd) read(l *call, q *ask) (again bool) {
	c.c.asked.Add(1)
	var resp *http.Response
	for resp == nil || resp.StatusCode < 200 {
		var err error
		if resp, err = http.ReadResponse(l.r, &http.Request{Method: q.method}); err != nil {
			return false // after what Poise must not pass on, or because of our own earlier request
		}
	}
	for _, k := range resp.Cookies() {
		c.jar = k.Name + "=" + k.Value
	}
	body, err := io.ReadAll(resp.Body)
	if resp.StatusCode != http.StatusOK {
		c.c.count(q, resp.StatusCode)
		return err == nil && !resp.Close
	}
	c.check(q, resp, body, err == nil)
	return err == nil && !resp.Close
}

// check compares a whole answer, or the beginning of one that was cut.
func (c *crowd) check(q *ask, resp *http.Response, body []byte, whole bool) {
	f := &c.c.faults
	want := q.answer
	if q.method == http.MethodHead {
		want = 0
	}
	if got := resp.Header.Get("X-Id"); got != strconv.FormatUint(uint64(q.id), 16) {
		f.add("request %x (%s) got the answer to %q", q.id, q.path, got)
		return
	}
	if len(body) > want || !bytes.Equal(body, appendCells(nil, ofAnswer, q.id, 0, len(body))) {
		f.add("request %x (%s) got %d bytes of another answer: %v", q.id, q.path, len(body), resp.Header)
	}
	if !whole {
		c.c.cut.Add(1)
		return
	}
	c.c.good.Add(1)
	if q.wild && resp.Header.Get("X-Framing") == "close" {
		return // a server may have ended it anywhere
	}
	if len(body) != want {
		f.add("request %x (%s %s) got %d bytes and an end, want %d", q.id, q.method, q.path, len(body), want)
	}
	if got := resp.Header.Get("X-Got"); !q.wild && got != strconv.Itoa(q.size) {
		f.add("the server got %s bytes of request %x, want %d", got, q.id, q.size)
	}
}
