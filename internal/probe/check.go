package probe

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
)

// HTTP describes the request of a probe, and the answers that pass it.
type HTTP struct {
	Method string   // default GET
	Path   string   // with the query, if any; default /
	Host   string   // default: the server's address, localhost for a Unix socket
	Fields []Field  // added to the request; User-Agent is poise-probe unless it is among them
	Status []Status // what passes; default 200 to 399. A redirection is not followed
}

// Field is one header field.
type Field struct{ Name, Value string }

// Status is a range of statuses, both ends included.
type Status struct{ From, To int }

const (
	// maxBody is how much of a body is read, for the server's sake: to it a connection closed early is an error.
	maxBody = 64 << 10
	// maxHead bounds what a broken server makes us hold.
	maxHead = 64 << 10
)

var dialer = net.Dialer{KeepAlive: -1} // no keep-alive: a probe's connection is short

// dial connects to a server's address: "ip:port" or "unix:/path".
func dial(ctx context.Context, address string) (net.Conn, error) {
	if path, ok := strings.CutPrefix(address, "unix:"); ok {
		return dialer.DialContext(ctx, "unix", path)
	}
	return dialer.DialContext(ctx, "tcp", address)
}

// probed is the address that is asked about the server at address.
func probed(address string, port int) string {
	if port == 0 || strings.HasPrefix(address, "unix:") {
		return address
	}
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return address // dial will say what is wrong with it
	}
	return net.JoinHostPort(host, strconv.Itoa(port))
}

// checkTCP passes when a connection can be made.
func checkTCP(ctx context.Context, address string) error {
	conn, err := dial(ctx, address)
	if err != nil {
		return err
	}
	return conn.Close()
}

// newCheckHTTP returns a check that passes when the request is answered with one of the statuses.
func newCheckHTTP(h *HTTP) (check, error) {
	request, err := h.request()
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context, address string) error {
		// A transport of its own for each probe: nothing is kept from one to the next.
		transport := http.Transport{
			DialContext:            func(ctx context.Context, _, _ string) (net.Conn, error) { return dial(ctx, address) },
			DisableKeepAlives:      true,
			DisableCompression:     true,
			MaxResponseHeaderBytes: maxHead,
		}
		r := request.Clone(ctx)
		if r.Host == "" {
			r.Host = hostOf(address)
		}
		response, err := transport.RoundTrip(r)
		if err != nil {
			return err
		}
		defer response.Body.Close()
		if !h.passes(response.StatusCode) {
			err = fmt.Errorf("status %d", response.StatusCode)
		}
		if response.StatusCode != http.StatusSwitchingProtocols { // its body is the connection, and has no end
			_, _ = io.CopyN(io.Discard, response.Body, maxBody) // the status has decided: how the body ends does not matter
		}
		return err
	}, nil
}

// request makes what each probe sends a copy of.
func (h *HTTP) request() (*http.Request, error) {
	method, path := h.Method, h.Path
	if method == "" {
		method = http.MethodGet
	}
	if !strings.HasPrefix(path, "/") {
		path = "/" + path
	}
	r, err := http.NewRequest(method, "http://server"+path, nil) // the address is dialled, whatever the host says
	if err != nil {
		return nil, fmt.Errorf("make a probe's request: %w", err)
	}
	r.Host = h.Host
	r.Header.Set("User-Agent", "poise-probe")
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

// reason says in words why a probe failed, without the address: "connection refused" rather than
// "dial tcp 10.0.0.1:80: connect: connection refused".
func reason(err error) string {
	var op *net.OpError
	if errors.As(err, &op) && op.Err != nil {
		err = op.Err
	}
	var call *os.SyscallError
	if errors.As(err, &call) {
		err = call.Err
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return "closed before the response"
	}
	return err.Error()
}
