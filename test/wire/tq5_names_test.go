package wire

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"

	"poise/internal/testkit"
)

// TestTQ5HostOfHandshake: where clients prove who they are, a request is for the host that the handshake was for.
func TestTQ5HostOfHandshake(t *testing.T) {
	t.Parallel()
	ca := testkit.NewAuthority(t, "ca", nil)
	file := testkit.WriteFile(t, "ca.pem", ca.PEM())
	client := ca.Client(t, "client", nil)
	testkit.Each(t, func(t *testing.T, s testkit.Setup) {
		server, cert := testkit.Serve(t, testkit.Answer(testkit.OK)), testkit.NewCertificate(t, "a.test", "b.test")
		strict := testkit.Start(t, s, mutual(server.Addr, cert, fmt.Sprintf("ca: %q", file)))
		lax := testkit.Start(t, s, mutual(server.Addr, cert, fmt.Sprintf("ca: %q, required: false", file)))
		free := testkit.Start(t, s, secured(server.Addr, []*testkit.Certificate{cert}))
		for _, row := range []struct {
			sni, target, host string // no host: HTTP/1.0 without one
			status            int
		}{
			{"a.test", "/", "a.test", 200},
			{"a.test", "/", "A.TEST", 200},
			{"A.Test", "/", "a.test", 200},
			{"a.test", "/", "a.test.", 200},
			{"a.test", "/", "a.test:8443", 200},
			{"a.test", "https://a.test/", "b.test", 200},
			{"a.test", "/", "b.test", 421},
			{"a.test", "/", "a.test.b.test", 421},
			{"a.test", "/", "aa.test", 421},
			{"a.test", "https://b.test/", "a.test", 421},
			{"a.test", "/", "127.0.0.1", 421},
			{"a.test", "/", "", 421},
			{"", "/", "127.0.0.1", 200},
			{"", "/", "127.0.0.1:443", 200},
			{"", "/", "[::1]:443", 200},
			{"", "/", "a.test", 421},
			{"", "/", "127.0.0.1.a.test", 421},
			{"", "/", "", 421},
			{"unknown.test", "/", "unknown.test", 200},
			{"unknown.test", "/", "a.test", 421},
		} {
			for name, p := range map[string]*testkit.Poise{"required": strict, "not required": lax, "none": free} {
				config := as(cert, client)
				config.ServerName, config.InsecureSkipVerify = row.sni, true
				c, _ := testkit.DialTLS(t, p.Addr, config)
				request, want := fmt.Sprintf("GET %s HTTP/1.1\r\nHost: %s\r\n\r\n", row.target, row.host), row.status
				if row.host == "" {
					request = "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"
				}
				if name == "none" {
					want = 200
				}
				for range 2 { // the connection goes on
					c.Send(request)
					r := c.Read("GET")
					if r.StatusCode != want || want == 421 && !strings.HasPrefix(r.Body, "421 Misdirected Request: ") {
						t.Errorf("certificates %s: %q after a handshake for %q = %d %q, want %d", name, request, row.sni, r.StatusCode, r.Body, want)
					}
				}
			}
		}
	})
}

// TestTQ5ServerNames: whatever a handshake names, it ends well or with an alert, and gets no other host's certificate.
func TestTQ5ServerNames(t *testing.T) {
	t.Parallel()
	testkit.Each(t, func(t *testing.T, s testkit.Setup) {
		first, second := testkit.NewCertificate(t, "first.test"), testkit.NewCertificate(t, "second.test")
		p := testkit.Start(t, s, secured(echoing(t).Addr, []*testkit.Certificate{first, second}))
		for _, row := range []struct {
			name  string
			want  *testkit.Certificate
			alert string
		}{
			{"second.test", second, ""},
			{"SECOND.test", second, ""},
			{"unknown.test", first, ""},
			{"127.0.0.1", first, ""}, // not allowed by RFC 6066, and it does no harm
			{strings.Repeat("a", 300) + ".test", first, ""},
			{"second.test.", nil, "error decoding message"}, // RFC 6066: without a trailing dot
			{"", nil, "error decoding message"},
			{"second.test\x00.test", first, ""},
			{"*.test", first, ""},
		} {
			got, err := helloFor(t, p.Addr, row.name)
			switch {
			case row.want == nil && (err == nil || !strings.Contains(err.Error(), row.alert)):
				t.Errorf("for %q: %v, want the alert %s", row.name, err, row.alert)
			case row.want != nil && (err != nil || !got.Equal(row.want.Leaf)):
				t.Errorf("for %q: %v, want the certificate of %s", row.name, err, row.want.Leaf.Subject)
			}
		}
	})
}

// helloFor makes a handshake that names a host as it stands, whatever a client of crypto/tls thinks of it, and returns the certificate that it gets.
func helloFor(t *testing.T, addr, name string) (*x509.Certificate, error) {
	t.Helper()
	const stand = "stand-in.test"
	var got *x509.Certificate
	conn := tls.Client(&renaming{Conn: testkit.Dial(t, addr).TCPConn, from: stand, to: name}, &tls.Config{
		ServerName: stand, InsecureSkipVerify: true, MaxVersion: tls.VersionTLS12, CurvePreferences: []tls.CurveID{tls.X25519},
		VerifyPeerCertificate: func(raw [][]byte, _ [][]*x509.Certificate) (err error) {
			got, err = x509.ParseCertificate(raw[0])
			return err
		},
	})
	err := conn.Handshake()
	if got != nil {
		return got, nil // the handshake ends in disagreement: the two have seen different hellos
	}
	return nil, err
}

// renaming has the first thing that is written, a ClientHello in one record, name another host.
type renaming struct {
	net.Conn
	from, to string
}

func (r *renaming) Write(p []byte) (int, error) {
	at := bytes.Index(p, []byte(r.from))
	if at < 0 || r.from == r.to {
		return r.Conn.Write(p)
	}
	b := slices.Concat(p[:at], []byte(r.to), p[at+len(r.from):])
	more := len(r.to) - len(r.from)
	grow := func(at int) { binary.BigEndian.PutUint16(b[at:], uint16(int(binary.BigEndian.Uint16(b[at:]))+more)) }
	grow(at - 2) // the name
	grow(at - 5) // the list of names
	grow(at - 7) // the extension
	grow(3)      // the record
	grow(7)      // the message, whose length has three bytes
	extensions := 5 + 4 + 2 + 32
	extensions += 1 + int(b[extensions])                           // the session
	extensions += 2 + int(binary.BigEndian.Uint16(b[extensions:])) // the suites
	extensions += 1 + int(b[extensions])                           // the compressions
	grow(extensions)
	r.from = r.to
	if _, err := r.Conn.Write(b); err != nil {
		return 0, err
	}
	return len(p), nil
}
