package testkit

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// Server is a TCP server that does what a script says on each connection, and keeps all bytes that it got.
type Server struct {
	Addr string

	t      testing.TB
	ln     net.Listener
	secure atomic.Pointer[tls.Config] // nil: it speaks clear text
	http2  atomic.Bool                // it speaks HTTP/2, and only that

	mu      sync.Mutex // guards the fields below
	got     []byte
	n       int
	streams int
	open    map[net.Conn]bool
}

// Peer is a server's side of one connection.
type Peer struct {
	net.Conn
	TCP *net.TCPConn // below TLS, if there is any
	R   *bufio.Reader
	// Number counts the server's connections from 1; over HTTP/2 its streams.
	Number int

	server recorder
}

var addresses atomic.Uint32

// servers are all that Serve has started, by their addresses.
var servers sync.Map

// ownAddress is port 0 of a loopback address that nothing else of this process uses, so that the port of a server that has stopped is not given to
// somebody else while a test counts on its refusing.
func ownAddress() string {
	n := addresses.Add(1)
	return fmt.Sprintf("127.1.%d.%d:0", n>>8&0xff, n&0xff)
}

// Serve runs a server until the test ends. script is called for each connection, which is closed when it returns.
func Serve(t testing.TB, script func(p *Peer)) *Server {
	t.Helper()
	ln, err := net.Listen("tcp", ownAddress())
	if err != nil {
		t.Fatal(err)
	}
	s := &Server{Addr: ln.Addr().String(), t: t, ln: ln, open: map[net.Conn]bool{}}
	servers.Store(s.Addr, s)
	t.Cleanup(func() { servers.Delete(s.Addr) })
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			p := s.add(c)
			wg.Go(func() {
				defer s.remove(p)
				if s.http2.Load() {
					s.serveHTTP2(p, script)
					return
				}
				script(p)
			})
		}
	})
	t.Cleanup(func() {
		_ = ln.Close()
		s.CloseConns()
		wg.Wait()
	})
	return s
}

// speak has the server speak TLS where it has a certificate. translated: what its script says in HTTP/1.1 goes in HTTP/2.
func (s *Server) speak(cert *Certificate, translated, http2 bool) {
	s.http2.Store(translated)
	if cert == nil {
		return
	}
	config := &tls.Config{Certificates: []tls.Certificate{cert.Certificate}}
	if http2 {
		config.NextProtos = []string{"h2"}
	}
	s.secure.Store(config)
}

func (s *Server) add(c net.Conn) *Peer {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.n++
	s.open[c] = true
	_ = c.SetDeadline(time.Now().Add(2 * Patience))
	p := &Peer{Conn: c, TCP: c.(*net.TCPConn), Number: s.n, server: recorder{s}}
	if config := s.secure.Load(); config != nil {
		p.Conn = tls.Server(c, config)
	}
	p.R = bufio.NewReader(io.TeeReader(p.Conn, p.server))
	return p
}

func (s *Server) remove(p *Peer) {
	_ = p.Close()
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.open, p.TCP)
}

// next numbers a stream.
func (s *Server) next() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.streams++
	return s.streams
}

type recorder struct{ s *Server }

func (r recorder) Write(b []byte) (int, error) {
	r.s.mu.Lock()
	defer r.s.mu.Unlock()
	r.s.got = append(r.s.got, b...)
	return len(b), nil
}

// Got is every byte that came, over all connections, as far as scripts have read.
func (s *Server) Got() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return string(s.got)
}

// Connections is how many connections were accepted.
func (s *Server) Connections() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.n
}

// CloseConns closes all open connections.
func (s *Server) CloseConns() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.open {
		_ = c.Close()
	}
}

// Stop stops accepting: connecting is refused from now on.
func (s *Server) Stop() { _ = s.ln.Close() }

// ReadHead reads up to and with the empty line that ends a head.
func (p *Peer) ReadHead() (string, error) {
	var head []byte
	for {
		line, err := p.R.ReadBytes('\n')
		head = append(head, line...)
		if err != nil || string(line) == "\r\n" {
			return string(head), err
		}
	}
}

// CloseWrite says that nothing more follows.
func (p *Peer) CloseWrite() error {
	if st, ok := p.Conn.(*serverStream); ok {
		return st.CloseWrite()
	}
	if c, ok := p.Conn.(*tls.Conn); ok {
		if err := c.CloseWrite(); err != nil {
			return err
		}
	}
	return p.TCP.CloseWrite()
}

// Over is the peer with what is sent and read going over c, which is above its connection.
func (p *Peer) Over(c net.Conn) *Peer {
	return &Peer{Conn: c, TCP: p.TCP, R: bufio.NewReader(io.TeeReader(c, p.server)), Number: p.Number, server: p.server}
}

// Recorder keeps what is written to it as if it had come.
func (p *Peer) Recorder() io.Writer { return p.server }

// Send writes s.
func (p *Peer) Send(s string) error {
	_, err := io.WriteString(p.Conn, s)
	return err
}

// Answer is a script: it reads one head after the other, without bodies, and answers each with response.
func Answer(response string) func(p *Peer) {
	return func(p *Peer) {
		for {
			if _, err := p.ReadHead(); err != nil {
				return
			}
			if p.Send(response) != nil {
				return
			}
		}
	}
}

// OK is a small response.
const OK = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
