package admin

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
)

// peer is the two ends of a connection: ours, and who asks.
type peer struct {
	local  net.Addr
	remote string
}

var (
	unixSocket = peer{&net.UnixAddr{Name: "/run/poise.sock", Net: "unix"}, "@"}
	loopback   = peer{&net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 9900}, "127.0.0.1:50000"}
	loopback6  = peer{&net.TCPAddr{IP: net.IPv6loopback, Port: 9900}, "[::1]:50000"}
	mapped     = peer{&net.TCPAddr{IP: net.ParseIP("::ffff:127.0.0.1"), Port: 9900}, "[::ffff:127.0.0.1]:50000"}
	network    = peer{&net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 9900}, "192.0.2.9:50000"}
	spoofed    = peer{&net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 9900}, "192.0.2.9:50000"}
	unknown    = peer{nil, "127.0.0.1:50000"}
)

func from(r *http.Request, p peer) *http.Request {
	r.RemoteAddr = p.remote
	if p.local == nil {
		return r
	}
	return r.WithContext(context.WithValue(r.Context(), http.LocalAddrContextKey, p.local))
}

// TestPA4AdminGuard covers who may ask for what: DNS rebinding, pages of other sites, and the network.
func TestPA4AdminGuard(t *testing.T) {
	tests := []struct {
		name   string
		peer   peer
		path   string
		host   string
		header [2]string
		code   int
	}{
		{"loopback by address", loopback, "/v1/status", "127.0.0.1:9900", [2]string{}, 200},
		{"loopback by another loopback address", loopback, "/v1/status", "127.1.2.3", [2]string{}, 200},
		{"loopback by name", loopback, "/v1/status", "LocalHost.:9900", [2]string{}, 200},
		{"loopback, forwarded port", loopback, "/v1/status", "localhost:1234", [2]string{}, 200},
		{"loopback IPv6", loopback6, "/v1/status", "[::1]:9900", [2]string{}, 200},
		{"loopback IPv6 without port", loopback6, "/v1/status", "[::1]", [2]string{}, 200},
		{"loopback as IPv4 in IPv6", mapped, "/v1/status", "127.0.0.1:9900", [2]string{}, 200},
		{"loopback by configured name", loopback, "/v1/status", "Poise.internal:9900", [2]string{}, 200},
		{"loopback without Host", loopback, "/livez", "", [2]string{}, 200},

		{"rebound name", loopback, "/v1/status", "evil.example:9900", [2]string{}, 421},
		{"rebound name, health path", loopback, "/livez", "evil.example", [2]string{}, 421},
		{"rebound name like ours", loopback, "/v1/status", "localhost.evil.example", [2]string{}, 421},
		{"rebound name like an address", loopback, "/v1/status", "127.0.0.1.evil.example", [2]string{}, 421},
		{"address that is not ours", loopback, "/v1/status", "192.0.2.77:9900", [2]string{}, 421},
		{"name from the network", network, "/livez", "evil.example", [2]string{}, 421},

		{"origin of our own page", loopback, "/v1/status", "localhost:9900", [2]string{"Origin", "http://localhost:9900"}, 200},
		{"origin of another site", loopback, "/v1/status", "localhost:9900", [2]string{"Origin", "http://evil.example"}, 403},
		{"origin of another port", loopback, "/v1/status", "localhost:9900", [2]string{"Origin", "http://localhost:3000"}, 403},
		{"origin of a sandbox", loopback, "/v1/status", "localhost:9900", [2]string{"Origin", "null"}, 403},
		{"origin that is none", loopback, "/v1/status", "localhost:9900", [2]string{"Origin", "http://[::"}, 403},
		{"origin of another site over a Unix socket", unixSocket, "/v1/status", "localhost", [2]string{"Origin", "http://evil.example"}, 403},
		{"cross-site", loopback, "/metrics", "localhost:9900", [2]string{"Sec-Fetch-Site", "cross-site"}, 403},
		{"same site, other origin", loopback, "/metrics", "localhost:9900", [2]string{"Sec-Fetch-Site", "same-site"}, 403},
		{"same origin", loopback, "/metrics", "localhost:9900", [2]string{"Sec-Fetch-Site", "same-origin"}, 200},
		{"typed by a person", loopback, "/metrics", "localhost:9900", [2]string{"Sec-Fetch-Site", "none"}, 200},

		{"network, alive", network, "/livez", "192.0.2.1:9900", [2]string{}, 200},
		{"network, ready", network, "/readyz", "192.0.2.1:9900", [2]string{}, 200},
		{"network, ready by a translated address", network, "/readyz", "198.51.100.1:9900", [2]string{}, 200},
		{"network, status", network, "/v1/status", "192.0.2.1:9900", [2]string{}, 403},
		{"network, metrics", network, "/metrics", "192.0.2.1:9900", [2]string{}, 403},
		{"network, index", network, "/", "192.0.2.1:9900", [2]string{}, 403},
		{"network, profiles", network, "/debug/pprof/heap", "192.0.2.1:9900", [2]string{}, 403},
		{"network, health path with a turn", network, "/livez/../v1/status", "192.0.2.1:9900", [2]string{}, 403},
		{"network to the loopback address", spoofed, "/v1/status", "127.0.0.1:9900", [2]string{}, 403},
		{"connection of unknown kind", unknown, "/v1/status", "127.0.0.1:9900", [2]string{}, 403},

		{"Unix socket, any Host", unixSocket, "/v1/status", "whatever", [2]string{}, 200},
		{"Unix socket, profiles", unixSocket, "/debug/pprof/cmdline", "poise", [2]string{}, 200},
	}
	s := source()
	s.Address = "poise.internal:9900"
	h := New(s)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := from(httptest.NewRequest("GET", tt.path, nil), tt.peer)
			r.Host = tt.host
			if tt.header[0] != "" {
				r.Header.Set(tt.header[0], tt.header[1])
			}
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			if w.Code != tt.code {
				t.Errorf("GET %s with Host %q %v = %d, want %d", tt.path, tt.host, tt.header, w.Code, tt.code)
			}
		})
	}
}
