package secure_test

import (
	"crypto/tls"
	"io"
	"net"
	"testing"
	"time"

	"poise/internal/fiber"
	"poise/internal/testkit"
)

// held is the most that a connection of e has, read on the loop.
func (e *echo) held(l *fiber.Loop) (most int) {
	l.Call(func() {
		for _, s := range e.made {
			most = max(most, s.Held())
		}
	})
	return most
}

// eventually waits until the most that a connection has is within bound.
func (e *echo) eventually(t *testing.T, l *fiber.Loop, least, most int) {
	t.Helper()
	var got int
	for range 500 {
		if got = e.held(l); got >= least && got <= most {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Errorf("a connection has %d bytes for what comes, want %d to %d", got, least, most)
}

// gate holds back what is written beyond a count of bytes.
type gate struct {
	net.Conn
	left int
	held []byte
}

func (g *gate) Write(p []byte) (int, error) {
	n := min(len(p), g.left)
	g.left -= n
	g.held = append(g.held, p[n:]...)
	if _, err := g.Conn.Write(p[:n]); err != nil {
		return 0, err
	}
	return len(p), nil
}

func (g *gate) open(t *testing.T) {
	t.Helper()
	g.left = 1 << 30
	if _, err := g.Conn.Write(g.held); err != nil {
		t.Fatal(err)
	}
	g.held = nil
}

// TestIdleHasNoBuffers: once a connection waits, it has no memory for what comes, whatever has come.
func TestIdleHasNoBuffers(t *testing.T) {
	cert := testkit.NewCertificate(t, "localhost")
	each(t, func(t *testing.T, l *fiber.Loop) {
		for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
			e, addr := serve(t, l, &tls.Config{Certificates: []tls.Certificate{cert.Certificate}})
			c := tls.Client(dial(t, addr), &tls.Config{RootCAs: cert.Pool, ServerName: "localhost", MinVersion: version, MaxVersion: version})
			roundTrip(t, c, pattern(10))
			e.eventually(t, l, 0, 0)
			roundTrip(t, c, pattern(100_000))
			e.eventually(t, l, 0, 0)
		}
	})
}

// TestBeginningOfRecord: a record that is not complete has as much memory as has come of it, or one buffer; and it is complete when the rest comes.
func TestBeginningOfRecord(t *testing.T) {
	cert := testkit.NewCertificate(t, "localhost")
	each(t, func(t *testing.T, l *fiber.Loop) {
		for _, x := range []struct{ come, least, most int }{{3, 3, 64}, {5, 5, 64}, {1000, 1000, 1100}, {4000, 4000, 4100}, {12_000, 12_000, 20_000}} {
			e, addr := serve(t, l, &tls.Config{Certificates: []tls.Certificate{cert.Certificate}})
			g := &gate{Conn: dial(t, addr), left: 1 << 30}
			c := tls.Client(g, &tls.Config{RootCAs: cert.Pool, ServerName: "localhost", DynamicRecordSizingDisabled: true})
			roundTrip(t, c, pattern(10))
			g.left = x.come
			data := pattern(16 << 10)
			if _, err := c.Write(data); err != nil {
				t.Fatal(err)
			}
			e.eventually(t, l, x.least, x.most)
			g.open(t)
			got := make([]byte, len(data))
			if _, err := io.ReadFull(c, got); err != nil || string(got) != string(data) {
				t.Errorf("after %d bytes of a record and the rest, the echo is wrong: %v", x.come, err)
			}
			e.eventually(t, l, 0, 0)
		}
	})
}
