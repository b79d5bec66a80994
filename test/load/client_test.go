package load

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strconv"
	"time"
)

const (
	probePath = "/probe"

	// Where a request is slow.
	slowHead   = "head"   // the server takes its time before it answers
	slowBody   = "body"   // within the answer
	slowUpload = "upload" // the client takes its time within its body

	// wholeSize is a head and body that come in one piece and are kept, so that the request can be sent again.
	wholeSize = 8 << 10
	// bound is how long one exchange may take.
	bound = 30 * time.Second
)

// request is one request of the load. It follows from its id alone.
type request struct {
	id                      int
	method                  string
	size, answer            int // of the bodies
	chunked, answersChunked bool
	old                     bool // of HTTP/1.0, on a connection of its own
	slow                    string
}

func newRequest(id int) *request {
	r := rand.New(rand.NewPCG(uint64(id), 20250))
	q := &request{id: id, method: "GET", answer: someSize(r), answersChunked: r.IntN(3) == 0, old: r.IntN(50) == 0}
	if n := r.IntN(4); n > 1 {
		q.method = []string{"PUT", "POST"}[n-2]
		q.size = someSize(r)
		q.chunked = !q.old && r.IntN(10) == 0
	}
	switch n := r.IntN(100); {
	case n < 4:
		q.slow = slowHead
	case n < 8:
		q.slow = slowBody
	case n < 10 && q.size > 0:
		q.slow = slowUpload
	}
	return q
}

// someSize is mostly small, at most 1 MiB.
func someSize(r *rand.Rand) int {
	switch n := r.IntN(100); {
	case n < 5:
		return 0
	case n < 50:
		return r.IntN(2 << 10)
	case n < 85:
		return r.IntN(16 << 10)
	case n < 98:
		return r.IntN(128 << 10)
	}
	return r.IntN(1<<20 + 1)
}

// repeatable tells whether Poise must bring the request to an answer though its server dies: it is idempotent, and its body lies with Poise until the
// answer begins.
func (q *request) repeatable() bool {
	return q.method == "GET" || (q.method == "PUT" && !q.chunked && q.slow != slowUpload && q.size <= wholeSize)
}

// target is its path and query.
func (q *request) target() string {
	s := fmt.Sprintf("/r?id=%d&size=%d&slow=%s", q.id, q.answer, q.slow)
	if q.answersChunked {
		s += "&chunked=1"
	}
	return s
}

// appendHead prints the request's head.
func (q *request) appendHead(b []byte) []byte {
	b = append(append(append(b, q.method...), ' '), q.target()...)
	if q.old {
		b = append(b, " HTTP/1.0\r\nHost: example.test\r\n"...)
	} else {
		b = append(b, " HTTP/1.1\r\nHost: example.test\r\n"...)
	}
	switch {
	case q.chunked:
		b = append(b, "Transfer-Encoding: chunked\r\n"...)
	case q.method != "GET":
		b = fmt.Appendf(b, "Content-Length: %d\r\n", q.size)
	}
	return append(b, "\r\n"...)
}

// client sends one request after the other on a connection that it keeps.
type client struct {
	tls  *tls.Config // nil: clear text
	addr string
	conn net.Conn
	r    *bufio.Reader

	out, body, want, got []byte // memory
}

// outcome is what a client got. None but a cut one may have a fault.
type outcome struct {
	status int   // 0: nothing came
	server int   // the number of the one that answered; below 0: Poise did
	cut    bool  // the answer began, and broke off visibly
	fault  error // what must not be

	begun, ended time.Time
}

func (c *client) close() {
	if c.conn != nil {
		_ = c.conn.Close()
		c.conn = nil
	}
}

// do sends the request and checks what comes back.
func (c *client) do(q *request) outcome {
	if q.old {
		c.close()
	}
	if c.conn == nil {
		conn, err := net.DialTimeout("tcp", c.addr, bound)
		if err != nil {
			return outcome{fault: err}
		}
		if c.tls != nil {
			conn = tls.Client(conn, c.tls)
		}
		c.conn, c.r = conn, bufio.NewReader(conn)
	}
	_ = c.conn.SetDeadline(time.Now().Add(bound))
	sum := c.print(q)
	sent := make(chan error, 1)
	go func(conn net.Conn) { sent <- send(conn, c.out, q.slow == slowUpload) }(c.conn)
	o, keep := c.read(q, sum)
	if !keep {
		c.close()
	}
	if err := <-sent; err != nil && keep {
		o.fault = errors.Join(o.fault, fmt.Errorf("send: %w", err))
	}
	return o
}

// print puts the request into c.out, and returns the hash of its body.
func (c *client) print(q *request) string {
	c.body = pattern(c.body, "request "+strconv.Itoa(q.id), q.size)
	c.out = q.appendHead(c.out[:0])
	if !q.chunked {
		c.out = append(c.out, c.body...)
	} else {
		for b := c.body; len(b) > 0; {
			n := min(len(b), 5000)
			c.out = append(append(fmt.Appendf(c.out, "%x\r\n", n), b[:n]...), "\r\n"...)
			b = b[n:]
		}
		c.out = append(c.out, "0\r\n\r\n"...)
	}
	sum := sha256.Sum256(c.body)
	return hex.EncodeToString(sum[:])
}

// send writes b at once, or in two halves.
func send(conn net.Conn, b []byte, slowly bool) error {
	if slowly {
		if _, err := conn.Write(b[:len(b)/2]); err != nil {
			return err
		}
		rest()
		b = b[len(b)/2:]
	}
	_, err := conn.Write(b)
	return err
}

// read reads the answer and checks it. keep: the connection may be used further.
func (c *client) read(q *request, sum string) (o outcome, keep bool) {
	resp, err := http.ReadResponse(c.r, &http.Request{Method: q.method})
	if err != nil {
		return outcome{fault: fmt.Errorf("no answer: %w", err)}, false
	}
	o.status, o.server = resp.StatusCode, numberOf(resp.Header.Get("X-Server"))
	buf := bytes.NewBuffer(c.got[:0])
	_, err = buf.ReadFrom(resp.Body)
	c.got = buf.Bytes()
	keep = err == nil && !resp.Close && !q.old
	if ne := net.Error(nil); errors.As(err, &ne) && ne.Timeout() {
		o.fault = errors.New("the answer stalled")
		return o, false
	}
	if o.status != http.StatusOK {
		o.fault = err
		return o, keep
	}
	o.cut = err != nil
	o.fault = c.check(q, resp.Header, sum, o.cut)
	return o, keep
}

// check tells whether an answer is the one to the request: the whole of it, or the beginning of one that is cut.
func (c *client) check(q *request, h http.Header, sum string, cut bool) error {
	if id := h.Get("X-Id"); id != strconv.Itoa(q.id) {
		return fmt.Errorf("got the answer to request %q", id)
	}
	if got := h.Get("X-Sum"); got != sum {
		return fmt.Errorf("the server got a body with the hash %s, sent was %s", got, sum)
	}
	c.want = pattern(c.want, "answer "+strconv.Itoa(q.id), q.answer)
	switch {
	case len(c.got) > q.answer:
		return fmt.Errorf("the answer has %d bytes, want %d", len(c.got), q.answer)
	case len(c.got) < q.answer && !cut:
		return fmt.Errorf("the answer was cut silently: %d bytes, want %d", len(c.got), q.answer)
	case !bytes.Equal(c.got, c.want[:len(c.got)]):
		return errors.New("the answer's body is another one")
	}
	return nil
}

// surplus tells what nobody has asked for and comes all the same, up to the end of a connection that the client leaves: a second answer.
func (c *client) surplus() error {
	if c.conn == nil {
		return nil
	}
	if n := c.r.Buffered(); n > 0 {
		b, _ := c.r.Peek(min(n, 100))
		return fmt.Errorf("nobody has asked for %q", b)
	}
	if err := c.conn.(interface{ CloseWrite() error }).CloseWrite(); err != nil {
		return err
	}
	if b, err := io.ReadAll(c.r); len(b) > 0 || err != nil {
		return fmt.Errorf("at the end came %q, %v", b[:min(len(b), 100)], err)
	}
	return nil
}
