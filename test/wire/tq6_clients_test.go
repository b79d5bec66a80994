package wire

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"poise/internal/testkit"
)

// mutual is a configuration with a listener, web, that asks clients for certificates as tls says.
func mutual(server string, cert *testkit.Certificate, clients string, settings ...string) string {
	return fmt.Sprintf("listeners:\n  - { name: web, address: \"127.0.0.1:0\", pool: app, tls: { certificates: [%s], client_certificates: { %s } } }\n"+
		"pools: { app: { servers: [%q] } }\n%s\n", cert.YAML(), clients, server, strings.Join(settings, "\n"))
}

// as is a client with a certificate, or with none, that shows it whatever the server asks for.
func as(cert *testkit.Certificate, client *tls.Certificate) *tls.Config {
	c := cert.Client("localhost")
	c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
		if client == nil {
			return &tls.Certificate{}, nil
		}
		return client, nil
	}
	return c
}

// tryGet makes a handshake and a request, and tells what came of them. With TLS 1.3 a client learns only then that it is refused.
func tryGet(t *testing.T, addr string, config *tls.Config) (resumed bool, err error) {
	t.Helper()
	c := testkit.Dial(t, addr)
	defer func() { _ = c.Close() }()
	conn, err := c.Handshake(config)
	if err != nil {
		return false, err
	}
	c.Send("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
	r, err := c.TryRead("GET")
	if err == nil && (r.StatusCode != 200 || r.Body != "ok") {
		t.Errorf("a client that is let in got %d %q, want 200 ok", r.StatusCode, r.Body)
	}
	return conn.ConnectionState().DidResume, err
}

// wantRefused wants an alert and no answer.
func wantRefused(t *testing.T, what, addr string, config *tls.Config, alert string) {
	t.Helper()
	if _, err := tryGet(t, addr, config); err == nil || !strings.Contains(err.Error(), "remote error: tls: "+alert) {
		t.Errorf("%s: %v, want the alert %s", what, err, alert)
	}
}

func wantLetIn(t *testing.T, what, addr string, config *tls.Config) {
	t.Helper()
	if _, err := tryGet(t, addr, config); err != nil {
		t.Errorf("%s: %v, want it to be let in", what, err)
	}
}

// strangers are certificates that no listener takes whose authority is ca.
func strangers(t *testing.T, ca *testkit.Authority) map[string]*tls.Certificate {
	t.Helper()
	longAgo := time.Now().Add(-30 * time.Minute)
	namesake := testkit.NewAuthority(t, "ca", nil)
	other, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	stolen, many := *ca.Client(t, "victim", nil), *ca.Client(t, "many", nil)
	stolen.PrivateKey = other
	for range 600 { // x509 would try each of them as the one that has signed
		many.Certificate = append(many.Certificate, namesake.Cert.Raw)
	}
	long := ca
	for range 5 {
		long = long.Below(t, "below", nil)
	}
	without := *ca.Below(t, "below", nil).Client(t, "without", nil)
	without.Certificate = without.Certificate[:1]
	self := testkit.NewAuthority(t, "self", nil)
	signer := ca.Client(t, "signer", nil)
	signed := (&testkit.Authority{Cert: signer.Leaf, Key: signer.PrivateKey.(*ecdsa.PrivateKey)}).Client(t, "x", nil)
	signed.Certificate = append(signed.Certificate, signer.Leaf.Raw)
	return map[string]*tls.Certificate{
		"of another authority of the same name": namesake.Client(t, "x", nil),
		"that has expired":                      ca.Client(t, "x", func(c *x509.Certificate) { c.NotAfter = longAgo }),
		"of the future":                         ca.Client(t, "x", func(c *x509.Certificate) { c.NotBefore = time.Now().Add(time.Hour) }),
		"for servers":                           ca.Client(t, "x", func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth} }),
		"that a client has signed":              signed,
		"that signed itself":                    {Certificate: [][]byte{self.Cert.Raw}, PrivateKey: self.Key},
		"of somebody else":                      &stolen,
		"with hundreds behind it":               &many,
		"with too long a way":                   long.Client(t, "x", nil),
		"without what leads to authority":       &without,
	}
}

// TestTQ6Clients lets in who has a good certificate, and nobody else; nothing of those others reaches a server.
func TestTQ6Clients(t *testing.T) {
	t.Parallel()
	ca := testkit.NewAuthority(t, "ca", nil)
	file := testkit.WriteFile(t, "ca.pem", ca.PEM())
	bad := strangers(t, ca)
	testkit.Each(t, func(t *testing.T, s testkit.Setup) {
		server, cert := testkit.Serve(t, testkit.Answer(testkit.OK)), testkit.NewCertificate(t, "localhost")
		strict := testkit.Start(t, s, mutual(server.Addr, cert, fmt.Sprintf("ca: %q", file)))
		lax := testkit.Start(t, s, mutual(server.Addr, cert, fmt.Sprintf("ca: %q, required: false", file)))
		good := ca.Client(t, "good", nil)
		neighbour, _ := testkit.DialTLS(t, strict.Addr, as(cert, good))
		hello := func() {
			t.Helper()
			neighbour.Send("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
			wantResponse(t, "a neighbour's GET", neighbour.Read("GET"), 200, "ok")
		}
		hello()
		for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
			of := func(c *tls.Certificate) *tls.Config {
				config := as(cert, c)
				config.MaxVersion = version
				return config
			}
			for name, c := range bad {
				alert := ""
				if name == "with hundreds behind it" {
					alert = "bad certificate"
				}
				wantRefused(t, name, strict.Addr, of(c), alert)
				wantRefused(t, name+", where none is required", lax.Addr, of(c), alert)
			}
			none := "certificate required"
			if version == tls.VersionTLS12 {
				none = "handshake failure"
			}
			wantRefused(t, "none", strict.Addr, of(nil), none)
			wantLetIn(t, "none, where none is required", lax.Addr, of(nil))
			wantLetIn(t, "a good one", strict.Addr, of(good))
			wantLetIn(t, "a good one where none is required", lax.Addr, of(good))
			wantLetIn(t, "one through another authority", strict.Addr, of(ca.Below(t, "below", nil).Client(t, "x", nil)))
		}
		hello()
		if got := strings.Count(server.Got(), "GET /"); got != 10 {
			t.Errorf("the server got %d requests, want those of the clients that were let in, 10", got)
		}
	})
}

// TestTQ6Revoked: a list of revoked certificates holds for sessions that are resumed too, and after its time nobody is let in.
func TestTQ6Revoked(t *testing.T) {
	t.Parallel()
	testkit.Each(t, func(t *testing.T, s testkit.Setup) {
		server, cert := testkit.Serve(t, testkit.Answer(testkit.OK)), testkit.NewCertificate(t, "localhost")
		ca := testkit.NewAuthority(t, "ca", nil)
		good, revoked := ca.Client(t, "good", nil), ca.Client(t, "revoked", nil)
		file, list := testkit.WriteFile(t, "ca.pem", ca.PEM()), testkit.WriteFile(t, "crl.pem", ca.CRL(t, nil))
		config := mutual(server.Addr, cert, fmt.Sprintf("ca: %q, crl: %q", file, list))
		p := testkit.Start(t, s, config)
		caching := func(c *tls.Certificate) *tls.Config {
			config := as(cert, c)
			config.ClientSessionCache = tls.NewLRUClientSessionCache(1)
			return config
		}
		first, second := caching(revoked), caching(good)
		for _, c := range []*tls.Config{first, second} {
			wantLetIn(t, "before", p.Addr, c)
		}
		put := func(data []byte) {
			t.Helper()
			if err := os.WriteFile(list, data, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		put(ca.CRL(t, nil, revoked.Leaf))
		p.Reload(t, config)
		wantRefused(t, "the session of one that was revoked", p.Addr, first, "bad certificate")
		wantRefused(t, "one that was revoked", p.Addr, as(cert, revoked), "bad certificate")
		wantLetIn(t, "the session of another", p.Addr, second)
		wantLetIn(t, "another", p.Addr, as(cert, good))

		put([]byte("corrupt"))
		if _, err := p.App.Reload(); err == nil || !strings.Contains(err.Error(), "crl") {
			t.Errorf("a reload with a corrupt list: %v, want an error about it", err)
		}
		wantRefused(t, "one that was revoked, after a reload that failed", p.Addr, as(cert, revoked), "bad certificate")

		until := time.Now().Add(2 * time.Second).Truncate(time.Second)
		put(ca.CRL(t, func(l *x509.RevocationList) { l.NextUpdate = until }))
		p.Reload(t, config)
		if _, err := tryGet(t, p.Addr, second); err != nil && time.Now().Before(until) {
			t.Errorf("before the list's end: %v", err)
		}
		time.Sleep(time.Until(until.Add(10 * time.Millisecond))) // nothing tells of it but the clock
		wantRefused(t, "after the list's end", p.Addr, as(cert, good), "bad certificate")
		wantRefused(t, "a session after the list's end", p.Addr, second, "bad certificate")
		put(ca.CRL(t, nil))
		p.Reload(t, config)
		wantLetIn(t, "with a new list", p.Addr, as(cert, good))
	})
}

// TestTQ6ManyAuthorities: more names of authorities than a handshake can tell do not break it.
func TestTQ6ManyAuthorities(t *testing.T) {
	t.Parallel()
	var all []byte
	var last *testkit.Authority
	for i := range 280 {
		last = testkit.NewAuthority(t, strings.Repeat("long", 60)+fmt.Sprint(i), nil)
		all = slices.Concat(all, last.PEM())
	}
	file := testkit.WriteFile(t, "ca.pem", all)
	testkit.Each(t, func(t *testing.T, s testkit.Setup) {
		server, cert := testkit.Serve(t, testkit.Answer(testkit.OK)), testkit.NewCertificate(t, "localhost")
		p := testkit.Start(t, s, mutual(server.Addr, cert, fmt.Sprintf("ca: %q", file)))
		for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
			config := as(cert, last.Client(t, "x", nil))
			config.MaxVersion = version
			wantLetIn(t, tls.VersionName(version), p.Addr, config)
		}
	})
}
