package secure_test

import (
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"testing"
	"time"

	"poise/internal/fiber"
	"poise/internal/secure"
	"poise/internal/sys"
	"poise/internal/testkit"
)

// each runs f over a fresh loop of each driver.
func each(t *testing.T, f func(t *testing.T, l *fiber.Loop)) {
	t.Helper()
	for _, d := range []string{"io_uring", "epoll", "net"} {
		t.Run(d, func(t *testing.T) {
			l, _, err := fiber.Start(0, fiber.Config{Driver: d, Poison: true, Log: slog.New(slog.DiscardHandler), Offloads: 2})
			if err != nil {
				t.Fatalf("Start: %v", err)
			}
			t.Cleanup(l.Stop)
			f(t, l)
		})
	}
}

// echo sends back what comes over TLS, and goes idle in between.
type echo struct {
	config *tls.Config
	mem    secure.Memory
	last   string     // ends the connection as it comes
	gone   chan error // how the connections ended that were idle, or whose handshake failed
	made   map[*fiber.Conn]*secure.Conn
}

func (e *echo) Serve(c *fiber.Conn) {
	if e.made[c] == nil {
		c.ReadBy(c.Loop().Now().Add(5 * time.Second))
		s, err := secure.Server(c, e.config, &e.mem, nil)
		if err != nil {
			_ = c.Close()
			e.gone <- err
			return
		}
		c.ReadBy(0)
		e.made[c] = s
	}
	for c.Unread() > 0 {
		b := c.Buffered()
		half := len(b) / 2
		if string(b) == e.last {
			c.Last()
			_ = c.Send(b[:half], b[half:])
			c.Discard(len(b))
			c.Finish()
			return
		}
		if err := c.Send(b[:half], b[half:]); err != nil {
			c.Abort()
			e.gone <- err
			return
		}
		c.Discard(len(b))
	}
	c.Idle(e, 0)
}

func (e *echo) Gone(_ *fiber.Conn, err error) { e.gone <- err }

func (e *echo) wantGone(t *testing.T, want error) {
	t.Helper()
	select {
	case err := <-e.gone:
		if !errors.Is(err, want) {
			t.Errorf("the connection ended with %v, want %v", err, want)
		}
	case <-time.After(10 * time.Second):
		t.Errorf("the connection did not end, want %v", want)
	}
}

// serve echoes at an address.
func serve(t *testing.T, l *fiber.Loop, config *tls.Config) (e *echo, addr string) {
	t.Helper()
	e = &echo{config: config, last: "bye", gone: make(chan error, 100), made: map[*fiber.Conn]*secure.Conn{}}
	a, _ := sys.ParseAddr("127.0.0.1:0")
	fd, err := sys.Listen(a, true)
	if err != nil {
		t.Fatal(err)
	}
	addr = sys.LocalAddr(fd).String()
	l.Call(func() {
		_, err = l.Listen(fd, fiber.Accepting{Accept: func(c *fiber.Conn) { c.Idle(e, 0) }})
	})
	if err != nil {
		t.Fatal(err)
	}
	return e, addr
}

func dial(t *testing.T, addr string) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	_ = c.SetDeadline(time.Now().Add(20 * time.Second))
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func roundTrip(t *testing.T, c io.ReadWriter, data []byte) {
	t.Helper()
	sent := make(chan error, 1)
	go func() { _, err := c.Write(data); sent <- err }()
	got := make([]byte, len(data))
	if _, err := io.ReadFull(c, got); err != nil || !bytes.Equal(got, data) {
		t.Fatalf("echo of %d bytes is wrong: %v", len(data), err)
	}
	if err := <-sent; err != nil {
		t.Fatal(err)
	}
}

func pattern(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i*i>>3 + i)
	}
	return b
}

func TestEcho(t *testing.T) {
	cert := testkit.NewCertificate(t, "localhost")
	each(t, func(t *testing.T, l *fiber.Loop) {
		for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
			e, addr := serve(t, l, &tls.Config{Certificates: []tls.Certificate{cert.Certificate}})
			c := tls.Client(dial(t, addr), &tls.Config{RootCAs: cert.Pool, ServerName: "localhost", MinVersion: version, MaxVersion: version})
			for _, n := range []int{1, 2, 100, 16 << 10, 16<<10 + 1, 100_000, 3 << 20} {
				roundTrip(t, c, pattern(n))
			}
			if err := c.CloseWrite(); err != nil {
				t.Fatal(err)
			}
			e.wantGone(t, io.EOF)
		}
	})
}

// slowly hands on a few bytes at a time, so that records come in pieces.
type slowly struct {
	net.Conn
	n int
}

func (s slowly) Write(p []byte) (n int, err error) {
	for len(p) > 0 && err == nil {
		var m int
		m, err = s.Conn.Write(p[:min(s.n, len(p))])
		n, p = n+m, p[m:]
		time.Sleep(100 * time.Microsecond)
	}
	return n, err
}

func TestRecordsInPieces(t *testing.T) {
	cert := testkit.NewCertificate(t, "localhost")
	each(t, func(t *testing.T, l *fiber.Loop) {
		_, addr := serve(t, l, &tls.Config{Certificates: []tls.Certificate{cert.Certificate}})
		raw := dial(t, addr)
		_ = raw.(*net.TCPConn).SetNoDelay(true)
		c := tls.Client(slowly{raw, 7}, cert.Client("localhost"))
		roundTrip(t, c, pattern(3000))
		roundTrip(t, c, pattern(10))
	})
}

// TestLastBytesAndEnd wants the alert that nothing follows behind the last bytes.
func TestLastBytesAndEnd(t *testing.T) {
	cert := testkit.NewCertificate(t, "localhost")
	each(t, func(t *testing.T, l *fiber.Loop) {
		_, addr := serve(t, l, &tls.Config{Certificates: []tls.Certificate{cert.Certificate}})
		c := tls.Client(dial(t, addr), cert.Client("localhost"))
		if _, err := io.WriteString(c, "bye"); err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(c); err != nil || string(got) != "bye" {
			t.Errorf("ReadAll() = %q, %v, want bye and a clean end", got, err)
		}
	})
}

// TestTruncation: an end that TLS was not told of is no clean one.
func TestTruncation(t *testing.T) {
	cert := testkit.NewCertificate(t, "localhost")
	each(t, func(t *testing.T, l *fiber.Loop) {
		e, addr := serve(t, l, &tls.Config{Certificates: []tls.Certificate{cert.Certificate}})
		raw := dial(t, addr)
		c := tls.Client(raw, cert.Client("localhost"))
		roundTrip(t, c, pattern(100))
		_ = raw.Close()
		e.wantGone(t, io.ErrUnexpectedEOF)
	})
}

func TestForgedRecord(t *testing.T) {
	cert := testkit.NewCertificate(t, "localhost")
	each(t, func(t *testing.T, l *fiber.Loop) {
		e, addr := serve(t, l, &tls.Config{Certificates: []tls.Certificate{cert.Certificate}})
		raw := dial(t, addr)
		c := tls.Client(raw, cert.Client("localhost"))
		roundTrip(t, c, pattern(100))
		if _, err := raw.Write(append([]byte{23, 3, 3, 0, 32}, pattern(32)...)); err != nil {
			t.Fatal(err)
		}
		select {
		case err := <-e.gone:
			if err == nil || errors.Is(err, io.EOF) {
				t.Errorf("the connection ended with %v, want an error about the record", err)
			}
		case <-time.After(10 * time.Second):
			t.Error("the connection goes on")
		}
	})
}

func TestNoTLS(t *testing.T) {
	cert := testkit.NewCertificate(t, "localhost")
	each(t, func(t *testing.T, l *fiber.Loop) {
		e, addr := serve(t, l, &tls.Config{Certificates: []tls.Certificate{cert.Certificate}})
		c := dial(t, addr)
		_, _ = io.WriteString(c, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
		if err := <-e.gone; !errors.As(err, new(tls.RecordHeaderError)) {
			t.Errorf("the handshake ended with %v, want an error about the record", err)
		}
	})
}

func TestResumption(t *testing.T) {
	cert := testkit.NewCertificate(t, "localhost")
	each(t, func(t *testing.T, l *fiber.Loop) {
		_, addr := serve(t, l, &tls.Config{Certificates: []tls.Certificate{cert.Certificate}})
		config := &tls.Config{RootCAs: cert.Pool, ServerName: "localhost", ClientSessionCache: tls.NewLRUClientSessionCache(1)}
		for i, want := range []bool{false, true, true} {
			c := tls.Client(dial(t, addr), config)
			roundTrip(t, c, pattern(10))
			if got := c.ConnectionState().DidResume; got != want {
				t.Errorf("connection %d: resumed = %v, want %v", i, got, want)
			}
			_ = c.Close()
		}
	})
}
