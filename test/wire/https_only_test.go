package wire

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"poise/internal/testkit"
)

// TestRedirectToHTTPS: who comes to the port of HTTP is told to come to that of HTTPS, with all that the request has, and nothing is passed on.
func TestRedirectToHTTPS(t *testing.T) {
	t.Parallel()
	testkit.Each(t, func(t *testing.T, s testkit.Setup) {
		server := echoing(t)
		config := fmt.Sprintf(`
listeners:
  - { name: plain, address: "127.0.0.1:0", redirect_to_https: 443, routes: [{ match: { path: /health }, pool: app }] }
pools: { app: { servers: [%q] } }
`, server.Addr)
		p := testkit.Start(t, s, config)
		c := testkit.Dial(t, p.Addr)
		tests := []struct{ request, host, location string }{
			{"GET /", "example.test", "https://example.test/"},
			{"GET /a/../b%20c?x=https://evil.test/%0d%0aX:y", "Example.TEST.:80", "https://example.test/b%20c?x=https://evil.test/%0d%0aX:y"},
			{"GET http://other.test/x", "example.test", "https://other.test/x"},
			{"GET /", "[::1]:80", "https://[::1]/"},
			{"HEAD /x", "example.test", "https://example.test/x"},
			{"DELETE /x", "example.test", "https://example.test/x"},
			{"OPTIONS *", "example.test", "https://example.test"},
		}
		n := 0
		ask := func(request, host, location string) {
			t.Helper()
			method, target, _ := strings.Cut(request, " ")
			if s.HTTP2 && strings.HasPrefix(target, "http:") {
				return // it has no such form
			}
			n++
			c.Send(request + " HTTP/1.1\r\nHost: " + host + "\r\n\r\n")
			r := c.Read(method)
			if got := r.Header.Get("Location"); r.StatusCode != 308 || got != location {
				t.Errorf("%s for %s is answered with %d, Location %q, want 308, %q", request, host, r.StatusCode, got, location)
			}
		}
		for _, tt := range tests {
			ask(tt.request, tt.host, tt.location)
		}
		p.Reload(t, strings.Replace(config, "443", "8443", 1))
		ask("GET /x?y", "example.test", "https://example.test:8443/x?y")
		if strings.Contains(server.Got(), "example.test") {
			t.Error("a request that was redirected was passed on as well")
		}
		c.Send("GET /health HTTP/1.1\r\nHost: a\r\n\r\n")
		if r := c.Read("GET"); r.StatusCode == 308 {
			t.Error("a request of a route is redirected")
		}

		n++
		if !s.HTTP2 {
			n++
			c.Send("GET / HTTP/1.0\r\n\r\n")
			if r := c.Read("GET"); r.StatusCode != 400 || r.Header.Get("Location") != "" {
				t.Errorf("a request for no host is answered with %d, Location %q, want 400 and none", r.StatusCode, r.Header.Get("Location"))
			}
		}
		for _, r := range slices.Concat(slices.Collect(maps.Values(p.Parsed(t, n)))...) {
			if r.Status == 308 && (r.End != "LR--" || r.Route != "plain" || r.Pool != "" || r.Server != "") {
				t.Errorf("the record of a redirect is %+v", r)
			}
		}
	})
}

// TestHSTS: over TLS each answer tells browsers once that they should stay with TLS, whatever the server says of it.
func TestHSTS(t *testing.T) {
	t.Parallel()
	testkit.Each(t, func(t *testing.T, s testkit.Setup) {
		cert := testkit.NewCertificate(t, "localhost")
		server := testkit.Serve(t, testkit.Paths(scripts{
			"/":    testkit.Reply("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"),
			"/own": testkit.Reply("HTTP/1.1 200 OK\r\nstrict-transport-security: max-age=1\r\nContent-Length: 2\r\n\r\nok"),
			"/cut": func(*testkit.Peer, string) bool { return false },
		}))
		config := secured(server.Addr, []*testkit.Certificate{cert})
		with := func(hsts string) string { return strings.Replace(config, "tls: {", "tls: { hsts: "+hsts+",", 1) }
		p := testkit.Start(t, s, with("{}"))
		told := func(path, want string) {
			t.Helper()
			c, _ := testkit.DialTLS(t, p.Addr, cert.Client("localhost"))
			defer c.Close()
			if got := strings.Join(c.Get(path).Header.Values("Strict-Transport-Security"), " and "); got != want {
				t.Errorf("%s tells %q, want %q", path, got, want)
			}
		}
		for _, path := range []string{"/", "/own", "/cut"} {
			told(path, "max-age=31536000")
		}
		p.Reload(t, with("{ include_subdomains: true, preload: true }"))
		told("/", "max-age=31536000; includeSubDomains; preload")
		p.Reload(t, with("{ max_age: 0s }"))
		told("/own", "max-age=0")
		p.Reload(t, config)
		told("/", "")
		told("/own", "max-age=1")
	})
}
