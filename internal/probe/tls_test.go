package probe

import (
	"crypto/tls"
	"crypto/x509"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"poise/internal/health"
	"poise/internal/pool"
)

// secureServer answers over TLS with a certificate for example.com and 127.0.0.1, and tells what name it was asked for.
func secureServer(t *testing.T, h http.HandlerFunc) (address string, roots *x509.CertPool, asked chan string) {
	t.Helper()
	server := httptest.NewUnstartedServer(h)
	server.Config.ErrorLog = log.New(io.Discard, "", 0) // of handshakes that fail on purpose
	asked = make(chan string, 10)
	server.TLS = &tls.Config{GetConfigForClient: func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		asked <- hello.ServerName
		return nil, nil
	}}
	server.StartTLS()
	t.Cleanup(server.Close)
	roots = x509.NewCertPool()
	roots.AddCert(server.Certificate())
	return addressOf(server), roots, asked
}

func TestTLS(t *testing.T) {
	address, roots, asked := secureServer(t, func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "fine") })
	for _, test := range []struct {
		name string
		tls  TLS
		host string // of the HTTP request
		want string // within the reason; empty: passes
		sni  string // asked for; none for an address
	}{
		{"the server's address", TLS{Roots: roots}, "", "", ""},
		{"a name of the certificate", TLS{Roots: roots, ServerName: "example.com"}, "", "", "example.com"},
		{"another name", TLS{Roots: roots, ServerName: "example.org"}, "", "not example.org", "example.org"},
		{"the request's host", TLS{Roots: roots}, "example.com:8443", "", "example.com"},
		{"the name goes before the host", TLS{Roots: roots, ServerName: "example.com"}, "example.org", "", "example.com"},
		{"not by whom the system trusts", TLS{}, "", "unknown authority", ""},
		{"insecure", TLS{Insecure: true, ServerName: "example.org"}, "", "", "example.org"},
	} {
		for kind, s := range map[string]Settings{
			"handshake": {Health: patient, TLS: &test.tls},
			"HTTPS":     {Health: patient, HTTP: &HTTP{Host: test.host, Body: "fine", TLS: &test.tls}},
		} {
			if kind == "handshake" && test.host != "" {
				continue
			}
			t.Run(test.name+"/"+kind, func(t *testing.T) {
				got := once(t, s, address)
				if got.OK != (test.want == "") || !strings.Contains(got.Reason, test.want) {
					t.Errorf("result = %+v, want reason %q", got, test.want)
				}
				if sni := <-asked; sni != test.sni {
					t.Errorf("asked for %q, want %q", sni, test.sni)
				}
			})
		}
	}
}

// TestTLSWithoutTLS: the other side speaks something else, or nothing at all.
func TestTLSWithoutTLS(t *testing.T) {
	plain := httptest.NewServer(http.NotFoundHandler())
	defer plain.Close()
	for _, test := range []struct{ name, address, want string }{
		{"clear text", addressOf(plain), "does not look like a TLS handshake"},
		{"closes", answering(t, reply("")), "closed before the response"},
		{"bytes without end", answering(t, endless("\x16\x03\x01\x40\x00")), "tls: "},
	} {
		for kind, s := range map[string]Settings{"handshake": {Health: patient, TLS: &TLS{}}, "HTTPS": {Health: patient, HTTP: &HTTP{TLS: &TLS{}}}} {
			t.Run(test.name+"/"+kind, func(t *testing.T) {
				got := once(t, s, test.address)
				if got.OK || !strings.Contains(got.Reason, test.want) || got.Duration >= patient.Timeout {
					t.Errorf("result = %+v, want reason %q", got, test.want)
				}
			})
		}
	}
}

// TestTimeoutHoldsForAll: whatever kind the probe is of, and wherever the server gets stuck or slow, it ends with its timeout, and so does its connection.
func TestTimeoutHoldsForAll(t *testing.T) {
	secure := tlsReply(t)
	for _, test := range []struct {
		name  string
		s     Settings
		serve func(net.Conn)
	}{
		{"no handshake", Settings{TLS: &TLS{}}, silent},
		{"no handshake for HTTPS", Settings{HTTP: &HTTP{TLS: &TLS{}}}, silent},
		{"a handshake byte by byte", Settings{TLS: &TLS{}}, slowly("\x16\x03\x03\x40\x00\x02\x00\x3f\xfc")},
		{"no answer within TLS", Settings{HTTP: &HTTP{TLS: &TLS{Insecure: true}}}, secure(silent)},
		{"a body within TLS byte by byte", Settings{HTTP: &HTTP{Body: "b", TLS: &TLS{Insecure: true}}}, secure(slowly("HTTP/1.1 200 OK\r\n\r\n"))},
		{"no answer", Settings{HTTP: &HTTP{}}, silent},
		{"no answer over gRPC", Settings{GRPC: &GRPC{}}, silent},
		{"no handshake for gRPC", Settings{GRPC: &GRPC{TLS: &TLS{}}}, silent},
		{"a head byte by byte", Settings{HTTP: &HTTP{}}, slowly("HTTP/1.1 200 OK\r\nX: ")},
		{"a body byte by byte", Settings{HTTP: &HTTP{Body: "b"}}, slowly("HTTP/1.1 200 OK\r\n\r\n")},
		{"nothing over TCP", Settings{TCP: TCP{Send: "PING\r\n", Expect: "+PONG"}}, silent},
		{"other bytes over TCP", Settings{TCP: TCP{Expect: "b"}}, slowly("")},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			ended := make(chan struct{})
			address := answering(t, func(c net.Conn) {
				defer close(ended)
				test.serve(c)
			})
			test.s.Health = health.Settings{Timeout: 200 * time.Millisecond, Interval: time.Hour}
			p, err := New(test.s, nil)
			if err != nil {
				t.Fatal(err)
			}
			w := &prober{Probers: p, target: targetOf(&pool.Server{Address: address}, 0)}
			began := time.Now()
			_, got := w.probe(t.Context())
			if took := time.Since(began); got.OK || got.Reason != "no answer within 200ms" || took < 200*time.Millisecond || took > 10*time.Second {
				t.Errorf("result = %+v after %v, want no answer within 200ms", got, took)
			}
			<-ended // the server sees the connection's end
		})
	}
}

// silent takes what comes until the other side has had enough.
func silent(c net.Conn) { _, _ = io.Copy(io.Discard, c) }

// slowly sends a start, and then a byte from time to time until the other side has had enough.
func slowly(start string) func(net.Conn) {
	return func(c net.Conn) {
		var err error
		if start != "" { // an answer: it comes after something was asked
			_, err = c.Read(make([]byte, 1))
		}
		go silent(c)
		if err == nil {
			_, err = io.WriteString(c, start)
		}
		for err == nil {
			time.Sleep(5 * time.Millisecond)
			_, err = io.WriteString(c, "a")
		}
	}
}

// tlsReply returns what completes a handshake before it serves with another function.
func tlsReply(t *testing.T) func(func(net.Conn)) func(net.Conn) {
	t.Helper()
	server := httptest.NewUnstartedServer(http.NotFoundHandler())
	server.StartTLS()
	config := server.TLS.Clone()
	server.Close()
	return func(serve func(net.Conn)) func(net.Conn) {
		return func(c net.Conn) {
			secure := tls.Server(c, config)
			if secure.Handshake() == nil {
				serve(secure)
			}
		}
	}
}

func TestHostName(t *testing.T) {
	for _, test := range []struct{ name, address, want string }{
		{"10.0.0.1:443", "10.0.0.1:443", "10.0.0.1"},
		{"[2001:db8::1]:443", "[2001:db8::1]:443", "2001:db8::1"},
		{"app.example.com:443/10.0.0.1", "10.0.0.1:443", "app.example.com"},
		{"app.example.com:443/2001:db8::1", "[2001:db8::1]:443", "app.example.com"},
		{"unix:/run/app.sock", "unix:/run/app.sock", "localhost"},
		{"s", "10.0.0.1:443", "10.0.0.1"},
	} {
		if got := (&pool.Server{Name: test.name, Address: test.address}).Host(); got != test.want {
			t.Errorf("Host() of %q at %q = %q, want %q", test.name, test.address, got, test.want)
		}
	}
}
