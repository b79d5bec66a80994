package wire

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"poise/internal/testkit"
)

// issue has an authority sign a certificate that is good for "server.test" and an hour, but for what is changed.
func issue(t *testing.T, by *testkit.Certificate, change func(*x509.Certificate)) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), DNSNames: []string{"server.test"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	if change != nil {
		change(template)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, by.Leaf, key.Public(), by.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// secureServer is a server that speaks TLS and keeps what each connection agreed on.
type secureServer struct {
	*testkit.Server
	mu     sync.Mutex // guards states
	states []tls.ConnectionState
}

// serveSecure answers with the name that was asked for.
func serveSecure(t *testing.T, config *tls.Config, extra ...string) *secureServer {
	t.Helper()
	s := &secureServer{}
	s.Server = testkit.Serve(t, func(p *testkit.Peer) {
		c := tls.Server(p.TCP, config)
		if c.Handshake() != nil {
			return
		}
		s.mu.Lock()
		s.states = append(s.states, c.ConnectionState())
		s.mu.Unlock()
		name := c.ConnectionState().ServerName
		testkit.Answer(fmt.Sprintf("HTTP/1.1 200 OK\r\n%sContent-Length: %d\r\n\r\n%s", lines(extra), len(name), name))(p.Over(c))
		_ = c.Close()
	})
	return s
}

func (s *secureServer) agreed() []tls.ConnectionState {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.states)
}

func toServer(addr, settings string) string {
	return fmt.Sprintf("listen: 127.0.0.1:0\nservers: [%s]\neject: { enabled: false }\nserver_tls: { %s }\n", addr, settings)
}

// TestTQ8BadServers: nothing of a request reaches a server that cannot show who it is, and a client learns no more than that.
func TestTQ8BadServers(t *testing.T) {
	t.Parallel()
	ca, other := testkit.NewCertificate(t, "authority"), testkit.NewCertificate(t, "server.test")
	with := func(c tls.Certificate) *tls.Config { return &tls.Config{Certificates: []tls.Certificate{c}} }
	handshake := func(config *tls.Config) func(p *testkit.Peer) {
		return func(p *testkit.Peer) {
			c := tls.Server(p.Conn, config)
			_, _ = io.Copy(p.Recorder(), c)
		}
	}
	good := with(issue(t, ca, nil))
	for _, tt := range []struct {
		name, token, reason string
		script              func(p *testkit.Peer)
	}{
		{"wrong name", "tls_certificate_error", "not server.test", handshake(with(issue(t, ca, func(c *x509.Certificate) { c.DNSNames = []string{"other.test"} })))},
		{"no name", "tls_certificate_error", "server.test", handshake(with(issue(t, ca, func(c *x509.Certificate) { c.DNSNames = nil })))},
		{"expired", "tls_certificate_error", "expired", handshake(with(issue(t, ca, func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) })))},
		{"not yet valid", "tls_certificate_error", "not yet valid", handshake(with(issue(t, ca, func(c *x509.Certificate) {
			c.NotBefore = time.Now().Add(30 * time.Minute)
		})))},
		{"for clients", "tls_certificate_error", "usage", handshake(with(issue(t, ca, func(c *x509.Certificate) {
			c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
		})))},
		{"self-signed", "tls_certificate_error", "unknown authority", handshake(with(other.Certificate))},
		{"another authority", "tls_certificate_error", "unknown authority", handshake(with(issue(t, other, nil)))},
		{"asks for a certificate", "tls_alert_received", "handshake failure", handshake(&tls.Config{
			Certificates: good.Certificates, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: ca.Pool, MaxVersion: tls.VersionTLS12,
		})},
		{"old", "tls_alert_received", "protocol version", handshake(&tls.Config{Certificates: good.Certificates, MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11})},
		{"clear text", "tls_protocol_error", "", func(p *testkit.Peer) {
			_, _ = p.R.ReadByte()
			_ = p.Send(testkit.OK)
			_, _ = io.Copy(io.Discard, p.R)
		}},
		// As if who stands between had injected an answer before the handshake.
		{"clear text before a handshake", "tls_protocol_error", "", func(p *testkit.Peer) {
			_ = p.Send(testkit.OK)
			handshake(good)(p)
		}},
		{"closes", "connection_refused", "", func(p *testkit.Peer) { _, _ = p.R.ReadByte() }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			testkit.Each(t, func(t *testing.T, s testkit.Setup) {
				bad := testkit.Serve(t, tt.script)
				settings := "server_name: server.test, ca: " + ca.CertFile
				p := testkit.Start(t, s, toServer(bad.Addr, settings))
				c := testkit.Dial(t, p.Addr)
				c.Send("POST /secret HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nlogin")
				r := c.Read("POST")
				if got := r.Header.Get("Proxy-Status"); r.StatusCode != 503 || !strings.Contains(got, "error="+tt.token) {
					t.Errorf("POST = %d with Proxy-Status %q, want 503 with %s", r.StatusCode, got, tt.token)
				}
				if record := p.Await(t, "/secret"); !strings.Contains(record.Reason, tt.reason) || record.Status != 503 {
					t.Errorf("the log says %d, %q, want 503 and %q", record.Status, record.Reason, tt.reason)
				}
				if got := bad.Got(); strings.Contains(got, "secret") || strings.Contains(got, "login") {
					t.Errorf("the server got %q", got)
				}
				well := serveSecure(t, good)
				p = testkit.Start(t, s, toServer(bad.Addr+", "+well.Addr, settings)+"policy: round_robin\n")
				c = testkit.Dial(t, p.Addr)
				for range 4 {
					c.Send("POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n")
					wantResponse(t, "POST with another server there", c.Read("POST"), 200, "server.test")
				}
			})
		})
	}
}

func TestTLSToServers(t *testing.T) {
	t.Parallel()
	ca := testkit.NewCertificate(t, "authority")
	cert := issue(t, ca, nil)
	testkit.Each(t, func(t *testing.T, s testkit.Setup) {
		for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
			server := serveSecure(t, &tls.Config{Certificates: []tls.Certificate{cert}, MaxVersion: version, NextProtos: []string{"h2", "http/1.1"}})
			p := testkit.Start(t, testkit.Setup{Driver: s.Driver, Loops: 1, TLS: s.TLS}, toServer(server.Addr, "server_name: server.test, ca: "+ca.CertFile))
			c := testkit.Dial(t, p.Addr)
			for range 3 {
				wantResponse(t, "GET", c.Get("/"), 200, "server.test")
			}
			server.CloseConns()
			wantResponse(t, "GET over a new connection", c.Get("/"), 200, "server.test")
			states := server.agreed()
			if len(states) != 2 || states[0].DidResume || !states[1].DidResume {
				t.Fatalf("%d connections, want 2, of which the second resumes the session of the first: %+v", len(states), states)
			}
			for _, state := range states {
				if state.Version != version || state.NegotiatedProtocol != "http/1.1" || state.ServerName != "server.test" {
					t.Errorf("agreed on %s, %q for %q", tls.VersionName(state.Version), state.NegotiatedProtocol, state.ServerName)
				}
			}
		}
	})
}

// TestServerNames: without server_name a server's certificate has to be for its address.
func TestServerNames(t *testing.T) {
	t.Parallel()
	ca := testkit.NewCertificate(t, "authority")
	testkit.Each(t, func(t *testing.T, s testkit.Setup) {
		server := serveSecure(t, &tls.Config{Certificates: []tls.Certificate{issue(t, ca, nil)}})
		p := testkit.Start(t, s, toServer(server.Addr, "ca: "+ca.CertFile))
		if r := testkit.Dial(t, p.Addr).Get("/name"); r.StatusCode != 503 {
			t.Errorf("GET = %d, want 503: the certificate is for server.test", r.StatusCode)
		}
		if r := p.Await(t, "/name"); !strings.Contains(r.Reason, "127.1.") {
			t.Errorf("the log says %q, want the server's address in it", r.Reason)
		}
		p = testkit.Start(t, s, toServer(server.Addr, "insecure: true"))
		wantResponse(t, "GET with insecure", testkit.Dial(t, p.Addr).Get("/"), 200, "") // an address is no name that is asked for
	})
}

func TestClientCertificateToServers(t *testing.T) {
	t.Parallel()
	ca, clients := testkit.NewCertificate(t, "authority"), testkit.NewCertificate(t, "clients")
	ours := issue(t, clients, func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth} })
	certFile, keyFile := writePair(t, ours)
	config := &tls.Config{Certificates: []tls.Certificate{issue(t, ca, nil)}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: clients.Pool}
	testkit.Each(t, func(t *testing.T, s testkit.Setup) {
		server := serveSecure(t, config)
		settings := fmt.Sprintf("server_name: server.test, ca: %s, client_certificate: { cert: %s, key: %s }", ca.CertFile, certFile, keyFile)
		p := testkit.Start(t, s, toServer(server.Addr, settings))
		wantResponse(t, "GET", testkit.Dial(t, p.Addr).Get("/"), 200, "server.test")
		if got := server.agreed()[0].PeerCertificates; len(got) != 1 || string(got[0].Raw) != string(ours.Certificate[0]) {
			t.Errorf("the server got %d certificates, want ours", len(got))
		}
	})
}

func writePair(t *testing.T, c tls.Certificate) (cert, key string) {
	t.Helper()
	dir := t.TempDir()
	cert, key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	private, err := x509.MarshalPKCS8PrivateKey(c.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	for path, block := range map[string]*pem.Block{cert: {Type: "CERTIFICATE", Bytes: c.Certificate[0]}, key: {Type: "PRIVATE KEY", Bytes: private}} {
		if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return cert, key
}

// TestRS11PoolsDoNotShareConnections: a connection is used only for what it was made for, whatever else has the same address.
func TestRS11PoolsDoNotShareConnections(t *testing.T) {
	t.Parallel()
	ca := testkit.NewCertificate(t, "authority")
	cert := issue(t, ca, func(c *x509.Certificate) { c.DNSNames = []string{"a.test", "b.test", "c.test"} })
	testkit.Each(t, func(t *testing.T, s testkit.Setup) {
		server := serveSecure(t, &tls.Config{Certificates: []tls.Certificate{cert}})
		text := func(a, b string) string {
			pool := func(name string) string {
				return fmt.Sprintf("{ servers: [%s], eject: { enabled: false }, server_tls: { server_name: %s, ca: %s } }", server.Addr, name, ca.CertFile)
			}
			return fmt.Sprintf("listeners:\n  - address: 127.0.0.1:0\n    pool: a\n    routes: [{ match: { path: /b }, pool: b }]\npools:\n  a: %s\n  b: %s\n", pool(a), pool(b))
		}
		p := testkit.Start(t, s, text("a.test", "b.test"))
		c := testkit.Dial(t, p.Addr)
		for range 3 {
			wantResponse(t, "GET of pool a", c.Get("/a"), 200, "a.test")
			wantResponse(t, "GET of pool b", c.Get("/b"), 200, "b.test")
		}
		before := server.Connections()
		p.Reload(t, text("c.test", "b.test"))
		for range 3 {
			wantResponse(t, "GET of pool a after a reload", c.Get("/a"), 200, "c.test")
			wantResponse(t, "GET of pool b after a reload", c.Get("/b"), 200, "b.test")
		}
		if got := server.Connections(); got != before+1 {
			t.Errorf("%d connections after a reload, want %d: only pool a's settings have changed", got, before+1)
		}
		p.Reload(t, text("c.test", "b.test"))
		wantResponse(t, "GET after a reload without changes", c.Get("/a"), 200, "c.test")
		if got := server.Connections(); got != before+1 {
			t.Errorf("%d connections after a reload that changes nothing, want %d", got, before+1)
		}
	})
}

// TestRS11ReloadToTLS: a connection in clear text is not used any more once the pool speaks TLS, and the other way round.
func TestRS11ReloadToTLS(t *testing.T) {
	t.Parallel()
	ca := testkit.NewCertificate(t, "authority")
	cert := issue(t, ca, nil)
	testkit.Each(t, func(t *testing.T, s testkit.Setup) {
		s.ServersInClear(t)
		s.ServersHTTP1(t)    // which they speak over either
		var secured sync.Map // the numbers of connections over TLS
		server := testkit.Serve(t, func(p *testkit.Peer) {
			first, err := p.R.Peek(1)
			if err != nil {
				return
			}
			if first[0] != 22 { // no record of a handshake
				testkit.Answer("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nclear")(p)
				return
			}
			secured.Store(p.Number, true)
			c := tls.Server(struct {
				io.Reader
				*testkit.Peer
			}{p.R, p}, &tls.Config{Certificates: []tls.Certificate{cert}})
			testkit.Answer("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\ntls")(p.Over(c))
		})
		clear := fmt.Sprintf("listen: 127.0.0.1:0\nservers: [%s]\neject: { enabled: false }\n", server.Addr)
		p := testkit.Start(t, s, clear)
		c := testkit.Dial(t, p.Addr)
		for range 2 {
			wantResponse(t, "GET", c.Get("/"), 200, "clear")
			p.Reload(t, toServer(server.Addr, "server_name: server.test, ca: "+ca.CertFile))
			wantResponse(t, "GET after a reload to TLS", c.Get("/"), 200, "tls")
			p.Reload(t, clear)
		}
	})
}

// TestRS11LoginsOfConnections: where a login holds for a connection to the server, no other request comes over it.
func TestRS11LoginsOfConnections(t *testing.T) {
	t.Parallel()
	testkit.Each(t, func(t *testing.T, s testkit.Setup) {
		s.ServersHTTP1(t)
		answer := func(fields ...string) testkit.Script {
			return func(p *testkit.Peer, _ string) bool {
				fields := append(fields, "Connection-Number: "+strconv.Itoa(p.Number), "Content-Length: 0")
				return p.Send("HTTP/1.1 401 Unauthorized\r\n"+lines(fields)+"\r\n") == nil
			}
		}
		p, _ := before(t, s, scripts{
			"/": answer(), "/ntlm": answer("WWW-Authenticate: NTLM"),
			"/negotiate": answer("WWW-Authenticate: Basic realm=a, negotiate"), "/basic": answer("WWW-Authenticate: Basic realm=a"),
		})
		for _, tt := range []struct {
			what, send string
			shared     bool
		}{
			{"a plain request", getOf("/"), true},
			{"a login by request", getOf("/", "Authorization: Basic YTpi"), true},
			{"a challenge by request", getOf("/basic"), true},
			{"NTLM's answer", getOf("/", "Authorization: NTLM TlRMTVNTUAAD"), false},
			{"Negotiate's answer", getOf("/", "authorization: negotiate YII="), false},
			{"NTLM's challenge", getOf("/ntlm"), false},
			{"Negotiate's challenge, of two", getOf("/negotiate"), false},
		} {
			c := testkit.Dial(t, p.Addr) // the loop that has it keeps the connection
			number := func(request string) string {
				c.Send(request)
				r := c.Read("GET")
				if r.StatusCode != 401 || r.Header.Get("Connection-Number") == "" {
					t.Fatalf("%s: status %d, connection %q, want 401 and a number", tt.what, r.StatusCode, r.Header.Get("Connection-Number"))
				}
				return r.Header.Get("Connection-Number")
			}
			login, shared := number(tt.send), false
			for range 5 { // connections of earlier requests may come first
				shared = shared || number(getOf("/")) == login
			}
			if shared != tt.shared {
				t.Errorf("%s: a later request came over the same connection: %v, want %v", tt.what, shared, tt.shared)
			}
		}
	})
}
