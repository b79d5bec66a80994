package testkit

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// http2Server speaks HTTP/2 with Poise on one connection, for a script that reads and writes HTTP/1.1. Each stream is what a connection is to the script: one
// that brings a single request, and ends once that is answered. What the script ends before its answer is whole is reset.
type http2Server struct {
	t      testing.TB
	k      *http2Conn
	p      *Peer // of the connection
	script func(p *Peer)
	number func() int
	all    sync.WaitGroup
}

// serveHTTP2 serves a connection until it is over.
func (s *Server) serveHTTP2(p *Peer, script func(p *Peer)) {
	preface := make([]byte, len(http2.ClientPreface))
	if _, err := io.ReadFull(p.Conn, preface); err != nil {
		return // a probe that only connects
	}
	h := &http2Server{t: s.t, p: p, script: script, number: s.next}
	if string(preface) != http2.ClientPreface {
		h.complain(fmt.Errorf("poise begins a connection of HTTP/2 with %q", preface))
		return
	}
	_ = p.TCP.SetDeadline(time.Time{}) // it lasts for as long as there are requests; each of them has its time
	h.k = newHTTP2Conn(p.Conn, h)
	h.k.greet("")
	h.k.run()
	h.all.Wait()
}

// headers is http2Role's.
func (h *http2Server) headers(f *http2.MetaHeadersFrame) {
	if s := h.k.stream(f.StreamID); s != nil {
		s.tail(f.Fields)
		return
	}
	method, target := f.PseudoValue("method"), f.PseudoValue("path")
	head := method + " " + target + " HTTP/1.1\r\n"
	if host := f.PseudoValue("authority"); host != "" {
		head += "Host: " + host + "\r\n"
	}
	h.k.mu.Lock()
	s := h.k.open(f.StreamID)
	h.k.mu.Unlock()
	st := &serverStream{s: s, h: h, method: method}
	st.text = text{begin: st.begin, data: st.data, trailers: st.trailers}
	_ = st.SetDeadline(time.Now().Add(2 * Patience))
	s.head(head, f.Fields, f.StreamEnded(), f.StreamEnded())
	p := h.p.Over(st)
	p.Number = h.number()
	h.all.Go(func() {
		defer st.Close()
		h.script(p)
	})
}

// ended is http2Role's.
func (*http2Server) ended() {}

// complain is http2Role's.
func (h *http2Server) complain(err error) { h.t.Error(err) }

// serverStream is a stream as the connection of a script.
type serverStream struct {
	s      *http2Stream
	h      *http2Server
	method string

	mu    sync.Mutex // guards the fields below: what is written
	text  text
	ended bool  // the answer is, or can be no more
	bad   error // why nothing more is taken
}

func (st *serverStream) Read(b []byte) (int, error) {
	n, err := st.s.in.Read(b)
	if err == errFinished {
		err = io.EOF
	}
	return n, err
}

func (st *serverStream) Write(b []byte) (n int, err error) {
	st.mu.Lock()
	defer st.mu.Unlock()
	if st.bad != nil {
		return 0, st.bad
	}
	_ = st.s.k.write(func() { n, err = st.text.feed(b) })
	if errors.Is(err, errUnsayable) {
		st.h.t.Error(err)
		_ = st.h.p.Conn.Close() // nobody shall wait for what comes of it
	}
	if err != nil && err != os.ErrDeadlineExceeded {
		st.bad = err
	}
	return n, err
}

// begin sends a head of an answer.
func (st *serverStream) begin(line string, fields []hpack.HeaderField) (follows int64, err error) {
	if st.ended {
		return 0, unsayable(line + " behind an answer")
	}
	fields, follows, final, err := answerOf(line, fields, st.method)
	if err != nil {
		return 0, err
	}
	st.ended = final && follows == nextHead
	return follows, st.s.heads(fields, st.ended)
}

// answerOf is a head of an answer in HTTP/2, and what follows it.
func answerOf(line string, fields []hpack.HeaderField, method string) (head []hpack.HeaderField, follows int64, final bool, err error) {
	version, rest, _ := strings.Cut(line, " ")
	status, _, _ := strings.Cut(rest, " ")
	if version != "HTTP/1.1" && version != "HTTP/1.0" {
		return nil, 0, false, unsayable(line)
	}
	if fields, _, err = withoutConnection(fields); err == nil {
		fields, follows, err = framingOf(fields)
	}
	final = len(status) != 3 || status[0] != '1'
	if !final || method == "HEAD" || status == "204" || status == "304" {
		follows = nextHead
	}
	return append([]hpack.HeaderField{{Name: ":status", Value: status}}, fields...), follows, final, err
}

// sayable tells whether an answer can be said in HTTP/2, whole and with nothing behind it.
func sayable(answer string) bool {
	ended := false
	x := &text{
		begin: func(line string, fields []hpack.HeaderField) (int64, error) {
			_, follows, final, err := answerOf(line, fields, "GET")
			if ended {
				return 0, unsayable(line)
			}
			ended = final && follows == nextHead
			return follows, err
		},
		data: func(b []byte, end bool) (int, error) {
			ended = end
			return len(b), nil
		},
		trailers: func([]hpack.HeaderField) error { ended = true; return nil },
	}
	_, err := x.feed([]byte(answer))
	return err == nil && (x.state == restText || ended && !x.within())
}

func (st *serverStream) data(b []byte, end bool) (int, error) {
	st.ended = end
	n, err := st.s.data(b, end)
	st.ended = end && err == nil
	return n, err
}

func (st *serverStream) trailers(fields []hpack.HeaderField) error {
	st.ended = true
	return st.s.heads(fields, true)
}

// CloseWrite ends an answer that lasts until the end.
func (st *serverStream) CloseWrite() error {
	st.mu.Lock()
	defer st.mu.Unlock()
	if st.text.state == restText && st.bad == nil {
		st.text.state = headText
		_ = st.s.k.write(func() { _, st.bad = st.data(nil, true) })
	}
	return st.bad
}

// Close ends the stream: as CloseWrite does, or by a reset where something is missing.
func (st *serverStream) Close() error {
	_ = st.CloseWrite()
	st.mu.Lock()
	defer st.mu.Unlock()
	if len(st.text.buf) > 0 && st.text.state == headText && st.bad == nil {
		st.h.t.Error(unsayable("half a head"))
	}
	st.bad = net.ErrClosed
	switch {
	case st.over():
	case st.ended:
		st.s.abort(http2.ErrCodeNo) // the rest of the request is not wanted
	default:
		st.s.abort(http2.ErrCodeInternal)
	}
	return nil
}

// over tells whether nothing more can be said of the stream.
func (st *serverStream) over() bool {
	k := st.s.k
	k.mu.Lock()
	defer k.mu.Unlock()
	return st.s.sendErr != nil || st.s.sent && st.s.got
}

// reset breaks the answer off.
func (st *serverStream) reset() {
	if !st.over() {
		st.s.abort(http2.ErrCodeInternal)
	}
	st.mu.Lock()
	defer st.mu.Unlock()
	st.bad = &net.OpError{Op: "write", Net: "tcp", Err: os.NewSyscallError("write", syscall.EPIPE)}
}

func (st *serverStream) LocalAddr() net.Addr  { return st.h.p.Conn.LocalAddr() }
func (st *serverStream) RemoteAddr() net.Addr { return st.h.p.Conn.RemoteAddr() }

func (st *serverStream) SetDeadline(t time.Time) error {
	_ = st.SetReadDeadline(t)
	return st.SetWriteDeadline(t)
}

func (st *serverStream) SetReadDeadline(t time.Time) error {
	st.s.in.readBy(t)
	return nil
}

func (st *serverStream) SetWriteDeadline(t time.Time) error {
	st.s.writeBy(t)
	return nil
}
