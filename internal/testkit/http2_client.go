package testkit

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// http2Client speaks HTTP/2 to Poise for a test that writes and reads HTTP/1.1. Each request that is written is a stream; answers are read in the order of
// requests. What ends a connection of HTTP/1.1 ends it for the test here too, be it that Poise goes on with the connection of HTTP/2:
//
//	the answer is whole, and Poise has reset the rest of the request    the end that follows Connection: close
//	a stream is reset before its answer is whole                        a reset
type http2Client struct {
	t      testing.TB
	scheme string
	conn   net.Conn

	start sync.Once
	k     *http2Conn

	out   outbox
	later sync.WaitGroup // what waits for the outbox
	// In the hands of the outbox.
	text    text
	request *http2Stream // whose text is being written

	mu       sync.Mutex // guards the fields below
	more     *sync.Cond
	order    []*http2Stream // of which answers are to be read
	methods  map[uint32]string
	closing  bool  // no request follows
	over     error // what is read behind the last answer
	deadline time.Time
}

func newHTTP2Client(t testing.TB, conn net.Conn, scheme string) *http2Client {
	c := &http2Client{t: t, conn: conn, scheme: scheme, methods: map[uint32]string{}}
	c.more = sync.NewCond(&c.mu)
	c.out.init(c.feed)
	c.text = text{begin: c.begin, data: c.data, trailers: c.trailers}
	return c
}

// begun begins to speak; before that, the connection is one on which nothing is said.
func (c *http2Client) begun() *http2Conn {
	c.start.Do(func() {
		c.k = newHTTP2Conn(c.conn, c)
		c.k.greet(http2.ClientPreface)
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			c.k.run()
		}()
		c.t.Cleanup(func() {
			_ = c.conn.Close()
			<-ended
			c.out.drained()
			c.later.Wait()
		})
	})
	return c.k
}

// Write takes what is a part of requests in HTTP/1.1. A piece is sent as one, as far as windows let it.
func (c *http2Client) Write(b []byte) (int, error) {
	c.begun()
	return c.out.write(b)
}

// feed is the outbox's.
func (c *http2Client) feed(b []byte) {
	_ = c.k.write(func() {
		if _, err := c.text.feed(b); err != nil {
			c.t.Error(err)
			_ = c.conn.Close() // nobody shall wait for what comes of it
		}
	})
}

// begin sends a request's head.
func (c *http2Client) begin(line string, fields []hpack.HeaderField) (follows int64, err error) {
	method, rest, _ := strings.Cut(line, " ")
	target, ok := strings.CutSuffix(rest, " HTTP/1.1")
	if !ok || method == "CONNECT" || !strings.HasPrefix(target, "/") && target != "*" {
		return 0, unsayable(line)
	}
	fields, closes, err := withoutConnection(fields)
	if err != nil {
		return 0, err
	}
	if fields, follows, err = framingOf(fields); err != nil {
		return 0, err
	}
	if follows == untilEnd {
		follows = nextHead
	}
	head := []hpack.HeaderField{{Name: ":method", Value: method}, {Name: ":scheme", Value: c.scheme}, {Name: ":path", Value: target}}
	for i, f := range fields {
		if f.Name == "host" {
			head = append(head, hpack.HeaderField{Name: ":authority", Value: f.Value})
			fields = append(fields[:i:i], fields[i+1:]...)
			break
		}
	}
	_ = c.open(method, closes).heads(append(head, fields...), follows == nextHead)
	return follows, nil
}

func (c *http2Client) open(method string, closes bool) *http2Stream {
	c.mu.Lock()
	defer c.mu.Unlock()
	id := uint32(2*len(c.methods) + 1)
	c.k.mu.Lock()
	s := c.k.open(id)
	s.waits = c.out.setStuck
	over := c.k.err
	c.k.mu.Unlock()
	if c.over != nil {
		over = c.over
	}
	if over != nil {
		s.broke(over)
	}
	c.methods[id] = method
	s.in.readBy(c.deadline)
	c.order = append(c.order, s)
	c.request, c.closing = s, c.closing || closes
	c.more.Broadcast()
	return s
}

func (c *http2Client) data(b []byte, end bool) (int, error) {
	_, _ = c.request.data(b, end) // that the other side takes nothing more is seen by who reads
	return len(b), nil
}

func (c *http2Client) trailers(fields []hpack.HeaderField) error {
	_ = c.request.heads(fields, true)
	return nil
}

// headers is http2Role's.
func (c *http2Client) headers(f *http2.MetaHeadersFrame) {
	s := c.k.stream(f.StreamID)
	if s == nil {
		return
	}
	fields := f.Fields
	status := f.PseudoValue("status")
	if status == "" {
		s.tail(fields)
		return
	}
	c.mu.Lock()
	method := c.methods[f.StreamID]
	c.mu.Unlock()
	var code int
	_, _ = fmt.Sscan(status, &code)
	bodiless := code < 200 || code == 204 || code == 304 || method == "HEAD"
	s.head("HTTP/1.1 "+status+" "+http.StatusText(code)+"\r\n", fields, f.StreamEnded(), bodiless)
}

// ended is http2Role's.
func (c *http2Client) ended() {
	c.k.mu.Lock()
	err := c.k.err
	c.k.mu.Unlock()
	c.end(err)
}

func (c *http2Client) end(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.over == nil {
		c.over = err
	}
	c.more.Broadcast()
}

// complain is http2Role's.
func (c *http2Client) complain(err error) { c.t.Error(err) }

// Read reads answers in HTTP/1.1.
func (c *http2Client) Read(b []byte) (int, error) {
	c.begun()
	for {
		s, err := c.next()
		if err != nil {
			return 0, err
		}
		n, err := s.in.Read(b)
		switch err {
		case nil:
			return n, nil
		case os.ErrDeadlineExceeded:
			return 0, err
		case errFinished:
			c.answered()
		default:
			c.end(err)
			c.answered()
			_ = c.conn.Close()
		}
	}
}

// next is the stream whose answer is to be read.
func (c *http2Client) next() (*http2Stream, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for {
		switch {
		case len(c.order) > 0:
			return c.order[0], nil
		case c.over != nil:
			return nil, c.over
		case !c.deadline.IsZero() && !time.Now().Before(c.deadline):
			return nil, os.ErrDeadlineExceeded
		}
		c.more.Wait()
	}
}

// answered drops the stream whose answer has been read. The connection ends with the last one, where none is to follow.
func (c *http2Client) answered() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.order = c.order[1:]
	if c.over != nil {
		c.order = nil
	}
	if c.closing && len(c.order) == 0 {
		c.over = io.EOF
		_ = c.conn.Close()
	}
}

// closeWrite says that nothing more follows: what was begun is broken off, and what was asked is waited for.
func (c *http2Client) closeWrite() {
	c.begun()
	if c.out.idle() {
		c.endWriting()
		return
	}
	c.later.Go(func() { // a socket does not wait either
		c.out.drained()
		c.endWriting()
	})
}

func (c *http2Client) endWriting() {
	if c.text.within() && c.request != nil {
		c.request.abort(http2.ErrCodeCancel)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closing = true
	if len(c.order) == 0 && c.over == nil {
		c.over = io.EOF
		_ = c.conn.Close()
	}
	c.more.Broadcast()
}

// reset breaks off what was asked, and tells whether there was anything.
func (c *http2Client) reset() bool {
	c.mu.Lock()
	order := c.order
	c.mu.Unlock()
	for _, s := range order {
		s.abort(http2.ErrCodeCancel)
	}
	c.end(io.EOF)
	return len(order) > 0
}

// readBy sets the time after which reading fails.
func (c *http2Client) readBy(t time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.deadline = t
	for _, s := range c.order {
		s.in.readBy(t)
	}
	if !t.IsZero() {
		time.AfterFunc(time.Until(t), func() {
			c.mu.Lock() // so that nobody is between looking at the time and waiting
			defer c.mu.Unlock()
			c.more.Broadcast()
		})
	}
}
