package probe

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
)

// HTTP describes the request of a probe, and the answers that pass it.
type HTTP struct {
	Method string   // default GET
	Path   string   // with the query, if any; default /
	Host   string   // default: the server's address, localhost for a Unix socket
	Fields []Field  // added to the request; User-Agent is poise-probe unless it is among them
	Status []Status // what passes; default 200 to 399. A redirection is not followed
	Body   string   // must be within the first maxBody bytes of the body; empty: any body
	TLS    *TLS     // nil: clear text
	HTTP2  bool     // instead of HTTP/1.1
}

// Field is one header field.
type Field struct{ Name, Value string }

// Status is a range of statuses, both ends included.
type Status struct{ From, To int }

const (
	// maxBody is how much of a body is read: for what must be in it, and for the server's sake, to which a connection closed early is an error.
	maxBody = 64 << 10
	// maxHead bounds what a broken server makes us hold.
	maxHead = 64 << 10
)

// newCheckHTTP returns a check that passes when the request is answered as it should be.
func newCheckHTTP(h *HTTP) (check, error) {
	request, err := h.request()
	if err != nil {
		return nil, err
	}
	var protocols *http.Protocols
	if h.HTTP2 {
		protocols = http2(h.TLS)
	}
	return func(ctx context.Context, to target) error {
		r := request.Clone(ctx)
		if r.Host == "" {
			r.Host = hostOf(to.address)
		} else {
			to.name = withoutPort(r.Host)
		}
		response, err := ask(r, to, h.TLS, protocols)
		if err != nil {
			return err
		}
		defer response.Body.Close()
		if response.StatusCode == http.StatusSwitchingProtocols { // its body is the connection, and has no end
			return h.judge(response.StatusCode, strings.NewReader(""))
		}
		body := io.LimitReader(response.Body, maxBody)
		err = h.judge(response.StatusCode, body)
		_, _ = io.Copy(io.Discard, body) // it is decided: how the body ends does not matter
		return err
	}, nil
}

// ask sends a request on a connection of its own: nothing is kept from one probe to the next. The address is dialled, whatever the URL says.
func ask(r *http.Request, to target, t *TLS, protocols *http.Protocols) (*http.Response, error) {
	transport := http.Transport{
		// The request's context and not the one that is given: the transport would let a dial go on without us.
		DialContext:            func(context.Context, string, string) (net.Conn, error) { return dial(r.Context(), to.address) },
		DisableKeepAlives:      true,
		DisableCompression:     true,
		MaxResponseHeaderBytes: maxHead,
		Protocols:              protocols,
		TLSClientConfig:        t.config(to.name),
		HTTP2:                  &http.HTTP2Config{MaxReceiveBufferPerConnection: maxBody, MaxReceiveBufferPerStream: maxBody},
	}
	return transport.RoundTrip(r)
}

// judge holds an answer against what is wanted.
func (h *HTTP) judge(status int, body io.Reader) error {
	if !h.passes(status) {
		return fmt.Errorf("status %d", status)
	}
	if h.Body == "" {
		return nil
	}
	found, err := contains(body, h.Body, maxBody)
	if !found && (err == nil || err == io.EOF) {
		err = fmt.Errorf("body without %q", h.Body)
	}
	return err
}

// request makes what each probe sends a copy of.
func (h *HTTP) request() (*http.Request, error) {
	method, path, scheme := h.Method, h.Path, "http"
	if method == "" {
		method = http.MethodGet
	}
	if !strings.HasPrefix(path, "/") {
		path = "/" + path
	}
	if h.TLS != nil {
		scheme = "https"
	}
	r, err := http.NewRequest(method, scheme+"://server"+path, nil)
	if err != nil {
		return nil, fmt.Errorf("make a probe's request: %w", err)
	}
	r.Host = h.Host
	r.Header.Set("User-Agent", agent)
	for _, f := range h.Fields {
		switch {
		case strings.EqualFold(f.Name, "Host"):
			r.Host = f.Value
		case strings.EqualFold(f.Name, "User-Agent"):
			r.Header.Set(f.Name, f.Value)
		default:
			r.Header.Add(f.Name, f.Value)
		}
	}
	return r, nil
}

// agent is how probes are known in servers' logs.
const agent = "poise-probe"

func (h *HTTP) passes(status int) bool {
	for _, s := range h.Status {
		if s.From <= status && status <= s.To {
			return true
		}
	}
	return len(h.Status) == 0 && 200 <= status && status <= 399
}

func hostOf(address string) string {
	if strings.HasPrefix(address, "unix:") {
		return "localhost"
	}
	return address
}

// withoutPort takes a host's port off, and the brackets of an IPv6 address.
func withoutPort(host string) string {
	if h, _, err := net.SplitHostPort(host); err == nil {
		return h
	}
	return strings.Trim(host, "[]")
}
