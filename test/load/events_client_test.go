package load

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"poise/internal/testkit"
)

// The ways of a client with a request.
const (
	staysToEnd = iota
	leavesSoon
	leavesInUpload
	stallsInUpload
	leavesInAnswer
	endsSending // it closes its sending side behind the request
)

// partOfUpload is how much of an upload that comes to nothing is sent, and uploadSize how much is promised.
const partOfUpload, uploadSize = 3000, 100_000

// deed is a request, what its server does with it, and what its client does.
type deed struct {
	id               int
	pool, method, do string
	way, size        int // the body's
	answer           int
	user             int
	after            time.Duration // until the client leaves
	reset            bool          // it leaves by a reset
}

func (e *events) someDeed(random *rand.Rand, id int) deed {
	d := deed{id: id, pool: e.pools[random.IntN(len(e.pools))].name, method: "GET", user: random.IntN(20), answer: random.IntN(500)}
	if n := random.IntN(4); n > 1 {
		d.method = []string{"PUT", "POST"}[n-2]
		d.size = 1 + random.IntN(2000)
	}
	switch n := random.IntN(100); {
	case n < 3:
		d.size = 20_000 + random.IntN(60_000) // goes on as a stream
		d.method = "PUT"
	case n < 6:
		d.answer = 20_000 + random.IntN(200_000)
	}
	d.after, d.reset = time.Duration(random.IntN(6000))*time.Microsecond, random.IntN(2) == 0
	switch n := random.IntN(100); {
	case n < 8:
		d.way = leavesSoon
	case n < 12:
		d.way, d.method = leavesInUpload, []string{"PUT", "POST"}[n%2]
	case n < 13:
		d.way, d.method = stallsInUpload, "PUT"
	case n < 16:
		d.way, d.answer = leavesInAnswer, 400_000
	case n < 18:
		d.way = endsSending
	}
	d.do = doings[random.IntN(len(doings))]
	if random.IntN(3) > 0 || d.way == leavesInAnswer {
		d.do = ""
	}
	return d
}

// client does one request after the other, on a connection that it keeps as long as it can.
func (e *events) client() {
	c, random := &eventClient{addr: e.poise.Addr}, random()
	defer c.close(false)
	for {
		id := int(e.next.Add(1)) - 1
		if id >= len(e.seen) {
			return
		}
		d := e.someDeed(random, id)
		s, err := c.do(&d)
		if err != nil {
			e.faults.add("%+v, on the connection of %+v, %+v: %v", d, c.last, c.was, err)
		}
		e.seen[id], c.last, c.was = s, d, s
	}
}

type eventClient struct {
	addr string
	conn *net.TCPConn
	r    *bufio.Reader
	body []byte
	last deed // the one before, on the connection
	was  seen // what it came to
}

func (c *eventClient) close(reset bool) {
	if c.conn == nil {
		return
	}
	if reset {
		_ = c.conn.SetLinger(0)
	}
	_ = c.conn.Close()
	c.conn = nil
}

// do sends the request and does with the answer what its way is.
func (c *eventClient) do(d *deed) (seen, error) {
	if c.conn == nil {
		conn, err := net.Dial("tcp", c.addr)
		if err != nil {
			return seen{left: true}, err
		}
		c.conn, c.r, c.last, c.was = conn.(*net.TCPConn), bufio.NewReader(conn), deed{}, seen{}
	}
	_ = c.conn.SetDeadline(time.Now().Add(testkit.Patience))
	// What goes wrong here, such as a reset by an early answer, shows by what can be read.
	_, _ = c.conn.Write(c.print(d))
	switch d.way {
	case leavesSoon, leavesInUpload:
		<-time.After(d.after)
		c.close(d.reset)
		return seen{left: true}, nil
	case leavesInAnswer:
		_, _ = io.CopyN(io.Discard, c.r, 10_000)
		c.close(d.reset)
		return seen{left: true}, nil
	case endsSending:
		_ = c.conn.CloseWrite()
	}
	s, keep, err := c.read(d)
	if !keep || d.way == endsSending || d.way == stallsInUpload {
		c.close(false)
	}
	return s, err
}

func (c *eventClient) print(d *deed) []byte {
	b := fmt.Appendf(c.body[:0], "%s /%s/%d?do=%s&size=%d HTTP/1.1\r\nHost: a\r\nX-User: %d\r\n", d.method, d.pool, d.id, d.do, d.answer, d.user)
	size, send := d.size, d.size
	if d.way == leavesInUpload || d.way == stallsInUpload {
		size, send = uploadSize, partOfUpload
	}
	if d.method != "GET" {
		b = fmt.Appendf(b, "Content-Length: %d\r\n", size)
	}
	b = append(b, "\r\n"...)
	if d.method != "GET" {
		b = append(b, strings.Repeat("x", send)...)
	}
	c.body = b
	return b
}

// read reads an answer. That there is none is right only where the client has ended its sending side, and then it cannot know.
func (c *eventClient) read(d *deed) (s seen, keep bool, err error) {
	resp, err := http.ReadResponse(c.r, &http.Request{Method: d.method})
	if err != nil {
		if d.way == endsSending && (errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)) {
			return seen{left: true}, false, nil
		}
		return seen{}, false, fmt.Errorf("no answer: %w", err)
	}
	b, err := io.ReadAll(resp.Body)
	if ne := net.Error(nil); errors.As(err, &ne) && ne.Timeout() {
		return s, false, errors.New("the answer stalled")
	}
	s = seen{status: int16(resp.StatusCode), cut: err != nil}
	if resp.StatusCode != http.StatusOK {
		return s, !s.cut && !resp.Close, nil
	}
	switch want := answerTo(d.id, d.answer); {
	case resp.Header.Get("X-Id") != strconv.Itoa(d.id):
		err = fmt.Errorf("got the answer to %q", resp.Header.Get("X-Id"))
	case s.cut && !bytes.HasPrefix(want, b), !s.cut && !bytes.Equal(want, b):
		err = fmt.Errorf("%d bytes of another answer, or not all of %d", len(b), len(want))
	default:
		err = nil
	}
	return s, err == nil && !s.cut && !resp.Close, err
}

// answerTo is the body of the answer to a request.
func answerTo(id, size int) []byte {
	text := strconv.Itoa(id) + " "
	return bytes.Repeat([]byte(text), size/len(text)+1)[:size]
}
