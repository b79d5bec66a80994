package wire

import (
	"bytes"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"testing"
	"time"

	"poise/internal/testkit"
)

// splitting sends what is written in records of so many bytes, until the handshake is over.
type splitting struct {
	net.Conn
	size int
	over bool
}

func (f *splitting) Write(p []byte) (int, error) {
	if f.over || p[0] != recordHandshake {
		return f.Conn.Write(p)
	}
	n := 5 + int(binary.BigEndian.Uint16(p[3:]))
	f.over = true // the first record is the hello; what follows it may be sealed
	_, err := f.Conn.Write(append(records(p[5:n], f.size), p[n:]...))
	return len(p), err
}

// lengths are the places of all lengths in a record with a hello, and how many bytes each has.
func lengths(hello []byte) (all [][2]int) {
	all = [][2]int{{3, 2}, {6, 3}, {43, 1}} // record, message, session
	at := 44 + int(hello[43])
	all = append(all, [2]int{at, 2}) // suites
	at += 2 + int(binary.BigEndian.Uint16(hello[at:]))
	all = append(all, [2]int{at, 1}) // compressions
	at += 1 + int(hello[at])
	all = append(all, [2]int{at, 2}) // extensions
	for at += 2; at < len(hello); {
		all = append(all, [2]int{at + 2, 2})
		at += 4 + int(binary.BigEndian.Uint16(hello[at+2:]))
	}
	return all
}

// bend adds to a length.
func bend(hello []byte, place [2]int, by int) []byte {
	b := bytes.Clone(hello)
	n := 0
	for _, x := range b[place[0]:][:place[1]] {
		n = n<<8 | int(x)
	}
	n += by
	for i := place[1] - 1; i >= 0; i-- {
		b[place[0]+i] = byte(n)
		n >>= 8
	}
	return b
}

// TestTQ2Records: whatever a first flight looks like, it ends in a handshake or in a clean end, soon, and harms nobody.
func TestTQ2Records(t *testing.T) {
	t.Parallel()
	someSetups(t, func(t *testing.T, s testkit.Setup) {
		p, cert := startTLS(t, s, echoing(t).Addr, "timeouts: { tls_handshake: 1s }")
		neighbour, _ := testkit.DialTLS(t, p.Addr, cert.Client("localhost"))
		for _, version := range tlsVersions {
			for _, size := range []int{1, 3, 100} {
				config := cert.Client("localhost")
				config.MaxVersion = version
				conn := tls.Client(&splitting{Conn: testkit.Dial(t, p.Addr).TCPConn, size: size}, config)
				if err := conn.Handshake(); err != nil {
					t.Errorf("%s: a hello in records of %d: %v", tls.VersionName(version), size, err)
				}
			}
			hello := helloOf(t, &tls.Config{ServerName: "localhost", MaxVersion: version, NextProtos: []string{"http/1.1"}})
			if got, _ := rawHello(t, "a hello", p.Addr, hello); !answered(got) {
				t.Fatalf("%s: a good hello got %x", tls.VersionName(version), got)
			}
			for _, place := range lengths(hello) {
				for _, by := range []int{-1, 1, -7, 200} {
					got, _ := rawHello(t, "a length", p.Addr, bend(hello, place, by))
					if answered(got) {
						t.Errorf("%s: a hello whose length at %d is off by %d is taken", tls.VersionName(version), place[0], by)
					}
				}
			}
			for n := range 12 {
				cut := len(hello) * n / 12
				if got, _ := rawHello(t, "a part", p.Addr, hello[:cut]); answered(got) {
					t.Errorf("%s: %d bytes of a hello are answered", tls.VersionName(version), cut)
				}
			}
			message := hello[5:]
			empty, closed := record(recordHandshake), []tls.AlertError{0} // what does not look like TLS is told nothing
			for name, row := range map[string]struct {
				bytes []byte
				want  []tls.AlertError
			}{
				"data within the hello":       {slices.Concat(records(message[:50], 50), record(recordData, 1), records(message[50:], 1<<14)), closed},
				"another message within it":   {records(slices.Concat(message[:50], []byte{16, 0, 0, 1, 1}, message[50:]), 1<<14), []tls.AlertError{decodeError, unexpectedMessage, illegalParameter}},
				"a change of cipher first":    {slices.Concat(record(20, 1), hello), closed},
				"two hellos":                  {slices.Concat(records([]byte{20, 0, 0, 0}, 10), hello), []tls.AlertError{unexpectedMessage}},
				"a record of an unknown type": {record(99, 1, 2, 3), closed},
				"many empty records":          {append(bytes.Repeat(empty, 1000), hello...), []tls.AlertError{unexpectedMessage}},
				"a record that is too long":   {append([]byte{recordHandshake, 3, 3, 0x48, 1}, make([]byte, 0x4801)...), []tls.AlertError{22}},
				"a message of 16 MiB":         {records(append([]byte{1, 0xff, 0xff, 0xff}, make([]byte, 1<<17)...), 1<<14), []tls.AlertError{internalError, 22, decodeError}},
				"a message of 70 KB":          {records(append([]byte{1, 1, 0x11, 0x70}, make([]byte, 70_000)...), 1<<14), []tls.AlertError{internalError, 22, decodeError}},
				"a message of no hello":       {records([]byte{11, 0, 0, 3, 0, 0, 0}, 100), []tls.AlertError{unexpectedMessage}},
				"a message of nothing":        {records([]byte{1, 0, 0, 0}, 100), []tls.AlertError{decodeError}},
			} {
				wantAlert(t, tls.VersionName(version)+": "+name, p.Addr, row.bytes, row.want...)
			}
		}
		wantResponse(t, "a neighbour's GET", neighbour.Get("/"), 200, "ok")
	})
}

// TestTQ2Memory: a client that announces a message of 16 MiB, and sends and sends, is ended before Poise holds much of it.
func TestTQ2Memory(t *testing.T) {
	t.Parallel()
	someSetups(t, func(t *testing.T, s testkit.Setup) {
		p, _ := startTLS(t, s, echoing(t).Addr)
		c := testkit.Dial(t, p.Addr)
		_ = c.SetDeadline(time.Now().Add(testkit.Patience))
		first, sent := []byte{1, 0xff, 0xff, 0xff}, 0
		for sent < 32<<20 {
			piece := records(append(first, make([]byte, 1<<14-len(first))...), 1<<14)
			first = nil
			n, err := c.TCPConn.Write(piece)
			sent += n
			if err != nil {
				if errors.Is(err, os.ErrDeadlineExceeded) {
					t.Error("the connection does not end")
				}
				break
			}
		}
		if sent > 16<<20 { // what the sockets and a close that reads on take
			t.Errorf("%d bytes of a message were taken", sent)
		}
	})
}

// TestTQ2AfterHandshake: empty records, and messages that do not belong there, end a connection soon.
func TestTQ2AfterHandshake(t *testing.T) {
	t.Parallel()
	someSetups(t, func(t *testing.T, s testkit.Setup) {
		p, cert := startTLS(t, s, echoing(t).Addr)
		neighbour, _ := testkit.DialTLS(t, p.Addr, cert.Client("localhost"))
		many := func(x *sealer, kind byte, plain ...byte) (all []byte) {
			for range 1000 {
				all = append(all, x.record(kind, plain...)...)
			}
			return all
		}
		for _, version := range tlsVersions {
			for name, make := range map[string]func(x *sealer) []byte{
				"empty data":     func(x *sealer) []byte { return many(x, recordData) },
				"empty messages": func(x *sealer) []byte { return many(x, recordHandshake) },
				"warnings":       func(x *sealer) []byte { return many(x, recordAlert, 1, 90) },
				"half a message": func(x *sealer) []byte {
					return append(x.record(recordHandshake, 4, 0, 9), x.record(recordData, 'G')...)
				},
				"a certificate":      func(x *sealer) []byte { return x.record(recordHandshake, 11, 0, 0, 4, 0, 0, 0, 0) },
				"an unknown message": func(x *sealer) []byte { return x.record(recordHandshake, 99, 0, 0, 0) },
				"a message of 16 MiB": func(x *sealer) []byte {
					return many(x, recordHandshake, append([]byte{4, 0xff, 0xff, 0xff}, bytes.Repeat([]byte{0}, 1000)...)...)
				},
				"a false record": func(x *sealer) []byte { r := x.record(recordData, 'G'); r[len(r)-1] ^= 1; return r },
			} {
				x := seal(t, p.Addr, cert.Client("localhost"), version)
				begun := time.Now()
				_ = x.end(t, tls.VersionName(version)+": "+name, make(x))
				if d := time.Since(begun); d > 5*time.Second {
					t.Errorf("%s: %s took %v", tls.VersionName(version), name, d)
				}
			}
			x := seal(t, p.Addr, cert.Client("localhost"), version)
			var all []byte
			for _, b := range []byte(getOf("/", "Connection: close")) {
				all = append(append(all, x.record(recordData)...), x.record(recordData, b)...)
			}
			go func() { _, _ = x.conn.Write(all) }()
			if got, err := io.ReadAll(x.tls); err != nil || !bytes.HasSuffix(got, []byte("\r\n\r\nok")) {
				t.Errorf("%s: a request in records of a byte, with empty ones between, got %q, %v", tls.VersionName(version), got, err)
			}
		}
		wantResponse(t, "a neighbour's GET", neighbour.Get("/"), 200, "ok")
	})
}

// TestTQ3Updates: clients that have keys changed all the time are served or ended, and make Poise hold nothing.
func TestTQ3Updates(t *testing.T) {
	t.Parallel()
	someSetups(t, func(t *testing.T, s testkit.Setup) {
		p, cert := startTLS(t, s, echoing(t).Addr)
		neighbour, _ := testkit.DialTLS(t, p.Addr, cert.Client("localhost"))

		x := seal(t, p.Addr, cert.Client("localhost"), tls.VersionTLS13)
		var all []byte
		for i, b := range []byte(getOf("/", "Connection: close")) {
			if i%5 == 0 { // the client of crypto/tls would not take the answers to more
				all = append(all, x.update(t)...)
			}
			all = append(all, x.record(recordData, b)...)
		}
		go func() { _, _ = x.conn.Write(all) }()
		if got, err := io.ReadAll(x.tls); err != nil || !bytes.HasSuffix(got, []byte("\r\n\r\nok")) {
			t.Errorf("a request with new keys every few bytes got %q, %v", got, err)
		}

		x, all = seal(t, p.Addr, cert.Client("localhost"), tls.VersionTLS13), nil
		for range 1000 {
			all = append(all, x.update(t)...)
		}
		if err := x.end(t, "a flood of new keys", all); err == nil {
			t.Error("a flood of new keys ends well")
		}

		// A client that reads none of the answers to its updates.
		x, all = seal(t, p.Addr, cert.Client("localhost"), tls.VersionTLS13), nil
		all = x.record(recordData, []byte("POST /upload HTTP/1.1\r\nHost: a\r\nContent-Length: 9000000\r\n\r\n")...)
		for range 20_000 {
			all = append(append(all, x.update(t)...), x.record(recordData, 'x')...)
		}
		_ = x.conn.(*recording).Conn.(*net.TCPConn).SetReadBuffer(4096)
		_ = x.conn.SetWriteDeadline(time.Now().Add(testkit.Patience))
		if _, err := x.conn.Write(all); errors.Is(err, os.ErrDeadlineExceeded) {
			t.Error("a flood of new keys with data in between is neither taken nor ended")
		}
		_ = x.conn.Close()
		wantResponse(t, "a neighbour's GET", neighbour.Get("/"), 200, "ok")
	})
}

// TestTQ3Tickets: one session that is resumed many times at once, and tickets that are none, do no harm.
func TestTQ3Tickets(t *testing.T) {
	t.Parallel()
	someSetups(t, func(t *testing.T, s testkit.Setup) {
		p, cert := startTLS(t, s, echoing(t).Addr)
		neighbour, _ := testkit.DialTLS(t, p.Addr, cert.Client("localhost"))
		for _, version := range tlsVersions {
			first := sessions(cert, nil, version)
			if _, err := tryGet(t, p.Addr, first); err != nil {
				t.Fatal(err)
			}
			kept, _ := first.ClientSessionCache.Get("localhost")
			ticket, state, err := kept.ResumptionState()
			if err != nil {
				t.Fatal(err)
			}
			saved, err := state.Bytes()
			if err != nil {
				t.Fatal(err)
			}
			done := make(chan error)
			const storm = 60
			for i := range storm {
				own, good := bytes.Clone(ticket), i%2 == 0
				if !good {
					own[i%len(own)] ^= 1
				}
				state, err := tls.ParseSessionState(saved)
				if err != nil {
					t.Fatal(err)
				}
				session, err := tls.NewResumptionState(own, state)
				if err != nil {
					t.Fatal(err)
				}
				c := testkit.Dial(t, p.Addr)
				go func() {
					config := sessions(cert, nil, version)
					config.ClientSessionCache.Put("localhost", session)
					conn, err := c.Handshake(config)
					if err == nil && conn.ConnectionState().DidResume != good {
						err = fmt.Errorf("resumed %t, want %t", !good, good)
					}
					if err == nil {
						c.Send(getOf("/"))
						_, err = c.TryRead("GET")
					}
					done <- err
				}()
			}
			for range storm {
				if err := <-done; err != nil {
					t.Errorf("%s: one of a storm: %v", tls.VersionName(version), err)
				}
			}
		}
		wantResponse(t, "a neighbour's GET", neighbour.Get("/"), 200, "ok")
	})
}
