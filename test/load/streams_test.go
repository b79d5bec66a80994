package load

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"

	"poise/internal/testkit"
)

// clientsPerConnection is how many clients of HTTP/2 share a connection.
const clientsPerConnection = 8

// streams is a client that sends one request after the other as a stream of HTTP/2, on a connection that others use too.
type streams struct {
	client // for its memory and its checks
	http   *http.Client
	scheme string
}

// newTransport makes one connection, again whenever that has ended.
func newTransport(config *tls.Config) *http.Transport {
	var p http.Protocols
	p.SetUnencryptedHTTP2(config == nil)
	p.SetHTTP2(config != nil)
	if config != nil {
		config = config.Clone()
		config.NextProtos = nil // of HTTP/1.1; net/http has its own
	}
	return &http.Transport{Protocols: &p, TLSClientConfig: config, DisableCompression: true}
}

// newStreams returns n clients.
func newStreams(p *testkit.Poise, n int) (all []*streams) {
	var shared *http.Transport
	for i := range n {
		if i%clientsPerConnection == 0 {
			shared = newTransport(p.ClientTLS())
		}
		c := &streams{http: &http.Client{Transport: shared}, scheme: "http"}
		if p.ClientTLS() != nil {
			c.scheme = "https"
		}
		c.addr = p.Addr
		all = append(all, c)
	}
	return all
}

func (c *streams) close() { c.http.CloseIdleConnections() }

func (c *streams) surplus() error { return nil } // net/http would say

func (c *streams) do(q *request) (o outcome) {
	ctx, cancel := context.WithTimeout(context.Background(), bound)
	defer cancel()
	c.body = pattern(c.body, fmt.Sprintf("request %d", q.id), q.size)
	sum := sha256.Sum256(c.body)
	r, err := http.NewRequestWithContext(ctx, q.method, c.scheme+"://"+c.addr+q.target(), nil)
	if err != nil {
		return outcome{fault: err}
	}
	if q.method != "GET" {
		r.Body, r.ContentLength = io.NopCloser(&halting{b: c.body, slow: q.slow == slowUpload}), int64(q.size)
		if q.size == 0 {
			r.Body = http.NoBody
		}
		if q.chunked {
			r.ContentLength = -1
		}
	}
	resp, err := c.http.Do(r)
	if err != nil {
		return outcome{fault: fmt.Errorf("no answer: %w", err)}
	}
	defer resp.Body.Close()
	o.status, o.server = resp.StatusCode, numberOf(resp.Header.Get("X-Server"))
	buf := bytes.NewBuffer(c.got[:0])
	_, err = buf.ReadFrom(resp.Body)
	c.got = buf.Bytes()
	switch {
	case ctx.Err() != nil:
		o.fault = fmt.Errorf("the answer stalled: %w", ctx.Err())
	case resp.ProtoMajor != 2:
		o.fault = fmt.Errorf("the answer is one of %s", resp.Proto)
	case o.status != http.StatusOK:
		o.fault = err
	default:
		o.cut = err != nil
		o.fault = c.check(q, resp.Header, hex.EncodeToString(sum[:]), o.cut)
	}
	return o
}

// halting is a body that rests in its middle if it is slow.
type halting struct {
	b    []byte
	read int
	slow bool
}

func (h *halting) Read(p []byte) (int, error) {
	left := h.b[h.read:]
	if len(left) == 0 {
		return 0, io.EOF
	}
	if half := len(h.b) / 2; h.slow && h.read < half {
		left = h.b[h.read:half]
	} else if h.slow && h.read == half {
		rest()
	}
	n := copy(p, left)
	h.read += n
	return n, nil
}
