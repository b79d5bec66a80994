package testkit

import (
	"bufio"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"testing"
	"time"
)

// Client is a connection to Poise that sends the bytes it is told.
type Client struct {
	*net.TCPConn
	R     *bufio.Reader
	w     io.Writer
	tls   *tls.Conn    // nil: clear text
	http2 *http2Client // nil: it speaks HTTP/1.1
	t     testing.TB
}

// Dial connects to Poise; the connection is closed when the test ends.
func Dial(t testing.TB, addr string) *Client {
	t.Helper()
	c, err := net.DialTimeout("tcp", addr, Patience)
	if err != nil {
		t.Fatal(err)
	}
	return newClient(t, c, addr)
}

func newClient(t testing.TB, conn net.Conn, addr string) *Client {
	t.Helper()
	_ = conn.SetDeadline(time.Now().Add(2 * Patience))
	t.Cleanup(func() { _ = conn.Close() })
	c := &Client{TCPConn: conn.(*net.TCPConn), R: bufio.NewReader(conn), w: conn, t: t}
	if config, ok := overTLS.Load(addr); ok {
		c.secure(config.(*tls.Config)) // the handshake is made when something is sent or read
	}
	if _, ok := overHTTP2.Load(addr); ok {
		c.translate()
	}
	return c
}

// translate has what is sent and read go over HTTP/2.
func (c *Client) translate() {
	if c.tls != nil {
		c.http2 = newHTTP2Client(c.t, c.tls, "https")
	} else {
		c.http2 = newHTTP2Client(c.t, c.TCPConn, "http")
	}
	c.R, c.w = bufio.NewReader(c.http2), c.http2
}

// DialTLS is Dial, and makes a handshake: what is sent and read goes over TLS then.
func DialTLS(t testing.TB, addr string, config *tls.Config) (*Client, *tls.Conn) {
	t.Helper()
	c := Dial(t, addr)
	s, err := c.Handshake(config)
	if err != nil {
		t.Fatalf("handshake: %v", err)
	}
	return c, s
}

// Handshake has what is sent and read go over TLS.
func (c *Client) Handshake(config *tls.Config) (*tls.Conn, error) {
	c.secure(config)
	return c.tls, c.tls.Handshake()
}

func (c *Client) secure(config *tls.Config) {
	c.tls = tls.Client(c.TCPConn, config)
	c.R, c.w = bufio.NewReader(c.tls), c.tls
}

// Write sends b.
func (c *Client) Write(b []byte) (int, error) { return c.w.Write(b) }

// CloseWrite says that nothing more follows.
func (c *Client) CloseWrite() error {
	if c.http2 != nil {
		c.http2.closeWrite()
		return nil
	}
	if c.tls != nil {
		_ = c.tls.Handshake()
		_ = c.tls.CloseWrite()
	}
	return c.TCPConn.CloseWrite()
}

// SetDeadline is net.Conn's.
func (c *Client) SetDeadline(t time.Time) error {
	if c.http2 == nil {
		return c.TCPConn.SetDeadline(t)
	}
	_ = c.SetReadDeadline(t)
	return c.SetWriteDeadline(t)
}

// SetReadDeadline is net.Conn's.
func (c *Client) SetReadDeadline(t time.Time) error {
	if c.http2 != nil {
		c.http2.readBy(t)
		return nil
	}
	return c.TCPConn.SetReadDeadline(t)
}

// SetWriteDeadline is net.Conn's.
func (c *Client) SetWriteDeadline(t time.Time) error {
	if c.http2 != nil {
		c.http2.out.writeBy(t)
		return nil
	}
	return c.TCPConn.SetWriteDeadline(t)
}

// Send writes s. That the other side has closed is no failure: a test looks at what it reads.
func (c *Client) Send(s string) {
	_, _ = io.WriteString(c.w, s)
}

// Response is a response with its whole body.
type Response struct {
	*http.Response
	Body string
	// Err is how the body ended, if not well: io.ErrUnexpectedEOF for one that is cut.
	Err error
}

// Read reads one response to a request with the method. It fails the test if there is none.
func (c *Client) Read(method string) *Response {
	c.t.Helper()
	r, err := c.TryRead(method)
	if err != nil {
		c.t.Fatalf("no response: %v", err)
	}
	return r
}

// TryRead is Read for where there may be none.
func (c *Client) TryRead(method string) (*Response, error) {
	resp, err := http.ReadResponse(c.R, &http.Request{Method: method})
	if err != nil {
		return nil, err
	}
	b, err := io.ReadAll(resp.Body)
	_ = resp.Body.Close()
	return &Response{Response: resp, Body: string(b), Err: err}, nil
}

// Get sends a GET for the path with the Host example.test, and reads the response.
func (c *Client) Get(path string) *Response {
	c.t.Helper()
	c.Send("GET " + path + " HTTP/1.1\r\nHost: example.test\r\n\r\n")
	return c.Read("GET")
}

// Closed waits until Poise has closed the connection, and tells what came before that, and whether the end was clean (a FIN, no reset).
func (c *Client) Closed() (rest string, clean bool) {
	c.t.Helper()
	b, err := io.ReadAll(c.R)
	if ne := net.Error(nil); errors.As(err, &ne) && ne.Timeout() {
		c.t.Fatalf("the connection stays open; so far came %q", b)
	}
	return string(b), err == nil
}

// Rest is all bytes until the connection ends.
func (c *Client) Rest() string {
	c.t.Helper()
	s, _ := c.Closed()
	return s
}
