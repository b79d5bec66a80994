package wire

import (
	"bytes"
	"crypto/tls"
	"slices"
	"strings"
	"testing"

	"poise/internal/testkit"
)

// Alerts (RFC 8446 section 6.2).
const (
	unexpectedMessage = tls.AlertError(10)
	handshakeFailure  = tls.AlertError(40)
	illegalParameter  = tls.AlertError(47)
	decodeError       = tls.AlertError(50)
	protocolVersion   = tls.AlertError(70)
	internalError     = tls.AlertError(80)
	noRenegotiation   = tls.AlertError(100)
	noProtocol        = tls.AlertError(120)
)

// The suite that oldHello's extensions go with.
const goodSuite = tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256

// TestTQ1Old: what was broken long ago is not agreed on.
func TestTQ1Old(t *testing.T) {
	t.Parallel()
	someSetups(t, func(t *testing.T, s testkit.Setup) {
		p, cert := startTLS(t, s, echoing(t).Addr)
		if got, alert := rawHello(t, "TLS 1.2", p.Addr, oldHello(tls.VersionTLS12, []uint16{goodSuite}, []byte{0})); !answered(got) || alert != 0 {
			t.Fatalf("a hello of TLS 1.2 got %x", got)
		}
		for name, version := range map[string]uint16{"SSL 3.0": 0x0300, "TLS 1.0": 0x0301, "TLS 1.1": 0x0302, "SSL 2.0 in a record": 0x0002} {
			wantAlert(t, name, p.Addr, oldHello(version, []uint16{goodSuite}, []byte{0}), protocolVersion)
		}
		for _, suite := range []struct {
			name string
			ids  []uint16
		}{
			{"null", []uint16{0x0000, 0x0001, 0x0002, 0x003b, 0xc006}},
			{"export", []uint16{0x0003, 0x0006, 0x0008, 0x000b, 0x000e, 0x0014, 0x0017}},
			{"RC4", []uint16{0x0004, 0x0005, 0xc007, 0xc011}},
			{"DES", []uint16{0x0009, 0x0015}},
			{"3DES", []uint16{0x000a, 0x0016, 0xc008, 0xc012}},
			{"anonymous", []uint16{0x0018, 0x0034, 0xc018}},
			{"without forward secrecy", []uint16{0x002f, 0x0035, 0x003c, 0x009c}},
		} {
			wantAlert(t, suite.name, p.Addr, oldHello(tls.VersionTLS12, suite.ids, []byte{0}), handshakeFailure)
		}
		wantAlert(t, "a fallback", p.Addr, oldHello(tls.VersionTLS12-1, []uint16{goodSuite, 0x5600}, []byte{0}), protocolVersion, tls.AlertError(86))

		got, _ := rawHello(t, "compression beside none", p.Addr, oldHello(tls.VersionTLS12, []uint16{goodSuite}, []byte{1, 0}))
		if !answered(got) || got[5+4+2+32+1+2] != 0 {
			t.Errorf("a hello with compression got %x, want one without", got)
		}
		wantAlert(t, "compression alone", p.Addr, oldHello(tls.VersionTLS12, []uint16{goodSuite}, []byte{1}), handshakeFailure, illegalParameter)

		hello := oldHello(tls.VersionTLS12, []uint16{goodSuite}, []byte{0}, 0, 15, 0, 1, 1)
		got, alert := rawHello(t, "a heartbeat in a handshake", p.Addr, slices.Concat(hello, record(recordHeartbeat, 1, 0x40, 0)))
		if !answered(got) || alert != unexpectedMessage || bytes.Contains(got, []byte{0, 15, 0, 1}) || bytes.Contains(got, []byte{recordHeartbeat, 3, 3}) {
			t.Errorf("a heartbeat got %x with the alert %v", got, alert)
		}
		// SSL 2.0 has no such records.
		v2 := append([]byte{0x80, 0x2e, 1, 0, 2, 0, 21, 0, 0, 0, 16, 7, 0, 0xc0}, bytes.Repeat([]byte{3}, 34)...)
		if got, _ := rawHello(t, "SSL 2.0", p.Addr, v2); len(got) > 7 || len(got) > 0 && got[0] != recordAlert {
			t.Errorf("SSL 2.0 got %x", got)
		}
		for _, version := range tlsVersions {
			x := seal(t, p.Addr, cert.Client("localhost"), version)
			if err := x.end(t, "a heartbeat", x.record(recordHeartbeat, 1, 0x40, 0)); err == nil || !strings.Contains(err.Error(), unexpectedMessage.Error()) {
				t.Errorf("%s: a heartbeat: %v, want the alert %v", tls.VersionName(version), err, unexpectedMessage)
			}
			x = seal(t, p.Addr, cert.Client("localhost"), version)
			again := helloOf(t, &tls.Config{ServerName: "localhost", MaxVersion: version})[5:]
			err := x.end(t, "a hello again", x.record(recordHandshake, again...))
			if err == nil || !strings.Contains(err.Error(), unexpectedMessage.Error()) && !strings.Contains(err.Error(), noRenegotiation.Error()) {
				t.Errorf("%s: a second hello: %v, want an alert that refuses it", tls.VersionName(version), err)
			}
		}
		c, _ := testkit.DialTLS(t, p.Addr, cert.Client("localhost"))
		wantResponse(t, "another one's GET", c.Get("/"), 200, "ok")
	})
}

// TestTQ7Protocols: with a client that only wants to speak something else, nothing is spoken.
func TestTQ7Protocols(t *testing.T) {
	t.Parallel()
	someSetups(t, func(t *testing.T, s testkit.Setup) {
		p, cert := startTLS(t, s, echoing(t).Addr)
		for _, version := range tlsVersions {
			for _, row := range []struct {
				offers []string
				want   string // empty: an alert
			}{
				{[]string{"http/1.1"}, "http/1.1"},
				{[]string{"h2", "http/1.1"}, "h2"},
				{[]string{"ftp", "\x1a\x1a", "http/1.1"}, "http/1.1"},
				{[]string{"h2"}, "h2"},
				{[]string{"h3"}, ""},
				{[]string{"ftp"}, ""},
				{[]string{"imap", "smtp", "pop3"}, ""},
				{[]string{"HTTP/1.1"}, ""},
				{[]string{"http/1.0"}, ""},
				{[]string{"acme-tls/1"}, ""},
			} {
				config := cert.Client("localhost")
				config.MaxVersion, config.NextProtos = version, row.offers
				conn, err := testkit.Dial(t, p.Addr).Handshake(config)
				switch {
				case row.want == "" && (err == nil || err.Error() != "remote error: "+noProtocol.Error()):
					t.Errorf("%s: for %q: %v, want the alert %v", tls.VersionName(version), row.offers, err, noProtocol)
				case row.want != "" && (err != nil || conn.ConnectionState().NegotiatedProtocol != row.want):
					t.Errorf("%s: for %q: %v, %q, want %q", tls.VersionName(version), row.offers, err, conn.ConnectionState().NegotiatedProtocol, row.want)
				}
			}
			config := cert.Client("localhost")
			config.MaxVersion = version
			c, conn := testkit.DialTLS(t, p.Addr, config)
			if got := conn.ConnectionState().NegotiatedProtocol; got != "" {
				t.Errorf("%s: who offers nothing got %q", tls.VersionName(version), got)
			}
			wantResponse(t, "GET", c.Get("/"), 200, "ok")
			c.Send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00")
			if r := c.Read("PRI"); r.StatusCode < 400 {
				t.Errorf("%s: HTTP/2 without being agreed on got %d", tls.VersionName(version), r.StatusCode)
			}
			wantClosed(t, c)
		}
		for name, list := range map[string][]byte{
			"an empty list": {0, 16, 0, 2, 0, 0}, "an empty name": {0, 16, 0, 3, 0, 1, 0}, "a name that is cut": {0, 16, 0, 4, 0, 2, 8, 'h'},
		} {
			wantAlert(t, name, p.Addr, oldHello(tls.VersionTLS12, []uint16{goodSuite}, []byte{0}, list...), decodeError)
		}
	})
}
