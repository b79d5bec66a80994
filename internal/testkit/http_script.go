package testkit

import (
	"bufio"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// Script is what a server does on a connection once it has read a head. It reports whether the next head is to be read; else the connection is
// closed.
type Script func(p *Peer, head string) (again bool)

// Paths is a server that reads heads, and does for each what is there for its path.
func Paths(scripts map[string]Script) func(p *Peer) {
	return func(p *Peer) {
		for {
			head, err := p.ReadHead()
			if err != nil {
				return
			}
			script := scripts[PathOf(head)]
			if script == nil {
				script = Reply(OK)
			}
			if !script(p, head) {
				return
			}
		}
	}
}

// Reply is a script that answers with a response, and goes on.
func Reply(response string) Script {
	return func(p *Peer, _ string) bool { return p.Send(response) == nil }
}

// ReplyAndClose is a script that answers with a response and closes.
func ReplyAndClose(response string) Script {
	return func(p *Peer, _ string) bool {
		_ = p.Send(response)
		return false
	}
}

// PathOf is the target of a request head.
func PathOf(head string) string {
	_, rest, _ := strings.Cut(head, " ")
	path, _, _ := strings.Cut(rest, " ")
	return path
}

// FieldsOf are the values of a field in a head, in order.
func FieldsOf(head, name string) []string {
	var values []string
	for _, line := range strings.Split(head, "\r\n")[1:] {
		if n, v, ok := strings.Cut(line, ":"); ok && strings.EqualFold(n, name) {
			values = append(values, strings.TrimSpace(v))
		}
	}
	return values
}

// Reset closes the connection with a reset; of HTTP/2, it resets the stream.
func (p *Peer) Reset() {
	if st, ok := p.Conn.(*serverStream); ok {
		st.reset()
		return
	}
	_ = p.TCP.SetLinger(0)
	_ = p.TCP.Close()
}

// AwaitEnd reads until the other side has closed, and tells what came.
func (p *Peer) AwaitEnd() (rest string, err error) {
	b, err := io.ReadAll(p.R)
	return string(b), err
}

// Request is a request with its whole body.
type Request struct {
	*http.Request
	Body string
	// Err is how the body ended, if not well.
	Err error
}

// ReadRequest reads a request and its body.
func (p *Peer) ReadRequest() (*Request, error) {
	r, err := http.ReadRequest(p.R)
	if err != nil {
		return nil, err
	}
	b, err := io.ReadAll(r.Body)
	return &Request{Request: r, Body: string(b), Err: err}, nil
}

// BodyOf reads the body of a request whose head was read.
func (p *Peer) BodyOf(head string) (*Request, error) {
	r := bufio.NewReader(io.MultiReader(strings.NewReader(head), p.R))
	req, err := http.ReadRequest(r)
	if err != nil {
		return nil, err
	}
	b, err := io.ReadAll(req.Body)
	if n := r.Buffered(); n > 0 {
		p.R = bufio.NewReader(io.MultiReader(r, p.R))
	}
	return &Request{Request: req, Body: string(b), Err: err}, err
}

// Pattern is n bytes that depend on the seed and the place, so that a lost, doubled or mixed-up piece shows.
func Pattern(seed uint64, n int) []byte {
	b := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8), byte(seed >> 16)}).Read(b)
	return b
}

// ResetConn closes the client's connection with a reset; of HTTP/2, it resets the streams that are not over, if there are any.
func (c *Client) ResetConn() {
	if c.http2 != nil && c.http2.reset() {
		return
	}
	_ = c.SetLinger(0)
	_ = c.Close()
}

// Quiet tells whether nothing comes for d.
func (c *Client) Quiet(d time.Duration) bool {
	_ = c.SetReadDeadline(time.Now().Add(d))
	_, err := c.R.Peek(1)
	_ = c.SetReadDeadline(time.Now().Add(2 * Patience))
	return err != nil && strings.Contains(err.Error(), "timeout")
}

// Unusable is an address at which connecting is refused: nothing else of this process listens on its IP address.
func Unusable(t testing.TB) string {
	t.Helper()
	ln, err := net.Listen("tcp", ownAddress())
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close() // it has done its work
	return ln.Addr().String()
}

// DialWith is Dial by a dialer, for instance from another address.
func DialWith(t testing.TB, d *net.Dialer, addr string) *Client {
	t.Helper()
	c, err := d.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	return newClient(t, c, addr)
}
