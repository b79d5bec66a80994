package load

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"poise/internal/testkit"
)

// wave is a server of the churn, which is stopped and started.
type wave struct {
	c    *churn
	addr string
	wild bool
	wg   sync.WaitGroup

	mu   sync.Mutex // guards the fields below
	ln   net.Listener
	open map[*net.TCPConn]bool
}

func newWave(t *testing.T, c *churn, wild bool) *wave {
	w := &wave{c: c, addr: serverHost + ":0", wild: wild, open: map[*net.TCPConn]bool{}}
	if err := w.start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.stop(false) })
	return w
}

func (w *wave) start() error {
	ln, err := net.Listen("tcp", w.addr)
	if err != nil {
		return err
	}
	w.mu.Lock()
	w.addr, w.ln = ln.Addr().String(), ln
	w.mu.Unlock()
	w.wg.Go(func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			tc := conn.(*net.TCPConn)
			w.mu.Lock()
			w.open[tc] = true
			w.mu.Unlock()
			w.wg.Go(func() {
				w.serve(tc)
				_ = tc.Close()
				w.mu.Lock()
				delete(w.open, tc)
				w.mu.Unlock()
			})
		}
	})
	return nil
}

// stop ends listening and all connections, perhaps with resets.
func (w *wave) stop(reset bool) {
	w.mu.Lock()
	_ = w.ln.Close()
	for tc := range w.open {
		if reset {
			_ = tc.SetLinger(0)
		}
		_ = tc.Close()
	}
	w.mu.Unlock()
	w.wg.Wait()
}

// hearing is a server's side of a connection.
type hearing struct {
	*net.TCPConn
	w *wave
	r *bufio.Reader
	*rand.Rand
}

func (w *wave) serve(tc *net.TCPConn) {
	h := &hearing{TCPConn: tc, w: w, Rand: random()}
	h.r = bufio.NewReader(io.TeeReader(tc, &watch{who: "a server", faults: &w.c.faults, mine: func(tag byte, _ uint32) bool { return tag == ofRequest }}))
	for {
		_ = h.SetDeadline(time.Now().Add(testkit.Patience))
		if w.wild && h.IntN(8) == 0 {
			_ = h.SetReadDeadline(time.Now().Add(time.Duration(h.IntN(300)) * time.Millisecond)) // closes an idle connection
		}
		q, err := h.head()
		if err != nil || (q != nil && q.path == probePath && !h.probe()) {
			return
		}
		if q.path == probePath {
			continue
		}
		answer := h.steady
		if w.wild {
			answer = h.wild
		}
		if !answer(q) {
			return
		}
	}
}

func (h *hearing) probe() bool {
	if h.w.wild && h.IntN(10) == 0 {
		h.hurt()
		return false
	}
	_, err := io.WriteString(h, testkit.OK)
	return err == nil
}

// known are the fields that Poise may send to a server of the churn.
var known = map[string]bool{
	"host": true, "x-ask": true, "x-pad": true, "content-length": true, "transfer-encoding": true, "expect": true, "x-forwarded-for": true,
	"x-forwarded-proto": true, "x-forwarded-host": true, "x-request-id": true, "user-agent": true, "connection": true, "cookie": true,
}

var errStrange = errors.New("not what a client has sent")

// head reads a head. Whatever is not what a client of the churn has sent is a fault.
func (h *hearing) head() (*ask, error) {
	var lines []string
	for {
		line, err := h.r.ReadString('\n')
		if err != nil {
			return nil, err // Poise may leave at any time
		}
		if line = strings.TrimSuffix(line, "\r\n"); line == "" {
			break
		}
		lines = append(lines, line)
	}
	q, err := understand(lines)
	if err != nil {
		h.w.c.faults.add("a server got %.300q: %v", lines, err)
	}
	return q, err
}

func understand(lines []string) (*ask, error) {
	if len(lines) == 0 {
		return nil, errStrange
	}
	fields := map[string]string{}
	for _, line := range lines[1:] {
		name, value, ok := strings.Cut(line, ": ")
		name = strings.ToLower(name)
		if _, twice := fields[name]; !ok || twice || !known[name] {
			return nil, fmt.Errorf("%w: %q", errStrange, line)
		}
		fields[name] = value
	}
	method, rest, _ := strings.Cut(lines[0], " ")
	path, version, _ := strings.Cut(rest, " ")
	if path == probePath && method == "GET" && len(fields) <= 4 {
		return &ask{path: path}, nil
	}
	q := &ask{}
	if _, err := fmt.Sscanf(fields["x-ask"], "%x %s %d %d %t", &q.id, &q.method, &q.size, &q.answer, &q.wild); err != nil {
		return nil, fmt.Errorf("%w: x-ask %q", errStrange, fields["x-ask"])
	}
	q.setPath()
	if q.path != path || q.method != method || version != "HTTP/1.1" {
		return nil, fmt.Errorf("%w: %q beside x-ask %q", errStrange, lines[0], fields["x-ask"])
	}
	length, hasLength := fields["content-length"]
	_, q.chunked = fields["transfer-encoding"]
	q.expect = fields["expect"] != ""
	switch {
	case q.chunked && hasLength:
		return nil, fmt.Errorf("%w: two framings", errStrange)
	case hasLength && length != strconv.Itoa(q.size), !hasLength && !q.chunked && q.size > 0:
		return nil, fmt.Errorf("%w: content-length %q beside x-ask %q", errStrange, length, fields["x-ask"])
	}
	return q, nil
}

// body reads the request's body, up to a number of bytes, and checks all of it. got tells how much came, and err how it ended if not well.
func (h *hearing) body(q *ask) (got int, err error) {
	if q.expect {
		_, _ = io.WriteString(h, "HTTP/1.1 100 Continue\r\n\r\n")
	}
	if !q.chunked {
		return h.cells(q, 0, max(0, q.size))
	}
	for {
		line, err := h.r.ReadString('\n')
		if err != nil {
			return got, err
		}
		n, err := strconv.ParseUint(strings.TrimSuffix(line, "\r\n"), 16, 31)
		if err != nil {
			h.w.c.faults.add("a server got the chunk %q in request %x", line, q.id)
			return got, err
		}
		if n > 0 {
			m, err := h.cells(q, got, int(n))
			got += m
			if err != nil {
				return got, err
			}
		}
		end := make([]byte, 2)
		if _, err := io.ReadFull(h.r, end); err != nil {
			return got, err
		}
		if string(end) != "\r\n" {
			h.w.c.faults.add("a server got %q at the end of a chunk in request %x", end, q.id)
			return got, errStrange
		}
		if n > 0 {
			continue
		}
		if q.size >= 0 && got != q.size {
			h.w.c.faults.add("a server got %d bytes and an end in request %x, which has %d", got, q.id, q.size)
			return got, errStrange
		}
		return got, nil
	}
}

func (h *hearing) cells(q *ask, offset, n int) (got int, err error) {
	b := make([]byte, 8<<10)
	for got < n {
		m, err := h.r.Read(b[:min(len(b), n-got)])
		if want := appendCells(nil, ofRequest, q.id, offset+got, m); !bytes.Equal(b[:m], want) {
			h.w.c.faults.add("a server got %.100q in request %x at %d, want %.100q", b[:m], q.id, offset+got, want)
			return got, errStrange
		}
		got += m
		if err != nil {
			return got, err
		}
	}
	return got, nil
}

// steady answers as it should be, in any framing.
func (h *hearing) steady(q *ask) bool {
	got, err := h.body(q)
	if err != nil {
		return false
	}
	b, again := h.answer(q, got)
	_, err = h.Write(b)
	return err == nil && again
}

// answer prints a whole answer; without again the connection's end is its end.
func (h *hearing) answer(q *ask, got int) (b []byte, again bool) {
	b = fmt.Appendf(nil, "HTTP/1.1 200 OK\r\nX-Id: %x\r\nX-Got: %d\r\n", q.id, got)
	body := appendCells(nil, ofAnswer, q.id, 0, q.answer)
	framing := h.IntN(4)
	switch {
	case framing == 0:
		b = append(b, "Transfer-Encoding: chunked\r\n\r\n"...)
		if q.method == "HEAD" {
			return b, true
		}
		for len(body) > 0 {
			n := min(len(body), 1+h.IntN(20_000))
			b = append(append(fmt.Appendf(b, "%x\r\n", n), body[:n]...), "\r\n"...)
			body = body[n:]
		}
		return append(b, "0\r\n\r\n"...), true
	case framing == 1 && h.IntN(4) == 0:
		b = append(b, "X-Framing: close\r\n\r\n"...)
	default:
		b = fmt.Appendf(b, "Content-Length: %d\r\n\r\n", q.answer)
		again = true
	}
	if q.method != "HEAD" {
		b = append(b, body...)
	}
	return b, again
}

// hurt ends the connection, or lets it hang for a moment, or sends what means nothing.
func (h *hearing) hurt() {
	how := h.IntN(4)
	if how == 3 {
		_, _ = h.Write(garbage(h.Rand, 1+h.IntN(300)))
	}
	h.end(how)
}

func (h *hearing) end(how int) {
	switch how {
	case 0:
		_ = h.SetLinger(0)
		return
	case 1:
		_ = h.CloseWrite()
	}
	h.rest()
}

// rest reads on for a while without understanding.
func (h *hearing) rest() {
	_ = h.SetReadDeadline(time.Now().Add(time.Duration(h.IntN(600)) * time.Millisecond))
	_, _ = io.Copy(io.Discard, h.r)
}

// wild is everything that a server should not do, and now and then what it should.
func (h *hearing) wild(q *ask) bool {
	what := h.IntN(12)
	if what == 0 {
		h.hurt()
		return false
	}
	if what == 1 { // answers without the body
		b, _ := h.answer(q, 0)
		_, _ = h.Write(b)
		h.rest()
		return false
	}
	if what == 2 && q.size != 0 {
		_, _ = h.r.Discard(min(h.r.Buffered(), h.IntN(10_000)))
		h.hurt()
		return false
	}
	got, err := h.body(q)
	if err != nil {
		return false
	}
	b, again := h.answer(q, got)
	switch what {
	case 3: // breaks off anywhere
		_, _ = h.Write(b[:h.IntN(len(b))])
		h.end(h.IntN(3))
		return false
	case 4:
		_, _ = h.Write(b)
		_ = h.SetLinger(0)
		return false
	case 5: // more than the answer
		if !again {
			break
		}
		more := appendCells(nil, surplus, q.id, 0, 1+h.IntN(300))
		if len(b) < 4<<10 && h.IntN(2) == 0 { // in one piece with its answer, so that no other request can be under way
			more = append(fmt.Appendf(nil, "HTTP/1.1 200 OK\r\nX-Id: %x\r\nContent-Length: %d\r\n\r\n", q.id, len(more)), more...)
		}
		_, _ = h.Write(append(b, more...))
		h.rest()
		return false
	case 6:
		for range h.IntN(40) {
			_, _ = io.WriteString(h, []string{"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n", "HTTP/1.1 102 Processing\r\n\r\n", "HTTP/1.1 100 Continue\r\n\r\n"}[h.IntN(3)])
		}
	case 7:
		return h.drip(b) && again
	case 8: // a while after the answer something comes, or the end
		if _, err = h.Write(b); err != nil || !again {
			return false
		}
		<-time.After(time.Duration(h.IntN(20)) * time.Millisecond)
		h.hurt()
		return false
	}
	_, err = h.Write(b)
	return err == nil && again
}

// drip sends b in some pieces.
func (h *hearing) drip(b []byte) bool {
	for range 20 {
		n := min(len(b), 1+h.IntN(1+len(b)/5))
		if _, err := h.Write(b[:n]); err != nil {
			return false
		}
		if b = b[n:]; len(b) == 0 {
			break
		}
		<-time.After(time.Duration(h.IntN(15)) * time.Millisecond)
	}
	_, err := h.Write(b)
	return err == nil
}

// garbage is n bytes, none of which is poison or begins a cell.
func garbage(r *rand.Rand, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		if b[i] = byte(r.Uint32()); b[i] == poison || b[i] == '<' {
			b[i] = 0
		}
	}
	return b
}
