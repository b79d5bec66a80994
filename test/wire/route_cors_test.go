package wire

import (
	"fmt"
	"strings"
	"testing"

	"poise/internal/testkit"
)

// TestHT10CORS: a browser hears which pages may ask, of nobody but the route, and never that any page may that asks.
func TestHT10CORS(t *testing.T) {
	t.Parallel()
	testkit.Each(t, func(t *testing.T, s testkit.Setup) {
		server := testkit.Serve(t, testkit.Paths(scripts{
			"/some": testkit.Reply("HTTP/1.1 200 OK\r\nAccess-Control-Allow-Origin: *\r\nAccess-Control-Allow-Headers: x\r\nContent-Length: 2\r\n\r\nok"),
			"/none": testkit.Reply("HTTP/1.1 200 OK\r\nAccess-Control-Allow-Origin: https://server.test\r\nContent-Length: 2\r\n\r\nok"),
			"/cut":  func(*testkit.Peer, string) bool { return false },
		}))
		p := testkit.Start(t, s, fmt.Sprintf(`
listeners:
  - address: 127.0.0.1:0
    pool: app
    routes:
      - match: [{ path: /some }, { path: /cut }]
        pool: app
        cors: { origins: [https://a.test, "https://*.b.test:8443"], methods: [PUT], headers: [x-a, x-b], expose: [x-c], credentials: true }
      - { match: { path: /all }, pool: app, cors: { origins: ["*"], max_age: 0s } }
pools: { app: { servers: [%q], eject: { enabled: false } } }
`, server.Addr))
		c := testkit.Dial(t, p.Addr)
		fields := []string{"Allow-Origin", "Allow-Credentials", "Allow-Methods", "Allow-Headers", "Max-Age", "Expose-Headers"}
		for _, tt := range []struct {
			method, path, origin string
			preflight            bool
			status               int
			want                 string
			vary                 bool
		}{
			{"GET", "/some", "https://a.test", false, 200, "https://a.test|true||||x-c", true},
			{"GET", "/some", "https://x.y.b.test:8443", false, 200, "https://x.y.b.test:8443|true||||x-c", true},
			{"GET", "/some", "https://b.test:8443", false, 200, "|||||", true},
			{"GET", "/some", "https://evil.test/.b.test:8443", false, 200, "|||||", true},
			{"GET", "/some", "https://a.test.evil.test", false, 200, "|||||", true},
			{"GET", "/some", "null", false, 200, "|||||", true},
			{"GET", "/some", "", false, 200, "|||||", true},
			{"GET", "/cut", "https://a.test", false, 502, "https://a.test|true||||x-c", true},
			{"OPTIONS", "/some", "https://a.test", true, 204, "https://a.test|true|GET, HEAD, POST, PUT|x-a, x-b|600|", true},
			{"OPTIONS", "/some", "https://evil.test", true, 403, "|||||", true},
			{"OPTIONS", "/some", "https://a.test", false, 200, "https://a.test|true||||x-c", true},
			{"GET", "/all", "https://evil.test", false, 200, "*|||||", false},
			{"GET", "/all", "", false, 200, "*|||||", false},
			{"OPTIONS", "/all", "https://evil.test", true, 204, "*||GET, HEAD, POST||0|", false},
			{"GET", "/none", "https://evil.test", false, 200, "https://server.test|||||", false},
		} {
			more := []string{"X-Other: 1"}
			if tt.origin != "" {
				more = append(more, "Origin: "+tt.origin)
			}
			if tt.preflight {
				more = append(more, "Access-Control-Request-Method: PUT")
			}
			c.Send(tt.method + " " + tt.path + " HTTP/1.1\r\nHost: a\r\n" + lines(more) + "\r\n")
			r := c.Read(tt.method)
			var got []string
			for _, f := range fields {
				got = append(got, strings.Join(r.Header.Values("Access-Control-"+f), " and "))
			}
			if text := strings.Join(got, "|"); r.StatusCode != tt.status || text != tt.want || (r.Header.Get("Vary") == "Origin") != tt.vary {
				t.Errorf("%s %s for %q = %d %s, Vary %q, want %d %s", tt.method, tt.path, tt.origin, r.StatusCode, text, r.Header.Get("Vary"), tt.status, tt.want)
			}
		}
		if strings.Contains(server.Got(), "request-method") {
			t.Error("a server is asked what the route answers itself")
		}
	})
}
