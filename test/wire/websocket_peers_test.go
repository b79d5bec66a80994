package wire

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"

	coder "github.com/coder/websocket"
	gorilla "github.com/gorilla/websocket"

	"poise/internal/testkit"
)

// socket is one end of a WebSocket, by either library.
type socket interface {
	write(b []byte) error
	read() ([]byte, error)
	// ping tells when the pong has come; meanwhile somebody reads.
	ping() <-chan error
	// close says so, with a code and a reason, and waits until the other side says it too.
	close(code int, reason string) error
	drop()
}

// library is one that speaks WebSocket.
type library struct {
	name   string
	dial   func(url string, config *tls.Config) (socket, error)
	accept func(w http.ResponseWriter, r *http.Request) (socket, error)
}

// pairs are the libraries as client and server, each with the other one: what they agree on is not one author's reading.
var pairs = [][2]library{{ofCoder, ofGorilla}, {ofGorilla, ofCoder}}

// closing is the error of a read that finds that the other side has closed.
type closing struct {
	code   int
	reason string
}

func (closing) Error() string { return "closed" }

var (
	ofCoder   = coderLibrary(coder.CompressionContextTakeover)
	ofGorilla = gorillaLibrary(true)
)

func coderLibrary(compression coder.CompressionMode) library {
	return library{
		"coder",
		func(url string, config *tls.Config) (socket, error) {
			client := &http.Client{Transport: &http.Transport{TLSClientConfig: config}}
			c, resp, err := coder.Dial(context.Background(), url, &coder.DialOptions{HTTPClient: client, CompressionMode: compression})
			if err != nil {
				return nil, err
			}
			_ = resp.Body // of a 101 there is none
			c.SetReadLimit(-1)
			return &coderSocket{c}, nil
		},
		func(w http.ResponseWriter, r *http.Request) (socket, error) {
			c, err := coder.Accept(w, r, &coder.AcceptOptions{CompressionMode: compression})
			if err != nil {
				return nil, err
			}
			c.SetReadLimit(-1)
			return &coderSocket{c}, nil
		},
	}
}

type coderSocket struct{ c *coder.Conn }

func (s *coderSocket) write(b []byte) error {
	return s.c.Write(context.Background(), coder.MessageBinary, b)
}

func (s *coderSocket) read() ([]byte, error) {
	_, b, err := s.c.Read(context.Background())
	if e := (coder.CloseError{}); errors.As(err, &e) {
		return nil, closing{int(e.Code), e.Reason}
	}
	return b, err
}

func (s *coderSocket) ping() <-chan error {
	done := make(chan error, 1)
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), testkit.Patience)
		defer cancel()
		done <- s.c.Ping(ctx)
	}()
	return done
}

func (s *coderSocket) close(code int, reason string) error {
	return s.c.Close(coder.StatusCode(code), reason)
}

func (s *coderSocket) drop() { _ = s.c.CloseNow() }

func gorillaLibrary(compression bool) library {
	return library{
		"gorilla",
		func(url string, config *tls.Config) (socket, error) {
			c, resp, err := (&gorilla.Dialer{TLSClientConfig: config, EnableCompression: compression}).Dial(url, nil)
			if err != nil {
				return nil, err
			}
			_ = resp.Body // of a 101 there is none
			return &gorillaSocket{c}, nil
		},
		func(w http.ResponseWriter, r *http.Request) (socket, error) {
			c, err := (&gorilla.Upgrader{EnableCompression: compression}).Upgrade(w, r, nil)
			if err != nil {
				return nil, err
			}
			return &gorillaSocket{c}, nil
		},
	}
}

type gorillaSocket struct{ c *gorilla.Conn }

func (s *gorillaSocket) write(b []byte) error { return s.c.WriteMessage(gorilla.BinaryMessage, b) }

func (s *gorillaSocket) read() ([]byte, error) {
	_, b, err := s.c.ReadMessage()
	if e := (*gorilla.CloseError)(nil); errors.As(err, &e) {
		return nil, closing{e.Code, e.Text}
	}
	return b, err
}

func (s *gorillaSocket) ping() <-chan error {
	done := make(chan error, 1)
	s.c.SetPongHandler(func(string) error {
		done <- nil
		return nil
	})
	if err := s.c.WriteControl(gorilla.PingMessage, []byte("there?"), time.Now().Add(testkit.Patience)); err != nil {
		done <- err
	}
	return done
}

func (s *gorillaSocket) close(code int, reason string) error {
	err := s.c.WriteControl(gorilla.CloseMessage, gorilla.FormatCloseMessage(code, reason), time.Now().Add(testkit.Patience))
	if err != nil {
		return err
	}
	defer s.drop()
	for {
		_, err := s.read()
		if e := (closing{}); errors.As(err, &e) && e.code == code {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

func (s *gorillaSocket) drop() { _ = s.c.Close() }

// serveSockets is a server that upgrades every connection by a library and has serve do the rest.
func serveSockets(t *testing.T, l library, serve func(r *http.Request, s socket)) *testkit.Server {
	t.Helper()
	conns := queueOf{make(chan net.Conn), make(chan struct{})}
	server := testkit.Serve(t, func(p *testkit.Peer) {
		c := &told{Conn: p.Conn, closed: make(chan struct{})}
		select {
		case conns.come <- c:
			<-c.closed
		case <-conns.over:
		}
	})
	web := &http.Server{ReadHeaderTimeout: testkit.Patience, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s, err := l.accept(w, r)
		if err != nil {
			t.Errorf("%s accepts: %v", l.name, err)
			return
		}
		defer s.drop()
		serve(r, s)
	})}
	var wg sync.WaitGroup
	wg.Go(func() { _ = web.Serve(conns) })
	t.Cleanup(func() {
		_ = web.Close()
		server.CloseConns()
		wg.Wait()
	})
	return server
}

// queueOf is a listener whose connections come from elsewhere.
type queueOf struct {
	come chan net.Conn
	over chan struct{}
}

func (q queueOf) Accept() (net.Conn, error) {
	select {
	case c := <-q.come:
		return c, nil
	case <-q.over:
		return nil, net.ErrClosed
	}
}

func (q queueOf) Close() error {
	close(q.over)
	return nil
}

func (q queueOf) Addr() net.Addr { return &net.TCPAddr{} }

// told is a connection that tells when it is closed.
type told struct {
	net.Conn
	once   sync.Once
	closed chan struct{}
}

func (c *told) Close() error {
	defer c.once.Do(func() { close(c.closed) })
	return c.Conn.Close()
}

// dialSocket connects a library's client to Poise.
func dialSocket(t *testing.T, p *testkit.Poise, l library, path string) socket {
	t.Helper()
	url, config := "ws://"+p.Addr+path, p.ClientTLS()
	if config != nil {
		url = "wss://" + p.Addr + path
	}
	s, err := l.dial(url, config)
	if err != nil {
		t.Fatalf("%s dials: %v", l.name, err)
	}
	t.Cleanup(s.drop)
	return s
}
