package wire

import (
	"crypto/tls"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"poise/internal/testkit"
)

// secured is a configuration with one listener that speaks TLS, and one pool.
func secured(server string, certificates []*testkit.Certificate, settings ...string) string {
	var list []string
	for _, c := range certificates {
		list = append(list, c.YAML())
	}
	return fmt.Sprintf("listeners:\n  - { name: web, address: \"127.0.0.1:0\", pool: app, tls: { certificates: [%s] } }\npools: { app: { servers: [%q] } }\n%s\n",
		strings.Join(list, ", "), server, strings.Join(settings, "\n"))
}

// startTLS starts Poise with a certificate for localhost.
func startTLS(t *testing.T, s testkit.Setup, server string, settings ...string) (*testkit.Poise, *testkit.Certificate) {
	t.Helper()
	c := testkit.NewCertificate(t, "localhost")
	return testkit.Start(t, s, secured(server, []*testkit.Certificate{c}, settings...)), c
}

// echoing answers with the fields that came, or with a large body, or with the hash of the body that came.
func echoing(t *testing.T) *testkit.Server {
	t.Helper()
	return testkit.Serve(t, testkit.Paths(scripts{
		"/": testkit.Reply("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"),
		"/proto": func(p *testkit.Peer, head string) bool {
			text := strings.Join(testkit.FieldsOf(head, "X-Forwarded-Proto"), ",")
			return p.Send(fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(text), text)) == nil
		},
		"/large": func(p *testkit.Peer, _ string) bool {
			return p.Send(fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", largeBody, testkit.Pattern(7, largeBody))) == nil
		},
		"/chunked": func(p *testkit.Peer, _ string) bool {
			_ = p.Send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
			for i := range 10 {
				_ = p.Send(fmt.Sprintf("%x\r\n%s\r\n", 1000, testkit.Pattern(uint64(i), 1000)))
			}
			return p.Send("0\r\n\r\n") == nil
		},
		"/upload": func(p *testkit.Peer, head string) bool {
			r, err := p.BodyOf(head)
			if err != nil {
				return false
			}
			text := fmt.Sprint(len(r.Body), r.Body == string(testkit.Pattern(9, largeBody)))
			return p.Send(fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(text), text)) == nil
		},
	}))
}

const largeBody = 3 << 20

func TestTLS(t *testing.T) {
	t.Parallel()
	testkit.Each(t, func(t *testing.T, s testkit.Setup) {
		p, cert := startTLS(t, s, echoing(t).Addr)
		for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
			config := cert.Client("localhost")
			config.MaxVersion, config.NextProtos = version, []string{"http/1.1"}
			c, conn := testkit.DialTLS(t, p.Addr, config)
			if got := conn.ConnectionState(); got.Version != version || got.NegotiatedProtocol != "http/1.1" {
				t.Errorf("agreed on %s and %q, want %s and http/1.1", tls.VersionName(got.Version), got.NegotiatedProtocol, tls.VersionName(version))
			}
			wantResponse(t, "GET", c.Get("/proto"), 200, "https")
			wantResponse(t, "GET of much", c.Get("/large"), 200, string(testkit.Pattern(7, largeBody)))
			if r := c.Get("/chunked"); r.StatusCode != 200 || len(r.Body) != 10_000 || !strings.HasPrefix(r.Body, string(testkit.Pattern(0, 1000))) {
				t.Errorf("GET of chunks = %d with %d bytes, want 10000", r.StatusCode, len(r.Body))
			}
			c.Send(fmt.Sprintf("POST /upload HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n%s", largeBody, testkit.Pattern(9, largeBody)))
			wantResponse(t, "POST of much", c.Read("POST"), 200, fmt.Sprint(largeBody, true))
			// Several requests in a record, and one in many.
			c.Send(getOf("/") + getOf("/proto") + getOf("/"))
			for _, want := range []string{"ok", "https", "ok"} {
				wantResponse(t, "a request of several", c.Read("GET"), 200, want)
			}
			for _, b := range []byte(getOf("/")) {
				c.Send(string(b))
			}
			wantResponse(t, "a request in pieces", c.Read("GET"), 200, "ok")
			c.Send(getOf("/", "Connection: close"))
			wantResponse(t, "the last request", c.Read("GET"), 200, "ok")
			wantClosed(t, c)
		}
		told := map[bool]int{}
		for _, line := range p.Records(t, 18) {
			told[testkit.ParseRecord(t, line).TLS >= 0]++
		}
		if told[true] != 2 || told[false] != 16 {
			t.Errorf("t_tls is told in %d records, and not in %d; want it in the first of each of 2 connections", told[true], told[false])
		}
	})
}

// TestTLSEnds: a client that says that it sends nothing more has its answer; one whose connection just ends has sent a body that is cut.
func TestTLSEnds(t *testing.T) {
	t.Parallel()
	testkit.Each(t, func(t *testing.T, s testkit.Setup) {
		p, cert := startTLS(t, s, echoing(t).Addr)
		c, conn := testkit.DialTLS(t, p.Addr, cert.Client("localhost"))
		c.Send(getOf("/"))
		if err := conn.CloseWrite(); err != nil {
			t.Fatal(err)
		}
		wantResponse(t, "GET and an end", c.Read("GET"), 200, "ok")
		wantClosed(t, c)
		c, _ = testkit.DialTLS(t, p.Addr, cert.Client("localhost"))
		c.Send("POST /upload HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nsome")
		_ = c.CloseWrite()
		if r := p.Await(t, "/upload"); r.End[0] != 'C' {
			t.Errorf("end %s of an upload that is cut, want one of the client", r.End)
		}
	})
}

// TestTLSHandshakesThatFail closes what makes no handshake, in time, counts it, and serves others.
func TestTLSHandshakesThatFail(t *testing.T) {
	t.Parallel()
	testkit.Each(t, func(t *testing.T, s testkit.Setup) {
		socket := t.TempDir() + "/admin"
		p, cert := startTLS(t, s, echoing(t).Addr, "timeouts: { tls_handshake: 300ms }", fmt.Sprintf("admin: { address: %q }", "unix:"+socket))
		plain := testkit.Dial(t, p.Addr)
		plain.Send(getOf("/"))
		if got := plain.Rest(); strings.Contains(got, "HTTP") {
			t.Errorf("a request in clear text got %q", got)
		}
		old, err := testkit.Dial(t, p.Addr), error(nil)
		if _, err = old.Handshake(&tls.Config{RootCAs: cert.Pool, ServerName: "localhost", MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11}); err == nil {
			t.Error("a handshake of TLS 1.1 succeeds")
		}
		block := &tls.Config{
			RootCAs: cert.Pool, ServerName: "localhost", MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA},
		}
		if _, err = testkit.Dial(t, p.Addr).Handshake(block); err == nil {
			t.Error("a handshake with CBC alone succeeds")
		}
		begun := time.Now()
		silent, half := testkit.Dial(t, p.Addr), testkit.Dial(t, p.Addr)
		half.Send("\x16\x03\x01\x02")
		for _, c := range []*testkit.Client{silent, half} {
			_ = c.Rest()
		}
		if d := time.Since(begun); d < 250*time.Millisecond || d > 5*time.Second {
			t.Errorf("half a handshake ended after %v, want 300ms", d)
		}
		c, _ := testkit.DialTLS(t, p.Addr, cert.Client("localhost"))
		wantResponse(t, "GET", c.Get("/"), 200, "ok")
		for result, want := range map[string]int{"ok": 1, "failed": 4} {
			if got := metric(t, socket, fmt.Sprintf(`poise_listener_tls_handshakes_total{listener="web",result=%q}`, result)); got != want {
				t.Errorf("%s handshakes = %d, want %d", result, got, want)
			}
		}
	})
}

func TestTLSCertificateByName(t *testing.T) {
	t.Parallel()
	testkit.Each(t, func(t *testing.T, s testkit.Setup) {
		first, second := testkit.NewCertificate(t, "first.test"), testkit.NewCertificate(t, "second.test", "*.second.test")
		p := testkit.Start(t, s, secured(echoing(t).Addr, []*testkit.Certificate{first, second}))
		for name, want := range map[string]*testkit.Certificate{
			"first.test": first, "second.test": second, "a.second.test": second, "A.Second.Test": second, "a.b.second.test": first, "other.test": first, "": first,
		} {
			_, conn := testkit.DialTLS(t, p.Addr, &tls.Config{ServerName: name, InsecureSkipVerify: true})
			if got := conn.ConnectionState().PeerCertificates[0]; !got.Equal(want.Leaf) {
				t.Errorf("for %q the certificate of %v, want that of %v", name, got.DNSNames, want.Leaf.DNSNames)
			}
		}
	})
}

// TestTLSReload: what connects after a reload gets the new certificate, what is connected goes on, and with a broken one nothing changes.
func TestTLSReload(t *testing.T) {
	t.Parallel()
	testkit.Each(t, func(t *testing.T, s testkit.Setup) {
		server := echoing(t).Addr
		cert := testkit.NewCertificate(t, "localhost")
		config := secured(server, []*testkit.Certificate{cert})
		p := testkit.Start(t, s, config)
		kept, _ := testkit.DialTLS(t, p.Addr, cert.Client("localhost"))
		want := func(what string) {
			t.Helper()
			c, conn := testkit.DialTLS(t, p.Addr, cert.Client("localhost"))
			if got := conn.ConnectionState().PeerCertificates[0]; !got.Equal(cert.Leaf) {
				t.Errorf("%s: the certificate is another one", what)
			}
			wantResponse(t, what, c.Get("/"), 200, "ok")
		}
		want("at the start")
		cert.Renew(t, "localhost")
		p.Reload(t, config)
		want("after a reload")
		if err := os.WriteFile(cert.KeyFile, []byte("broken"), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := p.App.Reload(); err == nil {
			t.Error("a reload with a broken key succeeds")
		}
		want("after a reload that failed")
		wantResponse(t, "one that was connected before", kept.Get("/"), 200, "ok")
	})
}

// TestTLSDrain ends connections so that their clients know that nothing is missing.
func TestTLSDrain(t *testing.T) {
	t.Parallel()
	testkit.Each(t, func(t *testing.T, s testkit.Setup) {
		p, cert := startTLS(t, s, echoing(t).Addr)
		idle, _ := testkit.DialTLS(t, p.Addr, cert.Client("localhost"))
		wantResponse(t, "GET", idle.Get("/"), 200, "ok")
		go p.App.Drain()
		if got, err := io.ReadAll(idle.R); err != nil || len(got) > 0 {
			t.Errorf("at a drain came %q, %v, want a clean end", got, err)
		}
	})
}
