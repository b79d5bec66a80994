package probe

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"unicode/utf8"

	"poise/internal/pool"
)

// check makes one probe. No error: it passed. It ends when ctx does, and holds little whatever the server sends.
type check func(ctx context.Context, to target) error

// question makes one probe, and returns what was answered.
type question func(ctx context.Context, to target) (answer string, err error)

// question is c, where nobody wants to know more than whether it passed.
func (c check) question(ctx context.Context, to target) (string, error) { return "", c(ctx, to) }

// target is what is asked about a server.
type target struct {
	address string // "ip:port" or "unix:/path"
	name    string // the host that the server's certificate shall be for, where nothing else is said
}

// targetOf is what is asked about s. port: instead of its own, unless 0.
func targetOf(s *pool.Server, port int) target {
	return target{address: probed(s.Address, port), name: s.Host()}
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

var dialer = net.Dialer{KeepAlive: -1} // no keep-alive: a probe's connection is short

// dial connects to a server's address. The connection is closed when ctx ends, at the latest: so nothing that is done on it lasts longer.
func dial(ctx context.Context, address string) (net.Conn, error) {
	network := "tcp"
	if path, ok := strings.CutPrefix(address, "unix:"); ok {
		network, address = "unix", path
	}
	conn, err := dialer.DialContext(ctx, network, address)
	if err == nil {
		context.AfterFunc(ctx, func() { _ = conn.Close() })
	}
	return conn, err
}

// TCP says what is sent on a connection, and what must come back. The zero TCP only connects.
type TCP struct {
	Send   string
	Expect string // within the first maxReply bytes; empty: anything, and nothing is read
}

// maxReply is how much of a TCP server's answer is looked at.
const maxReply = 4 << 10

// newCheckTCP returns a check that passes when a connection can be made, and what is expected comes.
func newCheckTCP(t TCP) check {
	return func(ctx context.Context, to target) error {
		conn, err := dial(ctx, to.address)
		if err != nil {
			return err
		}
		defer func() { _ = conn.Close() }()
		if t.Send != "" {
			if _, err := io.WriteString(conn, t.Send); err != nil {
				return err
			}
		}
		if t.Expect == "" {
			return nil
		}
		found, err := contains(conn, t.Expect, maxReply)
		if !found && (err == nil || errors.Is(err, io.EOF)) {
			err = fmt.Errorf("answer without %q", t.Expect)
		}
		return err
	}
}

// contains reads until text has come, or limit bytes without it. No more is read than is needed: who has sent the text may stay silent.
func contains(r io.Reader, text string, limit int) (bool, error) {
	var seen []byte
	piece := make([]byte, min(limit, 4<<10))
	for {
		n, err := r.Read(piece[:min(len(piece), limit-len(seen))])
		from := max(0, len(seen)-len(text)+1) // before, it was looked for already
		seen = append(seen, piece[:n]...)
		switch {
		case bytes.Contains(seen[from:], []byte(text)):
			return true, nil
		case err != nil || len(seen) == limit:
			return false, err
		}
	}
}

// maxReason is the longest reason: a server may send much where a status is expected, and reasons are kept and logged.
const maxReason = 200

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
	return shortened(err.Error())
}

// shortened cuts text to maxReason, between two characters.
func shortened(text string) string {
	if len(text) <= maxReason {
		return text
	}
	end := maxReason
	for end > 0 && !utf8.RuneStart(text[end]) {
		end--
	}
	return text[:end] + "..."
}
